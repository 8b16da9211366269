import { expect, test } from 'vitest';
import { decodeMetadata, encodeMetadata } from '../../../src/node/gossip/metadata.ts';

test('a few short strings, there and back', () => {
  for (const metadata of [{ zone: 'b' }, { 'kvorum.io/zone': 'b', rack: '', v_1: 'ü' }, { constructor: 'x' }]) {
    expect(decodeMetadata(encodeMetadata(metadata))).toEqual(metadata);
  }
  expect(encodeMetadata({})).toHaveLength(0);
  expect(decodeMetadata(new Uint8Array(0))).toBeNull();
});

test('what is not of this form is nothing, whoever says it', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  for (const text of [
    '{',
    '[]',
    'null',
    '"a"',
    '{"a":1}',
    '{"a b":"x"}',
    '{"":"x"}',
    '{"__proto__":"x"}',
    `{"a":"${'x'.repeat(256)}"}`,
  ]) {
    expect(decodeMetadata(bytes(text)), text).toBeNull();
  }
  expect(decodeMetadata(Uint8Array.of(0xff, 0xfe))).toBeNull();
});
