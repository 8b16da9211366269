/**
 * The vocabulary of the key-value core: etcd's data model (one revision counter a group, MVCC history), in plain data.
 */
import type { ErrorCode } from '../errors.ts';

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
  /** Not even one entry beyond `maxBytes`. Default false. */
  readonly strict?: boolean;
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
  /**
   * As `put`, but the value is made when somebody wants it: what is overwritten or deleted soon is never made. `bytes`: about how much memory it takes until then. `fresh`: nothing
   * is stored under the key, so that a deletion that comes soon need not reach the disk either. A view that has no use for it leaves it out.
   */
  putLater?(key: Uint8Array, bytes: number, make: () => Uint8Array, fresh: boolean): void;
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

/** A command that was applied and did nothing: `revision` is the current one. `details` is plain data for the error. */
export interface Refusal {
  readonly ok: false;
  readonly code: ErrorCode;
  readonly revision: number;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export type CompareOperator = '=' | '!=' | '<' | '>';

/**
 * One condition of a transaction. A missing key has the number 0 in every numeric target and no lease; its value equals none, and is
 * neither less nor greater: only `!=` holds. A lease is compared as the number that it is, null as 0. A lock that nobody holds has token 0.
 */
export type Compare =
  | {
      readonly target: 'version' | 'createRevision' | 'modRevision';
      readonly key: ByteKey;
      readonly operator: CompareOperator;
      readonly value: number;
    }
  | {
      readonly target: 'lease';
      readonly key: ByteKey;
      readonly operator: CompareOperator;
      readonly value: string | null;
    }
  | {
      readonly target: 'value';
      readonly key: ByteKey;
      readonly operator: CompareOperator;
      readonly value: Uint8Array;
    }
  | {
      readonly target: 'token';
      readonly lock: string;
      readonly operator: CompareOperator;
      readonly value: number;
    };

/** One step of a transaction. Reads see what the steps before them wrote. */
export type TxnStep =
  | {
      readonly type: 'put';
      readonly key: ByteKey;
      readonly value: Uint8Array;
      readonly contentType: string | null;
      readonly lease: string | null;
      readonly prev: boolean;
    }
  | { readonly type: 'delete'; readonly key: ByteKey; readonly prev: boolean }
  | ({ readonly type: 'deleteRange' } & KeyRange)
  | { readonly type: 'get'; readonly key: ByteKey }
  | ({ readonly type: 'range'; readonly limit: number; readonly keysOnly: boolean } & KeyRange);

/** All conditions hold: `then`, otherwise `otherwise`. All that is written gets one revision. */
export interface TxnOperation {
  readonly compare: readonly Compare[];
  readonly then: readonly TxnStep[];
  readonly otherwise: readonly TxnStep[];
}

/** What a transaction has to know from beyond the store. */
export interface TxnContext {
  leaseExists(id: string): boolean;
  /** Fencing token of whoever holds the lock; 0 for nobody. */
  lockToken(name: string): number;
}

/** In the order of the steps. */
export type TxnResponse =
  | { readonly type: 'put'; readonly created: boolean; readonly prev?: KvEntry | null }
  | { readonly type: 'delete'; readonly deleted: number; readonly prev?: KvEntry | null }
  | { readonly type: 'get'; readonly entry: KvEntry | null }
  | { readonly type: 'range'; readonly entries: readonly (KvEntry | KeyEntry)[]; readonly count: number };

export interface TxnResult {
  readonly ok: true;
  readonly type: 'txn';
  /** Of what it wrote; the current one when it wrote nothing. */
  readonly revision: number;
  readonly succeeded: boolean;
  readonly responses: readonly TxnResponse[];
}

/** One key that a revision changed. A deletion has version, createRevision 0, no lease, and an empty value. */
export interface Change {
  readonly type: 'put' | 'delete';
  readonly entry: KvEntry;
  /** Place within the revision: tells `prevOf` which version is meant. */
  readonly subOperation: number;
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

/** Records of one table by name: read and written at once. `entries` in no particular order. */
export interface RecordsOf<T> {
  get(name: string): T | undefined;
  set(name: string, record: T): void;
  delete(name: string): void;
  entries(): Iterable<readonly [string, T]>;
}
