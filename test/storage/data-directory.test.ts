import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelStore } from '../../src/storage/level-store.ts';
import { commit, temporaryDirectory } from './harness.ts';

const here = dirname(fileURLToPath(import.meta.url));

describe('data directory', () => {
  let root: string;
  let directory: string;
  beforeEach(async () => {
    root = await temporaryDirectory();
    directory = join(root, 'a', 'b');
  });
  afterEach(async () => {
    await rm(root, { recursive: true, force: true });
  });
  const make = async (): Promise<void> => {
    const store = await openLevelStore({ directory });
    store.node.set('n', 1);
    await commit(store);
    await store.close();
  };

  it('is made with its parents, and tidy after a close', async () => {
    await make();
    expect((await readdir(directory)).sort()).toEqual(['db', 'kvorum.json']);
    expect(JSON.parse(await readFile(join(directory, 'kvorum.json'), 'utf8'))).toEqual({
      kvorum: 'data',
      format: 2,
      state: 'ready',
    });
  });

  it('may exist, empty but for what file systems leave there', async () => {
    await mkdir(join(directory, 'lost+found'), { recursive: true });
    await make();
  });

  it('of something else is refused and left alone', async () => {
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'thesis.txt'), 'x');
    await expect(openLevelStore({ directory })).rejects.toMatchObject({
      code: 'ERR_DATA_DIR_FOREIGN',
      message: expect.stringContaining('thesis.txt') as string,
    });
    expect(await readdir(directory)).toEqual(['thesis.txt']);
    await writeFile(join(directory, 'kvorum.json'), 'not ours');
    await expect(openLevelStore({ directory })).rejects.toMatchObject({ code: 'ERR_DATA_DIR_FOREIGN' });
  });

  it.each([
    [3, 'start the newer version'],
    [1, 'before its first release'],
  ])('of data format %i is refused', async (format, why) => {
    await make();
    await writeFile(join(directory, 'kvorum.json'), JSON.stringify({ kvorum: 'data', format, state: 'ready' }));
    await expect(openLevelStore({ directory })).rejects.toMatchObject({
      code: 'ERR_DATA_VERSION',
      message: expect.stringMatching(new RegExp(`format ${format}.*${why}`)) as string,
    });
  });

  it('whose database was deleted is not mistaken for a new one', async () => {
    await make();
    await rm(join(directory, 'db'), { recursive: true });
    await expect(openLevelStore({ directory })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
  });

  it('with a missing write-ahead or table file is refused', async () => {
    await make();
    const database = join(directory, 'db');
    const log = (await readdir(database)).find((name) => name.endsWith('.log')) as string;
    const kept = await readFile(join(database, log));
    await rm(join(database, log));
    await expect(openLevelStore({ directory })).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      message: expect.stringContaining(log) as string,
    });
    await writeFile(join(database, log), kept);
    await make();
    await make(); // by now the first batch lies in a table
    const table = (await readdir(database)).find((name) => name.endsWith('.ldb')) as string;
    await rm(join(database, table));
    await expect(openLevelStore({ directory })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
  });

  it('that cannot be made or written is a matter of configuration', async () => {
    await writeFile(join(root, 'a'), 'a file');
    await expect(openLevelStore({ directory })).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });

  it('is in use: by this process, by another, and free again when that was killed', async () => {
    const store = await openLevelStore({ directory });
    await expect(openLevelStore({ directory })).rejects.toMatchObject({
      code: 'ERR_DATA_DIR_IN_USE',
      details: { pid: process.pid },
    });
    await store.close();

    const child = spawn(process.execPath, [join(here, 'writer.ts'), directory, 'small'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(child.stdout, 'data');
      await expect(openLevelStore({ directory })).rejects.toMatchObject({
        code: 'ERR_DATA_DIR_IN_USE',
        details: { pid: child.pid },
      });
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await make();
  });

  it('opened by many at once goes to one of them', async () => {
    // Again and again: what one of them is just making must never look like damage to another.
    for (let round = 0; round < 25; round++) {
      const fresh = join(directory, String(round));
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => openLevelStore({ directory: fresh })));
      const opened = results.filter((result) => result.status === 'fulfilled');
      expect(opened).toHaveLength(1);
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'ERR_DATA_DIR_IN_USE' });
      }
      await opened[0]?.value.close();
    }
  });
});
