/**
 * What a value in the database looks like. Every one is checksummed and carries the version of its own layout:
 *
 *     crc32 u32 · version u8 · body …           (numbers little-endian; the crc is over everything after it)
 *
 * LevelDB verifies its table blocks only when asked to, which cannot be asked from Node, so damage in a table file is ours to
 * notice. The *entry record* is the same on disk and on the wire: encoded once, by whoever makes the entry, it serves
 * the log of every member.
 */
import { Packr } from 'msgpackr';
import { crc32 } from 'node:zlib';
import { KvorumError, invariant } from '../errors.ts';
import type { Entry, EntryKind } from '../raft/types.ts';
import { readU32BE, readU32LE, readU64LE, writeU32BE, writeU32LE, writeU64LE } from './bytes.ts';

export const RECORD_VERSION = 1;

/** crc32, version. */
export const RECORD_HEADER_BYTES = 5;
/** crc32, version, kind, term, index. */
export const ENTRY_HEADER_BYTES = 22;

const ENTRY_KINDS: readonly EntryKind[] = ['noop', 'command', 'config'];

/** Records as maps, not as msgpackr's own structures: any msgpack library can read them, and old ones stay readable. */
const packr = new Packr({ useRecords: false });

/** For whoever has to decide what to do with this node: says what is wrong and what to do. */
export function corrupt(what: string, cause?: unknown): KvorumError {
  return damaged(
    `${what}. This data directory can no longer be trusted: copy it aside, do not delete files in it, and do not start ` +
      `this member with an emptied one. The other members go on without it; docs/storage.md says how it comes back.`,
    cause,
  );
}

function damaged(what: string, cause?: unknown): KvorumError {
  return new KvorumError('ERR_CORRUPT', what, cause === undefined ? {} : { cause });
}

function newerVersion(what: string, version: number): KvorumError {
  return new KvorumError(
    'ERR_DATA_VERSION',
    `${what} has layout version ${version}, this program knows versions up to ${RECORD_VERSION}: ` +
      `start the newer version of Kvorum that wrote it.`,
  );
}

function verify(bytes: Uint8Array, seed: number, what: string, failure = corrupt): void {
  if (bytes.length < RECORD_HEADER_BYTES) throw failure(`${what} is cut short (${bytes.length} bytes)`);
  if (crc32(bytes.subarray(4), seed) !== readU32LE(bytes, 0)) throw failure(`${what} fails its checksum`);
  const version = bytes[4] as number;
  if (version > RECORD_VERSION) throw newerVersion(what, version);
  if (version === 0) throw failure(`${what} has no layout version`);
}

// ---------------------------------------------------------------------------------------------------------------------
// Entries.

/**
 * The record of an entry, made once and kept in `entry.encoded`. Neither the entry nor its data may change afterwards.
 *
 * @throws KvorumError ERR_INVARIANT for a kind that this version does not know.
 */
export function encodeEntry(entry: Entry): Uint8Array {
  if (entry.encoded !== undefined) return entry.encoded;
  const bytes = Buffer.allocUnsafe(ENTRY_HEADER_BYTES + entry.data.length);
  writeEntry(bytes, 0, entry);
  entry.encoded = bytes;
  return bytes;
}

function writeEntry(bytes: Uint8Array, at: number, entry: Entry): void {
  const kind = ENTRY_KINDS.indexOf(entry.kind);
  invariant(kind >= 0, `unknown kind of entry: ${entry.kind}`);
  bytes[at + 4] = RECORD_VERSION;
  bytes[at + 5] = kind;
  writeU64LE(bytes, at + 6, entry.term);
  writeU64LE(bytes, at + 14, entry.index);
  bytes.set(entry.data, at + ENTRY_HEADER_BYTES);
  writeU32LE(bytes, at, crc32(bytes.subarray(at + 4, at + ENTRY_HEADER_BYTES + entry.data.length)));
}

/**
 * Reads an entry record, from disk or from a peer. `data` and `encoded` of the result are views of `bytes`, not copies.
 *
 * @throws KvorumError ERR_CORRUPT when the record is damaged, ERR_DATA_VERSION when a newer version wrote it.
 */
export function decodeEntry(bytes: Uint8Array): Entry {
  verify(bytes, 0, 'an entry record', damaged);
  const kind = ENTRY_KINDS[bytes[5] as number];
  if (bytes.length < ENTRY_HEADER_BYTES || kind === undefined) throw damaged('an entry record is malformed');
  return {
    index: readU64LE(bytes, 14),
    term: readU64LE(bytes, 6),
    kind,
    data: bytes.subarray(ENTRY_HEADER_BYTES),
    encoded: bytes,
  };
}

