import { expect, test } from 'vitest';

import { parseDuration } from '../../src/http/duration.ts';

test.each([
  [0, 0],
  [250, 250],
  ['250', 250],
  ['250ms', 250],
  ['15s', 15_000],
  ['5m', 300_000],
  ['1h', 3_600_000],
])('%j is %d ms', (value, ms) => {
  expect(parseDuration(value)).toBe(ms);
});

test.each([
  '',
  's',
  '1.5s',
  '-1',
  '+1',
  '1 s',
  '1d',
  'soon',
  '1e3',
  '999999999999999h',
  -1,
  0.5,
  NaN,
  Infinity,
  null,
  true,
  {},
])('%j is no duration', (value) => {
  expect(parseDuration(value)).toBeNull();
});
