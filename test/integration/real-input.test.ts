/**
 * Real input: every file below 1 MiB of two packages goes through one node, the leader is killed half-way and comes back
 * later, and every byte is read back through each of the three nodes.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

import { Cluster, type NodeProcess } from './cluster.ts';
import { inParallel } from './load.ts';
import { until } from './until.ts';

const MODULES = path.join(import.meta.dirname, '../../node_modules');
const MIB = 1024 * 1024;

function filesBelow(...packages: string[]): string[] {
  return packages.flatMap((name) =>
    readdirSync(path.join(MODULES, name), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(MODULES, path.join(entry.parentPath, entry.name)))
      .filter((file) => statSync(path.join(MODULES, file)).size < MIB),
  );
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** A client that wants its write to happen: the same put again until it is acknowledged, which is safe for a put. */
async function putUntilAcknowledged(node: NodeProcess, key: string, value: Uint8Array): Promise<void> {
  await until(async () => (await node.api.put(key, value)).status === 200, {
    timeoutMs: 20_000,
    what: `put ${key} through ${node.name}`,
  });
}

async function compare(node: NodeProcess, sums: ReadonlyMap<string, string>, consistency: string): Promise<void> {
  const wrong: string[] = [];
  await inParallel(sums.keys(), 16, async (key) => {
    const answer = await node.api.get(key, { query: { consistency } });
    if (answer.status !== 200 || sha256(answer.body) !== sums.get(key)) wrong.push(`${key}: ${answer.status}`);
  });
  expect({ node: node.name, consistency, wrong }).toEqual({ node: node.name, consistency, wrong: [] });
}

test('files of typescript and fastify survive a leader killed half-way, byte for byte, on every node', async () => {
  const files = filesBelow('typescript', 'fastify');
  expect(files.length).toBeGreaterThan(500);
  const cluster = await Cluster.start();
  const leader = await cluster.leader();
  const [entrance] = await cluster.followers();
  if (entrance === undefined) throw new Error('a cluster of three has followers');

  const sums = new Map<string, string>();
  const put = async (file: string): Promise<void> => {
    const content = readFileSync(path.join(MODULES, file));
    sums.set(file, sha256(content));
    await putUntilAcknowledged(entrance, file, content);
  };
  const half = Math.trunc(files.length / 2);
  const mostly = Math.trunc(files.length * 0.8);
  let done = 0;
  const kills: Promise<unknown>[] = [];
  await inParallel(files.slice(0, mostly), 16, async (file) => {
    // In the midst of other puts: fifteen are under way.
    if (done++ === half) kills.push(leader.kill('SIGKILL'));
    await put(file);
  });
  await Promise.all(kills);
  expect(leader.alive).toBe(false);
  leader.start();
  await inParallel(files.slice(mostly), 16, put);
  await leader.ready();
  expect((await cluster.leader()).name).not.toBe('');

  for (const node of cluster.nodes) await compare(node, sums, 'linearizable');
  const { revision } = await entrance.api.cluster();
  for (const node of cluster.nodes) {
    await until(async () => (await node.api.cluster()).revision >= revision, {
      timeoutMs: 10_000,
      what: `${node.name} catches up`,
    });
    await compare(node, sums, 'stale');
  }
});
