/**
 * Arguments as they come from outside. Whoever sends them knows the cluster's secret, but may be old, new or broken: nothing gets into a command, and so into the log, that is not
 * of the type that it is taken for. Ranges and sizes are checked by whom it is meant for, as for every caller.
 */
import type { Once } from '../../machine/types.ts';
import { invalid } from '../calls.ts';
import type { HolderOf, KeySpan, TxnCompare, TxnRequest, TxnRequestStep } from '../coordination.ts';
import type { Key, NewMember, Value, WriteOptions } from '../types.ts';

/** As for HTTP. */
const MAX_CONTENT_TYPE_LENGTH = 256;
const OPERATORS = ['=', '!=', '<', '>'] as const;

function wrong(what: string): Error {
  return invalid(`${what} is missing, or of another type`);
}

type Plain = Readonly<Record<string, unknown>>;

export function plain(value: unknown, what: string): Plain {
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    throw wrong(what);
  return value as Plain;
}

export function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw wrong(what);
  return value;
}

export function number(value: unknown, what: string): number {
  if (typeof value !== 'number') throw wrong(what);
  return value;
}

function boolean(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw wrong(what);
  return value;
}

/** Text or bytes. Bytes of a frame belong to whoever received it. */
export function key(value: unknown, what = 'key'): Key {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) throw wrong(what);
  return value;
}

export function value(given: unknown): Value {
  return key(given, 'value');
}

export function contentType(given: unknown): string {
  const type = text(given, 'contentType');
  if (type.length > MAX_CONTENT_TYPE_LENGTH) {
    throw invalid(`contentType is longer than ${MAX_CONTENT_TYPE_LENGTH} characters`);
  }
  return type;
}

/** Null, a key, or [session, sequence, lowestUnanswered]. */
export function encodeOnce(once: Once | null | undefined): unknown {
  if (once === null || once === undefined) return null;
  return 'key' in once ? once.key : [once.session, once.sequence, once.lowestUnanswered];
}

export function once(given: unknown): Once {
  if (typeof given === 'string') return { key: given };
  if (!Array.isArray(given)) throw wrong('once');
  return {
    session: text(given[0], 'session'),
    sequence: number(given[1], 'sequence'),
    lowestUnanswered: number(given[2], 'lowestUnanswered'),
  };
}

export type Condition = NonNullable<WriteOptions['condition']>;

/** A revision, or whether there has to be anything. */
export function encodeCondition(condition: Condition | undefined): unknown {
  if (condition === undefined) return null;
  return condition.type === 'modRevision' ? condition.revision : condition.type === 'exists';
}

export function condition(given: unknown): Condition {
  if (typeof given === 'boolean') return { type: given ? 'exists' : 'absent' };
  const revision = number(given, 'condition');
  if (!Number.isSafeInteger(revision) || revision < 0) throw invalid('condition must be a revision');
  return { type: 'modRevision', revision };
}

/** JSON as text: what an owner says of itself need not be fit for anything else. */
export function encodeJson(given: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(given) as string | undefined;
  } catch {
    // A circle or a BigInt.
    throw invalid('owner must be JSON');
  }
  if (json === undefined) throw invalid('owner must be JSON');
  return json;
}

function json(given: unknown): unknown {
  try {
    return JSON.parse(text(given, 'owner')) as unknown;
  } catch {
    // SyntaxError
    throw invalid('owner must be JSON');
  }
}

export function span(given: unknown): KeySpan {
  const fields = plain(given, 'range');
  if ('prefix' in fields) return { prefix: key(fields['prefix'], 'prefix') };
  const { end } = fields;
  return { start: key(fields['start'], 'start'), end: end === null ? null : key(end, 'end') };
}

/** A key, or [id of a node]. */
export function encodeTarget(given: string | { readonly node: string }): unknown {
  return typeof given === 'string' ? given : [given.node];
}

export function target(given: unknown): string | { readonly node: string } {
  return Array.isArray(given) ? { node: text(given[0], 'node') } : text(given, 'key');
}

export function holder(given: unknown): HolderOf {
  if (typeof given === 'string') return { lease: given };
  return { token: number(given, 'holder') };
}

export function encodeHolder(given: HolderOf): unknown {
  return 'lease' in given ? given.lease : given.token;
}

function oneOf<const T extends string>(...words: readonly T[]): (value: unknown, name: string) => T {
  return (given, name) => {
    const word = words.find((one) => one === given);
    if (word === undefined) throw invalid(`${name} must be one of ${words.join(', ')}`);
    return word;
  };
}

/** How options travel: those that are there, by name. */
type Spec = Readonly<Record<string, (value: unknown, name: string) => unknown>>;

