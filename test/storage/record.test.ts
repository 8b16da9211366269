import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/raft/types.ts';
import { crc32c, unmask } from '../../src/storage/crc32c.ts';
import { indexKey, keyIndex, stateKey } from '../../src/storage/keys.ts';
import {
  decodeEntry,
  decodeNumbers,
  decodeState,
  decodeValue,
  encodeEntry,
  encodeNumbers,
  encodeRun,
  encodeState,
  encodeValue,
} from '../../src/storage/record.ts';

const anyEntry: fc.Arbitrary<Entry> = fc.record({
  index: fc.maxSafeNat(),
  term: fc.maxSafeNat(),
  kind: fc.constantFrom('noop', 'command', 'config'),
  data: fc.uint8Array({ maxLength: 300 }),
});

describe('entry record', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(anyEntry, ({ index, term, kind, data }) => {
        const decoded = decodeEntry(encodeEntry({ index, term, kind, data }));
        expect({ ...decoded, data: Buffer.from(decoded.data), encoded: null }).toEqual({
          index,
          term,
          kind,
          data: Buffer.from(data),
          encoded: null,
        });
      }),
    );
  });

  it('is encoded once and decoded without copying', () => {
    const entry: Entry = { index: 5, term: 2, kind: 'command', data: Buffer.from('data') };
    const encoded = encodeEntry(entry);
    expect(encodeEntry(entry)).toBe(encoded);
    expect(entry.encoded).toBe(encoded);
    // A peer's frame holds many records; each is a view of it.
    const frame = Buffer.concat([Buffer.from('head'), encoded, Buffer.from('tail')]);
    const view = frame.subarray(4, 4 + encoded.length);
    const decoded = decodeEntry(view);
    expect(decoded.data.buffer).toBe(frame.buffer);
    expect(encodeEntry(decoded)).toBe(view);
  });

  it('is encoded once, however its entry is sent: other runs copy what one run encoded', () => {
    const entries = [5, 6, 7].map((index): Entry => ({
      index,
      term: 2,
      kind: 'command',
      data: Buffer.from(`${index}`),
    }));
    const run = encodeRun(entries);
    let at = 0;
    for (const entry of entries) {
      const { encoded } = entry;
      expect(encoded?.buffer).toBe(run.buffer);
      at += 4;
      expect(encoded?.byteOffset).toBe(run.byteOffset + at);
      expect(encodeEntry(entry)).toBe(encoded);
      at += encoded?.length ?? 0;
    }
    expect(at).toBe(run.length);
    const records = entries.map(({ encoded }) => encoded);
    const tail = encodeRun(entries.slice(1));
    expect(Buffer.compare(tail, run.subarray(run.length - tail.length))).toBe(0);
    expect(entries.every(({ encoded }, i) => encoded === records[i])).toBe(true);
  });

  it('refuses every flipped bit and every truncation', () => {
    const encoded = encodeEntry({ index: 5, term: 2, kind: 'command', data: Buffer.from('some data') });
    for (let at = 0; at < encoded.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const damaged = Uint8Array.from(encoded);
        damaged[at] = (damaged[at] as number) ^ (1 << bit);
        expect(() => decodeEntry(damaged)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
      }
      expect(() => decodeEntry(encoded.subarray(0, at))).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
    }
  });

  it('does not encode a kind it does not know', () => {
    const strange = { index: 1, term: 1, kind: 'strange', data: new Uint8Array(0) } as unknown as Entry;
    expect(() => encodeEntry(strange)).toThrow(expect.objectContaining({ code: 'ERR_INVARIANT' }));
  });
});

describe('other records', () => {
  it('state: value under its own key only', () => {
    const [a, b] = [Buffer.from('a'), Buffer.from('b')];
    const stored = encodeState(a, Buffer.from('value'));
    expect(Buffer.from(decodeState(a, stored)).toString()).toBe('value');
    expect(() => decodeState(b, stored)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
  });

  it('numbers and values', () => {
    expect(decodeNumbers(encodeNumbers(0, 1, 2 ** 53 - 1), 3, 'x')).toEqual([0, 1, 2 ** 53 - 1]);
    expect(() => decodeNumbers(encodeNumbers(1), 2, 'x')).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
    expect(decodeValue(encodeValue({ a: [1, null, 'x'] }), 'x')).toEqual({ a: [1, null, 'x'] });
  });
});

describe('keys', () => {
  const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b);
  it('order as their indexes do', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        expect(compare(indexKey(0x10, 7, a), indexKey(0x10, 7, b))).toBe(Math.sign(a - b));
        expect(keyIndex(indexKey(0x10, 7, a))).toBe(a);
      }),
    );
  });
  it('of states order as the keys within', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(compare(stateKey(1, 2, a), stateKey(1, 2, b))).toBe(compare(a, b));
      }),
    );
  });
});

describe('CRC-32C', () => {
  it('agrees with RFC 3720, B.4', () => {
    const of = (bytes: number[]): number => crc32c(Uint8Array.from(bytes), 0, bytes.length);
    expect(of(Array.from({ length: 32 }, () => 0))).toBe(0x8a9136aa);
    expect(of(Array.from({ length: 32 }, () => 0xff))).toBe(0x62a8ab43);
    expect(of(Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(of([...Buffer.from('123456789')])).toBe(0xe3069283);
  });
  it('is the same for any cut and offset', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(9), (bytes, shift) => {
        const shifted = new Uint8Array(shift + bytes.length);
        shifted.set(bytes, shift);
        expect(crc32c(shifted, shift, shifted.length)).toBe(crc32c(bytes, 0, bytes.length));
      }),
    );
  });
  it('is unmasked as LevelDB masks it', () => {
    const mask = (crc: number): number => ((((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8) >>> 0;
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), (crc) => {
        expect(unmask(mask(crc))).toBe(crc);
      }),
    );
  });
});
