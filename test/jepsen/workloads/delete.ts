/** Keys that come and go: made only where there is none, deleted with and without a condition. */
import type { KvClient } from '../kv-client.ts';
import type { Workload } from '../types.ts';
import { Knowledge, perform } from './register.ts';

export function deletes(client: KvClient): Workload {
  const known = new Knowledge();
  return {
    name: 'delete',
    about: 'put, delete, delete by revision, create if absent',
    model: 'register',
    operationsPerKey: 200,
    next: (chance, _, key) => {
      const draw = chance.float();
      const before = known.of(key)?.value ?? null;
      if (draw < 0.35) return { op: 'get', key, input: null };
      if (draw < 0.5) return { op: 'put', key, input: known.newValue() };
      if (draw < 0.65) return { op: 'delete', key, input: null };
      // A key that is there is deleted under a condition, one that is not is made under one.
      return { op: 'cas', key, input: [before, before === null ? known.newValue() : null] };
    },
    final: (key) => ({ op: 'get', key, input: null }),
    perform: async (invocation, target, signal) => await perform(client, known, invocation, target, signal),
  };
}
