import { appendFile, cp, mkdir, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLogFile } from '../../src/storage/leveldb-log.ts';
import { openLevelStore } from '../../src/storage/level-store.ts';
import { scanWriteAheadFiles } from '../../src/storage/wal-scanner.ts';
import { commit, entry, temporaryDirectory } from './harness.ts';

/** mulberry32: a failing position can be found again. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Image {
  /** A data directory as a killed process left it. */
  readonly directory: string;
  readonly logPath: string;
  readonly log: Buffer;
  /** Where each batch begins; one entry a batch. */
  readonly offsets: readonly number[];
}

let root: string;
let copies = 0;
beforeAll(async () => {
  root = await temporaryDirectory();
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

async function makeImage(sizes: readonly number[]): Promise<Image> {
  const live = join(root, `live-${copies}`);
  const directory = join(root, `image-${copies++}`);
  const store = await openLevelStore({ directory: live });
  const random = seeded(42);
  for (const [at, size] of sizes.entries()) {
    store.group(1).log.append([entry(at + 1, 1, Buffer.from(Array.from({ length: size }, () => random() * 256)))]);
    await commit(store);
  }
  await cp(live, directory, { recursive: true });
  await store.close();
  const database = join(directory, 'db');
  const name = (await readdir(database)).find((file) => file.endsWith('.log')) as string;
  const logPath = join(database, name);
  const log = await readFile(logPath);
  const offsets: number[] = [];
  expect(readLogFile(log, (_, offset) => offsets.push(offset)).clean).toBe(true);
  expect(offsets).toHaveLength(sizes.length);
  return { directory, logPath, log, offsets };
}

/** Opens a copy of the image with other bytes in its write-ahead file. The number of entries found, or the error's code. */
async function openWith(image: Image, log: Uint8Array): Promise<number | string> {
  const directory = join(root, `copy-${copies++}`);
  await cp(image.directory, directory, { recursive: true });
  await writeFile(image.logPath.replace(image.directory, directory), log);
  try {
    const store = await openLevelStore({ directory });
    const { log: found } = store.group(1);
    const count = found.entries(1, found.lastIndex() + 1, Infinity).length;
    // What was found goes on from there.
    found.append([entry(count + 1, 1, 'more')]);
    await commit(store);
    await store.close();
    const again = await openLevelStore({ directory });
    expect(again.group(1).log.lastIndex()).toBe(count + 1);
    await again.close();
    return count;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Only scans. The number of the last batch, or the error's code. */
async function scanWith(image: Image, log: Uint8Array): Promise<number | string> {
  await writeFile(image.logPath, log);
  try {
    return (await scanWriteAheadFiles(join(image.directory, 'db'))).last?.number ?? 0;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    await writeFile(image.logPath, image.log);
  }
}

const MIXED = Array.from({ length: 40 }, (_, i) => (i % 7 === 3 ? 50_000 : i % 5 === 0 ? 3000 : 150));

describe('a flipped byte in the write-ahead file', () => {
  it('is refused, or cut when it lies in the last batch; never are acknowledged entries dropped in silence', async () => {
    const image = await makeImage(MIXED);
    const random = seeded(1);
    const lastOffset = image.offsets.at(-1) as number;
    for (let round = 0; round < 400; round++) {
      const inLast = round % 8 === 0;
      const at = inLast
        ? lastOffset + Math.floor(random() * (image.log.length - lastOffset))
        : Math.floor(random() * lastOffset);
      const damaged = Buffer.from(image.log);
      damaged[at] = (damaged[at] as number) ^ (1 << Math.floor(random() * 8));
      const padding = isPadding(image, at);
      const expected = padding ? MIXED.length : inLast ? MIXED.length - 1 : 'ERR_CORRUPT';
      expect(await scanWith(image, damaged), `flip at ${at}`).toBe(expected);
      // The whole way, through LevelDB, for some of them.
      if (round % 25 === 0) expect(await openWith(image, damaged), `flip at ${at}`).toBe(expected);
    }
  }, 30_000);

  it('in each byte of each header is refused', async () => {
    const image = await makeImage([100, 40_000, 200, 100]);
    for (const offset of image.offsets.slice(0, -1)) {
      for (let at = offset; at < offset + 7; at++) {
        for (const change of [1, 0x80, 0xff]) {
          const damaged = Buffer.from(image.log);
          damaged[at] = (damaged[at] as number) ^ change;
          expect(await scanWith(image, damaged), `flip at ${at}`).toBe('ERR_CORRUPT');
        }
      }
    }
  });

  it('is reported with the file, the place, what is lost and what to do, and the evidence stays', async () => {
    const image = await makeImage([100, 100, 100, 100]);
    const damaged = Buffer.from(image.log);
    const at = image.offsets[2] as number;
    damaged[at + 30] = 255 - (damaged[at + 30] as number);
    await writeFile(image.logPath, damaged);
    const error: unknown = await openLevelStore({ directory: image.directory }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_CORRUPT' });
    const { message } = error as Error;
    for (const part of [image.logPath, `offset ${at}`, 'batches from 3 on', 'copy it aside']) {
      expect(message).toContain(part);
    }
    expect(await readFile(image.logPath)).toEqual(damaged);
  });

  it('a page of zeros in the middle is refused; so is a batch that is gone without a trace', async () => {
    const image = await makeImage([100, 5000, 5000, 100, 100]);
    const zeroed = Buffer.from(image.log);
    zeroed.fill(0, 4096, 8192);
    expect(await scanWith(image, zeroed)).toBe('ERR_CORRUPT');
    const [, from, to] = image.offsets as [number, number, number];
    const removed = Buffer.concat([image.log.subarray(0, from), image.log.subarray(to)]);
    expect(await scanWith(image, removed)).toBe('ERR_CORRUPT');
  });
});

function isPadding(image: Image, at: number): boolean {
  // The last bytes of a block that are too few for a header belong to nobody.
  const block = Math.floor(at / 32_768) * 32_768;
  let end = block;
  while (end + 7 <= block + 32_768 && end + 7 <= image.log.length) {
    const length = image.log.readUInt16LE(end + 4);
    if (length === 0 && image.log[end + 6] === 0) break;
    end += 7 + length;
  }
  return at >= end;
}

describe('a torn tail', () => {
  it('at every length of the last batch is cut, and everything earlier is there', async () => {
    const image = await makeImage([100, 3000, 200]);
    const from = image.offsets.at(-1) as number;
    for (let length = from; length < image.log.length; length++) {
      const cut = image.log.subarray(0, length);
      expect(await scanWith(image, cut), `cut at ${length}`).toBe(2);
      if ((length - from) % 40 === 0 || length === image.log.length - 1) expect(await openWith(image, cut)).toBe(2);
    }
    expect(await openWith(image, image.log)).toBe(3);
  }, 30_000);

  it('of zeros or garbage where data should be is cut', async () => {
    const image = await makeImage([100, 3000, 200]);
    const from = image.offsets.at(-1) as number;
    const random = seeded(7);
    for (let length = from; length < image.log.length; length += 9) {
      const zeros = Buffer.from(image.log);
      zeros.fill(0, length);
      const garbage = Buffer.from(image.log);
      for (let at = length; at < garbage.length; at++) garbage[at] = Math.floor(random() * 256);
      // A last byte that happens to stay as it was is no damage.
      const whole = (bytes: Buffer): number => (bytes.equals(image.log) ? 3 : 2);
      expect(await scanWith(image, zeros)).toBe(whole(zeros));
      expect(await scanWith(image, garbage)).toBe(whole(garbage));
      if (length % 4 === 0) expect(await openWith(image, garbage)).toBe(whole(garbage));
    }
    // Space that a file system added ahead of the data.
    expect(await openWith(image, Buffer.concat([image.log, Buffer.alloc(100_000)]))).toBe(3);
  }, 30_000);

  it('of a batch of several blocks whose later blocks reached the disk before an earlier one is cut', async () => {
    const image = await makeImage([100, 200_000]);
    for (const block of [0, 1, 3]) {
      const torn = Buffer.from(image.log);
      torn.fill(0, Math.max(image.offsets[1] as number, block * 32_768), (block + 1) * 32_768);
      expect(await scanWith(image, torn)).toBe(1);
      expect(await openWith(image, torn)).toBe(1);
    }
  });

  it('is told to whoever listens', async () => {
    const image = await makeImage([100, 100]);
    await truncate(image.logPath, image.log.length - 5);
    const said: string[] = [];
    const store = await openLevelStore({ directory: image.directory, log: (message) => said.push(message) });
    await store.close();
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(image.logPath);
    expect(said[0]).toContain('torn');
  });
});

describe('which files are read', () => {
  it('only live ones; a torn older file followed by a newer one with batches is damage', async () => {
    const image = await makeImage([100, 100]);
    const database = join(image.directory, 'db');
    await writeFile(join(database, '000001.log'), 'long dead, left by a crash in the middle of a clean-up');
    expect(await scanWith(image, image.log)).toBe(2);
    const next = join(database, '000099.log');
    await writeFile(next, new Uint8Array(0));
    expect(await scanWith(image, image.log)).toBe(2);
    // Batches 1 and 2 again, after 2: not what follows.
    await writeFile(next, image.log);
    expect(await scanWith(image, image.log)).toBe('ERR_CORRUPT');
    // Only batch 2, and the first file torn in it.
    const second = image.offsets[1] as number;
    await writeFile(next, image.log.subarray(second));
    expect(await scanWith(image, image.log.subarray(0, second))).toBe(2);
    expect(await scanWith(image, image.log.subarray(0, second + 20))).toBe('ERR_CORRUPT');
  });

  it('a damaged MANIFEST or CURRENT is refused', async () => {
    const image = await makeImage([100]);
    const database = join(image.directory, 'db');
    const name = (await readdir(database)).find((file) => file.startsWith('MANIFEST')) as string;
    const manifest = await readFile(join(database, name));
    const damaged = Buffer.from(manifest);
    damaged[10] = (damaged[10] as number) ^ 1;
    await writeFile(join(database, name), damaged);
    await expect(openLevelStore({ directory: image.directory })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
    await writeFile(join(database, name), manifest);
    await writeFile(join(database, 'CURRENT'), 'nonsense\n');
    await expect(openLevelStore({ directory: image.directory })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
    await writeFile(join(database, 'CURRENT'), 'MANIFEST-009999\n');
    await expect(openLevelStore({ directory: image.directory })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
    await writeFile(join(database, 'CURRENT'), `${name}\n`);
    await (await openLevelStore({ directory: image.directory })).close();
  });

  it('a batch that somebody else wrote is refused', async () => {
    const { Level } = await import('level');
    const directory = join(root, `foreign-${copies++}`);
    await mkdir(directory);
    const store = await openLevelStore({ directory });
    await store.close();
    const other = new Level<string, string>(join(directory, 'db'));
    await other.put('hello', 'world');
    await other.close();
    await expect(openLevelStore({ directory })).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      message: expect.stringContaining('did not write') as string,
    });
  });

  it('what LevelDB recovered must reach as far as what was scanned', async () => {
    const image = await makeImage([100, 100]);
    // Garbage that is no batch behind good ones is a tail like any other.
    await appendFile(image.logPath, Buffer.alloc(50, 1));
    const store = await openLevelStore({ directory: image.directory });
    expect(store.group(1).log.lastIndex()).toBe(2);
    await store.close();
  });
});
