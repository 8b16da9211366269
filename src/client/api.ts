/**
 * What the client asks of a connection to one node: the calls of the protocol, as plain data. Each makes one attempt. HTTP by `fetch` is one
 * implementation; a binary stream and a node in the same process are others. Whatever has to do with trying again, sessions and handles is above.
 *
 * Every call rejects with a KvorumError, and soon after `attempt.signal` is aborted (with whatever error then). `outcome` tells the truth: `none` only when the
 * node cannot have been given the request. The shapes are those of the embedded node (src/node/types.ts, coordination.ts), written down again here
 * because a client has to be whole without a node.
 */

/** A key: text (UTF-8) or bytes. */
export type Key = string | Uint8Array;
/** A value on its way to a node: text (UTF-8) or bytes. */
export type Value = string | Uint8Array;
/** A key as nodes give it back: a string whose character codes (0–255) are the bytes of the key. */
export type ByteKey = string;

/** Makes a write happen once, however often it is sent (Raft thesis, §6.3). */
export type Once =
  | { readonly session: string; readonly sequence: number; readonly lowestUnanswered: number }
  | { readonly key: string };

/** Of one call. */
export interface Attempt {
  /** What the node is told: it gives up after this long. Milliseconds. The same in each attempt of a call, because it may be part of its fingerprint. */
  readonly timeoutMs: number;
  /** Nobody waits for the answer any more. Made when it is asked for. */
  readonly signal: AbortSignal;
  /** Null: a read, or a write that is made as often as it is sent. */
  readonly once: Once | null;
}

export interface RawKeyEntry {
  readonly key: ByteKey;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Decimal lease id, null for none. */
  readonly lease: string | null;
}

export interface RawEntry extends RawKeyEntry {
  readonly value: Uint8Array;
  /** Null: application/octet-stream. */
  readonly contentType: string | null;
}

export type Condition =
  | { readonly type: 'modRevision'; readonly revision: number }
  | { readonly type: 'exists' }
  | { readonly type: 'absent' };

/** Keys with a prefix (empty: all), or in [start, end); end null: no upper bound. */
export type KeySpan = { readonly prefix: Key } | { readonly start: Key; readonly end: Key | null };

export interface PutRequest {
  readonly key: Key;
  readonly value: Value;
  readonly contentType: string;
  readonly lease?: string | undefined;
  readonly prev?: boolean | undefined;
  readonly condition?: Condition | undefined;
}

export interface PutAnswer {
  readonly revision: number;
  readonly created: boolean;
  readonly prev?: RawEntry | null;
}

export interface GetRequest {
  readonly key: Key;
  readonly revision?: number | undefined;
  readonly consistency?: Consistency | undefined;
}

/** `linearizable`: never older than any answer before it. `stale`: what the node has, at once. */
export type Consistency = 'linearizable' | 'stale';

export interface GetAnswer {
  readonly entry: RawEntry | null;
}

export interface DeleteRequest {
  readonly key: Key;
  readonly prev?: boolean | undefined;
  readonly condition?: Condition | undefined;
}

export interface DeleteAnswer {
  readonly revision: number;
  readonly deleted: number;
  readonly prev?: RawEntry | null;
}

export interface ListRequest {
  readonly prefix?: Key | undefined;
  readonly start?: Key | undefined;
  readonly end?: Key | undefined;
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
  readonly keysOnly?: boolean | undefined;
  readonly countOnly?: boolean | undefined;
  readonly revision?: number | undefined;
  readonly consistency?: Consistency | undefined;
}

export interface ListAnswer {
  readonly revision: number;
  readonly entries: readonly (RawEntry | RawKeyEntry)[];
  readonly count: number;
  readonly nextCursor: string | null;
}

export type CompareOperator = '=' | '!=' | '<' | '>';

export type Compare =
  | {
      readonly target: 'version' | 'createRevision' | 'modRevision';
      readonly key: Key;
      readonly operator: CompareOperator;
      readonly value: number;
    }
  | { readonly target: 'lease'; readonly key: Key; readonly operator: CompareOperator; readonly value: string | null }
  | { readonly target: 'value'; readonly key: Key; readonly operator: CompareOperator; readonly value: Value }
  | { readonly target: 'token'; readonly lock: string; readonly operator: CompareOperator; readonly value: number };

export type TxnStep =
  | {
      readonly put: {
        readonly key: Key;
        readonly value: Value;
        readonly contentType: string;
        readonly lease?: string | undefined;
        readonly prev?: boolean | undefined;
      };
    }
  | { readonly delete: { readonly key: Key; readonly prev?: boolean | undefined } | KeySpan }
  | { readonly get: { readonly key: Key } }
  | { readonly range: KeySpan & { readonly limit?: number | undefined; readonly keysOnly?: boolean | undefined } };

