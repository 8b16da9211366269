/** The caller's end of one connection: numbers calls, sends those of a turn together, and brings the answers to those who wait for them. */
import { KvorumError } from '../../errors.ts';
import { decodeError } from './entries.ts';
import {
  ANSWER,
  ANSWERS,
  decodeFrame,
  encodeFrame,
  FRAME_BYTES,
  isId,
  malformed,
  MAX_FRAME_BYTES,
  MAX_ID,
  MAX_INFLIGHT,
  MAX_STREAMS,
  METHOD,
  REQUESTS,
  STATE_ID,
  trimmed,
} from './protocol.ts';

/** Makes of the fields of an answer, which begin at 2, what the caller waits for. `frameBytes`: that they came in. */
export type Decode<T> = (answer: readonly unknown[], frameBytes: number) => T;

/** Whoever is told by a stream. */
export interface StreamSink {
  opened(answer: readonly unknown[]): void;
  /** The same object for all who are told the same: what is made of it can be kept in it. */
  item(answer: unknown[]): void;
  ended(): void;
  failed(error: KvorumError): void;
}

interface Call {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly decode: Decode<unknown>;
  sent: boolean;
}

export interface RequesterOptions {
  /** False: it did not leave. */
  send(parts: readonly Uint8Array[]): boolean;
  /** Runs `task` when all that follows at once from what runs now has ended. Default: process.nextTick. */
  soon?(task: () => void): void;
  /** How the node is, told without being asked. */
  state?(answer: readonly unknown[]): void;
}

