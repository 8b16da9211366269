/**
 * Server-sent events (WHATWG HTML §9.2) over many connections. Of each stream there is at most one socket's buffer and one
 * event in memory: what comes next is asked for when there is room. All of them share one heartbeat timer and one queue of
 * those that have something to say, which gives the event loop back every few milliseconds, because on it are the
 * heartbeats of Raft as well.
 */
import { Buffer } from 'node:buffer';
import type { ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';

import { KvorumError } from '../errors.ts';
import type { Logger } from '../node/types.ts';
import { problemOf, reportable } from './problem.ts';

/** What a stream tells. */
export interface EventSource {
  /** The next event, ready to be sent; null when there is none now. What it throws ends the stream. */
  take(): Buffer | null;
  /** Calls `wake` once, when there may be more. Asked after `take` gave null. */
  rest(wake: () => void): void;
  /** What to send with a heartbeat; null for nothing but the heartbeat. */
  beat(): Buffer | null;
  close(): void;
}

export interface StreamLimits {
  readonly maxStreams: number;
  readonly heartbeatMs: number;
  readonly stallMs: number;
  readonly logger: Logger | null;
}

const HEARTBEAT = Buffer.from(': alive\n\n');

/** Heartbeats are spread over so many turns, so that ten thousand streams are not one stall. */
const SLOTS = 10;

/** How long streams may keep the event loop, ms. */
const TURN_MS = 4;

/** Events of one stream before it is the next one's turn. */
const MAX_EVENTS_A_TURN = 64;

/** How long a client may take to read the last words, ms. */
const LINGER_MS = 1000;

/** All streams of a server. */
export class EventStreams {
  readonly limits: StreamLimits;
  readonly #slots: Set<EventStream>[] = Array.from({ length: SLOTS }, () => new Set());
  readonly #ready: EventStream[] = [];
  #next = 0;
  #turn = 0;
  #timer: NodeJS.Timeout | null = null;
  #scheduled = false;
  size = 0;

  constructor(limits: StreamLimits) {
    this.limits = limits;
  }

  get full(): boolean {
    return this.size >= this.limits.maxStreams;
  }

  add(stream: EventStream): void {
    stream.slot = this.#turn;
    this.#slots[this.#turn]!.add(stream);
    this.size++;
    this.#timer ??= setInterval(() => this.#beat(), Math.max(1, this.limits.heartbeatMs / SLOTS)).unref();
    stream.pump();
  }

  remove(stream: EventStream): void {
    if (!this.#slots[stream.slot]!.delete(stream)) return;
    this.size--;
    if (this.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Its turn comes. */
  ready(stream: EventStream): void {
    this.#ready.push(stream);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#pump());
  }

  /** Ends them all. */
  close(error: KvorumError): void {
    for (const slot of this.#slots) for (const stream of [...slot]) stream.fail(error);
  }

  #pump(): void {
    this.#scheduled = false;
    const until = performance.now() + TURN_MS;
    // Those that come meanwhile have their turn in the next round.
    const round = this.#ready.length;
    while (this.#next < round) {
      this.#ready[this.#next++]!.pump();
      if (performance.now() >= until) break;
    }
    this.#ready.splice(0, this.#next);
    this.#next = 0;
    if (this.#ready.length === 0 || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#pump());
  }

  #beat(): void {
    this.#turn = (this.#turn + 1) % SLOTS;
    for (const stream of [...this.#slots[this.#turn]!]) stream.beat();
  }
}

/** One client's stream. */
export class EventStream {
  readonly #streams: EventStreams;
  readonly #response: ServerResponse;
  readonly #source: EventSource;
  readonly #requestId: string;
  readonly #wake = (): void => this.#woken();
  /** Of EventStreams. */
  slot = 0;
  /** Stands in the queue of those that have something to say. */
  #queued = false;
  #full = false;
  #ended = false;

  constructor(streams: EventStreams, response: ServerResponse, source: EventSource, requestId: string) {
    this.#streams = streams;
    this.#response = response;
    this.#source = source;
    this.#requestId = requestId;
    response.on('drain', () => this.#drained());
    response.on('close', () => this.#close());
    // Only asked for while the buffer is full. Node counts bytes that the client does take as a sign of life.
    response.on('timeout', () => this.#stalled());
  }

  /** Sends what there is, as long as there is room. */
  pump(): void {
    this.#queued = false;
    if (this.#ended || this.#full) return;
    this.#response.cork();
    let failure: { readonly thrown: unknown } | null = null;
    try {
      this.#send();
    } catch (thrown) {
      failure = { thrown };
    }
    this.#response.uncork();
    if (failure !== null) this.fail(failure.thrown);
  }

  #send(): void {
    for (let events = 0; events < MAX_EVENTS_A_TURN; events++) {
      const event = this.#source.take();
      if (event === null) {
        this.#source.rest(this.#wake);
        return;
      }
      this.#write(event);
      if (this.#full) return;
    }
    this.#woken();
  }

  beat(): void {
    // What is full has more to say than a heartbeat, and its own watchman.
    if (this.#ended || this.#full) return;
    try {
      const event = this.#source.beat();
      this.#write(event === null ? HEARTBEAT : Buffer.concat([HEARTBEAT, event]));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Says why, and ends. */
  fail(thrown: unknown): void {
    if (this.#ended) return;
    const error = reportable(thrown, false);
    const requestId = this.#requestId;
    if (error.code === 'ERR_INTERNAL') {
      this.#streams.limits.logger?.error({ err: thrown, requestId }, 'a stream met an internal error');
    }
    this.#close();
    const response = this.#response;
    response.end(Buffer.from(`event: error\ndata: ${problemOf(error, requestId).json}\n\n`));
    // A client that neither reads nor leaves keeps nothing.
    const { socket } = response;
    if (socket !== null) setTimeout(() => socket.destroy(), LINGER_MS).unref();
  }

  #write(event: Buffer): void {
    if (this.#response.write(event)) return;
    this.#full = true;
    this.#response.socket?.setTimeout(this.#streams.limits.stallMs);
  }

  #drained(): void {
    if (this.#ended) return;
    this.#full = false;
    // Heartbeats keep the connection alive from here on.
    this.#response.socket?.setTimeout(0);
    this.#woken();
  }

  #woken(): void {
    if (this.#ended || this.#queued) return;
    this.#queued = true;
    this.#streams.ready(this);
  }

  #stalled(): void {
    if (!this.#full) return;
    const { stallMs } = this.#streams.limits;
    this.fail(new KvorumError('ERR_OVERLOADED', `this client took nothing for ${stallMs} ms while more waited`));
  }

  #close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#streams.remove(this);
    this.#source.close();
  }
}
