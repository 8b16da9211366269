/**
 * Transactions, watches, leases, locks, elections, barriers and counters as an embedded node offers them; the HTTP API is a thin skin over this.
 * Everything that takes a name rejects ERR_INVALID_ARGUMENT for one that is empty or longer than 512 bytes, and whatever else any call may reject with (see
 * `KvorumNode`).
 */
import type { ByteKey, CompareOperator, KeyEntry, KvEntry } from '../kv/types.ts';
import type { LockKind, LockMode } from '../lock/types.ts';
import type { CallOptions, Key, MutationOptions, Value, Written } from './call-types.ts';

export type { MutationOptions, Written } from './call-types.ts';

// Transactions.

/** See `Compare` in kv/types.ts for what a missing key and a free lock count as. */
export type TxnCompare =
  | {
      readonly key: Key;
      readonly target: 'version' | 'createRevision' | 'modRevision';
      readonly operator: CompareOperator;
      readonly value: number;
    }
  | { readonly key: Key; readonly target: 'lease'; readonly operator: CompareOperator; readonly value: string | null }
  | { readonly key: Key; readonly target: 'value'; readonly operator: CompareOperator; readonly value: Value }
  | { readonly lock: string; readonly target: 'token'; readonly operator: CompareOperator; readonly value: number };

export type KeySpan = { readonly prefix: Key } | { readonly start: Key; readonly end: Key | null };

export type TxnRequestStep =
  | {
      readonly put: {
        readonly key: Key;
        readonly value: Value;
        readonly contentType?: string;
        readonly lease?: string;
        readonly prev?: boolean;
      };
    }
  | { readonly delete: { readonly key: Key; readonly prev?: boolean } | KeySpan }
  | { readonly get: { readonly key: Key } }
  /** `limit`: 100 by default, at most 1000. */
  | { readonly range: KeySpan & { readonly limit?: number; readonly keysOnly?: boolean } };

export interface TxnRequest {
  readonly if?: readonly TxnCompare[];
  readonly then?: readonly TxnRequestStep[];
  readonly else?: readonly TxnRequestStep[];
}

export type TxnAnswerStep =
  | { readonly put: { readonly prev?: KvEntry | null } }
  | { readonly delete: { readonly deleted: number; readonly prev?: KvEntry | null } }
  | { readonly get: KvEntry | null }
  | { readonly range: { readonly entries: readonly (KvEntry | KeyEntry)[]; readonly count: number } };

export interface TxnAnswer extends Written {
  readonly succeeded: boolean;
  /** In the order of the steps taken. */
  readonly responses: readonly TxnAnswerStep[];
}

// Watches.

export interface WatchOptions {
  /** What is watched: a key, or a span of keys; without either, everything. */
  readonly key?: Key;
  readonly prefix?: Key;
  readonly start?: Key;
  readonly end?: Key | null;
  /** First revision wanted, ≥ 1. Default: what comes after this call, linearizably. */
  readonly from?: number;
  /** With each change what was there before. */
  readonly prev?: boolean;
  /** Only puts, or only deletions. */
  readonly filter?: 'put' | 'delete';
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
  /** Until it is known where to begin. Milliseconds, default 4000. */
  readonly timeoutMs?: number;
}

export interface WatchEvent {
  readonly type: 'put' | 'delete';
  /** Of a deletion: the key, modRevision; version and createRevision 0, no lease, an empty value. */
  readonly entry: KvEntry;
  /** With `prev`: null when there was nothing. */
  readonly prev?: KvEntry | null;
}

