/** An agent whose member stands still: nobody waits for longer than they said. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { KvorumNode } from '../../../src/node/types.ts';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

let cluster: SimCluster;
let agent: SimNode;
let member: SimNode;

beforeEach(async () => {
  cluster = await simCluster({ nodes: 1 });
  agent = cluster.add('a1', { role: 'agent' });
  void agent.start();
  await cluster.until(() => agent.state === 'running' && agent.node.readiness().ready, 'a1 is served');
  member = cluster.node('n1');
});

afterEach(() => cluster.close());

const CALL = { timeoutMs: 500 };
const HOLDER = { lease: '1', token: 1 };

describe('while its member stands still', () => {
  test.each<[string, (node: KvorumNode) => Promise<unknown>]>([
    ['a read', (node) => node.get('a', CALL)],
    ['a watch', (node) => node.watch({ prefix: 'a', ...CALL })],
    ['a lease', (node) => node.leases.grant(CALL)],
    ['a lock', (node) => node.locks.acquire('a', CALL)],
    ['an end of a lock', (node) => node.locks.release('a', HOLDER, CALL)],
    ['an election', (node) => node.elections.get('a', CALL)],
    ['a barrier', (node) => node.barriers.get('a', CALL)],
    ['a counter', (node) => node.counters.add('a', 1, CALL)],
    ['a change of the members', (node) => node.members.promote('n1', CALL)],
  ])('%s ends in time, with unknown outcome', async (_, call) => {
    member.pause();
    const from = cluster.now;
    const error = await cluster.run(call(agent.node).catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    expect(cluster.now - from).toBeLessThan(2000);
  });

  test('a place in a queue is waited for as long as was said', async () => {
    member.pause();
    const from = cluster.now;
    const asked = agent.node.locks.acquire('a', { ...CALL, waitMs: 1000 }).catch((thrown: unknown) => thrown);
    expect(await cluster.run(asked)).toMatchObject({ code: 'ERR_TIMEOUT' });
    expect(cluster.now - from).toBeGreaterThan(1500);
  });

  test('what cannot be meant is refused at once', async () => {
    member.pause();
    const from = cluster.now;
    for (const options of [{ timeoutMs: -1 }, { waitMs: 70_000 }]) {
      const asked = agent.node.locks.acquire('a', options).catch((thrown: unknown) => thrown);
      expect(await cluster.run(asked)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
    expect(cluster.now - from).toBeLessThan(10);
  });

  test('a watch that stands too late is closed again', async () => {
    member.pause();
    const error = await cluster.run(agent.node.watch({ prefix: 'a', ...CALL }).catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
    member.resume();
    await cluster.advance(5000);
    const registry = member.node.registry as { metrics(): Promise<string> };
    expect(await registry.metrics()).toMatch(/^kvorum_watches\{group="1"\} 0$/mu);
  });
});
