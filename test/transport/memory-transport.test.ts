import { describe, expect, test } from 'vitest';
import { eventTypes, joinToken, linked, SECRET, transportConformance } from './conformance.ts';
import type { TestNode } from './conformance.ts';
import { MemoryHarness } from './memory-harness.ts';
import type { Credential } from '../../src/transport/types.ts';

// A frame takes the longer the larger it is, as on a wire.
transportConformance(
  'memory',
  () => new MemoryHarness({ delayMs: (_from, _to, _traffic, bytes) => 1 + bytes / 100_000 }),
);

async function pair(h: MemoryHarness): Promise<[TestNode, TestNode]> {
  const a = await h.create({ name: 'a' });
  const b = await h.create({ name: 'b' });
  a.transport.connect(b.transport.address);
  b.transport.connect(a.transport.address);
  await h.until(() => linked(a, b) && linked(b, a), 'linked');
  await h.pass(50);
  return [a, b];
}

describe('a network in memory', () => {
  test('a cut is noticed by nobody until keep-alives are missing, is never taken for a dead process, and heals', async () => {
    const h = new MemoryHarness();
    const [a, b] = await pair(h);
    h.network.cut(a.transport.address, b.transport.address);
    a.transport.send(b.id, 'raft', [Uint8Array.of(1)]);
    await h.pass(5000);
    expect(linked(a, b)).toBe(true);
    expect(b.frames).toEqual([]);
    await h.until(() => !linked(a, b) && !linked(b, a), 'both down');
    await h.pass(60_000);
    expect(eventTypes(a)).not.toContain('lost');
    expect(eventTypes(b)).not.toContain('lost');
    h.network.heal(a.transport.address, b.transport.address);
    await h.until(() => linked(a, b) && linked(b, a), 'healed');
    // Both have dialled: until both ends have heard of both connections, what one sends may be on the one that does not count.
    await h.pass(50);
    a.transport.send(b.id, 'raft', [Uint8Array.of(2)]);
    await h.until(() => b.frames.length === 1, 'frame');
  });

  test('a cut of one direction loses frames of that direction only', async () => {
    const h = new MemoryHarness();
    const [a, b] = await pair(h);
    h.network.cutOneWay(a.transport.address, b.transport.address);
    a.transport.send(b.id, 'raft', [Uint8Array.of(1)]);
    b.transport.send(a.id, 'raft', [Uint8Array.of(2)]);
    await h.pass(100);
    expect(a.frames.map((frame) => frame.frame[0])).toEqual([2]);
    expect(b.frames).toEqual([]);
    await h.until(() => !linked(a, b) && !linked(b, a), 'both down');
    h.network.healAll();
    await h.until(() => linked(a, b) && linked(b, a), 'healed');
  });

  test('a crash is seen by the peers as a closed port within two round trips', async () => {
    const h = new MemoryHarness();
    const [a, b] = await pair(h);
    const events = b.events.length;
    const before = h.clock.nowMs;
    h.network.crash(b.transport.address);
    await h.until(() => eventTypes(a).includes('lost'), 'lost');
    expect(h.clock.nowMs - before).toBeLessThanOrEqual(4);
    await h.pass(60_000);
    expect(b.events).toHaveLength(events);
    const again = await h.create({ name: 'b', address: b.transport.address, like: b });
    await h.until(() => linked(a, again) && linked(again, a), 'linked again');
  });

  test('a crash behind a cut is noticed when the cut heals', async () => {
    const h = new MemoryHarness();
    const [a, b] = await pair(h);
    h.network.cut(a.transport.address, b.transport.address);
    h.network.crash(b.transport.address);
    await h.pass(2000);
    expect(linked(a, b)).toBe(true);
    h.network.heal(a.transport.address, b.transport.address);
    await h.until(() => eventTypes(a).includes('lost'), 'lost');
  });

  test('of a link by a token and one by the secret the latter is used, whoever dialled and whichever came first', async () => {
    let isLate = false;
    const h = new MemoryHarness({
      delayMs: () => {
        if (!isLate) return 1;
        isLate = false;
        return 500;
      },
    });
    let own: Credential = { token: joinToken({ expiresMs: 8e15 }) };
    const a = await h.create({ name: 'a' });
    const b = await h.create({ name: 'b', credential: () => own });
    // The last word of the handshake is long on its way: the link is up for the member already, and not for the bearer.
    a.admit = () => {
      isLate = true;
      return { ok: true };
    };
    a.transport.connect(b.transport.address);
    await h.until(() => a.transport.peer(b.id) !== undefined, 'the link by the token is up for a');
    expect(a.transport.peer(b.id)?.credential.type).toBe('token');
    a.admit = () => ({ ok: true });
    own = { secret: SECRET };
    b.transport.connect(a.transport.address);
    await h.until(() => b.transport.peer(a.id) !== undefined, 'the link by the secret is up for b');
    for (let number = 0; number < 100; number++) {
      await h.pass(20);
      expect(a.transport.peer(b.id)?.credential).toEqual({ type: 'secret' });
      a.transport.send(b.id, 'client', [Uint8Array.of(number)]);
    }
    await h.pass(20);
    expect(b.frames.map(({ frame }) => frame[0])).toEqual(Array.from({ length: 100 }, (_, number) => number));
    expect(b.events.map(({ type }) => type)).toEqual(['up']);
    await h.close();
  });

  test('frames stay in order whatever the delays, and may be lost', async () => {
    let state = 7;
    const random = (): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state / 0x80000000;
    };
    const h = new MemoryHarness({ delayMs: () => random() * 20, lose: () => random() < 0.1 });
    const [a, b] = await pair(h);
    for (let i = 0; i < 200; i++) {
      a.transport.send(b.id, 'raft', [Uint8Array.of(i)]);
      if (i % 10 === 0) await h.pass(3);
    }
    await h.pass(1000);
    const got = b.frames.map((frame) => frame.frame[0]!);
    expect(got.length).toBeLessThan(200);
    expect(got.length).toBeGreaterThan(150);
    expect(got).toEqual([...got].sort((x, y) => x - y));
  });

  test('two that dial each other at any time, whatever the delays, end with one link and lose no order', async () => {
    for (let seed = 1; seed <= 300; seed++) {
      let state = seed;
      const random = (): number => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        return state / 0x80000000;
      };
      const h = new MemoryHarness({ delayMs: () => random() * 8, random });
      const a = await h.create({ name: 'a' });
      const b = await h.create({ name: 'b' });
      a.transport.connect(b.transport.address);
      await h.pass(random() * 30);
      b.transport.connect(a.transport.address);
      let sent = 0;
      const talk = async (ms: number): Promise<void> => {
        for (let at = 0; at < ms; at += 2) {
          sent++;
          const frame = Uint8Array.of(sent >> 8, sent & 255);
          a.transport.send(b.id, 'raft', [frame]);
          b.transport.send(a.id, 'raft', [frame]);
          await h.pass(2);
        }
      };
      await talk(200);
      const settled = [a, b].map((node) => node.frames.length);
      await talk(200);
      await h.pass(20);
      for (const [index, node] of [a, b].entries()) {
        expect(eventTypes(node).filter((type) => type !== 'up')).toEqual([]);
        expect(node.frames.length - settled[index]!).toBeGreaterThanOrEqual(99);
        const numbers = node.frames.map(({ frame }) => frame[0]! * 256 + frame[1]!);
        expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
      }
      // Long after, one connection is left: nobody is told of its rival's end.
      await h.pass(15_000);
      for (const node of [a, b]) expect(eventTypes(node).filter((type) => type !== 'up')).toEqual([]);
      await h.close();
    }
  });

  test('the same inputs give the same run', async () => {
    const run = async (): Promise<unknown> => {
      let state = 99;
      const random = (): number => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        return state / 0x80000000;
      };
      const h = new MemoryHarness({ delayMs: () => random() * 5, random });
      const [a, b] = await pair(h);
      const c = await h.create({ name: 'c' });
      c.transport.connect(a.transport.address);
      c.transport.connect(b.transport.address);
      const seen: unknown[] = [];
      for (const node of [a, b, c]) {
        node.onFrame = (from, channel, frame) => seen.push([h.clock.nowMs, node.name, from, channel, frame[0]]);
      }
      for (let i = 0; i < 100; i++) {
        for (const from of [a, b, c])
          for (const to of [a, b, c]) from.transport.send(to.id, 'raft', [Uint8Array.of(i)]);
        if (i === 30) h.network.cut(a.transport.address, c.transport.address);
        if (i === 60) h.network.crash(b.transport.address);
        await h.pass(random() * 10);
      }
      await h.pass(20_000);
      return [seen, eventTypes(a), eventTypes(b), eventTypes(c), h.clock.nowMs];
    };
    expect(await run()).toEqual(await run());
  });
});
