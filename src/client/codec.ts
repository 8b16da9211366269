/**
 * How values are written and read. Nodes keep bytes; a codec makes something else of them, on the client's side.
 */
import { KvorumError } from '../errors.ts';
import type { Value } from './api.ts';
import { textOf, utf8 } from './bytes.ts';

/**
 * `V` is what reading gives, `I` what writing takes. What a codec throws, other than a KvorumError, reaches the caller as ERR_INVALID_ARGUMENT.
 *
 * @example
 * const day: Codec<Date> = {
 *   contentType: 'text/plain',
 *   encode: (date) => date.toISOString(),
 *   decode: (bytes) => new Date(new TextDecoder().decode(bytes)),
 * };
 * await client.with(day).put('launch', new Date());
 */
export interface Codec<V, I = V> {
  /** Media type kept with what is put. */
  readonly contentType: string;
  encode(value: I): Value | Promise<Value>;
  decode(bytes: Uint8Array): V | Promise<V>;
}

/** UTF-8 text: what a client speaks unless told otherwise. A value that is not UTF-8 is an ERR_INVALID_ARGUMENT, never a guess. */
export const text: Codec<string> = {
  contentType: 'text/plain; charset=utf-8',
  encode(value) {
    if (typeof value !== 'string') throw invalid(`a text is put as a string, not as ${nameOf(value)}`);
    return value;
  },
  decode(stored) {
    const value = textOf(stored);
    if (value === null) throw invalid('the value is not UTF-8: read it with client.with(bytes)');
    return value;
  },
};

/** The bytes themselves. */
export const bytes: Codec<Uint8Array> = {
  contentType: 'application/octet-stream',
  encode(value) {
    if (!(value instanceof Uint8Array)) throw invalid(`bytes are put as a Uint8Array, not as ${nameOf(value)}`);
    return value;
  },
  decode: (stored) => stored,
};

/** JSON, believed to be a `T`: use `client.typed(schema)` to have it checked. */
export function json<T = unknown>(): Codec<T> {
  return {
    contentType: 'application/json',
    encode: jsonOf,
    decode: (stored) => parsed(stored) as T,
  };
}

/** Any Standard Schema (standardschema.dev): Zod, Valibot, ArkType and others have it. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

export type SchemaInput<S extends StandardSchema> = NonNullable<S['~standard']['types']>['input'];
export type SchemaOutput<S extends StandardSchema> = NonNullable<S['~standard']['types']>['output'];

/**
 * JSON that a schema approves of. Stored is what was given, not what the schema makes of it, so that reading it takes the same way. Checked before it is
 * written is what a reader will see (a `Date` would come back as text): what can be written can be read.
 */
export function schemaCodec<S extends StandardSchema>(schema: S): Codec<SchemaOutput<S>, SchemaInput<S>> {
  const check = (value: unknown): SchemaOutput<S> | Promise<SchemaOutput<S>> => {
    const result = schema['~standard'].validate(value);
    return result instanceof Promise ? result.then(approved) : approved(result);
  };
  return {
    contentType: 'application/json',
    encode(value) {
      const written = jsonOf(value);
      const checked = check(JSON.parse(written));
      return checked instanceof Promise ? checked.then(() => written) : written;
    },
    decode: (stored) => check(parsed(stored)),
  };
}

function approved<Output>(result: SchemaResult<Output>): Output {
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map(({ message, path = [] }) => ({
    message,
    path: path.map((piece) => String(typeof piece === 'object' ? piece.key : piece)).join('.'),
  }));
  const said = issues.map(({ message, path }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
  throw new KvorumError('ERR_INVALID_ARGUMENT', `the value is not what the schema wants: ${said}`, {
    details: { issues },
  });
}

function jsonOf(value: unknown): string {
  const written = JSON.stringify(value) as string | undefined;
  if (written === undefined) throw invalid(`${nameOf(value)} cannot be written as JSON`);
  return written;
}

function parsed(stored: Uint8Array): unknown {
  const source = textOf(stored);
  if (source === null) throw invalid('the value is not JSON, not even text');
  try {
    return JSON.parse(source) as unknown;
  } catch (error) {
    throw invalid(`the value is not JSON: ${(error as Error).message}`, error);
  }
}

/** What a codec makes of a value to write, as something that any node takes. Throws or rejects ERR_INVALID_ARGUMENT. */
export async function encoded<I>(codec: Codec<unknown, I>, value: I): Promise<Value> {
  let written: Value;
  try {
    const result = codec.encode(value);
    written = result instanceof Promise ? await result : result;
  } catch (error) {
    throw asInvalid(error, {});
  }
  // A node takes UTF-8 only, and a text without one would be stored as another.
  return typeof written === 'string' ? utf8(written) : written;
}

/** `key` tells in the error which value could not be read. */
export async function decoded<V>(codec: Codec<V, never>, stored: Uint8Array, key: string): Promise<V> {
  try {
    const result = codec.decode(stored);
    return result instanceof Promise ? await result : result;
  } catch (error) {
    throw asInvalid(error, { key });
  }
}

function asInvalid(error: unknown, details: Readonly<Record<string, unknown>>): KvorumError {
  const message = error instanceof Error ? error.message : String(error);
  const more = KvorumError.is(error) ? error.details : {};
  return new KvorumError('ERR_INVALID_ARGUMENT', message, { cause: error, details: { ...more, ...details } });
}

function invalid(message: string, cause?: unknown): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', message, { cause });
}

function nameOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === 'object' ? (value.constructor?.name ?? 'an object') : `a ${typeof value}`;
}
