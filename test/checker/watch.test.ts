import { describe, expect, test } from 'vitest';
import type { Operation } from '../../src/checker/index.ts';
import { did, verdictOf } from './history.ts';

interface Event {
  type: 'put' | 'delete';
  key: string;
  value?: unknown;
}

const event = (key: string, value: unknown): Event => ({ type: 'put', key, value });
const batch = (revision: number, ...events: Event[]) => ({ revision, events });
const put = (call: number, key: string, value: unknown, revision: number) =>
  did('writer', [call, call + 1], 'put', value, { revision }, key);

const WRITES: Operation[] = [
  put(0, 'a/1', 'one', 1),
  put(2, 'b/1', 'two', 2),
  did(
    'writer',
    [4, 5],
    'batch',
    [
      { op: 'put', key: 'a/1', value: 'x' },
      { op: 'put', key: 'a/2', value: 'y' },
    ],
    { revision: 3 },
    '',
  ),
  did('writer', [6, 7], 'delete', null, { revision: 4 }, 'a/1'),
  did('writer', [8, 9], 'delete', null, { revision: 4, deleted: 0 }, 'a/9'),
];
const FIRST = batch(1, event('a/1', 'one'));
const THIRD = batch(3, event('a/1', 'x'), event('a/2', 'y'));
const FOURTH = batch(4, { type: 'delete', key: 'a/1' });

/** A connection that watches a/ from time 0 to 100. */
function watched(from: number, batches: unknown[], upTo?: number, more: Partial<Operation> = {}): Operation {
  const output = { batches, ...(upTo === undefined ? {} : { upTo }) };
  return { ...did('watcher', [0, 100], 'watch', { watcher: 'w', from }, output, 'a/'), ...more };
}

const verdict = (...streams: Operation[]) => verdictOf('watch', [...WRITES, ...streams]);

test('a stream that is right', () => {
  expect(verdict(watched(1, [FIRST, THIRD, FOURTH]))).toBe('ok');
  expect(verdict(watched(1, [FIRST, THIRD, FOURTH], 9))).toBe('ok');
  expect(verdict(watched(2, [THIRD]))).toBe('ok');
  expect(verdict(watched(1, []))).toBe('ok');
});

describe('what a stream must not do', () => {
  test('out of order', () => {
    expect(verdict(watched(1, [THIRD, FIRST]))).toContain('out of order');
  });

  test('twice, or a revision in two pieces', () => {
    expect(verdict(watched(1, [FIRST, FIRST]))).toContain('in two pieces or twice');
    const torn = [FIRST, batch(3, event('a/1', 'x')), batch(3, event('a/2', 'y'))];
    expect(verdict(watched(1, torn))).toContain('in two pieces or twice');
    expect(verdict(watched(1, [batch(1, event('a/1', 'one'), event('a/1', 'one'))]))).toContain('a key twice');
  });

  test('a part of a revision', () => {
    expect(verdict(watched(1, [FIRST, batch(3, event('a/1', 'x'))]))).toContain('only a part of that revision');
  });

  test('a gap', () => {
    expect(verdict(watched(1, [FIRST, FOURTH]))).toContain('misses put "a/1" = "x" at revision 3');
    expect(verdict(watched(1, [FIRST], 3))).toContain('nothing of that revision');
  });

  test('what was not asked for', () => {
    expect(verdict(watched(2, [FIRST]))).toContain('but was asked for 2');
    expect(verdict(watched(1, [FIRST, batch(2, event('b/1', 'two'))]))).toContain('which it does not watch');
    expect(verdict(watched(1, [FIRST, batch(2)]))).toContain('without an event');
    expect(verdict(watched(1, [FIRST, THIRD], 2))).toContain('claims to be complete up to 2');
  });

  test('what nobody wrote', () => {
    expect(verdict(watched(1, [FIRST, batch(2, event('a/7', 'boo'))]))).toContain('which nobody wrote');
    expect(verdict(watched(1, [batch(1, event('a/1', 'other'))]))).toContain('but that revision is of put "one"');
  });

  test('what was not written yet', () => {
    const early = { ...FIRST, at: 3 };
    const late = [put(50, 'a/1', 'one', 1)];
    expect(verdictOf('watch', [...late, watched(1, [early])])).toContain('before it was written');
    expect(verdictOf('watch', [...late, watched(1, [{ ...FIRST, at: 51 }])])).toBe('ok');
  });
});

describe('a watcher that connects again', () => {
  const first = watched(1, [FIRST], 2, { return: 10 });
  const then = (from: number, ...batches: unknown[]) => watched(from, batches, undefined, { call: 20 });

  test('goes on where it was', () => {
    expect(verdict(first, then(3, THIRD, FOURTH))).toBe('ok');
    expect(verdict(first, then(2, THIRD))).toBe('ok');
  });

  test('leaves a gap, or repeats', () => {
    expect(verdict(first, then(4, FOURTH))).toContain('a gap');
    expect(verdict(first, then(1, FIRST, THIRD))).toContain('had revision 1 already');
    expect(verdict(first, then(3, FOURTH))).toContain('misses');
  });

  test('another watcher is on its own', () => {
    const other = { ...then(1, FIRST, THIRD), input: { watcher: 'other', from: 1 }, client: 'other' };
    expect(verdict(first, other)).toBe('ok');
  });
});

test('a write without an answer is known by its revision once somebody got it; then all must get it', () => {
  const lost = did('loser', [0, null], 'put', 'late', null, 'a/3');
  const fifth = batch(5, event('a/3', 'late'));
  const all = [FIRST, THIRD, FOURTH];
  const one = watched(1, [...all, fifth]);
  const other = (batches: unknown[]) =>
    watched(1, batches, 5, { client: 'other', input: { watcher: 'other', from: 1 } });
  expect(verdict(lost, one, other([...all, fifth]))).toBe('ok');
  expect(verdict(lost, one, other(all))).toContain('misses put "a/3" = "late" at revision 5');
  expect(verdict(one)).toContain('which nobody wrote');
  expect(verdict(lost, watched(1, [...all, fifth, { ...fifth, revision: 6 }]))).toContain('which nobody wrote');
});

test('a single key and not a prefix', () => {
  const single = watched(1, [FIRST, batch(3, event('a/1', 'x')), FOURTH], undefined, {
    key: 'a/1',
    input: { watcher: 'w', from: 1, key: true },
  });
  expect(verdict(single)).toBe('ok');
});
