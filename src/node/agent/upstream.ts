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
  /** Monotonic. */
  now(): number;
  /** Returns what cancels it. */
  after(delayMs: number, task: () => void): () => void;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** As `Environment.soon`. */
  soon(task: () => void): void;
}

/** A member that knows no leader is asked for nothing for so long, while there are others: it may be the only one that is cut off. */
const PASS_OVER_MS = 3000;

/** A member says itself that the time is over; only one that stands still, or cannot be reached, does not. */
const ANSWER_GRACE_MS = 1000;

interface Member {
  readonly name: string;
  readonly requester: Requester;
  readonly node: RemoteNode;
  passedOverUntilMs: number;
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

  /**
   * Calls `action`; when the member that it asks for that knows no leader, or does not even say that the time is over, the next call is another one's. The error is the caller's all the same.
   * `timeoutMs`: what the member was told. `late`: for what comes when the caller has been told already that the time is over.
   */
  async ask<T>(action: (node: RemoteNode) => Promise<T>, timeoutMs: number, late?: (result: T) => void): Promise<T> {
    const { node } = this;
    const silence = this.#silence(timeoutMs + ANSWER_GRACE_MS);
    try {
      const result = action(node);
      if (late !== undefined) result.then((given) => silence.isOver() && late(given)).catch(() => undefined);
      return await Promise.race([result, silence.over]);
    } catch (error) {
      if (KvorumError.is(error, 'ERR_NO_LEADER') || silence.isOver()) this.#passOver(node);
      throw error;
    } finally {
      silence.cancel();
    }
  }

  #silence(ms: number): {
    readonly over: Promise<never>;
    readonly isOver: () => boolean;
    readonly cancel: () => void;
  } {
    let isOver = false;
    let cancel = (): void => undefined;
    const over = new Promise<never>((_, reject) => {
      cancel = this.#options.after(ms, () => {
        isOver = true;
        const message = 'the member that was asked has not answered in time, nor said that it could not';
        reject(new KvorumError('ERR_TIMEOUT', message, { outcome: 'unknown' }));
      });
    });
    return { over, isOver: () => isOver, cancel: () => cancel() };
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
    this.#members.set(id, { name, requester, node: new RemoteNode(requester), passedOverUntilMs: -Infinity });
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

  #passOver(node: RemoteNode): void {
    for (const member of this.#members.values()) {
      if (member.node === node) member.passedOverUntilMs = this.#options.now() + PASS_OVER_MS;
    }
  }

  #find(): Member | null {
    const { random } = this.#options;
    const current = this.#current === null ? undefined : this.#members.get(this.#current);
    if (current !== undefined && this.#current !== null && this.#isGood(this.#current)) return current;
    const ids = [...this.#members.keys()];
    // One that seems ill is better than none: gossip may be wrong, and so may be who knew no leader.
    const choice = [ids.filter((id) => this.#isGood(id)), ids.filter((id) => this.#options.isWell(id))].find(
      ({ length }) => length > 0,
    );
    const id = (choice ?? ids)[Math.floor(random() * (choice ?? ids).length)];
    this.#current = id ?? null;
    return id === undefined ? null : (this.#members.get(id) ?? null);
  }

  #isGood(id: NodeId): boolean {
    const untilMs = this.#members.get(id)?.passedOverUntilMs ?? 0;
    return this.#options.isWell(id) && this.#options.now() >= untilMs;
  }

  #newest(of: (requester: Requester) => number, least: number): number {
    let newest = least;
    for (const { requester } of this.#members.values()) newest = Math.max(newest, of(requester));
    return newest;
  }
}
