/**
 * Keys in request targets. Keys are bytes; a path is text that proxies and URL parsers like to tidy up. So a key in a
 * path is percent-encoded UTF-8, decoded once and never normalised, and whatever a well-meaning middleman could change
 * (`.` and `..` segments, a leading slash, `//`, bytes that are not UTF-8) has to come as `?keyEncoding=base64url`.
 */
import { Buffer, isUtf8 } from 'node:buffer';

import { KvorumError } from '../errors.ts';
import type { Key } from '../node/types.ts';
import { decodePercent } from './percent.ts';

export type KeyEncoding = 'utf8' | 'base64url';

export const KEY_PREFIX = '/v1/kv/';

const SLASH = 0x2f;
const DOT = 0x2e;
const PERCENT = 0x25;
const HASH = 0x23;

/**
 * The key that the part of a path behind `/v1/kv/` names, still percent-encoded. Throws ERR_BAD_KEY.
 *
 * @example
 * keyOfPath('shop%2Forders/1+1'); // 'shop/orders/1+1'
 * keyOfPath('_-8', 'base64url'); // Uint8Array [ 255, 239 ]
 */
export function keyOfPath(piece: string, encoding: KeyEncoding = 'utf8'): Key {
  if (encoding === 'base64url') return keyOfBase64url(piece);
  if (piece.length === 0) throw emptyKey();
  // The common key is plain ASCII without escapes: looked at once, and returned as it is.
  let start = 0;
  for (let i = 0; i < piece.length; i++) {
    const code = piece.charCodeAt(i);
    if (code === SLASH) {
      checkSegment(piece, start, i, false);
      start = i + 1;
    } else if (code === PERCENT || code === HASH || code >= 0x80) {
      return keyOfEscapes(piece);
    }
  }
  checkSegment(piece, start, piece.length, true);
  return piece;
}

/**
 * Path and query, such as `/v1/kv/a%20b`, that name a key: the inverse of `keyOfPath`, for clients.
 * Text is UTF-8; what a path cannot carry safely comes out with `?keyEncoding=base64url`.
 */
export function pathOfKey(key: Key): string {
  const bytes = typeof key === 'string' ? Buffer.from(key, 'utf8') : Buffer.from(key);
  if (bytes.length === 0) throw emptyKey();
  if (isUtf8(bytes)) {
    const text = bytes.toString('utf8');
    const segments = text.split('/');
    const tidy = segments.every(
      (segment, i) => !isDots(segment) && (segment !== '' || (i > 0 && i === segments.length - 1)),
    );
    if (tidy) return KEY_PREFIX + segments.map(encodeURIComponent).join('/');
  }
  return `${KEY_PREFIX}${bytes.toString('base64url')}?keyEncoding=base64url`;
}

/** A key or prefix given as a query option: text, or base64url bytes. Throws ERR_BAD_KEY. Empty stays empty. */
export function keyOfOption(text: string, encoding: KeyEncoding = 'utf8'): Key {
  if (encoding === 'utf8' || text === '') return text;
  return bytesOfBase64url(text);
}

function keyOfEscapes(piece: string): string {
  if (piece.includes('#')) throw badKey('send "#" as %23');
  const text = decodePercent(piece);
  if (text === null) {
    throw badKey('the path is not percent-encoded UTF-8; send bytes with ?keyEncoding=base64url');
  }
  let start = 0;
  for (;;) {
    const end = text.indexOf('/', start);
    if (end === -1) break;
    checkSegment(text, start, end, false);
    start = end + 1;
  }
  checkSegment(text, start, text.length, true);
  return text;
}

function keyOfBase64url(piece: string): Uint8Array {
  const text = decodePercent(piece);
  if (text === null) throw badKey('the path is not percent-encoded text');
  const bytes = bytesOfBase64url(text);
  if (bytes.length === 0) throw emptyKey();
  return bytes;
}

function bytesOfBase64url(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64url');
  // Node skips what it does not understand; encoding it again shows whether it understood all of it. Padding is optional.
  const padded = text.endsWith('=');
  if (bytes.toString('base64url') !== text.replace(/={1,2}$/u, '') || (padded && text.length % 4 !== 0)) {
    throw badKey('not base64url (A-Z a-z 0-9 - _ in one segment)');
  }
  return bytes;
}

function checkSegment(text: string, start: number, end: number, last: boolean): void {
  const length = end - start;
  if (length > 2) return;
  if (length === 0) {
    // A trailing slash belongs to the key; a leading one, or two in a row, does not survive every proxy.
    if (last && start > 0) return;
    throw badKey('a leading "/" and "//" need ?keyEncoding=base64url');
  }
  if (text.charCodeAt(start) === DOT && (length === 1 || text.charCodeAt(start + 1) === DOT)) {
    throw badKey('"." and ".." segments need ?keyEncoding=base64url');
  }
}

function isDots(segment: string): boolean {
  return segment === '.' || segment === '..';
}

function emptyKey(): KvorumError {
  return badKey('the key is empty');
}

function badKey(reason: string): KvorumError {
  return new KvorumError('ERR_BAD_KEY', `malformed key: ${reason}`);
}
