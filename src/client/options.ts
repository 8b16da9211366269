/** Options of a client and of its calls. */
import type { Consistency, Key } from './api.ts';
import type { BackoffOptions } from './backoff.ts';
import type { Duration } from './duration.ts';
import type { ClientEnvironment } from './environment.ts';
import type { Fetch } from './http-link.ts';

/** Of `connect`. */
export interface ConnectOptions {
  /** For a whole call, all attempts. Default '10s'. */
  readonly timeout?: Duration;
  /** What a node is given for one attempt, before another is asked. At most '60s'. Default '3s'. */
  readonly attemptTimeout?: Duration;
  /** Bearer token that the nodes want (`--http-token-file`). */
  readonly token?: string;
  /** Secret of the cluster, which `kvorum://` endpoints need. */
  readonly secret?: string;
  /** What the logs of nodes call this client, over `kvorum://` endpoints: 1 to 63 characters, not the name of a member. Default `client`. */
  readonly name?: string;
  /** Ask the leader where possible, which saves a step between nodes. Looks at the cluster every 5 s while there are calls. Default false. */
  readonly preferLeader?: boolean;
  /**
   * Keep the endpoints up to date from the members of the cluster that are alive, those that are suspected last; the endpoints given stay as the last resort. Looks at the cluster every 5 s while
   * there are calls, and again after a failure. Members are asked where they say that they are (`--http`, `--advertise`): of no use where this client reaches them elsewhere. Default
   * false.
   */
  readonly discover?: boolean;
  /** Who this is (any JSON up to 4 KiB), shown with leases and locks. Default: nothing. */
  readonly owner?: unknown;
  readonly backoff?: BackoffOptions;
  /** Time to live of the session that makes writes happen once. Default '60s'. */
  readonly sessionTtl?: Duration;
  /** Writes of a session that wait for their answers; more wait in the client. 1 to 1000, default 512. */
  readonly sessionWindow?: number;
  /** Default: the global one. */
  readonly fetch?: Fetch;
  /** Time and chance, for tests. Default: the real ones. */
  readonly environment?: ClientEnvironment;
}

/** Of every call. */
export interface CallOptions {
  /** For this call, all attempts. Default: that of the client. */
  readonly timeout?: Duration;
  /** Rejects the call with the reason of the signal; a write may have been made all the same. */
  readonly signal?: AbortSignal;
  /**
   * Of a write. Absent: numbered by the client's session, so that it is sent until it is answered and made once. `{ key }`: the same under a key of your own (1 to 255
   * printable ASCII characters, remembered for an hour), which another process can repeat. False: neither, and after an unknown outcome it is not sent again.
   */
  readonly once?: { readonly key: string } | false;
}

export interface ReadOptions extends Omit<CallOptions, 'once'> {
  /** Default `linearizable`. */
  readonly consistency?: Consistency;
  /** Read as of this revision. Rejects ERR_FUTURE_REVISION, and ERR_COMPACTED (`details.compactRevision`) when it is no longer kept. */
  readonly revision?: number;
}

/** `absent`, `exists`, or the modRevision that it has to have. Otherwise ERR_CAS_FAILED, `details.current` being the entry that is there or null. */
export type WriteCondition = 'absent' | 'exists' | number;

export interface WriteOptions extends CallOptions {
  readonly condition?: WriteCondition;
  /** Give back the entry that was there. */
  readonly prev?: boolean;
}

export interface PutOptions extends WriteOptions {
  /** Lease that the key shall hang on, or its id. */
  readonly lease?: string | { readonly id: string };
  /** Default: that of the codec. */
  readonly contentType?: string;
}

/** All keys unless `prefix`, or `start` (inclusive) and `end` (exclusive), are given. */
export interface SpanOptions {
  readonly prefix?: Key;
  readonly start?: Key;
  readonly end?: Key;
}

export interface ListOptions extends ReadOptions, SpanOptions {
  /** Entries of a page: 1 to 1000, default 100. */
  readonly limit?: number;
  /** `nextCursor` of the page before: the list stays at its revision. */
  readonly cursor?: string;
}