export class Requester {
  readonly #options: RequesterOptions;
  readonly #calls = new Map<number, Call>();
  readonly #streams = new Map<number, StreamSink>();
  #next = 1;
  #out: unknown[][] = [];
  #outBytes = 0;
  #scheduled = false;
  #closed: KvorumError | null = null;
  maxInflight = MAX_INFLIGHT;
  /** Of the node, as of the last frame. */
  revision = 0;
  term = 0;
  readonly #flush = (): void => {
    this.#scheduled = false;
    this.#flushNow();
  };

  constructor(options: RequesterOptions) {
    this.#options = options;
  }

  /**
   * `request`: a place for the id, the method, the arguments. `bytes`: about what it needs. Rejects as the node says, ERR_OVERLOADED when too many wait, and
   * as `close` was told.
   */
  call<T>(request: unknown[], bytes: number, decode: Decode<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const id = this.#enter(request);
      if (typeof id !== 'number') {
        reject(id);
        return;
      }
      this.#calls.set(id, { resolve: resolve as (value: unknown) => void, reject, decode, sent: false });
      this.#push(request, bytes);
    });
  }

  /** A call that may take long: an abort is told to the node, and rejects with the reason of the signal. */
  longCall<T>(request: unknown[], bytes: number, decode: Decode<T>, signal: AbortSignal | undefined): Promise<T> {
    if (signal === undefined) return this.call(request, bytes, decode);
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (this.#calls.delete(request[0] as number)) this.#push([request[0], METHOD.cancel], 8);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.call(request, bytes, decode)
        .finally(() => signal.removeEventListener('abort', onAbort))
        .then(resolve, reject);
    });
  }

  /** Gives the id, by which `credit` and `cancel` know the stream. Throws as `call` rejects. */
  stream(request: unknown[], sink: StreamSink): number {
    const id = this.#enter(request);
    if (typeof id !== 'number') throw id;
    this.#streams.set(id, sink);
    this.#push(request, 256);
    return id;
  }

  credit(id: number, batches: number, bytes: number): void {
    if (this.#streams.has(id)) this.#push([id, METHOD.credit, batches, bytes], 16);
  }

  cancel(id: number): void {
    if (this.#streams.delete(id)) this.#push([id, METHOD.cancel], 8);
  }

  /** Throws for a frame that is none of ours. */
  frame(frame: Uint8Array): void {
    const body = decodeFrame(ANSWERS, frame);
    const [revision, term] = body;
    if (typeof revision !== 'number' || typeof term !== 'number') throw malformed('head');
    this.revision = revision;
    this.term = term;
    for (let i = 2; i < body.length; i++) {
      const answer = body[i];
      if (!Array.isArray(answer)) throw malformed('answer');
      this.#answer(answer as unknown[], frame.length);
    }
  }

  /** Ends everything that waits. What was sent may have been done: its outcome is unknown; what was not, has none. */
  close(error: KvorumError): void {
    if (this.#closed !== null) return;
    this.#closed = error;
    this.#out = [];
    const { code, message, cause, details } = error;
    const unknown = new KvorumError(code, message, { outcome: 'unknown', cause, details });
    const none = new KvorumError(code, message, { outcome: 'none', cause, details });
    for (const { reject, sent } of this.#calls.values()) reject(sent ? unknown : none);
    for (const sink of this.#streams.values()) sink.failed(none);
    this.#calls.clear();
    this.#streams.clear();
  }

  /** Gives the request its id, or why it cannot have one. */
  #enter(request: unknown[]): number | KvorumError {
    if (this.#closed !== null) return this.#closed;
    if (this.#calls.size >= this.maxInflight || this.#streams.size >= MAX_STREAMS) {
      return new KvorumError('ERR_OVERLOADED', 'too many calls or streams of this connection are open');
    }
    do {
      this.#next = this.#next === MAX_ID ? 1 : this.#next + 1;
    } while (this.#calls.has(this.#next) || this.#streams.has(this.#next));
    request[0] = this.#next;
    return this.#next;
  }

  #push(request: unknown[], bytes: number): void {
    if (this.#closed !== null) return;
    if (this.#out.length > 0 && this.#outBytes + bytes > FRAME_BYTES) this.#flushNow();
    this.#outBytes += bytes;
    this.#out.push(trimmed(request));
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Asked for in a microtask, it comes after all microtasks: whoever is answered by one frame asks again in one frame.
    if (this.#options.soon === undefined) process.nextTick(this.#flush);
    else this.#options.soon(this.#flush);
  }

  #flushNow(): void {
    const requests = this.#out;
    if (requests.length === 0 || this.#closed !== null) return;
    this.#out = [];
    this.#outBytes = 0;
    this.#send(requests);
  }

  #send(requests: unknown[][]): void {
    let parts: Uint8Array[];
    try {
      parts = encodeFrame(REQUESTS, requests);
    } catch (cause) {
      // Something in one of them is no data (a function, a circle): the others have nothing to do with it.
      const why = cause instanceof Error ? cause.message : String(cause);
      return this.#apart(
        requests,
        () => new KvorumError('ERR_INVALID_ARGUMENT', `this cannot be sent: ${why}`, { cause }),
      );
    }
    let length = 0;
    for (const part of parts) length += part.length;
    if (length > MAX_FRAME_BYTES) {
      const message = `a request of ${length} bytes, ${MAX_FRAME_BYTES} are allowed`;
      return this.#apart(
        requests,
        () => new KvorumError('ERR_TOO_LARGE', message, { details: { limit: MAX_FRAME_BYTES } }),
      );
    }
    if (!this.#options.send(parts)) {
      return this.#refuse(
        requests,
        new KvorumError('ERR_OVERLOADED', 'the node does not take requests as fast as they come'),
      );
    }
    for (const request of requests) {
      const call = this.#calls.get(request[0] as number);
      if (call !== undefined) call.sent = true;
    }
  }

  #apart(requests: unknown[][], why: () => KvorumError): void {
    if (requests.length > 1) for (const request of requests) this.#send([request]);
    else this.#refuse(requests, why());
  }

  #refuse(requests: unknown[][], error: KvorumError): void {
    for (const [id] of requests) {
      const call = this.#calls.get(id as number);
      this.#calls.delete(id as number);
      call?.reject(error);
      const sink = this.#streams.get(id as number);
      this.#streams.delete(id as number);
      sink?.failed(error);
    }
  }

  #answer(answer: unknown[], frameBytes: number): void {
    const [id, kind] = answer;
    if (kind === ANSWER.item) {
      if (id === STATE_ID) return this.#options.state?.(answer);
      if (Array.isArray(id)) for (const one of id as unknown[]) this.#streams.get(one as number)?.item(answer);
      else this.#streams.get(id as number)?.item(answer);
      return;
    }
    if (!isId(id)) throw malformed('id');
    if (kind === ANSWER.result || kind === ANSWER.error) {
      const call = this.#calls.get(id);
      if (call !== undefined) {
        this.#calls.delete(id);
        this.#settle(call, answer, frameBytes);
        return;
      }
    }
    // Nobody waits any more for what is not in one of the tables.
    const sink = this.#streams.get(id);
    if (sink === undefined) return;
    if (kind === ANSWER.opened) return sink.opened(answer);
    this.#streams.delete(id);
    if (kind === ANSWER.error) sink.failed(decodeError(answer, 2));
    else if (kind === ANSWER.end) sink.ended();
    else throw malformed('kind of answer');
  }

  #settle(call: Call, answer: unknown[], frameBytes: number): void {
    if (answer[1] === ANSWER.error) {
      call.reject(decodeError(answer, 2));
      return;
    }
    try {
      call.resolve(call.decode(answer, frameBytes));
    } catch (error) {
      call.reject(error as Error);
      throw error;
    }
  }
}
