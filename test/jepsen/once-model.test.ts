/** Increments that carry ids: one that was made twice, lost, or is nobody's, is found. */
import { expect, test } from 'vitest';

import { check, type Operation } from '../../src/checker/index.ts';
import { once, tallyOf } from './workloads/once-model.ts';

let clients = 0;

function operation(op: string, input: unknown, output: unknown, call: number, returned: number | null): Operation {
  return { client: ++clients, op, key: 'k', input, output, call, return: returned };
}

const add = (amount: number, sum: number | null, call: number, returned: number | null): Operation =>
  operation('add', amount, sum, call, returned);
const read = (output: unknown, call: number): Operation => operation('read', null, output, call, call + 1);

test('a counter is what was acknowledged and some of what was not answered', () => {
  const history = [add(5, 5, 0, 1), add(700, null, 2, null), add(30, null, 3, null), add(11, 747, 4, 6), read(747, 20)];
  expect(check(history, { model: once }).verdict).toBe('bad');
  const right = [add(5, 5, 0, 1), add(700, null, 2, null), add(30, null, 3, null), add(11, 716, 4, 6), read(716, 20)];
  expect(check(right, { model: once }).verdict).toBe('ok');
  expect(tallyOf(right)).toEqual({ acknowledged: 2, unknown: 2, made: 1 });
});

test('an addition that counted twice is no addition without an answer', () => {
  const history = [add(5, 5, 0, 1), add(700, null, 2, null), read(10, 20)];
  const { verdict, reason } = check(history, { model: once });
  expect(verdict).toBe('bad');
  expect(reason).toContain('not what was acknowledged (1) and some of what was not answered (1)');
});

test('an acknowledged addition that is missing in the end is found', () => {
  expect(check([add(5, 5, 0, 1), add(6, 11, 2, 3), read(5, 20)], { model: once }).verdict).toBe('bad');
});

test('ids in a list: twice, missing, of nobody', () => {
  const append = (id: string, call: number, returned: number | null): Operation =>
    operation('append', id, null, call, returned);
  const history = (...ids: string[]): Operation[] => [append('a', 0, 1), append('b', 2, null), read(ids, 20)];
  expect(check(history('a'), { model: once }).verdict).toBe('ok');
  expect(check(history('a', 'b'), { model: once }).verdict).toBe('ok');
  for (const wrong of [['a', 'a'], ['b'], ['a', 'b', 'b'], ['a', 'c']]) {
    expect(check(history(...wrong), { model: once }).verdict, wrong.join(' ')).toBe('bad');
  }
  expect(tallyOf(history('a', 'b'))).toEqual({ acknowledged: 1, unknown: 1, made: 1 });
});
