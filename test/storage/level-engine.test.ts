/** What the engine asks of LevelDB. That a sync reaches the platter no test can see; that it is asked for, this one does. */
import { Level } from 'level';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openLevelEngine } from '../../src/storage/level-engine.ts';

describe('LevelDB as the engine', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kvorum-level-engine-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  test('syncs every batch, also one for which nobody asked: only the last can ever be torn', async () => {
    const writes: unknown[] = [];
    const makeBatch = Level.prototype.batch as unknown as (this: unknown) => {
      write(options?: unknown): Promise<void>;
    };
    vi.spyOn(Level.prototype, 'batch').mockImplementation(function (this: unknown) {
      const batch = makeBatch.call(this);
      const write = batch.write.bind(batch);
      batch.write = (options) => {
        writes.push(options);
        return write(options);
      };
      return batch as never;
    } as never);
    const engine = await openLevelEngine(directory);
    try {
      for (const sync of [true, false]) {
        const batch = engine.batch();
        batch.put(Uint8Array.of(1), Uint8Array.of(2));
        const error = await new Promise((resolve) => {
          batch.write(sync, resolve);
        });
        expect(error).toBeNull();
      }
      expect(writes).toEqual([{ sync: true }, { sync: true }]);
      expect([...(engine.get(Uint8Array.of(1)) ?? [])]).toEqual([2]);
    } finally {
      await engine.close();
    }
  });
});
