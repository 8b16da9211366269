/**
 * Exactly once: the headers that say so. What they name is kept in the replicated state (Raft thesis, §6.3), together with a
 * fingerprint of the operation, so that HTTP only hands them on.
 */
import type { IncomingMessage } from 'node:http';

import { KvorumError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import type { Once } from '../machine/types.ts';
import { isId } from './body.ts';

/** Request headers, for the rows of routes that may change something. */
export const ONCE_HEADERS = {
  'Idempotency-Key': '1 to 255 printable ASCII characters: done once, however often it is sent with the same key',
  'Kvorum-Session': 'Id of a lease that numbers its writes, with Kvorum-Sequence; instead of Idempotency-Key',
  'Kvorum-Sequence': 'Number of this write in its session, from 1',
  'Kvorum-Unanswered':
    'The lowest number of the session whose answer has not come yet: what is below is forgotten. Default: 1, which forgets nothing',
} as const;

export const ONCE_ERRORS = ['ERR_IDEMPOTENCY_MISMATCH', 'ERR_SESSION_EXPIRED'] as const satisfies ErrorCode[];

export const ONCE_ANSWER_HEADERS = {
  'Idempotency-Replayed': 'true: this had been done before, and this is the answer of then',
} as const;

/** Appended to the headers of an answer that was given before. */
export const REPLAYED = ['Idempotency-Replayed', 'true'] as const;

const KEY = /^[\x20-\x7e]{1,255}$/u;
const NUMBER = /^[1-9]\d{0,15}$/u;

/** How the request asks to be done once; undefined when it does not. Throws ERR_INVALID_ARGUMENT (`details.header`). */
export function onceOf(request: IncomingMessage): Once | undefined {
  const { headers } = request;
  const key = headers['idempotency-key'];
  const session = headers['kvorum-session'];
  const sequence = headers['kvorum-sequence'];
  const unanswered = headers['kvorum-unanswered'];
  if (key === undefined && session === undefined && sequence === undefined && unanswered === undefined) {
    return undefined;
  }
  for (const name of ['idempotency-key', 'kvorum-session', 'kvorum-sequence', 'kvorum-unanswered']) {
    // Node joins repeated headers by a comma, which a key may have of its own.
    if ((request.headersDistinct[name]?.length ?? 0) > 1) throw invalid(name, 'was given twice');
  }
  if (key !== undefined) {
    const other = session ?? sequence ?? unanswered;
    if (other !== undefined) throw invalid('idempotency-key', 'and Kvorum-Session exclude each other');
    if (typeof key !== 'string' || !KEY.test(key)) {
      throw invalid('idempotency-key', 'must be 1 to 255 printable ASCII characters');
    }
    return { key };
  }
  if (typeof session !== 'string') throw invalid('kvorum-session', 'is missing');
  if (!isId(session)) throw invalid('kvorum-session', 'must be the id of a lease');
  if (sequence === undefined) throw invalid('kvorum-sequence', 'is missing');
  const number = numberOf('kvorum-sequence', sequence);
  const lowestUnanswered = unanswered === undefined ? 1 : numberOf('kvorum-unanswered', unanswered);
  if (lowestUnanswered > number) {
    throw invalid('kvorum-unanswered', 'must not be above Kvorum-Sequence, whose answer has not come');
  }
  return { session, sequence: number, lowestUnanswered };
}

function numberOf(header: string, text: string | string[]): number {
  const number = typeof text === 'string' && NUMBER.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw invalid(header, 'must be a whole number, at least 1');
  return number;
}

function invalid(header: string, reason: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', `header ${header} ${reason}`, { details: { header } });
}
