/** Nodes in threads of their own: a busy event loop costs their owner time, and the cluster nothing. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test, vi } from 'vitest';

import { startNode } from '../../src/index.ts';
import type { EmbeddedNode, NodeOptions } from '../../src/index.ts';
import { freePorts } from './cluster.ts';
import { until } from './until.ts';

const SECRET = 'a secret that all of them share';

async function directory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'kvorum-isolated-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function start(options: NodeOptions): Promise<EmbeddedNode> {
  const node = await startNode({ isolate: true, ...options });
  onTestFinished(() => node.close());
  return node;
}

async function three(more: Partial<NodeOptions> = {}): Promise<EmbeddedNode[]> {
  const dir = await directory();
  const ports = await freePorts(3);
  const initialCluster = Object.fromEntries(ports.map((port, i) => [`n${i + 1}`, `127.0.0.1:${port}`]));
  return Promise.all(
    ports.map((_, i) =>
      start({ name: `n${i + 1}`, dataDir: join(dir, `n${i + 1}`), initialCluster, secret: SECRET, ...more }),
    ),
  );
}

/** Nothing else happens in this thread. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test('an event loop that is blocked for seconds deposes no leader and loses no lease', async () => {
  const nodes = await three({ timing: { electionTimeoutMs: 500, heartbeatMs: 50 } });
  const [node] = nodes as [EmbeddedNode, ...EmbeddedNode[]];
  await until(() => node.cluster().leader !== null, { timeoutMs: 10_000, what: 'a leader' });
  const leader = nodes.find(({ name }) => name === node.cluster().leader)!;
  const client = leader.client();
  const lease = await client.lease({ ttl: '20s' });
  await client.put('mine', 'x', { lease });
  const lock = await client.lock('held', { lease });
  const { term } = leader.head();
  await until(() => nodes.every((one) => one.head().term <= term && one.readiness().ready), {
    timeoutMs: 10_000,
    what: 'everybody ready',
  });

  const writing = Array.from({ length: 50 }, (_, i) => leader.put(`k${i}`, 'v'));
  // Eight election time-outs.
  block(2000);
  const end = performance.now() + 2000;
  while (performance.now() < end);
  await Promise.all(writing);

  await node.put('after', 'x');
  expect(nodes.map((one) => one.head().term).every((one) => one <= term)).toBe(true);
  expect((await leader.get('mine')).entry).not.toBeNull();
  lock.guard();
  await expect.poll(() => leader.cluster()).toMatchObject({ term, leader: leader.name });
  await client.close();
});

test('the same interface: calls, watches, clients, HTTP, metrics, and an end', async () => {
  const dir = await directory();
  const lines: string[] = [];
  const log = (_: object, message: string): void => void lines.push(message);
  const node = await start({
    dataDir: join(dir, 'n1'),
    http: { port: 0 },
    logger: { debug: log, info: log, warn: log, error: log },
  });
  expect(node).toMatchObject({ name: 'n1', id: /^\d+$/u, clusterId: /^\d+$/u, address: /^127\.0\.0\.1:\d+$/u });
  expect(node.limits.maxKeyBytes).toBe(4096);
  const { revision } = await node.put('a', '1');
  expect(node.head()).toMatchObject({ group: 1, revision, servedBy: 'n1' });
  expect(await (await fetch(`${node.url}/v1/kv/a`)).text()).toBe('1');
  expect((await fetch(`${node.url}/readyz`)).status).toBe(200);
  await expect(node.put('a', '2', { condition: { type: 'absent' } })).rejects.toMatchObject({
    code: 'ERR_CAS_FAILED',
    details: { current: { modRevision: revision } },
  });

  const watch = await node.watch({ prefix: '' });
  const client = node.client();
  await client.put('b', 'two');
  expect((await watch.next()).value).toMatchObject({ events: [{ entry: { key: 'b' } }] });
  expect((await client.get('b'))?.value).toBe('two');
  const aborted = new AbortController();
  const waiting = (await client.lock('l')) && client.lock('l', { wait: '30s', signal: aborted.signal });
  await until(async () => (await node.locks.get('l')).queue.length === 1, { timeoutMs: 5000, what: 'a queue' });
  aborted.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');

  const registry = node.registry as { metrics(): Promise<string>; contentType: string };
  expect(await registry.metrics()).toMatch(/^kvorum_raft_term\{group="1"\} \d+$/mu);
  expect(registry.contentType).toMatch(/^text\/plain/u);
  await until(() => node.cluster().revision >= revision + 1, { timeoutMs: 5000, what: 'news of the cluster' });
  expect(node.readiness().ready).toBe(true);
  await expect(node.transferLeadership('n9')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
  expect(lines.some((line) => line.includes('joined'))).toBe(true);

  await Promise.all([node.close(), node.close()]);
  expect(node.readiness().ready).toBe(false);
  await expect(node.put('c', '3')).rejects.toMatchObject({ code: 'ERR_CLOSED', outcome: 'none' });
  await expect(watch.next()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  expect(() => node.client()).toThrow(/closed/u);
  await expect(fetch(`${node.url}/livez`)).rejects.toThrow(/fetch failed/u);
  // Port and directory are free.
  await start({ dataDir: join(dir, 'n1'), listen: node.address });
});

test('a start that fails fails as without a thread', async () => {
  const dir = await directory();
  await expect(startNode({ isolate: true, name: 'no/name' })).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  await expect(startNode({ isolate: true, registry: {} })).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  await expect(startNode({ isolate: true, dataDir: join(dir, 'x'), http: (() => 1) as never })).rejects.toMatchObject({
    code: 'ERR_CONFIG',
  });
  const node = await start({ dataDir: join(dir, 'n1') });
  await expect(startNode({ isolate: true, dataDir: join(dir, 'n1') })).rejects.toMatchObject({
    code: 'ERR_DATA_DIR_IN_USE',
  });
  await node.put('a', 'x');
  const given = new AbortController();
  const starting = startNode({
    isolate: true,
    name: 'n1',
    dataDir: join(dir, 'alone'),
    initialCluster: { n1: '127.0.0.1:9', n2: '127.0.0.1:10' },
    listen: '127.0.0.1:0',
    secret: SECRET,
    signal: given.signal,
  });
  // It is under way, and waits for the other member.
  await vi.waitFor(() => expect(existsSync(join(dir, 'alone'))).toBe(true), { timeout: 30_000 });
  given.abort(new Error('no patience'));
  await expect(starting).rejects.toThrow('no patience');
});

test('a thread that dies is told by `failed`, and calls are rejected', async () => {
  const dir = await directory();
  const node = await start({ dataDir: join(dir, 'n1') });
  await node.put('a', 'x');
  // The thread is nobody's but the node's: whoever posts next shows which one it is.
  const threads: Worker[] = [];
  const post = vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...given) {
    threads.push(this);
    post.mockRestore();
    this.postMessage(...given);
  });
  const pending = node.locks.acquire('held').then(() => node.locks.acquire('held', { waitMs: 30_000 }));
  await until(async () => (await node.locks.get('held')).queue.length === 1, { timeoutMs: 5000, what: 'a queue' });
  await threads[0]!.terminate();
  await expect(pending).rejects.toMatchObject({ code: 'ERR_CLOSED', outcome: 'unknown' });
  expect((await node.failed).message).toMatch(/thread/u);
  await expect(node.get('a')).rejects.toMatchObject({ code: 'ERR_CLOSED', outcome: 'none' });
  expect(node.readiness().ready).toBe(false);
  await node.close();
});
