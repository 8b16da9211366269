/**
 * Every error that Kvorum reports to a user, in one table: the same codes reach the HTTP API, the CLI, the embedded
 * node and the documents. This file is the ground under the house: any floor may import it, and it imports nothing.
 */

/**
 * What became of the command when the error was reported.
 * - `none`: it was neither appended to a log nor forwarded; it will never take effect.
 * - `unknown`: it may take effect, now or later.
 */
export type Outcome = 'none' | 'unknown';

interface ErrorRow {
  readonly status: number;
  readonly title: string;
  readonly retryable: boolean;
}

/** One row a code: HTTP status, title, and whether the same request may succeed when it is sent again. */
export const ERRORS = {
  ERR_INVALID_ARGUMENT: { status: 400, title: 'Invalid argument', retryable: false },
  ERR_BAD_KEY: { status: 400, title: 'Malformed key', retryable: false },
  ERR_FUTURE_REVISION: { status: 400, title: 'Revision is in the future', retryable: false },
  ERR_UNAUTHENTICATED: { status: 401, title: 'Missing or wrong bearer token', retryable: false },
  ERR_FORBIDDEN: { status: 403, title: 'Forbidden', retryable: false },
  ERR_KEY_NOT_FOUND: { status: 404, title: 'Key not found', retryable: false },
  ERR_NOT_FOUND: { status: 404, title: 'Not found', retryable: false },
  ERR_METHOD_NOT_ALLOWED: { status: 405, title: 'Method not allowed', retryable: false },
  ERR_REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time', retryable: true },
  ERR_LOCK_HELD: { status: 409, title: 'Lock is held', retryable: true },
  ERR_MEMBER_EXISTS: { status: 409, title: 'Name or identity belongs to a member', retryable: false },
  ERR_MEMBERSHIP_BUSY: { status: 409, title: 'Another change of the members is under way', retryable: true },
  ERR_NOT_CAUGHT_UP: { status: 409, title: 'The learner has not caught up', retryable: true },
  ERR_LAST_VOTER: { status: 409, title: 'Nobody would be left to vote', retryable: false },
  ERR_MEMBER_REMOVED: { status: 410, title: 'This member was removed', retryable: false },
  ERR_COMPACTED: { status: 410, title: 'Revision was compacted', retryable: false },
  ERR_LOCK_LOST: { status: 410, title: 'Lock was lost', retryable: false },
  ERR_REGISTRATION_LOST: { status: 410, title: 'Instance is registered no more', retryable: false },
  ERR_LEASE_NOT_FOUND: { status: 410, title: 'Lease not found', retryable: false },
  ERR_SESSION_EXPIRED: { status: 410, title: 'Session expired', retryable: false },
  ERR_CAS_FAILED: { status: 412, title: 'Condition failed', retryable: false },
  ERR_TOO_LARGE: { status: 413, title: 'Too large', retryable: false },
  ERR_UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'Unsupported media type', retryable: false },
  ERR_IDEMPOTENCY_MISMATCH: { status: 422, title: 'Idempotency key was used for another request', retryable: false },
  ERR_RATE_LIMITED: { status: 429, title: 'Too many requests', retryable: true },
  ERR_INTERNAL: { status: 500, title: 'Internal error', retryable: false },
  ERR_NO_LEADER: { status: 503, title: 'No leader', retryable: true },
  ERR_OVERLOADED: { status: 503, title: 'Overloaded', retryable: true },
  ERR_CLOSED: { status: 503, title: 'Node is closing', retryable: true },
  ERR_TIMEOUT: { status: 504, title: 'Timed out', retryable: true },
  ERR_QUOTA: { status: 507, title: 'Store quota exceeded', retryable: false },

  // Reported by clients, never by a node.
  ERR_UNAVAILABLE: { status: 503, title: 'No node could be reached', retryable: true },
  ERR_NO_INSTANCE: { status: 503, title: 'No instance of the service is registered', retryable: true },
  ERR_NO_HEALTHY_INSTANCE: { status: 503, title: 'No instance of the service is passing', retryable: true },

  // Reported by a node that starts or stops, never by a request: exit messages of the CLI, rejections of `startNode()`.
  ERR_CONFIG: { status: 500, title: 'Invalid configuration', retryable: false },
  ERR_ADDRESS_IN_USE: { status: 500, title: 'Address is in use', retryable: false },
  ERR_DATA_DIR_IN_USE: { status: 500, title: 'Data directory is in use', retryable: false },
  ERR_DATA_DIR_FOREIGN: { status: 500, title: 'Data directory belongs to something else', retryable: false },
  ERR_DATA_VERSION: { status: 500, title: 'Data was written by a newer version', retryable: false },
  ERR_CORRUPT: { status: 500, title: 'Stored data is damaged', retryable: false },
  ERR_STORE_POISONED: { status: 500, title: 'A write to the disk failed', retryable: false },
  ERR_BOOTSTRAP_CONFLICT: { status: 500, title: 'The initial members do not agree', retryable: false },
  ERR_MEMBER_REPLACED: { status: 500, title: 'This name belongs to another member', retryable: false },
  ERR_WRONG_SECRET: { status: 500, title: 'Cluster secret is wrong', retryable: false },
  ERR_BAD_TOKEN: { status: 500, title: 'Join token is malformed, expired or of another cluster', retryable: false },
  ERR_WRONG_CLUSTER: { status: 500, title: 'Peer belongs to another cluster', retryable: false },
  ERR_WRONG_PROTOCOL: { status: 500, title: 'Peer speaks another version of the protocol', retryable: false },
  ERR_INVARIANT: { status: 500, title: 'An impossible state was reached', retryable: false },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface KvorumErrorOptions {
  /** Default `none`. */
  outcome?: Outcome;
  cause?: unknown;
  /** Members beside the standard ones, such as `current`, `holder`, `limit`, `compactRevision`. Plain JSON data. */
  details?: Readonly<Record<string, unknown>>;
}

const BRAND = Symbol.for('kvorum.error');

/**
 * The one error class. `code` is stable; `message` is for people and may change.
 *
 * @example
 * try { await node.put('a', '1') } catch (error) {
 *   if (KvorumError.is(error, 'ERR_NO_LEADER')) …
 * }
 */
export class KvorumError extends Error {
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: KvorumErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'KvorumError';
    this.code = code;
    this.outcome = options.outcome ?? 'none';
    this.details = options.details ?? {};
    Object.defineProperty(this, BRAND, { value: true });
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get title(): string {
    return ERRORS[this.code].title;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  /** True for a KvorumError of any copy of this package, and, when `code` is given, of that code. */
  static is(error: unknown, code?: ErrorCode): error is KvorumError {
    return (
      typeof error === 'object' &&
      error !== null &&
      BRAND in error &&
      (code === undefined || ('code' in error && error.code === code))
    );
  }
}

/** Stops a replica in an impossible state. Assertions stay on in production. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new KvorumError('ERR_INVARIANT', message);
}
