import { expect, test } from 'vitest';

import { check, type Operation } from '../../src/checker/index.ts';
import { cut } from './workloads/cut-model.ts';

type Times = readonly [call: number, back: number | null];

let client = 0;

function put([member, value]: readonly [string, string], revision: number | null, [call, back]: Times): Operation {
  return { client: ++client, op: 'put', key: 'g', input: [member, value], output: revision, call, return: back };
}

function list(revision: number, entries: Record<string, readonly [string, number]>, [call, back]: Times): Operation {
  return { client: ++client, op: 'list', key: 'g', input: 100, output: { revision, entries }, call, return: back };
}

function verdict(...operations: Operation[]): string | null {
  const result = check(operations, { model: cut });
  return result.verdict === 'ok' ? null : result.reason;
}

const first = put(['a', 'x'], 1, [0, 10]);
const second = put(['b', 'y'], 2, [20, 30]);

test('a list shows the last write of every key up to its revision', () => {
  expect(verdict(first, second, list(2, { a: ['x', 1], b: ['y', 2] }, [40, 50]))).toBeNull();
});

test('a list that began before a write ended may be of before it', () => {
  expect(verdict(first, second, list(1, { a: ['x', 1] }, [25, 50]))).toBeNull();
});

test('a write without an answer may show, or not', () => {
  const open = put(['b', 'y'], null, [20, null]);
  expect(verdict(first, open, list(1, { a: ['x', 1] }, [40, 50]))).toBeNull();
  expect(verdict(first, open, list(3, { a: ['x', 1], b: ['y', 2] }, [40, 50]))).toBeNull();
});

test.each([
  ['no cut', list(2, { b: ['y', 2] }, [40, 50]), /shows nothing for a; revision 1 had written x/],
  ['older than what was answered before', list(1, { a: ['x', 1] }, [40, 50]), /called after revision 2/],
  ['newer than its own revision', list(1, { a: ['x', 1], b: ['y', 2] }, [25, 50]), /shows a write of revision 2/],
  ['of what nobody wrote', list(2, { a: ['z', 1], b: ['y', 2] }, [40, 50]), /nobody wrote z to a/],
  ['of another revision', list(3, { a: ['x', 3], b: ['y', 2] }, [40, 50]), /the write of x is of revisions 1 and 3/],
] as const)('a list that is %s is bad', (_, bad, reason) => {
  expect(verdict(first, second, bad)).toMatch(reason);
});

test('a write of an earlier revision than what was answered before is bad', () => {
  expect(verdict(put(['a', 'x'], 2, [0, 10]), put(['b', 'y'], 1, [20, 30]))).toMatch(/called after revision 2/);
});

test('two writes of one revision are bad', () => {
  expect(verdict(put(['a', 'x'], 1, [0, 10]), put(['b', 'y'], 1, [5, 30]))).toMatch(/two writes are of revision 1/);
});
