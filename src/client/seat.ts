/**
 * What locks, semaphores, elections and barriers have in common: somebody asks to be let in, waits for it, holds it by a lease, and is told a fencing
 * token.
 */
import { KvorumError } from '../errors.ts';
import type { Attempt, ClientTransport, SeatAnswer, SeatRequest } from './api.ts';
import type { Core } from './core.ts';
import { durationMs } from './duration.ts';
import type { Duration } from './duration.ts';
import { KeepAlive } from './keep-alive.ts';
import type { Renewal } from './keep-alive.ts';
import { DEFAULT_TTL, giveBack, LeaseHandle, openLease, runOptions } from './lease.ts';
import type { Lease } from './lease.ts';
import type { CallOptions } from './options.ts';

export interface AcquireOptions extends CallOptions {
  /** Time to live of the lease behind it, which is renewed at a third of it: 1 s to 24 h. Default '15s'. */
  readonly ttl?: Duration;
  /**
   * How long to stand in the queue, on top of `timeout`. Default 0: answer at once. `Infinity` waits until `signal` is aborted. A node lets nobody wait for more than a
   * minute: a longer wait is made of several, between which the place in the queue is kept by a lease; by one of your own (`lease`) it is not, so that it does not
   * come to hold what nobody waits for any more.
   */
  readonly wait?: Duration;
  /** Hold it by this lease (or its id) instead of one made for it. It ends with the lease, and leaves the lease when it is released. */
  readonly lease?: Lease | string;
  /** Any JSON up to 4 KiB, shown to whoever looks. Default: that of the client. */
  readonly owner?: unknown;
}

/** What is held, and for how long it certainly is. */
export interface Hold extends AsyncDisposable {
  readonly name: string;
  /**
   * Fencing token: larger than that of every earlier holder of the name. Give it to whatever is protected, and let that refuse smaller ones: a
   * process that was paused does not know that time has passed.
   */
  readonly token: number;
  /** Id of the lease that holds it. */
  readonly lease: string;
  /** Aborted when it may have been lost, or was given back; before the cluster can have let in another. `reason` is what `guard` throws. */
  readonly signal: AbortSignal;
  /** Throws ERR_LOCK_LOST when `signal` is aborted, or would be by now: looks at the clock itself, for a stalled event loop delays timers. */
  guard(): void;
  /** Milliseconds until it is lost unless a renewal is acknowledged before; 0 once it is. */
  remaining(): number;
  /** Gives it back. Tried until the cluster answers or the lease must have ended by itself. Safe to repeat, and harmless when it was lost. */
  close(): Promise<void>;
}

/** Longest wait that a node allows. */
const MAX_WAIT_MS = 60_000;
/** Of the time to live: what has less left when it is handed out is renewed first. */
const FRESH = 0.9;

export interface SeatCalls {
  /** For messages: `lock "orders/42"`. */
  readonly what: string;
  acquire(transport: ClientTransport, request: SeatRequest, attempt: Attempt): Promise<SeatAnswer>;
  renew(transport: ClientTransport, seat: SeatAnswer, attempt: Attempt): Promise<{ readonly ttlMs: number }>;
  release(transport: ClientTransport, seat: SeatAnswer, attempt: Attempt): Promise<unknown>;
}

/** Let in, and since when the lease counts. */
interface Admission {
  readonly seat: SeatAnswer;
  readonly life: Renewal;
  /** Made for this alone because of a long wait: ends with it. */
  readonly ownLease: LeaseHandle | null;
}

/** Rejects ERR_LOCK_HELD when the wait is over, ERR_LOCK_LOST when it was lost before it could be handed out, and as any write. */
export async function acquire(
  core: Core,
  name: string,
  options: AcquireOptions,
  calls: SeatCalls,
): Promise<HoldHandle> {
  const { seat, life, ownLease } = await admit(core, name, options, calls);
  const lease = ownLease ?? options.lease ?? null;
  return new HoldHandle(core, calls, seat, life, lease !== null && typeof lease === 'object' ? lease : null, ownLease);
}

/** Waits and is let in, without holding anything then. */
export async function passThrough(
  core: Core,
  name: string,
  options: AcquireOptions,
  calls: Pick<SeatCalls, 'what' | 'acquire'>,
): Promise<SeatAnswer> {
  const { seat, ownLease } = await waitForIt(core, name, options, calls);
  await ownLease?.close();
  return seat;
}

async function admit(core: Core, name: string, options: AcquireOptions, calls: SeatCalls): Promise<Admission> {
  const { seat, sentAt, ownLease } = await waitForIt(core, name, options, calls);
  const { ttlMs } = seat;
  const { lease } = options;
  const holder = ownLease ?? (lease instanceof LeaseHandle ? lease : null);
  // A lease that was there before counts from its own last renewal, and of one that is known by its id nothing is known.
  const since = holder?.sentAt ?? (lease === undefined ? sentAt : -Infinity);
  // A handle is renewed by itself, and vouches for nothing beyond its own deadline.
  if (holder !== null || core.now() - since < ttlMs * (1 - FRESH))
    return { seat, life: { ttlMs, sentAt: since }, ownLease };
  try {
    const life = await core.renew(ttlMs, core.now() + ttlMs, options.signal, (transport, attempt) =>
      calls.renew(transport, seat, attempt),
    );
    return { seat, life, ownLease };
  } catch (error) {
    await abandon(core, seat, calls, ownLease);
    if (!KvorumError.is(error)) throw error;
    throw new KvorumError('ERR_LOCK_LOST', `${calls.what} was lost before it could be handed out: ${error.message}`, {
      cause: error,
    });
  }
}

