/** The node's end of one connection: takes requests, makes the calls, and sends the answers of a turn together. */
import { KvorumError } from '../../errors.ts';
import type { KvEntry } from '../../kv/types.ts';
import { invalid } from '../calls.ts';
import type { PutOptions, ReadOptions, WriteOptions } from '../types.ts';
import * as args from './arguments.ts';
import { encodeEntry, encodeError, encodePrev } from './entries.ts';
import { QUICK, WAITING, type RemoteTarget } from './methods.ts';
import {
  ANSWER,
  ANSWERS,
  decodeFrame,
  encodeFrame,
  FRAME_BYTES,
  isId,
  malformed,
  MAX_FRAME_BYTES,
  MAX_INFLIGHT,
  MAX_STREAMS,
  METHOD,
  REQUESTS,
  trimmed,
} from './protocol.ts';
import { ObservationStream, WatchStream, type Outlet, type ServedStream } from './streams.ts';

export interface SessionOptions {
  readonly node: RemoteTarget;
  /** Calls without an answer. Default 4,096. */
  readonly maxInflight?: number;
  /** False: what waits to be sent is over its limit, and this was dropped. */
  send(parts: readonly Uint8Array[]): boolean;
  /** There is room for what can wait: streams. */
  room(): boolean;
  /** Answers could not be sent: the connection is of no use any more. */
  overflow(): void;
  /** `task` is to be run soon, when it is its turn among all who have something to tell. */
  later(task: () => void): void;
  /** Runs `task` when all that follows at once from what runs now has ended. Default: process.nextTick. */
  soon?(task: () => void): void;
  /** Methods of the owner of the node. */
  readonly own?: ReadonlyMap<number, (a: readonly unknown[]) => Promise<unknown>>;
}

type Open<T> = { -readonly [K in keyof T]: T[K] };

/** A call that cannot be stopped: its answer is not sent when nobody waits for it. */
const RUNNING = Symbol('running');
const CANCELLED = Symbol('cancelled');

/** About what an answer needs beside its values. */
const ANSWER_BYTES = 48;

