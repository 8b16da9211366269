/** What the thread of a node and the thread that started it say to each other beside requests and answers, which are frames (bytes). */
import { ERRORS, KvorumError, type ErrorCode } from '../errors.ts';
import type { AnswerHead, ClusterInfo, Limits, NodeOptions, Readiness } from '../node/types.ts';

/** What a worker is started with. */
export interface WorkerData {
  readonly options: Omit<NodeOptions, 'logger' | 'registry' | 'signal'>;
  /** Somebody wants to read what it logs. */
  readonly log: boolean;
}

/** How the node is: told at the start, and whenever it has changed. */
export interface State {
  readonly cluster: ClusterInfo;
  readonly readiness: Readiness;
}

export type FromWorker =
  | Uint8Array
  | {
      readonly type: 'started';
      readonly name: string;
      readonly id: string;
      readonly clusterId: string;
      readonly address: string;
      readonly url: string | null;
      readonly limits: Limits;
      readonly head: AnswerHead;
      readonly metricsType: string;
      readonly state: State;
    }
  /** It could not be started, or has stopped by itself. */
  | { readonly type: 'refused' | 'failed'; readonly error: PlainError }
  | { readonly type: 'log'; readonly level: LogLevel; readonly fields: object; readonly message: string };

/** `abort`: the start is given up. */
export type ToWorker = Uint8Array | { readonly type: 'abort' };

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** An error that can be posted: a class does not survive that. */
export interface PlainError {
  readonly code: string | null;
  readonly message: string;
  readonly stack: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
}

export function plainError(error: unknown): PlainError {
  if (!(error instanceof Error)) return { code: null, message: String(error), stack: undefined, details: {} };
  const known = KvorumError.is(error);
  return {
    code: known ? error.code : null,
    message: error.message,
    stack: error.stack,
    details: known ? error.details : {},
  };
}

export function errorOf({ code, message, stack, details }: PlainError): KvorumError {
  const known = code !== null && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'ERR_INTERNAL';
  const error = new KvorumError(known, message, { details });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Transferred, not copied: the bytes are made for this. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
