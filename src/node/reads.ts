/**
 * Linearizable reads of one group on this node: reads of one turn share one read-index token, at most one round is under way, and a
 * read that comes while it is joins the next one (Raft thesis §6.4; joining a round already sent would be stale).
 */
import { KvorumError } from '../errors.ts';
import type { ReadState } from '../raft/types.ts';

export interface PendingRead {
  readonly deadline: number;
  /** Called exactly once: with null when the local state may be read now. */
  readonly done: (error: KvorumError | null) => void;
}

interface Round {
  /** Of the first request for these reads, and of the last: an answer to any of them was asked for after all reads had come. */
  readonly firstToken: number;
  readonly token: number;
  readonly reads: PendingRead[];
  readonly askedAt: number;
}

interface Confirmed {
  readonly index: number;
  reads: PendingRead[];
}

export interface ReadLimits {
  readonly maxPending: number;
  /** A round without an answer for this long is asked for again, with a new token: its messages may be lost, or slow. */
  readonly retryAfterMs: number;
}

export class Reads {
  readonly #limits: ReadLimits;
  #queue: PendingRead[] = [];
  #round: Round | null = null;
  /** Confirmed, waiting until `index` is applied. In order of index. */
  #confirmed: Confirmed[] = [];
  #pending = 0;
  /** Only this counter makes tokens: they grow for the life of the process, and the boot epoch tells processes apart. */
  #nextToken = 1;

  constructor(limits: ReadLimits) {
    this.#limits = limits;
  }

  get pending(): number {
    return this.#pending;
  }

  add(read: PendingRead): void {
    if (this.#pending >= this.#limits.maxPending) {
      read.done(new KvorumError('ERR_OVERLOADED', 'too many reads are waiting on this node'));
      return;
    }
    this.#pending++;
    this.#queue.push(read);
  }

  /** Starts the next round, or asks again for the one under way, if it is time: the token to ask the core for, or null. */
  startRound(now: number): number | null {
    const round = this.#round;
    if (round !== null && round.reads.length > 0) {
      if (now - round.askedAt < this.#limits.retryAfterMs) return null;
      // What came since waits for the next round: then an answer that is merely late still counts, and a network or a leader
      // that always takes longer than the retry does not hold reads for ever.
      this.#round = { ...round, token: this.#nextToken++, askedAt: now };
      return this.#round.token;
    }
    this.#round = null;
    if (this.#queue.length === 0) return null;
    const token = this.#nextToken++;
    this.#round = { firstToken: token, token, reads: this.#queue, askedAt: now };
    this.#queue = [];
    return token;
  }

  /** The core's answer. A token of an earlier round was given up, or answered, before. */
  confirmed(state: ReadState): void {
    const round = this.#round;
    if (round === null || state.token < round.firstToken || state.token > round.token) return;
    if (state.index === null) {
      // Not confirmed, and not known where to ask: keep the round until it is asked for again, so that a cluster without a leader is not asked in a loop.
      return;
    }
    this.#round = null;
    const last = this.#confirmed.at(-1);
    // Indexes of later rounds are not smaller (the commit index only grows); a new leader's may be, never below what was acknowledged.
    if (last !== undefined && last.index >= state.index) last.reads.push(...round.reads);
    else this.#confirmed.push({ index: state.index, reads: round.reads });
  }

  /** Everything up to `index` is applied: answers the reads that waited for it. */
  applied(index: number): void {
    while (this.#confirmed.length > 0) {
      const first = this.#confirmed[0] as Confirmed;
      if (first.index > index) return;
      this.#confirmed.shift();
      for (const read of first.reads) this.#end(read, null);
    }
  }

  #end(read: PendingRead, error: KvorumError | null): void {
    this.#pending--;
    read.done(error);
  }

  /** Ask again at the next turn: the leader changed. */
  restartRound(): void {
    if (this.#round === null) return;
    this.#queue = [...this.#round.reads, ...this.#queue];
    this.#round = null;
  }

  sweep(now: number, hasLeader: boolean): void {
    const late: PendingRead[] = [];
    const split = (reads: PendingRead[]): PendingRead[] => {
      if (!reads.some((read) => read.deadline <= now)) return reads;
      late.push(...reads.filter((read) => read.deadline <= now));
      return reads.filter((read) => read.deadline > now);
    };
    this.#queue = split(this.#queue);
    if (this.#round !== null) this.#round = { ...this.#round, reads: split(this.#round.reads) };
    for (const group of this.#confirmed) group.reads = split(group.reads);
    for (const read of late) {
      this.#end(
        read,
        hasLeader
          ? new KvorumError('ERR_TIMEOUT', 'the read could not be confirmed in time')
          : new KvorumError('ERR_NO_LEADER', 'no leader confirmed the read in time'),
      );
    }
  }

  close(error: KvorumError): void {
    const all = [...this.#queue, ...(this.#round?.reads ?? []), ...this.#confirmed.flatMap((group) => group.reads)];
    this.#queue = [];
    this.#round = null;
    this.#confirmed = [];
    for (const read of all) this.#end(read, error);
  }
}
