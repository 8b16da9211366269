/** The client: what users call, over whatever transport. */
import { KvorumError } from '../errors.ts';
import type {
  ClientTransport,
  ClusterInfo,
  Condition,
  Key,
  KeySpan,
  LeaseInfo,
  ListAnswer,
  ListRequest,
  RawEntry,
} from './api.ts';
import { Barrier } from './barrier.ts';
import { textOfByteKey } from './bytes.ts';
import { Caller } from './caller.ts';
import type { Send } from './caller.ts';
import { encoded, schemaCodec } from './codec.ts';
import type { Codec, SchemaInput, SchemaOutput, StandardSchema } from './codec.ts';
import { Core } from './core.ts';
import { Counter } from './counter.ts';
import { durationMs } from './duration.ts';
import type { Duration } from './duration.ts';
import { Election } from './election.ts';
import { Endpoints } from './endpoints.ts';
import type { Discovery } from './endpoints.ts';
import { entriesOf, entryOf, entryOrNull, keyEntryOf } from './entry.ts';
import type { Entry, KeyEntry } from './entry.ts';
import { REAL_ENVIRONMENT } from './environment.ts';
import type { Host } from './host.ts';
import { openLease, runOptions } from './lease.ts';
import type { Lease, LeaseOptions } from './lease.ts';
import { acquireLock, Locks } from './lock.ts';
import type { Lock, LockOptions, SemaphoreOptions } from './lock.ts';
import { Members } from './members.ts';
import type {
  CallOptions,
  ConnectOptions,
  ListOptions,
  PutOptions,
  ReadOptions,
  SpanOptions,
  WriteCondition,
  WriteOptions,
} from './options.ts';
import { withOutcome } from './retry.ts';
import { Services } from './services/services.ts';
import { txnRequest, txnResult } from './txn.ts';
import type { Operation, Transaction, TransactionResult } from './txn.ts';
import { openWatch } from './watch.ts';
import type { ResyncBatch, Watch, WatchBatch, WatchOptions } from './watch.ts';

export interface PutResult<V = string> {
  /** Of this put. */
  readonly revision: number;
  /** There was no such key. */
  readonly created: boolean;
  /** With `prev`: what was replaced, null when there was nothing. */
  readonly prev?: Entry<V> | null;
}

export interface DeleteResult<V = string> {
  /** Of this deletion, or the current one when nothing was deleted. */
  readonly revision: number;
  /** Keys. */
  readonly deleted: number;
  readonly prev?: Entry<V> | null;
}

export interface Page<E> {
  /** That the whole list is of. */
  readonly revision: number;
  readonly entries: readonly E[];
  /** All keys in the range, on all pages. */
  readonly count: number;
  /** For the next page, null at the end. */
  readonly nextCursor: string | null;
}

/**
 * Speaks to a cluster. Made by `connect`; nothing is sent before something is asked.
 *
 * Every call takes `timeout` and `signal`, and rejects with a KvorumError. What may be tried again is: reads, and writes, which carry a number of the client's session
 * (or a key of your own) and are made once however often they are sent. What is left is told apart by `code` and `outcome`: ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_NO_LEADER and
 * ERR_OVERLOADED when the time is over, `outcome` saying whether a write may have been made; ERR_SESSION_EXPIRED (outcome unknown) when nobody can say
 * any more; ERR_INVALID_ARGUMENT, ERR_BAD_KEY, ERR_TOO_LARGE for what cannot be meant; ERR_UNAUTHENTICATED, ERR_FORBIDDEN; ERR_QUOTA; ERR_CLOSED after `close`.
 *
 * `V` is what reading gives, `I` what writing takes: text, unless `with` or `typed` say otherwise.
 */
export class Client<V = string, I = V> implements AsyncDisposable {
  /** Locks as others see them: `get`, `list`, `break`. */
  readonly locks: Locks;
  /** Who is in the cluster: `list`, `watch`. */
  readonly members: Members;
  /** The service registry: `register`, `list`, `watch`, `pick`. */
  readonly services: Services;
  readonly #core: Core;
  readonly #codec: Codec<V, I>;

  /** @internal Use `connect`. */
  constructor(core: Core, codec: Codec<V, I>) {
    this.#core = core;
    this.#codec = codec;
    this.locks = new Locks(core);
    this.members = new Members(core);
    this.services = new Services(core);
  }

