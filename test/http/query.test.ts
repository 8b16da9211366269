import { expect, test } from 'vitest';

import { flag, integer, oneOf, parseQuery, text, TIMEOUT } from '../../src/http/query.ts';

const SPEC = {
  prefix: text('text'),
  all: flag('flag'),
  verbose: flag('flag', true),
  limit: integer('integer', 1, 1000),
  mode: oneOf('one of', ['fast', 'slow']),
  timeout: TIMEOUT,
};

test.each([
  ['', {}],
  ['&&', {}],
  ['prefix=', { prefix: '' }],
  ['prefix', { prefix: '' }],
  ['prefix=a%20b+c%2Bd', { prefix: 'a b c+d' }],
  ['prefix=a=b', { prefix: 'a=b' }],
  ['pre%66ix=a&', { prefix: 'a' }],
  ['all=true&limit=1000', { all: true, limit: 1000 }],
  ['verbose&mode=slow', { verbose: true, mode: 'slow' }],
  ['timeout=250', { timeout: 250 }],
  ['timeout=60s', { timeout: 60_000 }],
])('%j', (raw, options) => {
  expect(parseQuery(raw, SPEC)).toEqual(options);
});

test.each([
  ['color=red', 'color'],
  ['Prefix=a', 'Prefix'],
  ['__proto__=a', '__proto__'],
  ['toString=a', 'toString'],
  ['=a', ''],
  ['prefix=a&prefix=a', 'prefix'],
  ['prefix=%FF', 'prefix'],
  ['prefix=%', 'prefix'],
  ['prefix=k\u00f6ln', 'prefix'],
  ['all=yes', 'all'],
  ['all', 'all'],
  ['limit=0', 'limit'],
  ['limit=1001', 'limit'],
  ['limit=', 'limit'],
  ['limit=1e2', 'limit'],
  ['limit=-1', 'limit'],
  ['mode=Fast', 'mode'],
  ['timeout=0', 'timeout'],
  ['timeout=61s', 'timeout'],
  ['timeout=soon', 'timeout'],
])('%j is refused by name', (raw, option) => {
  expect(() => parseQuery(raw, SPEC)).toThrow(
    expect.objectContaining({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining(`"${option}"`),
      details: { option },
    }),
  );
});
