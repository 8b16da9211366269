/**
 * An agent and a member may have several links to each other for a while, dialled at once, or twice by the same. Whichever of them each takes for the one: an answer belongs to the call that it answers, and
 * what is asked is answered, or ends with an error.
 */
import { afterEach, expect, test } from 'vitest';
import { KvorumError } from '../../../src/errors.ts';
import { Random } from '../../../src/testing/random.ts';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';
import type { Transport } from '../../../src/transport/types.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

test('what an agent asked on one of two links that were dialled at once is not the answer to what it asks on the other', async () => {
  const transports = new Map<string, Transport>();
  cluster = await simCluster({
    seed: 1, // The peer id of n1 is smaller than that of a1.
    nodes: 1,
    network: {
      delayMs: (from, to, traffic) => {
        if (![from, to].includes('a1:1')) return 1;
        return traffic === 'control' ? 20 : 60;
      },
    },
    platform: (node, platform) => ({
      ...platform,
      createTransport: async (options) => {
        const made = await platform.createTransport(options);
        transports.set(node.name, made);
        return made;
      },
    }),
  });
  const n1 = cluster.node('n1');
  const a1 = cluster.add('a1', { role: 'agent' });
  void a1.start();
  await cluster.until(() => a1.state === 'running' && a1.node.readiness().ready, 'a1 is served');
  await cluster.advance(5000);
  const peerId = (name: string): string =>
    n1.node.cluster().members.find((member) => member.name === name)?.peerId ?? '';
  expect(peerId('n1') < peerId('a1')).toBe(true);

  // The link breaks. a1 dials at once; n1 does so when it has gossip for a1, and begins its handshake as that of a1 is under way.
  cluster.network.reset('a1:1', 'n1:1');
  await cluster.until(() => !a1.node.readiness().ready, 'a1 is alone');
  await cluster.advance(30);
  transports.get('n1')?.connect('a1:1');
  await cluster.until(() => a1.node.readiness().ready, 'the link that a1 dialled is up');
  const first = a1.node.put('x', 'first').catch((error: unknown) => error);
  // The one that n1 dialled is up too, and is the one that counts.
  const ended = await cluster.run(first);
  expect(KvorumError.is(ended, 'ERR_UNAVAILABLE')).toBe(true);

  const second = a1.node.put('y', 'second', { timeoutMs: 1000 });
  second.catch(() => undefined);
  await cluster.advance(20);
  // The first write has come to n1 by now, and the second never does.
  cluster.network.cutOneWay('a1:1', 'n1:1');
  const outcome = await cluster.run(
    second.then(
      () => 'acknowledged',
      (error: KvorumError) => error.code,
    ),
  );
  cluster.heal();
  await cluster.advance(3000);
  const { entry } = await cluster.run(n1.node.get('y'));
  expect({ outcome, isThere: entry !== null }).toEqual({ outcome: 'ERR_TIMEOUT', isThere: false });
});

// Nothing is forced here: links break, and agent and member dial as they do.
test.each([1, 5, 6])('an agent is given the key that it asked for: seed %i', async (seed) => {
  const random = new Random(seed);
  const delayMs = (from: string, to: string): number =>
    [from, to].includes('a1:1') ? 40 + random.float() * 40 : 1 + random.float();
  cluster = await simCluster({ seed, nodes: 1, network: { delayMs }, gossip: { gossipIntervalMs: 20 } });
  const n1 = cluster.node('n1');
  for (let i = 0; i < 50; i++) await cluster.run(n1.node.put(`k${i}`, String(i)));
  const a1 = cluster.add('a1', { role: 'agent' });
  void a1.start();
  await cluster.until(() => a1.state === 'running' && a1.node.readiness().ready, 'a1 is served');
  await cluster.advance(3000);
  const wrong: string[] = [];
  let number = 0;
  const ask = (): void => {
    const key = `k${number++ % 50}`;
    a1.node.get(key, { timeoutMs: 3000 }).then(
      ({ entry }) => {
        if (entry?.key !== key) wrong.push(`${key}: ${String(entry?.key)}`);
      },
      () => undefined,
    );
  };
  for (let round = 0; round < 60; round++) {
    cluster.network.reset('a1:1', 'n1:1');
    for (let i = 0; i < 60; i++) {
      ask();
      await cluster.advance(10);
    }
    await cluster.advance(2500);
  }
  expect(wrong).toEqual([]);
});

const VERDICT_BYTES = JSON.stringify({ t: 'verdict', ok: true }).length;

/** The agent has two links to the leader, both dialled by itself; the leader hears of them in the other order when `lateMs` is large. */
async function start(lateMs: number): Promise<{ leader: SimNode; a1: SimNode }> {
  let slow = '';
  let isFirst = true;
  cluster = await simCluster({
    seed: 1, // The peer id of a1 is smaller than that of the leader.
    network: {
      delayMs: (from, to, traffic, bytes) => {
        if (![from, to].includes('a1:1') || ![from, to].includes(slow)) return 1;
        if (from !== 'a1:1' || traffic !== 'control' || bytes !== VERDICT_BYTES || !isFirst) return 20;
        isFirst = false; // The last word of the first handshake, as a packet that has to be sent again.
        return lateMs;
      },
    },
  });
  const leader = cluster.leader as SimNode;
  slow = leader.address;
  const [fast, third] = cluster.nodes.filter((node) => node !== leader) as [SimNode, SimNode];
  const a1 = cluster.add('a1', { role: 'agent' });
  cluster.network.cut(a1.address, third.address);
  // It joins by the fast one while it dials the leader, whom it dials once more when it has joined: released, and kept again.
  void a1.start();
  await cluster.until(() => a1.state === 'running' && a1.node.readiness().ready, 'a1 is served');
  await cluster.advance(300);
  fast.crash();
  await cluster.advance(100);
  return { leader, a1 };
}

test.each([20, 2500])('a watch goes on, or ends: the last word of a handshake takes %i ms', async (lateMs) => {
  const { leader, a1 } = await start(lateMs);
  const watch = await cluster.run(a1.node.watch({ prefix: 'k' }));
  await cluster.advance(20_000);
  await cluster.run(leader.node.put('k', '1'));
  expect(a1.node.readiness().ready).toBe(true);
  let told = 'nothing';
  watch.next().then(
    () => (told = 'what happened'),
    () => (told = 'that it is over'),
  );
  await cluster.advance(60_000);
  expect(told).not.toBe('nothing');
});

test.each([20, 2500])('an agent knows who leads: the last word of a handshake takes %i ms', async (lateMs) => {
  const { leader, a1 } = await start(lateMs);
  await cluster.advance(60_000);
  expect(a1.node.readiness().ready).toBe(true);
  expect(a1.node.cluster().leader).toBe(leader.name);
});
