/**
 * Transactions: what is asked, built by small functions, and what is answered, typed by what was asked.
 *
 * @example
 * const { succeeded, responses } = await client.txn({
 *   if: [value('stock/7').is('3')],
 *   then: [put('stock/7', '2')],
 *   else: [get('stock/7')],
 * });
 * if (!succeeded) console.log('there are', responses[0].entry?.value);
 */
import type { Compare, CompareOperator, Key, KeySpan, TxnAnswer, TxnAnswerStep, TxnRequest, TxnStep } from './api.ts';
import { encoded } from './codec.ts';
import type { Codec } from './codec.ts';
import { entriesOf, entryOrNull, keyEntryOf } from './entry.ts';
import type { Entry, KeyEntry } from './entry.ts';
import { KvorumError } from '../errors.ts';

// --- conditions --------------------------------------------------------------------------------------------------

/** `I` is what values are compared with; the client's codec writes it, and the bytes are compared. */
export type Guard<I = string> =
  | Exclude<Compare, { readonly target: 'value' }>
  | { readonly target: 'value'; readonly key: Key; readonly operator: CompareOperator; readonly value: I };

/** The value of a key, as bytes in their order. A key that is not there equals nothing, and is neither less nor greater. */
export function value(key: Key): {
  is<I>(other: I): Guard<I>;
  isNot<I>(other: I): Guard<I>;
  lessThan<I>(other: I): Guard<I>;
  greaterThan<I>(other: I): Guard<I>;
} {
  const make =
    (operator: CompareOperator) =>
    <I>(other: I): Guard<I> => ({ target: 'value', key, operator, value: other });
  return { is: make('='), isNot: make('!='), lessThan: make('<'), greaterThan: make('>') };
}

export interface NumberGuards {
  is(other: number): Guard<never>;
  isNot(other: number): Guard<never>;
  lessThan(other: number): Guard<never>;
  greaterThan(other: number): Guard<never>;
}

function numbers(make: (operator: CompareOperator, other: number) => Guard<never>): NumberGuards {
  return {
    is: (other) => make('=', other),
    isNot: (other) => make('!=', other),
    lessThan: (other) => make('<', other),
    greaterThan: (other) => make('>', other),
  };
}

/** Puts since the key was made; 0 for a key that is not there. */
export function version(key: Key): NumberGuards {
  return numbers((operator, other) => ({ target: 'version', key, operator, value: other }));
}

/** Revision at which the key was made; 0 for a key that is not there. */
export function createRevision(key: Key): NumberGuards {
  return numbers((operator, other) => ({ target: 'createRevision', key, operator, value: other }));
}

/** Revision of the last put of the key; 0 for a key that is not there. */
export function modRevision(key: Key): NumberGuards {
  return numbers((operator, other) => ({ target: 'modRevision', key, operator, value: other }));
}

/** The lease that a key hangs on, by its id; null for none. */
export function lease(key: Key): { is(id: string | null): Guard<never>; isNot(id: string | null): Guard<never> } {
  const make =
    (operator: CompareOperator) =>
    (id: string | null): Guard<never> => ({ target: 'lease', key, operator, value: id });
  return { is: make('='), isNot: make('!=') };
}

export function exists(key: Key): Guard<never> {
  return version(key).greaterThan(0);
}

export function missing(key: Key): Guard<never> {
  return version(key).is(0);
}

/** The fencing token of whoever holds the lock; 0 for nobody. With it a write is made only while a lock is held: `token('orders').is(lock.token)`. */
export function token(lock: string): NumberGuards {
  return numbers((operator, other) => ({ target: 'token', lock, operator, value: other }));
}

// --- operations --------------------------------------------------------------------------------------------------

export interface PutOperation<I = string> {
  readonly type: 'put';
  readonly key: Key;
  readonly value: I;
  /** Id of the lease that the key shall hang on. */
  readonly lease?: string | undefined;
  /** Give back the entry that was there. */
  readonly prev?: boolean | undefined;
  /** Default: that of the codec. */
  readonly contentType?: string | undefined;
}

export interface DeleteOperation {
  readonly type: 'delete';
  readonly key: Key;
  readonly prev?: boolean | undefined;
}

export interface DeletePrefixOperation {
  readonly type: 'deletePrefix';
  readonly prefix: Key;
}

export interface GetOperation {
  readonly type: 'get';
  readonly key: Key;
}

export interface RangeOperation<KeysOnly extends boolean = boolean> {
  readonly type: 'range';
  readonly span: KeySpan;
  readonly limit?: number | undefined;
  readonly keysOnly: KeysOnly;
}

export type Operation<I = string> =
  | PutOperation<I>
  | DeleteOperation
  | DeletePrefixOperation
  | GetOperation
  | RangeOperation;

export function put<I>(
  key: Key,
  written: I,
  options: Pick<PutOperation, 'lease' | 'prev' | 'contentType'> = {},
): PutOperation<I> {
  return { type: 'put', key, value: written, ...options };
}

export function del(key: Key, options: Pick<DeleteOperation, 'prev'> = {}): DeleteOperation {
  return { type: 'delete', key, ...options };
}

/** The prefix must not be empty. */
export function delPrefix(prefix: Key): DeletePrefixOperation {
  return { type: 'deletePrefix', prefix };
}

/** Sees what the operations before it wrote. */
export function get(key: Key): GetOperation {
  return { type: 'get', key };
}

/** Up to `limit` entries: 100 by default, at most 1000. Sees what the operations before it wrote. */
export function range(span: KeySpan & { readonly limit?: number; readonly keysOnly?: false }): RangeOperation<false>;
export function range(span: KeySpan & { readonly limit?: number; readonly keysOnly: true }): RangeOperation<true>;
export function range(span: KeySpan & { readonly limit?: number; readonly keysOnly?: boolean }): RangeOperation {
  const { limit, keysOnly = false, ...keys } = span;
  return { type: 'range', span: keys, limit, keysOnly };
}

