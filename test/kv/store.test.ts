import { describe, expect, it } from 'vitest';
import { historyKey } from '../../src/kv/record.ts';
import { KvStore } from '../../src/kv/store.ts';
import { bytes, text } from './memory-view.ts';
import { storeOf } from './store-of.ts';

const list = { start: '', end: null, limit: 100, after: null, keysOnly: true, countOnly: false };

describe('KvStore', () => {
  it('counts revisions, versions and creations as etcd does', () => {
    const { store, put, del } = storeOf();
    put('a', '1');
    put('b', '1');
    put('a', '2');
    expect(store.get('a')).toMatchObject({ createRevision: 1, modRevision: 3, version: 2 });
    del('a');
    expect(store.get('a')).toBeNull();
    expect(put('a', '3')).toEqual({ ok: true, revision: 5, created: true });
    expect(store.get('a')).toMatchObject({ createRevision: 5, modRevision: 5, version: 1 });
  });

  it('reads at revision 0 as at the empty beginning', () => {
    const { store, put } = storeOf();
    expect(store.getAt('a', 0)).toBeNull();
    put('a', '1');
    expect(store.getAt('a', 0)).toBeNull();
    expect(store.range(list, 0)).toEqual({ revision: 0, entries: [], count: 0, more: false });
  });

  it('uses no revision for a deletion that matches nothing and a condition that fails', () => {
    const { store, put, del, view } = storeOf();
    put('a', '1');
    const records = view.records();
    expect(del('b')).toEqual({ ok: true, revision: 1, deleted: 0 });
    expect(store.deleteRange({ start: 'b', end: null })).toEqual({ ok: true, revision: 1, deleted: 0 });
    expect(put('b', '1', { condition: { type: 'exists' } })).toEqual({
      ok: false,
      code: 'ERR_CAS_FAILED',
      revision: 1,
      current: null,
    });
    expect(put('a', '1', { condition: { type: 'absent' } })).toMatchObject({ ok: false, current: { modRevision: 1 } });
    expect(view.records()).toEqual(records);
  });

  it('fails a condition on a deleted key as on one that never was', () => {
    const { put, del } = storeOf();
    put('a', '1');
    del('a');
    expect(put('a', '2', { condition: { type: 'modRevision', revision: 2 } })).toMatchObject({
      ok: false,
      current: null,
    });
    expect(put('a', '2', { condition: { type: 'modRevision', revision: 0 } })).toMatchObject({
      ok: false,
      current: null,
    });
    expect(put('a', '2', { condition: { type: 'absent' } })).toMatchObject({ ok: true, created: true });
    expect(del('a', { type: 'modRevision', revision: 3 })).toMatchObject({ ok: true, deleted: 1 });
  });

  it('deletes a range at one revision', () => {
    const { store, put } = storeOf();
    for (const key of ['a', 'b/1', 'b/2', 'b/3', 'c']) put(key, 'x');
    expect(store.deleteRange({ start: 'b/', end: 'b0' })).toEqual({ ok: true, revision: 6, deleted: 3 });
    expect(store.range(list).entries.map(({ key }) => key)).toEqual(['a', 'c']);
    expect(store.range(list, 5).count).toBe(5);
  });

  it('says which revisions cannot be read', () => {
    const { store, put } = storeOf({ keepRevisions: 2 });
    for (let i = 1; i <= 6; i++) put('a', String(i));
    expect(store.compactedRevision).toBe(4);
    expect(text(store.getAt('a', 4)?.value)).toBe('4');
    expect(() => store.getAt('a', 3)).toThrow(
      expect.objectContaining({ code: 'ERR_COMPACTED', details: { compactRevision: 4 } }),
    );
    expect(() => store.range(list, 3)).toThrow(expect.objectContaining({ code: 'ERR_COMPACTED' }));
    expect(() => store.getAt('a', 7)).toThrow(
      expect.objectContaining({ code: 'ERR_FUTURE_REVISION', details: { revision: 6 } }),
    );
    expect(() => store.range(list, 7)).toThrow(expect.objectContaining({ code: 'ERR_FUTURE_REVISION' }));
  });

  it('forgets a deleted key altogether when its time has come', () => {
    const { store, put, del, view } = storeOf({ keepRevisions: 3 });
    put('gone', '1');
    del('gone');
    put('back', '1');
    del('back');
    put('back', '2');
    for (let i = 0; i < 10; i++) put('other', String(i));
    expect(store.get('back')).toMatchObject({ version: 1, createRevision: 5 });
    expect(view.records().map(({ key }) => key)).toEqual(
      [5, 12, 13, 14, 15].map((revision) => historyKey(revision, 0)),
    );
    expect(store.supersededVersions).toBe(3);
  });

  it('spreads the dropping of a large deleted range over later writes', () => {
    const { store, put, view } = storeOf({ keepRevisions: 0 });
    for (let i = 0; i < 1000; i++) put(`k${i}`, 'x');
    const before = view.map.size;
    expect(store.deleteRange({ start: '', end: null }).revision).toBe(1001);
    // A tombstone each, and eight of them with what they deleted already dropped.
    expect(view.map.size).toBe(before + 1000 - 2 * 8);
    let writes = 0;
    while (store.supersededVersions > 0) {
      put(`n${writes++}`, 'x');
      expect(writes).toBeLessThan(200);
    }
    expect(writes).toBe(124);
    expect(view.map.size).toBe(writes);
    expect(store.range(list).count).toBe(writes);
  });

  it('does not take one content type for another that looks like its bytes', () => {
    const { store, put } = storeOf();
    for (const [i, contentType] of ['text/plain', '\u00c3\u00a9', '\u00e9', 'text/plaiN', ''].entries()) {
      put(String(i), 'x', { contentType });
    }
    const types = ['0', '1', '2', '3', '4', '0'].map((key) => store.get(key)?.contentType);
    expect(types).toEqual(['text/plain', '\u00c3\u00a9', '\u00e9', 'text/plaiN', '', 'text/plain']);
  });

  it('reports a damaged or missing record as such', () => {
    const { store, put, view } = storeOf();
    put('a', 'value');
    put('b', 'value');
    const record = view.get(historyKey(1, 0))!;
    record[record.length - 1]! ^= 1;
    expect(() => store.get('a')).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
    view.delete(historyKey(2, 0));
    expect(() => store.get('b')).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
  });

  it('refuses a state whose records go beyond it', () => {
    const { store, put, view } = storeOf();
    put('a', '1');
    const state = store.state;
    put('a', '2');
    const next = new KvStore(view);
    for (const { key, value } of view.records()) next.restore(key, value);
    expect(() =>
      next.put({ key: 'a', value: bytes(''), contentType: null, lease: null, prev: false, condition: null }),
    ).toThrow(expect.objectContaining({ code: 'ERR_INVARIANT' }));
    expect(() => next.restored(state)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
  });

  it('works beyond 2^32 revisions', () => {
    const { store, put, del, view } = storeOf({ keepRevisions: 5 });
    const far = 2 ** 40;
    store.restored({ revision: far, compactedRevision: far, keepRevisions: 5, digest: [0, 0] });
    put('a', '1');
    put('a', '2');
    del('a');
    expect(text(store.getAt('a', far + 1)?.value)).toBe('1');
    expect(store.getAt('a', far + 2)).toMatchObject({ createRevision: far + 1, modRevision: far + 2, version: 2 });
    const next = new KvStore(view);
    for (const { key, value } of view.records()) next.restore(key, value);
    next.restored(store.state);
    expect(next.getAt('a', far + 2)).toEqual(store.getAt('a', far + 2));
  });
});
