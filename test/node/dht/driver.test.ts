import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { afterEach, describe, expect, test } from 'vitest';
import { encodeCard } from '../../../src/node/dht/card.ts';
import { decodeDht, encodeDht } from '../../../src/node/dht/frames.ts';
import { dhtIdOf, keyOf } from '../../../src/node/dht/names.ts';
import type { NodeCard } from '../../../src/node/types.ts';
import type { Contact, DhtMessage, SignedRecord } from '../../../src/dht/index.ts';
import { Random } from '../../../src/testing/random.ts';
import { seededKey } from '../../../src/testing/seeded-key.ts';
import { Peers, TestPeer } from './peers.ts';

let peers: Peers;
afterEach(() => peers.close());

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

function cardOf({ id, name, address }: TestPeer, change: Partial<NodeCard> = {}): Uint8Array {
  return encodeCard({ id, name, role: 'voter', addresses: [address], http: null, ...change });
}

describe('peers that know one of them', () => {
  test('find each other, and what one puts another gets', async () => {
    peers = new Peers(1);
    const all = await peers.meet(30);
    const put = await peers.run(all[3]!.dht.put('greeting', 'hello', { trace: true }));
    expect(put).toMatchObject({ outcome: 'complete', stored: 20, refused: {} });
    expect(put.steps!.map(({ step }) => step)).toEqual(put.steps!.map((_, i) => i + 1));
    expect(put.cost.requests).toBe(put.steps!.length);
    const got = await peers.run(all[17]!.dht.get('greeting', { paths: 4 }));
    expect(text(got.record?.value)).toBe('hello');
    expect(got.record).toMatchObject({ name: 'user/greeting', peerId: all[3]!.peerId, id: all[3]!.id, seq: put.seq });
    expect(got).toMatchObject({ target: put.target, outcome: 'complete', steps: null });
    const { closest } = await peers.run(all[9]!.dht.lookup('greeting'));
    expect(closest).toHaveLength(20);
    const order = closest.map(({ position }) => BigInt(`0x${position}`) ^ BigInt(`0x${got.target}`));
    expect(order).toEqual(order.toSorted((a, b) => (a < b ? -1 : 1)));
  });

  test('the last value wins, whoever puts it, and however slow its clock is', async () => {
    peers = new Peers(2);
    const [a, b] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    await peers.run(a.dht.put('k', 'one'));
    b.process!.jump(-600_000);
    expect(await peers.run(b.dht.put('k', 'two'))).toMatchObject({ stored: 3, refused: {} });
    expect(text((await peers.run(a.dht.get('k'))).record?.value)).toBe('two');
    // In one millisecond too.
    const both = [a.dht.put('k', 'x'), a.dht.put('k', 'a')];
    await peers.run(Promise.all(both));
    expect(text((await peers.run(b.dht.get('k'))).record?.value)).toBe('a');
  });

  test('what is not there is null, and what has lived its time is gone', async () => {
    peers = new Peers(3);
    const [a, b] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    expect((await peers.run(a.dht.get('nothing'))).record).toBeNull();
    await peers.run(a.dht.put('k', 'v', { ttlMs: 1000 }));
    expect((await peers.run(b.dht.get('k'))).record).not.toBeNull();
    // Clocks may differ by a minute.
    await peers.time.pass(62_000);
    expect((await peers.run(b.dht.get('k'))).record).toBeNull();
  });

  test('providers are all that there are, until they retract', async () => {
    peers = new Peers(4);
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    for (const peer of [a, b]) {
      const name = 'service/pay';
      await peers.run(peer.driver.provide({ name, body: Buffer.from(peer.name), republish: true }));
    }
    const names = async (): Promise<string[]> =>
      (await peers.run(c.dht.providers('service/pay'))).records.map(({ value }) => text(value)).toSorted();
    expect(await names()).toEqual(['p1', 'p2']);
    await peers.run(b.driver.retract('service/pay'));
    expect(await names()).toEqual(['p1']);
    // Published again: its own life is half an hour.
    await peers.time.pass(2 * 3_600_000);
    expect(await names()).toEqual(['p1']);
    expect(a.driver.stats().owned).toBe(1);
  });

  test('alone, a peer keeps what it puts', async () => {
    peers = new Peers(5);
    const a = peers.add('a');
    a.start([]);
    expect(await peers.run(a.dht.put('k', 'v'))).toMatchObject({ outcome: 'alone', stored: 1 });
    expect(text((await peers.run(a.dht.get('k'))).record?.value)).toBe('v');
    await peers.run(a.dht.put('k', 'w'));
    a.process!.jump(-600_000);
    expect(await peers.run(a.dht.put('k', 'older'))).toMatchObject({ stored: 1 });
    expect(text((await peers.run(a.dht.get('k'))).record?.value)).toBe('older');
  });
});

