/**
 * What only a leader has: made when it is elected, thrown away when it steps down (Raft paper, figure 2, "volatile state on
 * leaders").
 */
import { members } from './configuration.ts';
import type { RaftLog } from './log.ts';
import { Progress } from './progress.ts';
import { LeaderReads } from './read-index.ts';
import type { Configuration, NodeId, RaftOptions } from './types.ts';

/**
 * Bytes that were proposed and are not yet committed, counted by proposal, so that what is added is taken off again to the
 * byte (etcd#10167, raft#11: an estimate drifts, and one day refuses everything).
 */
export class UncommittedBytes {
  readonly #max: number;
  #lastIndexes: number[] = [];
  #sizes: number[] = [];
  #head = 0;
  #total = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get total(): number {
    return this.#total;
  }

  /**
   * With nothing uncommitted everything fits: an entry over the limit must get through some day. Not before what earlier leaders left is
   * committed too (`inherited` false), or each of several leaders that commit nothing would add one.
   */
  fits(bytes: number, inherited: boolean): boolean {
    return this.#total + bytes <= this.#max || (this.#total === 0 && !inherited);
  }

  add(lastIndex: number, bytes: number): void {
    if (bytes === 0) return;
    this.#lastIndexes.push(lastIndex);
    this.#sizes.push(bytes);
    this.#total += bytes;
  }

  /** A proposal counts until its last entry is committed. */
  committed(index: number): void {
    while (this.#head < this.#lastIndexes.length && this.#lastIndexes[this.#head]! <= index) {
      this.#total -= this.#sizes[this.#head]!;
      this.#head++;
    }
    if (this.#head === this.#lastIndexes.length) {
      this.#lastIndexes = [];
      this.#sizes = [];
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#lastIndexes.length) {
      this.#lastIndexes = this.#lastIndexes.slice(this.#head);
      this.#sizes = this.#sizes.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** A round that may extend the lease once a quorum has answered it. */
interface LeaseRound {
  readonly round: number;
  readonly sentAtMs: number;
}

/** Rounds remembered for the lease; when more are unanswered, the lease is not being extended anyway. */
const MAX_LEASE_ROUNDS = 64;

export class Leadership {
  /** Everybody else who gets the log: the members, and for a while those that were removed. */
  readonly progress = new Map<NodeId, Progress>();
  readonly reads = new LeaderReads();
  readonly uncommitted: UncommittedBytes;
  /** Check-quorum counts from here at the earliest: from the election, or since others count. */
  quorumSinceTick: number;
  /** Index of the no-op: the first entry of this term. */
  readonly firstIndex: number;
  /** An entry of this term is committed: reads may be served and the commit index is current (§6.4, step 1). */
  committedInTerm = false;
  heartbeatElapsed = 0;
  heartbeatDue = false;
  /** Something changed since the Appends were last built. */
  appendsDue = true;

  transferTo: NodeId | null = null;
  transferElapsed = 0;
  /** TimeoutNow has left in this term: it may depose us at any time, so no lease holds any more. */
  leaseForfeited = false;
  leaseUntilMs = -Infinity;
  /** No voter any more, and handing over (reconfiguration.ts). */
  retiring = false;
  #leaseRounds: LeaseRound[] = [];
  readonly #options: RaftOptions;

  /** What each member has on disk, this node's own log included. Made once: commits are counted with it all the time. */
  readonly matchOf: (id: NodeId) => number;

  constructor(options: RaftOptions, configuration: Configuration, log: RaftLog, tick: number) {
    this.matchOf = (id) => (id === options.id ? log.persisted : (this.progress.get(id)?.match ?? 0));
    this.uncommitted = new UncommittedBytes(options.maxUncommittedBytes);
    this.quorumSinceTick = tick;
    this.firstIndex = log.lastIndex + 1;
    this.#options = options;
    for (const id of members(configuration)) if (id !== options.id) this.#begin(id, this.firstIndex);
  }

  #begin(id: NodeId, next: number): Progress {
    const { maxInflightMessages, maxInflightBytes } = this.#options;
    const progress = new Progress(id, next, maxInflightMessages, maxInflightBytes);
    this.progress.set(id, progress);
    return progress;
  }

  /** The configuration at `index` was appended: who is new gets the log from now on, who is gone for a while yet. */
  follow(configuration: Configuration, index: number): void {
    const ids = new Set(members(configuration));
    for (const progress of this.progress.values()) {
      if (ids.has(progress.id)) progress.joined();
      else if (progress.removedIndex === 0) progress.removedIndex = index;
    }
    for (const id of ids) if (id !== this.#options.id && !this.progress.has(id)) this.#begin(id, index);
  }

  /** Elected with a configuration at `index` whose predecessor's `before` members may not have been told that they are none. */
  followRemoved(before: readonly NodeId[], index: number): void {
    for (const id of before) {
      if (id !== this.#options.id && !this.progress.has(id)) this.#begin(id, this.firstIndex).removedIndex = index;
    }
  }

  /**
   * Stops following who was removed and knows it. A removed node is told, so that it can say so and stop instead of looking for a
   * leader for ever; it is not waited for, beyond two election time-outs.
   */
  partWith(commit: number, tick: number): void {
    for (const progress of this.progress.values()) {
      if (progress.partsNow(commit, tick, 2 * this.#options.electionTicks)) this.progress.delete(progress.id);
    }
  }

  leaseRoundSent(round: number, sentAtMs: number): void {
    if (this.#leaseRounds.length < MAX_LEASE_ROUNDS) this.#leaseRounds.push({ round, sentAtMs });
  }

  /** A quorum has answered `round`: the lease counts from when it, or the newest round before it, was sent. */
  leaseRoundConfirmed(round: number, leaseMs: number): void {
    let done = 0;
    while (done < this.#leaseRounds.length && this.#leaseRounds[done]!.round <= round) {
      this.leaseUntilMs = Math.max(this.leaseUntilMs, this.#leaseRounds[done]!.sentAtMs + leaseMs);
      done++;
    }
    if (done > 0) this.#leaseRounds.splice(0, done);
  }
}
