/**
 * Puts, gets, deletes and lists of one group: checks what the caller gave, proposes or confirms a read, and turns the outcome into an
 * answer or a KvorumError.
 */
import { KvorumError } from '../errors.ts';
import { bytesToKey, prefixEnd, textToKey } from '../kv/keys.ts';
import type { ByteKey, KeyRange } from '../kv/types.ts';
import { encodeCommand } from '../machine/command.ts';
import type { CommandResult, Operation } from '../machine/types.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { Environment } from './env.ts';
import type { Replica } from './replica.ts';
import type {
  CallOptions,
  DeleteAnswer,
  GetAnswer,
  Key,
  Limits,
  ListAnswer,
  ListOptions,
  PutAnswer,
  PutOptions,
  ReadOptions,
  Value,
  WriteOptions,
} from './types.ts';

export const DEFAULT_TIMEOUT_MS = 4000;
export const MAX_TIMEOUT_MS = 60_000;
const DEFAULT_LIST_LIMIT = 100;
const MAX_LIST_LIMIT = 1000;
/** Keys and values in one answer: a thousand values of the largest size would be a gigabyte. What is left comes with the cursor. */
const MAX_LIST_BYTES = 8 * 1024 * 1024;

const encoder = new TextEncoder();

function invalid(message: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', message);
}

export function checkTimeout(timeoutMs: number | undefined): number {
  if (timeoutMs === undefined) return DEFAULT_TIMEOUT_MS;
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw invalid(`timeoutMs must be a number from 0 to ${MAX_TIMEOUT_MS}, not ${String(timeoutMs)}`);
  }
  return timeoutMs;
}

export class KvService {
  readonly #replica: Replica;
  readonly #env: Environment;
  readonly #limits: Limits;

  constructor(replica: Replica, env: Environment, limits: Limits) {
    this.#replica = replica;
    this.#env = env;
    this.#limits = limits;
  }

