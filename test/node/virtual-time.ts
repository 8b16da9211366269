import type { Environment } from '../../src/node/env.ts';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
  cancelled: boolean;
}

/** A virtual clock and event loop: time stands still until `run` moves it from one event to the next. */
export class VirtualTime {
  #now = 0;
  #order = 0;
  #events: Event[] = [];

  get now(): number {
    return this.#now;
  }

  schedule(delayMs: number, task: () => void): () => void {
    const event: Event = { at: this.#now + delayMs, order: this.#order++, task, cancelled: false };
    let position = this.#events.length;
    while (position > 0 && later(this.#events[position - 1] as Event, event)) position--;
    this.#events.splice(position, 0, event);
    return () => {
      event.cancelled = true;
    };
  }

  /** Runs events until `done` says so; fails when virtual time passes `limitMs` from now before that. */
  async run(done: () => boolean, limitMs: number): Promise<void> {
    const end = this.#now + limitMs;
    while (!done()) {
      const event = this.#events.shift();
      if (event === undefined) throw new Error('nothing left to happen');
      if (event.at > end) throw new Error(`not reached within ${limitMs} virtual milliseconds`);
      this.#now = Math.max(this.#now, event.at);
      if (!event.cancelled) event.task();
      // What the event resolved must be seen before the next one happens.
      for (let i = 0; i < 8; i++) await Promise.resolve();
    }
  }

  async pass(ms: number): Promise<void> {
    let over = false;
    this.schedule(ms, () => {
      over = true;
    });
    await this.run(() => over, ms);
  }

  environment(random: () => number): Environment & { stop(): void } {
    let stopped = false;
    const guard = (task: () => void) => () => {
      if (!stopped) task();
    };
    return {
      now: () => this.#now,
      wallTime: () => 1_700_000_000_000 + this.#now,
      random,
      endOfTurn: (task) => {
        this.schedule(0, guard(task));
      },
      after: (delayMs, task) => this.schedule(delayMs, guard(task)),
      every: (intervalMs, task) => {
        let cancel: () => void;
        const next = (): void => {
          cancel = this.schedule(intervalMs, () => {
            if (stopped) return;
            next();
            task();
          });
        };
        next();
        return () => cancel();
      },
      stop: () => {
        stopped = true;
      },
    };
  }
}

function later(a: Event, b: Event): boolean {
  return a.at > b.at || (a.at === b.at && a.order > b.order);
}