/** Everything that one revision changed in what is watched. No events: a progress mark, everything up to `revision` was delivered. */
export interface WatchBatch {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

/**
 * Changes in order, each once. Nothing is buffered for a consumer who is slow: the next batch is read when it is asked for, and one who falls behind
 * what is kept gets ERR_COMPACTED (`details.compactRevision`: begin after it). Ends with ERR_CLOSED when the node closes.
 */
export interface Watch extends AsyncIterableIterator<WatchBatch> {
  /** Everything before this revision is delivered, or came before the watch. */
  readonly position: number;
  /**
   * What there is now without waiting: the next batch, or null. For those who are told by `changed` (one call, when there may be more). Throws as `next` rejects.
   */
  poll(): WatchBatch | null;
  changed(callback: () => void): void;
  close(): void;
}

// Leases.

export interface LeaseAnswer extends Written {
  readonly id: string;
  readonly ttlMs: number;
}

export interface LeaseInfo {
  readonly id: string;
  readonly ttlMs: number;
  /** As far as the answering node knows. */
  readonly remainingMs: number;
  readonly owner: unknown;
  /** Up to 1000 keys that hang on it, in order. */
  readonly keys: readonly ByteKey[];
  /** Names of locks, elections and so on that it holds or waits for. */
  readonly locks: readonly string[];
}

export interface Leases {
  /** `ttlMs`: 1,000 to 86,400,000, default 15,000. `owner`: any JSON up to 4 KiB. */
  grant(options?: MutationOptions & { readonly ttlMs?: number; readonly owner?: unknown }): Promise<LeaseAnswer>;
  /** Rejects ERR_LEASE_NOT_FOUND when it is gone. */
  renew(id: string, options?: CallOptions): Promise<LeaseAnswer>;
  /** What hangs on it goes at once. Rejects ERR_LEASE_NOT_FOUND. */
  revoke(id: string, options?: MutationOptions): Promise<Written & { readonly deleted: number }>;
  get(id: string, options?: CallOptions): Promise<LeaseInfo>;
  /** In order of id, up to 1000 after `after`. */
  list(options?: CallOptions & { readonly after?: string }): Promise<readonly LeaseInfo[]>;
}

// Locks, semaphores, elections, barriers.

export interface AcquireOptions extends MutationOptions {
  /** A lease that there is; otherwise one is made, of `ttlMs` (default 15,000), which ends with the release. */
  readonly lease?: string;
  readonly ttlMs?: number;
  /** How long to stand in the queue, on top of `timeoutMs`. Default 0: answer at once; at most 60,000. */
  readonly waitMs?: number;
  /**
   * With `lease` only: when the wait is over, or given up, the place in the queue is kept for as long as the lease lives. Acquiring again with it goes on
   * waiting there, so that a wait of any length keeps its turn. Default false.
   */
  readonly keepPlace?: boolean;
  /** Any JSON up to 4 KiB, shown by `get`. */
  readonly owner?: unknown;
}

export interface LockOptions extends AcquireOptions {
  /** Default exclusive, which is the same as write. */
  readonly mode?: 'exclusive' | LockMode;
  /** A semaphore of so many permits, of which one is taken. The same for all who use the name. */
  readonly permits?: number;
  /** How long nobody is let in after a holder was lost. Default 0. */
  readonly delayMs?: number;
}

export interface LockAnswer extends Written {
  readonly name: string;
  /** Fencing token: larger than that of every earlier holder of the name. */
  readonly token: number;
  readonly lease: string;
  readonly ttlMs: number;
}

export interface LockHolder {
  readonly token: number;
  readonly lease: string;
  readonly mode: LockMode;
  readonly owner: unknown;
  /** Milliseconds since the epoch, state-machine time. */
  readonly since: number;
}

export interface LockInfo {
  readonly name: string;
  readonly kind: LockKind;
  /** Permits of a semaphore, parties of a barrier, otherwise 1. */
  readonly limit: number;
  readonly holders: readonly LockHolder[];
  /** First come, first served. */
  readonly queue: readonly { readonly lease: string; readonly mode: LockMode; readonly owner: unknown }[];
}

export type HolderOf = { readonly lease: string } | { readonly token: number };

export interface Locks {
  /**
   * Rejects ERR_LOCK_HELD (`details.holder`) when the wait is over, ERR_LEASE_NOT_FOUND, ERR_INVALID_ARGUMENT when the name is in use as something else. An abort leaves
   * the queue. Acquiring again with the holding lease gives the same token.
   */
  acquire(name: string, options?: LockOptions): Promise<LockAnswer>;
  /** Renews the lease of the holder. Rejects ERR_LOCK_LOST. */
  renew(name: string, holder: HolderOf, options?: CallOptions): Promise<{ readonly ttlMs: number }>;
  /** False: it held nothing (any more). */
  release(name: string, holder: HolderOf, options?: MutationOptions): Promise<Written & { readonly released: boolean }>;
  /** A name that nobody uses has no holders and no queue. */
  get(name: string, options?: CallOptions): Promise<LockInfo>;
  /** Names in use, in order, up to 1000 after `after`. */
  list(options?: CallOptions & { readonly prefix?: string; readonly after?: string }): Promise<readonly LockInfo[]>;
  /** For operators: takes it from all who hold it, after which its delay counts. */
  break(name: string, options?: MutationOptions): Promise<Written & { readonly broken: number }>;
}

export interface CampaignOptions extends AcquireOptions {
  /** What it stands for; shown to observers once it is elected. Text up to 4 KiB. */
  readonly value?: string;
}

export interface ElectionInfo {
  readonly name: string;
  readonly leader: { readonly lease: string; readonly owner: unknown } | null;
  readonly value: string | null;
  readonly token: number | null;
}

export interface Elections {
  /** Resolves once elected. Rejects as `Locks.acquire`. */
  campaign(name: string, options?: CampaignOptions): Promise<LockAnswer>;
  /** Rejects ERR_LOCK_LOST when the token is not the leader's. */
  proclaim(
    name: string,
    proclamation: { readonly token: number; readonly value: string },
    options?: MutationOptions,
  ): Promise<Written>;
  resign(
    name: string,
    holder: { readonly token: number },
    options?: MutationOptions,
  ): Promise<Written & { readonly resigned: boolean }>;
  get(name: string, options?: CallOptions): Promise<ElectionInfo>;
  /** What is now, then whatever comes; of several changes in a row perhaps the last only. */
  observe(
    name: string,
    options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): AsyncIterableIterator<ElectionInfo> & { close(): void };
}

export interface Barriers {
  /**
   * Waits until `parties` have entered, then lets all of them through with one token, and is closed again. Rejects ERR_LOCK_HELD (`details.entered`) when
   * the wait is over.
   */
  enter(name: string, options: AcquireOptions & { readonly parties: number }): Promise<LockAnswer>;
  get(
    name: string,
    options?: CallOptions,
  ): Promise<{ readonly name: string; readonly parties: number; readonly entered: number }>;
}

export interface CounterAnswer extends Written {
  readonly name: string;
  readonly value: number;
}

export interface Counters {
  /** `delta`: a safe integer, default 1. Rejects ERR_INVALID_ARGUMENT when the sum would not be one. */
  add(name: string, delta?: number, options?: MutationOptions): Promise<CounterAnswer>;
  /** 0 for one that was never added to. */
  get(name: string, options?: CallOptions): Promise<CounterAnswer>;
  delete(name: string, options?: MutationOptions): Promise<Written & { readonly deleted: boolean }>;
}

/** What a node offers beside single keys. */
export interface Coordination {
  /** Rejects ERR_INVALID_ARGUMENT for more than 128 steps or a key written twice, ERR_LEASE_NOT_FOUND, ERR_QUOTA. */
  txn(request: TxnRequest, options?: MutationOptions): Promise<TxnAnswer>;
  /** Resolves when the watch stands, so that whatever is written from then on is seen. Rejects ERR_COMPACTED, ERR_INVALID_ARGUMENT. */
  watch(options?: WatchOptions): Promise<Watch>;
  /** Older revisions cannot be read any more. Rejects ERR_FUTURE_REVISION, ERR_COMPACTED. */
  compact(revision: number, options?: MutationOptions): Promise<Written & { readonly compactedRevision: number }>;
  readonly leases: Leases;
  readonly locks: Locks;
  readonly elections: Elections;
  readonly barriers: Barriers;
  readonly counters: Counters;
}
