import { describe, expect, it } from 'vitest';
import { checkTxn } from '../../src/kv/txn.ts';
import type { Compare, CompareOperator, TxnContext, TxnOperation, TxnStep } from '../../src/kv/types.ts';
import { bytes, text } from './memory-view.ts';
import { restarted, storeOf } from './store-of.ts';

const CONTEXT: TxnContext = {
  leaseExists: (id) => id === '7' || id === '30',
  lockToken: (name) => (name === 'held' ? 41 : 0),
};

function put(key: string, value = 'x', more: { lease?: string; prev?: boolean } = {}): TxnStep {
  return { type: 'put', key, value: bytes(value), contentType: null, lease: null, prev: false, ...more };
}

const del = (key: string): TxnStep => ({ type: 'delete', key, prev: false });
const delRange = (start: string, end: string | null): TxnStep => ({ type: 'deleteRange', start, end });

function txn(thenSteps: readonly TxnStep[], compare: readonly Compare[] = [], otherwise: readonly TxnStep[] = []) {
  // oxlint-disable-next-line unicorn/no-thenable
  return { compare, then: thenSteps, otherwise } satisfies TxnOperation;
}

describe('checkTxn', () => {
  it.each([
    ['puts of one key', [put('a'), put('b'), put('a')]],
    ['a put and a deletion', [put('a'), del('a')]],
    ['a deletion and a put', [del('a'), put('a')]],
    ['a put inside a deleted range', [delRange('a', 'c'), put('b')]],
    ['a put at the start of a deleted range', [put('a'), put('x'), delRange('a', 'b')]],
    ['a put in a range without an end', [put('z'), delRange('b', null)]],
  ])('refuses %s in one branch, also in the one that would not be taken', (_, steps) => {
    expect(checkTxn(txn(steps))).toMatch(/puts/);
    expect(checkTxn(txn([], [], steps))).toMatch(/puts/);
    const { store, view, put: putNow } = storeOf();
    putNow('a', '1');
    const before = view.records();
    expect(store.txn(txn([put('other')], [], steps), CONTEXT)).toMatchObject({
      ok: false,
      code: 'ERR_INVALID_ARGUMENT',
      revision: 1,
    });
    expect(view.records()).toEqual(before);
  });

  it('allows what writes each key at most once', () => {
    expect(checkTxn(txn([put('a'), put('b'), del('c'), delRange('d', 'f'), put('f'), put('c0')]))).toBeNull();
    expect(checkTxn(txn([put('a'), delRange('b', 'a')]))).toBeNull();
    expect(checkTxn(txn([del('a'), del('a'), delRange('a', 'b'), delRange('', null)]))).toBeNull();
    expect(checkTxn(txn([put('a')], [], [put('a'), del('b')]))).toBeNull();
  });

  it('refuses a limit and a lease that are no numbers', () => {
    for (const limit of [-1, 0.5, Number.NaN]) {
      expect(checkTxn(txn([{ type: 'range', start: '', end: null, limit, keysOnly: true }]))).toMatch(/limit/);
    }
    for (const value of ['', 'x', '-1', '1.5']) {
      expect(checkTxn(txn([], [{ target: 'lease', key: 'a', operator: '=', value }]))).toMatch(/lease/);
    }
  });
});