describe('a query', () => {
  test('ends when its caller wants it to, or its time is over', async () => {
    peers = new Peers(10);
    const [a, b] = (await peers.meet(2)) as [TestPeer, TestPeer];
    b.process!.pause();
    const controller = new AbortController();
    const aborted = a.dht.get('k', { signal: controller.signal });
    aborted.catch(() => undefined);
    await peers.time.pass(100);
    expect(a.driver.waiting).toBe(1);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(peers.run(aborted)).rejects.toBe(reason);
    await expect(a.dht.get('k', { signal: controller.signal })).rejects.toBe(reason);
    expect(a.driver.waiting).toBe(0);
    const at = peers.time.now;
    expect(await peers.run(a.dht.get('k', { timeoutMs: 300 }))).toMatchObject({ outcome: 'alone', record: null });
    expect(peers.time.now - at).toBeLessThan(310);
  });

  test('that comes on top of too many is refused', async () => {
    peers = new Peers(11);
    const [a, b] = (await peers.meet(2)) as [TestPeer, TestPeer];
    b.process!.pause();
    const running = Array.from({ length: 64 }, (_, i) => a.dht.get(`k${i}`));
    await expect(a.dht.get('one more')).rejects.toMatchObject({ code: 'ERR_OVERLOADED', outcome: 'none' });
    expect((await peers.run(Promise.all(running))).every(({ record }) => record === null)).toBe(true);
    expect(a.driver.waiting).toBe(0);
  });

  test('is rejected when the node closes, and nothing is left', async () => {
    peers = new Peers(12);
    const [a, b] = (await peers.meet(2)) as [TestPeer, TestPeer];
    b.process!.pause();
    const controller = new AbortController();
    const pending = [a.dht.get('k', { signal: controller.signal }), a.dht.put('k', 'v'), a.dht.lookup('k')];
    const settled = Promise.allSettled(pending);
    a.driver.close();
    for (const result of await settled) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CLOSED' } });
    }
    await expect(a.dht.get('k')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    const { queries, requestsSent } = a.driver.stats();
    expect([a.driver.waiting, queries]).toEqual([0, 0]);
    controller.abort();
    b.process!.resume();
    await peers.time.pass(3_600_000);
    expect(a.driver.stats().requestsSent).toBe(requestsSent);
  });

  test.each<[string, (peer: TestPeer) => Promise<unknown>, string]>([
    ['a key that is empty', ({ dht }) => dht.get(''), 'ERR_INVALID_ARGUMENT'],
    ['a key that is too long', ({ dht }) => dht.get('x'.repeat(513)), 'ERR_INVALID_ARGUMENT'],
    ['a key that is none', ({ dht }) => dht.get(7 as unknown as string), 'ERR_INVALID_ARGUMENT'],
    ['too many paths', ({ dht }) => dht.get('k', { paths: 9 }), 'ERR_INVALID_ARGUMENT'],
    ['half a path', ({ dht }) => dht.get('k', { paths: 1.5 }), 'ERR_INVALID_ARGUMENT'],
    ['too much time', ({ dht }) => dht.get('k', { timeoutMs: 60_001 }), 'ERR_INVALID_ARGUMENT'],
    ['a life that is too long', ({ dht }) => dht.put('k', 'v', { ttlMs: 49 * 3_600_000 }), 'ERR_INVALID_ARGUMENT'],
    ['a value that is none', ({ dht }) => dht.put('k', 7 as unknown as string), 'ERR_INVALID_ARGUMENT'],
    ['a value that is too large', ({ dht }) => dht.put('k', 'x'.repeat(4097)), 'ERR_TOO_LARGE'],
    ['what nobody provides', ({ dht }) => dht.providers('user/k'), 'ERR_INVALID_ARGUMENT'],
    ['an id that is none', ({ dht }) => dht.lookup({ node: 'n1' }), 'ERR_INVALID_ARGUMENT'],
  ])('of %s is refused, and nobody is asked', async (_, call, code) => {
    peers = new Peers(13);
    const [a] = (await peers.meet(2)) as [TestPeer, TestPeer];
    const { requestsSent } = a.driver.stats();
    await expect(call(a)).rejects.toMatchObject({ code });
    expect(a.driver.stats().requestsSent).toBe(requestsSent);
  });

  test('goes past peers that are gone, without waiting long for those that cannot be reached', async () => {
    peers = new Peers(14);
    const all = await peers.meet(12);
    await peers.run(all[0]!.dht.put('k', 'v'));
    for (const peer of all.slice(6)) peer.crash();
    const got = await peers.run(all[1]!.dht.get('k', { timeoutMs: 30_000 }));
    expect(text(got.record?.value)).toBe('v');
    expect(got.cost.failures).toBe(6);
    expect(got.cost.elapsedMs).toBeLessThan(5000);
  });
});

