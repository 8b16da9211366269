/** Among the addresses that a node is given to join by there may be one of a node that is joining itself. */
import { afterEach, expect, test } from 'vitest';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

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

// Also a node that joins by the secret was told to be a bearer of a bad token: that of another.
test.each([1, 2, 3])('of three that join together none ends for the ticket of another: seed %i', async (seed) => {
  let packets = 0;
  cluster = await simCluster({
    seed,
    network: {
      delayMs: (from, to, traffic, bytes) => {
        // To n5 from n6: the answer to the dial (0 bytes), the challenge, the proof.
        if (traffic !== 'control' || from !== 'n6:1' || to !== 'n5:1') return 1;
        if (bytes > 0) return ++packets === 2 ? 600 : 1;
        return packets < 2 ? 1 : 2000; // The next connection is slow.
      },
    },
  });
  const { token } = await cluster.run(cluster.node('n1').node.members.createToken({ ttlMs: 600_000 }));
  const n6 = cluster.add('n6', { role: 'learner' });
  n6.options = { ...n6.options, join: ['n1:1', 'n5:1', 'n4:1'] };
  const n5 = cluster.add('n5', { role: 'learner', joinToken: token });
  n5.options = { ...n5.options, join: ['n1:1', 'n6:1'] };
  const n4 = cluster.add('n4', { role: 'learner' });
  n4.options = { ...n4.options, join: ['n1:1', 'n6:1'] };
  cluster.partition(['n6', 'n4'], ['n1', 'n2', 'n3']);
  void n6.start();
  await cluster.advance(500);
  // A handshake of n5 and n6 begins by the ticket, and ends when n5 has been let in: n6 refuses it.
  void n5.start();
  await cluster.advance(700);
  expect([n5.state, n6.state, n6.failure]).toEqual(['running', 'starting', null]);
  // It only says that it cannot let n6 in.
  void n4.start();
  await cluster.advance(10_000);
  cluster.heal();
  await cluster.advance(20_000);
  expect([n4, n5, n6].map(({ state, failure }) => failure?.message ?? state)).toEqual(Array(3).fill('running'));
});

test.each([1, 2, 3])(
  'a newcomer is no old copy because its first hello to the leader is late: seed %i',
  async (seed) => {
    let late = '';
    cluster = await simCluster({
      seed,
      writeMs: (name) => (name === 'n4' ? 20 : 0.3),
      network: {
        delayMs: (from, to, traffic, bytes) => {
          if (traffic !== 'control' || from !== 'n4:1' || to !== late || bytes <= 300) return 1;
          late = '';
          return 2500;
        },
      },
    });
    const leader = cluster.leader as SimNode;
    const follower = cluster.nodes.find((node) => node !== leader) as SimNode;
    late = leader.address;
    // It is let in by the follower. The leader, who has its entry, dials it before it has written what it was told.
    const n4 = cluster.add('n4');
    n4.options = { ...n4.options, join: [leader.address, follower.address] };
    void n4.start();
    await cluster.until(() => n4.state === 'running', 'n4 is let in');
    // It acknowledges entries; then its first hello arrives, by which it has none.
    for (let i = 0; i < 20; i++) {
      await cluster.run(leader.node.put(`k${i}`, 'v'));
      await cluster.advance(100);
    }
    await cluster.advance(5000);
    expect(n4.failure?.message ?? n4.state).toBe('running');
  },
);
