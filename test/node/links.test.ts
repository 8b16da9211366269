import { beforeEach, expect, test } from 'vitest';
import { LinkPool } from '../../src/node/links.ts';
import type { Channel } from '../../src/transport/types.ts';
import { MemoryHarness } from '../transport/memory-harness.ts';
import type { TestNode } from '../transport/conformance.ts';

const byte = (value: number): Uint8Array[] => [Uint8Array.of(value)];

let harness: MemoryHarness;
let a: TestNode;
let kept: Set<string>;
/** Who may wait on its link. */
let waiting: Set<string>;

beforeEach(async () => {
  harness = new MemoryHarness();
  a = await harness.create({ name: 'a' });
  kept = new Set();
  waiting = new Set();
});

/** Whom nobody answered for, and where. */
let unreached: unknown[];

function pool(maxLinks?: number): LinkPool {
  unreached = [];
  const links = new LinkPool({
    env: { now: () => harness.clock.nowMs, after: harness.clock.schedule },
    transport: a.transport,
    isKept: (id) => kept.has(id),
    mayWait: (id) => waiting.has(id),
    unreached: (id, tried) => unreached.push([id, ...tried]),
    ...(maxLinks === undefined ? {} : { maxLinks }),
  });
  const { events } = a;
  const push = events.push.bind(events);
  events.push = (...given) => {
    for (const event of given) {
      if (event.type === 'up') links.up(event.peer);
      if (event.type === 'down') links.down(event.peer.id);
    }
    return push(...given);
  };
  return links;
}

/** The frames that a node has of `a`. */
const got = (node: TestNode): number[] => node.frames.map(({ frame }) => frame[0]!);

test('dials whom something is to be sent to, and sends it when the link is up', async () => {
  const b = await harness.create({ name: 'b' });
  const links = pool();
  const addresses = (): string[] => [b.transport.address];
  expect(links.send(b.id, 'ping', byte(1), addresses)).toBe(true);
  expect(links.send(b.id, 'gossip', byte(2), addresses)).toBe(true);
  await harness.until(() => b.frames.length === 2, 'both frames');
  expect(got(b)).toEqual([1, 2]);
  expect(links.size).toBe(1);
  expect(links.send(b.id, 'ping', byte(3), () => expect.unreachable())).toBe(true);
  // It is not dialled again by itself: nobody asked for it.
  await b.transport.close();
  await harness.pass(1000);
  expect(a.events.map(({ type }) => type)).toEqual(['up', 'down']);
  expect(links.size).toBe(0);
});

test('what waits is bounded in bytes, and in time: then whoever is not there is left alone for a while', async () => {
  const b = await harness.create({ name: 'b' });
  const { address } = b.transport;
  await b.transport.close();
  const links = pool();
  const addresses = (): string[] => [address];
  const kib = [new Uint8Array(1024)];
  let taken = 0;
  while (links.send(b.id, 'gossip', kib, addresses)) taken++;
  expect(taken).toBe(64);
  await harness.pass(2100);
  expect(links.send(b.id, 'gossip', kib, addresses)).toBe(false);
  const again = await harness.create({ name: 'b', address, like: b });
  await harness.pass(900);
  expect(a.events).toHaveLength(0);
  expect(links.send(b.id, 'ping', byte(7), addresses)).toBe(true);
  await harness.until(() => again.frames.length > 0, 'the frame');
  expect(got(again)).toEqual([7]);
});

test('an address that was not tried yet is dialled at once, those that failed later and last', async () => {
  const b = await harness.create({ name: 'b' });
  const links = pool();
  const wrong = (count: number): string[] => Array.from({ length: count }, (_, i) => `wrong${i}:1`);
  const { address } = b.transport;
  expect(links.send(b.id, 'gossip', byte(1), () => [...wrong(3), address])).toBe(true);
  await harness.pass(2100);
  expect(unreached).toEqual([[b.id, ...wrong(3)]]);
  expect(links.send(b.id, 'gossip', byte(2), () => wrong(3))).toBe(false);
  expect(links.send(b.id, 'gossip', byte(3), () => [...wrong(3), address])).toBe(true);
  await harness.until(() => b.frames.length > 0, 'the frame');
  expect(got(b)).toEqual([3]);
  // Later too they stand behind: of four addresses three are dialled at a time.
  const gone = await harness.create({ name: 'c' });
  const last = gone.transport.address;
  expect(links.send(gone.id, 'gossip', byte(4), () => wrong(3))).toBe(true);
  await harness.pass(4000);
  expect(links.send(gone.id, 'gossip', byte(5), () => [...wrong(3), last])).toBe(true);
  await harness.until(() => gone.frames.length > 0, 'the frame');
});

