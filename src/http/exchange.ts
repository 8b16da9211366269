/**
 * One request and its answer. On the hot path this is the only object that HTTP makes for a request, and what it writes
 * goes straight to Node's response: a flat header list and one string, which leave in one write.
 */
import { Buffer } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';

import { KvorumError } from '../errors.ts';
import type { Written } from '../node/coordination.ts';
import type { AnswerHead, Key } from '../node/types.ts';
import type { BodyParser } from './body.ts';
import { connectionOf } from './connection.ts';
import type { BodyReader, Connection } from './connection.ts';
import { EventStream } from './event-stream.ts';
import type { EventSource } from './event-stream.ts';
import { KEY_PREFIX, keyOfPath } from './key-path.ts';
import type { KeyEncoding } from './key-path.ts';
import { STATUS_HUNG_UP } from './metrics.ts';
import type { RouteMetrics } from './metrics.ts';
import { REPLAYED } from './once.ts';
import { MAX_JSON_BYTES } from './options.ts';
import { PROBLEM_TYPE, problemOf, reportable } from './problem.ts';
import { parseQuery } from './query.ts';
import type { QueryOf, QuerySpec } from './query.ts';
import type { Service } from './service.ts';

/** As fastify's rewriteUrl leaves it: `url` is the routed path, `originalUrl` what the client sent. */
type Request = IncomingMessage & { originalUrl?: string };

const NO_BYTES: Uint8Array = Buffer.alloc(0);

/** Bytes of an unwanted body that are read and dropped so that the client sees the answer; more ends the connection. */
const MAX_DISCARDED_BYTES = 8 * 1024 * 1024;

/** Values up to this size are copied behind their headers, so that both are one write; larger ones are not copied. */
const ONE_WRITE_BYTES = 8 * 1024;

export class Exchange implements BodyReader {
  readonly service: Service;
  readonly request: Request;
  readonly requestId: string;
  readonly #mutating: boolean;
  readonly #metrics: RouteMetrics;
  readonly #response: ServerResponse;
  readonly #connection: Connection;
  readonly #startedAt = performance.now();
  #entered = false;
  #done = false;
  #bodyBytes = 0;
  #discardedBytes = 0;

  constructor(
    service: Service,
    mutating: boolean,
    metrics: RouteMetrics,
    request: IncomingMessage,
    response: ServerResponse,
  ) {
    this.service = service;
    this.request = request;
    this.#mutating = mutating;
    this.#metrics = metrics;
    this.#response = response;
    this.#connection = connectionOf(request.socket);
    this.#connection.last = response;
    this.requestId = service.requestId(request.headers['x-request-id']);
  }

  /** Lets the request in, or answers why not. */
  admit(open: boolean, always: boolean): boolean {
    const { service, request } = this;
    const refused = always ? null : service.refusal();
    if (refused !== null) {
      this.fail(refused);
      return false;
    }
    service.admission.enter();
    this.#entered = true;
    if (!open && !service.authorized(request.headers.authorization)) {
      const error = new KvorumError(
        'ERR_UNAUTHENTICATED',
        'this call needs Authorization: Bearer with the right token',
      );
      this.fail(error, ['WWW-Authenticate', 'Bearer realm="kvorum"']);
      return false;
    }
    // RFC 9112 §3.2; Node would refuse it with an answer of its own making.
    if (request.headers.host === undefined && request.httpVersion === '1.1') {
      this.fail(new KvorumError('ERR_INVALID_ARGUMENT', 'the Host header is missing'));
      return false;
    }
    return true;
  }

  /** Aborted when the client hangs up. */
  get signal(): AbortSignal {
    return this.#connection.signal;
  }

  query<S extends QuerySpec>(spec: S): QueryOf<S> {
    const target = this.#target;
    const at = target.indexOf('?');
    return parseQuery(at === -1 ? '' : target.slice(at + 1), spec);
  }

  /** The key in the path. */
  key(encoding: KeyEncoding | undefined): Key {
    const target = this.#target;
    if (!target.startsWith(KEY_PREFIX)) {
      // The router decodes, so that /v1/%6Bv/a comes here as well; keys have one spelling of their prefix.
      throw new KvorumError('ERR_NOT_FOUND', 'no such resource');
    }
    const end = target.indexOf('?', KEY_PREFIX.length);
    return keyOfPath(target.slice(KEY_PREFIX.length, end === -1 ? target.length : end), encoding);
  }

  /** The segment of the path behind `prefix`, as it was sent. */
  segment(prefix: string): string {
    const target = this.#target;
    // As with keys: the router decodes, but there is one spelling of a prefix.
    if (!target.startsWith(prefix)) throw new KvorumError('ERR_NOT_FOUND', 'no such resource');
    const rest = target.slice(prefix.length);
    const end = rest.search(/[/?]/u);
    return end === -1 ? rest : rest.slice(0, end);
  }

