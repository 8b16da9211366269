import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { decodeCard, encodeCard } from '../../../src/node/dht/card.ts';
import { decodeEnvelope, encodeEnvelope, MAX_BODY_BYTES, MAX_RECORD_BYTES } from '../../../src/node/dht/envelope.ts';
import { keyOf, kindOf, parseName } from '../../../src/node/dht/names.ts';

describe('names', () => {
  test.each([
    ['node/8035023444031585763', 'value', { space: 'node', id: '8035023444031585763' }],
    ['group/1', 'provider', { space: 'group', group: 1 }],
    ['service/pay/eu', 'provider', { space: 'service', service: 'pay/eu' }],
    ['user/a/b', 'value', { space: 'user', key: 'a/b' }],
  ])('%s is of kind %s', (text, kind, name) => {
    const parsed = parseName(text);
    expect(parsed).toEqual(name);
    expect(kindOf(parsed!)).toBe(kind);
    expect(Buffer.from(keyOf(text))).toEqual(createHash('sha256').update(text).digest());
  });

  test.each([
    ...['', 'node', 'node/', 'node/01', 'node/x', 'node/123456789012345678901', 'group/0', 'group/01', 'group/1a'],
    ...['service/', 'user/', 'user/\ud800', `user/${'x'.repeat(513)}`, `user/${'ü'.repeat(257)}`, 'other/x', '/user/x'],
  ])('%j is none', (text) => {
    expect(parseName(text)).toBeNull();
  });
});

describe('envelopes', () => {
  test('come out as they went in, and fit a record at their largest', () => {
    const body = new Uint8Array(MAX_BODY_BYTES).fill(7);
    const name = `service/${'x'.repeat(512)}`;
    const bytes = encodeEnvelope({ name, body });
    expect(bytes.length).toBeLessThanOrEqual(MAX_RECORD_BYTES);
    expect(decodeEnvelope(bytes)).toEqual({ name, body });
    expect(decodeEnvelope(encodeEnvelope({ name, body: new Uint8Array(0) }))?.body).toHaveLength(0);
  });

  test('of another version, with a body that is too large, or of another make are none', () => {
    const bytes = encodeEnvelope({ name: 'user/a', body: Uint8Array.of(1) });
    expect(decodeEnvelope(Uint8Array.of(2, ...bytes.subarray(1)))).toBeNull();
    expect(decodeEnvelope(encodeEnvelope({ name: 'user/a', body: new Uint8Array(MAX_BODY_BYTES + 1) }))).toBeNull();
    for (let length = 0; length < bytes.length; length++) expect(decodeEnvelope(bytes.subarray(0, length))).toBeNull();
  });
});

describe('what a node says of itself', () => {
  const card = { id: '7', name: 'n1', role: 'voter', addresses: ['10.0.0.1:7201', '[::1]:7201'], http: null } as const;

  test('comes out as it went in, and what a later version says beside it is passed over', () => {
    expect(decodeCard(encodeCard(card))).toEqual(card);
    expect(decodeCard(Buffer.from(JSON.stringify({ ...card, zone: 'a' })))).toEqual(card);
  });

  test.each([
    ['no JSON', '{'],
    ['no object', '7'],
    ['null', 'null'],
    ['without a name', JSON.stringify({ ...card, name: undefined })],
    ['of no role', JSON.stringify({ ...card, role: 'king' })],
    ['at an address that nobody can dial', JSON.stringify({ ...card, addresses: ['nowhere'] })],
    ['at port 0', JSON.stringify({ ...card, addresses: ['10.0.0.1:0'] })],
    ['at too many', JSON.stringify({ ...card, addresses: Array.from({ length: 9 }, () => '10.0.0.1:1') })],
    ['with an HTTP that is no text', JSON.stringify({ ...card, http: 7 })],
  ])('is none when it is %s', (_, text) => {
    expect(decodeCard(Buffer.from(text))).toBeNull();
  });
});
