/**
 * Damage in a table file that LevelDB notices by itself was ERR_INTERNAL, "a bug, please report it"; it is ERR_CORRUPT, with what
 * to do. Found by cutting the power of a disk.
 */
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { collect, type Engine } from '../../src/storage/engine.ts';
import { openLevelEngine } from '../../src/storage/level-engine.ts';

const RECORDS = 200;
const keyOf = (index: number): Uint8Array => Uint8Array.of(0x20, index >> 8, index & 0xff);

async function write(engine: Engine): Promise<void> {
  const batch = engine.batch();
  for (let index = 0; index < RECORDS; index++) batch.put(keyOf(index), new Uint8Array(500).fill(index));
  const error = await new Promise((resolve) => {
    batch.write(true, resolve);
  });
  expect(error).toBeNull();
}

describe('a table file that cannot be read', () => {
  let directory: string;
  let table: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kvorum-unreadable-'));
    const engine = await openLevelEngine(directory);
    await write(engine);
    await engine.close();
    // Opening it again moves what is in the write-ahead file into a table.
    await (await openLevelEngine(directory)).close();
    table = join(directory, readdirSync(directory).find((name) => name.endsWith('.ldb')) ?? '');
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const damages: readonly [string, () => void][] = [
    ['because it is shorter than it was', () => truncateSync(table, 100)],
    [
      'because its blocks do not decompress',
      () => {
        const bytes = readFileSync(table);
        // All of the first half: data blocks, neither the index nor the footer.
        bytes.fill(0xff, 0, Math.trunc(bytes.length / 2));
        writeFileSync(table, bytes);
      },
    ],
  ];

  test.each(damages)('%s: every way to read it says ERR_CORRUPT', async (_, damage) => {
    damage();
    const engine = await openLevelEngine(directory);
    try {
      const corrupt = expect.objectContaining({ code: 'ERR_CORRUPT' });
      expect(() => engine.get(keyOf(0))).toThrow(corrupt);
      const snapshot = engine.snapshot();
      expect(() => snapshot.get(keyOf(0))).toThrow(corrupt);
      snapshot.close();
      await expect(collect(engine, { from: keyOf(0), to: keyOf(RECORDS) })).rejects.toEqual(corrupt);
    } finally {
      await engine.close();
    }
  });
});
