/** What went wrong, as a KvorumError: problem documents (RFC 9457), answers of somebody in between, and networks that broke. */
import { ERRORS, KvorumError } from '../errors.ts';
import type { ErrorCode, Outcome } from '../errors.ts';
import { entryOfJson } from './wire-json.ts';

const STANDARD: ReadonlySet<string> = new Set([
  'type',
  'title',
  'status',
  'detail',
  'code',
  'retryable',
  'outcome',
  'requestId',
]);

/** Of an answer that is no success. */
export async function problemOfResponse(response: Response, endpoint: string): Promise<KvorumError> {
  const text = await response.text().catch(() => '');
  const retryAfterMs = retryAfterOf(response.headers.get('retry-after'));
  if (isJson(response.headers.get('content-type'))) {
    const problem = parse(text);
    if (problem !== null) return problemOf(problem, retryAfterMs);
  }
  // Not one of ours: a proxy speaks, and nobody knows what it had done before.
  const code: ErrorCode = response.status >= 500 || response.status === 429 ? 'ERR_UNAVAILABLE' : 'ERR_INTERNAL';
  return new KvorumError(code, `${endpoint} answered ${response.status}, but not as a node of Kvorum does`, {
    outcome: 'unknown',
    details: { status: response.status, ...(retryAfterMs > 0 && { retryAfterMs }) },
  });
}

/** Null: it is no problem document. */
export function problemOfText(text: string): KvorumError | null {
  const problem = parse(text);
  return problem === null ? null : problemOf(problem);
}

function parse(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'code' in value ? { ...value } : null;
  } catch {
    // SyntaxError: whoever wrote it was not a node.
    return null;
  }
}

function problemOf(problem: Readonly<Record<string, unknown>>, retryAfterMs = 0): KvorumError {
  const { code, detail, title, outcome, status } = problem;
  const details: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(problem)) {
    if (!STANDARD.has(name)) details[name] = isEntry(value) ? entryOfJson(value) : value;
  }
  if (typeof problem['requestId'] === 'string') details['requestId'] = problem['requestId'];
  if (retryAfterMs > 0) details['retryAfterMs'] = retryAfterMs;
  const known = typeof code === 'string' && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : null;
  if (known === null) details['code'] = code;
  const message = typeof detail === 'string' ? detail : typeof title === 'string' ? title : String(code);
  return new KvorumError(known ?? unknownCode(status, problem['retryable']), message, {
    // Said by a node that this client is too old to understand: the careful reading.
    outcome: outcome === 'none' || outcome === 'unknown' ? (outcome satisfies Outcome) : 'unknown',
    details,
  });
}

function unknownCode(status: unknown, retryable: unknown): ErrorCode {
  if (retryable === true) return 'ERR_UNAVAILABLE';
  return typeof status === 'number' && status < 500 ? 'ERR_INVALID_ARGUMENT' : 'ERR_INTERNAL';
}

function isEntry(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && 'modRevision' in value && 'value' in value;
}

function isJson(contentType: string | null): boolean {
  return contentType !== null && /^application\/(?:problem\+)?json\b/iu.test(contentType);
}

/** Seconds or a date (RFC 9110 §10.2.3), as milliseconds; 0 for none. */
function retryAfterOf(header: string | null): number {
  if (header === null) return 0;
  if (/^\d{1,9}$/u.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}

/** Refused before anything was sent: the names that Node, Bun and Deno have for it. */
const NEVER_SENT = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ConnectionRefused|UND_ERR_CONNECT_TIMEOUT|connection refused/iu;

/** Of a `fetch` that rejected, or of a body that broke off (`connected`). */
export function networkError(error: unknown, endpoint: string, connected: boolean): KvorumError {
  const outcome: Outcome = !connected && neverSent(error, 0) ? 'none' : 'unknown';
  const reason = reasonText(error);
  return new KvorumError('ERR_UNAVAILABLE', `${endpoint} ${connected ? 'broke off' : 'cannot be reached'}: ${reason}`, {
    outcome,
    cause: error,
  });
}

function neverSent(error: unknown, depth: number): boolean {
  if (typeof error !== 'object' || error === null || depth > 4) return false;
  const { code, syscall, message, cause, errors } = error as Readonly<Record<string, unknown>>;
  // One name may have several addresses: all of them have to have refused.
  if (Array.isArray(errors) && errors.length > 0) return errors.every((each) => neverSent(each, depth + 1));
  if (typeof code === 'string' && NEVER_SENT.test(code)) return true;
  if (syscall === 'connect') return true;
  if (cause !== undefined) return neverSent(cause, depth + 1);
  return typeof message === 'string' && NEVER_SENT.test(message);
}

function reasonText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message;
}
