/** Which of several connections to a peer counts, and whom a dial is about: the orders of events in which that went wrong. */
import { expect, test } from 'vitest';
import type { Credential } from '../../src/transport/types.ts';
import { Random } from '../../src/testing/random.ts';
import { eventTypes, joinToken, linked, SECRET } from './conformance.ts';
import { MemoryHarness } from './memory-harness.ts';
import type { TestNode } from './conformance.ts';

const VERDICT_BYTES = JSON.stringify({ t: 'verdict', ok: true }).length;

test.each([1, 300])(
  'of two connections that one side dialled both take the same: the first handshake ends %i ms late',
  async (lateMs) => {
    let isFirst = true;
    const h = new MemoryHarness({
      delayMs: (from, _to, traffic, bytes) => {
        if (traffic !== 'control' || bytes !== VERDICT_BYTES || from !== a.transport.address || !isFirst) return 10;
        isFirst = false;
        return 10 + lateMs;
      },
    });
    const a = await h.create({ name: 'a' });
    const b = await h.create({ name: 'b' });
    // As who releases an address, and keeps it again.
    a.transport.connect(b.transport.address);
    await h.pass(5);
    a.transport.disconnect(b.transport.address);
    a.transport.connect(b.transport.address);
    await h.until(() => linked(a, b) && linked(b, a), 'linked');
    await h.pass(100);
    const sent: number[] = [];
    for (let number = 0; number < 100; number++) {
      sent.push(number);
      b.transport.send(a.id, 'raft', [Uint8Array.of(number)]);
      await h.pass(10);
    }
    await h.pass(1000);
    expect(a.frames.map(({ frame }) => frame[0])).toEqual(sent);
  },
);

test('an address is dialled though somebody else, who cannot be reached there, says that it is his', async () => {
  const h = new MemoryHarness();
  const a = await h.create({ name: 'a' });
  const b = await h.create({ name: 'b' });
  const c = await h.create({ name: 'c', credential: () => ({ token: joinToken({ expiresMs: 8e15 }) }) });
  a.transport.connect(b.transport.address);
  await h.until(() => linked(a, b) && linked(b, a), 'linked');
  c.hello = { ...c.hello, address: b.transport.address };
  c.transport.connect(a.transport.address);
  await h.until(() => linked(a, c), 'c is there');
  h.network.crash(b.transport.address);
  await h.pass(1000);
  const again = await h.create({ name: 'b', address: b.transport.address, like: b });
  await h.pass(60_000);
  expect({ lost: eventTypes(a).includes('lost'), linked: linked(a, again) }).toEqual({ lost: true, linked: true });
});

test('an address is dialled though who was there once is linked at another', async () => {
  const h = new MemoryHarness();
  const a = await h.create({ name: 'a' });
  const b = await h.create({ name: 'b', address: 'x:1' });
  a.transport.connect('x:1');
  await h.until(() => linked(a, b), 'linked');
  h.network.crash('x:1');
  await h.pass(1000);
  const moved = await h.create({ name: 'b', address: 'y:1', like: b });
  a.transport.connect('y:1');
  await h.until(() => linked(a, moved), 'linked where it is now');
  const c = await h.create({ name: 'c', address: 'x:1' });
  await h.until(() => linked(a, c), 'linked with who is where it was');
  await h.pass(60_000);
  expect([linked(a, moved), linked(a, c)]).toEqual([true, true]);
  await h.close();
});

test('a link that is closed while its address is told is not up', async () => {
  const h = new MemoryHarness();
  const b = await h.create({ name: 'b' });
  const events: string[] = [];
  const a = h.network.createTransport({
    address: 'a:0',
    credential: () => ({ secret: SECRET }),
    wallTime: () => 0,
    handlers: {
      hello: () => ({ ...b.hello, id: '99', peerId: 'peer99', name: 'a', address: a.address }),
      admit: () => ({ ok: true }),
      frame: () => undefined,
      peer: ({ type }) => events.push(type),
      dialled: (address, id) => {
        a.disconnect(address);
        if (id !== null) a.hangUp(id);
      },
    },
  });
  a.connect(b.transport.address);
  await h.pass(60_000);
  expect(linked(b, { ...b, id: '99' })).toBe(false);
  expect({ events, peers: a.peers() }).toMatchObject({ peers: [] });
});

test('when the link that counts ends, none that was outranked takes its place', async () => {
  const late: number[] = [];
  const h = new MemoryHarness({ delayMs: () => late.shift() ?? 5 });
  let own: Credential = { token: joinToken({ expiresMs: 8e15 }) };
  const a = await h.create({ name: 'a' });
  const b = await h.create({ name: 'b', credential: () => own });
  // One connection that begins by the token; what b says last on it is long on its way.
  b.admit = () => {
    late.push(400);
    b.admit = () => ({ ok: true });
    return { ok: true };
  };
  a.transport.connect(b.transport.address);
  await h.until(() => b.credentials.length === 1, 'b has judged a');
  a.transport.disconnect(b.transport.address);
  // Two by the secret.
  own = { secret: SECRET };
  b.transport.connect(a.transport.address);
  await h.pass(1);
  b.transport.disconnect(a.transport.address);
  b.transport.connect(a.transport.address);
  await h.pass(100);
  b.transport.disconnect(a.transport.address);
  expect(a.credentials.map(({ type }) => type)).toEqual(['secret', 'secret']);
  // The one by the token is up for a, and not yet for b.
  a.admit = () => {
    late.push(400);
    return { ok: true };
  };
  await h.until(() => a.credentials.length === 3, 'a has judged b once more');
  expect(a.credentials.at(-1)?.type).toBe('token');
  expect(a.transport.peer(b.id)?.credential.type).toBe('secret');
  // The one that counts is lost, by a frame that nobody can read.
  a.onFrame = () => {
    throw new Error('no frame');
  };
  b.transport.send(a.id, 'client', [Uint8Array.of(1)]);
  await h.pass(50);
  // The others end with it.
  expect(a.transport.peers()).toEqual([]);
  expect(a.events.at(-1)?.type).toBe('down');
  await h.pass(500);
  expect(b.transport.peers()).toEqual([]);
  await h.close();
});

