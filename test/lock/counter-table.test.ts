import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { CounterTable, type CounterRecord } from '../../src/lock/counter-table.ts';
import { MemoryRecords } from './harness.ts';

let records: MemoryRecords<CounterRecord>;
let counters: CounterTable;

beforeEach(() => {
  records = new MemoryRecords();
  counters = new CounterTable(records);
});

describe('A counter', () => {
  it('is 0 until something is added, and leaves no record until then', () => {
    expect(counters.get('a')).toBe(0);
    expect(records.size).toBe(0);
    expect(counters.add('a', 5)).toBe(5);
    expect(counters.add('a', -7)).toBe(-2);
    expect(counters.get('a')).toBe(-2);
    expect(counters.get('b')).toBe(0);
  });

  it('stays as it is when the sum would be no safe integer', () => {
    expect(counters.add('a', Number.MAX_SAFE_INTEGER)).toBe(Number.MAX_SAFE_INTEGER);
    expect(counters.add('a', 1)).toBeNull();
    expect(counters.add('a', 0.5)).toBeNull();
    expect(counters.add('a', Number.NaN)).toBeNull();
    expect(counters.add('a', -(2 ** 53))).toBeNull();
    expect(counters.get('a')).toBe(Number.MAX_SAFE_INTEGER);
    expect(counters.add('a', -Number.MAX_SAFE_INTEGER)).toBe(0);
  });

  it('is never the negative zero, which no other replica could tell from 0', () => {
    expect(counters.add('a', -0)).toBe(0);
    counters.add('a', 3);
    expect(counters.add('a', -3)).toBe(0);
  });

  it('begins at 0 again after it was deleted', () => {
    counters.add('a', 5);
    expect(counters.delete('a')).toBe(true);
    expect(counters.delete('a')).toBe(false);
    expect(records.size).toBe(0);
    expect(counters.add('a', 1)).toBe(1);
  });

  it('is listed by prefix, in order, page by page', () => {
    for (const name of ['b/2', 'a', 'b/10', 'c', 'b/1']) counters.add(name, 1);
    expect(counters.names('b/', null, 10)).toEqual(['b/1', 'b/10', 'b/2']);
    expect(counters.names('b/', 'b/1', 1)).toEqual(['b/10']);
    expect(counters.names('', 'b/2', 10)).toEqual(['c']);
  });

  it('is the sum of what was added to it', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.maxSafeInteger())), (additions) => {
        const table = new CounterTable(new MemoryRecords());
        const sums = new Map<string, bigint>();
        for (const [name, delta] of additions) {
          const sum = (sums.get(name) ?? 0n) + BigInt(delta);
          const fits = sum >= BigInt(Number.MIN_SAFE_INTEGER) && sum <= BigInt(Number.MAX_SAFE_INTEGER);
          expect(table.add(name, delta)).toBe(fits ? Number(sum) : null);
          if (fits) sums.set(name, sum);
        }
        for (const [name, sum] of sums) expect(table.get(name)).toBe(Number(sum));
      }),
    );
  });
});
