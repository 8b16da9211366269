/** The one timer of a core that says when it wants to be called next: set anew after each call of it, by `arm`. */
import type { Environment } from './env.ts';

export interface DueTimerOptions {
  readonly env: Pick<Environment, 'now' | 'after'>;
  /** When the core is due, on the clock of `env`; Infinity for never. */
  readonly due: () => number;
  /** Calls the core. `lateMs`: how long after it was due, 0 at best. */
  readonly run: (lateMs: number) => void;
}

export class DueTimer {
  readonly #options: DueTimerOptions;
  #cancel: (() => void) | null = null;
  #atMs = Infinity;

  constructor(options: DueTimerOptions) {
    this.#options = options;
  }

  arm(): void {
    const { env, due, run } = this.#options;
    const next = due();
    // One that comes too early does nothing; one more timer a message would cost more.
    if (this.#cancel !== null && this.#atMs <= next) return;
    this.cancel();
    this.#atMs = next;
    if (next === Infinity) return;
    this.#cancel = env.after(Math.max(0, Math.ceil(next - env.now())), () => {
      this.#cancel = null;
      run(env.now() - this.#atMs);
    });
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
