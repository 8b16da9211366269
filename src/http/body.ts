/**
 * JSON bodies: one declaration a field says how it is parsed, what the OpenAPI document tells about it, and what type
 * the handler gets; the counterpart of query.ts. What is not declared is refused by name, for the same reason.
 */
import { Buffer } from 'node:buffer';

import type { TSchema } from 'typebox';
import { Type } from 'typebox';

import { KvorumError } from '../errors.ts';
import { parseDuration } from './duration.ts';

export interface Field<T> {
  readonly schema: TSchema;
  readonly required: boolean;
  /** `path` is how the field is called in an error. Throws ERR_INVALID_ARGUMENT. */
  parse(value: unknown, path: string): T;
}

export type RequiredField<T> = Field<T> & { readonly required: true };
export type BodySpec = Readonly<Record<string, Field<unknown>>>;

type RequiredNames<S extends BodySpec> = {
  [K in keyof S]: S[K] extends { readonly required: true } ? K : never;
}[keyof S];

export type BodyOf<S extends BodySpec> = { readonly [K in RequiredNames<S>]: ReturnType<S[K]['parse']> } & {
  readonly [K in Exclude<keyof S, RequiredNames<S>>]?: ReturnType<S[K]['parse']>;
};

/** Makes something of a whole body. */
export type BodyParser<T> = (value: unknown) => T;

export function bodyParser<S extends BodySpec>(spec: S): BodyParser<BodyOf<S>> {
  return (value) => parseFields(value, spec, '');
}

/** The object that `spec` describes. `path` is empty for the body itself. */
export function parseFields<S extends BodySpec>(value: unknown, spec: S, path: string): BodyOf<S> {
  const given = objectOf(value, path);
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(spec, name)) continue;
    const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
    const known = Object.keys(spec);
    throw invalidField(
      join(path, shown),
      known.length === 0 ? 'is unknown; there are none here' : `is unknown; known here are ${known.join(', ')}`,
    );
  }
  const fields: Record<string, unknown> = {};
  for (const name in spec) {
    const field = spec[name]!;
    if (Object.hasOwn(given, name)) fields[name] = field.parse(given[name], join(path, name));
    else if (field.required) throw invalidField(join(path, name), 'is missing');
  }
  return fields as BodyOf<S>;
}

export function objectOf(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  if (path === '') throw new KvorumError('ERR_INVALID_ARGUMENT', 'the body must be a JSON object');
  throw invalidField(path, 'must be an object');
}

export function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

export function invalidField(field: string, reason: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', `field "${field}" ${reason}`, { details: { field } });
}

/** The schema of the object, for the OpenAPI document. */
export function schemaOf(spec: BodySpec, description: string): TSchema {
  const properties = Object.entries(spec).map(
    ([name, { schema, required }]) => [name, required ? schema : Type.Optional(schema)] as const,
  );
  return Type.Object(Object.fromEntries(properties), { additionalProperties: false, description });
}

export function required<T>(field: Field<T>): RequiredField<T> {
  return { ...field, required: true };
}

// --- kinds of fields ---------------------------------------------------------------------------------------------

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Text that has a UTF-8 form; JSON can write text that has none ("\ud800"). */
export function textField(description: string, { maxBytes, minBytes = 0 }: TextBounds = {}): Field<string> {
  return {
    schema: Type.String({ description, ...(minBytes > 0 && { minLength: minBytes }) }),
    required: false,
    parse(value, path) {
      if (typeof value !== 'string') throw invalidField(path, 'must be text');
      if (LONE_SURROGATE.test(value)) throw invalidField(path, 'is not well-formed Unicode');
      if (minBytes > 0 && value === '') throw invalidField(path, 'is empty');
      if (maxBytes !== undefined && Buffer.byteLength(value) > maxBytes) {
        throw invalidField(path, `is longer than ${maxBytes} bytes`);
      }
      return value;
    },
  };
}

export interface TextBounds {
  readonly maxBytes?: number;
  /** 0 or 1. */
  readonly minBytes?: number;
}

