/** Something that is done again and again as long as a fault lasts. The first time is at once. */
export class Repeated {
  readonly #work: () => Promise<void>;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  #current: Promise<void>;
  #failure: unknown = null;

  constructor(everyMs: number, work: () => Promise<void>) {
    this.#everyMs = everyMs;
    this.#work = work;
    this.#current = this.#once();
  }

  async #once(): Promise<void> {
    try {
      await this.#work();
    } catch (error) {
      this.#failure = error;
      return;
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#current = this.#once();
    }, this.#everyMs);
  }

  /** Resolves when the last time is over; rejects when one of them failed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#current;
    if (this.#failure instanceof Error) throw this.#failure;
  }
}
