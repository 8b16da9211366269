/**
 * The vocabulary of the key-value core: etcd's data model (one revision counter a group, MVCC history), in plain data.
 */

/**
 * A key inside the core: a **byte string**, that is a JavaScript string whose character codes are the key's bytes (0–255, "latin1").
 * The engine stores it one byte a character and compares it as unsigned bytes, at a fraction of the memory of a Uint8Array.
 */
export type ByteKey = string;

/** Where the latest value of a key lives and what is known without reading it. Kept in memory for every key. */
export interface KeyMeta {
  /** Revision of the put that made the key (since its last deletion). */
  readonly createRevision: number;
  /** Revision of the last put, and the operation's place within that revision: together the key of its history record. */
  readonly modRevision: number;
  readonly subOperation: number;
  /** Puts since createRevision, which counts as 1. */
  readonly version: number;
  /** Decimal lease id, null for none. */
  readonly lease: string | null;
  /** Length of the value in bytes. */
  readonly size: number;
}

export interface KvEntry {
  readonly key: ByteKey;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string | null;
  /** Media type given with the put; null: application/octet-stream. */
  readonly contentType: string | null;
}

/** `If-Match: "N"`, `If-Match: *`, `If-None-Match: *`. A missing key fails `modRevision` and `exists`. */
export type Condition =
  | { readonly type: 'modRevision'; readonly revision: number }
  | { readonly type: 'exists' }
  | { readonly type: 'absent' };

export interface PutOperation {
  readonly key: ByteKey;
  readonly value: Uint8Array;
  readonly contentType: string | null;
  readonly lease: string | null;
  /** Give back the entry that was replaced. */
  readonly prev: boolean;
  readonly condition: Condition | null;
}

export interface DeleteOperation {
  readonly key: ByteKey;
  readonly prev: boolean;
  readonly condition: Condition | null;
}

/** Keys in [start, end); end null: no upper bound. */
export interface KeyRange {
  readonly start: ByteKey;
  readonly end: ByteKey | null;
}

export interface RangeQuery extends KeyRange {
  /** Most entries to give back. */
  readonly limit: number;
  /** Go on after this key (exclusive). */
  readonly after: ByteKey | null;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** Stop before keys and values given exceed this many bytes (one entry is always given). Default: no such limit. */
  readonly maxBytes?: number;
  /** `count` of an earlier page of the same range at the same revision (a cursor can carry it): given back instead of being counted again. */
  readonly knownCount?: number | null;
}

/** An entry without its value, for keysOnly. */
export type KeyEntry = Omit<KvEntry, 'value' | 'contentType'>;

export interface RangeResult {
  /** Revision that this answer is of. */
  readonly revision: number;
  readonly entries: readonly (KvEntry | KeyEntry)[];
  /** All keys in the range, also those beyond the limit and before `after`. */
  readonly count: number;
  /** More keys after the last entry given. */
  readonly more: boolean;
}

/** What the store needs of a disk: storage's `StateView`, seen from below. Synchronous; what was put is read back at once. */
export interface RecordView {
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
}

/** What the store cannot tell from its history records: kept with the machine's meta record. */
export interface KvState {
  /** Of the last write; 0 before the first. */
  readonly revision: number;
  /** The oldest revision that can be read. */
  readonly compactedRevision: number;
  /** A superseded version is kept for this many revisions. */
  readonly keepRevisions: number;
  /** Running hash of everything ever written and dropped: two unsigned 32-bit words. */
  readonly digest: readonly [number, number];
}

export type PutResult =
  | { readonly ok: true; readonly revision: number; readonly created: boolean; readonly prev?: KvEntry | null }
  | {
      readonly ok: false;
      readonly code: 'ERR_CAS_FAILED';
      readonly revision: number;
      readonly current: KvEntry | null;
    };

export type DeleteResult =
  | { readonly ok: true; readonly revision: number; readonly deleted: number; readonly prev?: KvEntry | null }
  | {
      readonly ok: false;
      readonly code: 'ERR_CAS_FAILED';
      readonly revision: number;
      readonly current: KvEntry | null;
    };
