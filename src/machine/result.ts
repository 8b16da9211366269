/**
 * Results on the wire, from the leader to the node that forwarded a command: u8 version = 1, then a msgpack array.
 */
import { Packr } from 'msgpackr';
import { KvorumError } from '../errors.ts';
import { bytesToKey, keyToBytes } from '../kv/keys.ts';
import type { KvEntry } from '../kv/types.ts';
import type { CommandResult } from './types.ts';

const RESULT_VERSION = 1;
const RESERVE_VERSION = 2048 + 1;

const PUT = 0;
const DELETED = 1;
const CAS_FAILED = 2;

const packr = new Packr({ useRecords: false });
const unpackOptions = { start: 1, end: 0 };

/** Each call gives new bytes, which are the caller's. */
export function encodeResult(result: CommandResult): Uint8Array {
  const bytes: Uint8Array = packr.pack(fieldsOf(result), RESERVE_VERSION);
  bytes[0] = RESULT_VERSION;
  return bytes;
}

function fieldsOf(result: CommandResult): unknown[] {
  if (!result.ok) return [CAS_FAILED, result.revision, encodeEntry(result.current)];
  const fields =
    'created' in result ? [PUT, result.revision, result.created] : [DELETED, result.revision, result.deleted];
  // `prev: null` (there was nothing) is not the same as no `prev` (nobody asked).
  return result.prev === undefined ? fields : [...fields, encodeEntry(result.prev)];
}

/** Throws ERR_INVARIANT for bytes that are no result, ERR_DATA_VERSION for those of a later version. Values share memory with `bytes`. */
export function decodeResult(bytes: Uint8Array): CommandResult {
  const version = bytes[0];
  if (version === undefined) throw malformed();
  if (version !== RESULT_VERSION) {
    throw new KvorumError('ERR_DATA_VERSION', `A result of version ${version} needs a newer version of Kvorum`);
  }
  const fields = unpack(bytes);
  if (!Array.isArray(fields)) throw malformed();
  const [type, revision, third, prev] = fields as unknown[];
  if (!isCount(revision)) throw malformed();
  if (type === CAS_FAILED && fields.length === 3) {
    return { ok: false, code: 'ERR_CAS_FAILED', revision, current: decodeEntry(third) };
  }
  if (fields.length !== 3 && fields.length !== 4) throw malformed();
  const more = fields.length === 4 ? { prev: decodeEntry(prev) } : {};
  if (type === PUT && typeof third === 'boolean') return { ok: true, revision, created: third, ...more };
  if (type === DELETED && isCount(third)) return { ok: true, revision, deleted: third, ...more };
  throw malformed();
}

function encodeEntry(entry: KvEntry | null): unknown[] | null {
  if (entry === null) return null;
  const { key, value, createRevision, modRevision, version, lease, contentType } = entry;
  return [keyToBytes(key), value, createRevision, modRevision, version, lease, contentType];
}

function decodeEntry(fields: unknown): KvEntry | null {
  if (fields === null) return null;
  if (!Array.isArray(fields) || fields.length !== 7) throw malformed();
  const [key, value, createRevision, modRevision, version, lease, contentType] = fields as unknown[];
  if (!(key instanceof Uint8Array) || !(value instanceof Uint8Array)) throw malformed();
  if (!isCount(createRevision) || !isCount(modRevision) || !isCount(version)) throw malformed();
  if (!isTextOrNull(lease) || !isTextOrNull(contentType)) throw malformed();
  return { key: bytesToKey(key), value, createRevision, modRevision, version, lease, contentType };
}

function unpack(bytes: Uint8Array): unknown {
  unpackOptions.end = bytes.length;
  try {
    return packr.unpack(bytes, unpackOptions) as unknown;
  } catch (error) {
    throw new KvorumError('ERR_INVARIANT', 'A result is malformed: it does not decode', { cause: error });
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function malformed(): KvorumError {
  return new KvorumError('ERR_INVARIANT', 'A result is malformed');
}
