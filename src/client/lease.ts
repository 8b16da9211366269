/** Leases as handles. */
import { KvorumError } from '../errors.ts';
import type { Send } from './caller.ts';
import type { Core } from './core.ts';
import { durationMs } from './duration.ts';
import type { Duration } from './duration.ts';
import { KeepAlive } from './keep-alive.ts';
import type { CallOptions } from './options.ts';
import { isTransient } from './retry.ts';

export interface LeaseOptions extends CallOptions {
  /** Time to live without a renewal: 1 s to 24 h. Default '15s'. */
  readonly ttl?: Duration;
  /** Any JSON up to 4 KiB, shown to whoever looks. Default: that of the client. */
  readonly owner?: unknown;
}

/**
 * Something to hang keys and locks on, which go with it. Renewed at a third of its time to live, until it is closed or lost.
 */
export interface Lease extends AsyncDisposable {
  /** Decimal. */
  readonly id: string;
  readonly ttlMs: number;
  /** Aborted when the lease may have ended, or was closed; before the cluster can have ended it. `reason` is what `guard` throws. */
  readonly signal: AbortSignal;
  /** Throws ERR_LEASE_NOT_FOUND when `signal` is aborted, or would be by now: looks at the clock itself, for a stalled event loop delays timers. */
  guard(): void;
  /** Milliseconds until it is lost unless a renewal is acknowledged before; 0 once it is. */
  remaining(): number;
  /** Revokes it: what hangs on it goes at once. Tried until the cluster answers or the lease must have ended by itself. Safe to repeat. */
  close(): Promise<void>;
}

export const DEFAULT_TTL: Duration = '15s';

export class LeaseHandle implements Lease {
  readonly id: string;
  readonly #core: Core;
  readonly #life: KeepAlive;
  #closing: Promise<void> | null = null;

  constructor(core: Core, id: string, life: { readonly ttlMs: number; readonly sentAt: number }) {
    this.id = id;
    this.#core = core;
    this.#life = new KeepAlive({
      environment: core.caller.environment,
      what: `lease ${id}`,
      lostCode: 'ERR_LEASE_NOT_FOUND',
      ...life,
      renew: (deadline, signal) =>
        core.renew(this.ttlMs, deadline, signal, (transport, attempt) => transport.leaseRenew(id, attempt)),
      onEnd: () => {
        if (this.#closing === null) core.forget(this);
      },
    });
    core.keep(this);
  }

  get ttlMs(): number {
    return this.#life.ttlMs;
  }

  /** When that was sent which kept it alive last. */
  get sentAt(): number {
    return this.#life.sentAt;
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
    this.#life.end(new KvorumError('ERR_LEASE_NOT_FOUND', `lease ${this.id} was closed`));
    try {
      if (!this.#life.gone)
        await giveBack(this.#core, endsBy, (transport, attempt) => transport.leaseRevoke(this.id, attempt));
    } finally {
      this.#core.forget(this);
    }
  }
}

/** Tried until it is answered, or until `endsBy`, when there is nothing left to give back. Rejects what no repetition helps against. */
export async function giveBack(core: Core, endsBy: number, send: Send<unknown>): Promise<void> {
  try {
    const timeoutMs = Math.max(1, endsBy - core.now());
    await core.caller.run('idempotent', { internal: true, timeoutMs }, send);
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    // Gone already; or nobody could be asked until it was.
    if (error.code === 'ERR_LEASE_NOT_FOUND' || error.code === 'ERR_LOCK_LOST' || isTransient(error)) return;
    throw error;
  }
}

/** Rejects as any write. */
export async function openLease(core: Core, options: LeaseOptions): Promise<LeaseHandle> {
  const ttlMs = durationMs('ttl', options.ttl ?? DEFAULT_TTL);
  const { owner = core.caller.options.owner } = options;
  let sentAt = Infinity;
  const answer = await core.caller.run('write', runOptions(options), (transport, attempt) => {
    // It may have been the first attempt that made it.
    sentAt = Math.min(sentAt, core.now());
    return transport.leaseGrant({ ttlMs, owner }, attempt);
  });
  return new LeaseHandle(core, answer.id, { ttlMs: answer.ttlMs, sentAt });
}

export function runOptions({ timeout, signal, once }: CallOptions): {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly once?: { readonly key: string } | false;
} {
  return {
    ...(timeout !== undefined && { timeoutMs: durationMs('timeout', timeout) }),
    ...(signal !== undefined && { signal }),
    ...(once !== undefined && { once }),
  };
}