/** Before each record of a run: its length, big-endian. */
const LENGTH_BYTES = 4;

/** What an entry takes in a run. */
export function lengthInRun(entry: Entry): number {
  return LENGTH_BYTES + ENTRY_HEADER_BYTES + entry.data.length;
}

/**
 * The records of entries that follow each other, each with its length before it: what lies in the log under one key, and travels in one message. Made once and kept in the
 * first entry, and each record in its entry, as a view of it: other runs of the same entries copy it. Neither the entries nor their data may change afterwards.
 */
export function encodeRun(entries: readonly Entry[]): Uint8Array {
  const first = entries[0];
  const last = entries[entries.length - 1];
  invariant(first !== undefined && last !== undefined, 'a run has an entry');
  // Entries are immutable and an index and term name one entry, so the same ends mean the same run.
  if (first.run !== undefined && first.run.last === last) return first.run.bytes;
  let size = 0;
  for (const entry of entries) size += lengthInRun(entry);
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const entry of entries) {
    const length = ENTRY_HEADER_BYTES + entry.data.length;
    writeU32BE(bytes, at, length);
    at += LENGTH_BYTES;
    if (entry.encoded === undefined) {
      writeEntry(bytes, at, entry);
      entry.encoded = bytes.subarray(at, at + length);
    } else {
      bytes.set(entry.encoded, at);
    }
    at += length;
  }
  first.run = { last, bytes };
  return bytes;
}

/** `count` entries of a run, after the first `skip` of it. Throws as `decodeEntry`, and what `cutOff` makes when it has not so many. */
export function decodeRun(bytes: Uint8Array, skip: number, count: number, cutOff: () => Error): Entry[] {
  const entries: Entry[] = [];
  let at = 0;
  for (let i = 0; i < skip + count; i++) {
    if (bytes.length < at + LENGTH_BYTES) throw cutOff();
    const length = readU32BE(bytes, at);
    at += LENGTH_BYTES;
    if (bytes.length < at + length) throw cutOff();
    if (i >= skip) entries.push(decodeEntry(bytes.subarray(at, at + length)));
    at += length;
  }
  return entries;
}

// ---------------------------------------------------------------------------------------------------------------------
// Records of the replicated state: the key is part of the checksum, so that a value cannot turn up under another key.

export function encodeState(key: Uint8Array, value: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + value.length);
  bytes[4] = RECORD_VERSION;
  bytes.set(value, RECORD_HEADER_BYTES);
  writeU32LE(bytes, 0, crc32(bytes.subarray(4), crc32(key)));
  return bytes;
}

/** The value, a view of `bytes`. `key` is the state machine's own key. */
export function decodeState(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  verify(bytes, crc32(key), 'a state record');
  return bytes.subarray(RECORD_HEADER_BYTES);
}

// ---------------------------------------------------------------------------------------------------------------------
// Small records: node-wide and per group.

export function encodeValue(value: unknown): Uint8Array {
  const body = packr.pack(value);
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + body.length);
  bytes[4] = RECORD_VERSION;
  bytes.set(body, RECORD_HEADER_BYTES);
  writeU32LE(bytes, 0, crc32(bytes.subarray(4)));
  return bytes;
}

export function decodeValue(bytes: Uint8Array, what: string): unknown {
  verify(bytes, 0, what);
  try {
    return packr.unpack(bytes.subarray(RECORD_HEADER_BYTES));
  } catch (error) {
    throw corrupt(`${what} is malformed`, error);
  }
}

/** A record of unsigned numbers (up to 2^53), for what is written with nearly every batch. */
export function encodeNumbers(...numbers: number[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + 8 * numbers.length);
  bytes[4] = RECORD_VERSION;
  let at = RECORD_HEADER_BYTES;
  for (const number of numbers) {
    writeU64LE(bytes, at, number);
    at += 8;
  }
  writeU32LE(bytes, 0, crc32(bytes.subarray(4)));
  return bytes;
}

export function decodeNumbers(bytes: Uint8Array, count: number, what: string): number[] {
  verify(bytes, 0, what);
  if (bytes.length !== RECORD_HEADER_BYTES + 8 * count) throw corrupt(`${what} is malformed`);
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) numbers.push(readU64LE(bytes, RECORD_HEADER_BYTES + 8 * i));
  return numbers;
}
