/** Exit codes that scripts can rely on, and the one way in which a command reports that it failed. */
import { KvorumError } from '../src/errors.ts';

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  /** A condition failed, the thing is held by another, or the members are not such that it can be done. */
  condition: 4,
  /** No node could answer, or nobody knows whether the write took effect. */
  unavailable: 5,
  /** What was held was lost while a command ran, which was stopped then. EX_SOFTWARE of sysexits.h, far from what commands use. */
  lost: 70,
} as const;

/** One of EXIT, or that of a command that was run. */
export type ExitCode = number;

/** A command line that cannot be understood. */
export class UsageError extends KvorumError {
  constructor(message: string) {
    super('ERR_INVALID_ARGUMENT', message);
    this.name = 'UsageError';
  }
}

export function exitCodeOf(error: unknown): ExitCode {
  if (!KvorumError.is(error)) return EXIT.failure;
  switch (error.code) {
    case 'ERR_CONFIG':
    case 'ERR_INVALID_ARGUMENT':
    case 'ERR_BAD_KEY':
    case 'ERR_IDEMPOTENCY_MISMATCH':
      return EXIT.usage;
    case 'ERR_KEY_NOT_FOUND':
    case 'ERR_NOT_FOUND':
    case 'ERR_LEASE_NOT_FOUND':
      return EXIT.notFound;
    case 'ERR_CAS_FAILED':
    case 'ERR_LOCK_HELD':
    case 'ERR_MEMBER_EXISTS':
    case 'ERR_MEMBERSHIP_BUSY':
    case 'ERR_NOT_CAUGHT_UP':
    case 'ERR_LAST_VOTER':
    case 'ERR_MEMBER_REMOVED':
      return EXIT.condition;
    case 'ERR_LOCK_LOST':
    case 'ERR_REGISTRATION_LOST':
      return EXIT.lost;
    case 'ERR_UNAVAILABLE':
    case 'ERR_NO_LEADER':
    case 'ERR_OVERLOADED':
    case 'ERR_CLOSED':
    case 'ERR_SESSION_EXPIRED':
    case 'ERR_RATE_LIMITED':
    case 'ERR_TIMEOUT':
    case 'ERR_REQUEST_TIMEOUT':
      return EXIT.unavailable;
    default:
      return error.outcome === 'unknown' ? EXIT.unavailable : EXIT.failure;
  }
}

/** What an operator can do about a node that stopped by itself, or did not start. */
const ADVICE: Readonly<Partial<Record<KvorumError['code'], string>>> = {
  ERR_STORE_POISONED:
    'make room or repair the disk, then start the node again: it replays what was synced and catches up from the others',
  ERR_CORRUPT:
    'keep a copy of the data directory for inspection; the other members still have the data as long as a majority runs',
  ERR_INVARIANT: 'keep a copy of the data directory and the log, and report it as a bug; then start the node again',
  ERR_BAD_TOKEN: 'make a new one with `kvorum token create` on a node of the cluster',
  ERR_ADDRESS_IN_USE: 'stop the process that listens there, or choose another address with --listen or --http',
};

export function adviceFor(error: unknown): string | null {
  return KvorumError.is(error) ? (ADVICE[error.code] ?? null) : null;
}

export interface ReportOptions {
  readonly json?: boolean;
  readonly stack?: boolean;
  readonly advice?: boolean;
}

/** One line on standard error: `kvorum: ERR_X: message`, or with `json` one object. */
export function reportError(error: unknown, options: ReportOptions = {}): void {
  const code = KvorumError.is(error) ? error.code : 'ERR_INTERNAL';
  const message = error instanceof Error ? error.message : String(error);
  const advice = options.advice === true ? adviceFor(error) : null;
  if (options.json) {
    const details = KvorumError.is(error) ? { outcome: error.outcome, ...error.details } : {};
    console.error(JSON.stringify({ code, detail: message, ...details, ...(advice === null ? {} : { advice }) }));
  } else {
    console.error(`kvorum: ${code}: ${message}${advice === null ? '' : ` (${advice})`}`);
  }
  if (options.stack && error instanceof Error && error.stack !== undefined) {
    console.error(error.stack);
    if (error.cause instanceof Error && error.cause.stack !== undefined) console.error('caused by', error.cause.stack);
  }
}