test('whom the DHT alone wants is not told of when nobody answers: it may be made up', async () => {
  const links = pool();
  expect(links.send('9', 'dht', byte(1), () => ['gone:1'])).toBe(true);
  expect(links.send('8', 'dht', byte(1), () => ['gone:2'])).toBe(true);
  expect(links.send('8', 'gossip', byte(1), () => ['gone:2'])).toBe(true);
  await harness.pass(2100);
  expect(unreached).toEqual([['8', 'gone:2']]);
});

test('nobody is dialled whose address is not known, or is none', () => {
  const links = pool();
  expect(links.send('9', 'ping', byte(1), () => [])).toBe(false);
  expect(links.send('9', 'ping', byte(1), () => ['', 'nowhere', 'a b:1', 'x:99999'])).toBe(false);
});

test('dials so many at once as what is to be sent is worth', () => {
  const links = pool();
  const dialled = (channel: Channel, from: number): number => {
    const peers = Array.from({ length: 100 }, (_, i) => `${from + i}`);
    return peers.filter((id) => links.send(id, channel, byte(1), () => [`h${id}:1`])).length;
  };
  expect(dialled('gossip', 100)).toBe(8);
  expect(dialled('ping', 200)).toBe(8);
  expect(dialled('dht', 300)).toBe(48);
  expect(dialled('dht', 400)).toBe(0);
  // Who is being dialled already takes more.
  expect(dialled('gossip', 100)).toBe(8);
});

