/**
 * Leases: a time to live that somebody has to renew, and what hangs on it. A session is a lease with an owner.
 *
 * The table holds no clock. The leader counts on its own monotonic clock and proposes the expiry, naming the renewal that it knows of: `counter` says how often
 * a lease was renewed, so that an expiry which a renewal overtook in the log does nothing. A new leader gives every lease its checkpointed
 * remainder, or the whole TTL if it was renewed since: a lease may last longer, never shorter (etcd's lessor and its checkpoints).
 */
import type { RecordsOf } from './types.ts';

export interface Lease {
  /** Decimal: the log index of its grant. */
  readonly id: string;
  readonly ttlMs: number;
  /** JSON text, null for none. */
  readonly owner: string | null;
  /** Renewals so far. */
  readonly counter: number;
  /** Left at the last checkpoint since it was renewed; the whole TTL without one. */
  readonly remainingMs: number;
  /** Made for one lock, with which it goes. */
  readonly ofLock: boolean;
}

/** As it is stored: the id is its name. */
export type LeaseRecord = Omit<Lease, 'id'>;

export class LeaseTable {
  readonly #records: RecordsOf<LeaseRecord>;

  constructor(records: RecordsOf<LeaseRecord>) {
    this.#records = records;
  }

  has(id: string): boolean {
    return this.#records.get(id) !== undefined;
  }

  get(id: string): Lease | null {
    const record = this.#records.get(id);
    return record === undefined ? null : { id, ...record };
  }

  /** All, in no particular order. */
  *all(): IterableIterator<Lease> {
    for (const [id, record] of this.#records.entries()) yield { id, ...record };
  }

  grant(id: string, { ttlMs, owner, ofLock }: Pick<Lease, 'ttlMs' | 'owner' | 'ofLock'>): Lease {
    const record: LeaseRecord = { ttlMs, owner, counter: 0, remainingMs: ttlMs, ofLock };
    this.#records.set(id, record);
    return { id, ...record };
  }

  /** Null: there is none (any more). */
  renew(id: string): Lease | null {
    const before = this.#records.get(id);
    if (before === undefined) return null;
    const record: LeaseRecord = { ...before, counter: before.counter + 1, remainingMs: before.ttlMs };
    this.#records.set(id, record);
    return { id, ...record };
  }

  /** Null: gone, or renewed since, or it has no more than that anyway. */
  checkpoint(id: string, counter: number, remainingMs: number): Lease | null {
    const before = this.#records.get(id);
    if (before === undefined || before.counter !== counter || before.remainingMs <= remainingMs) return null;
    const record: LeaseRecord = { ...before, remainingMs };
    this.#records.set(id, record);
    return { id, ...record };
  }

  /** Whether an expiry that knows of `counter` renewals is still right. */
  expires(id: string, counter: number): boolean {
    return this.#records.get(id)?.counter === counter;
  }

  end(id: string): void {
    this.#records.delete(id);
  }
}
