/**
 * Results on the wire, from the leader to the node that forwarded a command, and as they are kept of writes that happen once:
 * u8 version = 1, then a msgpack array.
 */
import { Packr } from 'msgpackr';
import { ERRORS, KvorumError, type ErrorCode } from '../errors.ts';
import { keyToBytes } from '../kv/keys.ts';
import type { KeyEntry, KvEntry, TxnResponse } from '../kv/types.ts';
import { Fields } from './fields.ts';
import type { CommandResult } from './types.ts';

const RESULT_VERSION = 1;
const RESERVE_VERSION = 2048 + 1;

const PUT = 0;
const DELETED = 1;
const CAS_FAILED = 2;
const REFUSED = 3;
const TXN = 4;
const COMPACTED = 5;
const LEASE = 6;
const RENEWED = 7;
const ENDED = 8;
const LOCK = 9;
const COUNT = 10;
const COUNTER = 11;
const SETTINGS = 12;
/** Before the fields of any other: the answer of then. */
const REPLAYED = 100;

const packr = new Packr({ useRecords: false });
const unpackOptions = { start: 1, end: 0 };

/** Each call gives new bytes, which are the caller's. */
export function encodeResult(result: CommandResult): Uint8Array {
  const fields = fieldsOf(result);
  const bytes: Uint8Array = packr.pack(result.replayed === true ? [REPLAYED, ...fields] : fields, RESERVE_VERSION);
  bytes[0] = RESULT_VERSION;
  return bytes;
}

function fieldsOf(result: CommandResult): unknown[] {
  const { revision } = result;
  if (!result.ok) {
    if (!('message' in result)) return [CAS_FAILED, revision, encodeEntry(result.current)];
    return [REFUSED, revision, result.code, result.message, result.details ?? null];
  }
  if (!('type' in result)) {
    const fields = 'created' in result ? [PUT, revision, result.created] : [DELETED, revision, result.deleted];
    // `prev: null` (there was nothing) is not the same as no `prev` (nobody asked).
    return result.prev === undefined ? fields : [...fields, encodeEntry(result.prev)];
  }
  switch (result.type) {
    case 'txn':
      return [TXN, revision, result.succeeded, result.responses.map(encodeResponse)];
    case 'compacted':
      return [COMPACTED, revision, result.compactedRevision];
    case 'lease':
      return [LEASE, revision, result.id, result.ttlMs];
    case 'renewed':
      return [RENEWED, revision, result.ttlMs];
    case 'ended':
      return [ENDED, revision, result.leases, result.deleted];
    case 'lock':
      return [LOCK, revision, result.token, result.ticket, result.lease, result.ttlMs];
    case 'count':
      return [COUNT, revision, result.count];
    case 'counter':
      return [COUNTER, revision, result.value];
    case 'settings':
      return [SETTINGS, revision];
  }
}

/** Throws ERR_INVARIANT for bytes that are no result, ERR_DATA_VERSION for those of a later version. Values share memory with `bytes`. */
export function decodeResult(bytes: Uint8Array): CommandResult {
  const version = bytes[0];
  if (version === undefined) throw malformed();
  if (version !== RESULT_VERSION) {
    throw new KvorumError('ERR_DATA_VERSION', `A result of version ${version} needs a newer version of Kvorum`);
  }
  const values = unpack(bytes);
  if (!Array.isArray(values)) throw malformed();
  if (values[0] === REPLAYED) return { ...decodeFields(values.slice(1)), replayed: true };
  return decodeFields(values);
}

const ARITY: Readonly<Record<number, number>> = {
  [CAS_FAILED]: 3,
  [REFUSED]: 5,
  [TXN]: 4,
  [COMPACTED]: 3,
  [LEASE]: 4,
  [RENEWED]: 3,
  [ENDED]: 4,
  [LOCK]: 6,
  [COUNT]: 3,
  [COUNTER]: 3,
  [SETTINGS]: 2,
};