const CALL = { timeoutMs: number };
const MUTATION = { ...CALL, once };
export const consistency = oneOf('linearizable', 'stale');
const QUERY = { ...CALL, paths: number, trace: boolean };
const READ = { ...CALL, consistency, revision: number };
const ACQUIRE = { ...MUTATION, lease: text, ttlMs: number, waitMs: number, keepPlace: boolean, owner: json };

export const OPTIONS = {
  call: CALL,
  mutation: MUTATION,
  list: {
    ...READ,
    prefix: key,
    start: key,
    end: key,
    limit: number,
    cursor: text,
    keysOnly: boolean,
    countOnly: boolean,
  },
  watch: {
    ...CALL,
    key,
    prefix: key,
    start: key,
    end: (given: unknown, name: string) => (given === null ? null : key(given, name)),
    from: number,
    prev: boolean,
    filter: oneOf('put', 'delete'),
  },
  grant: { ...MUTATION, ttlMs: number, owner: json },
  after: { ...CALL, after: text, prefix: text },
  lock: { ...ACQUIRE, mode: oneOf('exclusive', 'read', 'write'), permits: number, delayMs: number },
  campaign: { ...ACQUIRE, value: text },
  enter: { ...ACQUIRE, parties: number },
  query: QUERY,
  dhtPut: { ...QUERY, ttlMs: number },
  token: { ...CALL, ttlMs: number, role: oneOf('voter', 'learner', 'agent') },
};

export type Options<S extends Spec> = { -readonly [K in keyof S]?: ReturnType<S[K]> };

/** Those of `given` that are known, each of its type. What a newer caller says beside them is passed over. */
export function options<S extends Spec>(given: unknown, spec: S): Options<S> {
  const known: Record<string, unknown> = {};
  if (given === undefined || given === null) return known as Options<S>;
  const fields = plain(given, 'options');
  for (const name of Object.keys(fields)) {
    const check = Object.hasOwn(spec, name) ? spec[name] : undefined;
    const field = fields[name];
    if (check !== undefined && field !== undefined) known[name] = check(field, name);
  }
  return known as Options<S>;
}

/** The other way: without what is not there, nor the signal, which travels as a request of its own. */
export function encodeOptions(given: object | undefined): Record<string, unknown> | null {
  if (given === undefined) return null;
  const fields: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(given) as [string, unknown][]) {
    if (field === undefined || name === 'signal') continue;
    if (name === 'once') fields['once'] = encodeOnce(field as Once);
    else fields[name] = name === 'owner' ? encodeJson(field) : field;
  }
  return fields;
}

const MEMBER = { role: oneOf('voter', 'learner'), replaces: text };

export function newMember(given: unknown): NewMember {
  const fields = plain(given, 'member');
  return {
    name: text(fields['name'], 'name'),
    peerId: text(fields['peerId'], 'peerId'),
    address: text(fields['address'], 'address'),
    ...options(fields, MEMBER),
  };
}

export function txnRequest(given: unknown): TxnRequest {
  const fields = plain(given, 'transaction');
  const list = <T>(name: string, read: (one: unknown) => T): T[] => {
    const items = fields[name] ?? [];
    if (!Array.isArray(items)) throw wrong(name);
    return (items as unknown[]).map(read);
  };
  return { if: list('if', compare), then: list('then', step), else: list('else', step) };
}

function compare(given: unknown): TxnCompare {
  const { target, operator, value: wanted, ...rest } = plain(given, 'condition');
  const known = OPERATORS.find((one) => one === operator);
  if (known === undefined) throw wrong('operator');
  switch (target) {
    case 'token':
      return { target, lock: text(rest['lock'], 'lock'), operator: known, value: number(wanted, 'value') };
    case 'value':
      return { target, key: key(rest['key']), operator: known, value: value(wanted) };
    case 'lease':
      return { target, key: key(rest['key']), operator: known, value: wanted === null ? null : text(wanted, 'value') };
    case 'version':
    case 'createRevision':
    case 'modRevision':
      return { target, key: key(rest['key']), operator: known, value: number(wanted, 'value') };
    default:
      throw wrong('target');
  }
}

function step(given: unknown): TxnRequestStep {
  const fields = plain(given, 'step');
  if ('put' in fields) {
    const put = plain(fields['put'], 'put');
    return {
      put: {
        key: key(put['key']),
        value: value(put['value']),
        ...options(put, { contentType, lease: text, prev: boolean }),
      },
    };
  }
  if ('delete' in fields) {
    const what = plain(fields['delete'], 'delete');
    if ('key' in what) return { delete: { key: key(what['key']), ...options(what, { prev: boolean }) } };
    return { delete: span(what) };
  }
  if ('get' in fields) return { get: { key: key(plain(fields['get'], 'get')['key']) } };
  const range = plain(fields['range'], 'step');
  return { range: { ...span(range), ...options(range, { limit: number, keysOnly: boolean }) } };
}
