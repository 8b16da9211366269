/**
 * What a route is. A row says everything about a call: how it is registered, what its options mean, what the OpenAPI
 * document and the docs page tell, and which function answers. Nothing about a route stands anywhere else.
 */
import type { ErrorCode } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import type { QuerySpec } from './query.ts';
import type { SchemaName } from './schemas.ts';

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';

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
  readonly tag: 'keys' | 'cluster' | 'operations';
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
