/**
 * History on disk: one record a write, at the state key `h`, revision (u64), sub-operation (u32), big-endian, so that key order is
 * the order of writes. The record names its key and carries a checksum of its own, because the store keeps what it is given.
 *
 * ```
 * u8 format = 1 · u32 checksum · u8 flags · varint modRevision − createRevision · varint version · varint key length
 * · [varint lease length] · [varint content type length] · key · lease · content type · value
 * ```
 * The checksum is XXH32 of all after it, seeded with revision and sub-operation: a record in another's place does not pass.
 */
import { KvorumError, invariant } from '../errors.ts';
import { xxh32 } from './checksum.ts';
import { bytesToKey, writeKey } from './keys.ts';
import type { ByteKey } from './types.ts';

const FORMAT = 1;
const HISTORY = 0x68;
export const HISTORY_KEY_BYTES = 13;

const FLAG_TOMBSTONE = 1;
const FLAG_LEASE = 2;
const FLAG_CONTENT_TYPE = 4;
const KNOWN_FLAGS = FLAG_TOMBSTONE | FLAG_LEASE | FLAG_CONTENT_TYPE;

const CHECKED_FROM = 5;
/** Format, checksum, flags, two varints of up to 8 bytes, three lengths of up to 5. */
const MAX_HEAD_BYTES = 6 + 2 * 8 + 3 * 5;
/** Records are carved out of slabs: one allocation of 300 bytes costs ten times as much as a view of a slab (1.2 µs against 0.1 µs). */
const SLAB_BYTES = 16 * 1024;
const EMPTY: Uint8Array = new Uint8Array(0);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The state key of a write. */
export function historyKey(revision: number, subOperation: number): Uint8Array {
  const key = new Uint8Array(HISTORY_KEY_BYTES);
  key[0] = HISTORY;
  writeUint32(key, 1, Math.floor(revision / 0x1_0000_0000));
  writeUint32(key, 5, revision);
  writeUint32(key, 9, subOperation);
  return key;
}

/** Whether a state key is a history record's. */
export function isHistoryKey(key: Uint8Array): boolean {
  return key.length === HISTORY_KEY_BYTES && key[0] === HISTORY;
}

export function historyKeyRevision(key: Uint8Array): number {
  return readUint32(key, 1) * 0x1_0000_0000 + readUint32(key, 5);
}

export function historyKeySubOperation(key: Uint8Array): number {
  return readUint32(key, 9);
}

/** What a history record says besides its place. A tombstone has version 0, createRevision = modRevision and nothing else. */
export interface HistoryRecord {
  readonly revision: number;
  readonly subOperation: number;
  readonly key: ByteKey;
  readonly createRevision: number;
  readonly version: number;
  readonly lease: string | null;
  readonly contentType: string | null;
  readonly value: Uint8Array;
}

/** Encodes records. `checksum` is that of the last one. */
export class RecordWriter {
  checksum = 0;
  #slab: Uint8Array = EMPTY;
  #view = new DataView(EMPTY.buffer);
  #used = 0;
  // A content type is mostly that of the record before.
  #contentType = '';
  #contentTypeBytes: Uint8Array = EMPTY;

  /** The bytes are the caller's to keep and are never written again. */
  encode(record: HistoryRecord): Uint8Array {
    const { key, lease, contentType, value } = record;
    const leaseBytes = lease === null ? EMPTY : encoder.encode(lease);
    const typeBytes = contentType === null ? EMPTY : this.#encodeContentType(contentType);
    const bound = MAX_HEAD_BYTES + key.length + leaseBytes.length + typeBytes.length + value.length;
    let bytes = this.#slab;
    let view = this.#view;
    let start = this.#used;
    if (bound > SLAB_BYTES / 4) {
      bytes = new Uint8Array(bound);
      view = new DataView(bytes.buffer);
      start = 0;
    } else if (start + bound > bytes.length) {
      bytes = this.#slab = new Uint8Array(SLAB_BYTES);
      view = this.#view = new DataView(bytes.buffer);
      start = 0;
    }

    let at = start;
    bytes[at] = FORMAT;
    at += CHECKED_FROM;
    bytes[at++] =
      (record.version === 0 ? FLAG_TOMBSTONE : 0) |
      (lease === null ? 0 : FLAG_LEASE) |
      (contentType === null ? 0 : FLAG_CONTENT_TYPE);
    at = writeVarint(bytes, at, record.revision - record.createRevision);
    at = writeVarint(bytes, at, record.version);
    at = writeVarint(bytes, at, key.length);
    if (lease !== null) at = writeVarint(bytes, at, leaseBytes.length);
    if (contentType !== null) at = writeVarint(bytes, at, typeBytes.length);
    at = writeKey(key, bytes, at);
    if (lease !== null) {
      bytes.set(leaseBytes, at);
      at += leaseBytes.length;
    }
    if (contentType !== null) {
      bytes.set(typeBytes, at);
      at += typeBytes.length;
    }
    bytes.set(value, at);
    at += value.length;

    this.checksum = xxh32(view, start + CHECKED_FROM, at, checksumSeed(record.revision, record.subOperation));
    writeUint32(bytes, start + 1, this.checksum);
    if (bytes === this.#slab) this.#used = at;
    return new Uint8Array(bytes.buffer, start, at - start);
  }

  #encodeContentType(contentType: string): Uint8Array {
    if (contentType !== this.#contentType) {
      this.#contentType = contentType;
      this.#contentTypeBytes = encoder.encode(contentType);
    }
    return this.#contentTypeBytes;
  }
}

