/** Many keys, each used little, with values of many sizes: what is written is spread over the store. */
import { ALWAYS, type KvClient } from '../kv-client.ts';
import type { Workload } from '../types.ts';
import { ContractError } from '../witness.ts';

const SIZES = [0, 0, 0, 100, 1000, 1000, 10_000, 60_000] as const;

export function putGet(client: KvClient): Workload {
  let values = 0;
  return {
    name: 'put-get',
    about: 'put and get on many keys, values from a few bytes to 60 kB',
    model: 'register',
    operationsPerKey: 40,
    keysAtOnce: 100,
    next: (chance, _, key) => {
      if (chance.chance(0.5)) return { op: 'get', key, input: null };
      return { op: 'put', key, input: `${++values}:${chance.pick(SIZES)}` };
    },
    final: (key) => ({ op: 'get', key, input: null }),
    perform: async ({ op, key, input }, target, signal) => {
      if (op === 'put') {
        const result = await client.put(target, key, expand(String(input)), ALWAYS, signal);
        if (result.type === 'refused') throw new Error('unreachable: there was no condition');
        return result.type === 'written' ? { type: 'ok', output: null } : result;
      }
      const result = await client.get(target, key, signal);
      return result.type === 'read' ? { type: 'ok', output: shorten(key, result.entry?.value ?? null) } : result;
    },
  };
}

/** NUMBER:SIZE stands for a value in the history; the value itself is that and as many bytes, of which none may change. */
function expand(short: string): string {
  const [number = '', size = ''] = short.split(':');
  return `${short} ${number.repeat(Math.ceil(Number(size) / number.length)).slice(0, Number(size))}`;
}

function shorten(key: string, value: string | null): string | null {
  if (value === null) return null;
  const short = value.slice(0, value.indexOf(' '));
  if (value !== expand(short)) throw new ContractError(`${key} has a value that nobody wrote: ${value.slice(0, 100)}`);
  return short;
}
