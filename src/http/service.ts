/** What all requests share: the node, who is let in, and what is counted. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

import { Registry } from 'prom-client';

import { KvorumError } from '../errors.ts';
import type { KvorumNode, Logger } from '../node/types.ts';
import { Admission } from './admission.ts';
import { EventStreams } from './event-stream.ts';
import { HttpMetrics } from './metrics.ts';
import type { ShedReason } from './metrics.ts';
import type { ServeOptions } from './options.ts';

/** Headers that scripts of other origins may read. */
const EXPOSED = [
  'ETag',
  'Retry-After',
  'X-Group',
  'X-Revision',
  'X-Raft-Term',
  'X-Served-By',
  'X-Request-Id',
  'X-Create-Revision',
  'X-Version',
  'Idempotency-Replayed',
].join(', ');

const ALLOWED_HEADERS = [
  'Accept',
  'Authorization',
  'Content-Type',
  'If-Match',
  'If-None-Match',
  'X-Request-Id',
  'Last-Event-ID',
  'Idempotency-Key',
  'Kvorum-Session',
  'Kvorum-Sequence',
  'Kvorum-Unanswered',
].join(', ');

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/u;

const WHY_SHED: Readonly<Record<Exclude<ShedReason, 'closing' | 'connections'>, string>> = {
  requests: 'too many requests at the same time',
  streams: 'too many streams at the same time',
  event_loop: 'this node is too busy',
  body_bytes: 'too many request bodies at the same time',
};

/** The description of the API, made when it is asked for. */
export interface Documents {
  readonly openapi: string;
  readonly page: string;
}

export class Service {
  readonly node: KvorumNode;
  readonly options: ServeOptions;
  readonly logger: Logger | null;
  readonly registry: Registry;
  readonly admission: Admission;
  readonly streams: EventStreams;
  readonly metrics: HttpMetrics;
  /** Header pairs that every answer gets, null when CORS is off. */
  readonly cors: readonly string[] | null;
  connections = 0;
  /** The node stopped by itself: it is alive no more. */
  failure: Error | null = null;
  readonly documents: Documents;
  readonly #token: Buffer | null;
  readonly #idPrefix = `${randomBytes(6).toString('base64url')}-`;
  #idCount = 0;

  constructor(node: KvorumNode, options: ServeOptions, documents: Documents) {
    this.documents = documents;
    this.node = node;
    this.options = options;
    this.logger = options.logger ?? null;
    this.registry = isRegistry(node.registry) ? node.registry : new Registry();
    this.admission = new Admission({
      maxInflightRequests: options.maxInflightRequests ?? 4096,
      maxInflightBodyBytes: options.maxInflightBodyBytes ?? 64 * 1024 * 1024,
      maxEventLoopDelayMs: options.maxEventLoopDelayMs ?? 400,
    });
    this.streams = new EventStreams({
      maxStreams: options.maxStreams ?? 10_000,
      heartbeatMs: options.streamHeartbeatMs ?? 10_000,
      stallMs: options.streamStallMs ?? 60_000,
      logger: this.logger,
    });
    this.metrics = new HttpMetrics(this.registry, () => ({
      inflightRequests: this.admission.inflightRequests,
      inflightBodyBytes: this.admission.inflightBodyBytes,
      connections: this.connections,
      streams: this.streams.size,
      eventLoopDelayMs: this.admission.eventLoopDelayMs,
    }));
    this.cors = options.corsOrigin === undefined ? null : corsHeaders(options.corsOrigin);
    this.#token = options.token === undefined ? null : digest(options.token);
    void node.failed.then((error) => {
      this.failure = error;
    });
  }

  /** The client's own id when it can be echoed safely, else a new one. */
  requestId(given: string | string[] | undefined): string {
    if (typeof given === 'string' && REQUEST_ID.test(given)) return given;
    return this.#idPrefix + (this.#idCount++).toString(36);
  }

  /** True when no token is asked for, or this is it. Takes the same time for every wrong one. */
  authorized(header: string | undefined): boolean {
    if (this.#token === null) return true;
    const match = /^Bearer +([^ ]+) *$/iu.exec(header ?? '');
    return match !== null && timingSafeEqual(digest(match[1]!), this.#token);
  }

  /** Why a request that is not exempt is refused now, null when it is not. */
  refusal(): KvorumError | null {
    const reason = this.admission.refusal();
    return reason === null ? null : this.shed(reason);
  }

  /** Why another stream is refused now, null when it is not. */
  streamRefusal(): KvorumError | null {
    return this.streams.full ? this.shed('streams') : null;
  }

  /** From now on requests are refused, and streams end. */
  stopAccepting(): void {
    this.admission.closing = true;
    this.streams.close(new KvorumError('ERR_CLOSED', 'this node is closing; go on with another one'));
  }

  /** Counts a refusal, and words it. */
  shed(reason: Exclude<ShedReason, 'connections'>): KvorumError {
    this.metrics.shed(reason);
    if (reason === 'closing') return new KvorumError('ERR_CLOSED', 'this node is closing; ask another one');
    return new KvorumError('ERR_OVERLOADED', WHY_SHED[reason]);
  }

  /** Of a preflight request. */
  preflightHeaders(methods: string): string[] {
    return [
      'Access-Control-Allow-Methods',
      methods,
      'Access-Control-Allow-Headers',
      ALLOWED_HEADERS,
      'Access-Control-Max-Age',
      '86400',
    ];
  }

  close(): void {
    this.stopAccepting();
    this.admission.stop();
    this.metrics.close();
  }
}

function corsHeaders(origin: string): string[] {
  const headers = ['Access-Control-Allow-Origin', origin, 'Access-Control-Expose-Headers', EXPOSED];
  return origin === '*' ? headers : [...headers, 'Vary', 'Origin'];
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function isRegistry(value: unknown): value is Registry {
  return (
    typeof value === 'object' &&
    value !== null &&
    'registerMetric' in value &&
    'removeSingleMetric' in value &&
    'metrics' in value
  );
}
