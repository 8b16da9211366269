import { expect, test } from 'vitest';
import { check, type Operation } from '../../src/checker/index.ts';
import { did, failed, verdictOf } from './history.ts';

test('nothing at all is ok', () => {
  expect(check([], { model: 'kv' })).toEqual({
    verdict: 'ok',
    model: 'kv',
    reason: null,
    operations: 0,
    steps: 0,
    parts: [],
  });
});

test('operations that overlap may stand in either order', () => {
  const writes = [did(1, [0, 10], 'put', 1), did(2, [5, 15], 'put', 2)];
  expect(verdictOf('register', [...writes, did(3, [20, 30], 'get', null, 1)])).toBe('ok');
  expect(verdictOf('register', [...writes, did(3, [20, 30], 'get', null, 2)])).toBe('ok');
});

test('a stale read is bad, and the read is the one that has no place', () => {
  const stale = did(3, [25, 30], 'get', null, 1);
  const history = [did(1, [0, 10], 'put', 1), did(2, [15, 20], 'put', 2), stale];
  const result = check(history, { model: 'register' });
  expect(result.verdict).toBe('bad');
  expect(result.reason).toContain('was overwritten before the read began: put 2 by client 2');
  expect(result.parts[0]?.culprits[0]).toBe(stale);
});

test('two reads that see two writes in different orders', () => {
  const history = [
    did(1, [0, 100], 'put', 1),
    did(2, [0, 100], 'put', 2),
    did(3, [10, 20], 'get', null, 1),
    did(3, [30, 40], 'get', null, 2),
    did(4, [50, 60], 'get', null, 1),
  ];
  const result = check(history, { model: 'register' });
  expect(result.verdict).toBe('bad');
  const part = result.parts[0];
  expect(part?.culprits).toHaveLength(1);
  // The longest order is shown with the state in which it is stuck.
  expect(part?.orders[0]?.operations.length).toBeGreaterThanOrEqual(2);
  expect(part?.orders[0]?.state).toContain('the value');
});

test('a write without an answer may have happened late, early, or never', () => {
  const open = did(1, [0, null], 'put', 1);
  expect(verdictOf('register', [open, did(2, [5, 6], 'get', null, null), did(2, [50, 60], 'get', null, 1)])).toBe('ok');
  expect(verdictOf('register', [open, did(2, [5, 6], 'get', null, 1), did(2, [50, 60], 'get', null, 1)])).toBe('ok');
  expect(verdictOf('register', [open, did(2, [5, 6], 'get', null, null)])).toBe('ok');
  const twice = [open, did(2, [5, 6], 'get', null, 1), did(2, [7, 8], 'put', 2), did(2, [9, 10], 'get', null, 1)];
  expect(verdictOf('register', twice)).toContain('bad');
});

test('a write that failed for certain is never seen', () => {
  const write = failed(did(1, [0, 10], 'put', 1));
  expect(verdictOf('register', [write, did(2, [20, 30], 'get')])).toBe('ok');
  expect(verdictOf('register', [write, did(2, [20, 30], 'get', null, 1)])).toContain('nobody wrote');
});

test('cas tells what it found', () => {
  const history = (old: unknown, output: boolean) => [
    did(1, [0, 1], 'put', 5),
    did(1, [2, 3], 'cas', [old, 6], output),
  ];
  expect(verdictOf('register', history(5, true))).toBe('ok');
  expect(verdictOf('register', history(5, false))).toContain('bad');
  expect(verdictOf('register', history(4, false))).toBe('ok');
  expect(verdictOf('register', history(4, true))).toContain('which nobody wrote');
});

test('delete tells whether there was something', () => {
  const history = (output: unknown) => [
    did(1, [0, 1], 'put', 5),
    did(1, [2, 3], 'delete', null, output),
    did(1, [4, 5], 'get'),
  ];
  expect(verdictOf('register', history(null))).toBe('ok');
  expect(verdictOf('register', history(true))).toBe('ok');
  expect(verdictOf('register', history(false))).toContain('bad');
});

test('the value at first is init', () => {
  expect(verdictOf('register', [did(1, [0, 1], 'get', null, 'x')], 'x')).toBe('ok');
  expect(verdictOf('register', [did(1, [0, 1], 'get')], 'x')).toContain('bad');
});

test('values may be any JSON; the order of members does not count', () => {
  const history = [did(1, [0, 1], 'put', { a: 1, b: [2] }), did(1, [2, 3], 'get', null, { b: [2], a: 1 })];
  expect(verdictOf('register', history)).toBe('ok');
});

test('append makes a string longer', () => {
  const history = (seen: string) => [
    did(1, [0, 1], 'append', 'a'),
    did(1, [2, 10], 'append', 'b'),
    did(2, [3, 9], 'append', 'c'),
    did(3, [20, 21], 'get', null, seen),
  ];
  expect(verdictOf('kv', history('abc'))).toBe('ok');
  expect(verdictOf('kv', history('acb'))).toBe('ok');
  expect(verdictOf('kv', history('bac'))).toContain('bad');
  expect(verdictOf('kv', history('abd'))).toContain('nobody wrote');
  expect(verdictOf('kv', history('ab'))).toContain('bad');
});

test('keys are checked alone, and each bad one is reported', () => {
  const part = (key: string, seen: number): Operation[] => [
    did(key, [0, 1], 'put', 1, null, key),
    did(key, [2, 3], 'get', null, seen, key),
  ];
  const result = check([...part('a', 1), ...part('b', 2), ...part('c', 3)], { model: 'kv' });
  expect(result.parts.map(({ key }) => key)).toEqual(['b', 'c']);
  expect(result.operations).toBe(6);
});

test('equal times count as overlapping, but one client does one thing after the other', () => {
  expect(verdictOf('register', [did(1, [0, 5], 'put', 1), did(2, [5, 9], 'get')])).toBe('ok');
  expect(verdictOf('register', [did(1, [0, 5], 'put', 1), did(1, [5, 9], 'get')])).toContain('bad');
  expect(verdictOf('register', [did(1, [5, 5], 'put', 1), did(1, [5, 5], 'get')])).toContain('bad');
});

test('what the model does not know is refused', () => {
  expect(() => verdictOf('register', [did(1, [0, 1], 'append', 'a')])).toThrow('the model has no append');
  expect(() => verdictOf('kv', [did(1, [0, 1], 'incr')])).toThrow('operation 0: the model has no operation "incr"');
  expect(() => verdictOf('kv', [did(1, [0, 1], 'cas', [1, 2], null)])).toThrow('the output of cas');
  expect(() => check([], { model: 'queue' as 'kv' })).toThrow('there is no model queue');
});

test('a model of your own', () => {
  const result = check([did(1, [0, 1], 'anything')], {
    model: {
      name: 'grumpy',
      byKey: false,
      refuse: () => null,
      check: (operations) => ({ verdict: 'bad', reason: 'no', culprits: operations, orders: [] }),
    },
  });
  expect(result).toMatchObject({ verdict: 'bad', model: 'grumpy', reason: 'no', parts: [{ key: null }] });
});
