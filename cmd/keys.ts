/** Keys of the command line as the HTTP API wants them in a path or a query. */
import { KvorumError } from '../src/errors.ts';
import { UsageError } from './exit.ts';

export type KeyEncoding = 'utf8' | 'base64url';

export interface EncodedKey {
  /** Percent-encoded, without the leading `/v1/kv/`. */
  readonly path: string;
  /** Goes into the query as `keyEncoding` when it is not utf8. */
  readonly keyEncoding: KeyEncoding;
}

/** Text that no URL path can carry as it is: intermediaries and URL parsers fold these away. */
function needsBase64(key: string): boolean {
  if (key.startsWith('/') || key.includes('//')) return true;
  return key.split('/').some((segment) => segment === '.' || segment === '..');
}

/** @throws KvorumError ERR_BAD_KEY */
export function encodeKey(key: string, encoding: KeyEncoding): EncodedKey {
  if (encoding === 'base64url') return { path: checkBase64(key), keyEncoding: 'base64url' };
  checkText(key);
  if (key === '') throw new KvorumError('ERR_BAD_KEY', 'the key is empty');
  if (needsBase64(key)) return { path: Buffer.from(key, 'utf8').toString('base64url'), keyEncoding: 'base64url' };
  return { path: key.split('/').map(encodeURIComponent).join('/'), keyEncoding: 'utf8' };
}

/** A prefix stands in the query, where every text is safe; only bytes need the encoding. May be empty. */
export function encodePrefix(prefix: string, encoding: KeyEncoding): { prefix: string; keyEncoding: KeyEncoding } {
  if (encoding === 'base64url') return { prefix: checkBase64(prefix), keyEncoding: 'base64url' };
  checkText(prefix);
  return { prefix, keyEncoding: 'utf8' };
}

/** For the client library: text, or bytes. @throws KvorumError ERR_BAD_KEY */
export function keyOf(key: string, encoding: KeyEncoding): string | Uint8Array {
  if (encoding === 'base64url') return Buffer.from(checkBase64(key), 'base64url');
  checkText(key);
  if (key === '') throw new KvorumError('ERR_BAD_KEY', 'the key is empty');
  return key;
}

/** A name of a lock, election, barrier or counter as one segment of a path. @throws UsageError */
export function encodeName(name: string): string {
  return encodeURIComponent(checkName(name));
}

/** @throws UsageError */
export function checkName(name: string): string {
  const wrong =
    name === ''
      ? 'is empty'
      : name === '.' || name === '..'
        ? 'cannot stand in a path'
        : name.includes('\uFFFD')
          ? 'is not UTF-8 (or holds U+FFFD)'
          : null;
  if (wrong !== null) throw new UsageError(`the name ${wrong}`);
  return name;
}

function checkBase64(key: string): string {
  if (!/^[A-Za-z0-9_-]+$/.test(key) || Buffer.from(key, 'base64url').toString('base64url') !== key) {
    throw new KvorumError('ERR_BAD_KEY', `"${key}" is not base64url without padding`);
  }
  return key;
}

/** Node replaces argument bytes that are not UTF-8 by U+FFFD: another key than the one that was meant. */
function checkText(key: string): void {
  if (key.includes('\uFFFD')) {
    throw new KvorumError(
      'ERR_BAD_KEY',
      'the key is not UTF-8 (or holds U+FFFD); give its bytes with --key-encoding base64url',
    );
  }
}
