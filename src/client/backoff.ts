/**
 * How long to wait before the next attempt: a random part of a bound that doubles ("full jitter", Brooker, "Exponential Backoff And Jitter", 2015), so that clients
 * that failed together do not come back together.
 */
import type { ClientEnvironment } from './environment.ts';

export interface BackoffOptions {
  /** Bound of the first wait. Milliseconds, default 50. */
  readonly baseMs?: number;
  /** The bound doubles up to this. Milliseconds, default 2000. */
  readonly maxMs?: number;
}

export class Backoff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #environment: Pick<ClientEnvironment, 'random'>;
  #failures = 0;

  constructor(environment: Pick<ClientEnvironment, 'random'>, { baseMs = 50, maxMs = 2000 }: BackoffOptions = {}) {
    this.#environment = environment;
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
  }

  /** Milliseconds. Each call is for a failure more. */
  next(): number {
    const bound = Math.min(this.#maxMs, this.#baseMs * 2 ** Math.min(this.#failures++, 30));
    return this.#environment.random() * bound;
  }

  reset(): void {
    this.#failures = 0;
  }
}
