import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToKey, keyToBytes, prefixEnd, textToKey } from '../../src/kv/keys.ts';
import { keyArbitrary } from './arbitraries.ts';

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

describe('keys', () => {
  it('bytes come back from a byte string, whatever they are and however many', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(keyToBytes(bytesToKey(bytes))).toEqual(bytes);
      }),
    );
    for (const length of [0, 63, 64, 65, 4095, 4096, 4097, 200_000]) {
      const bytes = Uint8Array.from({ length }, (_, i) => i * 7);
      expect(keyToBytes(bytesToKey(bytes))).toEqual(bytes);
      expect(keyToBytes(bytesToKey(bytes, 3, length - 3 < 3 ? 3 : length - 3))).toEqual(bytes.slice(3, -3));
    }
  });

  it('orders byte strings as unsigned bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4 }), fc.uint8Array({ maxLength: 4 }), (a, b) => {
        const keyA = bytesToKey(a);
        const keyB = bytesToKey(b);
        expect(Math.sign(Buffer.compare(a, b))).toBe(keyA < keyB ? -1 : keyA > keyB ? 1 : 0);
      }),
    );
  });

  it('text becomes UTF-8 and comes back', () => {
    expect(textToKey('plain')).toBe('plain');
    expect(keyToBytes(textToKey('é€😀'))).toEqual(new TextEncoder().encode('é€😀'));
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(utf8.decode(keyToBytes(textToKey(text)))).toBe(text);
      }),
    );
  });

  it('a lone surrogate is no key', () => {
    expect(() => textToKey('a\ud800b')).toThrow(expect.objectContaining({ code: 'ERR_BAD_KEY' }));
    expect(() => textToKey('\udc00')).toThrow(expect.objectContaining({ code: 'ERR_BAD_KEY' }));
  });

  it('the end of a prefix is the first key after all that have it', () => {
    expect(prefixEnd('a')).toBe('b');
    expect(prefixEnd('a\xff\xff')).toBe('b');
    expect(prefixEnd('\xff')).toBeNull();
    expect(prefixEnd('')).toBeNull();
    fc.assert(
      fc.property(keyArbitrary, keyArbitrary, (prefix, key) => {
        const end = prefixEnd(prefix);
        expect(key >= prefix && (end === null || key < end)).toBe(key.startsWith(prefix));
      }),
    );
  });
});
