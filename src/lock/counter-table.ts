/** Counters by name: whole numbers that are added to. One that was never added to is 0. */
import type { RecordsOf } from '../kv/types.ts';

export interface CounterRecord {
  readonly value: number;
}

export type CounterRecords = RecordsOf<CounterRecord>;

export class CounterTable {
  readonly #records: CounterRecords;

  constructor(records: CounterRecords) {
    this.#records = records;
  }

  has(name: string): boolean {
    return this.#records.get(name) !== undefined;
  }

  get(name: string): number {
    return this.#records.get(name)?.value ?? 0;
  }

  /** The sum; null when it or `delta` is no safe integer, and then nothing changed. */
  add(name: string, delta: number): number | null {
    const value = this.get(name) + delta;
    if (!Number.isSafeInteger(delta) || !Number.isSafeInteger(value)) return null;
    this.#records.set(name, { value });
    return value;
  }

  /** False: there was none. */
  delete(name: string): boolean {
    if (this.#records.get(name) === undefined) return false;
    this.#records.delete(name);
    return true;
  }

  /** In order, up to `limit` after `after`. Walks all counters. */
  names(prefix: string, after: string | null, limit: number): readonly string[] {
    const names: string[] = [];
    for (const [name] of this.#records.entries()) {
      if (name.startsWith(prefix) && (after === null || name > after)) names.push(name);
    }
    return names.toSorted().slice(0, limit);
  }
}
