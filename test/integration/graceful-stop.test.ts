/** SIGTERM: the leader hands over before it goes, so that nobody waits for an election. */
import { expect, test } from 'vitest';

import { Cluster } from './cluster.ts';
import { Load } from './load.ts';
import { until } from './until.ts';

test('a leader that is asked to stop hands over; writes through the others do not fail', async () => {
  const cluster = await Cluster.start();
  const leader = await cluster.leader();
  const others = await cluster.followers();
  const { term } = await leader.api.cluster();
  const load = new Load({
    target: (writer) => (others[writer % others.length] ?? leader).api,
    writers: 4,
    prefix: 'handover/',
  });
  await until(() => load.acknowledged.size > 100, { timeoutMs: 10_000, what: 'load' });
  let longestGapMs = 0;
  let last = load.lastAcknowledgedAt;
  const watch = setInterval(() => {
    longestGapMs = Math.max(longestGapMs, performance.now() - last, load.lastAcknowledgedAt - last);
    last = load.lastAcknowledgedAt;
  }, 5);

  const exit = await leader.kill('SIGTERM');
  expect(exit).toEqual({ code: 0, signal: null });
  const successor = await cluster.leader();
  const acknowledged = load.acknowledged.size;
  await until(() => load.acknowledged.size > acknowledged + 100, {
    timeoutMs: 10_000,
    what: 'writes after the hand-over',
  });
  clearInterval(watch);
  await load.stop();

  expect(successor.name).not.toBe(leader.name);
  // One election, not a search for a leader: the next term, and far less than an election timeout (1 s) without answers.
  expect((await successor.api.cluster()).term).toBe(term + 1);
  expect(longestGapMs).toBeLessThan(800);
  for (const [status] of load.statuses) expect([200, 503, 504]).toContain(status);
  // It comes back as a follower and has what it missed.
  await leader.restart();
  expect((await leader.api.get('handover/0/0')).status).toBe(200);
  expect((await leader.api.cluster()).leader).toBe(successor.name);
});

test('a second signal within a second is the same request, and readiness goes first', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('a cluster of one has a node');
  await node.api.put('a', 'x');
  const exited = node.kill('SIGINT');
  process.kill(node.pid, 'SIGTERM');
  process.kill(node.pid, 'SIGINT');
  expect(await exited).toEqual({ code: 0, signal: null });
  await node.restart();
  expect((await node.api.get('a')).body.toString()).toBe('x');
});

test('the end of standard input stops a node that was told so', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('a cluster of one has a node');
  await node.stop();
  expect(await node.exited).toEqual({ code: 0, signal: null });
});
