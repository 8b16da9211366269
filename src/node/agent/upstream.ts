/**
 * The members that an agent has its calls served by: one at a time, any that is linked and well, another as soon as that one is not. What was asked of one that went away is rejected with
 * outcome unknown, as by every caller's end of a link; whether to ask again is the caller's business, as always.
 */
import { KvorumError } from '../../errors.ts';
import type { NodeId } from '../../raft/types.ts';
import type { Peer } from '../../transport/types.ts';
import { RemoteNode } from '../remote/remote-node.ts';
import { Requester } from '../remote/requester.ts';

export interface UpstreamOptions {
  /** False: it did not leave. */
  send(to: NodeId, parts: readonly Uint8Array[]): boolean;
  /** As gossip has it. */
  readonly isWell: (id: NodeId) => boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** As `Environment.soon`. */
  soon(task: () => void): void;
}

interface Member {
  readonly name: string;
  readonly requester: Requester;
  readonly node: RemoteNode;
}

export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #members = new Map<NodeId, Member>();
  #current: NodeId | null = null;
  #revision = 0;
  #term = 0;
  #closed: KvorumError | null = null;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** Members that can be asked now. */
  get size(): number {
    return this.#members.size;
  }

  /** Name of the one that is asked; null while there is none. */
  get name(): string | null {
    return this.#find()?.name ?? null;
  }

  /** The newest that any answer told. */
  get revision(): number {
    return this.#newest((requester) => requester.revision, this.#revision);
  }

  get term(): number {
    return this.#newest((requester) => requester.term, this.#term);
  }

  /** Throws ERR_NO_LEADER (outcome none) while no member is linked, ERR_CLOSED at the end. */
  get node(): RemoteNode {
    if (this.#closed !== null) throw this.#closed;
    const member = this.#find();
    if (member === null) throw new KvorumError('ERR_NO_LEADER', 'no member of the cluster can be reached');
    return member.node;
  }

  has(id: NodeId): boolean {
    return this.#members.has(id);
  }

  /** A link to a member is there, or there anew: then what was asked over the one before is not answered. */
  up({ id, name }: Peer): void {
    this.down(id);
    if (this.#closed !== null) return;
    const requester = new Requester({
      send: (parts) => this.#options.send(id, parts),
      soon: (task) => this.#options.soon(task),
    });
    requester.revision = this.#revision;
    requester.term = this.#term;
    this.#members.set(id, { name, requester, node: new RemoteNode(requester) });
  }

  down(id: NodeId): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    const { name, requester } = member;
    this.#revision = this.revision;
    this.#term = this.term;
    this.#members.delete(id);
    if (this.#current === id) this.#current = null;
    requester.close(new KvorumError('ERR_UNAVAILABLE', `the link to ${name} was lost`, { outcome: 'unknown' }));
  }

  /** Throws for what is no frame of answers. */
  frame(from: NodeId, bytes: Uint8Array): void {
    this.#members.get(from)?.requester.frame(bytes);
  }

  close(error: KvorumError): void {
    this.#closed = error;
    for (const { requester } of this.#members.values()) requester.close(error);
    this.#members.clear();
  }

  #find(): Member | null {
    const { isWell, random } = this.#options;
    const current = this.#current === null ? undefined : this.#members.get(this.#current);
    if (current !== undefined && this.#current !== null && isWell(this.#current)) return current;
    const ids = [...this.#members.keys()];
    const well = ids.filter((id) => isWell(id));
    // One that seems ill is better than none: gossip may be wrong.
    const choice = well.length > 0 ? well : ids;
    const id = choice[Math.floor(random() * choice.length)];
    this.#current = id ?? null;
    return id === undefined ? null : (this.#members.get(id) ?? null);
  }

  #newest(of: (requester: Requester) => number, least: number): number {
    let newest = least;
    for (const { requester } of this.#members.values()) newest = Math.max(newest, of(requester));
    return newest;
  }
}
