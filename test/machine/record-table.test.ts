import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import { RecordTable, recordKey } from '../../src/machine/record-table.ts';
import {
  COUNTER_CODEC,
  LEASE_CODEC,
  LOCK_CODEC,
  SEAT_CODEC,
  TABLES,
  restoreOnce,
  StoredOnceRecords,
} from '../../src/machine/tables.ts';
import { MemoryView } from '../kv/memory-view.ts';

const corrupt = expect.objectContaining({ code: 'ERR_CORRUPT' });

function counters(view = new MemoryView()) {
  const table = new RecordTable(view, TABLES.counters, COUNTER_CODEC);
  const restarted = () => {
    const next = new RecordTable(view, TABLES.counters, COUNTER_CODEC);
    for (const { key, value } of view.records()) {
      next.restore(key, value);
      key.fill(0xee);
      value.fill(0xee);
    }
    return next;
  };
  return { view, table, restarted };
}

const NAMES = ['', 'a', '\ufeffa', '\ufeff', 'a\0b', 'ünï𝔽', '#', 'x'.repeat(500)];

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1);

describe('RecordTable', () => {
  it('finds again whatever was set, under any name, and has the digest of the set', () => {
    const change = fc.record({
      name: fc.constantFrom(...NAMES),
      value: fc.option(fc.constantFrom(0, 1, -1, Number.MAX_SAFE_INTEGER)),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40, size: 'max' }), (changes) => {
        const { view, table, restarted } = counters();
        const wanted = new Map<string, { value: number }>();
        for (const { name, value } of changes) {
          if (value === null) {
            table.delete(name);
            wanted.delete(name);
          } else {
            table.set(name, { value });
            wanted.set(name, { value });
          }
        }
        const sorted = [...wanted].toSorted(byName);
        expect([...table.entries()].toSorted(byName)).toEqual(sorted);
        expect(table.size).toBe(wanted.size);
        expect(view.map.size).toBe(wanted.size);
        const again = restarted();
        expect([...again.entries()].toSorted(byName)).toEqual(sorted);
        expect(again.digest).toEqual(table.digest);
        // Other ways to the same set.
        const other = counters();
        for (const [name, record] of sorted.toReversed()) other.table.set(name, record);
        expect(other.table.digest).toEqual(table.digest);
        expect(other.view.records()).toEqual(view.records());
        for (const name of NAMES) {
          expect(again.get(name)).toEqual(wanted.get(name));
          again.delete(name);
        }
        expect(again.digest).toEqual([0, 0]);
        expect(view.map.size).toBe(0);
      }),
    );
  });

  it('has another digest for another value, name or table', () => {
    const digests = new Set<string>();
    const add = (prefix: number, name: string, value: number) => {
      const table = new RecordTable(new MemoryView(), prefix, COUNTER_CODEC);
      table.set(name, { value });
      digests.add(String(table.digest));
    };
    add(TABLES.counters, 'a', 1);
    add(TABLES.counters, 'a', 2);
    add(TABLES.counters, 'b', 1);
    add(TABLES.leases, 'a', 1);
    expect(digests.size).toBe(4);
  });

  it('refuses every record with a flipped bit, cut short, or in the place of another', () => {
    const { view, table, restarted } = counters();
    table.set('name', { value: 300 });
    const key = recordKey(TABLES.counters, 'name');
    const record = view.get(key)!;
    for (let bit = 0; bit < record.length * 8; bit++) {
      const damaged = new Uint8Array(record);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      view.put(key, damaged);
      // The format is told before anything is known to be whole: either way the replica stops.
      const code = bit < 8 ? 'ERR_DATA_VERSION' : 'ERR_CORRUPT';
      expect(restarted, `bit ${bit}`).toThrow(expect.objectContaining({ code }));
    }
    for (let length = 0; length < record.length; length++) {
      view.put(key, new Uint8Array(record.subarray(0, length)));
      expect(restarted).toThrow(corrupt);
    }
    view.delete(key);
    view.put(recordKey(TABLES.counters, 'nama'), new Uint8Array(record));
    expect(restarted).toThrow(corrupt);
    view.map.clear();
    const other = new RecordTable(view, TABLES.leases, COUNTER_CODEC);
    view.put(recordKey(TABLES.leases, 'name'), new Uint8Array(record));
    expect(() => other.restore(recordKey(TABLES.leases, 'name'), record)).toThrow(corrupt);
  });

  it('refuses a key that is not UTF-8, and a whole record of another kind', () => {
    const view = new MemoryView();
    const table = new RecordTable(view, TABLES.counters, COUNTER_CODEC);
    new RecordTable(view, TABLES.counters, SEAT_CODEC).set('a', {
      lease: '7',
      mode: 'write',
      owner: null,
      value: null,
      ticket: 1,
      token: 0,
      since: 0,
    });
    const [{ key, value }] = view.records() as [{ key: Uint8Array; value: Uint8Array }];
    expect(() => table.restore(key, value)).toThrow(corrupt);
    const nobody = {
      restore: () => expect.unreachable('it is damaged'),
      restoreWindow: () => expect.unreachable('it is damaged'),
    };
    for (const name of [0x6b, 0x77]) {
      expect(() => restoreOnce(Uint8Array.of(TABLES.once, name), value, nobody)).toThrow(corrupt);
    }
    const once = new StoredOnceRecords(view);
    expect(() => once.get('kmissing')).toThrow(corrupt);
    once.set('kx', { fingerprint: [1, 2], index: 3, time: 0.5, lowestUnanswered: 0, result: Uint8Array.of(1) });
    expect(once.get('kx')).toMatchObject({ fingerprint: [1, 2], index: 3, time: 0.5 });
    view.put(Uint8Array.of(TABLES.counters, 0xff), value);
    expect(() => table.restore(Uint8Array.of(TABLES.counters, 0xff), value)).toThrow(KvorumError);
  });
});

