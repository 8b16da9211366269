/** Transactions as JSON: requests are read, answers are written. Shapes: requests.ts and schemas.ts. */
import { Buffer } from 'node:buffer';

import { KvorumError } from '../errors.ts';
import type { CompareOperator } from '../kv/types.ts';
import type {
  KeySpan,
  TxnAnswer,
  TxnAnswerStep,
  TxnCompare,
  TxnRequest,
  TxnRequestStep,
} from '../node/coordination.ts';
import type { Key, Value } from '../node/types.ts';
import { invalidField, isId, join, objectOf, parseFields, textField } from './body.ts';
import { entryJson } from './entry-json.ts';
import { keyOfOption } from './key-path.ts';
import type { KeyEncoding } from './key-path.ts';
import { checkName } from './name-path.ts';
import { TXN_DELETE, TXN_GET, TXN_PUT, TXN_RANGE } from './requests.ts';

/** Conditions of a transaction, and operations of each branch: one branch alone is carried out. */
export const MAX_TXN_OPERATIONS = 128;

const OPERATORS: readonly CompareOperator[] = ['=', '!=', '<', '>'];
const NUMERIC = ['version', 'createRevision', 'modRevision'] as const;
const TARGETS = ['value', ...NUMERIC, 'lease'];
const STEPS = ['put', 'delete', 'get', 'range'];

const text = textField('');

/** Throws ERR_INVALID_ARGUMENT or ERR_BAD_KEY, with `details.field` such as `then[0].put.key`. */
export function parseTxn(body: unknown): TxnRequest {
  const given = objectOf(body, '');
  refuseOthers(given, ['if', 'then', 'else'], '');
  const conditions = listOf(given['if'], 'if').map((item, i) => compareOf(item, `if[${i}]`));
  const steps = (name: string): TxnRequestStep[] =>
    listOf(given[name], name).map((item, i) => stepOf(item, `${name}[${i}]`));
  return { if: conditions, then: steps('then'), else: steps('else') };
}

function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidField(path, 'must be a list');
  if (value.length > MAX_TXN_OPERATIONS) throw invalidField(path, `has more than ${MAX_TXN_OPERATIONS} items`);
  return value as unknown[];
}

function refuseOthers(given: Readonly<Record<string, unknown>>, known: readonly string[], path: string): void {
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    throw invalidField(join(path, name.slice(0, 64)), `is unknown; known here are ${known.join(', ')}`);
  }
}

// --- conditions --------------------------------------------------------------------------------------------------

function compareOf(item: unknown, path: string): TxnCompare {
  const given = objectOf(item, path);
  const at = (name: string): string => join(path, name);
  if (Object.hasOwn(given, 'lock')) {
    refuseOthers(given, ['lock', 'target', 'op', 'value'], path);
    const lock = text.parse(given['lock'], at('lock'));
    checkName(lock, at('lock'));
    if (given['target'] !== 'token') throw invalidField(at('target'), 'of a lock must be token');
    return { lock, target: 'token', operator: operatorOf(given, path), value: numberOf(given, path) };
  }
  refuseOthers(given, ['key', 'keyEncoding', 'target', 'op', 'value', 'encoding'], path);
  if (!Object.hasOwn(given, 'key')) throw invalidField(at('key'), 'is missing (or "lock")');
  const key = keyOf(text.parse(given['key'], at('key')), encodingOf(given, path), at('key'));
  const target = given['target'];
  const operator = operatorOf(given, path);
  if (Object.hasOwn(given, 'encoding') && target !== 'value') {
    throw invalidField(at('encoding'), 'is for the target value only');
  }
  const number = NUMERIC.find((known) => known === target);
  if (number !== undefined) return { key, target: number, operator, value: numberOf(given, path) };
  if (target === 'value') {
    if (!Object.hasOwn(given, 'value')) throw invalidField(at('value'), 'is missing');
    const value = text.parse(given['value'], at('value'));
    return { key, target, operator, value: valueOf(value, valueEncodingOf(given, path), at('value')) };
  }
  if (target === 'lease') {
    const value = given['value'];
    if (value === null || (typeof value === 'string' && isId(value))) return { key, target, operator, value };
    throw invalidField(at('value'), 'must be a lease id (decimal digits, as text), or null for none');
  }
  throw invalidField(at('target'), `must be ${TARGETS.join(' or ')}`);
}

function operatorOf(given: Readonly<Record<string, unknown>>, path: string): CompareOperator {
  const operator = OPERATORS.find((known) => known === given['op']);
  if (operator === undefined) throw invalidField(join(path, 'op'), `must be ${OPERATORS.join(' or ')}`);
  return operator;
}

function numberOf(given: Readonly<Record<string, unknown>>, path: string): number {
  const value = given['value'];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalidField(join(path, 'value'), 'must be a whole number, at least 0');
}

function encodingOf(given: Readonly<Record<string, unknown>>, path: string): KeyEncoding | undefined {
  if (!Object.hasOwn(given, 'keyEncoding')) return undefined;
  return TXN_GET.keyEncoding.parse(given['keyEncoding'], join(path, 'keyEncoding'));
}

function valueEncodingOf(given: Readonly<Record<string, unknown>>, path: string): 'utf8' | 'base64' | undefined {
  if (!Object.hasOwn(given, 'encoding')) return undefined;
  return TXN_PUT.encoding.parse(given['encoding'], join(path, 'encoding'));
}

// --- operations --------------------------------------------------------------------------------------------------

