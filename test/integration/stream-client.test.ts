/** Clients on the peer port of real nodes: over kills, and what is refused to who only pretends. */
import { readFileSync } from 'node:fs';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { expect, onTestFinished, test } from 'vitest';

import { connect } from '../../src/client/index.ts';
import type { Client, ConnectOptions } from '../../src/client/index.ts';
import { encodeFrame, METHOD, REQUESTS } from '../../src/node/remote/protocol.ts';
import { createLibp2pTransport } from '../../src/transport/libp2p-transport.ts';
import { memberId } from '../../src/transport/peer-id.ts';
import type { Hello, PeerEvent, Transport } from '../../src/transport/types.ts';
import { Cluster } from './cluster.ts';
import type { NodeProcess } from './cluster.ts';
import { until } from './until.ts';

const secretOf = (cluster: Cluster): string => readFileSync(cluster.secretFile, 'utf8').trim();

function clientOf(cluster: Cluster, nodes: readonly NodeProcess[], options: Partial<ConnectOptions> = {}): Client {
  const client = connect(
    nodes.map(({ peerPort }) => `kvorum://127.0.0.1:${peerPort}`),
    { secret: secretOf(cluster), ...options },
  );
  onTestFinished(() => client.close());
  return client;
}

test('a client goes on while nodes are killed: every write once, every revision seen once', async () => {
  const cluster = await Cluster.start();
  const client = clientOf(cluster, cluster.nodes, { timeout: '30s' });
  const counter = client.counter('increments');
  const watch = client.watch({ prefix: 'seen/' });
  const from = await watch.ready();
  const seen: number[] = [];
  const watching = (async () => {
    for await (const { revision, events } of watch) {
      for (const event of events) expect(event.modRevision).toBe(revision);
      seen.push(revision);
    }
  })();

  let written = 0;
  let stop = false;
  const writers = Array.from({ length: 8 }, async () => {
    while (!stop) {
      await counter.add(1);
      await client.put(`seen/${written % 50}`, String(written));
      written++;
    }
  });
  for (let kill = 0; kill < 3; kill++) {
    const before = written;
    await until(() => written > before + 100, { timeoutMs: 30_000, what: 'writes' });
    const leader = await cluster.leader();
    await leader.kill('SIGKILL');
    const then = written;
    await until(() => written > then + 20, { timeoutMs: 30_000, what: 'writes without the killed node' });
    leader.start();
    await leader.ready();
  }
  stop = true;
  await Promise.all(writers);
  expect((await counter.get()).toString()).toBe(String(written));

  const { revision } = await client.put('seen/last', 'x');
  await until(() => seen.at(-1) === revision, { timeoutMs: 10_000, what: 'the last revision' });
  await watch.close();
  await watching;
  expect(seen.length).toBe(written + 1);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect(seen[0]).toBeGreaterThan(from);
  // Clients are no members.
  const view = await cluster.nodes[0]!.api.cluster();
  expect(view.members.map(({ name }) => name).toSorted()).toEqual(['n1', 'n2', 'n3']);
});

test('who has another secret, or nobody at the other end, is told so at once', async () => {
  const cluster = await Cluster.start({ nodes: 1 });
  const stranger = clientOf(cluster, cluster.nodes, { secret: 'a secret of somebody else' });
  await expect(stranger.get('a')).rejects.toMatchObject({ code: 'ERR_WRONG_SECRET', outcome: 'none' });
  const impostor = clientOf(cluster, cluster.nodes, { name: 'n1' });
  await expect(impostor.get('a')).rejects.toMatchObject({ code: 'ERR_FORBIDDEN' });
  const client = clientOf(cluster, cluster.nodes, { timeout: '2s' });
  await client.put('a', '1');
  await cluster.nodes[0]!.kill('SIGKILL');
  await expect(client.put('a', '2', { once: false })).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE' });
  cluster.nodes[0]!.start();
  await cluster.nodes[0]!.ready();
  const patient = clientOf(cluster, cluster.nodes, { timeout: '20s' });
  expect((await patient.get('a'))?.value).toBe('1');
  // The first one dials again by itself.
  await until(async () => (await client.get('a').catch(() => null))?.value === '1', {
    timeoutMs: 10_000,
    what: 'the link made again',
  });
});

interface Intruder {
  readonly transport: Transport;
  readonly events: PeerEvent[];
  readonly frames: Uint8Array[];
}

