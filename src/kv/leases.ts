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
