/** What the log costs, where that is not a matter of what it keeps. */
import { expect, it } from 'vitest';
import { MemoryDisk, openMemoryStore } from '../../src/storage/memory-store.ts';
import { commit, entries, entry } from './harness.ts';

it('a log that is cut reads each extent once or twice, not once for each entry that goes', async () => {
  const disk = new MemoryDisk();
  const engine = disk.engine.bind(disk);
  let reads = 0;
  disk.engine = () => {
    const made = engine();
    const get = made.get.bind(made);
    made.get = (key) => {
      reads++;
      return get(key);
    };
    return made;
  };
  const store = await openMemoryStore({ disk });
  const { log } = store.group(1);
  for (let from = 1; from <= 200; from += 50) log.append(entries(from, from + 49, 1));
  await commit(store);
  const bytes = entries(1, 20, 1).reduce((sum, { data }) => sum + data.length, 0);

  reads = 0;
  log.append([entry(21, 2, 'x'.repeat(1000))]);
  // Four for their sizes, and the one that is cut within for what is kept of it.
  expect(reads).toBeLessThanOrEqual(5);
  expect(log.bytes).toBe(bytes + 1000);
  await commit(store);
  expect(log.entries(1, 22, Infinity).map(({ index }) => index)).toEqual(Array.from({ length: 21 }, (_, i) => i + 1));

  // What is staged is not read at all.
  log.append(entries(22, 100, 2));
  reads = 0;
  log.append([entry(30, 3)]);
  expect(reads).toBe(0);
  await store.close();
});
