/** What every service of a node does with a caller's request: check it, propose a command or confirm a read, and say what came of it. */
import { KvorumError, type ErrorCode } from '../errors.ts';
import { bytesToKey, prefixEnd, textToKey } from '../kv/keys.ts';
import type { ByteKey, KeyRange } from '../kv/types.ts';
import { COMMAND_KINDS, encodeProposal } from '../machine/command.ts';
import type { Machine } from '../machine/machine.ts';
import type { CommandResult, Once, Operation } from '../machine/types.ts';
import type { Environment } from './env.ts';
import type { Replica } from './replica.ts';
import type { CallOptions, Key, Limits, ReadOptions, Value } from './types.ts';

export const DEFAULT_TIMEOUT_MS = 4000;
export const MAX_TIMEOUT_MS = 60_000;
const MAX_NAME_BYTES = 512;
const MAX_JSON_BYTES = 4096;
const MIN_TTL_MS = 1000;
const MAX_TTL_MS = 86_400_000;
const DEFAULT_TTL_MS = 15_000;
const MAX_ONCE_KEY = 255;

const encoder = new TextEncoder();
const LONE_SURROGATE = /\p{Surrogate}/u;

export type Done = CommandResult & { ok: true };

export function invalid(message: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', message);
}

export function unexpected(): KvorumError {
  return new KvorumError('ERR_INTERNAL', 'the state machine gave an answer of another kind', { outcome: 'unknown' });
}

export function checkTimeout(timeoutMs: number | undefined): number {
  return checkMs('timeoutMs', timeoutMs, 0, MAX_TIMEOUT_MS, DEFAULT_TIMEOUT_MS);
}

/** A number of milliseconds within bounds. */
export function checkMs(name: string, given: number | undefined, least: number, most: number, preset: number): number {
  if (given === undefined) return preset;
  if (typeof given !== 'number' || !(given >= least && given <= most)) {
    throw invalid(`${name} must be a number from ${least} to ${most}, not ${String(given)}`);
  }
  return given;
}

export function checkTtl(ttlMs: number | undefined): number {
  return Math.round(checkMs('ttlMs', ttlMs, MIN_TTL_MS, MAX_TTL_MS, DEFAULT_TTL_MS));
}

export function checkLeaseId(lease: string): string {
  if (typeof lease === 'string' && /^[0-9]{1,20}$/.test(lease)) return lease;
  throw invalid(`lease must be a decimal id, not ${JSON.stringify(lease)}`);
}

/** Of a lock, an election, a counter and so on. */
export function checkName(name: string): string {
  if (typeof name !== 'string' || name.length === 0) throw invalid('a name is a text of at least one character');
  if (LONE_SURROGATE.test(name) || name.includes('\0')) throw invalid('a name is well-formed Unicode without NUL');
  const bytes = encoder.encode(name).length;
  if (bytes > MAX_NAME_BYTES) throw invalid(`the name has ${bytes} bytes, ${MAX_NAME_BYTES} are allowed`);
  return name;
}

export function checkCount(name: string, value: number, least = 0, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw invalid(`${name} must be a whole number from ${least} to ${most}, not ${String(value)}`);
}

/** JSON of what an owner says about itself, null for nothing. */
export function encodeOwner(owner: unknown): string | null {
  if (owner === undefined || owner === null) return null;
  let text: string | undefined;
  try {
    text = JSON.stringify(owner) as string | undefined;
  } catch (error) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'owner must be JSON', { cause: error });
  }
  if (text === undefined) throw invalid('owner must be JSON');
  return checkText('owner', text);
}

/** What `encodeOwner` made a text of; a text that is no JSON (a member of another make has proposed it) as it is. */
export function decodeOwner(owner: unknown): unknown {
  if (typeof owner !== 'string') return null;
  try {
    return JSON.parse(owner) as unknown;
  } catch {
    return owner;
  }
}

export function checkText(name: string, text: string): string {
  if (typeof text !== 'string' || LONE_SURROGATE.test(text)) throw invalid(`${name} must be text`);
  const bytes = encoder.encode(text).length;
  if (bytes > MAX_JSON_BYTES) throw invalid(`${name} has ${bytes} bytes, ${MAX_JSON_BYTES} are allowed`);
  return text;
}

function checkOnce(once: Once): Once {
  if ('key' in once) {
    const { key } = once;
    if (typeof key === 'string' && key.length > 0 && key.length <= MAX_ONCE_KEY && !LONE_SURROGATE.test(key))
      return { key };
    throw invalid(`a key to do something once is 1 to ${MAX_ONCE_KEY} characters`);
  }
  const { session, sequence, lowestUnanswered } = once;
  checkCount('sequence', sequence, 1);
  checkCount('lowestUnanswered', lowestUnanswered, 0, sequence);
  return { session: checkLeaseId(session), sequence, lowestUnanswered };
}

