/** Time that stands still until a test moves it. */
import type { ClientEnvironment } from '../../src/client/environment.ts';
import { Random } from '../../src/testing/random.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
}

export class FakeTime implements ClientEnvironment {
  readonly #random: Random;
  readonly #timers = new Set<Timer>();
  #now = 1000;
  #order = 0;

  constructor(seed = 1) {
    this.#random = new Random(seed);
  }

  now = (): number => this.#now;
  random = (): number => this.#random.float();

  after = (delayMs: number, task: () => void): (() => void) => {
    const timer = { at: this.#now + Math.max(0, delayMs), order: this.#order++, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  get pending(): number {
    return this.#timers.size;
  }

  /** Runs whatever is due on the way, each with all that follows from it at once. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const due = this.#next(end);
      if (due === null) break;
      this.#now = Math.max(this.#now, due.at);
      this.#timers.delete(due);
      due.task();
      await settle();
    }
    this.#now = Math.max(this.#now, end);
    await settle();
  }

  /** The event loop does nothing for so long, and its timers are late. */
  stall(ms: number): void {
    this.#now += ms;
  }

  /** Passes time until the promise settles, at most `limitMs`; gives what it settled with. */
  async until<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let settled = false;
    promise.then(
      () => (settled = true),
      () => (settled = true),
    );
    const end = this.#now + limitMs;
    await settle();
    while (!settled) {
      const due = this.#next(end);
      if (due === null) throw new Error(`not settled within ${limitMs} ms of fake time`);
      await this.pass(Math.max(0, due.at - this.#now));
    }
    return promise;
  }

  #next(end: number): Timer | null {
    let next: Timer | null = null;
    for (const timer of this.#timers) {
      if (timer.at > end) continue;
      if (next === null || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) next = timer;
    }
    return next;
  }
}

/** Everything that follows from what has happened happens. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}