/** Nobody holds on to it: best effort, since it ends by itself. */
async function abandon(core: Core, seat: SeatAnswer, calls: SeatCalls, ownLease: LeaseHandle | null): Promise<void> {
  const release = giveBack(core, core.now() + seat.ttlMs, (transport, attempt) =>
    calls.release(transport, seat, attempt),
  );
  await release.catch(() => undefined);
  await ownLease?.close();
}

async function waitForIt(
  core: Core,
  name: string,
  options: AcquireOptions,
  calls: Pick<SeatCalls, 'what' | 'acquire'>,
): Promise<{ readonly seat: SeatAnswer; readonly sentAt: number; readonly ownLease: LeaseHandle | null }> {
  const { owner = core.caller.options.owner } = options;
  const ttlMs = durationMs('ttl', options.ttl ?? DEFAULT_TTL);
  const waitMs = durationMs('wait', options.wait ?? 0, { endless: true });
  const until = core.now() + waitMs;
  const given = typeof options.lease === 'object' ? options.lease.id : options.lease;
  const ownLease =
    given === undefined && waitMs > MAX_WAIT_MS
      ? await openLease(core, { ...options, ...onceOf(options, 'lease') })
      : null;
  const lease = given ?? ownLease?.id ?? { ttlMs };
  let sentAt = Infinity;
  try {
    for (let turn = 1; ; turn++) {
      const began = core.now();
      const turnMs = Math.max(0, Math.min(MAX_WAIT_MS, until - began));
      try {
        const run = { ...runOptions({ ...options, ...onceOf(options, turn) }), waitMs: Math.round(turnMs) };
        const seat = await core.caller.run('write', run, (transport, attempt) => {
          // The first attempt may have been the one that was let in.
          sentAt = Math.min(sentAt, core.now());
          return calls.acquire(
            transport,
            { name, lease, waitMs: run.waitMs, keepPlace: ownLease !== null, owner },
            attempt,
          );
        });
        return { seat, sentAt, ownLease };
      } catch (error) {
        // Another turn, unless that was the last, or this one was not even waited for.
        const waited = core.now() - began >= turnMs / 2;
        if (!KvorumError.is(error, 'ERR_LOCK_HELD') || turnMs < MAX_WAIT_MS || !waited) throw error;
        if (core.now() >= until) throw error;
      }
    }
  } catch (error) {
    // The place in the queue goes with the lease.
    await ownLease?.close();
    throw error;
  }
}

/** A key of the caller stands for one request; a long wait is several. */
function onceOf({ once }: CallOptions, part: number | 'lease'): Pick<CallOptions, 'once'> {
  if (once === undefined) return {};
  return typeof once === 'object' && part !== 1 ? { once: { key: `${once.key}:${part}` } } : { once };
}

export class HoldHandle implements Hold {
  readonly name: string;
  readonly token: number;
  readonly lease: string;
  readonly #core: Core;
  readonly #calls: SeatCalls;
  readonly #seat: SeatAnswer;
  readonly #life: KeepAlive;
  readonly #ownLease: LeaseHandle | null;
  #closing: Promise<void> | null = null;

  /** `lease`: with which it is lost, `ownLease`: which ends with it. */
  constructor(
    core: Core,
    calls: SeatCalls,
    seat: SeatAnswer,
    life: Renewal,
    lease: Lease | null,
    ownLease: LeaseHandle | null,
  ) {
    this.name = seat.name;
    this.token = seat.token;
    this.lease = seat.lease;
    this.#core = core;
    this.#calls = calls;
    this.#seat = seat;
    this.#ownLease = ownLease;
    const onLeaseLost = (): void => this.#life.end(this.#life.lostError('its lease has ended'));
    this.#life = new KeepAlive({
      environment: core.caller.environment,
      what: calls.what,
      lostCode: 'ERR_LOCK_LOST',
      ...life,
      renew: (deadline, signal) =>
        core.renew(this.#life.ttlMs, deadline, signal, (transport, attempt) => calls.renew(transport, seat, attempt)),
      onEnd: () => {
        lease?.signal.removeEventListener('abort', onLeaseLost);
        if (this.#closing === null) core.forget(this);
      },
    });
    core.keep(this);
    lease?.signal.addEventListener('abort', onLeaseLost, { once: true });
    if (lease?.signal.aborted === true) onLeaseLost();
  }

  get signal(): AbortSignal {
    return this.#life.signal;
  }

  guard(): void {
    this.#life.guard();
  }

  remaining(): number {
    return this.#life.remaining();
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const endsBy = this.#life.endsBy();
    this.#life.end(new KvorumError('ERR_LOCK_LOST', `${this.#calls.what} was given back`));
    try {
      // First the release, then the lease: what goes with its lease counts as lost, and rests for its delay.
      if (!this.#life.gone) {
        await giveBack(this.#core, endsBy, (transport, attempt) => this.#calls.release(transport, this.#seat, attempt));
      }
      await this.#ownLease?.close();
    } finally {
      this.#core.forget(this);
    }
  }
}
