/** What is now, then what it becomes: the newest state each time it is asked for, and nothing kept for who asks seldom. */
export interface ObservationOptions<T> {
  /** Resolves when the state may be read for the first time. */
  begin(): Promise<void>;
  read(): T;
  /** What tells two states apart. Default: all of them, as JSON. */
  readonly text?: (value: T) => string;
  /** Calls back when the state may have changed; gives what ends that. */
  subscribe(changed: () => void): () => void;
  /** Any of them ends it. */
  readonly signals: readonly AbortSignal[];
}

export class Observation<T> implements AsyncIterableIterator<T> {
  readonly #options: ObservationOptions<T>;
  #unsubscribe: (() => void) | null = null;
  #begun: Promise<void> | null = null;
  /** What was given last, as text: the same is not given again. */
  #last: string | null = null;
  #changed = true;
  #wake: (() => void) | null = null;
  #closed = false;
  readonly #onAbort = (): void => this.close();

  constructor(options: ObservationOptions<T>) {
    this.#options = options;
    for (const signal of options.signals) signal.addEventListener('abort', this.#onAbort);
    if (options.signals.some((signal) => signal.aborted)) this.close();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<T>> {
    if (this.#begun === null && !this.#closed) {
      this.#unsubscribe = this.#options.subscribe(() => {
        this.#changed = true;
        this.#wake?.();
      });
      this.#begun = this.#options.begin();
    }
    try {
      await this.#begun;
    } catch (error) {
      this.close();
      throw error;
    }
    while (!this.#closed) {
      if (this.#changed) {
        this.#changed = false;
        const value = this.#options.read();
        const text = this.#options.text?.(value) ?? JSON.stringify(value);
        if (text !== this.#last) {
          this.#last = text;
          return { done: false, value };
        }
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return { done: true, value: undefined };
  }

  return(): Promise<IteratorResult<T>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe?.();
    for (const signal of this.#options.signals) signal.removeEventListener('abort', this.#onAbort);
    this.#wake?.();
  }
}