export interface TxnRequest {
  readonly if: readonly Compare[];
  readonly then: readonly TxnStep[];
  readonly else: readonly TxnStep[];
}

export type TxnAnswerStep =
  | { readonly put: { readonly prev?: RawEntry | null } }
  | { readonly delete: { readonly deleted: number; readonly prev?: RawEntry | null } }
  | { readonly get: RawEntry | null }
  | { readonly range: { readonly entries: readonly (RawEntry | RawKeyEntry)[]; readonly count: number } };

export interface TxnAnswer {
  readonly revision: number;
  readonly succeeded: boolean;
  /** In the order of the steps taken. */
  readonly responses: readonly TxnAnswerStep[];
}

export interface WatchRequest {
  /** A key, or a span of keys. */
  readonly span: { readonly key: Key } | KeySpan;
  /** First revision wanted; null: what comes next, and then the first batch is an empty one that tells where the watch begins. */
  readonly from: number | null;
  /** Go on after this position of an earlier stream, of any node; overrides `from`. */
  readonly after: string | null;
  readonly prev: boolean;
  readonly filter: 'put' | 'delete' | null;
  /** The connection counts as dead when nothing at all has come for this long. Milliseconds. */
  readonly idleMs: number;
}

export interface RawEvent {
  readonly type: 'put' | 'delete';
  readonly entry: RawEntry;
  readonly prev?: RawEntry | null;
}

/** What one revision changed. No events: everything up to `revision` was delivered. */
export interface RawBatch {
  readonly revision: number;
  readonly events: readonly RawEvent[];
  /** Where a later stream can go on; null when it was not told. */
  readonly position: string | null;
}

/**
 * What a node goes on telling. It reads ahead no further than what came with what was asked for. `next` gives null when the node has ended it, and
 * rejects when it broke: ERR_UNAVAILABLE when the connection did, else what the node said. One `next` at a time.
 */
export interface Stream<T> {
  next(): Promise<T | null>;
  /** Safe to repeat. A `next` that waits settles soon. */
  close(): void;
}

export interface LeaseAnswer {
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

/** With a lease that there is, or with one of `ttlMs` that ends with the release. */
export interface SeatRequest {
  readonly name: string;
  readonly lease: string | { readonly ttlMs: number };
  /** How long to stand in the queue, on top of the attempt's `timeoutMs`; at most 60,000. */
  readonly waitMs: number;
  /** When the wait is over or given up, the place in the queue is kept while the lease lives; asking again with it goes on waiting there. */
  readonly keepPlace: boolean;
  readonly owner?: unknown;
}

export type LockMode = 'exclusive' | 'read' | 'write';

export interface AcquireRequest extends SeatRequest {
  readonly mode?: LockMode | undefined;
  readonly permits?: number | undefined;
  readonly delayMs?: number | undefined;
}

export interface CampaignRequest extends SeatRequest {
  readonly value?: string | undefined;
}

export interface EnterRequest extends SeatRequest {
  readonly parties: number;
}

export interface SeatAnswer {
  readonly name: string;
  /** Fencing token: larger than that of every earlier holder of the name. */
  readonly token: number;
  readonly lease: string;
  readonly ttlMs: number;
}

/** Who holds it. */
export interface HolderRequest {
  readonly name: string;
  readonly token: number;
}

export interface LockInfo {
  readonly name: string;
  readonly kind: 'lock' | 'semaphore' | 'election' | 'barrier';
  /** Permits of a semaphore, parties of a barrier, otherwise 1. */
  readonly limit: number;
  readonly holders: readonly {
    readonly token: number;
    readonly lease: string;
    readonly mode: 'read' | 'write';
    readonly owner: unknown;
    /** Milliseconds since the epoch, the cluster's clock. */
    readonly since: number;
  }[];
  /** First come, first served. */
  readonly queue: readonly { readonly lease: string; readonly mode: 'read' | 'write'; readonly owner: unknown }[];
}

export interface ElectionInfo {
  readonly name: string;
  readonly leader: { readonly lease: string; readonly owner: unknown } | null;
  /** What the leader proclaimed. */
  readonly value: string | null;
  readonly token: number | null;
}

export interface BarrierInfo {
  readonly name: string;
  readonly parties: number;
  readonly entered: number;
}

export interface MemberInfo {
  readonly id: string;
  readonly name: string;
  readonly peerId: string;
  readonly role: 'voter' | 'learner' | 'agent';
  readonly addresses: readonly string[];
  /** Base URL of its HTTP API, null without. */
  readonly http: string | null;
  readonly pid: number | null;
  /** `suspect`: it did not answer of late, and may be slow, cut off or gone. `unreachable`: it has left, or is taken for dead. */
  readonly health: 'alive' | 'suspect' | 'unreachable';
  readonly matchIndex: number | null;
  readonly appliedIndex: number | null;
  /** What its owner has it say of itself; null for nothing. */
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly incarnation: number | null;
}

/** The cluster, as the node that answered knows it. */
export interface ClusterInfo {
  readonly clusterId: string;
  /** Name of the node that answered. */
  readonly name: string;
  /** Name of the leader, null for none. */
  readonly leader: string | null;
  readonly term: number;
  readonly revision: number;
  readonly members: readonly MemberInfo[];
}

export interface ClientTransport {
  /** Of what it connects to: for messages, and to find the leader among several. */
  readonly endpoint: string;
  /** Name of the node that answered last, null before any did. */
  readonly servedBy: string | null;
  /** Of a node in this process: it is told which instances of services are here, and what they say (JSON); null: not any more. Nothing depends on it. */
  announce?(service: string, instance: string, said: string | null): void;

