/** Whose turn it is, among all streams that have something to tell: everybody once, and the event loop, on which are the heartbeats of Raft, in between. */
import type { Environment } from '../env.ts';

/** How long one turn may keep the event loop. */
const TURN_MS = 4;
/** Look again after a turn in which nobody had room. */
const CROWDED_MS = 5;

export class Turns {
  readonly #env: Pick<Environment, 'now' | 'endOfTurn' | 'after'>;
  #ready: (() => void)[] = [];
  #scheduled = false;

  constructor(env: Pick<Environment, 'now' | 'endOfTurn' | 'after'>) {
    this.#env = env;
  }

  later(task: () => void): void {
    this.#ready.push(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#env.endOfTurn(() => this.#turn());
  }

  #turn(): void {
    const env = this.#env;
    const until = env.now() + TURN_MS;
    const ready = this.#ready;
    this.#ready = [];
    let next = 0;
    while (next < ready.length) {
      ready[next++]!();
      if (env.now() >= until) break;
    }
    const again = this.#ready;
    this.#ready = next === ready.length ? again : [...ready.slice(next), ...again];
    if (this.#ready.length === 0) {
      this.#scheduled = false;
      return;
    }
    // Those who come back at once have no room, or no end: the network needs a moment.
    if (next === ready.length && again.length === ready.length) env.after(CROWDED_MS, () => this.#turn());
    else env.endOfTurn(() => this.#turn());
  }
}
