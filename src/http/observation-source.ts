/** What is now, then what it becomes, as server-sent events. */
import type { Buffer } from 'node:buffer';

import { KvorumError } from '../errors.ts';
import type { EventSource } from './event-stream.ts';

export type Observation<T> = AsyncIterator<T> & { close(): void };

/** The first value: what goes wrong before anything is known is answered by a problem, not told in a stream. */
export async function firstOf<T>(observation: Observation<T>): Promise<IteratorResult<T>> {
  try {
    return await observation.next();
  } catch (error) {
    observation.close();
    throw error;
  }
}

export class ObservationSource<T> implements EventSource {
  readonly #observation: Observation<T>;
  readonly #frameOf: (value: T) => Buffer;
  #event: Buffer | null = null;
  #failure: { readonly thrown: unknown } | null = null;
  #asked = false;

  constructor(observation: Observation<T>, first: IteratorResult<T>, frameOf: (value: T) => Buffer) {
    this.#observation = observation;
    this.#frameOf = frameOf;
    this.#came(first);
  }

  take(): Buffer | null {
    const event = this.#event;
    if (event === null && this.#failure !== null) throw this.#failure.thrown;
    this.#event = null;
    return event;
  }

  rest(wake: () => void): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#observation.next().then(
      (result) => {
        this.#asked = false;
        this.#came(result);
        wake();
      },
      (thrown: unknown) => {
        this.#failure = { thrown };
        wake();
      },
    );
  }

  beat(): null {
    return null;
  }

  close(): void {
    this.#observation.close();
  }

  #came(result: IteratorResult<T>): void {
    if (result.done === true) this.#failure = { thrown: new KvorumError('ERR_CLOSED', 'the observation has ended') };
    else this.#event = this.#frameOf(result.value);
  }
}
