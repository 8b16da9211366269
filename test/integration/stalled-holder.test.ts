/** A holder that stood still for longer than its lock lasts knows it before it does anything else. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';

import { connect } from '../../src/client/index.ts';
import { Cluster } from './cluster.ts';

test('a stalled event loop: guard() throws, the signal is aborted, and nothing was written after the lock had ended', async () => {
  const cluster = await Cluster.start();
  const [a, b] = cluster.nodes;
  const holder = spawn(process.execPath, [path.join(import.meta.dirname, 'stalled-holder.ts'), a!.url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void holder.kill('SIGKILL'));
  const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]();
  const held = /^held (\d+)$/.exec((await lines.next()).value as string);

  const client = connect(b!.url);
  onTestFinished(async () => await client.close());
  // While the holder stands still, its lock ends and another is let in.
  const lock = await client.lock('stall', { wait: '10s' });
  expect(lock.token).toBeGreaterThan(Number(held?.[1]));
  await client.put('guarded', 'the next holder');

  expect(JSON.parse((await lines.next()).value as string)).toEqual({
    guarded: 'ERR_LOCK_LOST',
    aborted: true,
    remaining: 0,
  });
  expect((await client.get('guarded'))?.value).toBe('the next holder');
  await lock.release();
});
