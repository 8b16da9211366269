/** Damage is done where it is meant to be: in the middle of a log, and what is copied is what was there. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { readLogFile } from '../../../src/storage/leveldb-log.ts';
import { Level } from 'level';
import { Random } from '../../../src/testing/random.ts';
import { removeTree } from './cleanup.ts';
import { copyDirectory, emptyDirectory, flipBit, liveWriteAhead, positionMidLog } from './files.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'kvorum-files-test-'));
});
afterEach(() => removeTree(directory));

test('every position in the middle of a log breaks a batch that valid ones follow', async () => {
  const db = new Level(path.join(directory, 'db'));
  // Some go over the end of a block of 32 KiB.
  for (let index = 0; index < 60; index++) await db.put(`key ${index}`, 'x'.repeat(index % 7 === 0 ? 20_000 : 100));
  await db.close();
  const log = liveWriteAhead(directory);
  if (log === null) throw new Error('LevelDB has a write-ahead file');
  expect(log.batches).toHaveLength(60);
  for (let seed = 1; seed <= 100; seed++) {
    const position = positionMidLog(log, new Random(seed));
    if (position === null) throw new Error('there is a middle');
    flipBit(log.file, position, seed % 8);
    const end = readLogFile(readFileSync(log.file), () => undefined);
    expect({ seed, position, clean: end.clean, follows: end.validAfter !== null }).toEqual({
      ...{ seed, position, clean: false, follows: true },
    });
    flipBit(log.file, position, seed % 8);
  }
  expect(readLogFile(readFileSync(log.file), () => undefined).clean).toBe(true);
});

test('a short log has no middle', () => {
  expect(positionMidLog({ file: '', batches: [0, 100, 200] }, new Random(1))).toBeNull();
});

test("a copy holds what was there and nothing else; what is the disk's stays", () => {
  const [from, to] = [path.join(directory, 'from'), path.join(directory, 'to')];
  mkdirSync(path.join(from, 'db'), { recursive: true });
  mkdirSync(path.join(to, 'lost+found'), { recursive: true });
  writeFileSync(path.join(from, 'db/file'), 'text');
  writeFileSync(path.join(from, '.ballast'), 'heavy');
  writeFileSync(path.join(to, 'older'), 'older');
  copyDirectory(from, to);
  expect(readFileSync(path.join(to, 'db/file'), 'utf8')).toBe('text');
  expect(() => readFileSync(path.join(to, 'older'))).toThrow('ENOENT');
  expect(() => readFileSync(path.join(to, '.ballast'))).toThrow('ENOENT');
  emptyDirectory(from);
  expect(readFileSync(path.join(from, '.ballast'), 'utf8')).toBe('heavy');
  expect(() => readFileSync(path.join(from, 'db/file'))).toThrow('ENOENT');
});
