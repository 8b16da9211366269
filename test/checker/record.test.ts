import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import { check, parseHistory, type Operation } from '../../src/checker/index.ts';
import { did, failed } from './history.ts';

const GOOD = '{"client":1,"op":"put","key":"a","input":5,"output":null,"call":10,"return":20}';

test('lines are operations, empty lines are not', () => {
  expect(parseHistory(`${GOOD}\n\n  \n${GOOD.replace('"client":1', '"client":"b"')}\n`)).toHaveLength(2);
  expect(parseHistory(`${GOOD}\r\n`)).toHaveLength(1);
  expect(parseHistory('')).toEqual([]);
});

describe('what is malformed is refused with its line and a stable name', () => {
  const cases: [string, string, string][] = [
    ['not-json', '{"client":', 'line 2'],
    ['not-an-object', '[1]', 'line 2'],
    ['not-an-object', 'null', 'line 2'],
    ['missing-member', '{"client":1,"op":"get","key":"a","input":null,"call":1,"return":2}', '"output" is missing'],
    ['wrong-type', GOOD.replace('"a"', '7'), '"key" is a string'],
    ['wrong-type', GOOD.replace('20', '"soon"'), '"return" is a finite number'],
    ['wrong-type', GOOD.replace('"client":1', '"client":null'), '"client"'],
    ['wrong-type', GOOD.replace('10', '1e999'), '"call" is a finite number'],
    ['wrong-type', GOOD.replace('}', ',"fail":1}'), '"fail"'],
    ['returned-before-call', GOOD.replace('20', '9'), 'returned at 9, before it was called at 10'],
    [
      'overlapping-client',
      GOOD.replace('10', '19'),
      'client 1 called at 19, before its operation of 10 returned at 20',
    ],
  ];
  for (const [problem, line, words] of cases) {
    test(`${problem}: ${words}`, () => {
      const error = thrownBy(() => parseHistory(`${GOOD}\n${line}\n`));
      expect(error.code).toBe('ERR_INVALID_ARGUMENT');
      expect(error.details).toEqual({ problem, line: 2 });
      expect(error.message).toContain(words);
    });
  }
});

test('a client may go on after an operation without an answer, and after one that failed', () => {
  const open = did(1, [0, null], 'put', 1);
  expect(check([open, did(1, [5, 6], 'get', null, 1)], { model: 'kv' }).verdict).toBe('ok');
  expect(check([failed(did(1, [0, 9], 'put', 1)), did(1, [5, 6], 'get')], { model: 'kv' }).verdict).toBe('ok');
});

test('check() looks at the record too', () => {
  const history: Operation[] = [did(1, [0, 9], 'put', 1), did(1, [5, 6], 'get', null, 1)];
  expect(thrownBy(() => check(history, { model: 'kv' })).details).toEqual({ problem: 'overlapping-client', index: 1 });
  expect(thrownBy(() => check([did(1, [0, 1], 'fly')], { model: 'kv' })).details).toEqual({
    problem: 'not-of-model',
    index: 0,
  });
});

function thrownBy(action: () => unknown): KvorumError {
  try {
    action();
  } catch (error) {
    if (KvorumError.is(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
