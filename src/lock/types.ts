/**
 * The vocabulary of locks: what is stored of each name, what is asked, and what is answered. Plain data.
 *
 * Of all cores this one alone knows another: names hang on the leases of kv/, and both keep records of the same make.
 */
import type { RecordsOf } from '../kv/types.ts';

/**
 * What a name is; the first to ask decides, until nobody holds it or waits.
 * `lock`: exclusive, or many readers against one writer. `semaphore`: up to `limit` holders. `election`: exclusive, with a value.
 * `barrier`: nobody is let in until `limit` wait, then all of them at once, and it is closed again.
 */
export type LockKind = 'lock' | 'semaphore' | 'election' | 'barrier';

/** `read` shares with `read`; `write` (the same as exclusive) with nobody. Semaphores, elections and barriers are always `write`. */
export type LockMode = 'read' | 'write';

export interface Holder {
  /** Fencing token: larger than every earlier one of this name. */
  readonly token: number;
  /** Decimal lease id: the hold ends with the lease. */
  readonly lease: string;
  readonly mode: LockMode;
  /** JSON text given by the holder, null for none. */
  readonly owner: string | null;
  /** State-machine time of the grant, ms. */
  readonly since: number;
  /** Number of its wait: see `Waiter`. */
  readonly ticket: number;
}

export interface Waiter {
  readonly lease: string;
  readonly mode: LockMode;
  readonly owner: string | null;
  /** Of an election: what it will proclaim when it is elected. */
  readonly value: string | null;
  /**
   * Log index at which it asked: tells two waits of one lease apart, and who came first. Larger than the ticket of everybody who holds the name or waits
   * for it, so it can be beyond the index in a log that is younger than the state.
   */
  readonly ticket: number;
}

/**
 * Somebody who waits, or who was let in and shares: a record of its own, so that a thousand of them are not written again with every hand-over.
 * Stored under `seatKey(name, ticket)`.
 */
export interface Seat extends Waiter {
  /** 0: it waits. */
  readonly token: number;
  /** State-machine time of the grant, ms; 0: it waits. */
  readonly since: number;
}

export interface LockRecord {
  readonly kind: LockKind;
  /** Holders at once; 1 for locks and elections. Of a barrier: how many it waits for. */
  readonly limit: number;
  /** No token and no ticket of anybody who was let in under this name was larger. */
  readonly floor: number;
  /**
   * After a holder was lost (its lease ended, or an operator broke it) nobody is let in for this long: the most that anybody asked for since the name
   * came into use. Milliseconds.
   */
  readonly delayMs: number;
  /** State-machine time until which it rests; 0: it does not. */
  readonly restUntil: number;
  /** In order of their tokens. As it is stored: the one who holds it alone; those who share have seats. */
  readonly holders: readonly Holder[];
  /** Of an election: what its leader proclaimed. */
  readonly value: string | null;
}

/** What is absent is used by nobody. Names are never empty: under '' lies what has to be remembered of names that are gone, their floor. */
export type LockRecords = RecordsOf<LockRecord>;

export type SeatRecords = RecordsOf<Seat>;

/** Where and when an entry is applied. */
export interface At {
  readonly index: number;
  /** State-machine time, ms. */
  readonly time: number;
}

export interface AcquireOperation {
  readonly name: string;
  readonly kind: LockKind;
  readonly lease: string;
  readonly mode: LockMode;
  readonly limit: number;
  readonly delayMs: number;
  readonly owner: string | null;
  readonly value: string | null;
  /** Stand in the queue when it is held. */
  readonly wait: boolean;
}

export type AcquireResult =
  | { readonly status: 'granted'; readonly token: number; readonly ticket: number }
  | { readonly status: 'queued'; readonly ticket: number; readonly position: number }
  | { readonly status: 'held'; readonly holder: Holder | null }
  /** The name is in use as something else, or with another limit. */
  | { readonly status: 'mismatch'; readonly kind: LockKind; readonly limit: number };

/** What an apply did to those who hold or wait, for whoever waits for news of it. */
export type LockEffect =
  /** Somebody who waited is let in. */
  | {
      readonly type: 'granted';
      readonly name: string;
      readonly lease: string;
      readonly token: number;
      readonly ticket: number;
    }
  /** Somebody who waited is out of the queue without having been let in: cancelled, or its lease ended. */
  | { readonly type: 'dropped'; readonly name: string; readonly lease: string; readonly ticket: number }
  /** Holders, queue or value are others now. */
  | { readonly type: 'changed'; readonly name: string }
  /** Nobody is let in until this state-machine time: somebody has to wake it then. */
  | { readonly type: 'rests'; readonly name: string; readonly until: number };
