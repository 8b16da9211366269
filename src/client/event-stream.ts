/** A body of server-sent events, read when somebody asks: the network holds back what nobody has asked for. */
import { KvorumError } from '../errors.ts';
import type { Stream } from './api.ts';
import type { ClientEnvironment } from './environment.ts';
import { networkError, problemOfText } from './problem.ts';
import { SseParser } from './sse.ts';
import type { ServerSentEvent } from './sse.ts';
import { malformed } from './wire-json.ts';

export interface EventStreamOptions<T> {
  readonly endpoint: string;
  readonly environment: ClientEnvironment;
  /** Nodes send something every 10 s. Silence for longer than this is a connection that died without a word. Milliseconds. */
  readonly idleMs: number;
  /** Ends the request. */
  readonly abort: () => void;
  readonly parse: (event: ServerSentEvent) => T;
}

export class EventStream<T> implements Stream<T> {
  readonly #options: EventStreamOptions<T>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #parser = new SseParser();
  /** What came with the last chunk, from `#next` on. */
  #events: readonly ServerSentEvent[] = [];
  #next = 0;
  #closed = false;

  constructor(body: ReadableStream<Uint8Array>, options: EventStreamOptions<T>) {
    this.#options = options;
    this.#reader = body.getReader();
  }

  async next(): Promise<T | null> {
    for (;;) {
      const event = this.#events[this.#next];
      if (event !== undefined) {
        this.#next++;
        if (event.event === 'error') throw this.#told(event);
        return this.#options.parse(event);
      }
      const chunk = this.#closed ? null : await this.#read();
      if (chunk === null) return null;
      this.#events = this.#parser.push(chunk);
      this.#next = 0;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.abort();
    // It fails when the request was aborted first, which is what was wanted.
    this.#reader.cancel().catch(() => undefined);
  }

  /** Null at the end. */
  async #read(): Promise<Uint8Array | null> {
    const { environment, idleMs, endpoint } = this.#options;
    return new Promise((resolve, reject) => {
      const cancel = environment.after(idleMs, () => {
        reject(
          new KvorumError('ERR_UNAVAILABLE', `${endpoint} has sent nothing for ${idleMs} ms`, { outcome: 'unknown' }),
        );
        this.close();
      });
      this.#reader.read().then(
        ({ done, value }) => {
          cancel();
          resolve(done || value === undefined ? null : value);
        },
        (error: unknown) => {
          cancel();
          if (this.#closed) resolve(null);
          else reject(networkError(error, endpoint, true));
        },
      );
    });
  }

  #told(event: ServerSentEvent): KvorumError {
    this.close();
    return problemOfText(event.data) ?? malformed('an error event without a problem');
  }
}
