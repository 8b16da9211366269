/**
 * The embedded node as its users see it: what `startNode()` takes and gives. The HTTP API is a thin skin over this.
 */
import type { StoreSettings } from '../kv/settings.ts';
import type { Condition, KeyEntry, KvEntry } from '../kv/types.ts';
import type { CallOptions, Key, MutationOptions, Value, Written } from './call-types.ts';
import type { Coordination } from './coordination.ts';
import type { OwnDht } from './dht-types.ts';
import type { MemberInfo, Members } from './member-types.ts';

export type { StoreSettings } from '../kv/settings.ts';
export type { CallOptions, Key, MutationOptions, Value, Written } from './call-types.ts';
export type {
  DhtCost,
  DhtGetAnswer,
  DhtLookupAnswer,
  DhtOutcome,
  DhtPeer,
  DhtProvidersAnswer,
  DhtPutAnswer,
  DhtPutOptions,
  DhtQueryOptions,
  DhtRecord,
  DhtReport,
  DhtStep,
  NodeCard,
  NodeDht,
  OwnDht,
} from './dht-types.ts';
export type { JoinToken, JoinTokenOptions, MemberAnswer, MemberInfo, Members, NewMember } from './member-types.ts';

/** The subset of pino's interface that Kvorum uses. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface HttpOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 7101; 0 takes a free one. */
  readonly port?: number;
  /** Requests answered at the same time; what comes on top gets 503 ERR_OVERLOADED. Default 4096. */
  readonly maxInflightRequests?: number;
  /** Value of Access-Control-Allow-Origin; absent: CORS is off. */
  readonly corsOrigin?: string;
  /** Bearer token that every /v1 request must carry; absent: none is asked for. */
  readonly token?: string;
}

export interface NodeOptions {
  /** Name of the node, unique in its cluster: letters, digits, `-`, `_`, `.`, at most 63. Default `n1`. */
  readonly name?: string;
  /** Default `.kvorum/<name>`. */
  readonly dataDir?: string;
  /** Address of the peer port, HOST:PORT. Default `127.0.0.1:0` without `initialCluster`, else this node's own address in it. */
  readonly listen?: string;
  /** Names and peer addresses of all first members, this node's own among them. Absent: a cluster of one. Ignored once the data directory belongs to a cluster. */
  readonly initialCluster?: Readonly<Record<string, string>>;
  /**
   * Peer addresses (HOST:PORT) of members of a running cluster that this node is to join. Not with `initialCluster`. Ignored once the data directory belongs to a
   * cluster.
   */
  readonly join?: readonly string[];
  /** With `join`: as what. Default `voter`: a learner that is made a voter once it has caught up. */
  readonly role?: 'voter' | 'learner' | 'agent';
  /** With `join`: id or name of the member whose place this node takes. */
  readonly replaces?: string;
  /** With `join`: a ticket in the place of the secret, which the node is given when it is let in. See `members.createToken`. */
  readonly joinToken?: string;
  /** HOST:PORT that others reach the peer port at, when that is not the address listened on. Default: `listen`, or what the initial cluster says. */
  readonly advertise?: string;
  /** Shared secret of the cluster, at least 16 bytes; needed with more than one member. */
  readonly secret?: string;
  /** Serve the HTTP API; absent or false: embedded use only. */
  readonly http?: HttpOptions | false;
  /** Silent unless given. */
  readonly logger?: Logger;
  /** A prom-client Registry to register metrics in. Default: one of the node's own, shown at /metrics. */
  readonly registry?: unknown;
  readonly limits?: Partial<Limits>;
  /** How much is kept and stored: part of the replicated state, proposed by whoever leads. The same for all members. Default: as it is. */
  readonly store?: Partial<StoreSettings>;
  readonly timing?: Partial<Timing>;
  /** Give up the start after this long (bootstrap waits for every first member). Default: never. */
  readonly signal?: AbortSignal;
  /**
   * What this node says of itself to whoever asks for the members: a few short strings, 512 bytes in all. Names as of nodes, `/` allowed. Default: nothing.
   */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How nodes watch each other; the same for all of a cluster. Default: made for a local network. */
  readonly gossip?: Partial<GossipTiming>;
}

/** All in milliseconds. */
export interface GossipTiming {
  /** One member is pinged in each. Default 1,000. */
  readonly probeIntervalMs: number;
  /** Until a ping without an answer is repeated through others. Default 500; less than `probeIntervalMs`. */
  readonly probeTimeoutMs: number;
  /** Between two rounds of passing on news. Default 200. */
  readonly gossipIntervalMs: number;
  /** How long a dead member is gossiped to, and an agent shown as unreachable. Default 30,000. */
  readonly gossipToTheDeadMs: number;
  /** Between two exchanges of whole tables. Default 30,000. */
  readonly pushPullIntervalMs: number;
  /** A dead member is tried again in each of these intervals, for ever. Default 30,000. */
  readonly deadRetryIntervalMs: number;
}

