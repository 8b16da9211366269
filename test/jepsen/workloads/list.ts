/** Groups of keys, written one by one and read at once: every list is a cut through the order of writes, on however many pages. */
import { ALWAYS, type KvClient } from '../kv-client.ts';
import type { Workload } from '../types.ts';
import { cut, type CutListing } from './cut-model.ts';

const MEMBERS = 8;

export function list(client: KvClient): Workload {
  let values = 0;
  return {
    name: 'list',
    about: 'writes to the keys of a group, and lists of it in one page or several, each of one revision',
    model: cut,
    operationsPerKey: 200,
    next: (chance, _, key) => {
      if (chance.chance(0.4)) return { op: 'list', key, input: chance.pick([2, 3, 100]) };
      return { op: 'put', key, input: [`m${chance.between(1, MEMBERS)}`, `v${++values}`] };
    },
    final: (key) => ({ op: 'list', key, input: 100 }),
    perform: async ({ op, key, input }, target, signal) => {
      if (op === 'put') {
        const [member, value] = input as [string, string];
        const result = await client.put(target, `${key}/${member}`, value, ALWAYS, signal);
        if (result.type === 'refused') throw new Error('unreachable: there was no condition');
        return result.type === 'written' ? { type: 'ok', output: result.revision } : result;
      }
      const result = await client.list(target, `${key}/`, { pageSize: Number(input), signal });
      if (result.type !== 'listed') return result;
      const entries: [string, [string, number]][] = [];
      for (const [name, entry] of result.entries) {
        entries.push([name.slice(key.length + 1), [entry.value, entry.revision]]);
      }
      const output: CutListing = { revision: result.revision, entries: Object.fromEntries(entries) };
      return { type: 'ok', output };
    },
  };
}
