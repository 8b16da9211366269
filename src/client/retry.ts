/** What an error allows: whether to ask again, where, and what is known about the write afterwards. */
import { KvorumError } from '../errors.ts';
import type { ErrorCode, Outcome } from '../errors.ts';

/**
 * - `read`: changes nothing.
 * - `idempotent`: changes something, and doing it twice is the same as doing it once (renewing a lease).
 * - `write`: changes something; asked again after an unknown outcome only with a key.
 */
export type CallKind = 'read' | 'idempotent' | 'write';

/** Another attempt, here or at another node, may do better. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_UNAVAILABLE',
  'ERR_NO_LEADER',
  'ERR_OVERLOADED',
  'ERR_CLOSED',
  'ERR_TIMEOUT',
  'ERR_RATE_LIMITED',
  'ERR_REQUEST_TIMEOUT',
  // The node is about to stop, and says so to those who asked last.
  'ERR_STORE_POISONED',
  'ERR_CORRUPT',
]);

/** It is this endpoint that is at fault: another may be asked at once. */
const ENDPOINT_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_UNAVAILABLE',
  'ERR_CLOSED',
  'ERR_STORE_POISONED',
  'ERR_CORRUPT',
]);

/**
 * Answers that are part of the state: with a key, a repetition gets the one of the first time, so they tell what became of the write however often it was
 * sent. And refusals that every node makes of the same request at any time. After any other error an earlier attempt may still have succeeded.
 */
const DEFINITE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_CAS_FAILED',
  'ERR_LOCK_HELD',
  'ERR_LOCK_LOST',
  'ERR_LEASE_NOT_FOUND',
  'ERR_COMPACTED',
  'ERR_FUTURE_REVISION',
  'ERR_BAD_KEY',
  'ERR_TOO_LARGE',
]);

export function isTransient(error: KvorumError): boolean {
  return TRANSIENT.has(error.code);
}

export function isEndpointFault(error: KvorumError): boolean {
  return ENDPOINT_FAULTS.has(error.code);
}

/** Whether the same may be sent again after `error`. */
export function mayRepeat(error: KvorumError, kind: CallKind, keyed: boolean): boolean {
  return isTransient(error) && (kind !== 'write' || keyed || error.outcome === 'none');
}

/** `uncertain`: an earlier attempt may have taken effect. */
export function finalOutcome(error: KvorumError, kind: CallKind, uncertain: boolean): Outcome {
  if (kind === 'read') return 'none';
  if (error.outcome === 'unknown') return 'unknown';
  return uncertain && !DEFINITE.has(error.code) ? 'unknown' : 'none';
}

/** The same error with another outcome, and perhaps more to say. */
export function withOutcome(error: KvorumError, outcome: Outcome, addition = ''): KvorumError {
  if (error.outcome === outcome && addition === '') return error;
  return new KvorumError(error.code, error.message + addition, { outcome, cause: error, details: error.details });
}

/** Milliseconds that the node asked to be left alone for. */
export function retryAfterMs({ details }: KvorumError): number {
  const ms = details['retryAfterMs'];
  return typeof ms === 'number' && ms > 0 ? ms : 0;
}
