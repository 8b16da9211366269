/** What all calls of a node have in common. */
import type { Once } from '../machine/types.ts';

/** A key: text (UTF-8) or bytes. */
export type Key = string | Uint8Array;
/** A value: text (UTF-8) or bytes. */
export type Value = string | Uint8Array;

export interface CallOptions {
  /** Milliseconds until ERR_NO_LEADER or ERR_TIMEOUT. Default 4000, at most 60000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Of everything that may change the state. */
export interface MutationOptions extends CallOptions {
  /** Done once, however often it is sent. Rejects ERR_IDEMPOTENCY_MISMATCH, ERR_SESSION_EXPIRED (outcome unknown), ERR_OVERLOADED. */
  readonly once?: Once;
}

/** Of every answer to something that may change the state. */
export interface Written {
  /** Of the store after it. */
  readonly revision: number;
  /** Present: this had been done before, under the same key or sequence, and this is the answer of then. */
  readonly replayed?: true;
}
