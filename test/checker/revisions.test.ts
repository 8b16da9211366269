import { expect, test } from 'vitest';
import * as random from './random.ts';
import { check } from '../../src/checker/index.ts';
import { did, verdictOf } from './history.ts';

const put = (client: number, call: number, value: unknown, revision: number, key = 'k') =>
  did(client, [call, call + 1], 'put', value, { revision }, key);
const got = (client: number, call: number, value: unknown, modRevision: number, revision?: number) =>
  did(client, [call, call + 1], 'get', null, { value, modRevision, ...(revision === undefined ? {} : { revision }) });
const absent = (client: number, call: number, revision: number) =>
  did(client, [call, call + 1], 'get', null, { value: null, modRevision: null, revision });
const cas = (client: number, call: number, on: number | null, value: unknown, output: unknown) =>
  did(client, [call, call + 1], 'casRevision', { revision: on, value }, output);

test('writes of several keys, reads, conditions, deletes', () => {
  const history = [
    absent(1, 0, 0),
    put(1, 2, 'a', 1),
    put(2, 4, 'b', 2, 'other'),
    got(3, 6, 'a', 1, 2),
    cas(1, 8, 1, 'c', { revision: 3 }),
    cas(2, 10, 1, 'd', false),
    did(1, [12, 13], 'delete', null, 4),
    absent(3, 14, 4),
    cas(2, 16, 0, 'e', { revision: 5 }),
    did(1, [18, 19], 'delete', null, { revision: 6, deleted: 1 }),
    did(1, [20, 21], 'delete', null, { revision: 6, deleted: 0 }),
  ];
  expect(verdictOf('revisions', history)).toBe('ok');
});

test('revisions fall in real time, also across keys', () => {
  expect(verdictOf('revisions', [put(1, 0, 'a', 2), put(2, 5, 'b', 1, 'other')])).toContain('by their revisions');
});

test('a revision is given twice', () => {
  expect(verdictOf('revisions', [put(1, 0, 'a', 1), put(2, 0, 'b', 1, 'other')])).toContain(
    'revision 1 was given twice',
  );
});

test('reads: another value, an older one, a future one, one of nobody', () => {
  const writes = [put(1, 0, 'a', 1), put(1, 2, 'b', 2)];
  expect(verdictOf('revisions', [...writes, got(2, 4, 'a', 2)])).toContain('saw another value');
  expect(verdictOf('revisions', [...writes, got(2, 4, 'a', 1)])).toContain('by their revisions');
  expect(verdictOf('revisions', [...writes, got(2, 4, 'a', 1, 2)])).toContain('did not see');
  expect(verdictOf('revisions', [...writes, got(2, 4, 'c', 3)])).toContain('nobody wrote');
  expect(verdictOf('revisions', [...writes, absent(2, 4, 2)])).toContain('nobody deleted it');
  expect(verdictOf('revisions', [got(2, 0, 'a', 1), put(1, 5, 'a', 1)])).toContain('bad');
  expect(verdictOf('revisions', [...writes, put(1, 10, 'c', 3), got(2, 12, 'c', 3, 2)])).toContain(
    "later than the store's",
  );
});

test('two reads go back in time on one key without a write between them', () => {
  const writes = [did(1, [0, 100], 'put', 'a', 1), did(2, [0, 100], 'put', 'b', 2)];
  expect(verdictOf('revisions', [...writes, got(3, 10, 'b', 2), got(3, 20, 'a', 1)])).toContain('by their revisions');
});

test('the revision of the store goes back between reads of other keys', () => {
  const history = [
    put(1, 0, 'a', 1),
    did(1, [2, 50], 'put', 'b', 2, 'other'),
    got(2, 10, 'a', 1, 2),
    got(3, 20, 'a', 1, 1),
  ];
  expect(verdictOf('revisions', history)).toContain('by their revisions');
});

test('a condition held that could not', () => {
  const writes = [put(1, 0, 'a', 1), put(1, 2, 'b', 2)];
  expect(verdictOf('revisions', [...writes, cas(2, 4, 1, 'c', { revision: 3 })])).toContain(
    'held for revision 1, but before it came',
  );
  expect(verdictOf('revisions', [...writes, cas(2, 4, 0, 'c', { revision: 3 })])).toContain(
    'held that there is no such key',
  );
  expect(verdictOf('revisions', [...writes, cas(2, 4, 2, 'c', false)])).toContain('bad');
  expect(verdictOf('revisions', [...writes, cas(2, 4, 9, 'c', { revision: 3 })])).toContain('not there yet');
});

test('a write without an answer that was seen has that revision', () => {
  const lost = did(1, [0, null], 'put', 'a');
  expect(verdictOf('revisions', [lost, got(2, 1, 'a', 1), put(3, 4, 'b', 2), got(2, 6, 'b', 2)])).toBe('ok');
  expect(verdictOf('revisions', [lost, got(2, 1, 'a', 1), put(3, 4, 'b', 2), got(2, 6, 'a', 3)])).toContain(
    'nobody wrote',
  );
});

test('a store that has a past', () => {
  expect(verdictOf('revisions', [got(1, 0, 'old', 7, 9), put(1, 2, 'a', 10)], 9)).toBe('ok');
  expect(verdictOf('revisions', [put(1, 2, 'a', 8)], 9)).toContain('before the history began');
});

test('answers get lost: a correct history stays ok', () => {
  for (let seed = 0; seed < 100; seed++) {
    const shape = { operations: 60, clients: 5, unanswered: 0.3, init: random.STORE_INIT };
    const history = random.withKeys(random.correctHistory(random.seeded(seed), random.revisionScript(), shape));
    expect(check(history, { model: 'revisions' }), `seed ${seed}`).toMatchObject({ verdict: 'ok' });
  }
});
