import { describe, expect, it } from 'vitest';
import { historyKey } from '../../src/kv/record.ts';
import { decodeSettings, encodeSettings, isSettingsKey, settingsKey } from '../../src/kv/settings.ts';
import { DEFAULT_QUOTA_BYTES, KvStore } from '../../src/kv/store.ts';
import { Retention } from '../../src/kv/retention.ts';
import { MemoryView, text } from './memory-view.ts';
import { restarted, storeOf } from './store-of.ts';

const HOUR = 3_600_000;

describe('compaction on demand', () => {
  it('refuses at once what is older, and keeps the revision itself', () => {
    const { store, put, view } = storeOf();
    for (let i = 1; i <= 6; i++) put('a', String(i));
    expect(store.compact(4)).toEqual({ ok: true, type: 'compacted', revision: 6, compactedRevision: 4 });
    expect(text(store.getAt('a', 4)?.value)).toBe('4');
    expect(() => store.getAt('a', 3)).toThrow(expect.objectContaining({ code: 'ERR_COMPACTED' }));
    expect(view.get(historyKey(3, 0))).toBeUndefined();
    expect(store.compact(4)).toMatchObject({ ok: true, compactedRevision: 4 });
    expect(store.compact(3)).toMatchObject({ ok: false, code: 'ERR_COMPACTED', details: { compactRevision: 4 } });
    expect(store.compact(7)).toMatchObject({ ok: false, code: 'ERR_FUTURE_REVISION', details: { revision: 6 } });
    expect(store.compact(6)).toMatchObject({ ok: true, compactedRevision: 6 });
    expect(store.supersededVersions).toBe(0);
  });

  it('drops a part, refuses all of it, and leaves the rest to later writes, restarts included', () => {
    const { store, put, view } = storeOf({ keepRevisions: 1_000_000 });
    for (let i = 0; i < 10_601; i++) put('a', '');
    store.compact(10_601);
    expect(store.supersededVersions).toBe(600);
    expect(store.compactedRevision).toBe(10_601);
    const next = restarted(store, view);
    expect(next.compactedRevision).toBe(10_601);
    const write = { key: 'b', value: new Uint8Array(), contentType: null, lease: null, prev: false, condition: null };
    next.put(write);
    expect(next.supersededVersions).toBe(600 - 64);
    // Nobody gets back what was compacted while it is being dropped.
    expect(next.compactedRevision).toBe(10_601);
    for (let i = 0; i < 9; i++) next.put({ ...write, key: `b${i}` });
    expect(next.supersededVersions).toBe(0);
    expect(next.compactedRevision).toBe(10_601);
  });

  it('does not lift the time limit and the quota that a store was begun with', () => {
    const { store, put } = storeOf({ keepMs: 5, quotaBytes: 1000 });
    put('a', '');
    store.compact(1);
    expect(store.settings).toMatchObject({ keepMs: 5, quotaBytes: 1000 });
  });

  it('is part of the digest even when it drops nothing', () => {
    const one = storeOf();
    const other = storeOf();
    one.put('a', '');
    other.put('a', '');
    one.store.compact(1);
    expect(one.store.state.digest).not.toEqual(other.store.state.digest);
  });
});