test('gives up the link used longest ago when there are too many, and none that is kept', async () => {
  const others = await Promise.all(['b', 'c', 'd', 'e'].map((name) => harness.create({ name })));
  const [b, c, d, e] = others as [TestNode, TestNode, TestNode, TestNode];
  const links = pool(2);
  kept.add(b.id);
  const send = async (node: TestNode): Promise<void> => {
    const before = node.frames.length;
    expect(links.send(node.id, 'gossip', byte(1), () => [node.transport.address])).toBe(true);
    await harness.until(() => node.frames.length > before, `a frame for ${node.name}`);
  };
  for (const node of [b, c, d, c, e]) await send(node);
  await harness.until(() => a.transport.peers().length === 3, 'one link is given up');
  expect(
    a.transport
      .peers()
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(['b', 'c', 'e']);
  expect(links.size).toBe(2);
  // It is linked again when it is needed.
  await send(d);
  await harness.until(() => a.transport.peers().length === 3, 'one link is given up');
  expect(
    a.transport
      .peers()
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(['b', 'd', 'e']);
});

test('an address is dialled until the last who asked for it gives it back', async () => {
  const b = await harness.create({ name: 'b' });
  const { address } = b.transport;
  const links = pool();
  links.keep(address);
  links.keep(address);
  links.send(b.id, 'ping', byte(1), () => [address]);
  await harness.until(() => b.frames.length === 1, 'linked');
  links.release(address);
  links.release('other:1');
  await b.transport.close();
  const again = await harness.create({ name: 'b', address, like: b });
  await harness.until(() => a.transport.peer(again.id) !== undefined, 'linked again');
  links.release(address);
  await again.transport.close();
  await harness.create({ name: 'b', address, like: b });
  await harness.pass(5000);
  expect(a.transport.peers()).toEqual([]);
});

test('who is not reached is told of, and dialled where somebody else says that it is', async () => {
  const b = await harness.create({ name: 'b' });
  const links = pool();
  const addresses = (): string[] => ['gone:1', 'nowhere'];
  links.send(b.id, 'ping', byte(1), addresses);
  expect(links.redirect(b.id, [b.transport.address]), 'it is being dialled').toBe(false);
  await harness.pass(2100);
  expect(unreached).toEqual([[b.id, 'gone:1']]);
  expect(links.redirect(b.id, ['elsewhere:1'])).toBe(true);
  await harness.pass(2100);
  // Nothing waited for that one.
  expect(unreached).toHaveLength(1);
  expect(links.redirect(b.id, ['x', ''])).toBe(false);
  expect(links.redirect(b.id, [b.transport.address])).toBe(true);
  await harness.until(() => a.transport.peer(b.id) !== undefined, 'it is linked');
  expect(links.redirect(b.id, ['elsewhere:1']), 'it is linked').toBe(false);
  // From now on there first.
  a.transport.hangUp(b.id);
  await harness.until(() => a.transport.peer(b.id) === undefined, 'it is not');
  links.send(b.id, 'ping', byte(7), addresses);
  await harness.until(() => b.frames.length > 0, 'the frame');
  links.close();
  expect(links.redirect('77', ['elsewhere:1'])).toBe(false);
});

test('who is given up is not dialled any longer; its link stays, if there is one', async () => {
  const b = await harness.create({ name: 'b' });
  const links = pool();
  links.send(b.id, 'ping', byte(1), () => [b.transport.address]);
  links.send('77', 'ping', byte(1), () => ['gone:1']);
  await harness.until(() => links.isLinked(b.id), 'linked');
  links.drop(b.id);
  links.drop('77');
  await harness.pass(3000);
  expect(unreached).toEqual([]);
  expect(links.isLinked(b.id)).toBe(true);
  expect(links.isLinked('77')).toBe(false);
});

test('a link that came up later than was waited for is one on demand all the same', async () => {
  const b = await harness.create({ name: 'b' });
  const { address } = b.transport;
  await b.transport.close();
  const links = pool();
  links.send(b.id, 'ping', byte(1), () => [address]);
  await harness.pass(2100);
  expect(unreached).toHaveLength(1);
  const again = await harness.create({ name: 'b', address, like: b });
  // As a dial that was under way by then would do.
  a.transport.connect(address);
  await harness.until(() => links.isLinked(again.id), 'linked');
  a.transport.disconnect(address);
  expect(links.size).toBe(1);
});

test('when it is closed nothing is dialled any more', async () => {
  const b = await harness.create({ name: 'b' });
  const { address } = b.transport;
  const links = pool();
  links.send('77', 'ping', byte(1), () => ['nobody:1']);
  links.keep('nobody:2');
  links.close();
  links.keep(address);
  expect(links.send(b.id, 'ping', byte(1), () => [address])).toBe(false);
  await harness.pass(3000);
  expect(a.events).toHaveLength(0);
});

test('nor is it looked whether a link is idle', async () => {
  const b = await harness.create({ name: 'b' });
  const links = pool();
  links.send(b.id, 'ping', byte(1), () => [b.transport.address]);
  await harness.until(() => links.isLinked(b.id), 'linked');
  links.close();
  links.heard(b.id);
  await harness.pass(200_000);
  expect(links.isLinked(b.id)).toBe(true);
});

test('a link on which nothing is said either way is given up after a minute or so', async () => {
  const b = await harness.create({ name: 'b' });
  const c = await harness.create({ name: 'c' });
  const links = pool();
  const speak = (node: TestNode): boolean => links.send(node.id, 'ping', byte(1), () => [node.transport.address]);
  speak(b);
  speak(c);
  await harness.until(() => b.frames.length > 0 && c.frames.length > 0, 'both frames');
  // One is spoken to, the other speaks.
  for (let i = 0; i < 5; i++) {
    await harness.pass(40_000);
    speak(b);
    links.heard(c.id);
    expect(links.size).toBe(2);
  }
  await harness.pass(40_000);
  speak(b);
  expect(links.size).toBe(2);
  await harness.pass(60_000);
  expect(links.size).toBe(1);
  expect(a.transport.peer(c.id)).toBeUndefined();
  expect(a.transport.peer(b.id)).toBeDefined();
  // It is dialled again when it is needed again.
  speak(c);
  await harness.until(() => c.frames.length === 2, 'the frame');
});

test('a link on which its peer may wait, or that somebody keeps by now, is not given up for being idle', async () => {
  const b = await harness.create({ name: 'b' });
  const c = await harness.create({ name: 'c' });
  const links = pool();
  waiting.add(b.id);
  for (const node of [b, c]) links.send(node.id, 'ping', byte(1), () => [node.transport.address]);
  await harness.until(() => b.frames.length > 0 && c.frames.length > 0, 'both frames');
  kept.add(c.id);
  await harness.pass(300_000);
  for (const node of [b, c]) expect(links.isLinked(node.id)).toBe(true);
  waiting.clear();
  await harness.pass(30_000);
  expect(links.isLinked(b.id)).toBe(false);
});

test('a link that was made here is given up when it is idle, though another peer than was looked for answers at the address', async () => {
  const b = await harness.create({ name: 'b' });
  const links = pool();
  // Where the peer 77 was said to be, b is by now.
  links.send('77', 'ping', byte(1), () => [b.transport.address]);
  await harness.until(() => a.transport.peer(b.id) !== undefined, 'b is linked');
  expect(links.size).toBe(1);
  await harness.pass(10 * 60_000);
  expect(a.transport.peers()).toEqual([]);
});

test('so is one that nobody wanted any more when it came up', async () => {
  const b = await harness.create({ name: 'b' });
  const links = pool();
  links.send(b.id, 'ping', byte(1), () => [b.transport.address]);
  await harness.pass(3);
  links.drop(b.id); // It is taken for dead, or has left.
  await harness.until(() => a.transport.peer(b.id) !== undefined, 'b is linked');
  await harness.pass(10 * 60_000);
  expect(a.transport.peers()).toEqual([]);
});

test('one that the peer made is the peer’s to give up', async () => {
  const b = await harness.create({ name: 'b' });
  const links = pool();
  b.transport.connect(a.transport.address);
  await harness.until(() => a.transport.peer(b.id) !== undefined, 'b is linked');
  expect(links.size).toBe(0);
  await harness.pass(10 * 60_000);
  expect(a.transport.peers().map(({ name }) => name)).toEqual(['b']);
});
