/** Single operations that a scenario makes, in the order of its story, and their history. */
import { check, type Operation } from '../../../src/checker/index.ts';
import { ALWAYS, type KvClient } from '../kv-client.ts';
import type { LabNode } from '../types.ts';

export type Put = 'acknowledged' | 'refused' | 'unknown';
/** `value`: what was read, null for no such key. */
export type Get = { readonly value: string | null } | 'unanswered';

const CHECK_STEPS = 20_000_000;

export class Recorder {
  readonly operations: Operation[] = [];
  readonly #client: KvClient;
  readonly #signal: AbortSignal;
  #clients = 0;

  constructor(client: KvClient, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
  }

  async put(target: LabNode, key: string, value: string): Promise<Put> {
    const call = nowUs();
    const result = await this.#client.put(target, key, value, ALWAYS, this.#signal);
    if (result.type === 'refused') throw new Error('unreachable: there was no condition');
    const end = { written: 'acknowledged', fail: 'refused', unknown: 'unknown' } as const;
    this.#add({ op: 'put', key, input: value, output: null, call }, end[result.type]);
    return end[result.type];
  }

  async get(target: LabNode, key: string): Promise<Get> {
    const call = nowUs();
    const result = await this.#client.get(target, key, this.#signal);
    if (result.type !== 'read') return 'unanswered';
    const value = result.entry?.value ?? null;
    this.#add({ op: 'get', key, input: null, output: value, call }, 'acknowledged');
    return { value };
  }

  /** Why the history is not linearizable, or could not be checked; null when it is. */
  check(): { readonly verdict: 'bad' | 'unknown'; readonly reason: string } | null {
    const { verdict, reason } = check(this.operations, { model: 'register', budget: { maxSteps: CHECK_STEPS } });
    return verdict === 'ok' ? null : { verdict, reason: reason ?? verdict };
  }

  #add(operation: Omit<Operation, 'client' | 'return' | 'fail'>, end: Put): void {
    this.operations.push({
      ...operation,
      client: ++this.#clients,
      return: end === 'unknown' ? null : nowUs(),
      ...(end === 'refused' ? { fail: true } : {}),
    });
  }
}

function nowUs(): number {
  return Math.floor(performance.now() * 1000);
}
