/**
 * What a route is. A row says everything about a call: how it is registered, what its options mean, what the OpenAPI
 * document and the docs page tell, and which function answers. Nothing about a route stands anywhere else.
 */
import type { ErrorCode } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import { ONCE_ANSWER_HEADERS, ONCE_ERRORS, ONCE_HEADERS } from './once.ts';
import { TIMEOUT } from './query.ts';
import type { QuerySpec } from './query.ts';
import type { SchemaName } from './schemas.ts';

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';

export type Tag =
  | 'keys'
  | 'watches'
  | 'leases'
  | 'locks'
  | 'elections'
  | 'barriers'
  | 'counters'
  | 'services'
  | 'cluster'
  | 'dht'
  | 'operations';

export interface Content {
  readonly type: string;
  /** Absent: bytes or plain text. */
  readonly schema?: SchemaName;
}

export interface AnswerDoc {
  readonly description: string;
  readonly content?: readonly Content[];
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Route {
  readonly operationId: string;
  readonly method: Method;
  /** OpenAPI path template. */
  readonly path: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly description: string;
  readonly query: QuerySpec;
  /** Request headers that mean something to it. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Content & { readonly description: string };
  readonly answers: Readonly<Record<number, AnswerDoc>>;
  /** Beside those that any route may give. */
  readonly errors: readonly ErrorCode[];
  /** Answered without the bearer token. */
  readonly open: boolean;
  /** Answered under overload and while closing: probes and metrics, which have to tell about it. */
  readonly always: boolean;
  /** May change something: an internal error leaves its outcome unknown. */
  readonly mutating: boolean;
  handle(exchange: Exchange): void;
}

// --- what many rows share ----------------------------------------------------------------------------------------

/** A call whose only option is how long it may take. */
export const TIMEOUT_QUERY = { timeout: TIMEOUT };

/** A call that changes nothing. */
export const READS = { query: TIMEOUT_QUERY, errors: [], open: false, always: false, mutating: false } as const;

/** A call that may change something, and can be asked to do so once. */
export const WRITES = {
  query: TIMEOUT_QUERY,
  headers: ONCE_HEADERS,
  errors: ONCE_ERRORS,
  open: false,
  always: false,
  mutating: true,
} as const;

/** Of every call that has a JSON body. */
export const JSON_BODY_ERRORS = [
  'ERR_REQUEST_TIMEOUT',
  'ERR_TOO_LARGE',
  'ERR_UNSUPPORTED_MEDIA_TYPE',
] as const satisfies readonly ErrorCode[];

export function jsonBody(schema: SchemaName, description: string): Content & { readonly description: string } {
  return { type: 'application/json', schema, description };
}

export function jsonAnswer(schema: SchemaName, description: string): AnswerDoc {
  return { description, content: [{ type: 'application/json', schema }] };
}

/** Of a call of `WRITES`. */
export function writtenAnswer(schema: SchemaName, description: string): AnswerDoc {
  return { ...jsonAnswer(schema, description), headers: ONCE_ANSWER_HEADERS };
}