/**
 * Decodes records: `read` checks one and finds its parts, the getters cut out what is asked for. Reused, so that a read makes no
 * object for what it does not need.
 */
export class RecordReader {
  #bytes = EMPTY;
  #flags = 0;
  #at = 0;
  #revision = 0;
  #createRevision = 0;
  #version = 0;
  #keyStart = 0;
  #leaseStart = 0;
  #typeStart = 0;
  #valueStart = 0;
  #contentType = '';

  /** Throws ERR_CORRUPT for a record that is damaged, in another's place or not a record, ERR_DATA_VERSION for one of a later format. */
  read(revision: number, subOperation: number, bytes: Uint8Array): void {
    if (bytes.length < CHECKED_FROM + 4) throw corrupt(revision, subOperation, 'is too short');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const sum = xxh32(view, CHECKED_FROM, bytes.length, checksumSeed(revision, subOperation));
    if (bytes[0] !== FORMAT || view.getUint32(1) !== sum) {
      if (bytes[0] !== FORMAT && view.getUint32(1) === sum) {
        throw new KvorumError(
          'ERR_DATA_VERSION',
          `The history record of revision ${revision} has format ${bytes[0]}; this version reads ${FORMAT}`,
        );
      }
      throw corrupt(revision, subOperation, 'fails its checksum');
    }
    this.#bytes = bytes;
    this.#flags = bytes[CHECKED_FROM] as number;
    this.#at = CHECKED_FROM + 1;
    this.#revision = revision;
    this.#createRevision = revision - this.#readVarint();
    this.#version = this.#readVarint();
    const keyLength = this.#readVarint();
    const leaseLength = (this.#flags & FLAG_LEASE) === 0 ? 0 : this.#readVarint();
    const typeLength = (this.#flags & FLAG_CONTENT_TYPE) === 0 ? 0 : this.#readVarint();
    this.#keyStart = this.#at;
    this.#leaseStart = this.#keyStart + keyLength;
    this.#typeStart = this.#leaseStart + leaseLength;
    this.#valueStart = this.#typeStart + typeLength;
    const tombstone = (this.#flags & FLAG_TOMBSTONE) !== 0;
    if (
      (this.#flags & ~KNOWN_FLAGS) !== 0 ||
      this.#valueStart > bytes.length ||
      this.#createRevision < 1 ||
      tombstone !== (this.#version === 0)
    ) {
      throw corrupt(revision, subOperation, 'is malformed');
    }
  }

  /** Lets go of the record last read. */
  release(): void {
    this.#bytes = EMPTY;
  }

  get createRevision(): number {
    return this.#createRevision;
  }

  /** 0: a tombstone. */
  get version(): number {
    return this.#version;
  }

  get key(): ByteKey {
    return bytesToKey(this.#bytes, this.#keyStart, this.#leaseStart);
  }

  get lease(): string | null {
    if ((this.#flags & FLAG_LEASE) === 0) return null;
    return decoder.decode(this.#bytes.subarray(this.#leaseStart, this.#typeStart));
  }

  get contentType(): string | null {
    if ((this.#flags & FLAG_CONTENT_TYPE) === 0) return null;
    if (!this.#sameContentType())
      this.#contentType = decoder.decode(this.#bytes.subarray(this.#typeStart, this.#valueStart));
    return this.#contentType;
  }

  /** Shares the record's memory. */
  get value(): Uint8Array {
    return new Uint8Array(
      this.#bytes.buffer,
      this.#bytes.byteOffset + this.#valueStart,
      this.#bytes.length - this.#valueStart,
    );
  }

  get size(): number {
    return this.#bytes.length - this.#valueStart;
  }

  /** Whether the content type is, in ASCII, the one decoded last: mostly it is, and no string is made. */
  #sameContentType(): boolean {
    const last = this.#contentType;
    if (last.length !== this.#valueStart - this.#typeStart) return false;
    for (let i = 0; i < last.length; i++) {
      const byte = this.#bytes[this.#typeStart + i] as number;
      if (byte >= 0x80 || byte !== last.charCodeAt(i)) return false;
    }
    return true;
  }

  #readVarint(): number {
    let value = 0;
    let unit = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
      unit *= 0x80;
    }
    throw corrupt(this.#revision, 0, 'is malformed');
  }
}

function corrupt(revision: number, subOperation: number, what: string): KvorumError {
  return new KvorumError('ERR_CORRUPT', `The history record of revision ${revision}.${subOperation} ${what}`);
}

function checksumSeed(revision: number, subOperation: number): number {
  return revision ^ Math.floor(revision / 0x1_0000_0000) ^ Math.imul(subOperation, 0x9e3779b1);
}

/** Seven bits a byte, low first; up to 2^53. */
function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  invariant(value >= 0, 'a varint is not negative');
  let at = offset;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

function readUint32(bytes: Uint8Array, offset: number): number {
  return (
    (((bytes[offset] as number) << 24) |
      ((bytes[offset + 1] as number) << 16) |
      ((bytes[offset + 2] as number) << 8) |
      (bytes[offset + 3] as number)) >>>
    0
  );
}
