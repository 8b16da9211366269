/**
 * The time that a leader stamps its entries with: its wall clock, except that state-machine time never stands still for that. A leader whose clock is behind what the state has
 * seen (it was set back, or an earlier leader's ran ahead) goes on from there at the pace of its monotonic clock; otherwise whatever waits in state-machine time, the rest
 * of a lock above all, would wait until that clock has caught up.
 */
import type { Environment } from './env.ts';

export class StateClock {
  readonly #env: Environment;
  readonly #stateTime: () => number;
  /** The state was at `#base` at the monotonic time `#since`, or would have been. */
  #base = 0;
  #since = 0;

  /** `stateTime`: of the state machine, milliseconds since the epoch. */
  constructor(env: Environment, stateTime: () => number) {
    this.#env = env;
    this.#stateTime = stateTime;
  }

  /** Milliseconds since the epoch. */
  now(): number {
    const monotonic = this.#env.now();
    const state = this.#stateTime();
    let time = Math.floor(this.#base + monotonic - this.#since);
    if (state > time) {
      this.#base = state;
      this.#since = monotonic;
      time = state;
    }
    return Math.max(this.#env.wallTime(), time);
  }
}
