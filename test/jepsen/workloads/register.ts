/**
 * One value a key: read, written, and replaced under a condition. A compare-and-set goes by revision (`If-Match`), and is
 * recorded as one by value, which is the same as long as no value is written twice: so none is. Were a write applied twice,
 * the revision would change under a value that stays, a compare-and-set be refused without reason, and the checker say so.
 */
import { ALWAYS, type Entry, type KvClient, type WriteResult } from '../kv-client.ts';
import type { Invocation, LabNode, Outcome, Workload } from '../types.ts';

export function register(client: KvClient): Workload {
  const known = new Knowledge();
  return {
    name: 'register',
    about: 'get, put, and compare-and-set by revision',
    model: 'register',
    operationsPerKey: 200,
    next: (chance, _, key) => {
      const draw = chance.float();
      if (draw < 0.45) return { op: 'get', key, input: null };
      if (draw < 0.65) return { op: 'put', key, input: known.newValue() };
      return { op: 'cas', key, input: [known.of(key)?.value ?? null, known.newValue()] };
    },
    final: (key) => ({ op: 'get', key, input: null }),
    perform: async (invocation, target, signal) => await perform(client, known, invocation, target, signal),
  };
}

/** What clients have learnt of keys, the last of it, and the revisions of values. Nothing says that it is still so. */
export class Knowledge {
  readonly #entries = new Map<string, Entry | null>();
  readonly #revisions = new Map<string, number>();
  #values = 0;

  newValue(): string {
    return `v${++this.#values}`;
  }

  of(key: string): Entry | null {
    return this.#entries.get(key) ?? null;
  }

  revisionOf(value: string): number {
    const revision = this.#revisions.get(value);
    if (revision === undefined) throw new Error(`nobody has seen ${value}`);
    return revision;
  }

  learn(key: string, entry: Entry | null): void {
    this.#entries.set(key, entry);
    if (entry !== null) this.#revisions.set(entry.value, entry.revision);
  }
}

/** Also with null as the new value of a compare-and-set: a delete under a condition. */
export async function perform(
  client: KvClient,
  known: Knowledge,
  { op, key, input }: Invocation,
  target: LabNode,
  signal: AbortSignal,
): Promise<Outcome> {
  switch (op) {
    case 'get': {
      const result = await client.get(target, key, signal);
      if (result.type !== 'read') return result;
      known.learn(key, result.entry);
      return { type: 'ok', output: result.entry?.value ?? null };
    }
    case 'put':
      return told(known, key, String(input), await client.put(target, key, String(input), ALWAYS, signal), null);
    case 'cas': {
      const [before, after] = input as readonly [string | null, string | null];
      const condition =
        before === null
          ? ({ type: 'absent' } as const)
          : ({ type: 'revision', revision: known.revisionOf(before) } as const);
      if (after !== null) {
        return told(known, key, after, await client.put(target, key, after, condition, signal), true);
      }
      const result = await client.delete(target, key, condition, signal);
      if (result.type !== 'deleted') return told(known, key, '', result, true);
      known.learn(key, null);
      return { type: 'ok', output: true };
    }
    case 'delete': {
      const result = await client.delete(target, key, ALWAYS, signal);
      if (result.type !== 'deleted') return told(known, key, '', result, true);
      known.learn(key, null);
      return { type: 'ok', output: result.count === 1 };
    }
    default:
      throw new Error(`this workload has no ${op}`);
  }
}

function told(known: Knowledge, key: string, value: string, result: WriteResult, output: true | null): Outcome {
  if (result.type === 'written') {
    known.learn(key, { value, revision: result.revision });
    return { type: 'ok', output };
  }
  if (result.type === 'refused') {
    known.learn(key, result.current);
    return { type: 'ok', output: false };
  }
  return result;
}