  async put(key: Key, value: Value, options: PutOptions = {}): Promise<PutAnswer> {
    const bytes = this.#value(value);
    if (options.lease !== undefined && !/^[0-9]{1,20}$/.test(options.lease)) {
      throw invalid(`lease must be a decimal id, not ${JSON.stringify(options.lease)}`);
    }
    // No lease can have been granted yet, so none that is named exists.
    if (options.lease !== undefined) throw new KvorumError('ERR_LEASE_NOT_FOUND', `there is no lease ${options.lease}`);
    const result = await this.#propose(
      {
        type: 'put',
        key: this.#key(key),
        value: bytes,
        contentType: options.contentType ?? null,
        lease: null,
        prev: options.prev ?? false,
        condition: options.condition ?? null,
      },
      options,
    );
    if (!('created' in result)) throw unexpected();
    return result.prev === undefined
      ? { revision: result.revision, created: result.created }
      : { revision: result.revision, created: result.created, prev: result.prev };
  }

  async delete(key: Key, options: WriteOptions = {}): Promise<DeleteAnswer> {
    const result = await this.#propose(
      { type: 'delete', key: this.#key(key), prev: options.prev ?? false, condition: options.condition ?? null },
      options,
    );
    return deleteAnswer(result);
  }

  async deleteRange(
    range: { prefix: Key } | { start: Key; end: Key | null },
    options: CallOptions = {},
  ): Promise<DeleteAnswer> {
    const bounds: KeyRange =
      'prefix' in range
        ? prefixBounds(this.#bound(range.prefix))
        : { start: this.#bound(range.start), end: range.end === null ? null : this.#bound(range.end) };
    return deleteAnswer(await this.#propose({ type: 'deleteRange', ...bounds }, options));
  }

  async get(key: Key, options: ReadOptions = {}): Promise<GetAnswer> {
    const byteKey = this.#key(key);
    checkRevision(options.revision);
    await this.#confirm(options);
    const { machine } = this.#replica;
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
    await this.#confirm(options);
    const { machine } = this.#replica;
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
    if (prefix !== undefined) return prefixBounds(this.#bound(prefix));
    return {
      start: start === undefined ? '' : this.#bound(start),
      end: end === undefined ? null : this.#bound(end),
    };
  }

  #key(key: Key): ByteKey {
    const byteKey = this.#bound(key);
    if (byteKey.length === 0) throw new KvorumError('ERR_BAD_KEY', 'a key has at least one byte');
    return byteKey;
  }

  /** A key, or an end of a range, which may be empty. */
  #bound(key: Key): ByteKey {
    if (typeof key !== 'string' && !(key instanceof Uint8Array))
      throw new KvorumError('ERR_BAD_KEY', 'a key is a string or bytes');
    const byteKey = typeof key === 'string' ? textToKey(key) : bytesToKey(key);
    const { maxKeyBytes } = this.#limits;
    if (byteKey.length > maxKeyBytes) {
      throw new KvorumError('ERR_TOO_LARGE', `the key has ${byteKey.length} bytes, ${maxKeyBytes} are allowed`, {
        details: { limit: maxKeyBytes },
      });
    }
    return byteKey;
  }

  #value(value: Value): Uint8Array {
    if (typeof value !== 'string' && !(value instanceof Uint8Array)) throw invalid('a value is a string or bytes');
    const bytes = typeof value === 'string' ? encoder.encode(value) : value;
    const { maxValueBytes } = this.#limits;
    if (bytes.length > maxValueBytes) {
      throw new KvorumError('ERR_TOO_LARGE', `the value has ${bytes.length} bytes, ${maxValueBytes} are allowed`, {
        details: { limit: maxValueBytes },
      });
    }
    return bytes;
  }

  #propose(operation: Operation, options: CallOptions): Promise<CommandResult & { ok: true }> {
    return new Promise((resolve, reject) => {
      const timeoutMs = checkTimeout(options.timeoutMs);
      const { signal } = options;
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      // The command goes on without its caller: it may be in the log already.
      const onAbort = signal === undefined ? null : () => reject(signal.reason as Error);
      if (onAbort !== null) signal?.addEventListener('abort', onAbort, { once: true });
      this.#replica.propose({
        data: encodeCommand({
          version: 1,
          group: this.#replica.group,
          time: 0,
          principal: null,
          authRevision: 0,
          session: null,
          sequence: 0,
          operation,
        }),
        deadline: this.#env.now() + timeoutMs,
        done: (error, result) => {
          if (onAbort !== null) signal?.removeEventListener('abort', onAbort);
          if (error !== null) reject(error);
          else if (result === null) reject(unexpected());
          else if (result.ok) resolve(result);
          else {
            reject(
              new KvorumError(result.code, 'the condition does not hold', {
                details: { current: result.current, revision: result.revision },
              }),
            );
          }
        },
      });
    });
  }

  /** Resolves when the local state may be read. */
  async #confirm(options: ReadOptions): Promise<void> {
    const { consistency = 'linearizable' } = options;
    if (consistency !== 'linearizable' && consistency !== 'stale') {
      throw invalid(`consistency must be linearizable or stale, not ${String(consistency)}`);
    }
    const timeoutMs = checkTimeout(options.timeoutMs);
    if (consistency === 'stale') {
      if (!this.#replica.loading) return;
      throw new KvorumError('ERR_OVERLOADED', 'this node is reading in a snapshot, ask again soon');
    }
    const deadline = this.#env.now() + timeoutMs;
    // Between the confirmation and this line a snapshot may have begun to replace the state: then wait for that.
    do await this.#barrier(deadline, options.signal);
    while (this.#replica.loading);
  }

  #barrier(deadline: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = signal === undefined ? null : () => reject(signal.reason as Error);
      if (onAbort !== null) signal?.addEventListener('abort', onAbort, { once: true });
      this.#replica.read({
        deadline,
        done: (error) => {
          if (onAbort !== null) signal?.removeEventListener('abort', onAbort);
          if (error === null) resolve();
          else reject(error);
        },
      });
    });
  }
}

function prefixBounds(prefix: ByteKey): KeyRange {
  return { start: prefix, end: prefixEnd(prefix) };
}

function checkRevision(revision: number | undefined): void {
  if (revision === undefined || (Number.isSafeInteger(revision) && revision >= 0)) return;
  throw invalid(`revision must be a whole number, not ${String(revision)}`);
}

function unexpected(): KvorumError {
  return new KvorumError('ERR_INTERNAL', 'the state machine gave an answer of another kind', { outcome: 'unknown' });
}

function deleteAnswer(result: CommandResult & { ok: true }): DeleteAnswer {
  if (!('deleted' in result)) throw unexpected();
  return result.prev === undefined
    ? { revision: result.revision, deleted: result.deleted }
    : { revision: result.revision, deleted: result.deleted, prev: result.prev };
}
