/**
 * Puts, gets, deletes and lists of one group: checks what the caller gave, proposes or confirms a read, and turns the outcome into an
 * answer or a KvorumError.
 */
import type { KeyRange } from '../kv/types.ts';
import { checkLeaseId, invalid, prefixBounds, unexpected, written, type Calls, type Done } from './calls.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type {
  DeleteAnswer,
  GetAnswer,
  Key,
  ListAnswer,
  ListOptions,
  MutationOptions,
  PutAnswer,
  PutOptions,
  ReadOptions,
  Value,
  WriteOptions,
} from './types.ts';

const DEFAULT_LIST_LIMIT = 100;
const MAX_LIST_LIMIT = 1000;
/** Keys and values in one answer: a thousand values of the largest size would be a gigabyte. What is left comes with the cursor. */
const MAX_LIST_BYTES = 8 * 1024 * 1024;

export class KvService {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  async put(key: Key, value: Value, options: PutOptions = {}): Promise<PutAnswer> {
    const result = await this.#calls.propose(
      {
        type: 'put',
        key: this.#calls.key(key),
        value: this.#calls.value(value),
        contentType: options.contentType ?? null,
        lease: options.lease === undefined ? null : checkLeaseId(options.lease),
        prev: options.prev ?? false,
        condition: options.condition ?? null,
      },
      options,
    );
    if (!('created' in result)) throw unexpected();
    const answer = { ...written(result), created: result.created };
    return result.prev === undefined ? answer : { ...answer, prev: result.prev };
  }

  async delete(key: Key, options: WriteOptions = {}): Promise<DeleteAnswer> {
    const result = await this.#calls.propose(
      {
        type: 'delete',
        key: this.#calls.key(key),
        prev: options.prev ?? false,
        condition: options.condition ?? null,
      },
      options,
    );
    return deleteAnswer(result);
  }

  async deleteRange(
    range: { prefix: Key } | { start: Key; end: Key | null },
    options: MutationOptions = {},
  ): Promise<DeleteAnswer> {
    return deleteAnswer(await this.#calls.propose({ type: 'deleteRange', ...this.#calls.span(range) }, options));
  }

  async get(key: Key, options: ReadOptions = {}): Promise<GetAnswer> {
    const byteKey = this.#calls.key(key);
    checkRevision(options.revision);
    await this.#calls.confirm(options);
    const { machine } = this.#calls;
    const { revision } = options;
    if (revision === undefined) return { revision: machine.revision, entry: machine.kv.get(byteKey) };
    return { revision: machine.revision, entry: machine.kv.getAt(byteKey, revision) };
  }

  async list(options: ListOptions = {}): Promise<ListAnswer> {
    const limit = options.limit ?? DEFAULT_LIST_LIMIT;
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIST_LIMIT) {
      throw invalid(`limit must be a whole number from 1 to ${MAX_LIST_LIMIT}, not ${String(limit)}`);
    }
    const cursor = options.cursor === undefined ? null : decodeCursor(options.cursor);
    const bounds = cursor === null ? this.#bounds(options) : { start: cursor.start, end: cursor.end };
    if (cursor !== null && options.revision !== undefined && options.revision !== cursor.revision) {
      throw invalid(`revision ${options.revision} does not fit a cursor of revision ${cursor.revision}`);
    }
    checkRevision(options.revision);
    await this.#calls.confirm(options);
    const { machine } = this.#calls;
    const revision = cursor?.revision ?? options.revision ?? machine.revision;
    const result = machine.kv.range(
      {
        ...bounds,
        limit,
        after: cursor?.after ?? null,
        keysOnly: options.keysOnly ?? false,
        countOnly: options.countOnly ?? false,
        maxBytes: MAX_LIST_BYTES,
        knownCount: cursor?.count ?? null,
      },
      revision,
    );
    const { entries, count, more } = result;
    const last = entries.at(-1);
    const nextCursor =
      more && last !== undefined ? encodeCursor({ ...bounds, revision, after: last.key, count }) : null;
    return { revision, entries, count, nextCursor };
  }

  #bounds(options: ListOptions): KeyRange {
    const { prefix, start, end } = options;
    if (prefix !== undefined && (start !== undefined || end !== undefined)) {
      throw invalid('prefix cannot be combined with start or end');
    }
    if (prefix !== undefined) return prefixBounds(this.#calls.bound(prefix));
    return {
      start: start === undefined ? '' : this.#calls.bound(start),
      end: end === undefined ? null : this.#calls.bound(end),
    };
  }
}

function checkRevision(revision: number | undefined): void {
  if (revision === undefined || (Number.isSafeInteger(revision) && revision >= 0)) return;
  throw invalid(`revision must be a whole number, not ${String(revision)}`);
}

function deleteAnswer(result: Done): DeleteAnswer {
  if ('type' in result || !('deleted' in result)) throw unexpected();
  const answer = { ...written(result), deleted: result.deleted };
  return result.prev === undefined ? answer : { ...answer, prev: result.prev };
}
