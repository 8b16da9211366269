/** The shim on a small LevelDB writer: it delays, fails, moves the clock, and forgets what was not synced. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Level } from 'level';
import { afterEach, describe, expect, test } from 'vitest';

import { Random } from '../../../src/testing/random.ts';
import { report } from '../../integration/report.ts';

import { removeTree } from './cleanup.ts';
import { probeShim, Shim } from './shim.ts';

const reason = probeShim();
if (reason !== null) report(`shim: skipped: ${reason}`);

const WRITER = path.join(import.meta.dirname, 'shim-writer.ts');

class Writer {
  readonly shim: Shim;
  readonly directory: string;
  readonly #lines: AsyncIterator<string>;
  readonly child: ChildProcess;
  readonly #errors: Buffer[] = [];

  constructor(directory: string, shim: Shim) {
    this.directory = directory;
    this.shim = shim;
    const child = spawn(process.execPath, [WRITER, path.join(directory, 'data')], {
      env: { ...process.env, ...shim.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child = child;
    child.stderr.on('data', (chunk: Buffer) => this.#errors.push(chunk));
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async ask(command: string): Promise<unknown> {
    this.child.stdin?.write(`${command}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the writer ended: ${Buffer.concat(this.#errors).toString()}`);
    return JSON.parse(value);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}

const writers: Writer[] = [];

function start(at?: { directory: string; shim: Shim }): Writer {
  const directory = at?.directory ?? mkdtempSync(path.join(os.tmpdir(), 'kvorum-shim-test-'));
  const writer = new Writer(
    directory,
    at?.shim ?? new Shim(path.join(directory, 'data'), path.join(directory, 'aside')),
  );
  writers.push(writer);
  return writer;
}

afterEach(async () => {
  for (const writer of writers.splice(0)) {
    await writer.kill();
    removeTree(writer.directory);
  }
});

async function keysOf(writer: Writer): Promise<string[]> {
  const db = new Level(path.join(writer.directory, 'data/db'));
  try {
    return await db.keys().all();
  } finally {
    await db.close();
  }
}

// Each starts processes, which takes its time on a busy machine.
describe.runIf(reason === null)('the shim', { timeout: 40_000 }, () => {
  test('delays syncs, and lets those that wait go on when it is healed', async () => {
    const writer = start();
    await writer.ask('sync a');
    writer.shim.slowSyncs(150);
    const before = performance.now();
    await writer.ask('sync b');
    expect(performance.now() - before).toBeGreaterThan(140);
    writer.shim.slowSyncs(60_000);
    const held = writer.ask('sync c');
    const counted = writer.shim.counts.syncs;
    writer.shim.slowSyncs(0);
    // Within the time of the test, which is less than a minute.
    expect(await held).toEqual({ ok: true });
    expect(writer.shim.counts.syncs).toBe(counted + 1);
  });

  test('fails as many syncs as it is told, with EIO', async () => {
    const writer = start();
    await writer.ask('sync a');
    writer.shim.failSyncs(1);
    expect(await writer.ask('sync b')).toMatchObject({
      ok: false,
      error: expect.stringContaining('Input/output error'),
    });
    expect(writer.shim.counts.syncsFailed).toBe(1);
    // LevelDB does not try again; the disk would.
    expect(await writer.ask('sync c')).toMatchObject({ ok: false });
    expect(await writer.ask(`sync-file ${path.join(writer.directory, 'data/file')} text`)).toEqual({ ok: true });
  });

  test('fails writes with ENOSPC until it is healed, and only below its root', async () => {
    const writer = start();
    await writer.ask('sync a');
    writer.shim.failWrites();
    expect(await writer.ask('sync b')).toMatchObject({ ok: false, error: expect.stringContaining('No space left') });
    const outside = path.join(writer.directory, 'outside');
    expect(await writer.ask(`file ${outside}`)).toEqual({ ok: true });
    expect(readFileSync(outside, 'utf8')).toBe('text');
    const inside = path.join(writer.directory, 'data/file');
    expect(await writer.ask(`file ${inside}`)).toMatchObject({ ok: false, error: expect.stringContaining('ENOSPC') });
    writer.shim.failWrites(0);
    expect(await writer.ask(`file ${inside}`)).toEqual({ ok: true });
  });

  test('moves wall time and never monotonic time', async () => {
    const writer = start();
    const clock = async (): Promise<{ wall: number; monotonic: number }> =>
      (await writer.ask('clock')) as { wall: number; monotonic: number };
    const base = await clock();
    writer.shim.moveClock(-3_600_000);
    const jumped = await clock();
    const jump = jumped.wall - base.wall - (jumped.monotonic - base.monotonic);
    expect(Math.abs(jump + 3_600_000)).toBeLessThan(200);
    writer.shim.moveClock(0);
    // Twice as fast.
    writer.shim.driftClock(1000);
    const begin = await clock();
    let end = begin;
    while (end.monotonic - begin.monotonic < 100) end = await clock();
    expect((end.wall - begin.wall) / (end.monotonic - begin.monotonic)).toBeGreaterThan(1.8);
    writer.shim.driftClock(0);
    const healed = await clock();
    expect(Math.abs(healed.wall - base.wall - (healed.monotonic - base.monotonic))).toBeLessThan(200);
  });

  test('a power loss keeps what was synced and loses the rest', async () => {
    const writer = start();
    for (let index = 0; index < 50; index++) await writer.ask(`sync synced${index}`);
    for (let index = 0; index < 20; index++) await writer.ask(`put unsynced${index}`);
    await writer.kill();
    const loss = writer.shim.cutPower(new Random(1), { tail: 'none' });
    expect(loss.unsyncedBytes).toBeGreaterThan(20 * 200);
    expect(loss.lostBytes).toBe(loss.unsyncedBytes);
    const keys = await keysOf(writer);
    expect(keys.filter((key) => key.startsWith('synced'))).toHaveLength(50);
    expect(keys.filter((key) => key.startsWith('unsynced'))).toEqual([]);
  });

  test('without a power loss the unsynced stays after a kill, and is still unsynced in the next process', async () => {
    const first = start();
    await first.ask('sync a');
    await first.kill();
    const log = path.join(first.directory, 'data/plain');
    const second = start(first);
    await second.ask(`append ${log}`);
    await second.kill();
    const third = start(first);
    await third.ask('sync b');
    await third.kill();
    expect(statSync(log).size).toBe(4);
    expect(third.shim.syncedLengths().get(statSync(log).ino)).toBe(0);
  });

  test('a torn tail ends within what was not synced', async () => {
    const writer = start();
    await writer.ask('sync synced');
    await writer.ask('put unsynced');
    await writer.kill();
    const loss = writer.shim.cutPower(new Random(2), { tail: 'torn' });
    expect(loss.torn.some((file) => file.endsWith('.log'))).toBe(true);
    expect(await keysOf(writer)).toEqual(['synced']);
  });

  test('takes back renames and unlinks that no sync followed, in order', async () => {
    const writer = start();
    const at = (name: string): string => path.join(writer.directory, 'data', name);
    await writer.ask('sync a');
    await writer.ask(`sync-file ${at('old')} before`);
    await writer.ask(`sync-file ${at('gone')} kept`);
    await writer.ask(`sync-file ${at('new')} after`);
    await writer.ask(`rename ${at('new')} ${at('old')}`);
    await writer.ask(`unlink ${at('gone')}`);
    await writer.ask(`append ${at('created')}`);
    await writer.kill();
    expect([readFileSync(at('old'), 'utf8'), existsSync(at('gone'))]).toEqual(['after', false]);
    expect(writer.shim.cutPower(new Random(1), { tail: 'none' }).undone).toBe(3);
    const texts = ['old', 'gone', 'new'].map((name) => readFileSync(at(name), 'utf8'));
    expect(texts).toEqual(['before', 'kept', 'after']);
    expect(existsSync(at('created'))).toBe(false);
    expect(readdirSync(path.join(writer.directory, 'aside/trash'))).toEqual([]);
  });

  test('a sync makes earlier renames durable', async () => {
    const writer = start();
    const at = (name: string): string => path.join(writer.directory, 'data', name);
    await writer.ask(`sync-file ${at('new')} after`);
    await writer.ask(`rename ${at('new')} ${at('old')}`);
    await writer.ask('sync a');
    await writer.kill();
    expect(writer.shim.cutPower(new Random(1), { tail: 'none' }).undone).toBe(0);
    expect(readFileSync(at('old'), 'utf8')).toBe('after');
  });

  test('leaves a process alone that has no control file', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'kvorum-shim-test-'));
    try {
      mkdirSync(path.join(directory, 'aside'));
      const { env } = new Shim(path.join(directory, 'data'), path.join(directory, 'aside'));
      const { LD_PRELOAD = '' } = env;
      writeFileSync(path.join(directory, 'file'), 'x');
      const { stdout } = spawnSync(process.execPath, ['-p', `fs.readFileSync('${directory}/file', 'utf8')`], {
        env: { ...process.env, LD_PRELOAD },
        encoding: 'utf8',
      });
      expect(stdout).toBe('x\n');
    } finally {
      removeTree(directory);
    }
  });
});
