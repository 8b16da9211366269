/**
 * The load on a Kvorum cluster over plain HTTP, in a process of its own: `node bench/generator.ts '{"op":"put",…}'`.
 * Prints `{"event":"measuring"}` when the warm-up is over, and one line with the result.
 *
 * Closed loop: each client sends its next request when the last one was answered. Open loop (`rate`): requests are due at
 * fixed times, whoever is free takes the next one, and its latency counts from the time it was due, so that a stall is not
 * hidden by the clients that wait for it. A client is a keep-alive connection; they are dealt out over the nodes in turn.
 */
import { randomBytes } from 'node:crypto';
import { build } from 'hdr-histogram-js';
import { HttpConnection, requestBytes } from './http-connection.ts';
import type { LoadResult } from './result.ts';

export interface GeneratorOptions {
  readonly op: 'put' | 'get';
  /** HOST:PORT of each node's HTTP API. */
  readonly endpoints: readonly string[];
  readonly clients: number;
  /** Measured, after the warm-up. Ignored with `count`. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Stop after this many operations instead: fills a store. */
  readonly count?: number;
  /** A fill, which has no end in time, gives up when no write was acknowledged for so long. */
  readonly patienceMs: number;
  /** Keys go round after this many. */
  readonly keys: number;
  /** The key of a number: prefix and zero-padded digits. */
  readonly keyPrefix: string;
  readonly keyDigits: number;
  readonly valueBytes: number;
  /** Gets that skip the round of heartbeats. */
  readonly stale: boolean;
  /** Operations a second, open loop. */
  readonly rate?: number;
}

/** A client whose request was refused or broken off waits this long, as a client that retries would. */
const BACKOFF_MS = 10;
const SLOWEST_US = 120_000_000;

class Load {
  readonly #options: GeneratorOptions;
  readonly #histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: SLOWEST_US,
    numberOfSignificantValueDigits: 3,
  });
  readonly #errors: Record<string, number> = {};
  readonly #clients: Client[] = [];
  readonly #finished: (result: LoadResult) => void;
  #next = 0;
  #acknowledged = 0;
  #acknowledgedAt = performance.now();
  #measuring = false;
  #ended = false;
  #started = 0;
  #openLoopStart = 0;
  #arrivals = 0;

  constructor(options: GeneratorOptions, finished: (result: LoadResult) => void) {
    this.#options = options;
    this.#finished = finished;
  }

  start(): void {
    const { clients, endpoints, warmupSeconds } = this.#options;
    for (let i = 0; i < clients; i++) {
      this.#clients.push(new Client(this.#options, endpoints[i % endpoints.length] ?? '', this));
    }
    this.#openLoopStart = performance.now();
    if (this.#options.rate !== undefined) this.#deal();
    else for (const client of this.#clients) this.#again(client, performance.now());
    setTimeout(() => this.#measure(), warmupSeconds * 1000);
  }

  #nextKey(): number {
    this.#next++;
    return this.#next % this.#options.keys;
  }

  /** A client is free again. */
  answered(client: Client, startedAt: number, status: number): void {
    const now = performance.now();
    if (status === 200) {
      if (this.#measuring) this.#histogram.recordValue(Math.min(SLOWEST_US, Math.round((now - startedAt) * 1000)));
      this.#acknowledged++;
      this.#acknowledgedAt = now;
      if (this.#acknowledged === this.#options.count) return this.#end();
      this.#again(client, now);
    } else {
      this.failed(client, `HTTP ${status}`);
    }
  }

  failed(client: Client, reason: string): void {
    if (this.#ended) return;
    this.#errors[reason] = (this.#errors[reason] ?? 0) + 1;
    const { count, patienceMs } = this.#options;
    if (count !== undefined && performance.now() - this.#acknowledgedAt > patienceMs) {
      throw new Error(`the fill gets nowhere: ${JSON.stringify(this.#errors)}`);
    }
    setTimeout(() => {
      if (this.#ended) return;
      // A fill owes every key one acknowledged write.
      if (count !== undefined) client.sendAgain();
      else this.#again(client, performance.now());
    }, BACKOFF_MS);
  }

  #again(client: Client, now: number): void {
    if (this.#ended) return;
    client.free = true;
    const { count, rate } = this.#options;
    if (rate !== undefined) this.#dealTo(client, now);
    else if (count === undefined || this.#next < count) client.send(this.#nextKey(), now);
  }

  /** Open loop: gives the requests that are due to free clients. */
  #deal(): void {
    if (this.#ended) return;
    const now = performance.now();
    for (const client of this.#clients) if (client.free && !this.#dealTo(client, now)) break;
    setTimeout(() => this.#deal(), 1);
  }

  /** False when nothing is due. */
  #dealTo(client: Client, now: number): boolean {
    const dueAt = this.#openLoopStart + (this.#arrivals * 1000) / (this.#options.rate ?? 1);
    if (dueAt > now) return false;
    this.#arrivals++;
    client.send(this.#nextKey(), dueAt);
    return true;
  }

  #measure(): void {
    this.#measuring = true;
    this.#started = performance.now();
    for (const reason of Object.keys(this.#errors)) delete this.#errors[reason];
    console.log(JSON.stringify({ event: 'measuring' }));
    if (this.#options.count === undefined) setTimeout(() => this.#end(), this.#options.seconds * 1000);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const seconds = (performance.now() - this.#started) / 1000;
    for (const client of this.#clients) client.close();
    const ops = this.#histogram.totalCount;
    const at = (percentile: number): number => this.#histogram.getValueAtPercentile(percentile) / 1000;
    this.#finished({
      ops,
      seconds,
      perSecond: ops / seconds,
      p50Ms: at(50),
      p99Ms: at(99),
      p999Ms: at(99.9),
      errors: this.#errors,
    });
  }
}

class Client {
  free = true;
  readonly #load: Load;
  readonly #connection: HttpConnection;
  /** The whole request; only the digits of the key change. */
  readonly #request: Buffer;
  readonly #digitsAt: number;
  readonly #digits: number;
  #startedAt = 0;
  readonly #exchange = {
    done: ({ status }: { status: number }): void => this.#load.answered(this, this.#startedAt, status),
    failed: (error: Error): void => this.#load.failed(this, (error as NodeJS.ErrnoException).code ?? error.message),
  };

  constructor(options: GeneratorOptions, endpoint: string, load: Load) {
    this.#load = load;
    this.#connection = new HttpConnection(endpoint);
    this.#digits = options.keyDigits;
    const path = `/v1/kv/${options.keyPrefix}${'0'.repeat(options.keyDigits)}`;
    const put = options.op === 'put';
    // Random, another for each client: LevelDB compresses, and a value of one letter would make the disk figures a fairy tale.
    const value = put ? randomBytes(options.valueBytes) : undefined;
    const target = options.stale ? `${path}?consistency=stale` : path;
    this.#request = requestBytes(options.op.toUpperCase(), target, endpoint, value);
    this.#digitsAt = options.op.length + 1 + path.length - options.keyDigits;
  }

  send(key: number, startedAt: number): void {
    this.free = false;
    this.#startedAt = startedAt;
    let rest = key;
    for (let at = this.#digitsAt + this.#digits - 1; at >= this.#digitsAt; at--) {
      this.#request[at] = 48 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.#connection.send(this.#request, this.#exchange);
  }

  sendAgain(): void {
    this.#connection.send(this.#request, this.#exchange);
  }

  close(): void {
    this.#connection.close();
  }
}

const options = JSON.parse(process.argv[2] ?? '') as GeneratorOptions;
new Load(options, (result) => {
  console.log(JSON.stringify(result));
  process.exit(0);
}).start();