test('a link by the secret counts although a handshake that began by a token has the higher number', async () => {
  const late: number[] = [];
  const h = new MemoryHarness({ delayMs: () => late.shift() ?? 5 });
  let own: Credential = { token: joinToken({ expiresMs: 8e15 }) };
  const a = await h.create({ name: 'a' });
  const b = await h.create({ name: 'b', credential: () => own });
  b.transport.connect(a.transport.address);
  await h.pass(8);
  b.transport.disconnect(a.transport.address);
  b.transport.connect(a.transport.address);
  // Both are connected. What b says first on the one comes to a, who numbers them, after what it says first on the other.
  late.push(15);
  await h.pass(3);
  own = { secret: SECRET };
  await h.until(() => linked(a, b) && linked(b, a), 'linked by the secret');
  await h.until(() => a.credentials.length === 2, 'the handshake by the token comes to its end');
  await h.pass(500);
  expect(a.credentials.map(({ type }) => type)).toEqual(['secret', 'token']);
  expect([a, b].map(eventTypes)).toEqual([['up'], ['up']]);
  expect([a, b].map((one) => one.transport.peers().length)).toEqual([1, 1]);
  await h.close();
});

test('who hangs up is not told that the peer is up', async () => {
  const h = new MemoryHarness({ delayMs: () => 10 });
  const a = await h.create({ name: 'a' });
  const b = await h.create({ name: 'b' });
  a.transport.connect(b.transport.address);
  b.transport.connect(a.transport.address);
  await h.until(() => linked(a, b) && linked(b, a), 'linked');
  await h.pass(100);
  for (const one of [a, b]) one.events.splice(0);
  a.transport.disconnect(b.transport.address);
  b.transport.disconnect(a.transport.address);
  for (const [one, other] of [[a, b]] as const) one.transport.hangUp(other.id);
  await h.pass(100);
  expect([a, b].map(eventTypes)).toEqual([['down'], ['down']]);
});

test('whoever keeps something from one up to the next is heard by what the other keeps from one to the next, and by nothing else', async () => {
  let pairs = 0;
  let mostUps = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    // Now and then a packet has to be sent again, and again.
    const h = new MemoryHarness({
      delayMs: () => (random.float() < 0.05 ? 1000 * random.float() : 20 * random.float()),
    });
    let own: Credential = random.float() < 0.5 ? { secret: SECRET } : { token: joinToken({ expiresMs: 8e15 }) };
    const a = await h.create({ name: 'a' });
    const b = await h.create({ name: 'b', credential: () => own });
    const [first, second] = random.float() < 0.5 ? [a, b] : [b, a];
    const ups = (node: TestNode): number => node.events.filter(({ type }) => type === 'up').length;
    /** By up of b: the up of a that it heard, or was heard by. */
    const ofA = new Map<number, number>();
    const ofB = new Map<number, number>();
    const met = (upA: number, upB: number): void => {
      expect([ofA.get(upB) ?? upA, ofB.get(upA) ?? upB], `seed ${seed}`).toEqual([upA, upB]);
      ofA.set(upB, upA);
      ofB.set(upA, upB);
    };
    a.onFrame = (_from, _channel, [upB = 0]) => met(ups(a), upB);
    b.onFrame = (_from, _channel, [upA = 0]) => met(upA, ups(b));
    for (let step = 0; step < 200; step++) {
      const what = random.float();
      const [one, other] = random.float() < 0.5 ? [first, second] : [second, first];
      if (what < 0.2) one.transport.connect(other.transport.address);
      else if (what < 0.3) one.transport.disconnect(other.transport.address);
      else if (what < 0.33) h.network.reset(a.transport.address, b.transport.address);
      else if (what < 0.35) one.transport.hangUp(other.id);
      else if (what < 0.36) own = { secret: SECRET };
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        from.transport.send(to.id, 'client', [Uint8Array.of(ups(from))]);
      }
      await h.pass(random.float() * 30);
    }
    pairs += ofA.size;
    mostUps = Math.max(mostUps, ups(a) - ups(b), ups(b) - ups(a));
    // And they come together in the end.
    own = { secret: SECRET };
    a.transport.connect(b.transport.address);
    await h.until(() => linked(a, b) && linked(b, a), 'linked');
    await h.pass(30_000);
    const [upA, upB] = [ups(a), ups(b)];
    a.transport.send(b.id, 'client', [Uint8Array.of(upA)]);
    await h.pass(3000);
    expect(ofB.get(upA), `seed ${seed}`).toBe(upB);
    await h.close();
  }
  // Otherwise nothing was asked: many met, and one side was told more often than the other.
  expect(pairs).toBeGreaterThan(1000);
  expect(mostUps).toBeGreaterThan(1);
});
