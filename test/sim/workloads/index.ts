import type { Random } from '../../../src/testing/random.ts';
import { Increments } from './increments.ts';
import { LeaseHolders } from './lease-holders.ts';
import { LockHolders } from './locks.ts';
import { Transactions } from './transactions.ts';
import { Watchers } from './watchers.ts';
import type { Stage, Workload } from './workload.ts';

/** What clients do beside the single keys. Those with leases come last: they wait until nothing hangs on any. */
export function workloads(stage: Stage, random: Random): readonly Workload[] {
  return [Transactions, Increments, Watchers, LeaseHolders, LockHolders].map((Kind) => new Kind(stage, random.fork()));
}
