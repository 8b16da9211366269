import { describe, expect, test } from 'vitest';

import { ContractError, Witness } from './witness.ts';

const never = (): boolean => false;

function stored(entries: Record<string, readonly [value: string, revision: number]>) {
  return new Map(Object.entries(entries).map(([key, [value, revision]]) => [key, { value, revision }]));
}

describe('what nodes say of revisions', () => {
  test('may be said again', () => {
    const witness = new Witness();
    witness.wrote('a', 1, 'x');
    witness.saw('a', 1, 'x');
    expect(witness.missing(stored({ a: ['x', 1] }), never)).toEqual([]);
  });

  test.each([
    ['another value', 'a', 'y'],
    ['another key', 'b', 'x'],
    ['a delete', 'a', null],
  ] as const)('may not become %s', (_, key, value) => {
    const witness = new Witness();
    witness.wrote('a', 1, 'x');
    expect(() => witness.saw(key, 1, value)).toThrow(ContractError);
  });
});

describe('an acknowledged write', () => {
  test('is missed when its key is gone', () => {
    const witness = new Witness();
    witness.wrote('a', 1, 'x');
    expect(witness.missing(stored({}), never)).toEqual(['a of revision 1 is gone']);
  });

  test('is not missed when a later one is there, or its key may be deleted, or it was a delete', () => {
    const witness = new Witness();
    witness.wrote('a', 1, 'x');
    witness.wrote('b', 2, 'x');
    witness.wrote('c', 3, 'x');
    witness.wrote('c', 4, null);
    expect(witness.missing(stored({ a: ['y', 9] }), (key) => key === 'b')).toEqual([]);
  });

  test('is missed when an earlier one is there', () => {
    const witness = new Witness();
    witness.wrote('a', 1, 'x');
    witness.wrote('a', 2, 'y');
    expect(witness.missing(stored({ a: ['x', 1] }), never)).toEqual(['a is of revision 1, though 2 was acknowledged']);
  });

  test('is missed when its revision is stored with another value', () => {
    const witness = new Witness();
    witness.wrote('a', 1, 'x');
    expect(witness.missing(stored({ a: ['y', 1] }), never)).toEqual(['revision 1 was a = x and is stored as a = y']);
  });
});