/** A peer that says of itself what it likes. */
async function intrude(secret: string, given: Partial<Hello>, key?: PrivateKey): Promise<Intruder> {
  const privateKey = key ?? (await generateKeyPair('Ed25519'));
  const peerId = peerIdFromPrivateKey(privateKey);
  const events: PeerEvent[] = [];
  const frames: Uint8Array[] = [];
  const hello: Hello = {
    clusterId: null,
    id: memberId(peerId),
    name: 'intruder',
    peerId: peerId.toString(),
    bootEpoch: 1,
    address: '',
    http: '',
    pid: 1,
    protocol: 1,
    extra: { client: true },
    ...given,
  };
  const transport = await createLibp2pTransport({
    privateKey,
    listen: null,
    credential: () => ({ secret }),
    wallTime: Date.now,
    handlers: {
      hello: () => hello,
      admit: () => ({ ok: true }),
      frame: (_from, _channel, frame) => void frames.push(frame),
      peer: (event) => void events.push(event),
    },
  });
  onTestFinished(() => transport.close());
  return { transport, events, frames };
}

test('a client is never taken for a member, and may say nothing but requests', async () => {
  const cluster = await Cluster.start();
  const secret = secretOf(cluster);
  const [target] = cluster.nodes;
  const address = `127.0.0.1:${target!.peerPort}`;
  const { clusterId, members, term } = await target!.api.cluster();
  const malformed = async (): Promise<number> => {
    const text = (await target!.api.call('GET', '/metrics')).body.toString();
    return Number(/^kvorum_peer_malformed_total (\d+)/mu.exec(text)?.[1]);
  };

  // Without saying that it is a client, it is one too many; saying so under the name of a member, or to another cluster, it is refused.
  const refusals: [Partial<Hello>, string][] = [
    [{ extra: {} }, 'ERR_BOOTSTRAP_CONFLICT'],
    [{ name: members[1]!.name }, 'ERR_FORBIDDEN'],
    [{ name: members[1]!.name, extra: {} }, 'ERR_MEMBER_REPLACED'],
    [{ clusterId: '1' }, 'ERR_WRONG_CLUSTER'],
    [{ protocol: 9 }, 'ERR_WRONG_PROTOCOL'],
  ];
  for (const [hello, code] of refusals) {
    const { transport, events } = await intrude(secret, hello);
    transport.connect(address);
    await until(() => events.length > 0, { timeoutMs: 5000, what: code });
    expect(events[0]).toMatchObject({ type: 'refused', by: 'them', code });
  }

  // Who knows the secret and the cluster may be a member that this node has not heard of yet: it is let in, and counts for nothing before it is one.
  const unheard = (await intrude(secret, { extra: {}, clusterId })).transport;
  unheard.connect(address);
  await until(() => unheard.peers().length > 0, { timeoutMs: 5000, what: 'a link' });
  expect((await target!.api.cluster()).members.map(({ name }) => name)).toEqual(members.map(({ name }) => name));

  const { transport, events, frames } = await intrude(secret, {});
  transport.connect(address);
  const up = (): string | undefined => transport.peers()[0]?.id;
  await until(() => up() !== undefined, { timeoutMs: 5000, what: 'a link' });
  const id = up() as string;
  transport.send(id, 'client', encodeFrame(REQUESTS, [[1, METHOD.put, 'intruder', 'x']]));
  await until(() => frames.length > 0, { timeoutMs: 5000, what: 'an answer' });

  const bad: [Parameters<Transport['send']>[1], Uint8Array[]][] = [
    // A vote, a proposal, facts about a bootstrap, what a disk has, and what is nothing.
    ['raft', [new Uint8Array(64).fill(1)]],
    ['snapshot', [new Uint8Array(64).fill(1)]],
    ['gossip', [new Uint8Array(1)]],
    ['client', [Uint8Array.of(1), new Uint8Array(20)]],
    ['client', [Uint8Array.of(5, 0x92, 1, 99)]],
    ['client', [Uint8Array.of(REQUESTS, 77)]],
    ['client', [Uint8Array.of(REQUESTS, 1, 0xc1)]],
    ['client', encodeFrame(REQUESTS, [[0, METHOD.get, 'a']])],
    ['client', encodeFrame(REQUESTS, [[1, 'x']])],
    ['client', [Uint8Array.of()]],
  ];
  for (const [channel, parts] of bad) {
    await until(() => up() !== undefined, { timeoutMs: 10_000, what: 'the link made again' });
    const before = await malformed();
    const downs = events.filter(({ type }) => type === 'down').length;
    transport.send(id, channel, parts);
    await until(() => events.filter(({ type }) => type === 'down').length > downs, {
      timeoutMs: 5000,
      what: `the link closed for a frame on ${channel}`,
    });
    expect(await malformed()).toBe(before + 1);
  }
  const after = await target!.api.cluster();
  expect(after.term).toBe(term);
  expect(after.members).toHaveLength(3);
  const metrics = (await target!.api.call('GET', '/metrics')).body.toString();
  // Nothing of clients is shown peer by peer: there are two members, and the one that may be one.
  expect([...metrics.matchAll(/^kvorum_peer_frames_sent_total\{peer="(\d+)"\}/gmu)]).toHaveLength(3);
});