function stepOf(item: unknown, path: string): TxnRequestStep {
  const given = objectOf(item, path);
  refuseOthers(given, STEPS, path);
  const [name, more] = Object.keys(given);
  if (name === undefined || more !== undefined) throw invalidField(path, `must have one of ${STEPS.join(', ')}`);
  const inner = join(path, name);
  switch (name) {
    case 'put':
      return putOf(given[name], inner);
    case 'delete':
      return deleteOf(given[name], inner);
    case 'get': {
      const { key, keyEncoding } = parseFields(given[name], TXN_GET, inner);
      return { get: { key: keyOf(key, keyEncoding, join(inner, 'key')) } };
    }
    default: {
      const fields = parseFields(given[name], TXN_RANGE, inner);
      const { limit, keysOnly } = fields;
      return {
        range: {
          ...spanOf(fields, inner),
          ...(limit !== undefined && { limit }),
          ...(keysOnly !== undefined && { keysOnly }),
        },
      };
    }
  }
}

function putOf(item: unknown, path: string): TxnRequestStep {
  const { key, keyEncoding, value, encoding, contentType, lease, prev } = parseFields(item, TXN_PUT, path);
  if (contentType !== undefined && !/^[\x20-\x7e]+$/u.test(contentType)) {
    throw invalidField(join(path, 'contentType'), 'must be printable ASCII');
  }
  return {
    put: {
      key: keyOf(key, keyEncoding, join(path, 'key')),
      value: valueOf(value, encoding, join(path, 'value')),
      ...(contentType !== undefined && { contentType }),
      ...(lease !== undefined && { lease }),
      ...(prev !== undefined && { prev }),
    },
  };
}

function deleteOf(item: unknown, path: string): TxnRequestStep {
  const fields = parseFields(item, TXN_DELETE, path);
  const { key, keyEncoding, prefix, start, end, prev } = fields;
  if (key === undefined) {
    if (prev !== undefined) throw invalidField(join(path, 'prev'), 'is for a single key only');
    if (prefix === undefined && start === undefined) throw invalidField(join(path, 'key'), 'is missing (or "prefix")');
    return { delete: spanOf(fields, path) };
  }
  if (prefix !== undefined || start !== undefined || end !== undefined) {
    throw invalidField(join(path, 'key'), 'excludes "prefix", "start" and "end"');
  }
  return { delete: { key: keyOf(key, keyEncoding, join(path, 'key')), ...(prev !== undefined && { prev }) } };
}

interface SpanFields {
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
  readonly keyEncoding?: KeyEncoding;
}

function spanOf({ prefix, start, end, keyEncoding }: SpanFields, path: string): KeySpan {
  const boundOf = (name: string, given: string): Key => decoded(given, keyEncoding, join(path, name));
  if (prefix !== undefined) {
    if (start !== undefined || end !== undefined) {
      throw invalidField(join(path, 'prefix'), 'excludes "start" and "end"');
    }
    return { prefix: boundOf('prefix', prefix) };
  }
  if (start === undefined && end === undefined) throw invalidField(join(path, 'prefix'), 'is missing (or "start")');
  // Empty is the same as absent, as in the query of a list.
  return {
    start: boundOf('start', start ?? ''),
    end: end === undefined || end === '' ? null : boundOf('end', end),
  };
}

function keyOf(given: string, encoding: KeyEncoding | undefined, path: string): Key {
  if (given === '') throw badKey(path, 'is empty');
  return decoded(given, encoding, path);
}

function decoded(given: string, encoding: KeyEncoding | undefined, path: string): Key {
  try {
    return keyOfOption(given, encoding);
  } catch (error) {
    throw badKey(path, (error as Error).message);
  }
}

function badKey(field: string, reason: string): KvorumError {
  return new KvorumError('ERR_BAD_KEY', `field "${field}" ${reason}`, { details: { field } });
}

function valueOf(given: string, encoding: 'utf8' | 'base64' | undefined, path: string): Value {
  if (encoding !== 'base64') return given;
  const bytes = Buffer.from(given, 'base64');
  // Node skips what it does not understand; encoding it again shows whether it understood all of it. Padding is optional.
  if (bytes.toString('base64').replace(/=+$/u, '') !== given.replace(/={1,2}$/u, '')) {
    throw invalidField(path, 'is not base64 (A-Z a-z 0-9 + /)');
  }
  return bytes;
}

// --- answers -----------------------------------------------------------------------------------------------------

export function txnAnswerJson({ succeeded, revision, responses }: TxnAnswer): string {
  return `{"succeeded":${succeeded},"revision":${revision},"responses":[${responses.map(responseJson).join(',')}]}`;
}

function responseJson(response: TxnAnswerStep): string {
  if ('put' in response) return `{"put":{${prevJson(response.put.prev)}}}`;
  if ('delete' in response) {
    const { deleted, prev } = response.delete;
    return `{"delete":{"deleted":${deleted}${prev === undefined ? '' : `,${prevJson(prev)}`}}}`;
  }
  if ('get' in response) return `{"get":${response.get === null ? 'null' : entryJson(response.get)}}`;
  const { entries, count } = response.range;
  return `{"range":{"entries":[${entries.map(entryJson).join(',')}],"count":${count}}}`;
}

function prevJson(prev: Parameters<typeof entryJson>[0] | null | undefined): string {
  if (prev === undefined) return '';
  return `"prev":${prev === null ? 'null' : entryJson(prev)}`;
}