describe('retention by time', () => {
  it('keeps what was superseded less than keepMs ago, and drops what was superseded longer ago than a sixty-fourth more', () => {
    const keepMs = 6400;
    const { store, put } = storeOf({ keepMs, keepRevisions: 1_000_000 });
    /** currentAt[t]: the revision after the write at time t. */
    const currentAt: number[] = [];
    for (let time = 0; time < 3 * keepMs; time += 10) {
      store.tick(time);
      put(`k${time % 70}`, 'x');
      currentAt[time] = store.revision;
      const { compactedRevision } = store;
      expect(compactedRevision).toBeLessThanOrEqual(currentAt[time - keepMs] ?? 0);
      expect(compactedRevision).toBeGreaterThanOrEqual((currentAt[time - keepMs - 120] ?? 0) - 1);
    }
    expect(store.supersededVersions).toBeLessThan(660);
  });

  it('is exact for a mark: not a millisecond earlier', () => {
    const { store, put } = storeOf({ keepMs: 1000 });
    store.tick(5000);
    put('a', '1');
    put('a', '2');
    store.tick(5000);
    store.tick(5999);
    expect(store.compactedRevision).toBe(0);
    store.tick(6000);
    expect(store.compactedRevision).toBe(2);
    expect(() => store.getAt('a', 1)).toThrow(expect.objectContaining({ code: 'ERR_COMPACTED' }));
    expect(text(store.getAt('a', 2)?.value)).toBe('2');
    expect(store.supersededVersions).toBe(1);
    put('b', '');
    expect(store.supersededVersions).toBe(0);
  });

  it('writes nothing while nothing changes', () => {
    const { store, put, view } = storeOf({ keepMs: HOUR });
    store.tick(0);
    put('a', '1');
    store.tick(HOUR / 64);
    const record = view.get(settingsKey());
    for (let time = HOUR / 64; time < HOUR; time += 10_000) store.tick(time);
    expect(view.get(settingsKey())).toBe(record);
  });

  it('has at most 65 marks, also when it is told to keep for longer, and is never late by more than the gap between two', () => {
    for (const keepMs of [1, 10, 64, 6400, HOUR]) {
      const retention = new Retention({ keepMs });
      const step = Math.max(1, Math.floor(keepMs / 500));
      for (let i = 0, time = 0; i < 1500; i++, time += step) {
        retention.tick(time, i);
        expect(retention.record.marks.length).toBeLessThanOrEqual(65);
      }
      retention.configure({ keepMs: keepMs * 20 }, 1500);
      const { marks } = retention.record;
      expect(marks.length).toBeLessThanOrEqual(5);
      const { floor } = retention;
      retention.tick(1500 * step, 1501);
      expect(retention.floor).toBe(floor);
      expect(retention.record.marks.length).toBeLessThanOrEqual(6);
    }
  });

  it('with keepMs 0 keeps for ever, and forgets its marks', () => {
    const { store, put } = storeOf({ keepMs: 1000 });
    store.tick(0);
    put('a', '1');
    put('a', '2');
    store.tick(10);
    store.configure({ keepMs: 0 });
    store.tick(1e12);
    expect(store.compactedRevision).toBe(0);
    store.configure({ keepMs: 1000 });
    store.tick(1e12 + 1);
    expect(store.compactedRevision).toBe(0);
    store.tick(1e12 + 1001);
    expect(store.compactedRevision).toBe(2);
  });

  it('a smaller keepRevisions takes effect at once', () => {
    const { store, put } = storeOf();
    for (let i = 0; i < 100; i++) put('a', '');
    store.configure({ keepRevisions: 10 });
    expect(store.compactedRevision).toBe(90);
    expect(store.settings.keepRevisions).toBe(10);
    expect(store.state.keepRevisions).toBe(10);
    put('b', '');
    put('b', '');
    expect(store.supersededVersions).toBe(9);
    expect(() => store.configure({ keepMs: -1 })).toThrow(expect.objectContaining({ code: 'ERR_INVARIANT' }));
    expect(() => new KvStore(new MemoryView(), { quotaBytes: 0.5 })).toThrow('quotaBytes');
  });
});

describe('quota', () => {
  const value = 'x'.repeat(100);

  it('refuses what does not fit, and lifts itself by deletions alone', () => {
    const { store, put, del, view } = storeOf({ quotaBytes: 10_000 });
    store.tick(1);
    let keys = 0;
    while (put(`k${keys}`, value).ok) keys++;
    // key + value + 64, k10 and up being one byte longer
    expect(keys).toBe(Math.floor((10_000 + 10) / 167));
    const full = { ok: false, code: 'ERR_QUOTA', revision: keys, details: { quotaBytes: 10_000, bytes: store.bytes } };
    const { state } = store;
    const records = view.records();
    expect(put('more', value)).toMatchObject(full);
    expect(put('k0', value)).toMatchObject(full);
    expect(store.state).toEqual(state);
    expect(view.records()).toEqual(records);
    for (let i = 0; i < 2; i++) expect(del(`k${i}`)).toMatchObject({ ok: true, deleted: 1 });
    expect(store.bytes).toBe(keys * 167 - 10 - 2 * 166);
    expect(put('more', value)).toMatchObject({ ok: true, created: true });
    expect(put('k5', value)).toMatchObject({ ok: true, created: false });
  });

  it('drops superseded versions before it refuses, oldest first and not more than it must', () => {
    const { store, put } = storeOf({ quotaBytes: 10_000 });
    store.tick(1);
    for (let i = 0; i < 50; i++) put('a', value);
    expect(store.compactedRevision).toBe(0);
    expect(put('big', 'x'.repeat(3000))).toMatchObject({ ok: true });
    expect(store.bytes).toBeLessThanOrEqual(9000);
    expect(store.bytes).toBeGreaterThan(8500);
    expect(store.compactedRevision).toBeGreaterThan(0);
    expect(text(store.getAt('a', store.compactedRevision)?.value)).toBe(value);
  });

  it('puts a key whose tombstone has to go for it', () => {
    const { store, put, del } = storeOf({ quotaBytes: 1000 });
    store.tick(1);
    put('a', value);
    del('a');
    put('b', 'x'.repeat(500));
    expect(store.compactedRevision).toBe(0);
    expect(put('a', 'x'.repeat(300))).toEqual({ ok: true, revision: 4, created: true });
    expect(store.get('a')).toMatchObject({ createRevision: 4, version: 1 });
    expect(store.range({ start: '', end: null, limit: 9, after: null, keysOnly: true, countOnly: false }).count).toBe(
      2,
    );
  });

  it('makes room in steps of 256 versions when much has to go', () => {
    const { store, put } = storeOf({ quotaBytes: 0 });
    store.tick(1);
    for (let i = 0; i < 1000; i++) put('a', value);
    store.configure({ quotaBytes: 50_000 });
    let refusals = 0;
    while (!put('b', value).ok) refusals++;
    expect(refusals).toBe(2);
    expect(store.bytes).toBeLessThanOrEqual(50_000);
  });

  it('accepts deletions beyond the quota, and in a store that is far above a new one', () => {
    const { store, put } = storeOf({ quotaBytes: 0 });
    store.tick(1);
    for (let i = 0; i < 100; i++) put(`k${i}`, value);
    store.configure({ quotaBytes: 1000 });
    expect(put('n', '')).toMatchObject({ code: 'ERR_QUOTA' });
    expect(store.deleteRange({ start: '', end: null })).toMatchObject({ deleted: 100 });
    expect(store.bytes).toBeLessThanOrEqual(900);
    expect(put('n', '')).toMatchObject({ ok: true });
  });

  it('is in force from the first tick, and what was begun with stays', () => {
    const { store, put, view } = storeOf({ quotaBytes: 100 });
    expect(put('a', value)).toMatchObject({ ok: true });
    expect(view.get(settingsKey())).toBeUndefined();
    store.tick(1);
    expect(put('b', '')).toMatchObject({ code: 'ERR_QUOTA' });
    const next = restarted(store, view, { quotaBytes: 1e9, keepMs: 5 });
    next.tick(2);
    expect(next.settings).toEqual(store.settings);
    expect(new KvStore(new MemoryView()).settings.quotaBytes).toBe(0);
    const fresh = storeOf();
    fresh.store.tick(1);
    expect(fresh.store.settings).toEqual({
      keepRevisions: 100_000,
      keepMs: 86_400_000,
      quotaBytes: DEFAULT_QUOTA_BYTES,
    });
  });
});

