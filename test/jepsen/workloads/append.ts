/**
 * Text that grows: read, and written back longer if nobody was faster. Every append is in the text once for ever, in one
 * order for everybody; one that was applied twice, or lost, is seen by every later read.
 */
import type { Entry, KvClient } from '../kv-client.ts';
import type { LabNode, Outcome, Workload } from '../types.ts';

const MAX_TRIES = 6;

export function append(client: KvClient): Workload {
  let appended = 0;
  return {
    name: 'append',
    about: 'read-modify-write of a growing text under If-Match; a lost race is tried again',
    model: 'kv',
    operationsPerKey: 150,
    next: (chance, _, key) => {
      if (chance.chance(0.4)) return { op: 'get', key, input: null };
      return { op: 'append', key, input: `${++appended},` };
    },
    final: (key) => ({ op: 'get', key, input: null }),
    perform: async ({ op, key, input }, target, signal) => {
      const read = await client.get(target, key, signal);
      if (read.type !== 'read') return read;
      if (op === 'get') return { type: 'ok', output: read.entry?.value ?? null };
      return await appendTo(client, target, key, read.entry, String(input), signal);
    },
  };
}

async function appendTo(
  client: KvClient,
  target: LabNode,
  key: string,
  start: Entry | null,
  text: string,
  signal: AbortSignal,
): Promise<Outcome> {
  let entry = start;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const condition =
      entry === null ? ({ type: 'absent' } as const) : ({ type: 'revision', revision: entry.revision } as const);
    const result = await client.put(target, key, (entry?.value ?? '') + text, condition, signal);
    if (result.type === 'written') return { type: 'ok', output: null };
    if (result.type !== 'refused') return result;
    entry = result.current;
  }
  return { type: 'fail', error: 'others were faster' };
}
