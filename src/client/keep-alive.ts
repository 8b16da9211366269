/**
 * Keeps something alive that ends by itself unless it is renewed, and knows when it can no longer vouch for it.
 *
 * The holder fences itself (docs/locks.md): time counts from the moment at which the last acknowledged renewal was **sent**, on the holder's own monotonic
 * clock, so that its deadline comes before the one of the cluster, which counts from when the renewal arrived. Timers alone do not do: a stalled event loop
 * delays them. So whatever is asked of this looks at the clock first. What no clock can do is stop code that has already looked: that is what fencing
 * tokens are for.
 */
import { KvorumError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import type { ClientEnvironment } from './environment.ts';

export interface KeepAliveOptions {
  readonly environment: ClientEnvironment;
  /** For messages: `lock "orders/42"`. */
  readonly what: string;
  readonly lostCode: ErrorCode;
  readonly ttlMs: number;
  /** When that was sent which made or renewed it last. */
  readonly sentAt: number;
  /** One renewal, tried until `deadline` or until `signal` is aborted. */
  renew(deadline: number, signal: AbortSignal): Promise<Renewal>;
  /** It was lost, or given up. Called once. */
  readonly onEnd?: () => void;
}

export interface Renewal {
  readonly ttlMs: number;
  /** When the attempt that was acknowledged was sent. */
  readonly sentAt: number;
}

/** Of the time to live: two clocks that differ by less than this in their speed agree about the order of the deadlines. */
const DRIFT = 0.01;
const MIN_MARGIN_MS = 10;
/** A lease ends at most this much later than its time, with a stable leader. */
const EXPIRY_DELAY_MS = 1000;

/** The cluster said so, not the clock. */
const GONE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ERR_LOCK_LOST', 'ERR_LEASE_NOT_FOUND']);

export class KeepAlive {
  readonly #options: KeepAliveOptions;
  readonly #controller = new AbortController();
  #ttlMs = 0;
  #sentAt = 0;
  /** From then on nothing is vouched for. */
  #fence = 0;
  #ended: KvorumError | null = null;
  #gone = false;
  #cancelRenewal: () => void = () => undefined;
  #cancelFence: () => void = () => undefined;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    this.#renewed(options);
  }

  get ttlMs(): number {
    return this.#ttlMs;
  }

  get sentAt(): number {
    return this.#sentAt;
  }

  /** Aborted with the error that `guard` throws. */
  get signal(): AbortSignal {
    this.#look();
    return this.#controller.signal;
  }

  /** Throws when it was lost or given up, whatever the timers have come to. */
  guard(): void {
    this.#look();
    if (this.#ended !== null) throw this.#ended;
  }

  /** Milliseconds until it is lost unless it is renewed; 0 once it is. */
  remaining(): number {
    this.#look();
    return this.#ended === null ? this.#fence - this.#options.environment.now() : 0;
  }

  /** The cluster said that it is gone: there is nothing to give back. */
  get gone(): boolean {
    return this.#gone;
  }

  /** By then it must have ended by itself, whatever became of the renewals. */
  endsBy(): number {
    return this.#options.environment.now() + this.#ttlMs + EXPIRY_DELAY_MS;
  }

  /** Lost, or given up by its holder. */
  end(error: KvorumError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#cancelRenewal();
    this.#cancelFence();
    this.#controller.abort(error);
    this.#options.onEnd?.();
  }

  lostError(reason: string): KvorumError {
    const { lostCode, what } = this.#options;
    return new KvorumError(lostCode, `${what} was lost: ${reason}`);
  }

  #look(): void {
    if (this.#ended === null && this.#options.environment.now() >= this.#fence) {
      this.end(this.lostError(`it could not be renewed within ${this.#ttlMs} ms`));
    }
  }

  #renewed({ ttlMs, sentAt }: Renewal): void {
    const { environment } = this.#options;
    this.#ttlMs = ttlMs;
    this.#sentAt = sentAt;
    this.#fence = sentAt + ttlMs - Math.max(MIN_MARGIN_MS, ttlMs * DRIFT);
    this.#cancelFence();
    this.#cancelFence = environment.after(Math.max(0, this.#fence - environment.now()), () => this.#look(), true);
    this.#renewAfter(sentAt + ttlMs / 3 - environment.now());
  }

  #renewAfter(delayMs: number): void {
    this.#cancelRenewal();
    this.#cancelRenewal = this.#options.environment.after(Math.max(0, delayMs), () => void this.#renew(), true);
  }

  async #renew(): Promise<void> {
    this.#look();
    if (this.#ended !== null) return;
    try {
      const renewal = await this.#options.renew(this.#fence, this.#controller.signal);
      // An acknowledgement that comes after the deadline proves that the cluster has kept it. It revives nothing all the same: from the deadline on
      // `guard` throws and `signal` is aborted, and whoever has seen that has stopped for good; a handle that is lost for one and held for another is worse
      // than one that is lost for all.
      this.#look();
      if (this.#ended === null) this.#renewed(renewal);
    } catch (error) {
      if (this.#ended !== null) return;
      if (KvorumError.is(error) && GONE.has(error.code)) {
        this.#gone = true;
        this.end(this.lostError(error.message));
        return;
      }
      // Nobody could be reached, or somebody answered nonsense: as long as there is time, it is worth another try.
      this.#renewAfter(this.#ttlMs / 10);
    }
  }
}
