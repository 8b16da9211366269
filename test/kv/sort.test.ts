import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyVersion } from '../../src/kv/key-version.ts';
import { sortByKey } from '../../src/kv/sort.ts';

function versionsOf(keys: readonly string[]): KeyVersion[] {
  return keys.map((key, i) => new KeyVersion(key, i + 1, i + 1, 0, 1, 0, null, null));
}

function expectSorted(keys: readonly string[]): void {
  const sorted = sortByKey(versionsOf(keys)).map((version) => [version.key, version.modRevision]);
  const expected = keys
    .map((key, i) => [key, i + 1] as [string, number])
    .toSorted(([a, i], [b, j]) => (a < b ? -1 : a > b ? 1 : i - j));
  expect(sorted).toEqual(expected);
}

describe('sortByKey', () => {
  it('sorts any byte strings, older before newer', () => {
    const byte = fc.constantFrom('\0', '\x01', 'a', '\xfe', '\xff');
    const key = fc.array(byte, { maxLength: 12 }).map((bytes) => bytes.join(''));
    const prefix = fc.constantFrom('', 'a', '\0\0\0\0', 'a-long-prefix-that-many-keys-share/');
    fc.assert(
      fc.property(prefix, fc.array(key, { maxLength: 300 }), (prefix, keys) =>
        expectSorted(keys.map((k) => prefix + k)),
      ),
      { numRuns: 200 },
    );
  });

  it('tells the end of a key from a zero byte', () => {
    expectSorted(Array.from({ length: 100 }, (_, i) => 'a' + '\0'.repeat((i * 37) % 100)));
  });

  it('takes many versions of one long key', () => {
    const key = 'k'.repeat(4096);
    expectSorted(Array.from({ length: 2000 }, (_, i) => (i % 7 === 0 ? 'other' : key)));
  });

  it('sorts more than a million', () => {
    const count = 2 ** 20 + 1;
    const keys = Array.from({ length: count }, (_, i) => (Math.imul(i, 0x9e3779b1) >>> 0).toString(36));
    const sorted = sortByKey(versionsOf(keys));
    let inOrder = 0;
    for (let i = 1; i < count; i++) if (sorted[i - 1]!.key < sorted[i]!.key) inOrder++;
    expect(inOrder).toBe(count - 1);
  });
});