describe('a peer that has moved', () => {
  test('is looked up by who cannot reach it, and dialled where it is', async () => {
    peers = new Peers(20);
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    const publish = async (): Promise<void> => {
      await peers.run(c.driver.put({ name: `node/${c.id}`, body: cardOf(c), republish: true }));
    };
    await publish();
    c.crash();
    await peers.time.pass(10);
    const before = c.address;
    c.address = 'elsewhere:1';
    // It reaches only one of them, and so does the other.
    peers.network.cut(a.address, c.address);
    c.start([b]);
    await publish();
    peers.network.healAll();
    expect(a.transport.peer(c.id)).toBeUndefined();
    a.links.send(c.id, 'gossip', [Uint8Array.of(1)], () => [before]);
    await peers.until(() => a.transport.peer(c.id) !== undefined, 'it is linked', 10_000);
    expect(a.transport.peer(c.id)?.address).toBe('elsewhere:1');
    expect(await peers.run(a.dht.lookup({ node: c.id }))).toMatchObject({ node: { addresses: ['elsewhere:1'] } });
  });

  test('one that is gone is looked up once in ten seconds, and nobody is dialled in its place', async () => {
    peers = new Peers(21);
    const [a, , c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    await peers.run(c.driver.put({ name: `node/${c.id}`, body: cardOf(c), republish: true }));
    c.crash();
    await peers.time.pass(10);
    const before = a.driver.stats().requestsSent;
    for (let i = 0; i < 20; i++) {
      a.links.send(c.id, 'gossip', [Uint8Array.of(1)], () => [c.address]);
      await peers.time.pass(500);
    }
    // A look-up asks two, and upkeep asks now and then whether they are there.
    expect(a.driver.stats().requestsSent - before).toBeLessThan(10);
    expect(a.moved.found).toBe(0);
    expect(a.transport.peer(c.id)).toBeUndefined();
  });
});

describe('nodes that are made up', () => {
  test('are dialled while somebody looks for something, and not for ever after', async () => {
    peers = new Peers(5);
    const [, victim, , liar] = (await peers.meet(4)) as [TestPeer, TestPeer, TestPeer, TestPeer];
    let made = 0;
    const madeUp = (): Contact => {
      const peerId = peerIdFromPrivateKey(seededKey(peers.random.bytes(32))).toString();
      made++;
      return { id: dhtIdOf(peerId), peerId, name: 'x', addresses: [`10.0.${made >> 8}.${made & 255}:22`] };
    };
    liar.driver.frame = (from, bytes) => {
      const message = decodeDht(bytes);
      if (message === null || !('count' in message)) return;
      const contacts = Array.from({ length: message.count }, madeUp);
      const { rpc } = message;
      const answer: DhtMessage =
        message.type === 'FindNode'
          ? { type: 'Nodes', rpc, contacts }
          : { type: 'Records', rpc, records: [], contacts };
      liar.transport.send(from, 'dht', encodeDht(answer));
    };
    const dialled = new Set<string>();
    const dial = peers.network.dial.bind(peers.network);
    peers.network.dial = (dialer, to, done) => {
      if (dialer.address === victim.address && to.startsWith('10.')) dialled.add(to);
      return dial(dialer, to, done);
    };
    await peers.run(victim.dht.get('some key', { timeoutMs: 4000 }));
    await peers.time.pass(5000);
    const during = dialled.size;
    expect(during).toBeGreaterThan(0);
    await peers.time.pass(120_000);
    expect(dialled.size).toBe(during);
  });
});

describe('what is forged', () => {
  test('is refused, counted by its reason, and not kept', async () => {
    peers = new Peers(30);
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    await peers.run(b.dht.lookup('k'));
    const ahead = b.process!.wallTime() + 25 * 3_600_000;
    const forged: readonly [SignedRecord, string][] = [
      [b.record('user/a', 'x', { key: keyOf('user/b') }), 'wrong-key'],
      [b.record(`node/${c.id}`, cardOf(c)), 'not-its-own'],
      // Its own name, and what another says of itself.
      [b.record(`node/${b.id}`, cardOf(c)), 'not-its-own'],
      [b.record('group/1', cardOf(c)), 'not-its-own'],
      [b.record('group/1', cardOf(b, { role: 'agent' })), 'bad-card'],
      [b.record(`node/${b.id}`, 'nothing'), 'bad-card'],
      [b.record('other/a', 'x'), 'unknown-name'],
      [b.record('user/a', 'x', { value: Uint8Array.of(9, 9) }), 'bad-envelope'],
      [b.record('user/a', 'x', { kind: 'provider' }), 'wrong-kind'],
      [b.record('user/a', 'x', { seq: ahead }), 'seq-ahead'],
    ];
    const { records: valuesBefore, providers: providersBefore } = a.driver.stats();
    for (const [record, reason] of forged) {
      const before = a.driver.objections[reason as 'wrong-key'] ?? 0;
      b.send(a, { type: 'Store', rpc: 1, record });
      await peers.time.pass(5);
      expect(a.driver.objections[reason as 'wrong-key'], reason).toBe(before + 1);
    }
    expect(a.driver.stats().refused['not-accepted']).toBe(forged.length);
    // Of another, or changed after it was signed.
    const mine = c.record('user/a', 'x');
    for (const record of [
      { ...mine, peerId: b.peerId },
      { ...mine, seq: mine.seq + 1 },
      { ...b.record(`node/${c.id}`, cardOf(c, { addresses: ['evil:1'] })), peerId: c.peerId },
    ]) {
      b.send(a, { type: 'Store', rpc: 1, record });
    }
    await peers.time.pass(5);
    expect(a.driver.stats().refused['bad-signature']).toBe(3);
    const { records, providers } = a.driver.stats();
    expect([records, providers]).toEqual([valuesBefore, providersBefore]);
    expect(await peers.run(a.dht.lookup({ node: c.id }))).toMatchObject({ node: null });
  });

  test('is not believed either by who asks for it', async () => {
    peers = new Peers(31);
    const [a, b] = (await peers.meet(2)) as [TestPeer, TestPeer];
    // Under another name; and changed after it was signed.
    const lies = [b.record('user/other', 'lie', { key: keyOf('user/k') }), { ...b.record('user/k', 'lie'), seq: 7 }];
    const driver = b.driver as { frame: (from: string, bytes: Uint8Array) => void };
    driver.frame = (from, bytes) => {
      const rpc = rpcOf(bytes);
      if (from === a.id && rpc !== null) b.send(a, { type: 'Records', rpc, records: lies, contacts: [] });
    };
    const got = await peers.run(a.dht.get('k', { timeoutMs: 5000, trace: true }));
    expect(got.steps).toMatchObject([{ outcome: 'answered', records: 2 }]);
    expect(got.record).toBeNull();
    expect(a.driver.objections['wrong-key']).toBe(1);
    expect(a.driver.stats().refused['bad-signature']).toBe(1);
  });

  test('contacts with an id that is not theirs, and with peer ids that nobody has, lead nowhere', async () => {
    peers = new Peers(32);
    const [a, b] = (await peers.meet(2)) as [TestPeer, TestPeer];
    const contact = (peerId: string, id = dhtIdOf(peerId)) => ({ id, peerId, name: 'x', addresses: ['evil:1'] });
    const asked = a.dht.lookup('k');
    const contacts = [contact('nobody'), contact('somebody', dhtIdOf('nobody')), contact(`${b.peerId} `)];
    const driver = b.driver as { frame: (from: string, bytes: Uint8Array) => void };
    driver.frame = (from, bytes) => {
      const rpc = rpcOf(bytes);
      if (from === a.id && rpc !== null) b.send(a, { type: 'Nodes', rpc, contacts });
    };
    const { closest, cost } = await peers.run(asked);
    expect(closest.map(({ id }) => id)).toEqual([b.id]);
    expect(cost).toMatchObject({ requests: 3, failures: 2 });
    expect(a.driver.stats().refused['forged-contact']).toBe(1);
    expect(a.driver.unsent).toBe(2);
  });

  test('a peer that says too much of itself does not spoil the answers of those who name it', async () => {
    peers = new Peers(34);
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    // The transport lets through a little more than the DHT does.
    c.hello = () => ({ ...TestPeer.prototype.hello.call(c), address: 'x'.repeat(300) });
    c.crash();
    await peers.time.pass(100);
    c.start([a, b]);
    await peers.run(c.dht.lookup('k'));
    expect(a.transport.peer(c.id)?.address).toHaveLength(300);
    const { closest } = await peers.run(b.dht.lookup('k'));
    expect(new Set(closest.map(({ id }) => id))).toEqual(new Set([a.id, c.id]));
    expect([a, b, c].map(({ driver }) => driver.malformed)).toEqual([0, 0, 0]);
  });

  test('a flood of noise and of changed messages crashes nothing, fills no table, and the peer serves on', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    peers = new Peers(33);
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    await peers.run(b.dht.lookup('k'));
    const random = new Random(seed);
    const contacts = [c, b].map(({ peerId, name, address }) => ({
      ...{ id: dhtIdOf(peerId), peerId, name, addresses: [address] },
    }));
    const valid: readonly DhtMessage[] = [
      { type: 'Ping', rpc: 1 },
      { type: 'Pong', rpc: 2 },
      { type: 'FindNode', rpc: 3, target: random.bytes(32), count: 20 },
      { type: 'FindRecords', rpc: 4, kind: 'provider', key: random.bytes(32), count: 64 },
      { type: 'Nodes', rpc: 5, contacts },
      { type: 'Records', rpc: 6, records: [b.record('user/x', 'y')], contacts },
      { type: 'Store', rpc: 7, record: b.record('user/x', 'y') },
      { type: 'Stored', rpc: 8, refused: 'full' },
    ];
    const frames = valid.map((message) => Uint8Array.from(Buffer.concat(encodeDht(message))));
    for (let i = 0; i < 6000; i++) {
      const frame = i % 3 === 0 ? random.bytes(random.between(0, 300)) : Uint8Array.from(random.pick(frames));
      if (i % 3 === 1) frame[random.between(0, frame.length - 1)] = random.between(0, 255);
      b.transport.send(a.id, 'dht', [frame]);
      if (i % 50 === 0) await peers.time.pass(2);
    }
    await peers.time.pass(5000);
    const { contacts: known, records, providers, pendingRequests, queries, refused } = a.driver.stats();
    expect(a.driver.malformed, `seed ${seed}`).toBeGreaterThan(2000);
    expect(refused.unsolicited, `seed ${seed}`).toBeGreaterThan(500);
    expect([known, records, providers, pendingRequests, queries], `seed ${seed}`).toEqual([2, 1, 0, 0, 0]);
    expect(a.transport.stats().malformed, `seed ${seed}`).toBe(0);
    await peers.run(c.dht.put('k', 'v'));
    expect(text((await peers.run(b.dht.get('k'))).record?.value), `seed ${seed}`).toBe('v');
  });
});

/** Of a frame with a request. */
function rpcOf(bytes: Uint8Array): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const token = bytes[3];
  // msgpack: an array of four at most, the type, then the number in as few bytes as it takes.
  if (token === 0xce) return view.getUint32(4);
  if (token === 0xcd) return view.getUint16(4);
  return token === undefined || token > 0x7f ? null : token;
}
