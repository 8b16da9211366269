/**
 * A table of small records by name, as a part of the state: leases, locks, counters and the like. What is set is stored at once (state key: the table's prefix byte,
 * then the name as UTF-8) and, unless the table says otherwise, kept in memory as well.
 *
 * ```
 * u8 format = 1 · u32 checksum (XXH32 of key and all after it) · msgpack of the record
 * ```
 * The digest is that of the set of records, whatever the order in which they came: the sum of their checksums. So a restart computes the same one.
 */
import { Packr } from 'msgpackr';
import { KvorumError } from '../errors.ts';
import { mix32, xxh32 } from '../kv/checksum.ts';
import type { RecordsOf, RecordView } from '../kv/types.ts';

const FORMAT = 1;
const CHECKED_FROM = 5;
const RESERVE_HEAD = 2048 + CHECKED_FROM;

const packr = new Packr({ useRecords: false });
const unpackOptions = { start: CHECKED_FROM, end: 0 };
const encoder = new TextEncoder();
/** A byte order mark is a character of a name like any other. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface RecordCodec<T> {
  /** Plain data, an array by preference. */
  encode(record: T): unknown;
  /** Throws for what is no such record. */
  decode(value: unknown): T;
}

interface Kept<T> {
  readonly record: T;
  readonly checksum: number;
}

export class RecordTable<T> implements RecordsOf<T> {
  readonly #view: RecordView;
  readonly #prefix: number;
  readonly #codec: RecordCodec<T>;
  readonly #kept = new Map<string, Kept<T>>();
  #digestLow = 0;
  #digestHigh = 0;

  constructor(view: RecordView, prefix: number, codec: RecordCodec<T>) {
    this.#view = view;
    this.#prefix = prefix;
    this.#codec = codec;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** Of the records that there are: two unsigned 32-bit words. */
  get digest(): readonly [number, number] {
    return [this.#digestLow, this.#digestHigh];
  }

  get(name: string): T | undefined {
    return this.#kept.get(name)?.record;
  }

  *entries(): IterableIterator<readonly [string, T]> {
    for (const [name, { record }] of this.#kept) yield [name, record];
  }

  set(name: string, record: T): void {
    const key = recordKey(this.#prefix, name);
    const { bytes, checksum } = encodeRecord(key, this.#codec.encode(record));
    this.#view.put(key, bytes);
    this.#forget(name);
    this.#remember(name, record, checksum);
  }

  delete(name: string): void {
    if (!this.#forget(name)) return;
    this.#view.delete(recordKey(this.#prefix, name));
  }

  /** Takes a stored record. Throws ERR_CORRUPT or ERR_DATA_VERSION for one that is not of this table. */
  restore(key: Uint8Array, bytes: Uint8Array): void {
    const { value, checksum } = decodeRecord(key, bytes);
    this.#remember(recordName(key), this.#codec.decode(value), checksum);
  }

  #remember(name: string, record: T, checksum: number): void {
    this.#kept.set(name, { record, checksum });
    this.#digestLow = (this.#digestLow + checksum) >>> 0;
    this.#digestHigh = (this.#digestHigh + mix32(checksum, this.#prefix)) >>> 0;
  }

  #forget(name: string): boolean {
    const kept = this.#kept.get(name);
    if (kept === undefined) return false;
    this.#kept.delete(name);
    this.#digestLow = (this.#digestLow - kept.checksum) >>> 0;
    this.#digestHigh = (this.#digestHigh - mix32(kept.checksum, this.#prefix)) >>> 0;
    return true;
  }
}

export function recordKey(prefix: number, name: string): Uint8Array {
  const bytes = encoder.encode(name);
  const key = new Uint8Array(1 + bytes.length);
  key[0] = prefix;
  key.set(bytes, 1);
  return key;
}

export function recordName(key: Uint8Array): string {
  try {
    return decoder.decode(key.subarray(1));
  } catch (error) {
    throw new KvorumError('ERR_CORRUPT', 'The key of a state record is not UTF-8', { cause: error });
  }
}

/** `value` is plain data that msgpack knows. The bytes are the caller's. */
export function encodeRecord(key: Uint8Array, value: unknown): { bytes: Uint8Array; checksum: number } {
  const bytes: Uint8Array = packr.pack(value, RESERVE_HEAD);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  bytes[0] = FORMAT;
  const checksum = checksumOf(key, view);
  view.setUint32(1, checksum);
  return { bytes, checksum };
}

/** Throws ERR_CORRUPT for a damaged record or one in another's place, ERR_DATA_VERSION for one of a later format. */
export function decodeRecord(key: Uint8Array, bytes: Uint8Array): { value: unknown; checksum: number } {
  if (bytes.length <= CHECKED_FROM) throw corrupt(key);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const checksum = checksumOf(key, view);
  if (view.getUint32(1) !== checksum) throw corrupt(key);
  if (bytes[0] !== FORMAT) {
    throw new KvorumError('ERR_DATA_VERSION', `A state record has format ${bytes[0]}; this version reads ${FORMAT}`);
  }
  unpackOptions.end = bytes.length;
  try {
    return { value: packr.unpack(bytes, unpackOptions) as unknown, checksum };
  } catch (error) {
    throw new KvorumError('ERR_CORRUPT', 'A state record does not decode', { cause: error });
  }
}

function checksumOf(key: Uint8Array, view: DataView): number {
  const seed = xxh32(new DataView(key.buffer, key.byteOffset, key.length), 0, key.length, FORMAT);
  return xxh32(view, CHECKED_FROM, view.byteLength, seed);
}

function corrupt(key: Uint8Array): KvorumError {
  return new KvorumError('ERR_CORRUPT', `A state record of the table ${key[0] ?? 'none'} is damaged`);
}
