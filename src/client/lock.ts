/** Locks, read/write locks and semaphores. */
import type { LockInfo, LockMode } from './api.ts';
import type { Core } from './core.ts';
import { durationMs } from './duration.ts';
import type { Duration } from './duration.ts';
import { runOptions } from './lease.ts';
import type { CallOptions } from './options.ts';
import { acquire } from './seat.ts';
import type { AcquireOptions, Hold, HoldHandle, SeatCalls } from './seat.ts';

export interface LockOptions extends AcquireOptions {
  /** `read` shares with `read`; `write` is the same as `exclusive`. Default `exclusive`. */
  readonly mode?: LockMode;
  /** How long nobody is let in after a holder was lost (not after a release). Default 0. */
  readonly delay?: Duration;
}

export type SemaphoreOptions = Omit<LockOptions, 'mode'>;

/**
 * A lock that is held, or a permit of a semaphore.
 *
 * @example
 * const lock = await client.lock('orders/42', { wait: '5s' });
 * try {
 *   await db.query('update orders set state = $1, fence = $2 where id = $3 and fence <= $2', ['paid', lock.token, 42]);
 * } finally {
 *   await lock.release();
 * }
 */
export interface Lock extends Hold {
  /** The same as `close`. */
  release(): Promise<void>;
}

export class LockHandle implements Lock {
  readonly #hold: HoldHandle;

  constructor(hold: HoldHandle) {
    this.#hold = hold;
  }

  get name(): string {
    return this.#hold.name;
  }

  get token(): number {
    return this.#hold.token;
  }

  get lease(): string {
    return this.#hold.lease;
  }

  get signal(): AbortSignal {
    return this.#hold.signal;
  }

  guard(): void {
    this.#hold.guard();
  }

  remaining(): number {
    return this.#hold.remaining();
  }

  release(): Promise<void> {
    return this.#hold.close();
  }

  close(): Promise<void> {
    return this.#hold.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#hold.close();
  }
}

export async function acquireLock(
  core: Core,
  name: string,
  { mode, delay, ...options }: LockOptions,
  permits: number | undefined,
): Promise<Lock> {
  const delayMs = delay === undefined ? undefined : durationMs('delay', delay);
  const calls: SeatCalls = {
    what: `${permits === undefined ? 'lock' : 'semaphore'} ${JSON.stringify(name)}`,
    acquire: (transport, request, attempt) => transport.lockAcquire({ ...request, mode, permits, delayMs }, attempt),
    renew: (transport, { token }, attempt) => transport.lockRenew({ name, token }, attempt),
    release: (transport, { token }, attempt) => transport.lockRelease({ name, token }, attempt),
  };
  return new LockHandle(await acquire(core, name, options, calls));
}

/** Locks as others see them. */
export class Locks {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** A name that nobody uses has no holders and no queue. */
  get(name: string, options: CallOptions = {}): Promise<LockInfo> {
    return this.#core.caller.run('read', runOptions(options), (transport, attempt) => transport.lockGet(name, attempt));
  }

  /** Names in use, in order: up to 1000 after `after`. */
  list(
    options: CallOptions & { readonly prefix?: string; readonly after?: string } = {},
  ): Promise<readonly LockInfo[]> {
    const { prefix = '', after = null } = options;
    return this.#core.caller.run('read', runOptions(options), (transport, attempt) =>
      transport.lockList({ prefix, after }, attempt),
    );
  }

  /** For operators: takes it from all who hold it (their number is given back), after which its delay counts. Those who wait stay. */
  async break(name: string, options: CallOptions = {}): Promise<number> {
    const { broken } = await this.#core.caller.run('write', runOptions(options), (transport, attempt) =>
      transport.lockBreak(name, attempt),
    );
    return broken;
  }
}