export interface Limits {
  /** Bytes of a key. Default 4 KiB. */
  readonly maxKeyBytes: number;
  /** Bytes of a value. Default 1 MiB. */
  readonly maxValueBytes: number;
  /** Proposed bytes that are not yet committed, a node. Default 64 MiB. */
  readonly maxUncommittedBytes: number;
  /** Proposals and reads that wait for their answer, a node. Default 16,384. */
  readonly maxPending: number;
  /** Applied bytes not yet flushed to disk. Default 32 MiB. */
  readonly maxOverlayBytes: number;
  /** Bytes of log kept for followers that fall behind. Default 64 MiB. */
  readonly logKeepBytes: number;
  /** Clients connected to the peer port at the same time. Default 10,000. */
  readonly maxClients: number;
}

export interface Timing {
  /** Default 10. */
  readonly tickMs: number;
  /** Default 100. */
  readonly heartbeatMs: number;
  /** Default 1000. */
  readonly electionTimeoutMs: number;
  /** Bound of the random wait before a pre-vote when the leader's process is known to be gone. Default 50. */
  readonly crashHintMs: number;
}

export interface WriteOptions extends MutationOptions {
  readonly condition?: Condition;
  /** Give back the entry that was there. */
  readonly prev?: boolean;
}

export interface PutOptions extends WriteOptions {
  readonly contentType?: string;
  readonly lease?: string;
}

export interface ReadOptions extends CallOptions {
  /** Default `linearizable`. `stale`: what this node has applied, at once, whoever leads. */
  readonly consistency?: 'linearizable' | 'stale';
  /**
   * Read as of this revision (≥ 1). Newer than the store: ERR_FUTURE_REVISION; no longer kept: ERR_COMPACTED with
   * `details.compactRevision`. Default: the newest.
   */
  readonly revision?: number;
}

export interface ListOptions extends ReadOptions {
  readonly prefix?: Key;
  readonly start?: Key;
  readonly end?: Key;
  /** Default 100, at most 1000. */
  readonly limit?: number;
  /** From the answer before this one; pins its revision. */
  readonly cursor?: string;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
}

/** Where and when an answer was made: the X- headers of HTTP. */
export interface AnswerHead {
  readonly group: number;
  readonly revision: number;
  readonly term: number;
  readonly servedBy: string;
}

export interface PutAnswer extends Written {
  readonly created: boolean;
  /** With `prev: true`: what was replaced, null when there was nothing. */
  readonly prev?: KvEntry | null;
}

/** `revision`: of this deletion, or the current one when nothing was deleted. */
export interface DeleteAnswer extends Written {
  readonly deleted: number;
  readonly prev?: KvEntry | null;
}

export interface GetAnswer {
  /** Of the store when it was read. */
  readonly revision: number;
  readonly entry: KvEntry | null;
}

export interface ListAnswer {
  readonly revision: number;
  readonly entries: readonly (KvEntry | KeyEntry)[];
  readonly count: number;
  readonly nextCursor: string | null;
}

export interface ClusterInfo {
  readonly clusterId: string;
  /** This node's name. */
  readonly name: string;
  /** Name of the leader that this node knows, null for none. */
  readonly leader: string | null;
  readonly term: number;
  readonly revision: number;
  readonly members: readonly MemberInfo[];
}

export interface Readiness {
  readonly ready: boolean;
  /** One a check, for `?verbose`. */
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

/**
 * A running node. Every method that takes a key rejects with a KvorumError: ERR_BAD_KEY, ERR_TOO_LARGE, ERR_NO_LEADER,
 * ERR_OVERLOADED, ERR_CLOSED (outcome none), ERR_TIMEOUT (outcome unknown), ERR_CAS_FAILED (`details.current`: KvEntry or null).
 */
export interface KvorumNode extends Coordination, AsyncDisposable {
  readonly name: string;
  readonly id: string;
  readonly clusterId: string;
  /** HOST:PORT of the peer port. */
  readonly address: string;
  /** Base URL of the HTTP API, null without. */
  readonly url: string | null;
  readonly limits: Limits;
  /** The prom-client Registry in use. */
  readonly registry: unknown;
  put(key: Key, value: Value, options?: PutOptions): Promise<PutAnswer>;
  get(key: Key, options?: ReadOptions): Promise<GetAnswer>;
  delete(key: Key, options?: WriteOptions): Promise<DeleteAnswer>;
  /** Every key in [start, end) or with the prefix. */
  deleteRange(
    range: { prefix: Key } | { start: Key; end: Key | null },
    options?: MutationOptions,
  ): Promise<DeleteAnswer>;
  list(options?: ListOptions): Promise<ListAnswer>;
  /** Tells and changes who belongs to the cluster. */
  readonly members: Members;
  /** Where things are, as a hint: without a leader and without a quorum. */
  readonly dht: OwnDht;
  cluster(): ClusterInfo;
  /** Group, revision, term and name, as of now. */
  head(): AnswerHead;
  readiness(): Readiness;
  /** Hands leadership to the named member (or the most up-to-date one). Rejects ERR_NO_LEADER when this node does not lead and cannot ask. */
  transferLeadership(to?: string, options?: CallOptions): Promise<{ leader: string | null }>;
  /** Resolves with the reason when the node stopped by itself (poisoned store, broken invariant); never rejects. */
  readonly failed: Promise<Error>;
  /** Unready → hand over leadership → drain (at most `drainTimeoutMs`, default 2000) → close. Safe to repeat. */
  close(options?: { drainTimeoutMs?: number }): Promise<void>;
}
