/** How the HTTP API is served. */
import type { HttpOptions, Limits, Logger } from '../node/types.ts';

export interface ServeOptions extends HttpOptions {
  /** Silent unless given. */
  readonly logger?: Logger;
  /** Bytes of request bodies in memory at the same time; what comes on top gets 503 ERR_OVERLOADED. Default 64 MiB. */
  readonly maxInflightBodyBytes?: number;
  /** Clients are sent away (503 ERR_OVERLOADED) while the event loop is later than this. Default 400 ms. */
  readonly maxEventLoopDelayMs?: number;
  /** Connections; those on top are closed at once. Default 10,000. */
  readonly maxConnections?: number;
  /** A request's head has to be there after this long. Default 10,000 ms. */
  readonly headersTimeoutMs?: number;
  /** A request has to be there, body and all, after this long. Default 30,000 ms. */
  readonly requestTimeoutMs?: number;
  /** How often the two above are looked at. Default 1000 ms. */
  readonly timeoutCheckMs?: number;
  /** Watches and other streams of events; those on top get 503 ERR_OVERLOADED. Default 10,000. */
  readonly maxStreams?: number;
  /** How often every stream gets a sign of life. Default 10,000 ms. */
  readonly streamHeartbeatMs?: number;
  /** A stream whose client takes nothing for this long while more waits is cut off. Default 60,000 ms. */
  readonly streamStallMs?: number;
  /** A connection without a request is closed after this long. Default 72,000 ms, more than the usual proxy's 60 s. */
  readonly keepAliveTimeoutMs?: number;
}

/** Bytes of a request's line and headers: a key of 4 KiB percent-encoded is 12 KiB of path, and 16 KiB are for the rest. */
export function maxHeaderBytes({ maxKeyBytes }: Limits): number {
  return Math.max(32 * 1024, 3 * maxKeyBytes + 16 * 1024);
}

/** Bytes of a JSON body that carries no values. */
export const MAX_JSON_BYTES = 64 * 1024;

/** Bytes of a transaction: a value of the largest size fits however it is written (`\u0001` is six bytes for one). */
export function maxTxnBytes({ maxKeyBytes, maxValueBytes }: Limits): number {
  return 8 * (maxKeyBytes + maxValueBytes);
}