/** What became of a command that did nothing. */
function refused(result: CommandResult & { ok: false }): KvorumError {
  const replayed = result.replayed === true ? { replayed: true } : {};
  if (!('message' in result)) {
    return new KvorumError(result.code, 'the condition does not hold', {
      details: { current: result.current, revision: result.revision, ...replayed },
    });
  }
  const { code, message, details } = result;
  // Whatever was done under this session is not known here any more.
  const outcome = code === 'ERR_SESSION_EXPIRED' ? 'unknown' : 'none';
  return new KvorumError(code, message, { outcome, details: { ...readableHolder(details), ...replayed } });
}

function readableHolder(details: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const holder = details['holder'] as { owner?: unknown } | null | undefined;
  if (holder === undefined || holder === null) return details;
  return { ...details, holder: { ...holder, owner: decodeOwner(holder.owner) } };
}

export class Calls {
  readonly env: Environment;
  readonly #replica: Replica;
  readonly #limits: Limits;

  constructor(replica: Replica, env: Environment, limits: Limits) {
    this.#replica = replica;
    this.env = env;
    this.#limits = limits;
  }

  /** What is applied here. Another one after a snapshot: not to be kept. */
  get machine(): Machine {
    return this.#replica.machine;
  }

  /** Resolves with what the state machine answers, or rejects with why it did nothing. */
  propose(operation: Operation, options: CallOptions & { readonly once?: Once } = {}): Promise<Done> {
    return new Promise((resolve, reject) => {
      const timeoutMs = checkTimeout(options.timeoutMs);
      const { signal } = options;
      const once = options.once === undefined ? null : checkOnce(options.once);
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const { featureLevel } = COMMAND_KINDS[operation.type];
      if (featureLevel > this.machine.featureLevel && this.machine.appliedIndex > 0) {
        reject(needsLevel(operation.type, featureLevel, this.machine.featureLevel));
        return;
      }
      const data = encodeProposal({
        version: 1,
        group: this.#replica.group,
        time: 0,
        principal: null,
        authRevision: 0,
        once,
        operation,
      });
      // The command goes on without its caller: it may be in the log already.
      const onAbort = signal === undefined ? null : () => reject(signal.reason as Error);
      if (onAbort !== null) signal?.addEventListener('abort', onAbort, { once: true });
      this.#replica.propose({
        data,
        deadline: this.env.now() + timeoutMs,
        done: (error, result) => {
          if (onAbort !== null) signal?.removeEventListener('abort', onAbort);
          if (error !== null) reject(error);
          else if (result === null) reject(unexpected());
          else if (result.ok) resolve(result);
          else reject(refused(result));
        },
      });
    });
  }

  /** Resolves when the local state may be read. */
  async confirm(options: ReadOptions): Promise<void> {
    const { consistency = 'linearizable' } = options;
    if (consistency !== 'linearizable' && consistency !== 'stale') {
      throw invalid(`consistency must be linearizable or stale, not ${String(consistency)}`);
    }
    const timeoutMs = checkTimeout(options.timeoutMs);
    if (consistency === 'stale') {
      if (!this.#replica.loading) return;
      throw new KvorumError('ERR_OVERLOADED', 'this node is reading in a snapshot, ask again soon');
    }
    const deadline = this.env.now() + timeoutMs;
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

  key(key: Key): ByteKey {
    const byteKey = this.bound(key);
    if (byteKey.length === 0) throw new KvorumError('ERR_BAD_KEY', 'a key has at least one byte');
    return byteKey;
  }

  /** A key, or an end of a range, which may be empty. */
  bound(key: Key): ByteKey {
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

  span(span: { readonly prefix: Key } | { readonly start: Key; readonly end: Key | null }): KeyRange {
    if ('prefix' in span) return prefixBounds(this.bound(span.prefix));
    return { start: this.bound(span.start), end: span.end === null ? null : this.bound(span.end) };
  }

  value(value: Value): Uint8Array {
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
}

export function prefixBounds(prefix: ByteKey): KeyRange {
  return { start: prefix, end: prefixEnd(prefix) };
}

/** Of an answer: where the store is, and whether this is the answer of an earlier time. */
export function written(result: Done): { revision: number; replayed?: true } {
  return result.replayed === true ? { revision: result.revision, replayed: true } : { revision: result.revision };
}

/** The answer, if it is of the type that was asked for. */
export function typed<T extends (Done & { type: string })['type']>(
  result: Done,
  type: T,
): Extract<Done, { readonly type: T }> {
  if ('type' in result && result.type === type) return result as Extract<Done, { readonly type: T }>;
  throw unexpected();
}

function needsLevel(what: string, needed: number, has: number): KvorumError {
  const code: ErrorCode = 'ERR_INVALID_ARGUMENT';
  return new KvorumError(code, `${what} needs feature level ${needed}; this cluster has ${has}`);
}
