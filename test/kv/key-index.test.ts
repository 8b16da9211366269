import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyIndex } from '../../src/kv/key-index.ts';
import { KeyVersion } from '../../src/kv/key-version.ts';

function live(key: string): KeyVersion {
  return new KeyVersion(key, 1, 1, 0, 1, 0, null, null);
}

function dead(key: string): KeyVersion {
  return new KeyVersion(key, 1, 1, 0, 0, 0, null, null);
}

function set(index: KeyIndex, version: KeyVersion): void {
  index.find(version.key);
  index.putFound(version);
}

function keysOf(index: KeyIndex, start = '', end: string | null = null, exclusive = false): string[] {
  const keys: string[] = [];
  index.visit(start, exclusive, end, (version) => {
    keys.push(version.key);
    return true;
  });
  return keys;
}

const padded = (n: number) => String(n).padStart(6, '0');

/** Everything that the index says about `expected` (all keys, true for live ones), asked at many places. */
function check(index: KeyIndex, expected: Map<string, boolean>): void {
  const keys = [...expected.keys()].toSorted();
  const living = keys.filter((key) => expected.get(key) === true);
  expect(index.size).toBe(keys.length);
  expect(index.live).toBe(living.length);
  expect(keysOf(index)).toEqual(keys);
  expect(index.count('', null)).toBe(living.length);
  for (let i = 0; i <= 20; i++) {
    const start = keys[Math.floor((i * keys.length) / 20)] ?? '9';
    const end = keys[Math.floor(((i + 3) * keys.length) / 20)] ?? null;
    expect(index.find(start)?.key).toBe(expected.has(start) ? start : undefined);
    expect(index.find(`${start}x`)).toBeUndefined();
    const inRange = (key: string) => key >= start && (end === null || key < end);
    expect(keysOf(index, start, end)).toEqual(keys.filter(inRange));
    expect(keysOf(index, start, end, true)).toEqual(keys.filter((key) => inRange(key) && key !== start));
    expect(index.count(start, end)).toBe(living.filter(inRange).length);
  }
  expect(index.count('000500', '000100')).toBe(0);
}

describe('KeyIndex', () => {
  it.each([
    ['in order', (i: number) => i],
    ['in reverse', (i: number) => 5000 - i],
    ['scattered', (i: number) => (i * 2657) % 5003],
  ])('takes thousands of keys %s and gives them back in order', (_, place) => {
    const index = new KeyIndex();
    const expected = new Map<string, boolean>();
    for (let i = 0; i < 5000; i++) {
      const key = padded(place(i));
      const alive = i % 3 !== 0;
      set(index, alive ? live(key) : dead(key));
      expected.set(key, alive);
    }
    check(index, expected);
    for (let i = 0; i < 5000; i += 2) {
      const key = padded(place(i));
      index.remove(key);
      expected.delete(key);
    }
    check(index, expected);
    for (const key of expected.keys()) {
      index.remove(key);
    }
    check(index, new Map());
  });

  it('built at once equals built key by key, and takes further keys', () => {
    const expected = new Map<string, boolean>();
    for (let i = 0; i < 3000; i++) expected.set(padded(i * 2), i % 5 !== 0);
    const index = new KeyIndex();
    index.build([...expected].map(([key, alive]) => (alive ? live(key) : dead(key))));
    check(index, expected);
    for (let i = 0; i < 3000; i++) {
      set(index, live(padded(i * 2 + 1)));
      expected.set(padded(i * 2 + 1), true);
    }
    check(index, expected);
  });

  it('agrees with a sorted map under any sequence of changes', () => {
    const change = fc.record({
      what: fc.constantFrom('live', 'live', 'dead', 'remove', 'replaceRange'),
      key: fc.nat(2500).map(padded),
      burst: fc.nat(700),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 25 }), (changes) => {
        const index = new KeyIndex();
        const expected = new Map<string, boolean>();
        for (const { what, key, burst } of changes) {
          const end = padded(Number(key) + burst);
          if (what === 'replaceRange') {
            index.replaceRange(key, end, (version) => (version.key.endsWith('1') ? version : dead(version.key)));
            for (const known of expected.keys()) {
              if (known >= key && known < end && !known.endsWith('1')) expected.set(known, false);
            }
            continue;
          }
          for (let at = Number(key); at < Number(end); at++) {
            const changed = padded(at);
            if (what === 'remove') {
              if (expected.delete(changed)) index.remove(changed);
            } else {
              set(index, what === 'live' ? live(changed) : dead(changed));
              expected.set(changed, what === 'live');
            }
          }
        }
        check(index, expected);
      }),
      { numRuns: 100 },
    );
  });

  it('refuses to put a version where another key was sought', () => {
    const index = new KeyIndex();
    index.find('a');
    expect(() => index.putFound(live('b'))).toThrow('sought');
    expect(() => index.remove('a')).toThrow('is there');
  });
});