describe('changes of a revision', () => {
  it('are all there behind a long row of transactions, and after a restart', () => {
    const { store, view } = storeOf({ keepRevisions: 500 });
    const step = (key: string) =>
      ({ type: 'put', key, value: new Uint8Array(1), contentType: 'a/b', lease: null, prev: false }) as const;
    const context = { leaseExists: () => true, lockToken: () => 0 };
    for (let i = 0; i < 4200; i++) {
      // oxlint-disable-next-line unicorn/no-thenable
      store.txn({ compare: [], then: [step(`a${i % 7}`), step('b'), step(`c${i}`)], otherwise: [] }, context);
    }
    for (const one of [store, restarted(store, view)]) {
      expect(one.compactedRevision).toBe(3700);
      for (let revision = 3701; revision <= 4200; revision++) {
        const changes = one.changes(revision);
        expect(changes.map(({ entry }) => entry.key)).toEqual([`a${(revision - 1) % 7}`, 'b', `c${revision - 1}`]);
        expect(changes.map((change) => one.prevOf(change)?.modRevision)).toEqual([
          revision - 7,
          revision - 1,
          undefined,
        ]);
      }
    }
  });

  it('says so when a record is gone, and when the change was compacted since it was read', () => {
    const { store, put, view } = storeOf();
    put('a', '1');
    put('a', '2');
    put('b', '1', { lease: '7', contentType: 'text/plain' });
    store.deleteRange({ start: '', end: null });
    expect(store.changes(3)).toMatchObject([{ type: 'put', entry: { lease: '7', contentType: 'text/plain' } }]);
    const [change] = store.changes(2);
    expect(store.prevOf(change!)).toMatchObject({ modRevision: 1 });
    store.compact(2);
    expect(() => store.prevOf(change!)).toThrow(
      expect.objectContaining({ code: 'ERR_COMPACTED', details: { compactRevision: 2 } }),
    );
    view.delete(historyKey(4, 1));
    expect(() => store.changes(4)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
  });
});

describe('the settings record', () => {
  const settings = { keepMs: 5, quotaBytes: 2 ** 40, floor: 2 ** 41, marks: [{ time: 1e12, revision: 3 }] };

  it('comes back as it was', () => {
    expect(decodeSettings(encodeSettings(settings))).toEqual(settings);
    expect(isSettingsKey(settingsKey())).toBe(true);
    expect(isSettingsKey(Uint8Array.of(0x6b, 0))).toBe(false);
    expect(isSettingsKey(Uint8Array.of(0x6d))).toBe(false);
  });

  it('is found damaged wherever a byte is wrong or missing', () => {
    const record = encodeSettings(settings);
    for (let at = 0; at < record.length; at++) {
      const damaged = record.slice();
      damaged[at]! ^= 0x10;
      const expected = at === 0 ? 'ERR_DATA_VERSION' : 'ERR_CORRUPT';
      expect(() => decodeSettings(damaged)).toThrow(expect.objectContaining({ code: expected }));
      expect(() => decodeSettings(record.slice(0, at))).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
    }
  });

  it('is refused beside a state that it does not belong to', () => {
    const { store, put, view } = storeOf();
    put('a', '');
    const { state } = store;
    store.compact(1);
    const next = new KvStore(view);
    next.restoreSettings(view.get(settingsKey())!);
    expect(() => next.restored(state)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
  });
});
