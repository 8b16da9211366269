/** What the engine recovered against what the scanner saw in its write-ahead files. */
import { describe, expect, test } from 'vitest';
import { EMPTY_CONFIGURATION } from '../../src/raft/configuration.ts';
import type { ChainLink } from '../../src/storage/chain.ts';
import { MemoryDisk, openMemoryStore } from '../../src/storage/memory-store.ts';
import { openStore } from '../../src/storage/store.ts';
import { bytes, commit, entries, text } from './harness.ts';

async function diskWithBatches(count: number): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const store = await openMemoryStore({ disk });
  for (let i = 1; i <= count; i++) {
    store.group(1).log.append(entries(i, i, 1));
    await commit(store);
  }
  await store.close();
  return disk;
}

function seen(number: number): ChainLink {
  return { number, previous: 0, nonce: 1, hash: 2, bytes: new Uint8Array(0) };
}

describe('a store that is opened', () => {
  test('takes what was recovered when it reaches as far as the write-ahead files', async () => {
    const store = await openStore((await diskWithBatches(3)).engine(), seen(3));
    expect(store.group(1).log.lastIndex()).toBe(3);
    await store.close();
  });

  test.each([
    ['the last batch is missing', 3, 4],
    ['nothing is there at all', 0, 1],
  ])('is refused when %s', async (_what, count, number) => {
    const disk = await diskWithBatches(count);
    await expect(openStore(disk.engine(), seen(number))).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      message: expect.stringContaining(
        `batches up to ${number}, but only those up to ${count} were recovered`,
      ) as string,
    });
    // The engine is closed: the disk can be looked at.
    await disk.engine().close();
  });
});

describe('a snapshot whose reception was interrupted', () => {
  test('leaves nothing in another one that is received after the restart', async () => {
    let store = await openMemoryStore();
    const first = await store.group(1).state.receiveSnapshot({ source: '2:1', index: 5, term: 1 });
    await first.write(['a', 'b'].map((name) => ({ key: bytes(name), value: bytes('of the first') })));
    store = await store.crash({ keepUnsynced: Infinity });
    const { log, state } = store.group(1);
    const second = await state.receiveSnapshot({ source: '3:1', index: 9, term: 2 });
    expect(second.after).toBeNull();
    await second.write([{ key: bytes('b'), value: bytes('of the second') }]);
    second.stageInstall({ index: 9, term: 2, configuration: EMPTY_CONFIGURATION });
    log.reset(9, 2);
    await commit(store);
    const found: (string | undefined)[][] = [];
    await state.scan(({ key, value }) => found.push([text(key), text(value)]));
    expect(found).toEqual([['b', 'of the second']]);
    await store.close();
  });
});
