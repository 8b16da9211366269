import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/raft/types.ts';
import { KIND, groupEnd, indexKey, keyCount } from '../../src/storage/keys.ts';
import { MemoryDisk, openMemoryStore } from '../../src/storage/memory-store.ts';

describe('Reclaimer', () => {
  it('keeps pace with batches of any size, without a moment of rest', async () => {
    const disk = new MemoryDisk();
    const engine = disk.engine();
    const store = await openMemoryStore({ disk: Object.assign(disk, { engine: () => engine }) });
    const { log } = store.group(1);
    const batch = 3000;
    let index = 1;
    const stage = (): void => {
      const entries: Entry[] = [];
      for (let i = 0; i < batch; i++)
        entries.push({ index: index++, term: 1, kind: 'command', data: new Uint8Array(8) });
      log.append(entries);
      if (index > 2 * batch) log.compact(index - 2 * batch);
    };
    const rounds = 60;
    // The next batch is always committed before the last one is written.
    await new Promise<void>((resolve, reject) => {
      let left = rounds;
      const next = (error: Error | null): void => {
        if (error !== null) return reject(error);
        if (left-- <= 0) return resolve();
        stage();
        store.commit(true, next);
      };
      next(null);
      next(null);
    });
    const iterator = engine.iterate({ from: indexKey(KIND.entry, 1, 0), to: groupEnd(KIND.entry, 1), keysOnly: true });
    const stored = (await iterator.next(rounds)).reduce((sum, [key]) => sum + keyCount(key), 0);
    expect(stored).toBeLessThan(8 * batch);
    await store.close();
  });
});
