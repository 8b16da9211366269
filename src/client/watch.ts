/**
 * Watches: what changes, revision by revision, each once and in order, whatever becomes of the nodes and the connections in between.
 */
import { KvorumError } from '../errors.ts';
import type { Key, RawBatch, RawEvent, WatchRequest } from './api.ts';
import { bytesOfByteKey, textOfByteKey } from './bytes.ts';
import type { Codec } from './codec.ts';
import type { Core } from './core.ts';
import { durationMs } from './duration.ts';
import type { Duration } from './duration.ts';
import { entriesOf, entryOf, entryOrNull } from './entry.ts';
import type { Entry } from './entry.ts';
import { listAll } from './listing.ts';
import { DEFAULT_IDLE_MS, follow, Subscription } from './subscription.ts';

export interface WatchOptions {
  /** Only this key. */
  readonly key?: Key;
  /** Only keys that begin so. */
  readonly prefix?: Key;
  /** Only keys from this one on. */
  readonly start?: Key;
  /** Only keys before this one. */
  readonly end?: Key;
  /** First revision wanted. Default: what comes after the watch stands (`ready`). */
  readonly from?: number;
  /** With each event the entry that was there before. */
  readonly prev?: boolean;
  /** Only puts, or only deletions. */
  readonly filter?: 'put' | 'delete';
  /**
   * When the next revision was compacted meanwhile, the iteration throws ERR_COMPACTED (`details.compactRevision`). True: it gives a batch with everything there is instead,
   * and goes on from there.
   */
  readonly resync?: boolean;
  /** Also give batches without events, which tell that everything up to `revision` was given. Default false. */
  readonly progress?: boolean;
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
  /** A connection on which nothing has come for this long is given up. Nodes say something every 10 s. Default '25s'. */
  readonly idleTimeout?: Duration;
}

export interface PutEvent<V = string> extends Entry<V> {
  readonly type: 'put';
  /** With `prev`: null when there was nothing. */
  readonly prev?: Entry<V> | null;
}

export interface DeleteEvent<V = string> {
  readonly type: 'delete';
  /** Empty for a key that is not UTF-8, which `keyBytes` alone can tell. */
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** Revision of the deletion. */
  readonly modRevision: number;
  readonly prev?: Entry<V> | null;
}

/** Everything that one revision changed in what is watched. */
export interface WatchBatch<V = string> {
  readonly resync: false;
  readonly revision: number;
  readonly events: readonly (PutEvent<V> | DeleteEvent<V>)[];
}

/** Everything there was at `revision`, in place of the events up to it, which are not kept any more. What is not among them was deleted. */
export interface ResyncBatch<V = string> {
  readonly resync: true;
  readonly revision: number;
  readonly entries: readonly Entry<V>[];
}

export class Watch<B> extends Subscription<B> {
  readonly #ready: Promise<number>;

  /** @internal */
  constructor(
    core: Core,
    signal: AbortSignal | undefined,
    ready: Promise<number>,
    make: ConstructorParameters<typeof Subscription<B>>[2],
  ) {
    super(core, signal, make);
    this.#ready = ready;
  }

  /**
   * Resolves when the watch stands, with the revision after which whatever changes is given. Begins it, if nobody has asked for a batch yet. Rejects as the iteration
   * throws, ERR_CLOSED when it was ended before.
   */
  ready(): Promise<number> {
    this.begin();
    return this.#ready;
  }
}

