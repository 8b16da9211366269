/** Every workload there is. */
import type { KvClient } from './kv-client.ts';
import type { ActingWorkload, Workload } from './types.ts';
import { append } from './workloads/append.ts';
import { deletes } from './workloads/delete.ts';
import { increments } from './workloads/increments.ts';
import { leases } from './workloads/leases.ts';
import { list } from './workloads/list.ts';
import { locks } from './workloads/locks.ts';
import { putGet } from './workloads/put-get.ts';
import { register } from './workloads/register.ts';
import { txn } from './workloads/txn.ts';
import { watch } from './workloads/watch.ts';

/** Each makes a fresh one: workloads remember what their clients have learnt. */
export const WORKLOADS: Readonly<Record<string, (client: KvClient) => Workload | ActingWorkload>> = {
  register,
  append,
  list,
  'put-get': putGet,
  delete: deletes,
  increments,
  txn,
  locks,
  leases,
  watch,
};

/** By name or `all`. Throws when a word names nothing. */
export function chooseWorkloads(client: KvClient, words: readonly string[]): (Workload | ActingWorkload)[] {
  const unknown = words.find((word) => word !== 'all' && !Object.hasOwn(WORKLOADS, word));
  if (unknown !== undefined) throw new Error(`there is no workload "${unknown}"; --list shows them`);
  return Object.entries(WORKLOADS)
    .filter(([name]) => words.includes('all') || words.includes(name))
    .map(([, make]) => make(client));
}
