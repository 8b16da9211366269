/**
 * The HTTP client of the CLI: one request to the first endpoint that can answer it. It goes on to the next one only when
 * the request cannot have taken effect (nothing was sent, or the node said so), when it changes nothing, or when it carries a key that makes it happen once.
 * On `node:http`, because a path must go out exactly as it was encoded, because a failure before the connection must be
 * told from one after it, and because it loads faster than `fetch`.
 */
import { randomUUID } from 'node:crypto';
import http from 'node:http';

import { finalOutcome, mayRepeat, withOutcome } from '../src/client/retry.ts';
import { ERRORS, KvorumError, type ErrorCode } from '../src/errors.ts';
import { showDuration } from './parse.ts';

export interface Connection {
  readonly endpoints: readonly URL[];
  /** Given to the node as `?timeout=`; the client waits a second longer. */
  readonly timeoutMs: number;
  readonly token: string | undefined;
}

export interface Request {
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'POST';
  /** Encoded, from `/v1` on. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Idempotency key: sent again until it is answered, it is done once. */
  readonly once?: string | undefined;
  /** Doing it twice is the same as doing it once. */
  readonly repeatable?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly endpoint: URL;
}

/** An answer that is larger is refused: a list page of 1,000 values of the largest size does not fit a terminal anyway. */
const MAX_ANSWER_BYTES = 1024 ** 3;
const CONNECT_TIMEOUT_MS = 2000;
const GRACE_MS = 1000;

/**
 * The answer of the first endpoint that gives one with a status below 400.
 * @throws KvorumError with the node's code, or ERR_UNAVAILABLE (no node could be reached), or ERR_TIMEOUT with outcome
 *   `unknown` (a write went out and no answer came).
 */
export async function call(connection: Connection, request: Request): Promise<Answer> {
  const failures: KvorumError[] = [];
  const kind = request.method === 'GET' ? 'read' : request.repeatable === true ? 'idempotent' : 'write';
  const outcome = (error: KvorumError): KvorumError =>
    withOutcome(error, finalOutcome(error, kind, failures.some(mayHaveHappened)));
  for (const endpoint of connection.endpoints) {
    try {
      const answer = await attempt(connection, endpoint, request);
      if (answer.status < 400) return answer;
      throw problemOf(answer, request);
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      if (!mayRepeat(error, kind, request.once !== undefined)) throw outcome(error);
      failures.push(error);
    }
  }
  const [first] = failures;
  // What a node answered says more than "connection refused".
  const answered = failures.find((failure) => failure.code !== 'ERR_UNAVAILABLE') ?? first;
  if (answered === undefined || answered.code === 'ERR_UNAVAILABLE') throw outcome(noNode(connection, failures));
  throw outcome(answered);
}

function mayHaveHappened(error: KvorumError): boolean {
  return error.outcome === 'unknown';
}

/** The JSON of the answer to a request with a JSON body. A key of its own lets it be sent until it is answered. */
export async function callJson(
  connection: Connection,
  request: Omit<Request, 'body' | 'headers'> & { readonly json?: unknown },
): Promise<unknown> {
  const { json, ...rest } = request;
  const once = request.once ?? (request.method === 'GET' || request.repeatable === true ? undefined : randomUUID());
  const body =
    json === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(json), 'utf8') };
  return jsonOf(await call(connection, { ...rest, ...body, once }));
}

function noNode(connection: Connection, failures: readonly KvorumError[]): KvorumError {
  const tried = failures.map((failure) => failure.message).join('; ');
  const hint = connection.endpoints.length === 0 ? 'no endpoint was given' : 'is a cluster running?';
  return new KvorumError('ERR_UNAVAILABLE', `no node could be reached: ${tried} (${hint} see \`kvorum local --help\`)`);
}

