/** Entries as JSON, written by hand: lists are made of thousands of them. Shapes: schemas.ts. */
import { Buffer, isUtf8 } from 'node:buffer';

import type { ByteKey, KeyEntry, KvEntry } from '../kv/types.ts';

export const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

// The byte keys that are their own text.
const ASCII = /^[\0-\u007f]*$/u;

/** With value and content type, when the entry has them. */
export function entryJson(entry: KvEntry | KeyEntry): string {
  const lease = entry.lease === null ? 'null' : `"${entry.lease}"`;
  const numbers =
    `"createRevision":${entry.createRevision},"modRevision":${entry.modRevision},` +
    `"version":${entry.version},"lease":${lease}`;
  if (!('value' in entry)) return `{${keyJson(entry.key)},${numbers}}`;
  const contentType = JSON.stringify(entry.contentType ?? DEFAULT_CONTENT_TYPE);
  return `{${keyJson(entry.key)},${valueJson(entry.value)},${numbers},"contentType":${contentType}}`;
}

/** A key among others: text, or an object that tells its encoding. */
export function keyValue(key: ByteKey): string | { readonly key: string; readonly keyEncoding: 'base64url' } {
  if (ASCII.test(key)) return key;
  const bytes = Buffer.from(key, 'latin1');
  if (isUtf8(bytes)) return bytes.toString('utf8');
  return { key: bytes.toString('base64url'), keyEncoding: 'base64url' };
}

function keyJson(key: ByteKey): string {
  if (ASCII.test(key)) return `"key":${JSON.stringify(key)}`;
  const bytes = Buffer.from(key, 'latin1');
  if (isUtf8(bytes)) return `"key":${JSON.stringify(bytes.toString('utf8'))}`;
  return `"key":"${bytes.toString('base64url')}","keyEncoding":"base64url"`;
}

function valueJson(value: Uint8Array): string {
  const bytes = asBuffer(value);
  if (isUtf8(bytes)) return `"value":${JSON.stringify(bytes.toString('utf8'))},"encoding":"utf8"`;
  return `"value":"${bytes.toString('base64')}","encoding":"base64"`;
}

/** The same bytes, not copied. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
