/** The DHT of whole nodes, members and agents, on virtual time. */
import { afterEach, describe, expect, test } from 'vitest';
import { encodeDht } from '../../../src/node/dht/frames.ts';
import type { NodeCard, NodeDht } from '../../../src/node/types.ts';
import { simCluster, type SimCluster, type SimClusterOptions } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';
import { parseJoinToken } from '../../../src/transport/join-token.ts';
import { PROTOCOL_VERSION } from '../../../src/transport/limits.ts';
import type { Credential, Hello, Transport } from '../../../src/transport/types.ts';

let cluster: SimCluster;
afterEach(() => cluster.close());

/** As the cluster has it. */
const SECRET = 'a secret that all simulated nodes share';

async function start(options: SimClusterOptions = {}): Promise<void> {
  cluster = await simCluster(options);
  // What they say of themselves is out.
  await cluster.advance(1000);
}

async function ready(node: SimNode): Promise<SimNode> {
  void node.start();
  await cluster.until(() => node.state !== 'starting', `${node.name} has joined`);
  if (node.failure !== null) throw node.failure;
  await cluster.until(() => node.node.readiness().ready, `${node.name} is ready`);
  return node;
}

function agent(name: string): Promise<SimNode> {
  return ready(cluster.add(name, { role: 'agent' }));
}

function dht(name: string): NodeDht {
  return cluster.node(name).node.dht;
}

async function replicas(of: string): Promise<string[]> {
  const { records } = await cluster.run(dht(of).providers('group/1'));
  return records.map(({ value }) => (JSON.parse(new TextDecoder().decode(value)) as NodeCard).name).toSorted();
}

async function metric(name: string, sample: string): Promise<number> {
  const { registry } = cluster.node(name).node as unknown as { registry: { metrics(): Promise<string> } };
  const line = (await registry.metrics()).split('\n').find((text) => text.startsWith(`${sample} `));
  return Number(line?.split(' ')[1]);
}

