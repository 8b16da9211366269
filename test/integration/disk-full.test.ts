/**
 * ENOSPC on a real file system, and then space again: a node whose write failed acknowledges nothing more and stops, and
 * what it had acknowledged is there when it starts with room. The file system is a small tmpfs in a mount namespace of the
 * node's own, which takes Linux and the right to make one.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';

import { Cluster } from './cluster.ts';
import { report } from './report.ts';
import { until } from './until.ts';

const NAMESPACE = ['unshare', '--user', '--map-root-user', '--mount'] as const;
const possible = spawnSync(NAMESPACE[0], [...NAMESPACE.slice(1), 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;
if (!possible) report('disk-full: skipped, because this system lets nobody mount a tmpfs in a namespace of their own');

/** Runs the node (`$@`) on a nearly full tmpfs; when it has ended, makes room and runs it again on what it left. */
const TWICE = `
set -e
disk="$1"; shift
mkdir -p "$disk"
mount -t tmpfs -o size=48m tmpfs "$disk"
head -c 25165824 /dev/zero > "$disk/ballast"
code=0
"$@" || code=$?
echo "first run ended with $code" >&2
rm "$disk/ballast"
exec "$@"
`;

test.runIf(possible)('a full disk stops the node, and what was acknowledged is there once there is room', async () => {
  const cluster = await Cluster.prepare({
    nodes: 1,
    wrap: (_, directory) => [...NAMESPACE, 'sh', '-c', TWICE, 'sh', path.join(directory, 'disk')],
  });
  const node = cluster.node('n1');
  await node.restart(['--data-dir', path.join(cluster.directory, 'disk', 'n1')]);
  const value = 'x'.repeat(64 * 1024);
  const acknowledged: string[] = [];
  let refusal: number | string = '';
  for (let index = 0; index < 2000 && refusal === ''; index++) {
    try {
      const answer = await node.api.put(`key ${index}`, value);
      if (answer.status === 200) acknowledged.push(`key ${index}`);
      else refusal = answer.status;
    } catch (error) {
      refusal = (error as NodeJS.ErrnoException).code ?? String(error);
    }
  }
  expect(acknowledged.length).toBeGreaterThan(50);
  expect(refusal).not.toBe('');
  await until(() => node.logs().includes('first run ended with 1'), {
    timeoutMs: 15_000,
    what: 'the node stops with 1',
  });
  expect(node.logs()).toMatch(/^kvorum: ERR_STORE_POISONED: /m);

  await until(async () => await node.api.ready(), { timeoutMs: 15_000, what: 'the node serves again' });
  for (const key of acknowledged) {
    const answer = await node.api.get(key);
    expect([key, answer.status, answer.body.length]).toEqual([key, 200, value.length]);
  }
  expect((await node.api.put('after', 'x')).status).toBe(200);
});
