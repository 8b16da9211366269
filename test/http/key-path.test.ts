import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import { KEY_PREFIX, keyOfPath, pathOfKey } from '../../src/http/key-path.ts';
import type { KeyEncoding } from '../../src/http/key-path.ts';

describe('a key in a path', () => {
  test.each([
    ['a', 'a'],
    ['a/b/c', 'a/b/c'],
    ['a%2Fb%2fc', 'a/b/c'],
    ['a+b', 'a+b'],
    ['a%2Bb', 'a+b'],
    ['a%20b', 'a b'],
    ['a%252Fb', 'a%2Fb'],
    ['a/', 'a/'],
    ['A/a', 'A/a'],
    ['...', '...'],
    ['a/.b/..c/d..', 'a/.b/..c/d..'],
    ['a%00b', 'a\0b'],
    ['k%C3%B6ln', 'köln'],
    ['%F0%9F%94%91', '🔑'],
    ['a;b=c,d&e', 'a;b=c,d&e'],
    ['a%3Fb%23c', 'a?b#c'],
    ['a\\b', 'a\\b'],
    ['*', '*'],
    [':key', ':key'],
  ])('%j is %j', (piece, key) => {
    expect(keyOfPath(piece)).toBe(key);
  });

  test.each([
    '',
    '/',
    '/a',
    '%2Fa',
    'a//b',
    'a%2F/b',
    'a%2F%2Fb',
    'a//',
    '.',
    '..',
    '%2E',
    '%2e%2E',
    './a',
    'a/.',
    'a/../b',
    'a/%2e%2e/b',
    'a%2F..',
    '%',
    'a%2',
    'a%zz',
    'a%FF',
    'a%C3',
    'a%C0%AF',
    'a%ED%A0%80',
    'k\u00f6ln',
    'k\u00c3\u00b6ln',
    'a#b',
  ])('%j is refused', (piece) => {
    expect(() => keyOfPath(piece)).toThrow(expect.objectContaining({ code: 'ERR_BAD_KEY' }));
  });
});

describe('a key as base64url', () => {
  test.each([
    ['_-8', [0xff, 0xef]],
    ['_-8=', [0xff, 0xef]],
    ['_-8%3D', [0xff, 0xef]],
    ['Lg', [0x2e]],
    ['AA', [0]],
  ])('%j', (piece, bytes) => {
    expect([...(keyOfPath(piece, 'base64url') as Uint8Array)]).toEqual(bytes);
  });

  test.each(['', '=', 'A', '_-9', 'a/b', 'AA/AA', 'a+b', 'AA%2FAA', 'ä', 'AAAA=', 'AA==='])(
    '%j is refused',
    (piece) => {
      expect(() => keyOfPath(piece, 'base64url')).toThrow(expect.objectContaining({ code: 'ERR_BAD_KEY' }));
    },
  );
});

describe('pathOfKey', () => {
  const parse = (path: string): Buffer => {
    const [piece, query] = path.slice(KEY_PREFIX.length).split('?');
    const encoding: KeyEncoding = query === 'keyEncoding=base64url' ? 'base64url' : 'utf8';
    return Buffer.from(keyOfPath(piece!, encoding) as string);
  };

  test('is the inverse of keyOfPath for every byte string', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (key) => {
        expect(parse(pathOfKey(key))).toEqual(Buffer.from(key));
      }),
    );
  });

  test('is the inverse of keyOfPath for every text, and URL leaves it alone', () => {
    const piece = fc.oneof(fc.constantFrom('/', '.', '..', '%', '+', '?', '#', ' '), fc.string({ unit: 'grapheme' }));
    const texts = fc.array(piece, { minLength: 1 }).map((pieces) => pieces.join(''));
    fc.assert(
      fc.property(texts, (key) => {
        fc.pre(key !== '' && Buffer.from(key).toString() === key);
        const path = pathOfKey(key);
        expect(parse(path).toString('utf8')).toBe(key);
        const url = new URL(path, 'http://127.0.0.1:7101');
        expect(url.pathname + url.search).toBe(path);
      }),
    );
  });

  test('refuses the empty key', () => {
    expect(() => pathOfKey('')).toThrow(KvorumError);
  });
});
