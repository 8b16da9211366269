import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { LIMITS, parseDhtMessage } from '../../src/dht/index.ts';
import type { Contact, DhtMessage, SignedRecord } from '../../src/dht/index.ts';
import { contactAt, idOfNumber } from './ids.ts';
import { frame, message } from './messages.ts';

const contact: Contact = { ...contactAt(idOfNumber(5), 'peer'), addresses: ['10.0.0.1:7000'] };
const record: SignedRecord = {
  kind: 'value',
  key: idOfNumber(1),
  value: new Uint8Array([1]),
  seq: 1,
  notAfter: 2,
  peerId: 'peer',
  signature: new Uint8Array([9]),
};
const nodes = (change: Record<string, unknown>): unknown => ({
  type: 'Nodes',
  rpc: 1,
  contacts: [{ ...contact, ...change }],
});
const store = (change: Record<string, unknown>): unknown => ({
  type: 'Store',
  rpc: 1,
  record: { ...record, ...change },
});

describe('parsing messages', () => {
  it('gives back every message as it was', () => {
    fc.assert(
      fc.property(message, (given) => {
        expect(parseDhtMessage(structuredClone(given))).toEqual(given);
      }),
    );
  });

  it('never throws, and what it lets through has nothing but its fields', () => {
    fc.assert(
      fc.property(frame, (given) => {
        const parsed = parseDhtMessage(given);
        if (parsed !== null) expect(parseDhtMessage(parsed)).toEqual(parsed);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each<[string, unknown]>([
    ['nothing', null],
    ['a number', 7],
    ['a list', [{ type: 'Ping', rpc: 1 }]],
    ['a type that there is none of', { type: 'Shutdown', rpc: 1 }],
    ['a type of the prototype', { type: 'constructor', rpc: 1 }],
    ['no rpc', { type: 'Ping' }],
    ['a negative rpc', { type: 'Ping', rpc: -1 }],
    ['half an rpc', { type: 'Ping', rpc: 0.5 }],
    ['an rpc of 33 bits', { type: 'Ping', rpc: 2 ** 32 }],
    ['a bigint as rpc', { type: 'Ping', rpc: 1n }],
    ['a short target', { type: 'FindNode', rpc: 1, target: new Uint8Array(31), count: 1 }],
    ['a long target', { type: 'FindNode', rpc: 1, target: new Uint8Array(33), count: 1 }],
    ['a list as target', { type: 'FindNode', rpc: 1, target: Array.from({ length: 32 }, () => 0), count: 1 }],
    ['no count', { type: 'FindNode', rpc: 1, target: new Uint8Array(32) }],
    ['nobody wanted', { type: 'FindNode', rpc: 1, target: new Uint8Array(32), count: 0 }],
    ['too many wanted', { type: 'FindNode', rpc: 1, target: new Uint8Array(32), count: LIMITS.contacts + 1 }],
    ['an unknown kind', { type: 'FindRecords', rpc: 1, kind: 'any', key: new Uint8Array(32), count: 1 }],
    ['too many contacts', { type: 'Nodes', rpc: 1, contacts: Array.from({ length: 65 }, () => contact) }],
    ['contacts with holes', { type: 'Nodes', rpc: 1, contacts: Array.from({ length: 2 }) }],
    ['no peer id', nodes({ peerId: '' })],
    ['a long peer id', nodes({ peerId: 'x'.repeat(LIMITS.peerIdChars + 1) })],
    ['a peer id that has no UTF-8', nodes({ peerId: 'a\ud800' })],
    ['a long name', nodes({ name: 'x'.repeat(LIMITS.nameChars + 1) })],
    ['too many addresses', nodes({ addresses: Array.from({ length: 9 }, () => 'a:1') })],
    ['a long address', nodes({ addresses: ['x'.repeat(LIMITS.addressChars + 1)] })],
    ['an address that is a number', nodes({ addresses: [7] })],
    ['a large value', store({ value: new Uint8Array(LIMITS.valueBytes + 1) })],
    ['a value that is text', store({ value: 'text' })],
    ['a large signature', store({ signature: new Uint8Array(LIMITS.signatureBytes + 1) })],
    ['half a seq', store({ seq: 1.5 })],
    ['a seq beyond 2^53', store({ seq: 2 ** 53 })],
    ['NaN', store({ notAfter: Number.NaN })],
    ['a time before 1970', store({ notAfter: -1 })],
    ['no record', { type: 'Store', rpc: 1 }],
    ['a refusal in own words', { type: 'Stored', rpc: 1, refused: 'go away' }],
    ['no refusal', { type: 'Stored', rpc: 1 }],
    [
      'more bytes than an answer may have',
      {
        type: 'Records',
        rpc: 1,
        contacts: [],
        records: Array.from({ length: 5 }, () => ({ ...record, value: new Uint8Array(LIMITS.valueBytes) })),
      },
    ],
    ['too many records', { type: 'Records', rpc: 1, contacts: [], records: Array.from({ length: 33 }, () => record) }],
  ])('refuses %s', (_, given) => {
    expect(parseDhtMessage(given)).toBeNull();
  });

  it('takes what is exactly at its limits', () => {
    const full: DhtMessage = {
      type: 'Nodes',
      rpc: 2 ** 32 - 1,
      contacts: Array.from({ length: LIMITS.contacts }, () => ({
        id: idOfNumber(1),
        peerId: 'x'.repeat(LIMITS.peerIdChars),
        name: 'é'.repeat(LIMITS.nameChars),
        addresses: Array.from({ length: LIMITS.addresses }, () => 'x'.repeat(LIMITS.addressChars)),
      })),
    };
    expect(parseDhtMessage(full)).toEqual(full);
    expect(parseDhtMessage(store({ value: new Uint8Array(LIMITS.valueBytes) }))).not.toBeNull();
  });

  it('holds on to nothing of the frame', () => {
    const bytes = Buffer.alloc(1_000, 1);
    const parsed = parseDhtMessage(store({ key: bytes.subarray(0, 32), value: bytes.subarray(32, 40) }));
    if (parsed?.type !== 'Store') throw new Error('it was refused');
    bytes.fill(2);
    expect(parsed.record.value).toEqual(new Uint8Array(8).fill(1));
    expect(parsed.record.key.buffer.byteLength).toBe(32);
    // A plain array of bytes, whatever class the decoder gives.
    expect(Object.getPrototypeOf(parsed.record.value)).toBe(Uint8Array.prototype);
  });
});