export class Session implements Outlet {
  readonly #options: SessionOptions;
  readonly #node: RemoteTarget;
  readonly #calls = new Map<number, typeof RUNNING | typeof CANCELLED | AbortController>();
  readonly #streams = new Map<number, ServedStream>();
  /** Answers of this turn. */
  #out: unknown[] = [];
  #outBytes = 0;
  #scheduled = false;
  #closed = false;
  readonly #flush = (): void => {
    this.#scheduled = false;
    this.#flushNow();
  };

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#node = options.node;
  }

  get inflight(): number {
    return this.#calls.size;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Throws for a frame that is none of ours: the connection is to be closed. */
  frame(bytes: Uint8Array): void {
    for (const request of decodeFrame(REQUESTS, bytes)) {
      if (!Array.isArray(request) || !isId(request[0])) throw malformed('request');
      this.#request(request[0], request as unknown[]);
    }
  }

  /** Calls go on, and nobody is told. */
  close(): void {
    this.#closed = true;
    this.#out = [];
    for (const state of this.#calls.values()) if (state instanceof AbortController) state.abort(gone());
    for (const stream of this.#streams.values()) stream.close();
    this.#calls.clear();
    this.#streams.clear();
  }

  /** How far streams are that had nothing to tell for a while. */
  beat(): void {
    for (const stream of this.#streams.values()) stream.beat();
  }

  #request(id: number, request: unknown[]): void {
    const method = request[1];
    if (typeof method !== 'number') throw malformed('method');
    if (method === METHOD.cancel) return this.#cancel(id);
    if (method === METHOD.credit) return this.#credit(id, request);
    if (this.#calls.has(id) || this.#streams.has(id)) throw malformed('an id that is in use');
    const { maxInflight = MAX_INFLIGHT } = this.#options;
    if (this.#calls.size >= maxInflight) {
      return this.#fail(id, new KvorumError('ERR_OVERLOADED', `${maxInflight} calls of this connection are open`));
    }
    try {
      this.#call(id, method, request);
    } catch (error) {
      this.#calls.delete(id);
      this.#fail(id, error);
    }
  }

  #call(id: number, method: number, a: readonly unknown[]): void {
    switch (method) {
      case METHOD.put:
        return this.#put(id, a);
      case METHOD.get:
        return this.#get(id, a);
      case METHOD.delete:
        return this.#delete(id, a);
      case METHOD.watch:
        return this.#watch(id, a);
      case METHOD.electionObserve: {
        const name = args.text(a[3], 'name');
        return this.#observe(id, a[2], a[4], (options) => this.#node.elections.observe(name, options));
      }
      case METHOD.memberWatch:
        return this.#observe(id, a[2], a[3], (options) => this.#node.members.watch(options));
      default:
    }
    const quick = QUICK.get(method);
    if (quick !== undefined) return this.#answer(id, quick(this.#node, a));
    const waiting = WAITING.get(method);
    if (waiting !== undefined) {
      const controller = new AbortController();
      return this.#answer(id, waiting(this.#node, a, controller.signal), controller);
    }
    const own = this.#options.own?.get(method);
    if (own === undefined) throw invalid(`this node knows no method ${method}: it is older than who asks`);
    this.#answer(id, own(a));
  }

  // The three that are asked most, with fields in the order of how often they are there.

  #put(id: number, a: readonly unknown[]): void {
    const options: Open<PutOptions> = {};
    const [, , key, value, timeoutMs, contentType, once, lease, condition, prev] = a;
    if (contentType !== null && contentType !== undefined) options.contentType = args.contentType(contentType);
    if (lease !== null && lease !== undefined) options.lease = args.text(lease, 'lease');
    writeOptions(options, timeoutMs, once, condition, prev);
    this.#calls.set(id, RUNNING);
    this.#node.put(args.key(key), args.value(value), options).then(
      ({ revision, created, replayed, prev: before }) =>
        this.#done(id, [id, ANSWER.result, revision, created, replayed ?? null, encodePrev(before)], before),
      (error: unknown) => this.#failed(id, error),
    );
  }

  #get(id: number, a: readonly unknown[]): void {
    const options: Open<ReadOptions> = {};
    const [, , key, timeoutMs, revision, consistency] = a;
    if (timeoutMs !== null && timeoutMs !== undefined) options.timeoutMs = args.number(timeoutMs, 'timeoutMs');
    if (revision !== null && revision !== undefined) options.revision = args.number(revision, 'revision');
    if (consistency !== null && consistency !== undefined) {
      options.consistency = args.consistency(consistency, 'consistency');
    }
    this.#calls.set(id, RUNNING);
    this.#node.get(args.key(key), options).then(
      ({ revision: read, entry }) =>
        this.#done(id, [id, ANSWER.result, read, entry === null ? null : encodeEntry(entry)], entry),
      (error: unknown) => this.#failed(id, error),
    );
  }

  #delete(id: number, a: readonly unknown[]): void {
    const options: Open<WriteOptions> = {};
    const [, , key, timeoutMs, once, condition, prev] = a;
    writeOptions(options, timeoutMs, once, condition, prev);
    this.#calls.set(id, RUNNING);
    this.#node.delete(args.key(key), options).then(
      ({ revision, deleted, replayed, prev: before }) =>
        this.#done(id, [id, ANSWER.result, revision, deleted, replayed ?? null, encodePrev(before)], before),
      (error: unknown) => this.#failed(id, error),
    );
  }

  #answer(id: number, answer: Promise<unknown>, controller?: AbortController): void {
    this.#calls.set(id, controller ?? RUNNING);
    answer.then(
      (result) => {
        if (this.#settle(id)) this.push([id, ANSWER.result, result], sizeOf(result));
      },
      (error: unknown) => this.#failed(id, error),
    );
  }

  #done(id: number, answer: unknown[], entry: KvEntry | null | undefined): void {
    if (!this.#settle(id)) return;
    const bytes = entry === null || entry === undefined ? 0 : entry.value.length + entry.key.length;
    this.push(trimmed(answer), ANSWER_BYTES + bytes);
  }

  #failed(id: number, error: unknown): void {
    if (this.#settle(id)) this.#fail(id, error);
  }

  /** False: nobody waits for the answer any more. */
  #settle(id: number): boolean {
    if (this.#closed) return false;
    const state = this.#calls.get(id);
    this.#calls.delete(id);
    return state !== CANCELLED && !(state instanceof AbortController && state.signal.aborted);
  }

  #cancel(id: number): void {
    const state = this.#calls.get(id);
    if (state instanceof AbortController) state.abort(gone());
    else if (state !== undefined) this.#calls.set(id, CANCELLED);
    this.#streams.get(id)?.close();
    this.#streams.delete(id);
  }

  // Streams.

  #credit(id: number, [, , batches, bytes]: readonly unknown[]): void {
    const stream = this.#streams.get(id);
    const credit = [batches ?? 0, bytes ?? 0];
    if (!credit.every((count) => Number.isSafeInteger(count) && (count as number) >= 0)) throw malformed('credit');
    stream?.grant(credit[0] as number, credit[1] as number);
  }

  #checkStreams(): void {
    if (this.#streams.size < MAX_STREAMS) return;
    throw new KvorumError('ERR_OVERLOADED', `${MAX_STREAMS} streams of this connection are open`);
  }

  #watch(id: number, a: readonly unknown[]): void {
    this.#checkStreams();
    const batches = args.number(a[2], 'batches');
    const bytes = args.number(a[3], 'bytes');
    const options = args.options(a[4], args.OPTIONS.watch);
    const controller = new AbortController();
    this.#calls.set(id, controller);
    this.#node.watch({ ...options, signal: controller.signal }).then(
      (watch) => {
        if (!this.#settle(id)) {
          watch.close();
          return;
        }
        const stream = new WatchStream(id, watch, this);
        this.#streams.set(id, stream);
        stream.grant(batches, bytes);
      },
      (error: unknown) => this.#failed(id, error),
    );
  }

  #observe<T>(
    id: number,
    credit: unknown,
    given: unknown,
    begin: (options: { readonly timeoutMs?: number }) => AsyncIterator<T> & { close(): void },
  ): void {
    this.#checkStreams();
    const batches = args.number(credit, 'batches');
    const { timeoutMs } = args.options(given, args.OPTIONS.call);
    const stream = new ObservationStream<T>(id, begin(timeoutMs === undefined ? {} : { timeoutMs }), this);
    this.#streams.set(id, stream);
    stream.grant(batches);
  }

  streamFailed(id: number, error: unknown): void {
    if (this.#streams.delete(id)) this.#fail(id, error);
  }

  streamEnded(id: number): void {
    if (this.#streams.delete(id)) this.push([id, ANSWER.end], ANSWER_BYTES);
  }

  // Answers.

  get room(): boolean {
    return this.#options.room();
  }

  later(task: () => void): void {
    this.#options.later(task);
  }

  #fail(id: number, thrown: unknown): void {
    const error = KvorumError.is(thrown)
      ? thrown
      : new KvorumError('ERR_INTERNAL', thrown instanceof Error ? thrown.message : String(thrown), {
          outcome: 'unknown',
        });
    this.push(trimmed([id, ANSWER.error, ...encodeError(error)]), ANSWER_BYTES + error.message.length);
  }

  /** Leaves with the others of this turn. Gives its place among them. */
  push(answer: unknown[], bytes: number): number {
    if (this.#closed) return 0;
    if (this.#out.length > 0 && this.#outBytes + bytes > FRAME_BYTES) this.#flushNow();
    this.#outBytes += bytes;
    if (!this.#scheduled) {
      this.#scheduled = true;
      // Asked for in a microtask, it comes after all microtasks: whatever one batch of entries has settled is one frame.
      if (this.#options.soon === undefined) process.nextTick(this.#flush);
      else this.#options.soon(this.#flush);
    }
    return this.#out.push(answer);
  }

  #flushNow(): void {
    const answers = this.#out;
    if (answers.length === 0) return;
    this.#out = [];
    this.#outBytes = 0;
    this.flushes++;
    this.#send(answers);
  }

  /** Frames so far: a place in one is no place in the next. */
  flushes = 0;

  #send(answers: unknown[]): void {
    const { revision, term } = this.#node.head();
    const parts = encodeFrame(ANSWERS, [revision, term, ...answers]);
    let length = 0;
    for (const part of parts) length += part.length;
    if (length <= MAX_FRAME_BYTES) {
      if (!this.#options.send(parts)) this.#options.overflow();
      return;
    }
    // Sizes are estimates.
    if (answers.length > 1) {
      const middle = answers.length >> 1;
      this.#send(answers.slice(0, middle));
      this.#send(answers.slice(middle));
      return;
    }
    this.#tooLarge((answers[0] as unknown[])[0], length);
  }

  /** What was asked for has happened all the same. */
  #tooLarge(of: unknown, length: number): void {
    const message = `an answer of ${length} bytes, ${MAX_FRAME_BYTES} are allowed`;
    const error = new KvorumError('ERR_TOO_LARGE', message, {
      outcome: 'unknown',
      details: { limit: MAX_FRAME_BYTES },
    });
    for (const id of Array.isArray(of) ? (of as number[]) : [of as number]) {
      this.#streams.get(id)?.close();
      this.#streams.delete(id);
      this.#fail(id, error);
    }
  }
}

function writeOptions(
  options: Open<WriteOptions>,
  timeoutMs: unknown,
  once: unknown,
  condition: unknown,
  prev: unknown,
): void {
  if (timeoutMs !== null && timeoutMs !== undefined) options.timeoutMs = args.number(timeoutMs, 'timeoutMs');
  if (once !== null && once !== undefined) options.once = args.once(once);
  if (condition !== null && condition !== undefined) options.condition = args.condition(condition);
  if (prev === true) options.prev = true;
}

function gone(): KvorumError {
  return new KvorumError('ERR_UNAVAILABLE', 'nobody waits for the answer any more', { outcome: 'unknown' });
}

/** About what a value needs. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length + 5;
  if (typeof value !== 'object' || value === null) return 9;
  let bytes = 5;
  for (const [key, field] of Object.entries(value) as [string, unknown][]) bytes += key.length + sizeOf(field);
  return bytes;
}