export function openWatch<V>(
  core: Core,
  codec: Codec<V, never>,
  options: WatchOptions,
): Watch<WatchBatch<V> | ResyncBatch<V>> {
  const position = new Position(options);
  const idleMs = options.idleTimeout === undefined ? DEFAULT_IDLE_MS : durationMs('idleTimeout', options.idleTimeout);
  const request = {
    span: position.span,
    prev: options.prev ?? false,
    filter: options.filter ?? null,
    idleMs,
  } satisfies Partial<WatchRequest>;
  const ready = Promise.withResolvers<number>();
  // Whoever wants to know asks for it.
  ready.promise.catch(() => undefined);
  return new Watch<WatchBatch<V> | ResyncBatch<V>>(core, options.signal, ready.promise, async function* batches(ended) {
    const values = follow<RawBatch, WatchBatch<V> | ResyncBatch<V>>(core, ended, {
      open: (transport, attempt) => transport.watch({ ...request, ...position.next() }, attempt),
      take: (raw) => {
        const fresh = position.take(raw);
        ready.resolve(position.told);
        if (!fresh || (raw.events.length === 0 && options.progress !== true)) return null;
        return batchOf(raw, codec);
      },
      failed: async (error) => {
        if (error.code !== 'ERR_COMPACTED' || options.resync !== true) throw error;
        const batch = await resync(core, codec, position.span, ended);
        position.restart(batch.revision);
        ready.resolve(batch.revision);
        return batch;
      },
    });
    try {
      return yield* values;
    } catch (error) {
      ready.reject(error);
      throw error;
    } finally {
      ready.reject(new KvorumError('ERR_CLOSED', 'the watch was ended before it began'));
    }
  });
}

/** How far a watch is. */
class Position {
  readonly span: WatchRequest['span'];
  /** Everything up to it was given; null: where the first stream begins. */
  #revision: number | null;
  #position: string | null = null;

  constructor({ key, prefix, start, end, from }: WatchOptions) {
    const given = [key, prefix, start ?? end].filter((bound) => bound !== undefined);
    if (given.length > 1) {
      throw new KvorumError('ERR_INVALID_ARGUMENT', 'a watch is of a key, of a prefix, or from start to end');
    }
    if (from !== undefined && (!Number.isSafeInteger(from) || from < 1)) {
      throw new KvorumError('ERR_INVALID_ARGUMENT', 'a watch is from a revision, which is 1 at least', {
        details: { option: 'from' },
      });
    }
    if (key !== undefined) this.span = { key };
    else if (start !== undefined || end !== undefined) this.span = { start: start ?? '', end: end ?? null };
    else this.span = { prefix: prefix ?? '' };
    this.#revision = from === undefined ? null : from - 1;
  }

  get told(): number {
    return this.#revision ?? 0;
  }

  next(): { readonly from: number | null; readonly after: string | null } {
    return { from: this.#revision === null ? null : this.#revision + 1, after: this.#position };
  }

  /** False: what it tells was told before. */
  take({ revision, position }: RawBatch): boolean {
    if (this.#revision !== null && revision <= this.#revision) {
      // The same place, said by another node.
      if (revision === this.#revision) this.#position = position;
      return false;
    }
    this.#revision = revision;
    this.#position = position;
    return true;
  }

  restart(revision: number): void {
    this.#revision = revision;
    this.#position = null;
  }
}

/** Rejects ERR_INVALID_ARGUMENT (`details.key`, `details.revision`) when the codec cannot read a value. */
async function batchOf<V>({ revision, events }: RawBatch, codec: Codec<V, never>): Promise<WatchBatch<V>> {
  try {
    return { resync: false, revision, events: await Promise.all(events.map((event) => eventOf(event, codec))) };
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    throw new KvorumError(error.code, error.message, { cause: error, details: { ...error.details, revision } });
  }
}

async function eventOf<V>(
  { type, entry, prev }: RawEvent,
  codec: Codec<V, never>,
): Promise<PutEvent<V> | DeleteEvent<V>> {
  const before = prev === undefined ? {} : { prev: await entryOrNull(prev, codec) };
  if (type === 'put') return Object.assign(await entryOf(entry, codec), { type }, before);
  const { key, modRevision } = entry;
  return {
    type,
    key: textOfByteKey(key) ?? '',
    get keyBytes() {
      return bytesOfByteKey(key);
    },
    modRevision,
    ...before,
  };
}

async function resync<V>(
  core: Core,
  codec: Codec<V, never>,
  span: WatchRequest['span'],
  signal: AbortSignal,
): Promise<ResyncBatch<V>> {
  // As long as it takes: the watch goes on when there is a node again.
  const { revision, entries } = await listAll(core, span, { signal, timeoutMs: Infinity });
  return { resync: true, revision, entries: await entriesOf(entries, codec) };
}