function decodeFields(values: unknown[]): CommandResult {
  const [kind, revision] = values;
  if (!isCount(revision)) throw malformed();
  if (kind === PUT || kind === DELETED) return decodeChange(kind, revision, values);
  const arity = typeof kind === 'number' ? ARITY[kind] : undefined;
  if (arity === undefined) throw malformed();
  const f = new Fields('A result', values, arity);
  f.any();
  f.any();
  switch (kind) {
    case CAS_FAILED:
      return { ok: false, code: 'ERR_CAS_FAILED', revision, current: decodeEntry(f.any()) };
    case REFUSED: {
      const code = f.text('code');
      const message = f.text('message');
      const details = f.any();
      const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'ERR_INTERNAL';
      const more =
        typeof details === 'object' && details !== null ? { details: details as Record<string, unknown> } : {};
      return { ok: false, code: known, revision, message, ...more };
    }
    case TXN:
      return {
        ok: true,
        type: 'txn',
        revision,
        succeeded: f.bool('succeeded'),
        responses: f.list('responses', decodeResponse),
      };
    case COMPACTED:
      return { ok: true, type: 'compacted', revision, compactedRevision: f.count('compactedRevision') };
    case LEASE:
      return { ok: true, type: 'lease', revision, id: f.text('id'), ttlMs: f.count('ttlMs') };
    case RENEWED:
      return { ok: true, type: 'renewed', revision, ttlMs: f.list('ttlMs', countOrNull) };
    case ENDED:
      return { ok: true, type: 'ended', revision, leases: f.count('leases'), deleted: f.count('deleted') };
    case LOCK:
      return {
        ok: true,
        type: 'lock',
        revision,
        token: f.countOrNull('token'),
        ticket: f.count('ticket'),
        lease: f.text('lease'),
        ttlMs: f.count('ttlMs'),
      };
    case COUNT:
      return { ok: true, type: 'count', revision, count: f.count('count') };
    case COUNTER:
      return { ok: true, type: 'counter', revision, value: f.integer('value') };
    default:
      return { ok: true, type: 'settings', revision };
  }
}

function decodeChange(kind: number, revision: number, values: readonly unknown[]): CommandResult {
  if (values.length !== 3 && values.length !== 4) throw malformed();
  const [, , third, prev] = values;
  const more = values.length === 4 ? { prev: decodeEntry(prev) } : {};
  if (kind === PUT && typeof third === 'boolean') return { ok: true, revision, created: third, ...more };
  if (kind === DELETED && isCount(third)) return { ok: true, revision, deleted: third, ...more };
  throw malformed();
}

function encodeResponse(response: TxnResponse): unknown[] {
  switch (response.type) {
    case 'put':
      return response.prev === undefined
        ? ['put', response.created]
        : ['put', response.created, encodeEntry(response.prev)];
    case 'delete':
      return response.prev === undefined
        ? ['delete', response.deleted]
        : ['delete', response.deleted, encodeEntry(response.prev)];
    case 'get':
      return ['get', encodeEntry(response.entry)];
    case 'range':
      return ['range', response.entries.map(encodeAnyEntry), response.count];
  }
}

function decodeResponse(value: unknown): TxnResponse {
  if (!Array.isArray(value)) throw malformed();
  const f = new Fields('A result', value, value.length);
  const type = f.oneOf('response', ['put', 'delete', 'get', 'range']);
  switch (type) {
    case 'put': {
      const created = f.bool('created');
      return value.length === 3 ? { type, created, prev: decodeEntry(f.any()) } : { type, created };
    }
    case 'delete': {
      const deleted = f.count('deleted');
      return value.length === 3 ? { type, deleted, prev: decodeEntry(f.any()) } : { type, deleted };
    }
    case 'get':
      return { type, entry: decodeEntry(f.any()) };
    case 'range':
      return { type, entries: f.list('entries', decodeAnyEntry), count: f.count('count') };
  }
}

function encodeAnyEntry(entry: KvEntry | KeyEntry): unknown[] | null {
  if ('value' in entry) return encodeEntry(entry);
  const { key, createRevision, modRevision, version, lease } = entry;
  return [keyToBytes(key), createRevision, modRevision, version, lease];
}

function decodeAnyEntry(value: unknown): KvEntry | KeyEntry {
  if (!Array.isArray(value) || value.length !== 5) {
    const entry = decodeEntry(value);
    if (entry === null) throw malformed();
    return entry;
  }
  const f = new Fields('A result', value, 5);
  return {
    key: f.key(),
    createRevision: f.count('createRevision'),
    modRevision: f.count('modRevision'),
    version: f.count('version'),
    lease: f.textOrNull('lease'),
  };
}

function encodeEntry(entry: KvEntry | null): unknown[] | null {
  if (entry === null) return null;
  const { key, value, createRevision, modRevision, version, lease, contentType } = entry;
  return [keyToBytes(key), value, createRevision, modRevision, version, lease, contentType];
}

function decodeEntry(value: unknown): KvEntry | null {
  if (value === null) return null;
  const f = new Fields('A result', value, 7);
  return {
    key: f.key(),
    value: f.bytes('value'),
    createRevision: f.count('createRevision'),
    modRevision: f.count('modRevision'),
    version: f.count('version'),
    lease: f.textOrNull('lease'),
    contentType: f.textOrNull('contentType'),
  };
}

function unpack(bytes: Uint8Array): unknown {
  unpackOptions.end = bytes.length;
  try {
    return packr.unpack(bytes, unpackOptions) as unknown;
  } catch (error) {
    throw new KvorumError('ERR_INVARIANT', 'A result is malformed: it does not decode', { cause: error });
  }
}

function countOrNull(value: unknown): number | null {
  if (value === null || isCount(value)) return value;
  throw malformed();
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function malformed(): KvorumError {
  return new KvorumError('ERR_INVARIANT', 'A result is malformed');
}
