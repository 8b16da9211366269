/**
 * Many watchers of the same keys, as server-sent events on raw sockets, and a few writers: `node bench/watch-load.ts '{"watchers":1000,…}'`. Prints
 * `{"event":"measuring"}` when all watches stand and the warm-up is over, and one line with the result. Every watcher has to see
 * every revision once and in order: anything else ends the run.
 *
 * An event is delivered when it was read from the socket of one watcher; its latency counts from when its put was sent.
 */
import { connect } from 'node:net';
import { build } from 'hdr-histogram-js';
import { HttpConnection, requestBytes } from './http-connection.ts';
import type { LoadResult } from './result.ts';

export interface WatchLoadOptions {
  /** HOST:PORT of each node's HTTP API; watchers are dealt out over them in turn, writers too. */
  readonly endpoints: readonly string[];
  readonly watchers: number;
  readonly writers: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
}

const PREFIX = 'watched/';
const SENT_AT = 'sent:';

const options = JSON.parse(process.argv[2] ?? '') as WatchLoadOptions;
const histogram = build({
  lowestDiscernibleValue: 1,
  highestTrackableValue: 120_000_000,
  numberOfSignificantValueDigits: 3,
});
let measuring = false;
let ended = false;
let delivered = 0;
let acknowledged = 0;

class Watcher {
  readonly ready: Promise<void>;
  #stand!: () => void;
  #text = '';
  #revision = 0;

  constructor(address: string) {
    this.ready = new Promise((resolve) => {
      this.#stand = resolve;
    });
    const colon = address.lastIndexOf(':');
    const socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)), noDelay: true });
    socket.setEncoding('latin1');
    socket.write(`GET /v1/watch?prefix=${PREFIX} HTTP/1.1\r\nHost: ${address}\r\nAccept: text/event-stream\r\n\r\n`);
    socket.on('data', (chunk: string) => this.#read(chunk));
    socket.on('error', (error) => fail(error));
    socket.on('close', () => fail(new Error('a watch ended')));
  }

  #read(chunk: string): void {
    const text = this.#text + chunk;
    let from = 0;
    for (let end = text.indexOf('\n\n', from); end >= 0; end = text.indexOf('\n\n', from)) {
      this.#event(text.slice(from, end));
      from = end + 2;
    }
    this.#text = text.slice(from);
  }

  #event(text: string): void {
    if (text.includes('event: progress')) this.#stand();
    const at = text.indexOf('data: {"revision":');
    if (at < 0 || text.includes('event: ')) return;
    const revision = Number.parseInt(text.slice(at + 18), 10);
    // Nothing else writes, so each revision is the one after the one before.
    if (this.#revision !== 0 && revision !== this.#revision + 1) {
      fail(new Error(`a watcher saw revision ${revision} after ${this.#revision}`));
    }
    this.#revision = revision;
    if (!measuring || ended) return;
    delivered++;
    const sent = text.indexOf(SENT_AT);
    const ms = performance.now() - Number.parseFloat(text.slice(sent + SENT_AT.length));
    histogram.recordValue(Math.max(1, Math.round(ms * 1000)));
  }
}

function fail(error: Error): void {
  if (ended) return;
  console.error(error.message);
  process.exit(1);
}

function write(writer: number): void {
  const address = options.endpoints[writer % options.endpoints.length] ?? '';
  const connection = new HttpConnection(address);
  const next = (): void => {
    if (ended) return;
    const value = Buffer.from(`${SENT_AT}${performance.now()}`.padEnd(64));
    connection.send(requestBytes('PUT', `/v1/kv/${PREFIX}${writer}`, address, value), {
      done: ({ status }) => {
        if (status !== 200) fail(new Error(`a put was answered ${status}`));
        if (measuring) acknowledged++;
        next();
      },
      failed: fail,
    });
  };
  next();
}

const watchers = Array.from(
  { length: options.watchers },
  (_, i) => new Watcher(options.endpoints[i % options.endpoints.length] ?? ''),
);
await Promise.all(watchers.map(({ ready }) => ready));
for (let writer = 0; writer < options.writers; writer++) write(writer);
setTimeout(() => {
  measuring = true;
  const began = performance.now();
  console.log(JSON.stringify({ event: 'measuring' }));
  setTimeout(() => {
    ended = true;
    const seconds = (performance.now() - began) / 1000;
    const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
    const result: LoadResult & { puts: number } = {
      ops: delivered,
      seconds,
      perSecond: delivered / seconds,
      p50Ms: at(50),
      p99Ms: at(99),
      p999Ms: at(99.9),
      errors: {},
      puts: acknowledged / seconds,
    };
    console.log(JSON.stringify(result));
    process.exit(0);
  }, options.seconds * 1000);
}, options.warmupSeconds * 1000);
