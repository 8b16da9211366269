import { expect, test } from 'vitest';

import { conditionOf, hasVersion } from '../../src/http/conditions.ts';

test.each([
  [{}, undefined],
  [{ 'if-match': '*' }, { type: 'exists' }],
  [{ 'if-match': '"7"' }, { type: 'modRevision', revision: 7 }],
  [{ 'if-match': '"0"' }, { type: 'modRevision', revision: 0 }],
  [{ 'if-none-match': '*' }, { type: 'absent' }],
])('%j', (headers, condition) => {
  expect(conditionOf(headers)).toEqual(condition);
});

test.each([
  { 'if-match': '7' },
  { 'if-match': '' },
  { 'if-match': '"07"' },
  { 'if-match': '"-7"' },
  { 'if-match': '"abc"' },
  { 'if-match': 'W/"7"' },
  { 'if-match': '"7", "8"' },
  { 'if-match': '"9007199254740993"' },
  { 'if-none-match': '"7"' },
  { 'if-none-match': '' },
  { 'if-match': '*', 'if-none-match': '*' },
])('%j is refused', (headers) => {
  expect(() => conditionOf(headers)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
});

test.each([
  ['"7"', true],
  ['*', true],
  ['W/"7"', true],
  ['"6", W/"7"', true],
  ['"77"', false],
  ['7', false],
  ['"6","8"', false],
])('If-None-Match %s against 7: %j', (header, same) => {
  expect(hasVersion(header, 7)).toBe(same);
});
