/**
 * When leases are over, by one node's monotonic clock. Every node counts, so that any can say what is left; only the leader's count
 * ends a lease, and it begins at its election: whoever was leader before may have heard of renewals that are not in the log.
 *
 * Told of every lease that is granted, renewed, checkpointed or ended as entries are applied; asks for nothing and sets no timer.
 */
import type { Lease } from '../kv/leases.ts';

/** Leases longer than this are checkpointed: what was used up of a shorter one is not worth an entry. */
const CHECKPOINT_FROM_MS = 60_000;
/** One that lost this part of its TTL since it was last told is checkpointed. */
const CHECKPOINT_EVERY = 0.25;
/** Leases in one command. */
const MAX_BATCH = 1000;

interface Counted {
  readonly lease: Lease;
  deadline: number;
  /** Proposed to end, and not refused since. */
  ending: boolean;
}

export interface Expiry {
  readonly lease: string;
  readonly counter: number;
}

export interface Checkpoint extends Expiry {
  readonly remainingMs: number;
}

export class Lessor {
  readonly #leases = new Map<string, Counted>();
  /** No lease is over before this. */
  #nextDeadline = Number.POSITIVE_INFINITY;

  get size(): number {
    return this.#leases.size;
  }

  /** Granted, renewed or checkpointed. */
  alive(lease: Lease, now: number): void {
    const deadline = now + lease.remainingMs;
    this.#leases.set(lease.id, { lease, deadline, ending: false });
    this.#nextDeadline = Math.min(this.#nextDeadline, deadline);
  }

  ended(id: string): void {
    this.#leases.delete(id);
  }

  /** All there are: at a start, after a snapshot, and when this node is elected. */
  reset(leases: Iterable<Lease>, now: number): void {
    this.#leases.clear();
    this.#nextDeadline = Number.POSITIVE_INFINITY;
    for (const lease of leases) this.alive(lease, now);
  }

  /** This node stood still for so long that renewals may lie unread: everybody gets that time again. */
  extend(byMs: number): void {
    for (const counted of this.#leases.values()) counted.deadline += byMs;
    this.#nextDeadline += byMs;
  }

  /** Milliseconds, 0 when it should be over; null for one that is not there. */
  remainingMs(id: string, now: number): number | null {
    const counted = this.#leases.get(id);
    return counted === undefined ? null : Math.max(0, Math.round(counted.deadline - now));
  }

  /** Those that are over and were not given out before; `notEnded` takes them back. */
  due(now: number): readonly Expiry[] {
    if (now < this.#nextDeadline) return [];
    const due: Expiry[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const counted of this.#leases.values()) {
      if (counted.ending) continue;
      if (counted.deadline > now || due.length === MAX_BATCH) {
        next = Math.min(next, counted.deadline);
        continue;
      }
      counted.ending = true;
      due.push({ lease: counted.lease.id, counter: counted.lease.counter });
    }
    this.#nextDeadline = next;
    return due;
  }

  /** What was given out was not proposed, or nobody knows what became of it. */
  notEnded(expiries: readonly Expiry[]): void {
    for (const { lease, counter } of expiries) {
      const counted = this.#leases.get(lease);
      if (counted === undefined || counted.lease.counter !== counter) continue;
      counted.ending = false;
      this.#nextDeadline = Math.min(this.#nextDeadline, counted.deadline);
    }
  }

  /** Long leases that have used up a good part since it was last written down. */
  checkpoints(now: number): readonly Checkpoint[] {
    const checkpoints: Checkpoint[] = [];
    for (const { lease, deadline, ending } of this.#leases.values()) {
      if (lease.ttlMs < CHECKPOINT_FROM_MS || ending) continue;
      const remainingMs = Math.round(deadline - now);
      if (remainingMs <= 0 || lease.remainingMs - remainingMs < lease.ttlMs * CHECKPOINT_EVERY) continue;
      checkpoints.push({ lease: lease.id, counter: lease.counter, remainingMs });
      if (checkpoints.length === MAX_BATCH) break;
    }
    return checkpoints;
  }
}
