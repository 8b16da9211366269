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
  readonly token: number;
  readonly reads: PendingRead[];
  readonly startedAt: number;
}

interface Confirmed {
  readonly index: number;
  reads: PendingRead[];
}

export interface ReadLimits {
  readonly maxPending: number;
  /** A round without an answer for this long is asked for again, with a new token: its messages may be lost. */
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

  /** Starts the next round if it is time: the token to ask the core for, or null. */
  startRound(now: number): number | null {
    if (this.#round !== null) {
      if (now - this.#round.startedAt < this.#limits.retryAfterMs) return null;
      this.#queue = [...this.#round.reads, ...this.#queue];
      this.#round = null;
    }
    if (this.#queue.length === 0) return null;
    this.#round = { token: this.#nextToken++, reads: this.#queue, startedAt: now };
    this.#queue = [];
    return this.#round.token;
  }

  /** The core's answer. A token that is not the one under way was given up before. */
  confirmed(state: ReadState): void {
    const round = this.#round;
    if (round === null || round.token !== state.token) return;
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
