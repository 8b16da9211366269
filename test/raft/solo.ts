/**
 * One real core among puppets: the test speaks for all other members and reads what the core says to them. Without the
 * invariants, since puppets may claim anything.
 */
import type { Configuration, Entry, Message, NodeId } from '../../src/raft/types.ts';
import { Cluster, configuration } from '../sim/cluster.ts';
import type { HostOptions } from '../sim/cluster.ts';
import type { Host } from '../sim/host.ts';

export interface SoloOptions {
  readonly members?: Configuration;
  /** Terms of the entries on disk, from index 1. */
  readonly log?: readonly number[];
  readonly term?: number;
  readonly vote?: NodeId | null;
  readonly commit?: number;
  readonly options?: Partial<HostOptions>;
  readonly id?: NodeId;
}

export type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** A message to the core, without what is always the same. */
export type Said = Without<Message, 'group' | 'to'>;

export function entry(index: number, term: number, text = `t${term}i${index}`): Entry {
  return { index, term, kind: 'command', data: new TextEncoder().encode(text) };
}

export const THREE: Configuration = configuration(['1', '2', '3']);
export const FIVE: Configuration = configuration(['1', '2', '3', '4', '5']);

export class Solo {
  readonly cluster = new Cluster([]);
  readonly host: Host;
  readonly id: NodeId;
  readonly #sent: Message[] = [];

  constructor({ members = THREE, log = [], term, vote = null, commit = 0, options = {}, id = '1' }: SoloOptions = {}) {
    this.id = id;
    this.cluster.transport = (packet) => {
      if (packet.kind === 'message') this.#sent.push(packet.message);
    };
    this.host = this.cluster.add(id, members, options, (image) => {
      image.append(log.map((entryTerm, i) => entry(i + 1, entryTerm)));
      image.hardState = { term: term ?? log.at(-1) ?? 0, vote, commit };
    });
    this.host.start();
    this.settle();
  }

  get status(): Host['status'] {
    return this.host.status;
  }

  /** Takes Readys, ends writes and applies until nothing is left. */
  settle(): void {
    for (;;) {
      const ready = this.host.takeReady();
      const wrote = this.host.persist(Infinity);
      if (this.host.apply() === 0 && !wrote && ready === null) return;
    }
  }

  tick(count = 1): void {
    for (let i = 0; i < count; i++) {
      this.cluster.now += 10;
      this.host.tick();
      this.settle();
    }
  }

  step(said: Said): void {
    this.host.step({ ...said, group: 1, to: this.id });
    this.settle();
  }

  /** What was sent since the last call, all of it or of one type. */
  take<T extends Message['type']>(type?: T): Extract<Message, { type: T }>[] {
    return this.#sent
      .splice(0)
      .filter((message): message is Extract<Message, { type: T }> => type === undefined || message.type === type);
  }

  /** Ticks until a candidate with its own vote on disk, with pre-votes from `granting`. */
  stand(granting: readonly NodeId[] = ['2', '3', '4', '5']): void {
    for (let i = 0; i < 40 && this.status.role === 'follower'; i++) this.tick();
    for (const from of granting) {
      if (this.status.role !== 'preCandidate') break;
      const term = this.status.term + 1;
      this.step({ type: 'VoteResponse', from, term, preVote: true, granted: true });
    }
  }

  grant(from: NodeId, granted = true): void {
    this.step({ type: 'VoteResponse', from, term: this.status.term, preVote: false, granted });
  }

  /** Makes it the leader; nobody has acknowledged anything. */
  lead(granting: readonly NodeId[] = ['2', '3', '4', '5']): void {
    this.stand(granting);
    for (const from of granting) if (this.status.role === 'candidate') this.grant(from);
    if (this.status.role !== 'leader') throw new Error(`${this.id} is ${this.status.role}, no leader`);
  }

  /** A follower has everything up to `index` on disk. */
  ack(from: NodeId, index: number): void {
    const { term } = this.status;
    this.step({ type: 'AppendResponse', from, term, rejected: false, index, hintIndex: 0, hintTerm: 0 });
  }

  propose(...texts: string[]): void {
    const result = this.host.propose(texts.map((text) => new TextEncoder().encode(text)));
    if (result.status !== 'accepted') throw new Error(`proposal: ${result.status}`);
    this.settle();
  }

  /** Terms of its log, from index 1. */
  get terms(): number[] {
    return this.host.log.log.map(({ term }) => term);
  }
}
