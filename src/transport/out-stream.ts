/** The way out for one channel of a link: a bounded queue in front of a libp2p stream, written as fast as the stream takes it. */
import type { Stream } from '@libp2p/interface';
import { FRAME_HEADER_BYTES, FrameQueue } from './frames.ts';

/**
 * Bytes given to the stream at a time. What it does not take at once it keeps, unbounded and out of our count; so it gets little, and more when that
 * has left. (A single larger frame goes as a whole.)
 */
const SLICE_BYTES = 256 * 1024;

export class OutStream {
  readonly #queue = new FrameQueue();
  readonly #maxQueueBytes: number;
  readonly #onError: (error: unknown) => void;
  #stream: Stream | null = null;
  #closed = false;
  /** On the transport's list of streams to flush at the end of the turn. */
  dirty = false;

  constructor(maxQueueBytes: number, onError: (error: unknown) => void) {
    this.#maxQueueBytes = maxQueueBytes;
    this.#onError = onError;
  }

  /** The stream is open: what was queued meanwhile leaves. */
  attach(stream: Stream): void {
    this.#stream = stream;
    stream.addEventListener('drain', () => this.flush());
    this.flush();
  }

  get attached(): boolean {
    return this.#stream !== null;
  }

  get frames(): number {
    return this.#queue.length;
  }

  get queuedBytes(): number {
    return this.#queue.bytes + (this.#stream?.writeBufferLength ?? 0);
  }

  /** False when the queue is full. An empty queue takes any frame. */
  push(parts: readonly Uint8Array[], length: number): boolean {
    if (this.#closed) return false;
    const queued = this.#queue.bytes;
    if (queued > 0 && queued + length + FRAME_HEADER_BYTES > this.#maxQueueBytes) return false;
    this.#queue.push(parts, length);
    return true;
  }

  flush(): void {
    const stream = this.#stream;
    if (stream === null || this.#closed) return;
    try {
      while (this.#queue.length > 0 && !stream.writableNeedsDrain) {
        for (const buffer of this.#queue.take(SLICE_BYTES)) stream.send(buffer);
      }
    } catch (error) {
      this.#onError(error);
    }
  }

  close(): void {
    this.#closed = true;
    this.#stream = null;
    this.#queue.clear();
  }
}