export function choiceField<const T extends string>(description: string, values: readonly [T, ...T[]]): Field<T> {
  return {
    schema: Type.Enum([...values], { description }),
    required: false,
    parse(value, path) {
      const found = values.find((known) => known === value);
      if (found === undefined) throw invalidField(path, `must be ${values.join(' or ')}`);
      return found;
    },
  };
}

export function flagField(description: string): Field<boolean> {
  return {
    schema: Type.Boolean({ description, default: false }),
    required: false,
    parse(value, path) {
      if (typeof value !== 'boolean') throw invalidField(path, 'must be true or false');
      return value;
    },
  };
}

export function integerField(
  description: string,
  minimum: number,
  maximum: number = Number.MAX_SAFE_INTEGER,
  more: object = {},
): Field<number> {
  const above = minimum === Number.MIN_SAFE_INTEGER ? '' : `, at least ${minimum}`;
  const range = maximum === Number.MAX_SAFE_INTEGER ? above : `, from ${minimum} to ${maximum}`;
  return {
    schema: Type.Integer({ description, minimum, maximum, ...more }),
    required: false,
    parse(value, path) {
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum && value <= maximum) {
        return value === 0 ? 0 : value; // no -0
      }
      throw invalidField(path, `must be a whole number${range}`);
    },
  };
}

/** Milliseconds, as a number or with a unit. */
export function durationField(
  description: string,
  minimumMs: number,
  maximumMs: number,
  standard: string,
): Field<number> {
  return {
    schema: Type.Union([Type.Integer({ minimum: minimumMs, maximum: maximumMs }), Type.String()], {
      description: `${description}. Milliseconds, or text such as "250ms", "15s", "5m", "1h"`,
      default: standard,
    }),
    required: false,
    parse(value, path) {
      const ms = parseDuration(value);
      if (ms === null) throw invalidField(path, 'must be a duration such as 1500, "250ms", "15s", "5m" or "1h"');
      if (ms < minimumMs) throw invalidField(path, `must be at least ${minimumMs} ms`);
      if (ms > maximumMs) throw invalidField(path, `must be at most ${maximumMs} ms`);
      return ms;
    },
  };
}

const DECIMAL_ID = /^\d{1,20}$/u;

export function isId(text: string): boolean {
  return DECIMAL_ID.test(text);
}

export function idField(description: string): Field<string> {
  return {
    schema: Type.String({ description, pattern: '^[0-9]{1,20}$' }),
    required: false,
    parse(value, path) {
      if (typeof value === 'string' && isId(value)) return value;
      throw invalidField(path, 'must be an id: decimal digits, as text');
    },
  };
}

/** Anything that JSON can say, up to so many bytes of it. */
export function jsonField(description: string, maxBytes: number): Field<unknown> {
  return {
    schema: Type.Unknown({ description: `${description}. Any JSON up to ${maxBytes} bytes` }),
    required: false,
    parse(value, path) {
      if (depthExceeds(value, MAX_DEPTH)) throw invalidField(path, `is nested deeper than ${MAX_DEPTH} levels`);
      if (Buffer.byteLength(JSON.stringify(value)) > maxBytes) {
        throw invalidField(path, `is longer than ${maxBytes} bytes of JSON`);
      }
      return value;
    },
  };
}

/** A JSON object, up to so many bytes of it. */
export function objectField(description: string, maxBytes: number): Field<Readonly<Record<string, unknown>>> {
  const any = jsonField(description, maxBytes);
  return {
    schema: Type.Object(
      {},
      { additionalProperties: true, description: `${description}. Up to ${maxBytes} bytes of JSON` },
    ),
    required: false,
    parse(value, path) {
      any.parse(value, path);
      return objectOf(value, path);
    },
  };
}

/** Writing JSON recurses, and a body has room for nesting that no stack has. */
const MAX_DEPTH = 64;

function depthExceeds(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => depthExceeds(inner, levels - 1));
}
