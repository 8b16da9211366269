/**
 * Query options: one declaration an option says how it is parsed, what the OpenAPI document tells about it, and what
 * type the handler gets. What is not declared is refused by name, because an option that is silently ignored
 * (`?recurse=true`, `?consistancy=stale`) does something else than its sender believes.
 */
import type { TSchema } from 'typebox';
import { Type } from 'typebox';

import { KvorumError } from '../errors.ts';
import { parseDuration } from './duration.ts';
import { decodePercent } from './percent.ts';

export interface Option<T> {
  readonly schema: TSchema;
  readonly description: string;
  /** Throws a plain Error whose message ends the sentence "option NAME …". */
  parse(text: string): T;
}

export type QuerySpec = Readonly<Record<string, Option<unknown>>>;

export type QueryOf<S extends QuerySpec> = { readonly [K in keyof S]?: ReturnType<S[K]['parse']> };

export const MAX_TIMEOUT_MS = 60_000;
export const DEFAULT_TIMEOUT_MS = 4000;

const NOTHING = Object.freeze({});

/** Parses what stands behind the `?`. Throws ERR_INVALID_ARGUMENT with `details.option`. */
export function parseQuery<S extends QuerySpec>(raw: string, spec: S): QueryOf<S> {
  if (raw === '') return NOTHING;
  const options: Record<string, unknown> = {};
  let start = 0;
  while (start <= raw.length) {
    let end = raw.indexOf('&', start);
    if (end === -1) end = raw.length;
    if (end > start) parseOne(raw.slice(start, end), spec, options);
    start = end + 1;
  }
  return options as QueryOf<S>;
}

function parseOne(piece: string, spec: QuerySpec, options: Record<string, unknown>): void {
  const equals = piece.indexOf('=');
  const name = decodeForm(equals === -1 ? piece : piece.slice(0, equals));
  if (name === null) throw invalidOption(piece.slice(0, 64), 'is not percent-encoded UTF-8');
  const option = Object.hasOwn(spec, name) ? spec[name] : undefined;
  if (option === undefined) {
    const known = Object.keys(spec);
    const hint = known.length === 0 ? 'this call takes none' : `this call takes ${known.join(', ')}`;
    throw invalidOption(name, `is unknown; ${hint}`);
  }
  if (Object.hasOwn(options, name)) throw invalidOption(name, 'was given twice');
  const text = equals === -1 ? '' : decodeForm(piece.slice(equals + 1));
  if (text === null) throw invalidOption(name, 'is not percent-encoded UTF-8');
  try {
    options[name] = option.parse(text);
  } catch (error) {
    throw invalidOption(name, (error as Error).message);
  }
}

/** In a query `+` is a space, as forms, URLSearchParams and most HTTP libraries write it (in a path it is a plus). */
function decodeForm(piece: string): string | null {
  return decodePercent(piece.includes('+') ? piece.replaceAll('+', ' ') : piece);
}

/** What is thrown for a value that parses, but does not go with the rest of the request. */
export function invalidOption(name: string, reason: string): KvorumError {
  const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
  return new KvorumError('ERR_INVALID_ARGUMENT', `option "${shown}" ${reason}`, { details: { option: shown } });
}

export function text(description: string): Option<string> {
  return { schema: Type.String(), description, parse: (value) => value };
}

/** `true` or `false`; with `bare`, the name alone means true. */
export function flag(description: string, bare = false): Option<boolean> {
  return {
    schema: Type.Boolean({ default: false }),
    description,
    parse(value) {
      if (value === 'true' || (bare && value === '')) return true;
      if (value === 'false') return false;
      throw new Error('must be true or false');
    },
  };
}

export function integer(description: string, minimum: number, maximum: number, more: object = {}): Option<number> {
  const range = maximum === Number.MAX_SAFE_INTEGER ? `at least ${minimum}` : `from ${minimum} to ${maximum}`;
  return {
    schema: Type.Integer({ minimum, maximum, ...more }),
    description,
    parse(value) {
      const number = /^\d{1,16}$/u.test(value) ? Number(value) : Number.NaN;
      if (number >= minimum && number <= maximum) return number;
      throw new Error(`must be a whole number, ${range}`);
    },
  };
}

export function oneOf<const T extends string>(description: string, values: readonly [T, ...T[]]): Option<T> {
  return {
    schema: Type.Enum([...values], { default: values[0] }),
    description,
    parse(value) {
      const found = values.find((known) => known === value);
      if (found === undefined) throw new Error(`must be ${values.join(' or ')}`);
      return found;
    },
  };
}

/** Of every /v1 call. */
export const TIMEOUT: Option<number> = {
  schema: Type.String({ default: '4s', examples: ['250ms', '4s', '1m', '1500'] }),
  description: 'How long the answer may take: milliseconds, or 250ms, 4s, 1m. At most 60s.',
  parse(value) {
    const ms = parseDuration(value);
    if (ms === null || ms === 0) throw new Error('must be a duration such as 1500, 250ms, 4s or 1m');
    if (ms > MAX_TIMEOUT_MS) throw new Error('must be at most 60s');
    return ms;
  },
};