/** One request to one endpoint; resolves with whatever status it gives. */
export async function attempt(connection: Connection, endpoint: URL, request: Request): Promise<Answer> {
  const transport = endpoint.protocol === 'https:' ? (await import('node:https')).default : http;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) query.set(name, String(value));
  }
  if (request.path.startsWith('/v1')) query.set('timeout', `${connection.timeoutMs}ms`);
  const search = query.size === 0 ? '' : `?${query.toString()}`;
  const headers: Record<string, string | number> = { ...request.headers };
  if (connection.token !== undefined) headers['authorization'] = `Bearer ${connection.token}`;
  if (request.once !== undefined) headers['idempotency-key'] = request.once;
  if (request.body !== undefined) headers['content-length'] = request.body.byteLength;

  return await new Promise<Answer>((resolve, reject) => {
    let connected = false;
    const outgoing = transport.request({
      protocol: endpoint.protocol,
      hostname: endpoint.hostname.replace(/^\[|\]$/g, ''),
      port: endpoint.port,
      method: request.method,
      path: `${endpoint.pathname.replace(/\/$/, '')}${request.path}${search}`,
      headers,
    });
    const fail = (error: Error & { code?: string }): void => {
      clearTimeout(connectTimer);
      clearTimeout(answerTimer);
      outgoing.destroy();
      const what = `${endpoint.origin}: ${error.code ?? error.message}`;
      reject(
        connected
          ? new KvorumError('ERR_TIMEOUT', `${what}: the connection broke or no answer came in time`, {
              outcome: request.method === 'GET' ? 'none' : 'unknown',
              cause: error,
            })
          : new KvorumError('ERR_UNAVAILABLE', what, { cause: error }),
      );
    };
    const connectTimer = setTimeout(() => {
      if (!connected) fail(new Error(`no connection within ${showDuration(CONNECT_TIMEOUT_MS)}`));
    }, CONNECT_TIMEOUT_MS);
    const answerTimer = setTimeout(() => {
      fail(new Error(`no answer within ${showDuration(connection.timeoutMs + GRACE_MS)}`));
    }, connection.timeoutMs + GRACE_MS);
    outgoing.on('socket', (socket) => {
      connected = !socket.connecting;
      socket.once('connect', () => {
        connected = true;
        clearTimeout(connectTimer);
      });
    });
    outgoing.on('error', fail);
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) incoming.destroy(new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`));
        else chunks.push(chunk);
      });
      incoming.on('error', fail);
      incoming.on('end', () => {
        clearTimeout(connectTimer);
        clearTimeout(answerTimer);
        const { statusCode = 0, headers: answerHeaders } = incoming;
        resolve({ status: statusCode, headers: answerHeaders, body: Buffer.concat(chunks), endpoint });
      });
    });
    outgoing.end(request.body);
  });
}

/** The problem document of a node as an error; anything else (a proxy's page) becomes one of ours. */
export function problemOf(answer: Answer, request: Pick<Request, 'method'>): KvorumError {
  const parsed = parseJson(answer.body);
  const write = request.method !== 'GET';
  if (typeof parsed === 'object' && parsed !== null && 'code' in parsed && isErrorCode(parsed.code)) {
    const {
      type: _,
      title: __,
      status: ___,
      code,
      detail,
      outcome,
      retryable: ____,
      ...details
    } = parsed as {
      code: ErrorCode;
      detail?: unknown;
      outcome?: unknown;
    } & Record<string, unknown>;
    return new KvorumError(code, typeof detail === 'string' ? detail : ERRORS[code].title, {
      outcome: outcome === 'unknown' ? 'unknown' : 'none',
      details,
    });
  }
  const text = `${answer.endpoint.origin} answered ${answer.status} without a problem document that is known here`;
  const unavailable = answer.status === 503 || answer.status === 502 || answer.status === 504;
  return new KvorumError(unavailable ? 'ERR_UNAVAILABLE' : 'ERR_INTERNAL', text, {
    outcome: write && answer.status >= 500 ? 'unknown' : 'none',
  });
}

/** The JSON of a successful answer. @throws KvorumError ERR_INTERNAL */
export function jsonOf(answer: Answer): unknown {
  const parsed = parseJson(answer.body);
  if (parsed === undefined) {
    throw new KvorumError('ERR_INTERNAL', `${answer.endpoint.origin} did not answer with JSON: is it a Kvorum node?`);
  }
  return parsed;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERRORS, code);
}
