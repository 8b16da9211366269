/** A disk that is cut off keeps what was synced, and what was not is gone; a full one refuses. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';

import { report } from '../../integration/report.ts';
import { removeTree } from './cleanup.ts';
import { LoopDisk, probeLoopDisk } from './loop-disk.ts';

const reason = await probeLoopDisk();
if (reason !== null) report(`loop disk: skipped: ${reason}`);

test.runIf(reason === null)('cut off, mounted again, filled, drained', async () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'kvorum-disk-test-'));
  const at = (name: string): string => path.join(directory, 'data', name);
  const disk = await LoopDisk.make(path.join(directory, 'data'), path.join(directory, 'image'), 16 * 1024 * 1024);
  try {
    const file = openSync(at('synced'), 'w');
    writeSync(file, 'kept');
    fsyncSync(file);
    closeSync(file);
    writeFileSync(at('unsynced'), 'lost');
    await disk.cut();
    expect(() => writeFileSync(at('later'), 'text')).toThrow('EIO');
    await disk.mountAgain();
    expect(readFileSync(at('synced'), 'utf8')).toBe('kept');
    expect(existsSync(at('unsynced')) ? readFileSync(at('unsynced'), 'utf8') : '').toBe('');

    await disk.fill();
    expect(() => writeFileSync(at('large'), Buffer.alloc(1024 * 1024))).toThrow('ENOSPC');
    disk.drain();
    writeFileSync(at('large'), Buffer.alloc(1024 * 1024));
  } finally {
    disk.remove();
    removeTree(directory);
  }
  expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(directory);
});
