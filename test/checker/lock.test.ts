import { expect, test } from 'vitest';
import { did, verdictOf } from './history.ts';

const acquired = (client: number, call: number, token: number) => did(client, [call, call + 1], 'acquire', null, token);
const released = (client: number, call: number, token: number, output = true) =>
  did(client, [call, call + 1], 'release', token, output);
const wrote = (client: number, call: number, token: number, output = true) =>
  did(client, [call, call + 1], 'write', { token, value: 'v' }, output);
const holder = (client: number, call: number, token: number | null) =>
  did(client, [call, call + 1], 'query', null, token);
const lost = did(9, [0, null], 'acquire');

test('acquire, write, release, by two clients', () => {
  const history = [
    acquired(1, 0, 1),
    wrote(1, 2, 1),
    holder(3, 3, 1),
    released(1, 4, 1),
    acquired(2, 6, 5),
    wrote(2, 8, 5),
  ];
  expect(verdictOf('lock', history)).toBe('ok');
});

test('a paused holder loses the lock by expiry and is fenced out', () => {
  const history = [
    acquired(1, 0, 1),
    acquired(2, 10, 2),
    wrote(2, 12, 2),
    wrote(1, 14, 1, false),
    released(1, 16, 1, false),
  ];
  expect(verdictOf('lock', history)).toBe('ok');
});

test('a stale token is accepted', () => {
  const history = [acquired(1, 0, 1), acquired(2, 10, 2), wrote(2, 12, 2), wrote(1, 14, 1)];
  expect(verdictOf('lock', history)).toContain('a stale token was accepted');
});

test('a token is granted twice', () => {
  expect(verdictOf('lock', [acquired(1, 0, 1), acquired(2, 10, 1)])).toContain('token 1 was granted twice');
});

test('tokens do not grow', () => {
  expect(verdictOf('lock', [acquired(1, 0, 2), acquired(2, 10, 1)])).toContain('tokens do not grow');
});

test('a holder releases after another one was granted the lock', () => {
  expect(verdictOf('lock', [acquired(1, 0, 1), acquired(2, 10, 2), released(1, 14, 1)])).toContain(
    'no order of the operations has a place for',
  );
});

test('released twice', () => {
  expect(verdictOf('lock', [acquired(1, 0, 1), released(1, 2, 1), released(1, 4, 1)])).toContain(
    'no order of the operations has a place for',
  );
  expect(verdictOf('lock', [acquired(1, 0, 1), released(1, 2, 1), released(1, 4, 1, false)])).toBe('ok');
});

test('held by somebody who lost it', () => {
  expect(verdictOf('lock', [acquired(1, 0, 1), holder(3, 2, null), holder(3, 4, 1)])).toContain(
    'no order of the operations has a place for',
  );
  expect(verdictOf('lock', [acquired(1, 0, 1), acquired(2, 2, 2), holder(3, 4, 1)])).toContain(
    'no order of the operations has a place for',
  );
});

test('a token of nobody, unless an acquire was never answered', () => {
  expect(verdictOf('lock', [wrote(1, 0, 7)])).toContain('token 7 was granted to nobody');
  expect(verdictOf('lock', [lost, wrote(1, 1, 7)])).toBe('ok');
  expect(verdictOf('lock', [lost, holder(1, 1, 7), holder(1, 3, 8)])).toContain(
    'no order of the operations has a place for',
  );
});

test('locks are checked alone', () => {
  const other = { ...acquired(2, 10, 1), key: 'other' };
  expect(verdictOf('lock', [acquired(1, 0, 1), other])).toBe('ok');
});

test('what the model does not know is refused', () => {
  expect(() => verdictOf('lock', [did(1, [0, 1], 'write', 'x', true)])).toThrow('the input of write is a token');
  expect(() => verdictOf('lock', [did(1, [0, 1], 'acquire', null, true)])).toThrow('the output of acquire');
});
