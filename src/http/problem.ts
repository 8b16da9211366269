/** Errors as RFC 9457 problem details. */
import { ERRORS, KvorumError } from '../errors.ts';
import type { KvEntry } from '../kv/types.ts';
import { entryJson } from './entry-json.ts';

export const PROBLEM_TYPE = 'application/problem+json';

export interface Problem {
  readonly status: number;
  readonly json: string;
  /** Seconds for Retry-After, null for none. */
  readonly retryAfter: number | null;
}

/** `status` differs from the code's own only where HTTP has a finer one (431 for header fields that are too large). */
export function problemOf(error: KvorumError, requestId: string, status: number = ERRORS[error.code].status): Problem {
  const row = ERRORS[error.code];
  const members = JSON.stringify({
    type: `/docs#${error.code}`,
    title: row.title,
    status,
    detail: error.message,
    code: error.code,
    retryable: row.retryable,
    outcome: error.outcome,
    requestId,
  });
  let json = members.slice(0, -1);
  for (const [name, value] of Object.entries(error.details)) {
    const text = isEntry(value) ? entryJson(value) : JSON.stringify(value);
    // A detail never hides a standard member, and what JSON has no word for is left out.
    if (text !== undefined && !STANDARD.has(name)) json += `,${JSON.stringify(name)}:${text}`;
  }
  return { status, json: `${json}}`, retryAfter: status === 503 || status === 429 ? 1 : null };
}

/**
 * Anything that was thrown, as the error to report. What is not ours is a bug: its message stays in the log, and a
 * write that met it may or may not have happened.
 */
export function reportable(error: unknown, mutating: boolean): KvorumError {
  if (KvorumError.is(error)) return error;
  return new KvorumError('ERR_INTERNAL', 'an internal error, which the log of this node tells with this requestId', {
    outcome: mutating ? 'unknown' : 'none',
    cause: error,
  });
}

const STANDARD: ReadonlySet<string> = new Set([
  'type',
  'title',
  'status',
  'detail',
  'code',
  'retryable',
  'outcome',
  'requestId',
  // Tells HTTP which header to send.
  'replayed',
]);

function isEntry(value: unknown): value is KvEntry {
  return typeof value === 'object' && value !== null && 'modRevision' in value && 'value' in value;
}
