/** Many writers at once that remember what was acknowledged. */
import type { Api } from './api.ts';

/** Runs `work` on every item, at most `width` at a time, in the order of the items. */
export async function inParallel<T>(
  items: Iterable<T> | AsyncIterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

export interface LoadOptions {
  /** Node that each writer speaks to, by its number. */
  readonly target: (writer: number) => Api;
  readonly writers: number;
  /** Every key begins with this. */
  readonly prefix: string;
  readonly valueBytes?: number;
  /** Query of every write. */
  readonly query?: Readonly<Record<string, string>>;
}

/**
 * Writes until `stop()`. Each writer writes keys of its own, once each, and goes on over every error: an answer of 200 is
 * the only thing that counts as acknowledged, everything else may or may not have happened.
 */
export class Load {
  /** Acknowledged keys with their values. */
  readonly acknowledged = new Map<string, string>();
  readonly statuses = new Map<number | string, number>();
  /** By performance.now(). */
  lastAcknowledgedAt = 0;
  attempts = 0;
  #stopping = false;
  readonly #done: Promise<void>;

  constructor(options: LoadOptions) {
    const filler = 'x'.repeat(options.valueBytes ?? 32);
    const writer = async (number: number): Promise<void> => {
      for (let sequence = 0; !this.#stopping; sequence++) {
        const key = `${options.prefix}${number}/${sequence}`;
        const value = `${number}:${sequence}:${filler}`;
        let status: number | string;
        this.attempts++;
        try {
          const answer = await options
            .target(number)
            .put(key, value, { deadlineMs: 10_000, ...(options.query === undefined ? {} : { query: options.query }) });
          ({ status } = answer);
        } catch (error) {
          status = (error as NodeJS.ErrnoException).code ?? 'no answer';
        }
        if (status === 200) {
          this.acknowledged.set(key, value);
          this.lastAcknowledgedAt = performance.now();
        } else {
          // A refused connection comes back at once; without a turn of the loop the writers would starve the test.
          await new Promise((resolve) => setImmediate(resolve));
        }
        this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
      }
    };
    this.#done = Promise.all(Array.from({ length: options.writers }, (_, number) => writer(number))).then(
      () => undefined,
    );
  }

  /** Resolves when every writer has its last answer. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }
}
