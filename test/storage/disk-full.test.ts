import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelStore } from '../../src/storage/level-store.ts';

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));

describe('a full disk', () => {
  let mountPoint: string;
  let reason: string | null;
  beforeEach(async () => {
    mountPoint = await mkdtemp(join(tmpdir(), 'kvorum-full-'));
    reason = await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'kvorum', mountPoint]).then(
      () => null,
      (error: Error) => `a small tmpfs cannot be mounted here (${error.message.split('\n')[0]})`,
    );
  });
  afterEach(async () => {
    if (reason === null) await run('umount', [mountPoint]);
    await rm(mountPoint, { recursive: true });
  });

  it('for a moment: nothing more is accepted, and after a kill everything acknowledged is there', async (context) => {
    if (reason !== null) {
      process.stdout.write(`skipped: ${reason}\n`);
      context.skip(reason);
    }
    const ballast = join(mountPoint, 'ballast');
    await writeFile(ballast, Buffer.alloc(2_600_000));
    const directory = join(mountPoint, 'data');
    const child = spawn(process.execPath, [join(here, 'writer.ts'), directory, 'large'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let acknowledged = 0;
    let poisoned = false;
    let refused = 0;
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        if (line === 'poisoned ERR_STORE_POISONED') {
          poisoned = true;
          await rm(ballast); // there is space again
        } else if (line === 'refused') {
          if (++refused === 5) break;
        } else {
          expect(poisoned, `'${line}' after the store was poisoned`).toBe(false);
          acknowledged = Number(line);
        }
      }
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    expect(acknowledged).toBeGreaterThan(10);
    expect(refused).toBe(5);
    const store = await openLevelStore({ directory });
    const { log } = store.group(1);
    expect(log.lastIndex()).toBeGreaterThanOrEqual(acknowledged);
    expect(log.entries(1, log.lastIndex() + 1, Infinity)).toHaveLength(log.lastIndex());
    await store.close();
  });
});

describe('a killed process', () => {
  it('loses nothing that it acknowledged, however often', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'kvorum-kill-'));
    try {
      let acknowledged = 0;
      for (let round = 0; round < 5; round++) {
        const child = spawn(process.execPath, [join(here, 'writer.ts'), directory, 'small'], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const until = acknowledged + 100 + 37 * round;
        for await (const line of createInterface({ input: child.stdout })) {
          acknowledged = Number(line);
          if (acknowledged === until) child.kill('SIGKILL');
        }
        expect(acknowledged).toBeGreaterThanOrEqual(until);
        const store = await openLevelStore({ directory });
        const { log } = store.group(1);
        expect(log.lastIndex()).toBeGreaterThanOrEqual(acknowledged);
        expect(log.entries(1, log.lastIndex() + 1, Infinity)).toHaveLength(log.lastIndex());
        acknowledged = log.lastIndex();
        await store.close();
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