describe('comparisons', () => {
  const { store, put: putNow, del: delNow } = storeOf();
  putNow('k', 'b', { lease: '30' });
  putNow('k', 'bb', { lease: '30' });
  putNow('free', '');
  putNow('gone', '1', { lease: '7' });
  delNow('gone');

  /** Which operators hold. */
  function holding(compare: (operator: CompareOperator) => Compare): string {
    const operators = ['=', '!=', '<', '>'] as const;
    return operators
      .filter((operator) => {
        const result = store.txn(txn([], [compare(operator)]), CONTEXT);
        return result.ok && result.succeeded;
      })
      .join(' ');
  }

  it.each([
    ['version', 'k', 2, '='],
    ['version', 'k', 1, '!= >'],
    ['version', 'k', 3, '!= <'],
    ['createRevision', 'k', 1, '='],
    ['modRevision', 'k', 2, '='],
    ['version', 'absent', 0, '='],
    ['version', 'absent', 1, '!= <'],
    ['createRevision', 'gone', 0, '='],
    ['modRevision', 'gone', 0, '='],
  ] as const)('%s of %s with %i: %s', (target, key, value, expected) => {
    expect(holding((operator) => ({ target, key, operator, value }))).toBe(expected);
  });

  it.each([
    ['k', '30', '='],
    ['k', '030', '='],
    ['k', '9', '!= >'],
    ['k', '100', '!= <'],
    ['k', null, '!= >'],
    ['free', null, '='],
    ['free', '0', '='],
    ['absent', null, '='],
    ['absent', '1', '!= <'],
    ['gone', null, '='],
  ] as const)('the lease of %s with %s, as numbers: %s', (key, value, expected) => {
    expect(holding((operator) => ({ target: 'lease', key, operator, value }))).toBe(expected);
  });

  it.each([
    ['k', 'bb', '='],
    ['k', 'b', '!= >'],
    ['k', 'bbb', '!= <'],
    ['k', 'a\u00ff', '!= >'],
    ['k', 'c', '!= <'],
    ['free', '', '='],
    ['absent', '', '!='],
    ['gone', '1', '!='],
  ] as const)('the value of %s with %s, as unsigned bytes: %s', (key, value, expected) => {
    expect(holding((operator) => ({ target: 'value', key, operator, value: bytes(value) }))).toBe(expected);
  });

  it('compares bytes above 0x7f as unsigned', () => {
    putNow('high', '\u00ff');
    expect(holding((operator) => ({ target: 'value', key: 'high', operator, value: bytes('z') }))).toBe('!= >');
  });

  it.each([
    ['held', 41, '='],
    ['held', 42, '!= <'],
    ['free', 0, '='],
    ['free', 41, '!= <'],
  ] as const)('the token of a lock that is %s with %i: %s', (lock, value, expected) => {
    expect(holding((operator) => ({ target: 'token', lock, operator, value }))).toBe(expected);
  });

  it('takes the first branch when all hold, none included, and the other one otherwise', () => {
    const yes: Compare = { target: 'version', key: 'k', operator: '=', value: 2 };
    const no: Compare = { target: 'version', key: 'k', operator: '=', value: 3 };
    for (const [compare, succeeded] of [
      [[], true],
      [[yes, yes], true],
      [[yes, no], false],
      [[no, yes], false],
    ] as const) {
      expect(store.txn(txn([], compare), CONTEXT)).toMatchObject({ ok: true, succeeded, responses: [] });
    }
  });
});

describe('a transaction', () => {
  it('writes everything at one revision, numbered, and reads what its steps before have written', () => {
    const { store, put: putNow } = storeOf();
    putNow('a', 'old');
    putNow('d/1', 'x');
    putNow('d/2', 'x');
    const all = { type: 'range', start: '', end: null, limit: 10, keysOnly: true } as const;
    const result = store.txn(
      txn([
        { type: 'get', key: 'b' },
        put('b', 'new'),
        { type: 'get', key: 'b' },
        put('a', 'newer', { prev: true }),
        del('absent'),
        delRange('d/', 'd0'),
        { ...all, limit: 1 },
        { type: 'delete', key: 'd/1', prev: true },
        all,
      ]),
      CONTEXT,
    );
    expect(result).toMatchObject({
      ok: true,
      type: 'txn',
      revision: 4,
      succeeded: true,
      responses: [
        { type: 'get', entry: null },
        { type: 'put', created: true },
        { type: 'get', entry: { key: 'b', modRevision: 4, createRevision: 4, version: 1 } },
        { type: 'put', created: false, prev: { modRevision: 1, version: 1 } },
        { type: 'delete', deleted: 0 },
        { type: 'delete', deleted: 2 },
        { type: 'range', count: 2, entries: [{ key: 'a', modRevision: 4 }] },
        { type: 'delete', deleted: 0, prev: null },
        { type: 'range', count: 2, entries: [{ key: 'a' }, { key: 'b' }] },
      ],
    });
    expect(store.changes(4).map(({ type, entry, subOperation }) => [subOperation, type, entry.key])).toEqual([
      [0, 'put', 'b'],
      [1, 'put', 'a'],
      [2, 'delete', 'd/1'],
      [3, 'delete', 'd/2'],
    ]);
    expect(store.range({ ...all, after: null, countOnly: false }, 3).count).toBe(3);
  });

  it('takes no revision when nothing is changed', () => {
    const { store, view, put: putNow } = storeOf();
    putNow('a', '1');
    const before = view.records();
    const result = store.txn(txn([del('b'), delRange('c', null), { type: 'get', key: 'a' }]), CONTEXT);
    expect(result).toMatchObject({ ok: true, revision: 1 });
    expect(view.records()).toEqual(before);
    expect(store.state).toMatchObject({ revision: 1 });
  });

  it('is refused whole for a lease that is gone, in the branch that is taken only', () => {
    const { store, view } = storeOf();
    const refusal = { ok: false, code: 'ERR_LEASE_NOT_FOUND', revision: 0, details: { lease: '8' } };
    expect(store.txn(txn([put('a'), put('b', 'x', { lease: '8' })]), CONTEXT)).toMatchObject(refusal);
    expect(view.map.size).toBe(0);
    expect(store.txn(txn([put('a')], [], [put('b', 'x', { lease: '8' })]), CONTEXT)).toMatchObject({ ok: true });
  });

  it('is refused whole when it does not fit into the quota', () => {
    const { store, put: putNow } = storeOf({ quotaBytes: 400 });
    store.tick(1);
    putNow('a', 'x'.repeat(100));
    const steps = [put('b', 'x'.repeat(50)), put('c', 'x'.repeat(50))];
    const { bytes: taken } = store;
    expect(store.txn(txn([...steps, del('a')]), CONTEXT)).toMatchObject({ ok: true });
    expect(store.txn(txn([put('d', 'x'.repeat(100)), put('e', 'x'.repeat(100))]), CONTEXT)).toMatchObject({
      ok: false,
      code: 'ERR_QUOTA',
      revision: 2,
      details: { quotaBytes: 400, bytes: store.bytes },
    });
    expect(store.get('d')).toBeNull();
    expect(taken).toBe(1 + 100 + 64);
  });

  it('drops for each of its writes, so that overwriting many keys at once does not pile up', () => {
    const { store } = storeOf({ keepRevisions: 1 });
    for (let i = 0; i < 50; i++) {
      store.txn(txn(Array.from({ length: 100 }, (_, k) => put(`k${k}`))), CONTEXT);
    }
    expect(store.supersededVersions).toBeLessThanOrEqual(200);
  });
});