  get #target(): string {
    return this.request.originalUrl ?? this.request.url ?? '/';
  }

  /** Calls `answer` with what the promise gives; whatever goes wrong on the way is reported. */
  settle<T>(promise: Promise<T>, answer: (exchange: Exchange, value: T) => void): void {
    promise.then(
      (value) => {
        try {
          answer(this, value);
        } catch (error) {
          this.fail(error);
        }
      },
      (error: unknown) => this.fail(error),
    );
  }

  /** Reads the whole body, at most `limit` bytes of it, and hands it to `next`. */
  readBody(limit: number, next: (exchange: Exchange, body: Uint8Array) => void): void {
    const { headers } = this.request;
    const length = headers['content-length'];
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      // The coding would not come back with the value, and then nobody could read it.
      throw new KvorumError(
        'ERR_UNSUPPORTED_MEDIA_TYPE',
        'Content-Encoding is not supported; send the bytes themselves',
      );
    }
    if (headers['content-range'] !== undefined) {
      throw new KvorumError('ERR_INVALID_ARGUMENT', 'Content-Range is not supported; send the whole value'); // RFC 9110 §14.5
    }
    if (length === '0' || (length === undefined && headers['transfer-encoding'] === undefined)) {
      next(this, NO_BYTES);
      return;
    }
    if (length !== undefined && Number(length) > limit) throw tooLarge(limit);

    let size = 0;
    let first: Buffer | null = null;
    let chunks: Buffer[] | null = null;
    this.#connection.reading = this;
    this.request.on('data', (chunk: Buffer) => {
      if (this.#done) {
        this.#discard(chunk);
        return;
      }
      size += chunk.length;
      if (size > limit) {
        this.fail(tooLarge(limit));
      } else if (!this.service.admission.reserve(chunk.length)) {
        this.fail(this.service.shed('body_bytes'));
      } else {
        this.#bodyBytes += chunk.length;
        if (first === null) first = chunk;
        else (chunks ??= [first]).push(chunk);
      }
    });
    this.request.on('end', () => {
      if (this.#done) return;
      // By now the next request of a pipeline may be the one that is read.
      if (this.#connection.reading === this) this.#connection.reading = null;
      try {
        next(this, chunks === null ? (first ?? NO_BYTES) : Buffer.concat(chunks, size));
      } catch (error) {
        this.fail(error);
      }
    });
  }

  /** Reads a JSON body and makes of it what `parse` does. Throws or reports ERR_UNSUPPORTED_MEDIA_TYPE, ERR_INVALID_ARGUMENT. */
  readJson<T>(parse: BodyParser<T>, next: (exchange: Exchange, body: T) => void, limit: number = MAX_JSON_BYTES): void {
    this.#wantJson();
    this.readBody(limit, (exchange, bytes) => next(exchange, parse(jsonOf(bytes))));
  }

  /** Of a call that needs no body: none at all will do, but what there is must be what it takes. */
  readOptionalJson<T>(parse: BodyParser<T>, next: (exchange: Exchange, body: T) => void): void {
    this.readBody(MAX_JSON_BYTES, (exchange, bytes) => {
      if (bytes.length > 0) this.#wantJson();
      next(exchange, parse(bytes.length > 0 ? jsonOf(bytes) : {}));
    });
  }

  #wantJson(): void {
    const type = this.request.headers['content-type'] ?? '';
    if (type.split(';', 1)[0]!.trim().toLowerCase() === 'application/json') return;
    throw new KvorumError('ERR_UNSUPPORTED_MEDIA_TYPE', 'this call needs Content-Type: application/json');
  }

  /** The headers that every answer carries, appended to `headers`. */
  head(headers: string[], head: AnswerHead, revision: number): string[] {
    headers.push(
      'X-Group',
      String(head.group),
      'X-Revision',
      String(revision),
      'X-Raft-Term',
      String(head.term),
      'X-Served-By',
      head.servedBy,
      'X-Request-Id',
      this.requestId,
    );
    const { cors, admission } = this.service;
    if (cors !== null) headers.push(...cors);
    if (admission.closing) headers.push('Connection', 'close');
    return headers;
  }

  /** Answers with `body`, which must be ASCII when it is a string (its length is its length in bytes). */
  send(status: number, headers: string[], revision: number | null, body: string | Buffer): void {
    if (this.#done) return;
    const head = this.service.node.head();
    headers.push('Content-Length', String(body.length));
    this.#write(status, this.head(headers, head, revision ?? head.revision), body);
  }

  /** Answers with a value; small ones leave with their headers in one write. */
  sendValue(headers: string[], revision: number, value: Buffer): void {
    this.send(200, headers, revision, value.length <= ONE_WRITE_BYTES ? value.toString('latin1') : value);
  }

  sendJson(status: number, json: string, revision: number | null = null, type = 'application/json'): void {
    this.sendText(status, json, type, revision);
  }

  /** Answers to something that may have changed the state. */
  sendWritten(status: number, json: string, { revision, replayed }: Written): void {
    const headers = ['Content-Type', 'application/json', 'X-Content-Type-Options', 'nosniff'];
    if (replayed === true) headers.push(...REPLAYED);
    this.send(status, headers, revision, Buffer.from(json, 'utf8'));
  }

  sendText(status: number, text: string, type: string, revision: number | null = null): void {
    const headers = ['Content-Type', type, 'X-Content-Type-Options', 'nosniff'];
    this.send(status, headers, revision, Buffer.from(text, 'utf8'));
  }

  /** Answers without content, such as 304. */
  sendNothing(status: number, headers: string[], revision: number | null = null): void {
    if (this.#done) return;
    const head = this.service.node.head();
    this.#write(status, this.head(headers, head, revision ?? head.revision), '');
  }

  /** Answers with a problem. Anything may be thrown at it; what is not a KvorumError is logged and becomes ERR_INTERNAL. */
  fail(thrown: unknown, headers: string[] = []): void {
    if (this.#done) return;
    if (this.request.socket.destroyed) {
      // Nobody is there to be told, and what was thrown is most likely the signal's word about that.
      this.#finish(STATUS_HUNG_UP);
      return;
    }
    const error = reportable(thrown, this.#mutating);
    if (error.code === 'ERR_INTERNAL') {
      this.service.logger?.error({ err: thrown, requestId: this.requestId }, 'a request met an internal error');
    }
    const problem = problemOf(error, this.requestId);
    headers.push('Content-Type', PROBLEM_TYPE, 'X-Content-Type-Options', 'nosniff');
    if (error.details['replayed'] === true) headers.push(...REPLAYED);
    if (problem.retryAfter !== null) headers.push('Retry-After', String(problem.retryAfter));
    if (this.#connection.reading !== this) this.request.on('data', (chunk: Buffer) => this.#discard(chunk));
    this.send(problem.status, headers, null, Buffer.from(problem.json, 'utf8'));
  }

  /**
   * Begins an answer that goes on: from now on the stream is counted, not the request. Whatever `source` needs is
   * given back through its `close`, also when the client is gone already.
   */
  stream(source: EventSource): void {
    const { streams, admission, node } = this.service;
    const refused = admission.closing ? this.service.shed('closing') : this.service.streamRefusal();
    if (this.#done || this.request.socket.destroyed || refused !== null) {
      source.close();
      this.fail(refused);
      return;
    }
    const response = this.#response;
    // No chunks: a stream lasts as long as its connection, and an event is one piece of one write.
    response.removeHeader('Transfer-Encoding');
    const headers = ['Content-Type', 'text/event-stream', 'Cache-Control', 'no-store', 'X-Accel-Buffering', 'no'];
    headers.push('X-Content-Type-Options', 'nosniff', 'Connection', 'close');
    const head = node.head();
    response.writeHead(200, this.head(headers, head, head.revision));
    // Counted as it begins; how long it lasts says nothing about how fast this node answers.
    this.#finish(200);
    streams.add(new EventStream(streams, response, source, this.requestId));
  }

  get arrived(): boolean {
    return this.request.complete;
  }

  /** The client went away while its body was read. */
  hangUp(): void {
    if (!this.#done) this.#finish(STATUS_HUNG_UP);
  }

  #write(status: number, headers: string[], body: string | Buffer): void {
    const response = this.#response;
    if (this.request.socket.destroyed) {
      this.#finish(STATUS_HUNG_UP);
      return;
    }
    response.writeHead(status, headers);
    response.end(body, 'latin1');
    this.#finish(status);
  }

  #finish(status: number): void {
    this.#done = true;
    if (this.#connection.reading === this) this.#connection.reading = null;
    this.#metrics.record(status, (performance.now() - this.#startedAt) / 1000);
    if (this.#entered) this.service.admission.leave(this.#bodyBytes);
  }

  #discard(chunk: Buffer): void {
    this.#discardedBytes += chunk.length;
    if (this.#discardedBytes > MAX_DISCARDED_BYTES) this.request.socket.destroy();
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (error) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', `the body is not JSON: ${(error as Error).message}`);
  }
}

function tooLarge(limit: number): KvorumError {
  return new KvorumError('ERR_TOO_LARGE', `the body is larger than ${limit} bytes`, { details: { limit } });
}