  put(request: PutRequest, attempt: Attempt): Promise<PutAnswer>;
  get(request: GetRequest, attempt: Attempt): Promise<GetAnswer>;
  delete(request: DeleteRequest, attempt: Attempt): Promise<DeleteAnswer>;
  deleteRange(span: KeySpan, attempt: Attempt): Promise<DeleteAnswer>;
  list(request: ListRequest, attempt: Attempt): Promise<ListAnswer>;
  txn(request: TxnRequest, attempt: Attempt): Promise<TxnAnswer>;
  compact(revision: number, attempt: Attempt): Promise<{ readonly compactedRevision: number }>;
  /** Resolves when the watch stands. `attempt` counts until then only. */
  watch(request: WatchRequest, attempt: Attempt): Promise<Stream<RawBatch>>;

  leaseGrant(request: { readonly ttlMs: number; readonly owner?: unknown }, attempt: Attempt): Promise<LeaseAnswer>;
  leaseRenew(id: string, attempt: Attempt): Promise<LeaseAnswer>;
  leaseRevoke(id: string, attempt: Attempt): Promise<void>;
  leaseGet(id: string, attempt: Attempt): Promise<LeaseInfo>;
  /** In order of id, up to 1000 after `after` (null: from the first on). */
  leaseList(after: string | null, attempt: Attempt): Promise<readonly LeaseInfo[]>;

  lockAcquire(request: AcquireRequest, attempt: Attempt): Promise<SeatAnswer>;
  lockRenew(request: HolderRequest, attempt: Attempt): Promise<{ readonly ttlMs: number }>;
  lockRelease(request: HolderRequest, attempt: Attempt): Promise<{ readonly released: boolean }>;
  lockGet(name: string, attempt: Attempt): Promise<LockInfo>;
  /** In order of name, up to 1000 after `after`. */
  lockList(
    request: { readonly prefix: string; readonly after: string | null },
    attempt: Attempt,
  ): Promise<readonly LockInfo[]>;
  lockBreak(name: string, attempt: Attempt): Promise<{ readonly broken: number }>;

  electionCampaign(request: CampaignRequest, attempt: Attempt): Promise<SeatAnswer>;
  electionProclaim(request: HolderRequest & { readonly value: string }, attempt: Attempt): Promise<void>;
  electionResign(request: HolderRequest, attempt: Attempt): Promise<{ readonly resigned: boolean }>;
  electionGet(name: string, attempt: Attempt): Promise<ElectionInfo>;
  /** What is now, then whatever comes. */
  electionObserve(
    request: { readonly name: string; readonly idleMs: number },
    attempt: Attempt,
  ): Promise<Stream<ElectionInfo>>;

  barrierEnter(request: EnterRequest, attempt: Attempt): Promise<SeatAnswer>;
  barrierGet(name: string, attempt: Attempt): Promise<BarrierInfo>;

  counterAdd(
    request: { readonly name: string; readonly delta: number },
    attempt: Attempt,
  ): Promise<{ readonly value: number }>;
  counterGet(name: string, attempt: Attempt): Promise<{ readonly value: number }>;
  counterDelete(name: string, attempt: Attempt): Promise<{ readonly deleted: boolean }>;

  cluster(attempt: Attempt): Promise<ClusterInfo>;
  members(attempt: Attempt): Promise<readonly MemberInfo[]>;
  /** What is now, then whatever comes. */
  membersWatch(request: { readonly idleMs: number }, attempt: Attempt): Promise<Stream<readonly MemberInfo[]>>;
  close(): Promise<void>;
}
