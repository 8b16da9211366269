/** Elections: one leader at a time, who has a value to show. */
import type { ElectionInfo } from './api.ts';
import type { Core } from './core.ts';
import { durationMs } from './duration.ts';
import type { Duration } from './duration.ts';
import { runOptions } from './lease.ts';
import type { CallOptions } from './options.ts';
import { acquire } from './seat.ts';
import type { AcquireOptions, Hold, HoldHandle, SeatCalls } from './seat.ts';
import { DEFAULT_IDLE_MS, follow, Subscription } from './subscription.ts';

export interface CampaignOptions extends AcquireOptions {
  /** What the leader stands for; shown to observers once elected. Up to 4 KiB. Default: nothing. */
  readonly value?: string;
  /** How long to stand for election, on top of `timeout`. Default: until elected, or until `signal` is aborted. */
  readonly wait?: Duration;
}

/** A time as leader: from the election until it resigns or is lost. */
export interface Term extends Hold {
  /** Shows observers another value. Rejects ERR_LOCK_LOST when this is not the leader any more. */
  proclaim(value: string, options?: CallOptions): Promise<void>;
  /** The same as `close`. */
  resign(): Promise<void>;
}

export interface ObserveOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
  /** A connection on which nothing has come for this long is given up. Nodes say something every 10 s. Default '25s'. */
  readonly idleTimeout?: Duration;
}

class TermHandle implements Term {
  readonly #core: Core;
  readonly #hold: HoldHandle;

  constructor(core: Core, hold: HoldHandle) {
    this.#core = core;
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

  async proclaim(value: string, options: CallOptions = {}): Promise<void> {
    this.guard();
    const { name, token } = this;
    await this.#core.caller.run('write', runOptions(options), (transport, attempt) =>
      transport.electionProclaim({ name, token, value }, attempt),
    );
  }

  resign(): Promise<void> {
    return this.#hold.close();
  }

  close(): Promise<void> {
    return this.#hold.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#hold.close();
  }
}

export class Election {
  readonly name: string;
  readonly #core: Core;

  constructor(core: Core, name: string) {
    this.#core = core;
    this.name = name;
  }

  /**
   * Resolves once elected. Rejects ERR_LOCK_HELD when the wait is over.
   *
   * @example
   * const term = await client.election('outbox-relay').campaign({ value: 'me', signal });
   * try {
   *   while (!term.signal.aborted) await relayOne(term.token);
   * } finally {
   *   await term.resign();
   * }
   */
  async campaign({ value, wait = Infinity, ...options }: CampaignOptions = {}): Promise<Term> {
    const { name } = this;
    const calls: SeatCalls = {
      what: `election ${JSON.stringify(name)}`,
      acquire: (transport, request, attempt) => transport.electionCampaign({ ...request, value }, attempt),
      // By its token, not by its lease: an operator may have taken the one and left the other.
      renew: (transport, { token }, attempt) => transport.lockRenew({ name, token }, attempt),
      release: (transport, { token }, attempt) => transport.electionResign({ name, token }, attempt),
    };
    return new TermHandle(this.#core, await acquire(this.#core, name, { ...options, wait }, calls));
  }

  /** Who leads now, and what for. */
  leader(options: CallOptions = {}): Promise<ElectionInfo> {
    return this.#core.caller.run('read', runOptions(options), (transport, attempt) =>
      transport.electionGet(this.name, attempt),
    );
  }

  /** What is now, then whatever comes; of several changes in a row perhaps the last only. Goes on at another node when one fails. */
  observe({ signal, idleTimeout }: ObserveOptions = {}): Subscription<ElectionInfo> {
    const idleMs = idleTimeout === undefined ? DEFAULT_IDLE_MS : durationMs('idleTimeout', idleTimeout);
    const { name } = this;
    let last = '';
    return new Subscription(this.#core, signal, (ended) =>
      follow(this.#core, ended, {
        open: (transport, attempt) => transport.electionObserve({ name, idleMs }, attempt),
        take: (info) => {
          // A stream begins with what is now, which may have been told by the one before.
          const shown = JSON.stringify([info.leader, info.value, info.token]);
          if (shown === last) return null;
          last = shown;
          return info;
        },
        failed: (error) => {
          throw error;
        },
      }),
    );
  }
}
