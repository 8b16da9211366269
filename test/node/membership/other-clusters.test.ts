/** Among the addresses that a node is given to join by there may be one of another cluster. */
import { afterEach, describe, expect, test } from 'vitest';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

/** A cluster of its own, whose address is among those that nodes which are added later are given to join by. */
async function another(secret?: string): Promise<SimNode> {
  const y1 = cluster.add('y1');
  const { join: _, ...rest } = y1.options;
  y1.options = { ...rest, initialCluster: { y1: 'y1:1' }, ...(secret === undefined ? {} : { secret }) };
  void y1.start();
  await cluster.until(() => y1.state === 'running' && y1.node.readiness().ready, 'y1 is ready');
  return y1;
}

test.each(['the secret', 'a ticket'])(
  'a node joins by %s, though one of its addresses is of another cluster',
  async (how) => {
    cluster = await simCluster();
    const { token } = await cluster.run(cluster.node('n1').node.members.createToken({ ttlMs: 600_000 }));
    await another('a secret of another cluster');
    const n4 = cluster.add('n4', how === 'a ticket' ? { joinToken: token } : {});
    void n4.start();
    await cluster.advance(20_000);
    expect(n4.failure).toBe(null);
    expect(n4.state).toBe('running');
  },
);

test.each([1, 2, 3])('an agent is served by the cluster that let it in: seed %i', async (seed) => {
  cluster = await simCluster({ seed });
  const y1 = await another(); // With the same secret.
  const a1 = cluster.add('a1', { role: 'agent' });
  void a1.start();
  await cluster.until(() => a1.state === 'running' && a1.node.readiness().ready, 'a1 is served');
  await cluster.advance(1000);
  for (let i = 0; i < 10; i++) await cluster.run(a1.node.put(`k${i}`, 'v'));
  const own = a1.node.clusterId === y1.node.clusterId ? y1 : cluster.node('n1');
  const { entries } = await cluster.run(own.node.list({ prefix: 'k' }));
  expect(entries).toHaveLength(10);
});

describe('a node is dialled by a cluster that it was not told of, and has the secret of', () => {
  /** A cluster of three, one of which is gone: where it was is dialled by the others. */
  async function threeAndOneGone(): Promise<SimNode> {
    const names = ['y1', 'y2', 'y3'];
    const initialCluster = Object.fromEntries(names.map((name) => [name, `${name}:1`]));
    const made = names.map((name) => {
      const node = cluster.add(name);
      const { join: _, ...rest } = node.options;
      node.options = { ...rest, initialCluster };
      void node.start();
      return node;
    });
    await cluster.until(() => made.every((y) => y.state === 'running' && y.node.readiness().ready), 'all are ready');
    made[2]?.crash();
    await cluster.advance(3000);
    return made[0] as SimNode;
  }

  // The same machine, with an empty disk, is used for the other cluster now.
  test.each(['n4', 'y3'])('and joins the one that it was told of, by the name of %s', async (name) => {
    cluster = await simCluster();
    const y1 = await threeAndOneGone();
    const n4 = cluster.add(name, { role: 'learner' });
    n4.options = { ...n4.options, listen: 'y3:1', join: ['n1:1', 'n2:1', 'n3:1'] };
    // Slow to be reached at first.
    for (const address of ['n1:1', 'n2:1', 'n3:1']) cluster.network.cut('y3:1', address);
    void n4.start();
    await cluster.advance(4000);
    cluster.heal();
    await cluster.advance(20_000);
    expect(n4.failure).toBe(null);
    expect(n4.node.cluster().clusterId).toBe(cluster.node('n1').node.cluster().clusterId);
    expect(n4.node.cluster().clusterId).not.toBe(y1.node.cluster().clusterId);
  });
});
