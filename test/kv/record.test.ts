import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import { mix32, xxh32 } from '../../src/kv/checksum.ts';
import {
  RecordReader,
  RecordWriter,
  historyKey,
  historyKeyRevision,
  historyKeySubOperation,
  isHistoryKey,
} from '../../src/kv/record.ts';
import { keyArbitrary, valueArbitrary } from './arbitraries.ts';
import { bytes } from './memory-view.ts';

const hash = (data: Uint8Array, seed = 0) =>
  xxh32(new DataView(data.buffer, data.byteOffset, data.length), 0, data.length, seed);

describe('xxh32', () => {
  it('gives the published values', () => {
    expect(hash(bytes(''))).toBe(0x02cc5d05);
    expect(hash(bytes('a'))).toBe(0x550d7456);
    expect(hash(bytes('abc'))).toBe(0x32d153ff);
    expect(hash(bytes('Nobody inspects the spammish repetition'))).toBe(0xe2293b2f);
  });

  it('hashes a part of a view as that part alone, and differs by seed', () => {
    const data = Uint8Array.from({ length: 100 }, (_, i) => i * 31);
    const view = new DataView(data.buffer);
    for (let end = 5; end < 100; end++) expect(xxh32(view, 5, end, 7)).toBe(hash(data.slice(5, end), 7));
    expect(hash(data, 1)).not.toBe(hash(data, 2));
    expect(mix32(1, 2)).not.toBe(mix32(2, 1));
  });
});

const record = fc
  .record({
    revision: fc.oneof(
      fc.integer({ min: 1, max: 1000 }),
      fc.integer({ min: 2 ** 31 - 2, max: Number.MAX_SAFE_INTEGER }),
    ),
    age: fc.nat(1000),
    subOperation: fc.oneof(fc.nat(3), fc.constant(2 ** 32 - 1)),
    key: keyArbitrary,
    version: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(2 ** 40 + 1)),
    lease: fc.constantFrom(null, '0', '18446744073709551615'),
    contentType: fc.constantFrom(null, '', 'text/plain', 'é'),
    value: valueArbitrary,
  })
  .map(({ age, ...rest }) => Object.assign(rest, { createRevision: Math.max(1, rest.revision - age) }));

describe('history records', () => {
  it('come back as they were, one after the other out of one slab', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), (records) => {
        const writer = new RecordWriter();
        const reader = new RecordReader();
        const encoded = records.map((record) => writer.encode(record));
        for (const [i, record] of records.entries()) {
          reader.read(record.revision, record.subOperation, encoded[i]!);
          expect({
            revision: record.revision,
            subOperation: record.subOperation,
            key: reader.key,
            createRevision: reader.createRevision,
            version: reader.version,
            lease: reader.lease,
            contentType: reader.contentType,
            value: reader.value,
          }).toEqual(record);
          expect(reader.size).toBe(record.value.length);
        }
      }),
    );
  });

  it('notice every flipped bit, every cut, and the place of another record', () => {
    const whole = new RecordWriter()
      .encode({
        revision: 300,
        subOperation: 1,
        key: 'key',
        createRevision: 5,
        version: 2,
        lease: '7',
        contentType: 'text/plain',
        value: bytes('a value'),
      })
      .slice();
    const reader = new RecordReader();
    const refused = (revision: number, subOperation: number, data: Uint8Array) =>
      expect(() => reader.read(revision, subOperation, data)).toThrow(KvorumError);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const damaged = whole.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      refused(300, 1, damaged);
    }
    for (let length = 0; length < whole.length; length++) refused(300, 1, whole.slice(0, length));
    refused(301, 1, whole);
    refused(300, 0, whole);
    expect(() => reader.read(300, 1, whole)).not.toThrow();
  });

  it('of a later format are told from damaged ones', () => {
    const later = new RecordWriter().encode({
      revision: 1,
      subOperation: 0,
      key: 'k',
      createRevision: 1,
      version: 1,
      lease: null,
      contentType: null,
      value: bytes(''),
    });
    later[0] = 2;
    expect(() => new RecordReader().read(1, 0, later)).toThrow(expect.objectContaining({ code: 'ERR_DATA_VERSION' }));
  });

  it('never crash on bytes that pass the checksum and are nonsense', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4, maxLength: 40 }), (body) => {
        const data = new Uint8Array(5 + body.length);
        data[0] = 1;
        data.set(body, 5);
        const view = new DataView(data.buffer);
        view.setUint32(1, xxh32(view, 5, data.length, 9));
        try {
          new RecordReader().read(9, 0, data);
        } catch (error) {
          if (!KvorumError.is(error, 'ERR_CORRUPT')) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('have keys in the order of writes', () => {
    const places = [
      [1, 0],
      [1, 1],
      [1, 256],
      [2, 0],
      [255, 2 ** 32 - 1],
      [256, 0],
      [2 ** 32 - 1, 0],
      [2 ** 32, 0],
      [2 ** 32 + 1, 3],
      [Number.MAX_SAFE_INTEGER, 0],
    ] as const;
    const keys = places.map(([revision, subOperation]) => historyKey(revision, subOperation));
    for (let i = 1; i < keys.length; i++) expect(Buffer.compare(keys[i - 1]!, keys[i]!)).toBe(-1);
    expect(keys.map((key) => [historyKeyRevision(key), historyKeySubOperation(key)])).toEqual(places);
    expect(keys.every(isHistoryKey)).toBe(true);
    expect(isHistoryKey(bytes('m'))).toBe(false);
  });
});
