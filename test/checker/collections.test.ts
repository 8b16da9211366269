import { describe, expect, test } from 'vitest';
import { did, verdictOf } from './history.ts';

describe('counter', () => {
  test('a read sees what returned before it and nothing that was called after it', () => {
    const adds = [did(1, [0, 1], 'add', 2), did(2, [0, 10], 'add', 3)];
    for (const [seen, verdict] of [
      [2, 'ok'],
      [5, 'ok'],
      [3, 'bad'],
      [0, 'bad'],
      [6, 'bad'],
    ] as const) {
      expect(verdictOf('counter', [...adds, did(3, [4, 6], 'read', null, seen)])).toContain(verdict);
    }
  });

  test('add may tell the sum', () => {
    expect(verdictOf('counter', [did(1, [0, 5], 'add', 1, 2), did(2, [0, 5], 'add', 1, 1)])).toBe('ok');
    expect(verdictOf('counter', [did(1, [0, 5], 'add', 1, 1), did(2, [0, 5], 'add', 1, 1)])).toContain('bad');
  });

  test('a lost add may count, once', () => {
    const lost = did(1, [0, null], 'add', 5);
    expect(verdictOf('counter', [lost, did(2, [1, 2], 'read', null, 5)])).toBe('ok');
    expect(verdictOf('counter', [lost, did(2, [1, 2], 'read', null, 10)])).toContain('bad');
    expect(verdictOf('counter', [lost, did(2, [1, 2], 'read', null, 5), did(2, [3, 4], 'read', null, 0)])).toContain(
      'bad',
    );
  });
});

describe('set', () => {
  const add = (element: string, call: number) => did(element, [call, call + 1], 'add', element);
  const read = (client: string, call: number, ...elements: string[]) =>
    did(client, [call, call + 1], 'read', null, elements);

  test('an acknowledged element stays', () => {
    expect(verdictOf('set', [add('a', 0), add('b', 2), read('r', 4, 'b', 'a')])).toBe('ok');
    expect(verdictOf('set', [add('a', 0), add('b', 2), read('r', 4, 'b')])).toContain('bad');
  });

  test('an element that nobody added, one twice, one that was there at first', () => {
    expect(verdictOf('set', [read('r', 0, 'a')])).toContain('nobody added');
    expect(verdictOf('set', [add('a', 0), read('r', 4, 'a', 'a')])).toContain('twice');
    expect(verdictOf('set', [read('r', 0)], ['a'])).toContain('there at first');
  });

  test('reads that see a growing set in different orders', () => {
    const adds = [did(1, [0, 10], 'add', 'a'), did(2, [0, 10], 'add', 'b')];
    const history = [...adds, did(3, [1, 9], 'read', null, ['a']), did(4, [1, 9], 'read', null, ['b'])];
    expect(verdictOf('set', history)).toContain('the set only grows');
  });

  test('with remove', () => {
    const history = (output: boolean) => [add('a', 0), did(1, [2, 3], 'remove', 'a', output), read('r', 4)];
    expect(verdictOf('set', history(true))).toBe('ok');
    expect(verdictOf('set', history(false))).toContain('bad');
  });
});

describe('append-list', () => {
  const append = (element: number, call: number, returned: number | null) =>
    did(element, [call, returned], 'append', element);

  test('all reads are beginnings of one list', () => {
    const appends = [append(1, 0, 10), append(2, 0, 10)];
    expect(verdictOf('append-list', [...appends, did('r', [20, 21], 'read', null, [2, 1])])).toBe('ok');
    const forked = [...appends, did('r', [5, 6], 'read', null, [1]), did('s', [20, 21], 'read', null, [2, 1])];
    expect(verdictOf('append-list', forked)).toContain('is not the beginning of');
  });

  test('an acknowledged element is there, and in the order of time', () => {
    const appends = [append(1, 0, 1), append(2, 2, 3)];
    expect(verdictOf('append-list', [...appends, did('r', [4, 5], 'read', null, [1, 2])])).toBe('ok');
    expect(verdictOf('append-list', [...appends, did('r', [4, 5], 'read', null, [2, 1])])).toContain('bad');
    expect(verdictOf('append-list', [...appends, did('r', [4, 5], 'read', null, [1])])).toContain('bad');
    expect(verdictOf('append-list', [...appends, did('r', [4, 5], 'read', null, [1, 2, 3])])).toContain(
      'nobody appended',
    );
  });

  test('applied twice', () => {
    const history = [append(1, 0, 1), did('r', [4, 5], 'read', null, [1, 1])];
    expect(verdictOf('append-list', history)).toContain('more often than it was appended');
  });

  test('append may tell the length', () => {
    const history = (length: number) => [append(1, 0, 1), did(2, [2, 3], 'append', 2, length)];
    expect(verdictOf('append-list', history(2))).toBe('ok');
    expect(verdictOf('append-list', history(1))).toContain('bad');
  });
});