// --- answers -----------------------------------------------------------------------------------------------------

export interface PutResponse<V = string> {
  readonly type: 'put';
  /** With `prev`: null when there was nothing. */
  readonly prev?: Entry<V> | null;
}

export interface DeleteResponse<V = string> {
  readonly type: 'delete';
  /** Keys. */
  readonly deleted: number;
  readonly prev?: Entry<V> | null;
}

export interface GetResponse<V = string> {
  readonly type: 'get';
  readonly entry: Entry<V> | null;
}

export interface RangeResponse<E = Entry> {
  readonly type: 'range';
  readonly entries: readonly E[];
  /** Keys in the range, also those beyond the limit. */
  readonly count: number;
}

export type ResponseOf<O, V> = O extends { readonly type: 'put' }
  ? PutResponse<V>
  : O extends { readonly type: 'delete' | 'deletePrefix' }
    ? DeleteResponse<V>
    : O extends { readonly type: 'get' }
      ? GetResponse<V>
      : O extends RangeOperation<infer KeysOnly>
        ? RangeResponse<KeysOnly extends true ? KeyEntry : Entry<V>>
        : never;

/** One response an operation, in their order. */
export type ResponsesOf<O extends readonly unknown[], V> = { readonly [K in keyof O]: ResponseOf<O[K], V> };

/** All conditions hold: `then`, otherwise `else`. What is absent is empty. At most 128 operations. */
export interface Transaction<
  I = string,
  T extends readonly Operation<I>[] = readonly Operation<I>[],
  E extends readonly Operation<I>[] = readonly Operation<I>[],
> {
  readonly if?: readonly Guard<I>[];
  readonly then?: T;
  readonly else?: E;
}

export type TransactionResult<V, T extends readonly unknown[], E extends readonly unknown[]> =
  | {
      /** The conditions held, and `then` was done. */
      readonly succeeded: true;
      /** Of what it wrote; the current one when it wrote nothing. */
      readonly revision: number;
      readonly responses: ResponsesOf<T, V>;
    }
  | { readonly succeeded: false; readonly revision: number; readonly responses: ResponsesOf<E, V> };

// --- from and to the protocol --------------------------------------------------------------------------------------

export async function txnRequest<I>(transaction: Transaction<I>, codec: Codec<unknown, I>): Promise<TxnRequest> {
  const [guards, onSuccess, onFailure] = await Promise.all([
    Promise.all((transaction.if ?? []).map((guard) => compareOf(guard, codec))),
    Promise.all((transaction.then ?? []).map((operation) => stepOf(operation, codec))),
    Promise.all((transaction.else ?? []).map((operation) => stepOf(operation, codec))),
  ]);
  return { if: guards, then: onSuccess, else: onFailure };
}

async function compareOf<I>(guard: Guard<I>, codec: Codec<unknown, I>): Promise<Compare> {
  return guard.target === 'value' ? { ...guard, value: await encoded(codec, guard.value) } : guard;
}

async function stepOf<I>(operation: Operation<I>, codec: Codec<unknown, I>): Promise<TxnStep> {
  switch (operation.type) {
    case 'put': {
      const { key, lease: id, prev, contentType = codec.contentType } = operation;
      return { put: { key, value: await encoded(codec, operation.value), contentType, lease: id, prev } };
    }
    case 'delete':
      return { delete: { key: operation.key, prev: operation.prev } };
    case 'deletePrefix':
      if (operation.prefix.length === 0) {
        throw new KvorumError('ERR_INVALID_ARGUMENT', 'delPrefix of an empty prefix would delete every key');
      }
      return { delete: { prefix: operation.prefix } };
    case 'get':
      return { get: { key: operation.key } };
    case 'range':
      return { range: { ...operation.span, limit: operation.limit, keysOnly: operation.keysOnly } };
  }
}

export async function txnResult<V>(
  { succeeded, revision, responses }: TxnAnswer,
  transaction: Transaction<unknown>,
  codec: Codec<V, never>,
): Promise<TransactionResult<V, readonly unknown[], readonly unknown[]>> {
  const operations = (succeeded ? transaction.then : transaction.else) ?? [];
  if (operations.length !== responses.length) {
    throw new KvorumError(
      'ERR_INTERNAL',
      `a transaction of ${operations.length} operations was answered with ${responses.length} responses`,
      { outcome: 'unknown' },
    );
  }
  const typed = await Promise.all(responses.map((response, i) => responseOf(response, operations[i]!, codec)));
  return { succeeded, revision, responses: typed as never };
}

async function responseOf<V>(
  response: TxnAnswerStep,
  operation: Operation<unknown>,
  codec: Codec<V, never>,
): Promise<PutResponse<V> | DeleteResponse<V> | GetResponse<V> | RangeResponse<Entry<V> | KeyEntry>> {
  if ('put' in response) {
    const { prev } = response.put;
    return prev === undefined ? { type: 'put' } : { type: 'put', prev: await entryOrNull(prev, codec) };
  }
  if ('delete' in response) {
    const { deleted, prev } = response.delete;
    if (prev === undefined) return { type: 'delete', deleted };
    return { type: 'delete', deleted, prev: await entryOrNull(prev, codec) };
  }
  if ('get' in response) return { type: 'get', entry: await entryOrNull(response.get, codec) };
  const { entries, count } = response.range;
  const keysOnly = operation.type === 'range' && operation.keysOnly;
  return { type: 'range', entries: keysOnly ? entries.map(keyEntryOf) : await entriesOf(entries, codec), count };
}