describe('members and agents', () => {
  test('get from each other what one of them put', async () => {
    await start();
    await agent('a1');
    await cluster.advance(1000);
    for (const [i, name] of ['n1', 'a1', 'n3'].entries()) {
      expect(await cluster.run(dht(name).put('k', `from ${name}`))).toMatchObject({ stored: 4 });
      for (const reader of ['n1', 'n2', 'n3', 'a1']) {
        const { record } = await cluster.run(dht(reader).get('k'));
        expect(new TextDecoder().decode(record?.value), `${i} ${reader}`).toBe(`from ${name}`);
        expect(record?.id).toBe(cluster.node(name).node.id);
      }
    }
  });

  test('say where they are, and members that they have a replica', async () => {
    await start();
    const { node } = await agent('a1');
    await cluster.advance(1000);
    expect(await replicas('a1')).toEqual(['n1', 'n2', 'n3']);
    // An agent is in no hurry.
    await cluster.advance(5000);
    expect(await cluster.run(dht('n2').lookup({ node: node.id }))).toMatchObject({
      node: { id: node.id, name: 'a1', role: 'agent', addresses: ['a1:1'], http: null },
    });
    const { id } = cluster.node('n3').node;
    const learner = await ready(cluster.add('n4', { role: 'learner' }));
    await cluster.advance(1000);
    expect(await replicas('a1')).toEqual(['n1', 'n2', 'n3', 'n4']);
    const of = async (wanted: string): Promise<NodeCard | null> =>
      (await cluster.run(dht('a1').lookup({ node: wanted }))).node;
    expect((await of(learner.node.id))?.role).toBe('learner');
    expect((await of(id))?.role).toBe('voter');
    // Another role is another record.
    await cluster.run(cluster.node('n1').node.members.demote('n3'));
    await cluster.advance(2000);
    expect((await of(id))?.role).toBe('learner');
  });

  test('that go provide nothing any more, at once', async () => {
    await start();
    await cluster.run(cluster.node('n1').node.members.remove('n3'));
    await cluster.until(() => !cluster.node('n3').alive, 'n3 has stopped');
    expect(await replicas('n1')).toEqual(['n1', 'n2']);
    await cluster.run(cluster.node('n2').close());
    expect(await replicas('n1')).toEqual(['n1']);
  });

  test('need no leader and no majority for it', async () => {
    await start();
    for (const name of ['n2', 'n3']) cluster.node(name).crash();
    expect(await cluster.run(dht('n1').put('k', 'v'))).toMatchObject({ stored: 1 });
    expect((await cluster.run(dht('n1').get('k'))).record).not.toBeNull();
  });

  test('say next to nothing while nothing happens', async () => {
    await start();
    await cluster.advance(60_000);
    const before = await metric('n1', 'kvorum_dht_requests_total');
    await cluster.advance(20 * 60_000);
    // Every ten minutes each publishes that it has a replica, which is two requests to each of the others.
    expect((await metric('n1', 'kvorum_dht_requests_total')) - before).toBeLessThanOrEqual(12);
    expect(await metric('n1', 'kvorum_dht_timeouts_total')).toBe(0);
  });

  test('a node that closes rejects what is under way', async () => {
    await start();
    for (const name of ['n2', 'n3']) cluster.node(name).pause();
    const pending = dht('n1').get('k', { timeoutMs: 60_000 });
    const settled = Promise.allSettled([pending]);
    const n1 = cluster.node('n1').node;
    await cluster.run(n1.close({ drainTimeoutMs: 100 }));
    expect((await settled)[0]).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CLOSED' } });
    await expect(n1.dht.get('k')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

describe('an agent that knows no member that is still there', () => {
  test('finds those that there are by way of another agent', async () => {
    await start();
    await agent('a1');
    const a2 = cluster.add('a2', { role: 'agent' });
    a2.options = { ...a2.options, dataDir: 'a2' };
    await ready(a2);
    await cluster.until(() => a2.node.cluster().members.length === 5, 'a2 knows all');
    // Whom it knows is on its disk.
    await cluster.advance(6000);
    a2.crash({ keepUnsynced: Infinity });
    for (const name of ['n4', 'n5', 'n6']) await ready(cluster.add(name));
    const isVoter = (): boolean =>
      cluster
        .node('a1')
        .node.cluster()
        .members.filter(({ role }) => role === 'voter').length === 6;
    await cluster.until(isVoter, 'all vote');
    for (const name of ['n1', 'n2', 'n3']) {
      await cluster.until(() => cluster.node('a1').node.readiness().ready && cluster.leader !== null, 'it is served');
      await cluster.run(cluster.node('n4').node.members.remove(name));
      await cluster.until(() => !cluster.node(name).alive, `${name} has stopped`);
    }
    // Gossip, which would tell it too, says nothing to anybody. Whoever answers in the DHT is linked, and serves it.
    const never = 600_000;
    a2.options = {
      ...a2.options,
      gossip: {
        ...{ probeIntervalMs: never, gossipIntervalMs: never, pushPullIntervalMs: never, deadRetryIntervalMs: never },
      },
    };
    void a2.start();
    await cluster.until(() => a2.state === 'running' && a2.node.readiness().ready, 'a2 is served', 10_000);
    await cluster.run(a2.node.put('k', 'v'));
  });
});

describe('who is no peer', () => {
  /** A transport of the test's own, which says what it likes. */
  function stranger(address: string, credential: Credential, hello: Partial<Hello>): Transport {
    return cluster.network.createTransport({
      address,
      credential: () => credential,
      wallTime: () => 0,
      handlers: {
        hello: () => ({
          ...{ clusterId: null, id: '77', name: 'x', peerId: 'zz77', bootEpoch: 1, address, http: '', pid: 1 },
          ...{ protocol: PROTOCOL_VERSION, extra: {} },
          ...hello,
        }),
        admit: () => ({ ok: true }),
        frame: () => expect.unreachable(),
        peer: () => undefined,
      },
    });
  }

  test.each([
    ['a client', { secret: SECRET }, { extra: { client: true } }],
    ['the bearer of a token', null, { extra: { join: 'learner', role: 'learner', process: 'p' } }],
  ])('%s is not heard', async (_, given, hello) => {
    await start({ seed: 3 });
    const n1 = cluster.node('n1');
    const { token } = await cluster.run(n1.node.members.createToken({ ttlMs: 3_600_000 }));
    const one = stranger('x:1', given ?? { token: parseJoinToken(token) }, hello);
    one.connect(n1.address);
    await cluster.until(() => one.peers().length === 1, 'it is linked', 5000);
    const answers = await metric('n1', 'kvorum_dht_answers_total');
    const contacts = await metric('n1', 'kvorum_dht_contacts');
    one.send(n1.node.id, 'dht', encodeDht({ type: 'Ping', rpc: 1 }));
    await cluster.advance(500);
    expect(await metric('n1', 'kvorum_dht_answers_total')).toBe(answers);
    expect(await metric('n1', 'kvorum_dht_contacts')).toBe(contacts);
    expect(await metric('n1', 'kvorum_dht_refused_total{reason="malformed"}')).toBe(0);
    await one.close();
  });

  test('the bearer of a token is not let in by an agent, though it says that it is a member of the cluster', async () => {
    await start({ seed: 4 });
    const a1 = await agent('a1');
    const { token } = await cluster.run(cluster.node('n1').node.members.createToken({ ttlMs: 3_600_000 }));
    const hello = { clusterId: a1.node.clusterId, extra: { process: 'p' } };
    const one = stranger('x:1', { token: parseJoinToken(token) }, hello);
    one.connect(a1.address);
    for (const { name } of [...cluster.nodes]) if (name !== 'a1') cluster.node(name).crash();
    await cluster.until(() => !a1.node.readiness().ready, 'nobody serves it');
    await cluster.advance(10_000);
    expect(one.peers()).toEqual([]);
    await expect(cluster.run(a1.node.put('secret', '1'))).rejects.toMatchObject({ code: 'ERR_NO_LEADER' });
    await one.close();
  });
});
