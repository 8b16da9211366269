/** One node by HTTP: requests with what all of them carry, and errors as they are to be understood. */
import { KvorumError } from '../errors.ts';
import type { Attempt } from './api.ts';
import type { ClientEnvironment } from './environment.ts';
import { networkError, problemOfResponse } from './problem.ts';
import { malformed, object } from './wire-json.ts';
import type { Json } from './wire-json.ts';

/** What is used of the global `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface HttpLinkOptions {
  readonly fetch: Fetch;
  /** Bearer token, null for none. */
  readonly token: string | null;
  readonly environment: ClientEnvironment;
}

export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON to send. */
  readonly json?: Json;
  /** Bytes to send. */
  readonly body?: Uint8Array | string;
}

export class HttpLink {
  /** Without a slash at its end. */
  readonly base: string;
  readonly environment: ClientEnvironment;
  servedBy: string | null = null;
  readonly #fetch: Fetch;
  readonly #token: string | null;

  constructor(base: string, { fetch, token, environment }: HttpLinkOptions) {
    this.base = base;
    this.environment = environment;
    this.#fetch = fetch;
    this.#token = token;
  }

  /** The answer, when it is a success; its body has not been read. */
  async send(request: HttpRequest, attempt: Attempt, signal: AbortSignal = attempt.signal): Promise<Response> {
    const { method, json } = request;
    const headers: Record<string, string> = { accept: 'application/json', ...request.headers };
    if (json !== undefined) headers['content-type'] = 'application/json';
    if (this.#token !== null) headers['authorization'] = `Bearer ${this.#token}`;
    const { once, timeoutMs } = attempt;
    if (once !== null && method !== 'GET') {
      if ('key' in once) {
        headers['idempotency-key'] = once.key;
      } else {
        headers['kvorum-session'] = once.session;
        headers['kvorum-sequence'] = String(once.sequence);
        headers['kvorum-unanswered'] = String(once.lowestUnanswered);
      }
    }
    const { path } = request;
    const url = `${this.base}${path}${path.includes('?') ? '&' : '?'}timeout=${timeoutMs}`;
    const init: RequestInit = { method, headers, signal, cache: 'no-store' };
    if (json !== undefined) init.body = JSON.stringify(json);
    // TypeScript tells apart bytes over memory that is shared, which nobody sends.
    else if (request.body !== undefined) init.body = request.body as string | Uint8Array<ArrayBuffer>;
    let response: Response;
    try {
      response = await this.#fetch(url, init);
    } catch (error) {
      throw networkError(error, this.base, false);
    }
    this.servedBy = response.headers.get('x-served-by') ?? this.servedBy;
    if (response.ok) return response;
    throw await problemOfResponse(response, this.base);
  }

  /** The answer's JSON, an object. */
  async call(request: HttpRequest, attempt: Attempt): Promise<Json> {
    const response = await this.send(request, attempt);
    let text: string;
    try {
      text = await response.text();
    } catch (error) {
      throw networkError(error, this.base, true);
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // SyntaxError, which would show the answer but not where it came from.
      throw malformed('it is not JSON');
    }
    return object(value, 'the answer');
  }
}

/** Base URL of an endpoint, without a slash at its end. Throws ERR_INVALID_ARGUMENT. */
export function baseUrlOf(endpoint: string): string {
  const url = parseUrl(endpoint);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new KvorumError(
      'ERR_INVALID_ARGUMENT',
      `an endpoint is a URL such as http://127.0.0.1:7101; ${JSON.stringify(endpoint)} is not`,
      { details: { endpoint } },
    );
  }
  if (url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'an endpoint has no query, fragment or user', {
      details: { endpoint: `${url.protocol}//${url.host}` },
    });
  }
  return (url.origin + url.pathname).replace(/\/+$/u, '');
}

function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    // TypeError: the one thing that it tells.
    return null;
  }
}
