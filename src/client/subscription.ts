/** Streams that go on at another node when one fails. */
import { KvorumError } from '../errors.ts';
import type { Attempt, ClientTransport, Stream } from './api.ts';
import { Backoff } from './backoff.ts';
import type { Core } from './core.ts';
import { isTransient } from './retry.ts';

/** Nodes say something every 10 s. */
export const DEFAULT_IDLE_MS = 25_000;

export interface Follower<M, T> {
  /** Where the last stream ended. */
  open(transport: ClientTransport, attempt: Attempt): Promise<Stream<M>>;
  /** What to give of it; null for nothing. */
  take(message: M): T | null | Promise<T | null>;
  /** After an error that another node would repeat: throws, or gives something and makes `open` begin elsewhere. */
  failed(error: KvorumError): T | null | Promise<T | null>;
}

/**
 * What the streams tell, one after the other, until `ended`. The first connection has as long as any call; after that nobody is tired of trying. Nothing is read before it is
 * asked for.
 */
export async function* follow<M, T>(
  core: Core,
  ended: AbortSignal,
  follower: Follower<M, T>,
): AsyncGenerator<T, undefined> {
  const { caller } = core;
  const backoff = new Backoff(caller.environment, caller.options.backoff);
  let began = false;
  const over = (): boolean => ended.aborted || caller.closing !== null;
  while (!over()) {
    let transport: ClientTransport | null = null;
    let stream: Stream<M> | null = null;
    const close = (): void => stream?.close();
    try {
      const timeoutMs = began ? Infinity : caller.options.timeoutMs;
      stream = await caller.run('read', { signal: ended, timeoutMs }, (through, attempt) => {
        transport = through;
        return follower.open(through, attempt);
      });
      began = true;
      ended.addEventListener('abort', close, { once: true });
      for (;;) {
        const message = await stream.next();
        if (message === null || ended.aborted) break;
        backoff.reset();
        const given = await follower.take(message);
        if (given !== null) yield given;
      }
    } catch (error) {
      if (over()) return undefined;
      const connecting = stream === null;
      if (!KvorumError.is(error) || (connecting && isTransient(error))) throw error;
      if (!isTransient(error)) {
        let given: T | null;
        try {
          given = await follower.failed(error);
        } catch (failure) {
          if (over()) return undefined;
          throw failure;
        }
        if (given !== null) yield given;
      }
    } finally {
      ended.removeEventListener('abort', close);
      close();
    }
    if (over()) break;
    if (transport !== null) caller.left(transport);
    try {
      await caller.pause(backoff.next(), ended);
    } catch {
      // Ended, or the client was closed, which ends it too.
      break;
    }
  }
  return undefined;
}

/** An iteration that can be ended from outside: by its signal, by `close`, and with its client; then it is over without an error. */
export class Subscription<T> implements AsyncIterableIterator<T, undefined>, AsyncDisposable {
  readonly #core: Core;
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#controller.abort();
  readonly #values: AsyncGenerator<T, undefined>;
  /** Asked for already. */
  #first: Promise<IteratorResult<T, undefined>> | null = null;
  #started = false;

  constructor(core: Core, signal: AbortSignal | undefined, make: (ended: AbortSignal) => AsyncGenerator<T, undefined>) {
    this.#core = core;
    this.#signal = signal;
    this.#values = make(this.#controller.signal);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const first = this.#first;
    this.#first = null;
    return first ?? this.#advance();
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  async close(): Promise<void> {
    this.#controller.abort();
    this.#end();
    await this.#values.return(undefined);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Begins without anybody asking for a value; the first one waits for who does. */
  protected begin(): void {
    if (this.#started) return;
    this.#first = this.#advance();
    // It is told to whoever asks for the value.
    this.#first.catch(() => undefined);
  }

  async #advance(): Promise<IteratorResult<T, undefined>> {
    if (!this.#started) {
      this.#started = true;
      this.#core.keep(this);
      this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
      if (this.#signal?.aborted === true) this.#controller.abort();
    }
    try {
      const result = await this.#values.next();
      if (result.done === true) this.#end();
      return result;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  #end(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#core.forget(this);
  }
}