  /**
   * The same client with values of another kind: `bytes`, `text`, `json<T>()`, or a codec of your own. Sessions, connections and `close` are shared.
   *
   * @example
   * const orders = client.with(json<Order>());
   * await orders.put('orders/42', { state: 'paid' });
   */
  with<W, J>(codec: Codec<W, J>): Client<W, J> {
    return new Client(this.#core, codec);
  }

  /** The same client with JSON that a Standard Schema (Zod, Valibot, ArkType, …) approves of: checked when it is written and when it is read. */
  typed<S extends StandardSchema>(schema: S): Client<SchemaOutput<S>, SchemaInput<S>> {
    return this.with(schemaCodec(schema));
  }

  /** Null for a key that is not there. */
  async get(key: Key, options: ReadOptions = {}): Promise<Entry<V> | null> {
    const { revision, consistency } = options;
    const { entry } = await this.#read(options, (transport, attempt) =>
      transport.get({ key, revision, consistency }, attempt),
    );
    return entryOrNull(entry, this.#codec);
  }

  /**
   * @example
   * const { revision } = await client.put('greeting', 'hello', { condition: 'absent' });
   */
  async put(key: Key, value: I, options: PutOptions = {}): Promise<PutResult<V>> {
    const { prev, lease } = options;
    const written = await encoded(this.#codec, value);
    const request = {
      key,
      value: written,
      contentType: options.contentType ?? this.#codec.contentType,
      lease: typeof lease === 'object' ? lease.id : lease,
      prev,
      condition: conditionOf(options.condition),
    };
    const answer = await this.#conditional(() =>
      this.#write(options, (transport, attempt) => transport.put(request, attempt)),
    );
    const { revision, created } = answer;
    return { revision, created, ...(await this.#prev(answer)) };
  }

  /** A key that is not there is no error: `deleted` is 0. */
  async delete(key: Key, options: WriteOptions = {}): Promise<DeleteResult<V>> {
    const request = { key, prev: options.prev, condition: conditionOf(options.condition) };
    const answer = await this.#conditional(() =>
      this.#write(options, (transport, attempt) => transport.delete(request, attempt)),
    );
    const { revision, deleted } = answer;
    return { revision, deleted, ...(await this.#prev(answer)) };
  }

  /** Every key with the prefix, or in [start, end), in one revision. An empty prefix is every key there is. */
  async deleteRange(
    range: { readonly prefix: Key } | { readonly start: Key; readonly end?: Key },
    options: CallOptions = {},
  ): Promise<{ readonly revision: number; readonly deleted: number }> {
    const span: KeySpan = 'prefix' in range ? { prefix: range.prefix } : { start: range.start, end: range.end ?? null };
    const { revision, deleted } = await this.#write(options, (transport, attempt) =>
      transport.deleteRange(span, attempt),
    );
    return { revision, deleted };
  }

  /** One page, in the order of the keys as bytes. */
  async list(options: ListOptions = {}): Promise<Page<Entry<V>>> {
    const { revision, entries, count, nextCursor } = await this.#list(options, {});
    return { revision, entries: await entriesOf(entries, this.#codec), count, nextCursor };
  }

  /** `list` without the values. */
  async keys(options: ListOptions = {}): Promise<Page<KeyEntry>> {
    const { revision, entries, count, nextCursor } = await this.#list(options, { keysOnly: true });
    return { revision, entries: entries.map(keyEntryOf), count, nextCursor };
  }

  /** How many keys there are. */
  async count(options: ReadOptions & SpanOptions = {}): Promise<number> {
    const { count } = await this.#list(options, { countOnly: true });
    return count;
  }

  /** All pages, of one revision. `limit` is the size of a page (default 1000). Throws ERR_COMPACTED when that revision is no longer kept. */
  async *entries(options: Omit<ListOptions, 'cursor'> = {}): AsyncGenerator<Entry<V>, undefined> {
    const { revision: at, ...more } = options;
    let cursor: string | undefined;
    for (;;) {
      const where: ListOptions = cursor !== undefined ? { cursor } : at === undefined ? {} : { revision: at };
      const page = await this.#list({ limit: 1000, ...more, ...where }, {});
      for (const entry of page.entries) yield entryOf(entry as RawEntry, this.#codec);
      if (page.nextCursor === null) return undefined;
      cursor = page.nextCursor;
    }
  }

  /**
   * If all conditions hold, `then` is done, otherwise `else`; atomically, with one revision. Responses are typed by the operations. Rejects ERR_INVALID_ARGUMENT for more
   * than 128 operations or a key written twice.
   *
   * @example
   * const { succeeded, responses } = await client.txn({
   *   if: [value('stock/7').is('3')],
   *   then: [put('stock/7', '2')],
   *   else: [get('stock/7')],
   * });
   */
  async txn<const T extends readonly Operation<I>[] = [], const E extends readonly Operation<I>[] = []>(
    transaction: Transaction<I, T, E>,
    options: CallOptions = {},
  ): Promise<TransactionResult<V, T, E>> {
    const request = await txnRequest<I>(transaction, this.#codec);
    const answer = await this.#write(options, (transport, attempt) => transport.txn(request, attempt));
    const result = await this.#done(txnResult(answer, transaction as Transaction<unknown>, this.#codec));
    return result as TransactionResult<V, T, E>;
  }

  /**
   * What changes, revision by revision, each once and in order. Goes on at another node when one fails, without a gap. The first connection has as long as any call; after
   * that it is tried for as long as the iteration lasts. Nothing is read ahead: who is slower than what is kept gets ERR_COMPACTED.
   *
   * @example
   * for await (const { revision, events } of client.watch({ prefix: 'orders/', signal })) …
   */
  watch(options?: WatchOptions & { readonly resync?: false }): Watch<WatchBatch<V>>;
  watch(options: WatchOptions): Watch<WatchBatch<V> | ResyncBatch<V>>;
  watch(options: WatchOptions = {}): Watch<WatchBatch<V> | ResyncBatch<V>> {
    return openWatch(this.#core, this.#codec, options);
  }

  /** Something to hang keys and locks on, kept alive until it is closed or lost. */
  lease(options: LeaseOptions = {}): Promise<Lease> {
    return openLease(this.#core, options);
  }

  /** A lease as others see it. Rejects ERR_LEASE_NOT_FOUND. */
  async leaseInfo(id: string, options: Omit<CallOptions, 'once'> = {}): Promise<LeaseInfo> {
    return withTextKeys(await this.#read(options, (transport, attempt) => transport.leaseGet(id, attempt)));
  }

  /** In order of id: up to 1000 after `after`. */
  async leases(options: Omit<CallOptions, 'once'> & { readonly after?: string } = {}): Promise<readonly LeaseInfo[]> {
    const { after = null } = options;
    const leases = await this.#read(options, (transport, attempt) => transport.leaseList(after, attempt));
    return leases.map(withTextKeys);
  }

  /** Ends a lease of anybody, with what hangs on it. Rejects ERR_LEASE_NOT_FOUND. */
  async revoke(id: string, options: CallOptions = {}): Promise<void> {
    await this.#write(options, (transport, attempt) => transport.leaseRevoke(id, attempt));
  }

  /**
   * Rejects ERR_LOCK_HELD (`details.holder`) when the wait is over, ERR_LOCK_LOST when it was let in and lost before the answer came, and with outcome `unknown` when it may
   * have been let in: then it is free again after `ttl`.
   *
   * @example
   * await using lock = await client.lock('orders/42', { ttl: '15s', wait: '5s', signal });
   */
  lock(name: string, options: LockOptions = {}): Promise<Lock> {
    return acquireLock(this.#core, name, options, undefined);
  }

  /** One of `permits`, a number that has to be the same for all who use the name. */
  semaphore(name: string, permits: number, options: SemaphoreOptions = {}): Promise<Lock> {
    return acquireLock(this.#core, name, options, permits);
  }

  election(name: string): Election {
    return new Election(this.#core, name);
  }

  barrier(name: string, parties: number): Barrier {
    return new Barrier(this.#core, name, parties);
  }

  counter(name: string): Counter {
    return new Counter(this.#core, name);
  }

  /** Members and leader, as the node that answers knows them: also without a quorum. */
  cluster(options: Omit<CallOptions, 'once'> = {}): Promise<ClusterInfo> {
    return this.#read(options, (transport, attempt) => transport.cluster(attempt));
  }

  /** Forgets what was superseded before `revision`, which stays readable. Gives the oldest revision that is. Rejects ERR_FUTURE_REVISION, ERR_COMPACTED. */
  async compact(revision: number, options: CallOptions = {}): Promise<number> {
    const { compactedRevision } = await this.#write(options, (transport, attempt) =>
      transport.compact(revision, attempt),
    );
    return compactedRevision;
  }

  /** Calls that are under way are rejected (ERR_CLOSED), watches end, locks are released, leases revoked. Safe to repeat. */
  close(): Promise<void> {
    return this.#core.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #read<T>(options: Omit<CallOptions, 'once'>, send: Send<T>): Promise<T> {
    return this.#core.caller.run('read', runOptions(options), send);
  }

  #write<T>(options: CallOptions, send: Send<T>): Promise<T> {
    return this.#core.caller.run('write', runOptions(options), send);
  }

  #list(
    options: ListOptions,
    more: { readonly keysOnly?: boolean; readonly countOnly?: boolean },
  ): Promise<ListAnswer> {
    const { prefix, start, end, limit, cursor, revision, consistency } = options;
    const request: ListRequest = {
      // Empty is everything, which is said by silence.
      prefix: prefix?.length === 0 ? undefined : prefix,
      ...{ start, end, limit, cursor, revision, consistency, ...more },
    };
    return this.#read(options, (transport, attempt) => transport.list(request, attempt));
  }

  async #prev(answer: { readonly prev?: RawEntry | null }): Promise<{ prev?: Entry<V> | null }> {
    return answer.prev === undefined ? {} : { prev: await this.#done(entryOrNull(answer.prev, this.#codec)) };
  }

  /** What cannot be read of the answer to a write was written all the same. */
  async #done<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      throw KvorumError.is(error) ? withOutcome(error, 'unknown') : error;
    }
  }

  /** `details.current` of a condition that failed, as the codec makes it; left out when it cannot. */
  async #conditional<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      if (!KvorumError.is(error, 'ERR_CAS_FAILED')) throw error;
      const { current, ...details } = error.details;
      const read =
        typeof current === 'object' && current !== null
          ? await entryOf(current as RawEntry, this.#codec).catch(() => undefined)
          : current;
      throw new KvorumError('ERR_CAS_FAILED', error.message, {
        outcome: error.outcome,
        cause: error.cause,
        details: read === undefined ? details : { ...details, current: read },
      });
    }
  }
}

/** @internal A client over transports that somebody else has made: one an endpoint. */
export function clientOver<V, I>(
  transports: readonly ClientTransport[],
  codec: Codec<V, I>,
  options: TransportOptions,
  surroundings?: Surroundings,
): Client<V, I> {
  return new Client(coreOver(transports, options, surroundings), codec);
}

type TransportOptions = Omit<ConnectOptions, 'fetch' | 'token' | 'discover'>;

interface Surroundings {
  readonly discovery?: Discovery | null;
  readonly host?: Host | null;
}

/** @internal What such a client is made of. */
export function coreOver(
  transports: readonly ClientTransport[],
  options: TransportOptions = {},
  { discovery = null, host = null }: Surroundings = {},
): Core {
  const { environment = REAL_ENVIRONMENT, sessionWindow = 512 } = options;
  if (!Number.isSafeInteger(sessionWindow) || sessionWindow < 1 || sessionWindow > 1000) {
    throw invalidOption('sessionWindow', 'must be from 1 to 1000');
  }
  const ms = (name: 'timeout' | 'attemptTimeout' | 'sessionTtl', standard: Duration, atLeast: number): number => {
    const value = durationMs(name, options[name] ?? standard);
    if (value < atLeast) throw invalidOption(name, `must be at least ${atLeast} ms`);
    return value;
  };
  const endpoints = new Endpoints(transports, Math.floor(environment.random() * transports.length), discovery);
  const caller = new Caller(environment, endpoints, {
    timeoutMs: ms('timeout', '10s', 1),
    // Nodes take no longer time.
    attemptTimeoutMs: Math.min(60_000, ms('attemptTimeout', '3s', 1)),
    backoff: options.backoff ?? {},
    preferLeader: options.preferLeader ?? false,
    sessionTtlMs: ms('sessionTtl', '60s', 1000),
    sessionWindow,
    owner: options.owner,
  });
  const [own] = transports;
  return new Core(caller, host, (...what) => own?.announce?.(...what));
}

function invalidOption(option: string, reason: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', `${option} ${reason}`, { details: { option } });
}

function conditionOf(condition: WriteCondition | undefined): Condition | undefined {
  if (condition === undefined) return undefined;
  if (typeof condition !== 'number') return { type: condition };
  if (Number.isSafeInteger(condition) && condition >= 0) return { type: 'modRevision', revision: condition };
  throw invalidOption('condition', 'must be absent, exists, or a modRevision');
}

function withTextKeys(lease: LeaseInfo): LeaseInfo {
  return { ...lease, keys: lease.keys.map((key) => textOfByteKey(key) ?? '') };
}
