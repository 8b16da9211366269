/**
 * The ordered key-value database under the store: what LevelDB offers and memory imitates. All of storage/ above this line
 * (write queue, log, state, snapshots) is one code for both, so the code that is simulated is the code that ships.
 */

import type { KeyBounds } from './keys.ts';

export type EngineRecord = readonly [key: Uint8Array, value: Uint8Array];

export interface EngineBatch {
  /** Key and value are copied, or not changed by anybody afterwards. */
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  /** Atomic. Ends with exactly one call of `callback`, never before this returns. */
  write(sync: boolean, callback: (error: Error | null) => void): void;
}

export interface EngineSnapshot {
  get(key: Uint8Array): Uint8Array | undefined;
  close(): void;
}

export interface EngineRange extends KeyBounds {
  readonly reverse?: boolean;
  /** Values are empty. */
  readonly keysOnly?: boolean;
  readonly snapshot?: EngineSnapshot;
}

export interface EngineIterator {
  /** Up to `records` records, or fewer at about `bytes` (fixed by the engine); none only at the end. */
  next(records: number): Promise<readonly EngineRecord[]>;
  close(): Promise<void>;
}

export interface Engine {
  get(key: Uint8Array): Uint8Array | undefined;
  batch(): EngineBatch;
  snapshot(): EngineSnapshot;
  iterate(range: EngineRange): EngineIterator;
  /** Runs `task` soon, after the caller is done. */
  schedule(task: () => void): void;
  /** Monotonic milliseconds, for statistics only. */
  now(): number;
  /** Differs between processes that opened the same data. */
  readonly nonce: number;
  close(): Promise<void>;
}

/** All records of a (small) range. */
export async function collect(engine: Engine, range: EngineRange): Promise<EngineRecord[]> {
  const iterator = engine.iterate(range);
  const all: EngineRecord[] = [];
  try {
    for (;;) {
      const records = await iterator.next(1000);
      if (records.length === 0) return all;
      all.push(...records);
    }
  } finally {
    await iterator.close();
  }
}

/** The first record of a range (the last one with `reverse`). */
export async function firstOf(engine: Engine, range: EngineRange): Promise<EngineRecord | undefined> {
  const iterator = engine.iterate(range);
  try {
    return (await iterator.next(1))[0];
  } finally {
    await iterator.close();
  }
}
