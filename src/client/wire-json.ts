/** JSON as the HTTP API speaks it, from and to the client's own shapes. */
import { KvorumError } from '../errors.ts';
import type {
  Compare,
  Key,
  KeySpan,
  RawBatch,
  RawEntry,
  RawEvent,
  RawKeyEntry,
  TxnAnswerStep,
  TxnRequest,
  TxnStep,
  Value,
} from './api.ts';
import { base64, base64url, byteKeyOf, byteKeyOfText, bytesOfBase64, textOf, tidyKey, utf8 } from './bytes.ts';

export type Json = Readonly<Record<string, unknown>>;

// --- what nodes say ----------------------------------------------------------------------------------------------

/** An answer without what it has to have is not believed in part. */
export function malformed(what: string): KvorumError {
  return new KvorumError('ERR_INTERNAL', `the answer is not what the API says: ${what}`, { outcome: 'unknown' });
}

export function object(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw malformed(`${what} is not an object`);
}

export function number(json: Json, name: string): number {
  const value = json[name];
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw malformed(`"${name}" is not a number`);
}

export function string(json: Json, name: string): string {
  const value = json[name];
  if (typeof value === 'string') return value;
  throw malformed(`"${name}" is not text`);
}

export function stringOrNull(json: Json, name: string): string | null {
  return json[name] === null || json[name] === undefined ? null : string(json, name);
}

export function boolean(json: Json, name: string): boolean {
  const value = json[name];
  if (typeof value === 'boolean') return value;
  throw malformed(`"${name}" is not true or false`);
}

export function array(json: Json, name: string): readonly unknown[] {
  const value = json[name];
  if (Array.isArray(value)) return value;
  throw malformed(`"${name}" is not a list`);
}

function decodedBase64(written: string): Uint8Array {
  try {
    return bytesOfBase64(written);
  } catch {
    // DOMException of atob.
    throw malformed('base64 that is none');
  }
}

export function keyEntryOfJson(json: Json): RawKeyEntry {
  const written = string(json, 'key');
  const key = json['keyEncoding'] === 'base64url' ? byteKeyOf(decodedBase64(written)) : byteKeyOfText(written);
  return {
    key,
    createRevision: number(json, 'createRevision'),
    modRevision: number(json, 'modRevision'),
    version: number(json, 'version'),
    lease: stringOrNull(json, 'lease'),
  };
}

export function entryOfJson(json: Json): RawEntry {
  const { key, createRevision, modRevision, version, lease } = keyEntryOfJson(json);
  const written = string(json, 'value');
  const value = json['encoding'] === 'base64' ? decodedBase64(written) : utf8(written);
  return { key, value, createRevision, modRevision, version, lease, contentType: stringOrNull(json, 'contentType') };
}

export function entryOrNull(value: unknown): RawEntry | null {
  return value === null ? null : entryOfJson(object(value, 'an entry'));
}

/** Nothing when the answer has no `prev`. */
export function prevOf(json: Json): { prev?: RawEntry | null } {
  return json['prev'] === undefined ? {} : { prev: entryOrNull(json['prev']) };
}

export function listed(value: unknown): RawEntry | RawKeyEntry {
  const json = object(value, 'an entry');
  return 'value' in json ? entryOfJson(json) : keyEntryOfJson(json);
}

export function txnAnswerStep(value: unknown): TxnAnswerStep {
  const json = object(value, 'a response');
  if ('put' in json) return { put: prevOf(object(json['put'], 'put')) };
  if ('delete' in json) {
    const body = object(json['delete'], 'delete');
    return { delete: { deleted: number(body, 'deleted'), ...prevOf(body) } };
  }
  if ('get' in json) return { get: entryOrNull(json['get']) };
  const body = object(json['range'], 'range');
  return { range: { entries: array(body, 'entries').map(listed), count: number(body, 'count') } };
}

export function batchOfJson(json: Json, position: string | null): RawBatch {
  return { revision: number(json, 'revision'), events: array(json, 'events').map(eventOfJson), position };
}

function eventOfJson(value: unknown): RawEvent {
  const json = object(value, 'an event');
  const type = json['type'];
  if (type !== 'put' && type !== 'delete') throw malformed('an event is neither put nor delete');
  if (type === 'put') return { type, entry: entryOfJson(json), ...prevOf(json) };
  // A deletion says which key and when; the rest is what an absent key has.
  const { key, keyEncoding, modRevision } = json;
  const entry = entryOfJson({
    value: '',
    createRevision: 0,
    version: 0,
    key,
    keyEncoding,
    modRevision,
  });
  return { type, entry, ...prevOf(json) };
}

// --- what nodes are told -----------------------------------------------------------------------------------------

export function keyJson(name: string, key: Key): Readonly<Record<string, string>> {
  const tidy = tidyKey(key);
  return typeof tidy === 'string' ? { [name]: tidy } : { [name]: base64url(tidy), keyEncoding: 'base64url' };
}

/** `keyEncoding` stands for both ends of a range. */
export function spanJson(span: KeySpan): Readonly<Record<string, string>> {
  if ('prefix' in span) return keyJson('prefix', span.prefix);
  const start = tidyKey(span.start);
  const end = span.end === null ? null : tidyKey(span.end);
  if (typeof start === 'string' && (end === null || typeof end === 'string')) {
    return end === null ? { start } : { start, end };
  }
  return {
    start: base64url(bytesOf(start)),
    ...(end !== null && { end: base64url(bytesOf(end)) }),
    keyEncoding: 'base64url',
  };
}

export function bytesOf(key: Key): Uint8Array {
  return typeof key === 'string' ? utf8(key) : key;
}

function valueJson(value: Value): Json {
  const text = typeof value === 'string' ? value : textOf(value);
  return text === null ? { value: base64(value as Uint8Array), encoding: 'base64' } : { value: text };
}

export function txnJson(request: TxnRequest): Json {
  return {
    if: request.if.map(compareJson),
    then: request.then.map(stepJson),
    else: request.else.map(stepJson),
  };
}

function compareJson(compare: Compare): Json {
  const { target, operator: op } = compare;
  if (target === 'token') return { lock: compare.lock, target, op, value: compare.value };
  const key = keyJson('key', compare.key);
  return target === 'value'
    ? { ...key, target, op, ...valueJson(compare.value) }
    : { ...key, target, op, value: compare.value };
}

function stepJson(step: TxnStep): Json {
  if ('put' in step) {
    const { key, value, contentType, lease, prev } = step.put;
    return { put: { ...keyJson('key', key), ...valueJson(value), contentType, lease, prev } };
  }
  if ('delete' in step) {
    const { delete: what } = step;
    return { delete: 'key' in what ? { ...keyJson('key', what.key), prev: what.prev } : spanJson(what) };
  }
  if ('get' in step) return { get: keyJson('key', step.get.key) };
  const { limit, keysOnly, ...span } = step.range;
  return { range: { ...spanJson(span), limit, keysOnly } };
}