describe('keys of a lease', () => {
  it('come and go with puts and deletions, and are found again after a restart', () => {
    const { store, view, put: putNow, del: delNow } = storeOf();
    for (const key of ['c', 'a', 'b', 'd', 'e']) putNow(key, '1', { lease: '7' });
    putNow('x', '1', { lease: '30' });
    expect(store.keysOf('7')).toEqual(['a', 'b', 'c', 'd', 'e']);
    putNow('a', '2', { lease: '30' });
    putNow('b', '2');
    putNow('c', '2', { lease: '7' });
    delNow('d');
    expect(store.keysOf('7')).toEqual(['c', 'e']);
    store.txn(txn([put('c'), put('n', 'x', { lease: '7' })]), CONTEXT);
    store.deleteRange({ start: 'e', end: 'f' });
    expect(store.keysOf('7')).toEqual(['n']);
    expect(store.keysOf('30')).toEqual(['a', 'x']);
    expect(store.keyCountOf('30')).toBe(2);
    const next = restarted(store, view);
    expect(next.keysOf('7')).toEqual(['n']);
    expect(next.keysOf('30')).toEqual(['a', 'x']);
    expect(next.keysOf('8')).toEqual([]);
    expect(next.keyCountOf('8')).toBe(0);
  });

  it('are deleted at one revision, in key order, those that exist', () => {
    const { store, view, put: putNow } = storeOf();
    for (const key of ['b', 'a', 'c']) putNow(key, '1', { lease: '7' });
    expect(store.deleteKeys(['c', 'absent', 'a', 'c'])).toBe(2);
    expect(store.revision).toBe(4);
    expect(store.changes(4)).toMatchObject([
      {
        type: 'delete',
        subOperation: 0,
        entry: { key: 'a', modRevision: 4, version: 0, createRevision: 0, lease: null },
      },
      { type: 'delete', subOperation: 1, entry: { key: 'c' } },
    ]);
    expect(store.changes(4).map((change) => text(store.prevOf(change)?.value))).toEqual(['1', '1']);
    expect(store.keysOf('7')).toEqual(['b']);
    const before = view.records();
    expect(store.deleteKeys(['a'])).toBe(0);
    expect(store.deleteKeys([])).toBe(0);
    expect(store.revision).toBe(4);
    expect(view.records()).toEqual(before);
  });
});
