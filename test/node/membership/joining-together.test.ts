/** Among the addresses that a node is given to join by there may be one of a node that is joining itself. */
import { afterEach, expect, test } from 'vitest';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

test.each(['by the secret', 'by a ticket too'])(
  'a node with a ticket goes on to ask the members when one of its addresses is of a node that is joining itself %s',
  async (how) => {
    cluster = await simCluster();
    const { token } = await cluster.run(cluster.node('n1').node.members.createToken({ ttlMs: 600_000 }));
    // It waits: its member cannot be reached, or is slow.
    const n4 = cluster.add('n4', how === 'by the secret' ? {} : { joinToken: token });
    cluster.partition(['n4'], ['n1', 'n2', 'n3']);
    void n4.start();
    await cluster.advance(500);
    const other = await cluster.run(cluster.node('n1').node.members.createToken({ ttlMs: 600_000 }));
    // Its addresses are those of n1, n2, n3 and n4.
    const n5 = cluster.add('n5', { joinToken: other.token });
    cluster.network.cut('n5:1', 'n1:1');
    cluster.network.cut('n5:1', 'n2:1');
    cluster.network.cut('n5:1', 'n3:1');
    void n5.start();
    await cluster.advance(1000);
    cluster.heal();
    await cluster.advance(20_000);
    expect(n5.failure).toBe(null);
    expect(n5.state).toBe('running');
  },
);

test.each([1, 2, 3])('two that join at the same time by tickets, each knowing the other: seed %i', async (seed) => {
  cluster = await simCluster({ seed });
  const make = () => cluster.run(cluster.node('n1').node.members.createToken({ ttlMs: 600_000 }));
  const n4 = cluster.add('n4', { joinToken: (await make()).token, role: 'learner' });
  const n5 = cluster.add('n5', { joinToken: (await make()).token, role: 'learner' });
  void n4.start();
  void n5.start();
  await cluster.advance(20_000);
  expect([n4, n5].map(({ failure }) => failure)).toEqual([null, null]);
});

test.each(['voter', 'learner'] as const)(
  'a %s joins although the only one that it was to ask is gone',
  async (role) => {
    cluster = await simCluster();
    const n3 = cluster.node('n3');
    const n4 = cluster.add('n4', { role });
    n4.options = { ...n4.options, join: [n3.address] };
    // It is let in, and its asking is worked on for as long as n3 knows no leader.
    cluster.partition(['n3', 'n4'], ['n1', 'n2']);
    void n4.start();
    await cluster.advance(5000);
    expect(n4.state).toBe('starting');
    // For good: another is to take its place, and that is not told to n4 by anybody.
    n3.crash();
    cluster.heal();
    await cluster.until(() => n4.state === 'running' && n4.node.readiness().ready, 'n4 is let in');
    expect(n4.node.cluster().members.map(({ name }) => name)).toContain('n4');
  },
);
