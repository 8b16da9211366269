/** Every workload there is. */
import type { KvClient } from './kv-client.ts';
import type { Workload } from './types.ts';
import { append } from './workloads/append.ts';
import { deletes } from './workloads/delete.ts';
import { list } from './workloads/list.ts';
import { putGet } from './workloads/put-get.ts';
import { register } from './workloads/register.ts';

/** Each makes a fresh one: workloads remember what their clients have learnt. */
export const WORKLOADS: Readonly<Record<string, (client: KvClient) => Workload>> = {
  register,
  append,
  list,
  'put-get': putGet,
  delete: deletes,
};

/** By name or `all`. Throws when a word names nothing. */
export function chooseWorkloads(client: KvClient, words: readonly string[]): Workload[] {
  const unknown = words.find((word) => word !== 'all' && !Object.hasOwn(WORKLOADS, word));
  if (unknown !== undefined) throw new Error(`there is no workload "${unknown}"; --list shows them`);
  return Object.entries(WORKLOADS)
    .filter(([name]) => words.includes('all') || words.includes(name))
    .map(([, make]) => make(client));
}
