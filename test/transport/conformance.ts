/** What every Transport must do. Each implementation hands in a harness and runs the same tests. */
import { afterEach, describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import { createJoinToken, parseJoinToken } from '../../src/transport/join-token.ts';
import type { NewJoinToken } from '../../src/transport/join-token.ts';
import type { PartialTransportLimits } from '../../src/transport/limits.ts';
import { CHANNELS } from '../../src/transport/types.ts';
import type {
  Channel,
  Credential,
  Hello,
  JoinToken,
  PeerCredential,
  PeerEvent,
  Transport,
  TransportHandlers,
  Verdict,
} from '../../src/transport/types.ts';

export const SECRET = 'a secret of the tests';

/** A transport and all that its handlers were told. */
export interface TestNode {
  readonly name: string;
  readonly id: string;
  readonly transport: Transport;
  readonly events: PeerEvent[];
  readonly frames: { from: string; channel: Channel; frame: Uint8Array }[];
  /** What `hello()` answers. */
  hello: Hello;
  /** What `admit()` answers. */
  admit: (hello: Hello, credential: PeerCredential) => Verdict;
  /** What the peers that it was asked to judge had proved with. */
  readonly credentials: PeerCredential[];
  /** Called for each frame, after it was noted. */
  onFrame: (from: string, channel: Channel, frame: Uint8Array) => void;
}

export interface NodeOptions {
  readonly name: string;
  readonly secret?: string | null;
  /** Default: the secret. */
  readonly credential?: () => Credential;
  /** Default: the harness's own time. */
  readonly wallTime?: () => number;
  readonly limits?: PartialTransportLimits;
  readonly address?: string;
  /** Same identity as this node, as after a restart. */
  readonly like?: TestNode;
}

export interface Harness {
  create(options: NodeOptions): Promise<TestNode>;
  /** Lets time pass until the condition holds; throws when it does not within about ten seconds (of its own time). */
  until(condition: () => boolean, what: string): Promise<void>;
  /** Lets about this much time pass. Only to show that something does not happen. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** A token of the cluster 1234 for any role, but for what is given. */
export function joinToken(given: Partial<NewJoinToken> & Pick<NewJoinToken, 'expiresMs'>): JoinToken {
  const nonce = new Uint8Array(16);
  return parseJoinToken(createJoinToken({ secret: SECRET, clusterId: '1234', role: null, nonce, ...given }));
}

/** Dials at once, without the wait after a refusal. */
function redial(from: TestNode, to: TestNode): void {
  from.transport.disconnect(to.transport.address);
  from.transport.connect(to.transport.address);
}

/** A node whose handlers note everything; `start` makes its transport. */
export function testNode(
  name: string,
  identity: { id: string; peerId: string },
): {
  handlers: TransportHandlers;
  node(transport: Transport): TestNode;
} {
  const hello: Hello = {
    clusterId: null,
    id: identity.id,
    name,
    peerId: identity.peerId,
    bootEpoch: 1,
    address: '',
    http: '',
    pid: 1,
    protocol: 1,
    extra: {},
  };
  const node: Omit<TestNode, 'transport'> & { transport?: Transport } = {
    name,
    id: identity.id,
    events: [],
    frames: [],
    hello,
    admit: () => ({ ok: true }),
    credentials: [],
    onFrame: () => undefined,
  };
  return {
    handlers: {
      hello: () => node.hello,
      admit: (theirs, credential) => {
        node.credentials.push(credential);
        return node.admit(theirs, credential);
      },
      frame: (from, channel, frame) => {
        node.frames.push({ from, channel, frame });
        node.onFrame(from, channel, frame);
      },
      peer: (event) => node.events.push(event),
    },
    node: (transport) => {
      node.hello = { ...node.hello, address: transport.address };
      return Object.assign(node, { transport });
    },
  };
}

export function eventTypes(node: TestNode): string[] {
  return node.events.map((event) => event.type);
}

export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

export function transportConformance(name: string, makeHarness: () => Harness): void {
  describe(`${name}: a transport`, () => {
    let harness: Harness;
    let used = false;
    const start = (): Harness => {
      harness = makeHarness();
      used = true;
      return harness;
    };
    afterEach(async () => {
      if (used) await harness.close();
    });

    async function pair(options: Partial<NodeOptions> = {}): Promise<[TestNode, TestNode, Harness]> {
      const h = start();
      const a = await h.create({ name: 'a', ...options });
      const b = await h.create({ name: 'b', ...options });
      a.transport.connect(b.transport.address);
      await h.until(() => linked(a, b) && linked(b, a), 'a and b linked');
      return [a, b, h];
    }

    test('tells both sides that the other is up, with its Hello', async () => {
      const [a, b] = await pair();
      expect(eventTypes(a)).toEqual(['up']);
      expect(eventTypes(b)).toEqual(['up']);
      expect(a.transport.peers().map((peer) => peer.name)).toEqual(['b']);
      expect(a.transport.peer(b.id)).toEqual({
        id: b.id,
        name: 'b',
        address: b.transport.address,
        hello: b.hello,
        credential: { type: 'secret' },
        dialled: true,
      });
      expect(b.transport.peer(a.id)?.dialled).toBe(false);
      expect(b.transport.peer(a.id)?.hello).toEqual(a.hello);
      expect(a.transport.peer('1')).toBeUndefined();
    });

    test('delivers frames whole and in order, of every size from nothing to the limit, however they are cut into parts', async () => {
      const max = 3 * 1024 * 1024;
      const [a, b, h] = await pair({ limits: { maxFrameBytes: { raft: max } } });
      const sizes = [
        0, 1, 2, 3, 4, 5, 0, 0, 255, 256, 257, 1199, 1200, 1201, 4095, 4096, 65_515, 65_519, 65_520, 65_536,
      ];
      sizes.push(100_000, 262_131, 262_132, 262_133, 262_144, 1_000_000, max - 1, max, 0, 7);
      const sent = sizes.map((size, index) => pattern(size, index));
      for (const [index, frame] of sent.entries()) {
        const cut = frame.byteLength >> (index % 5);
        const parts = index % 3 === 0 ? [frame] : [frame.subarray(0, cut), new Uint8Array(0), frame.subarray(cut)];
        expect(a.transport.send(b.id, 'raft', parts)).toBe(true);
      }
      await h.until(() => b.frames.length === sent.length, 'all frames');
      for (const [index, frame] of sent.entries()) {
        const got = b.frames[index]!;
        expect(got.from).toBe(a.id);
        expect(got.channel).toBe('raft');
        expect(Buffer.compare(got.frame, frame), `frame ${index}`).toBe(0);
      }
      expect(b.transport.stats().peers[0]!.bytesReceived).toBe(sizes.reduce((sum, size) => sum + size, 0));
    });

    test('keeps channels apart and carries them both ways at once', async () => {
      const [a, b, h] = await pair();
      for (let i = 0; i < 50; i++) {
        for (const channel of CHANNELS) {
          a.transport.send(b.id, channel, [Uint8Array.of(i)]);
          b.transport.send(a.id, channel, [Uint8Array.of(i, i)]);
        }
      }
      await h.until(() => a.frames.length === 300 && b.frames.length === 300, 'all frames');
      for (const channel of CHANNELS) {
        const at = (node: TestNode): number[] =>
          node.frames.filter((frame) => frame.channel === channel).map((frame) => frame.frame[0]!);
        expect(at(b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
        expect(at(a)).toEqual(Array.from({ length: 50 }, (_, i) => i));
      }
    });

    test('a full snapshot queue does not hold up raft', async () => {
      const [a, b, h] = await pair();
      let ahead = -1;
      b.onFrame = (_from, channel) => {
        if (channel === 'raft' && ahead < 0) ahead = b.frames.length - 1;
      };
      // The raft stream is open and warm, as it always is when there is something to snapshot.
      a.transport.send(b.id, 'raft', [Uint8Array.of(0)]);
      await h.until(() => b.frames.length === 1, 'first frame');
      ahead = -1;
      b.frames.length = 0;
      const chunk = pattern(512 * 1024, 1);
      let chunks = 0;
      while (a.transport.send(b.id, 'snapshot', [chunk])) chunks++;
      expect(chunks).toBeGreaterThan(10);
      a.transport.send(b.id, 'raft', [Uint8Array.of(1)]);
      await h.until(() => b.frames.length === chunks + 1, 'all frames');
      expect(ahead).toBeGreaterThanOrEqual(0);
      expect(ahead).toBeLessThan(chunks / 2);
    });

    test('a full gossip queue does not hold up a ping, and the queue of pings is small', async () => {
      const [a, b, h] = await pair();
      a.transport.send(b.id, 'ping', [Uint8Array.of(0)]);
      await h.until(() => b.frames.length === 1, 'first frame');
      let ahead = -1;
      b.frames.length = 0;
      b.onFrame = (_from, channel) => {
        if (channel === 'ping' && ahead < 0) ahead = b.frames.length - 1;
      };
      const table = pattern(60_000, 1);
      let tables = 0;
      while (a.transport.send(b.id, 'gossip', [table])) tables++;
      expect(tables).toBe(Math.floor((1024 * 1024) / 60_000));
      let pings = 0;
      while (a.transport.send(b.id, 'ping', [pattern(1024, 2)])) pings++;
      // With or without a header for each frame.
      expect(pings).toBeGreaterThanOrEqual(63);
      expect(pings).toBeLessThanOrEqual(64);
      await h.until(() => b.frames.length === tables + pings, 'all frames');
      expect(ahead).toBeGreaterThanOrEqual(0);
      expect(ahead).toBeLessThan(tables / 2);
      expect(() => a.transport.send(b.id, 'ping', [new Uint8Array(64 * 1024 + 1)])).toThrow(/over the limit/);
    });

    test('drops and counts frames beyond the queue of a channel, and goes on when it has emptied', async () => {
      const maxQueueBytes = { client: 100_000 };
      const [a, b, h] = await pair({ limits: { maxQueueBytes } });
      const frame = pattern(1000, 2);
      let taken = 0;
      for (let i = 0; i < 200; i++) {
        if (a.transport.send(b.id, 'client', [frame])) taken++;
        expect(a.transport.queuedBytes(b.id, 'client')).toBeLessThanOrEqual(100_000);
      }
      expect(taken).toBeGreaterThanOrEqual(99);
      expect(taken).toBeLessThanOrEqual(100);
      // Another channel has a queue of its own.
      expect(a.transport.send(b.id, 'raft', [frame])).toBe(true);
      expect(a.transport.stats().peers[0]!.framesDropped).toBe(200 - taken);
      await h.until(() => b.frames.length === taken + 1, 'what was taken arrives');
      await h.until(() => a.transport.queuedBytes(b.id, 'client') === 0, 'an empty queue');
      expect(a.transport.send(b.id, 'client', [frame])).toBe(true);
      // A frame that is larger than the queue, but not than the limit of a frame, passes when the queue is empty.
      await h.until(() => a.transport.queuedBytes(b.id, 'client') === 0, 'an empty queue');
      expect(a.transport.send(b.id, 'client', [pattern(300_000, 3)])).toBe(true);
      await h.until(() => b.frames.length === taken + 3, 'the rest');
    });

    test('refuses to send a frame over the limit', async () => {
      const [a, b] = await pair({ limits: { maxFrameBytes: { gossip: 100 } } });
      expect(() => a.transport.send(b.id, 'gossip', [new Uint8Array(60), new Uint8Array(41)])).toThrow(/101 bytes/);
      try {
        a.transport.send(b.id, 'gossip', [new Uint8Array(101)]);
        expect.unreachable();
      } catch (error) {
        expect(KvorumError.is(error, 'ERR_TOO_LARGE')).toBe(true);
      }
    });

    test('closes the link when a larger frame comes than it takes', async () => {
      const h = start();
      const a = await h.create({ name: 'a' });
      const b = await h.create({ name: 'b', limits: { maxFrameBytes: { gossip: 100 } } });
      if (name === 'memory') return; // frames are not announced by their length there: nothing can be wrong
      a.transport.connect(b.transport.address);
      await h.until(() => linked(a, b) && linked(b, a), 'linked');
      a.transport.send(b.id, 'gossip', [new Uint8Array(101)]);
      await h.until(() => eventTypes(a).includes('down'), 'down');
      expect(b.frames).toEqual([]);
      expect(b.transport.stats().malformed).toBe(1);
      await h.until(() => linked(a, b), 'linked again');
    });

    test('keeps one link when both dial at the same time', async () => {
      const h = start();
      for (let round = 0; round < 10; round++) {
        const a = await h.create({ name: 'a' });
        const b = await h.create({ name: 'b' });
        a.transport.connect(b.transport.address);
        b.transport.connect(a.transport.address);
        await h.until(() => linked(a, b) && linked(b, a), 'linked');
        let echoes = 0;
        a.onFrame = () => echoes++;
        b.onFrame = (from, channel, frame) => b.transport.send(from, channel, [frame]);
        // Frames may be lost while one of two connections is given up; soon none are.
        await h.until(() => {
          a.transport.send(b.id, 'raft', [Uint8Array.of(1)]);
          return echoes > 20;
        }, 'echoes');
        await h.pass(round === 0 ? 1500 : 20);
        expect(eventTypes(a)).not.toContain('down');
        expect(eventTypes(b)).not.toContain('down');
        expect(a.transport.peers()).toHaveLength(1);
        await a.transport.close();
        await b.transport.close();
      }
    });

    test('notices that a peer left, that its port is closed, and when it is back, with its new Hello', async () => {
      const [a, b, h] = await pair();
      const { address } = b.transport;
      await b.transport.close();
      await h.until(() => eventTypes(a).includes('lost'), 'lost');
      expect(eventTypes(a)).toEqual(['up', 'down', 'lost']);
      expect(a.transport.peers()).toEqual([]);
      expect(a.transport.peer(b.id)).toBeUndefined();
      expect(a.transport.send(b.id, 'raft', [Uint8Array.of(1)])).toBe(false);
      const again = await h.create({ name: 'b', address, like: b });
      again.hello = { ...again.hello, bootEpoch: 2, extra: { lastIndex: { 1: 17 } } };
      await h.until(() => linked(a, again) && linked(again, a), 'linked again');
      expect(eventTypes(a)).toEqual(['up', 'down', 'lost', 'up']);
      expect(a.transport.peer(b.id)?.hello.bootEpoch).toBe(2);
      expect(a.transport.peer(b.id)?.hello.extra).toEqual({ lastIndex: { 1: 17 } });
      expect(a.transport.stats().peers.map((peer) => peer.framesDropped)).toEqual([1]);
    });

    test('refuses a peer with another secret, says so on both sides, and reports it once', async () => {
      const h = start();
      const a = await h.create({ name: 'a' });
      const b = await h.create({ name: 'b', secret: 'another secret here' });
      a.transport.connect(b.transport.address);
      await h.until(() => (b.transport.stats().refused['ERR_WRONG_SECRET'] ?? 0) >= 2, 'refused twice');
      for (const node of [a, b]) {
        expect(eventTypes(node)).toEqual(['refused']);
        expect(node.events[0]).toMatchObject({ code: 'ERR_WRONG_SECRET' });
        expect(node.transport.peers()).toEqual([]);
      }
      expect(a.events[0]).toMatchObject({ address: b.transport.address });
      expect(JSON.stringify([a.events, b.events])).not.toContain(SECRET);
      expect(a.transport.stats().malformed + b.transport.stats().malformed).toBe(0);
    });

    test('without a secret admits nobody and is admitted nowhere', async () => {
      const h = start();
      const a = await h.create({ name: 'a', secret: null });
      const b = await h.create({ name: 'b', secret: null });
      const c = await h.create({ name: 'c' });
      a.transport.connect(b.transport.address);
      c.transport.connect(a.transport.address);
      b.transport.connect(c.transport.address);
      await h.until(() => [a, b, c].every((node) => node.events.length >= 1), 'refused');
      for (const node of [a, b, c]) {
        expect(new Set(eventTypes(node))).toEqual(new Set(['refused']));
        expect(node.transport.peers()).toEqual([]);
        expect(node.transport.stats().refused['ERR_WRONG_SECRET']).toBeGreaterThanOrEqual(1);
      }
    });

    test('lets a node with a join token in, whoever dials, and tells what each proved with', async () => {
      const h = start();
      const expiresMs = 1_700_000_000_000;
      const borne = joinToken({ expiresMs, role: 'learner' });
      const wallTime = () => expiresMs;
      for (const dials of ['the bearer', 'the member']) {
        const a = await h.create({ name: 'a', wallTime });
        const b = await h.create({ name: 'b', wallTime, credential: () => ({ token: borne }) });
        b.hello = { ...b.hello, extra: { role: 'learner' } };
        const [from, to] = dials === 'the bearer' ? [b, a] : [a, b];
        from.transport.connect(to.transport.address);
        await h.until(() => linked(a, b) && linked(b, a), `linked when ${dials} dials`);
        expect(a.credentials).toEqual([{ type: 'token', role: 'learner', expiresMs }]);
        expect(b.credentials).toEqual([{ type: 'secret' }]);
        expect([a, b].map((node) => node.transport.stats().refused)).toEqual([{}, {}]);
        b.transport.send(a.id, 'raft', [Uint8Array.of(7)]);
        await h.until(() => a.frames.length === 1, 'a frame');
      }
    });

    test('refuses a join token that is expired, of another cluster, role or secret: counted, told to both, reported once', async () => {
      const h = start();
      const NOW = 1_700_000_000_000;
      const cases = [
        [{ expiresMs: NOW - 5001 }, /expired at 2023-11-14T22:13:14\.999Z/u],
        [{ clusterId: '77' }, /for cluster 77, this is cluster 1234/u],
        [{ role: 'agent' }, /for the role agent, and b asks for voter/u],
        [{ secret: 'another secret here' }, /not made with the secret of this cluster, or was altered/u],
      ] as const;
      for (const [given, message] of cases) {
        const borne = joinToken({ expiresMs: NOW - 5000, ...given });
        const a = await h.create({ name: 'a', wallTime: () => NOW });
        a.hello = { ...a.hello, clusterId: '1234' };
        const b = await h.create({ name: 'b', credential: () => ({ token: borne }) });
        b.transport.connect(a.transport.address);
        const told = { type: 'refused', code: 'ERR_BAD_TOKEN', message: expect.stringMatching(message) as unknown };
        const refusals = (node: TestNode): number => node.transport.stats().refused['ERR_BAD_TOKEN'] ?? 0;
        await h.until(() => [a, b].every((node) => refusals(node) === 1), `refused: ${message.source}`);
        redial(b, a);
        await h.until(() => [a, b].every((node) => refusals(node) === 2), `refused again: ${message.source}`);
        expect(a.events).toMatchObject([{ ...told, by: 'us' }]);
        expect(b.events).toMatchObject([{ ...told, by: 'them', address: a.transport.address }]);
        for (const node of [a, b]) {
          expect(node.transport.peers()).toEqual([]);
          expect(node.transport.stats().malformed).toBe(0);
        }
        expect(a.credentials).toEqual([]);
        b.transport.disconnect(a.transport.address);
      }
    });

    test('of two nodes with join tokens neither lets the other in, and both say so', async () => {
      const h = start();
      const credential = () => ({ token: joinToken({ expiresMs: 8e15 }) });
      const a = await h.create({ name: 'a', credential });
      const b = await h.create({ name: 'b', credential });
      a.transport.connect(b.transport.address);
      await h.until(() => a.events.length > 0 && b.events.length > 0, 'refused');
      for (const node of [a, b]) {
        expect(node.events).toMatchObject([
          { code: 'ERR_UNAVAILABLE', message: expect.stringContaining('both nodes have only a join token') as unknown },
        ]);
        expect(node.transport.stats()).toMatchObject({ refused: { ERR_UNAVAILABLE: 1 }, malformed: 0 });
      }
    });

    test('goes on with a secret that it is given later: links stay, and new ones are made with it', async () => {
      const h = start();
      let now = 1_700_000_000_000;
      const borne = joinToken({ expiresMs: now });
      let own: Credential = null;
      const member = { wallTime: () => now };
      const a = await h.create({ name: 'a', ...member });
      const c = await h.create({ name: 'c', ...member });
      const b = await h.create({ name: 'b', credential: () => own, ...member });
      // Without anything it is let in nowhere …
      b.transport.connect(a.transport.address);
      await h.until(() => eventTypes(b).includes('refused'), 'refused');
      expect(b.events).toMatchObject([{ code: 'ERR_WRONG_SECRET' }]);
      // … with a token for as long as that is good …
      own = { token: borne };
      redial(b, a);
      await h.until(() => linked(a, b) && linked(b, a), 'linked with the token');
      now += 3_600_000;
      b.transport.connect(c.transport.address);
      await h.until(() => c.transport.stats().refused['ERR_BAD_TOKEN'] === 1, 'the token has expired');
      // … and with the secret from then on, also by those who bear tokens themselves.
      own = { secret: SECRET };
      const d = await h.create({ name: 'd', credential: () => ({ token: joinToken({ expiresMs: now }) }) });
      d.transport.connect(b.transport.address);
      redial(b, c);
      await h.until(() => linked(b, c) && linked(c, b), 'linked with the secret');
      await h.until(() => linked(b, d) && linked(d, b), 'a bearer is linked');
      expect(a.credentials).toEqual([{ type: 'token', role: null, expiresMs: now - 3_600_000 }]);
      expect(c.credentials).toEqual([{ type: 'secret' }]);
      expect(eventTypes(a).filter((type) => type !== 'refused')).toEqual(['up']);
      expect(eventTypes(b).filter((type) => type !== 'refused')).toEqual(['up', 'up', 'up']);
    });

    test('tells a refused peer the code and the message of the verdict', async () => {
      const h = start();
      const a = await h.create({ name: 'a' });
      const b = await h.create({ name: 'b' });
      b.admit = (hello) => ({ ok: false, code: 'ERR_WRONG_CLUSTER', message: `${hello.name} is of another cluster` });
      a.transport.connect(b.transport.address);
      await h.until(() => a.events.length > 0 && b.events.length > 0, 'refused');
      expect(a.events).toEqual([
        {
          type: 'refused',
          address: b.transport.address,
          code: 'ERR_WRONG_CLUSTER',
          message: 'the peer refused this node: a is of another cluster',
          by: 'them',
          hello: b.hello,
        },
      ]);
      expect(b.events).toMatchObject([
        { type: 'refused', address: a.transport.address, message: 'a is of another cluster' },
      ]);
      expect(a.transport.send(b.id, 'raft', [new Uint8Array(1)])).toBe(false);
      // Now let in: the address is still tried, slowly.
      b.admit = () => ({ ok: true });
      await h.until(() => linked(a, b), 'linked');
    });

    test('a dialer that does not like the listener tells it so', async () => {
      const h = start();
      const a = await h.create({ name: 'a' });
      const b = await h.create({ name: 'b' });
      a.admit = () => ({ ok: false, code: 'ERR_MEMBER_REPLACED', message: 'not you' });
      a.transport.connect(b.transport.address);
      await h.until(() => a.events.length > 0 && b.events.length > 0, 'refused');
      expect(a.events).toMatchObject([{ type: 'refused', code: 'ERR_MEMBER_REPLACED', message: 'not you' }]);
      expect(b.events).toMatchObject([
        { type: 'refused', code: 'ERR_MEMBER_REPLACED', message: 'the peer refused this node: not you' },
      ]);
      expect(b.transport.peers()).toEqual([]);
    });

    test('a channel can be made ready before there is anything to send: the peer sees nothing of it', async () => {
      const [a, b, h] = await pair();
      for (const channel of ['raft', 'raft', 'snapshot'] as const) a.transport.prepare(b.id, channel);
      a.transport.prepare('12345', 'raft');
      await h.pass(100);
      expect(b.frames).toEqual([]);
      a.transport.send(b.id, 'raft', [Uint8Array.of(1)]);
      await h.until(() => b.frames.length === 1, 'the frame');
      expect([eventTypes(a), eventTypes(b)]).toEqual([['up'], ['up']]);
    });

    test('drop closes the link for good reason: the peer hears it, and nobody takes the other for dead', async () => {
      const [a, b, h] = await pair();
      a.admit = () => ({ ok: false, code: 'ERR_WRONG_CLUSTER', message: 'removed' });
      a.transport.drop(b.id, 'ERR_WRONG_CLUSTER', 'removed by the operator');
      await h.until(() => eventTypes(a).includes('down') && eventTypes(b).includes('down'), 'down');
      expect(b.events).toContainEqual({
        type: 'refused',
        address: a.transport.address,
        code: 'ERR_WRONG_CLUSTER',
        message: 'the peer refused this node: removed by the operator',
        by: 'them',
        hello: a.hello,
      });
      await h.pass(300);
      expect(eventTypes(a)).not.toContain('lost');
      expect(eventTypes(b)).not.toContain('lost');
      expect(a.transport.peers()).toEqual([]);
    });

    test('hangUp closes the link after what its open streams were given, and the peer may come again', async () => {
      const [a, b, h] = await pair();
      a.transport.disconnect(b.transport.address);
      a.transport.send(b.id, 'gossip', [Uint8Array.of(1)]);
      await h.until(() => b.frames.length === 1, 'an open stream');
      a.transport.send(b.id, 'gossip', [Uint8Array.of(2)]);
      a.transport.hangUp(b.id);
      await h.until(() => eventTypes(a).includes('down') && eventTypes(b).includes('down'), 'down');
      await h.pass(300);
      expect(b.frames.map(({ frame }) => frame[0])).toEqual([1, 2]);
      expect(eventTypes(a)).toEqual(['up', 'down']);
      expect(eventTypes(b)).toEqual(['up', 'down']);
      b.transport.connect(a.transport.address);
      await h.until(() => linked(a, b) && linked(b, a), 'linked again');
      a.transport.hangUp('1');
    });

    test('who was hung up on is not linked from that moment, and can be dialled at once', async () => {
      const [a, b, h] = await pair();
      a.transport.disconnect(b.transport.address);
      a.transport.hangUp(b.id);
      expect(a.transport.peers()).toEqual([]);
      expect(eventTypes(a)).toEqual(['up', 'down']);
      expect(a.transport.send(b.id, 'client', [Uint8Array.of(1)])).toBe(false);
      a.transport.connect(b.transport.address);
      await h.until(() => linked(a, b), 'linked again');
      a.transport.send(b.id, 'client', [Uint8Array.of(2)]);
      await h.until(() => b.frames.length > 0, 'the frame');
      expect(b.frames.map(({ frame }) => frame[0])).toEqual([2]);
      await h.pass(2500);
      expect(eventTypes(a)).toEqual(['up', 'down', 'up']);
    });

    test('who hangs up hears nothing more of what was under way', async () => {
      const [a, b, h] = await pair();
      a.transport.disconnect(b.transport.address);
      a.transport.send(b.id, 'gossip', [Uint8Array.of(0)]);
      await h.until(() => b.frames.length === 1, 'an open stream');
      b.onFrame = () => b.transport.hangUp(a.id);
      for (let number = 1; number < 10; number++) a.transport.send(b.id, 'gossip', [Uint8Array.of(number)]);
      await h.until(() => eventTypes(a).includes('down'), 'down');
      await h.pass(100);
      expect(b.frames.map(({ frame }) => frame[0])).toEqual([0, 1]);
    });

    test('a handshake that began by a token makes no link once there is the secret', async () => {
      const h = start();
      let own: Credential = { token: joinToken({ expiresMs: 8e15 }) };
      const a = await h.create({ name: 'a' });
      const b = await h.create({ name: 'b', credential: () => own });
      b.admit = () => {
        own = { secret: SECRET };
        return { ok: true };
      };
      b.transport.connect(a.transport.address);
      await h.until(() => a.credentials.length === 2 && linked(a, b) && linked(b, a), 'linked with the secret');
      expect(a.credentials.map(({ type }) => type)).toEqual(['token', 'secret']);
      expect(eventTypes(b)).toEqual(['up']);
      expect(a.transport.peer(b.id)?.credential).toEqual({ type: 'secret' });
      await h.pass(2500);
      expect(eventTypes(b)).toEqual(['up']);
    });

    test('links by a token can be closed by themselves', async () => {
      const h = start();
      let own: Credential = { token: joinToken({ expiresMs: 8e15 }) };
      const a = await h.create({ name: 'a' });
      const b = await h.create({ name: 'b', credential: () => own });
      const bothLinked = (): boolean => linked(a, b) && linked(b, a);
      for (const one of [a, b]) {
        const other = one === a ? b : a;
        own = { token: joinToken({ expiresMs: 8e15 }) };
        redial(b, a);
        await h.until(bothLinked, 'linked with the token');
        b.transport.disconnect(a.transport.address);
        one.transport.hangUpTokenLinks(other.id);
        expect(one.transport.peers()).toEqual([]);
        await h.until(() => other.transport.peers().length === 0, 'the other knows');
        own = { secret: SECRET };
        redial(b, a);
        await h.until(bothLinked, 'linked with the secret');
        one.transport.hangUpTokenLinks(other.id);
        await h.pass(300);
        expect(bothLinked()).toBe(true);
        b.transport.disconnect(a.transport.address);
        b.transport.hangUp(a.id);
        await h.until(() => a.transport.peers().length === 0, 'apart again');
      }
      a.transport.hangUpTokenLinks('1');
    });

    test('a handler that throws loses the link, not the process', async () => {
      const [a, b, h] = await pair();
      b.onFrame = () => {
        b.onFrame = () => undefined;
        throw new Error('not a message');
      };
      a.transport.send(b.id, 'raft', [Uint8Array.of(1)]);
      await h.until(() => eventTypes(a).filter((type) => type === 'up').length === 2, 'linked again');
      expect(b.transport.stats().malformed).toBe(1);
      expect(eventTypes(a)).not.toContain('lost');
      await h.until(() => linked(a, b) && linked(b, a), 'linked');
      a.transport.send(b.id, 'raft', [Uint8Array.of(2)]);
      await h.until(() => b.frames.at(-1)?.frame[0] === 2, 'second frame');
    });

    test('disconnect ends re-dialling', async () => {
      const [a, b, h] = await pair();
      const { address } = b.transport;
      a.transport.disconnect(address);
      await b.transport.close();
      await h.until(() => eventTypes(a).includes('down'), 'down');
      await h.create({ name: 'b', address, like: b });
      await h.pass(500);
      expect(eventTypes(a)).toEqual(['up', 'down']);
    });

    test('keeps dialling an address where nobody listens yet', async () => {
      const h = start();
      const a = await h.create({ name: 'a' });
      const b = await h.create({ name: 'b' });
      const { address } = b.transport;
      await b.transport.close();
      a.transport.connect(address);
      await h.pass(200);
      expect(a.events).toEqual([]);
      const again = await h.create({ name: 'b', address, like: b });
      await h.until(() => linked(a, again), 'linked');
      expect(eventTypes(a)).toEqual(['up']);
    });

    test('does not listen on a taken address', async () => {
      const h = start();
      const a = await h.create({ name: 'a' });
      const second = h.create({ name: 'b', address: a.transport.address });
      await expect(second).rejects.toThrow(a.transport.address);
      await expect(second).rejects.toSatisfy((error) => KvorumError.is(error, 'ERR_ADDRESS_IN_USE'));
    });

    test('does not connect to what is not an address', async () => {
      const a = await start().create({ name: 'a' });
      for (const bad of ['', 'host', 'host:', ':1', 'host:70000', 'a b:1', '::1:7', 'http://a:1', 'host:1/x']) {
        expect(() => a.transport.connect(bad), bad).toThrow(/not a peer address/);
      }
    });

    test('is silent after close', async () => {
      const [a, b, h] = await pair();
      const events = a.events.length;
      await a.transport.close();
      await a.transport.close();
      await h.until(() => eventTypes(b).includes('down'), 'down');
      expect(a.events).toHaveLength(events);
      expect(a.transport.send(b.id, 'raft', [new Uint8Array(1)])).toBe(false);
    });

    test('counts', async () => {
      const [a, b, h] = await pair();
      for (let i = 0; i < 10; i++) a.transport.send(b.id, 'raft', [new Uint8Array(100)]);
      await h.until(() => b.frames.length === 10, 'frames');
      expect(a.transport.stats().peers).toEqual([
        {
          id: b.id,
          framesSent: 10,
          bytesSent: 1000,
          framesReceived: 0,
          bytesReceived: 0,
          framesDropped: 0,
          queuedBytes: 0,
        },
      ]);
      expect(b.transport.stats().peers).toMatchObject([{ id: a.id, framesReceived: 10, bytesReceived: 1000 }]);
      expect(a.transport.stats()).toMatchObject({ refused: {}, malformed: 0 });
    });
  });
}

export function linked(from: TestNode, to: TestNode): boolean {
  return from.transport.peer(to.id) !== undefined;
}
