/** What a join token opens is a link, for as long as that is the one that is used, and nothing more. Whole nodes, on virtual time. */
import { afterEach, expect, test } from 'vitest';
import { encodeMemberCall } from '../../../src/node/member-frames.ts';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';
import { Random } from '../../../src/testing/random.ts';
import { parseJoinToken } from '../../../src/transport/join-token.ts';
import { PROTOCOL_VERSION } from '../../../src/transport/limits.ts';
import type { Hello, Transport } from '../../../src/transport/types.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

function leader(): SimNode {
  const { leader: found } = cluster;
  if (found === null) throw new Error('nobody leads');
  return found;
}

// In these, one handshake that began by the ticket ends after the node has been let in.
test.each([14, 25, 27, 53])(
  'a node that was let in is heard by all, however its links came up: seed %i',
  async (seed) => {
    const random = new Random(seed);
    const delays = new Map<string, number>();
    const delayMs = (from: string, to: string): number => {
      const pair = [from, to].toSorted().join(' ');
      const known = delays.get(pair) ?? (pair.includes('n4') ? 0.5 + random.float() * 40 : 1 + random.float() * 10);
      delays.set(pair, known);
      return known;
    };
    const unheard = new Set<string>();
    cluster = await simCluster({
      seed,
      network: { delayMs },
      writeMs: () => 2,
      platform: (node, platform) => ({
        ...platform,
        createTransport: (options) => {
          const { frame } = options.handlers;
          return platform.createTransport({
            ...options,
            handlers: {
              ...options.handlers,
              frame: (from, channel, bytes, credential) => {
                if (channel === 'raft')
                  unheard[credential.type === 'token' ? 'add' : 'delete'](`${from} at ${node.name}`);
                frame(from, channel, bytes, credential);
              },
            },
          });
        },
      }),
    });
    const { token } = await cluster.run(leader().node.members.createToken({ ttlMs: 600_000 }));
    const n4 = cluster.add('n4', { joinToken: token, role: 'voter' });
    void n4.start();
    await cluster.until(() => n4.state === 'running', 'n4 has joined');
    const isVoter = (): boolean =>
      cluster.nodes.every(({ node }) =>
        node.cluster().members.some(({ name, role }) => name === 'n4' && role === 'voter'),
      );
    await cluster.until(isVoter, 'n4 is a voter', 30_000);
    await cluster.until(() => unheard.size === 0, 'everybody is heard', 10_000);
  },
);

// In these, a handshake that began by the ticket ended after the agent had been let in, beside a newer link by the secret.
test.each([4, 12, 23, 34, 56])(
  'an agent that was let in is served from the moment that it is ready, whatever handshake ends when: seed %i',
  async (seed) => {
    const random = new Random(seed);
    const delays = new Map<string, number>();
    const delayMs = (from: string, to: string): number => {
      const pair = [from, to].toSorted().join(' ');
      const known = delays.get(pair) ?? (pair.includes('a1') ? 0.5 + random.float() * 60 : 1 + random.float() * 10);
      delays.set(pair, known);
      return known;
    };
    cluster = await simCluster({ seed, network: { delayMs }, writeMs: () => 2 });
    const { token } = await cluster.run(leader().node.members.createToken({ ttlMs: 600_000 }));
    const a1 = cluster.add('a1', { joinToken: token, role: 'agent' });
    void a1.start();
    await cluster.until(() => a1.state === 'running', 'a1 has joined');
    await cluster.until(() => a1.node.readiness().ready, 'a1 is served');
    for (let put = 0; put < 20; put++) {
      await cluster.run(a1.node.put('k', String(put)));
      await cluster.advance(20);
    }
  },
);

test('a bearer does not come to be more by closing one of two links', async () => {
  const attacker = 'x2:1';
  cluster = await simCluster({
    seed: 2,
    network: { delayMs: (from, to) => (from === attacker || to === attacker ? 10 : 1) },
  });
  const member = leader();
  const { token } = await cluster.run(member.node.members.createToken({ ttlMs: 2000, role: 'learner' }));
  const joinToken = parseJoinToken(token);
  const bearer = (address: string): Transport =>
    cluster.network.createTransport({
      address,
      credential: () => ({ token: joinToken }),
      wallTime: () => 0,
      handlers: {
        hello: (): Hello => ({
          ...{ clusterId: null, id: '77', name: 'x', peerId: 'zz77', bootEpoch: 1, address, http: '', pid: 1 },
          protocol: PROTOCOL_VERSION,
          extra: { join: 'learner', role: 'learner', process: 'p' },
        }),
        admit: () => ({ ok: true }),
        frame: () => undefined,
        peer: () => undefined,
      },
    });
  const first = bearer('x1:1');
  first.connect(member.address);
  await cluster.until(() => first.peers().length === 1, 'the first link is up');
  const second = bearer(attacker);
  second.connect(member.address);
  // The member has judged the second link, which is not up yet, when the first one ends.
  await cluster.advance(75);
  expect(second.peers()).toEqual([]);
  await first.close();
  await cluster.until(() => second.peers().length === 1, 'the second link is up');
  const [peer] = second.peers();
  const { name: victim } = cluster.nodes.find((node) => node !== member) as SimNode;
  const call = { group: 1, bootEpoch: 1, request: 1, timeoutMs: 5000 };
  second.send(peer?.id ?? '', 'client', encodeMemberCall({ ...call, operation: { type: 'remove', member: victim } }));
  await cluster.advance(5000);
  expect(member.node.cluster().members.map(({ name }) => name)).toContain(victim);
  await second.close();
});
