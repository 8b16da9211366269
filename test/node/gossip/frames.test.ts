import { Packr } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import type { AliveStatement, GossipMessage, Refusal } from '../../../src/gossip/index.ts';
import { decodeGossip, encodeGossip } from '../../../src/node/gossip/frames.ts';
import { isPlain } from '../../../src/node/plain.ts';
import { Random } from '../../../src/testing/random.ts';

const packr = new Packr({ useRecords: false });

function alive(i: number, metadataBytes = 0): AliveStatement {
  return {
    kind: 'alive',
    id: String(1000 + i),
    peerId: `12D3KooW${i}`,
    incarnation: 2 ** 21 + i,
    name: `n${i}`,
    role: 'agent',
    addresses: [`10.0.0.${i}:7101`],
    http: `http://10.0.0.${i}:7001`,
    metadata: new Uint8Array(metadataBytes).fill(i),
    signature: new Uint8Array(64).fill(i),
  };
}

const MESSAGES: readonly GossipMessage[] = [
  { type: 'ping', sequence: 2 ** 32 - 1, health: 7, updates: [alive(1)] },
  { type: 'ack', sequence: 0, health: 0, updates: [] },
  {
    type: 'pingRequest',
    sequence: 9,
    target: '18446744073709551615',
    updates: [{ kind: 'left', id: '7', incarnation: 3, signature: new Uint8Array(64) }],
  },
  { type: 'nack', sequence: 128 },
  {
    type: 'gossip',
    updates: [{ kind: 'suspect', id: '7', incarnation: 2 ** 52, by: '8', signature: new Uint8Array(64).fill(255) }],
  },
  { type: 'digest', clusterId: '7000', count: 3, hash: [2 ** 32 - 1, 0], updates: [alive(2, 300)] },
  { type: 'sync', answer: true, statements: [alive(3), alive(4)] },
];

function whole(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

function refusalOf(frame: Uint8Array): Refusal | null {
  let refusal: Refusal | null = null;
  const message = decodeGossip(frame, (reason) => {
    refusal = reason;
  });
  expect(message === null).toBe(refusal !== null);
  return refusal;
}

describe('frames of gossip', () => {
  test.each(MESSAGES)('a $type is read as it was written', (message) => {
    const frames = encodeGossip(message);
    expect(frames).toHaveLength(1);
    expect(decodeGossip(whole(frames[0]!), () => undefined)).toEqual(message);
  });

  test('a table that is larger than a frame travels in several, and only the last asks for an answer', () => {
    const statements = Array.from({ length: 128 }, (_, i) => alive(i, 512));
    const frames = encodeGossip({ type: 'sync', answer: true, statements }).map(whole);
    expect(frames.length).toBeGreaterThan(1);
    expect(Math.max(...frames.map(({ length }) => length))).toBeLessThanOrEqual(64 * 1024);
    const read = frames.map((frame) => decodeGossip(frame, () => undefined));
    const parts = read.map((message) => (message?.type === 'sync' ? message : expect.unreachable()));
    expect(parts.flatMap((part) => part.statements)).toEqual(statements);
    expect(parts.map(({ answer }) => answer)).toEqual(parts.map((_, i) => i === parts.length - 1));
  });

  test('what is of another version, cut off, or followed by something is malformed', () => {
    const frame = whole(encodeGossip(MESSAGES[0]!)[0]!);
    expect(refusalOf(new Uint8Array(0))).toBe('malformed');
    expect(refusalOf(Uint8Array.of(2, ...frame.subarray(1)))).toBe('malformed');
    for (let length = 1; length < frame.length; length++) {
      expect(refusalOf(frame.subarray(0, length)), `cut to ${length}`).toBe('malformed');
    }
    expect(refusalOf(Uint8Array.of(...frame, 0xc0))).toBe('malformed');
  });

  test('what msgpack can say beyond numbers, texts, bytes and lists is not unpacked', () => {
    for (const value of [null, { a: 1 }, new Date(0), new Map(), undefined, [null], [[[{}]]]]) {
      expect(isPlain(packr.pack(value)), JSON.stringify(value)).toBe(false);
    }
    for (const value of [0, -1, 2 ** 40, 1.5, 'x', 'x'.repeat(300), new Uint8Array(70_000), true, [[], [1]]]) {
      expect(isPlain(packr.pack(value)), JSON.stringify(value)?.slice(0, 40)).toBe(true);
    }
    expect(isPlain(packr.pack([[[[[[[[[1]]]]]]]]]))).toBe(false);
  });

  test('a list that says it has millions of items takes no memory', () => {
    // Each list within the other, each with 2^24 items announced: unpacked, it would ask for gigabytes.
    const nested = Uint8Array.from(Array.from({ length: 500 }, () => [0xdd, 1, 0, 0, 0]).flat());
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 100; i++) expect(refusalOf(Uint8Array.of(1, ...nested))).toBe('malformed');
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
  });

  test('frames of noise are refused, whatever they are', () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Random(seed);
    const counts = { refused: 0, read: 0 };
    const valid = MESSAGES.map((message) => whole(encodeGossip(message)[0]!));
    try {
      for (let i = 0; i < 20_000; i++) {
        const frame = i % 2 === 0 ? random.bytes(random.between(0, 199)) : valid[i % valid.length]!.slice();
        if (i % 4 === 0 && frame.length > 0) frame[0] = 1;
        // Some bytes of a real one are changed.
        if (i % 2 === 1) {
          for (let n = random.between(1, 3); n > 0; n--)
            frame[random.between(0, frame.length - 1)] = random.between(0, 255);
        }
        if (refusalOf(frame) === null) counts.read++;
        else counts.refused++;
      }
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
    expect(counts.refused, `seed ${seed}`).toBeGreaterThan(10_000);
    // A changed signature or name is still a message: the core looks at it.
    expect(counts.read, `seed ${seed}`).toBeGreaterThan(100);
  });
});
