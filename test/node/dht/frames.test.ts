import { Packr } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import type { Contact, DhtMessage, SignedRecord } from '../../../src/dht/index.ts';
import { decodeDht, encodeDht } from '../../../src/node/dht/frames.ts';
import { Random } from '../../../src/testing/random.ts';
import { DEFAULT_LIMITS } from '../../../src/transport/limits.ts';

const MAX = DEFAULT_LIMITS.maxFrameBytes.dht;
const packr = new Packr({ useRecords: false });

function id(fill: number): Uint8Array {
  return new Uint8Array(32).fill(fill);
}

function contact(i: number): Contact {
  return { id: id(i), peerId: `peer ${i}`, name: `n${i}`, addresses: ['10.0.0.1:7201'] };
}

function record(i: number, bytes = 3): SignedRecord {
  const fields = { kind: 'provider', key: id(9), seq: 2 ** 41 + i, notAfter: 2 ** 40, peerId: `peer ${i}` } as const;
  return { ...fields, value: new Uint8Array(bytes).fill(i), signature: new Uint8Array(64).fill(i) };
}

const MESSAGES: readonly DhtMessage[] = [
  { type: 'Ping', rpc: 0 },
  { type: 'Pong', rpc: 2 ** 32 - 1 },
  { type: 'FindNode', rpc: 7, target: id(1), count: 20 },
  { type: 'Nodes', rpc: 7, contacts: [contact(1), contact(2)] },
  { type: 'Nodes', rpc: 7, contacts: [] },
  { type: 'FindRecords', rpc: 8, kind: 'value', key: id(2), count: 64 },
  { type: 'Records', rpc: 8, records: [record(1), { ...record(2), kind: 'value' }], contacts: [contact(3)] },
  { type: 'Store', rpc: 9, record: record(1) },
  { type: 'Stored', rpc: 9, refused: null },
  { type: 'Stored', rpc: 9, refused: 'not-accepted' },
];

function whole(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

describe('frames of the DHT', () => {
  test.each(MESSAGES.map((message) => [message.type, message] as const))('%s comes out as it went in', (_, message) => {
    expect(decodeDht(whole(encodeDht(message)))).toEqual(message);
  });

  test('what is of another version, cut off, or followed by something is no message', () => {
    const frame = whole(encodeDht(MESSAGES[6]!));
    expect(decodeDht(new Uint8Array(0))).toBeNull();
    expect(decodeDht(Uint8Array.of(2, ...frame.subarray(1)))).toBeNull();
    for (let length = 1; length < frame.length; length++) expect(decodeDht(frame.subarray(0, length))).toBeNull();
    expect(decodeDht(Uint8Array.of(...frame, 0))).toBeNull();
  });

  test.each([
    ['no list', 7],
    ['of no type', [9, 1]],
    ['of a type that is a word', ['Ping', 1]],
    ['with a contact that is none', [4, 1, [7]]],
    ['with a record that is none', [7, 1, 7]],
    ['of no kind', [5, 1, 3, id(1), 20]],
    ['that asks for too many', [3, 1, id(1), 65]],
    ['with a reason that is none', [8, 1, 'because']],
  ])('a frame %s is no message', (_, value) => {
    expect(decodeDht(Uint8Array.of(1, ...packr.pack(value)))).toBeNull();
  });

  test('an answer that is larger than a frame names the closest, and as many records as go in', () => {
    // Addresses of the largest size, as many as there may be.
    const addresses = Array.from({ length: 8 }, () => 'a'.repeat(256));
    const large = Array.from({ length: 64 }, (_, i) => ({ ...contact(i), addresses }));
    const nodes = whole(encodeDht({ type: 'Nodes', rpc: 1, contacts: large }));
    expect(nodes.length).toBeLessThanOrEqual(MAX);
    const named = decodeDht(nodes) as Extract<DhtMessage, { type: 'Nodes' }>;
    expect(named.contacts).toEqual(large.slice(0, named.contacts.length));
    expect(named.contacts.length).toBeGreaterThan(10);
    const records = Array.from({ length: 20 }, (_, i) => record(i, 5000));
    const found = whole(encodeDht({ type: 'Records', rpc: 1, records, contacts: large }));
    expect(found.length).toBeLessThanOrEqual(MAX);
    const message = decodeDht(found) as Extract<DhtMessage, { type: 'Records' }>;
    expect(message.records).toEqual(records.slice(0, message.records.length));
    expect(message.records.length).toBeGreaterThan(4);
  });

  test('frames of noise, and messages with a byte changed, give a message or none, whatever they are', () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Random(seed);
    const frames = MESSAGES.map((message) => whole(encodeDht(message)));
    for (let i = 0; i < 20_000; i++) {
      const frame = i % 2 === 0 ? random.bytes(random.between(0, 200)) : Uint8Array.from(random.pick(frames));
      if (frame.length > 0) frame[0] = 1;
      if (frame.length > 1) frame[random.between(1, frame.length - 1)] = random.between(0, 255);
      expect(() => decodeDht(frame), `seed ${seed}, frame ${i}`).not.toThrow();
    }
  });
});
