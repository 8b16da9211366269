import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { compareRecords, recordBytes, sameRecord } from '../../src/dht/record.ts';
import type { SignedRecord } from '../../src/dht/index.ts';
import { idOfNumber } from './ids.ts';

const record: fc.Arbitrary<SignedRecord> = fc.record({
  kind: fc.constantFrom('value', 'provider'),
  key: fc.nat(2).map((number) => idOfNumber(number)),
  value: fc.uint8Array({ maxLength: 3, max: 2 }),
  seq: fc.oneof(fc.nat(2), fc.maxSafeNat()),
  notAfter: fc.oneof(fc.nat(2), fc.maxSafeNat()),
  peerId: fc.string({ maxLength: 3 }),
  signature: fc.constant(new Uint8Array(1)),
});
const cluster = fc.string({ maxLength: 3 });

describe('what is signed', () => {
  it('is different for any two records that differ, and for any two clusters', () => {
    fc.assert(
      fc.property(record, record, cluster, cluster, (left, right, ours, theirs) => {
        const same = ours === theirs && sameRecord(left, right);
        expect(Buffer.compare(recordBytes(ours, left), recordBytes(theirs, right)) === 0).toBe(same);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is what the page says', () => {
    const bytes = recordBytes('ab', {
      kind: 'provider',
      key: idOfNumber(258),
      value: new Uint8Array([9, 8]),
      seq: 2 ** 32 + 5,
      notAfter: 7,
      peerId: 'é',
    });
    expect(Buffer.from(bytes).toString('hex')).toBe(
      [
        Buffer.from('kvorum-dht-record-1').toString('hex'),
        '02',
        '000000026162',
        `${'00'.repeat(30)}0102`,
        '0000000100000005',
        '0000000000000007',
        '00000002c3a9',
        '000000020908',
      ].join(''),
    );
  });
});

describe('which of two records is chosen', () => {
  const base: SignedRecord = {
    kind: 'value',
    key: idOfNumber(1),
    value: new Uint8Array([5]),
    seq: 3,
    notAfter: 10,
    peerId: 'b',
    signature: new Uint8Array(1),
  };

  it.each([
    ['higher seq, whatever its bytes', { seq: 4, value: new Uint8Array([0]), notAfter: 1 }],
    ['greater bytes', { value: new Uint8Array([6]), notAfter: 1, peerId: 'a' }],
    ['more bytes', { value: new Uint8Array([5, 0]) }],
    ['of another peer', { peerId: 'c', notAfter: 1 }],
    ['published again: it lives longer', { notAfter: 11 }],
  ])('%s', (_, change) => {
    expect(compareRecords({ ...base, ...change }, base)).toBeGreaterThan(0);
    expect(compareRecords(base, { ...base, ...change })).toBeLessThan(0);
  });

  it('is one order: every node ends with the same record, in whatever order they came', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 8 }), fc.nat(), (records, turn) => {
        const best = (list: readonly SignedRecord[]): SignedRecord =>
          list.reduce((kept, one) => (compareRecords(one, kept) > 0 ? one : kept));
        const other = records.map((_, i) => records[(i + turn) % records.length] as SignedRecord).reverse();
        expect(compareRecords(best(records), best(other))).toBe(0);
      }),
    );
  });
});