describe('the records of each table', () => {
  const count = fc.maxSafeNat();
  const time = fc.constantFrom(0, 1_700_000_000_000, 1_700_000_000_000.25, 1e300);
  const text = fc.option(fc.string({ unit: 'grapheme' }));
  const mode = fc.constantFrom('read' as const, 'write' as const);
  const holder = fc.record({
    token: count,
    lease: fc.constantFrom('7', '99'),
    mode,
    owner: text,
    since: time,
    ticket: count,
  });

  it('come back as they were, whatever the clock of a leader showed', () => {
    const codecs = [
      [LEASE_CODEC, fc.record({ ttlMs: count, owner: text, counter: count, remainingMs: count, ofLock: fc.boolean() })],
      [COUNTER_CODEC, fc.record({ value: fc.maxSafeInteger() })],
      [
        LOCK_CODEC,
        fc.record({
          kind: fc.constantFrom('lock', 'semaphore', 'election', 'barrier'),
          limit: count,
          floor: count,
          delayMs: count,
          restUntil: time,
          holders: fc.array(holder, { maxLength: 1 }),
          value: text,
        }),
      ],
      [
        SEAT_CODEC,
        fc.record({
          lease: fc.constantFrom('7', '8'),
          mode,
          owner: text,
          value: text,
          ticket: count,
          token: count,
          since: time,
        }),
      ],
    ] as const;
    for (const [codec, records] of codecs) {
      fc.assert(
        fc.property(records as fc.Arbitrary<unknown>, (record) => {
          const view = new MemoryView();
          const table = new RecordTable<unknown>(view, 1, codec);
          table.set('name', record);
          const again = new RecordTable<unknown>(view, 1, codec);
          for (const { key, value } of view.records()) again.restore(key, value);
          expect(again.get('name')).toEqual(record);
          expect(again.digest).toEqual(table.digest);
        }),
      );
    }
  });
});
