/** Watches and observations of a node that is elsewhere. What has come and was not taken yet is bounded by the credit that was given. */
import { KvorumError } from '../../errors.ts';
import type { Watch, WatchBatch, WatchEvent } from '../coordination.ts';
import { decodeBatchPart, type BatchPart } from './entries.ts';
import { malformed, METHOD, STREAM_BATCHES, STREAM_BYTES } from './protocol.ts';
import type { Requester, StreamSink } from './requester.ts';

/** Takes what was told, in order. */
abstract class Inbox<T> implements StreamSink {
  readonly requester: Requester;
  id = 0;
  readonly #queue: { readonly value: T; readonly bytes: number }[] = [];
  /** Taken since credit was given last. */
  #batches = 0;
  #bytes = 0;
  #callback: (() => void) | null = null;
  #over: 'ended' | KvorumError | null = null;
  #closed = false;
  #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.close();

  constructor(requester: Requester) {
    this.requester = requester;
  }

  /** An abort closes it. */
  protected until(signal: AbortSignal | undefined): void {
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort);
    if (signal?.aborted === true) this.close();
  }

  abstract item(answer: unknown[]): void;
  abstract opened(answer: readonly unknown[]): void;

  /** What the signal was aborted with; null: it was not. */
  protected get reason(): Error | null {
    return this.#signal?.aborted === true ? (this.#signal.reason as Error) : null;
  }

  get closed(): boolean {
    return this.#closed;
  }

  ended(): void {
    this.#over ??= 'ended';
    this.#wake();
  }

  failed(error: KvorumError): void {
    this.#over ??= error;
    this.#wake();
  }

  protected take(value: T, bytes: number): void {
    if (this.#closed) return;
    this.#queue.push({ value, bytes });
    this.#wake();
  }

  /** What came first, or null. Throws what ended the stream, once everything was taken. */
  poll(): T | null {
    const first = this.#queue.shift();
    if (first === undefined) {
      const over = this.#over;
      if (over === 'ended') this.close();
      else if (over !== null && !this.#closed) {
        this.close();
        throw over;
      }
      return null;
    }
    this.#batches++;
    this.#bytes += first.bytes;
    if (this.#batches * 2 >= STREAM_BATCHES || this.#bytes * 2 >= STREAM_BYTES) {
      this.requester.credit(this.id, this.#batches, this.#bytes);
      this.#batches = 0;
      this.#bytes = 0;
    }
    return first.value;
  }

  /** Calls back once, when there may be something. */
  changed(callback: () => void): void {
    this.#callback = callback;
    if (this.#queue.length > 0 || this.#over !== null || this.#closed) this.#wake();
  }

  async next(): Promise<IteratorResult<T>> {
    while (!this.#closed) {
      const value = this.poll();
      if (value !== null) return { done: false, value };
      if (this.#closed) break;
      await new Promise<void>((resolve) => this.changed(resolve));
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
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#queue.length = 0;
    this.requester.cancel(this.id);
    this.#wake();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #wake(): void {
    const callback = this.#callback;
    this.#callback = null;
    callback?.();
  }
}

export class RemoteWatch extends Inbox<WatchBatch> implements Watch {
  #position = 0;
  /** Events of a batch that comes in parts. */
  #events: WatchEvent[] = [];
  #bytes = 0;
  #stands: ((error: Error | null) => void) | null = null;

  get position(): number {
    return this.#position;
  }

  /** Resolves when the watch stands. */
  open(options: Record<string, unknown> | null, signal: AbortSignal | undefined): Promise<this> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      this.#stands = (error) => {
        this.#stands = null;
        if (error === null) resolve(this);
        else reject(error);
      };
      this.until(signal);
      this.id = this.requester.stream([0, METHOD.watch, STREAM_BATCHES, STREAM_BYTES, options], this);
    });
  }

  opened([, , position]: readonly unknown[]): void {
    if (typeof position !== 'number') throw malformed('position');
    this.#position = position;
    this.#stands?.(null);
  }

  override failed(error: KvorumError): void {
    super.failed(error);
    if (this.#stands === null) return;
    this.#stands(error);
    this.close();
  }

  override close(): void {
    super.close();
    this.#stands?.(this.reason ?? new KvorumError('ERR_CLOSED', 'the watch was closed before it stood'));
  }

  item(answer: unknown[]): void {
    const part = partOf(answer);
    const { revision, more, events } = part;
    const bytes = answer[3] as number;
    if (more || this.#events.length > 0) {
      // The whole revision is one batch, whatever its size.
      for (const event of events) this.#events.push(event);
      this.#bytes += bytes;
      if (more) return;
      this.take({ revision, events: this.#events }, this.#bytes);
      this.#events = [];
      this.#bytes = 0;
    } else this.take(part, bytes);
  }

  override poll(): WatchBatch | null {
    const batch = super.poll();
    if (batch !== null) this.#position = batch.revision + 1;
    return batch;
  }
}

/** Read once, for all who are told the same; its size is kept beside it. */
function partOf(answer: unknown[]): BatchPart {
  const bytes = answer[2];
  if (!(bytes instanceof Uint8Array)) return answer[2] as BatchPart;
  const part = decodeBatchPart(bytes);
  answer[2] = part;
  answer[3] = bytes.length;
  return part;
}

export class RemoteObservation<T> extends Inbox<T> {
  /** `positional`: what the method takes before its options. */
  begin(
    method: number,
    positional: readonly unknown[],
    options: Record<string, unknown> | null,
    signal: AbortSignal | undefined,
  ): void {
    this.until(signal);
    if (this.closed) return;
    try {
      this.id = this.requester.stream([0, method, STREAM_BATCHES, ...positional, options], this);
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      this.failed(error);
    }
  }

  opened(): void {
    throw malformed('an observation that is opened');
  }

  item(answer: unknown[]): void {
    this.take(answer[2] as T, 0);
  }
}
