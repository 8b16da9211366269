/** Our own cluster as a user starts it: `node cmd/kvorum.ts start`, defaults only, one process a node, HTTP in front. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { askBytes, askJson, Cluster, NODES, type LoadRequest, type LockRequest, type Via } from './cluster.ts';
import type { CallerOptions, ClientLoadOptions } from './client-load.ts';
import type { EmbeddedLoadOptions } from './embedded-load.ts';
import type { GeneratorOptions } from './generator.ts';
import type { LockLoadOptions } from './lock-load.ts';
import type { WatchLoadOptions } from './watch-load.ts';
import { HttpConnection, requestBytes, type Answer } from './http-connection.ts';
import type { LoadResult } from './result.ts';
import { freeAddresses, type ServerProcess, type Workshop } from './workshop.ts';

const COMMAND = join(import.meta.dirname, '..', 'cmd', 'kvorum.ts');
const GENERATOR = join(import.meta.dirname, 'generator.ts');
const CLIENT_LOAD = join(import.meta.dirname, 'client-load.ts');
const EMBEDDED_LOAD = join(import.meta.dirname, 'embedded-load.ts');
const LOCK_LOAD = join(import.meta.dirname, 'lock-load.ts');
const WATCH_LOAD = join(import.meta.dirname, 'watch-load.ts');
const VALUE_BYTES = 256;
/** The load's keys go round after this many, as in etcd's program. */
export const LOAD_KEYS = 100_000;
const LOAD = { keyPrefix: 'k', keyDigits: 7, valueBytes: VALUE_BYTES, patienceMs: 30_000 };
const FILL_CLIENTS = 256;
/** As etcd's program: a write that takes longer is given up and sent again. */
const ATTEMPT_MS = 100;
const WRITES_BEFORE_KILL = 50;
const FAILOVER_TIMEOUT_MS = 60_000;

export class KvorumCluster extends Cluster {
  readonly kind = 'kvorum';
  readonly #httpAddresses: readonly string[];
  readonly #peerAddresses: readonly string[];
  /** Where an embedded load is asked for. */
  readonly #control: string;
  readonly #via: Via;
  readonly #secret = randomBytes(32).toString('hex');

  private constructor(workshop: Workshop, name: string, via: Via, addresses: readonly string[]) {
    super(workshop, name);
    this.#via = via;
    this.#httpAddresses = addresses.slice(0, NODES);
    this.#peerAddresses = addresses.slice(NODES, 2 * NODES);
    this.#control = String(addresses[2 * NODES]);
  }

  static async create(workshop: Workshop, name: string, via: Via): Promise<KvorumCluster> {
    const cluster = new KvorumCluster(workshop, name, via, await freeAddresses(2 * NODES + 1));
    mkdirSync(cluster.folder);
    writeFileSync(cluster.#secretFile(), cluster.#secret, { mode: 0o600 });
    return cluster;
  }

  #secretFile(): string {
    return join(this.folder, 'secret');
  }

  protected spawn(node: number): ServerProcess {
    // One of the three is the program that wants something of them.
    if (this.#via === 'embedded' && node === 0) return this.#spawnEmbedded();
    return this.workshop.start(process.execPath, [
      ...[COMMAND, 'start', '--name', `n${node + 1}`, '--data-dir', this.dataFolder(node)],
      ...['--listen', String(this.#peerAddresses[node]), '--http', String(this.#httpAddresses[node])],
      ...['--initial-cluster', this.#peerAddresses.map((address, i) => `n${i + 1}=${address}`).join(',')],
      ...['--secret-file', this.#secretFile()],
    ]);
  }

  #spawnEmbedded(): ServerProcess {
    const options: EmbeddedLoadOptions = {
      name: 'n1',
      dataDir: this.dataFolder(0),
      listen: String(this.#peerAddresses[0]),
      initialCluster: Object.fromEntries(this.#peerAddresses.map((address, i) => [`n${i + 1}`, address])),
      secret: this.#secret,
      http: String(this.#httpAddresses[0]),
      control: this.#control,
    };
    return this.workshop.start(process.execPath, [EMBEDDED_LOAD, JSON.stringify(options)]);
  }

  /** Whatever a node needs to join. */
  joining(): { readonly join: readonly string[]; readonly secret: string } {
    return { join: this.#peerAddresses, secret: this.#secret };
  }

  urls(): string[] {
    return this.#httpAddresses.map((address) => `http://${address}`);
  }

  async read(node: number, key: string | null): Promise<boolean> {
    const value = await askBytes(`http://${this.#httpAddresses[node]}/v1/kv/${key ?? 'health'}`);
    return value !== null && (key === null || value.length === VALUE_BYTES);
  }

  async leader(): Promise<number | null> {
    for (const address of this.#httpAddresses) {
      const cluster = (await askJson(`http://${address}/v1/cluster`)) as { leader: string | null } | null;
      if (cluster !== null && cluster.leader !== null) return Number(cluster.leader.slice(1)) - 1;
    }
    return null;
  }

  async fill(which: 'load' | 'bulk', count: number): Promise<{ seconds: number }> {
    const names = which === 'bulk' ? { ...LOAD, keyPrefix: 'key', keyDigits: 8 } : LOAD;
    const began = performance.now();
    await this.#generate({
      ...names,
      op: 'put',
      clients: FILL_CLIENTS,
      seconds: 0,
      warmupSeconds: 0,
      count,
      keys: count,
      stale: false,
    });
    return { seconds: (performance.now() - began) / 1000 };
  }

  async load({ op, clients, seconds, warmupSeconds, stale, rate, measuring }: LoadRequest): Promise<LoadResult> {
    const callers: CallerOptions = { ...LOAD, op, clients, seconds, warmupSeconds, keys: LOAD_KEYS, stale };
    if (this.#via === 'embedded') return await this.#loadEmbedded(callers, measuring);
    if (this.#via === 'stream') {
      const options: ClientLoadOptions = { ...callers, endpoints: this.#endpoints(), secret: this.#secret };
      return await this.#runLoad(CLIENT_LOAD, options, measuring);
    }
    const open = rate === null ? {} : { rate };
    return await this.#generate(
      { ...LOAD, op, clients, seconds, warmupSeconds, keys: LOAD_KEYS, stale, ...open },
      measuring,
    );
  }

  async #generate(
    options: Omit<GeneratorOptions, 'endpoints'>,
    measuring: () => void = () => undefined,
  ): Promise<LoadResult> {
    const whole: GeneratorOptions = { ...options, endpoints: this.#httpAddresses };
    return await this.#runLoad(GENERATOR, whole, measuring);
  }

  async lock({ measuring, ...request }: LockRequest): Promise<LoadResult> {
    const options: LockLoadOptions = {
      ...request,
      endpoints: this.#endpoints(),
      secret: this.#secret,
    };
    return await this.#runLoad(LOCK_LOAD, options, measuring);
  }

  /** Events delivered to watchers of the same keys, and puts a second that made them. */
  async watch({
    measuring,
    ...request
  }: Omit<WatchLoadOptions, 'endpoints'> & { readonly measuring: () => void }): Promise<LoadResult & { puts: number }> {
    const options: WatchLoadOptions = { ...request, endpoints: this.#httpAddresses };
    return await this.#runLoad(WATCH_LOAD, options, measuring);
  }

  /** As the client takes them. */
  #endpoints(): string[] {
    if (this.#via === 'stream') return this.#peerAddresses.map((address) => `kvorum://${address}`);
    return this.#httpAddresses.map((address) => `http://${address}`);
  }

  async #loadEmbedded(options: CallerOptions, measuring: () => void): Promise<LoadResult> {
    const response = await fetch(`http://${this.#control}`, { method: 'POST', body: JSON.stringify(options) });
    if (response.body === null) throw new Error('the embedded load gave no result');
    let text = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes('"event"')) {
        measuring();
        text = text.slice(text.indexOf('\n') + 1);
      }
    }
    return JSON.parse(text) as LoadResult;
  }

  async #runLoad<R extends LoadResult>(program: string, options: object, measuring: () => void): Promise<R> {
    let result: R | null = null;
    await this.workshop.run(process.execPath, [program, JSON.stringify(options)], (text) => {
      const line = JSON.parse(text) as R | { event: string };
      if ('event' in line) measuring();
      else result = line;
    });
    if (result === null) throw new Error(`${program} gave no result`);
    return result;
  }

  async failover(): Promise<{ killed: number; ms: number }> {
    const killed = await this.leader();
    if (killed === null) throw new Error('the cluster has no leader');
    const survivor = String(this.#httpAddresses[(killed + 1) % NODES]);
    const connection = new HttpConnection(survivor);
    const value = Buffer.alloc(VALUE_BYTES, 'x');
    const put = requestBytes('PUT', `/v1/kv/failover?timeout=${ATTEMPT_MS}ms`, survivor, value);
    try {
      // As etcd's program: what becomes of these does not matter, they open the ways.
      for (let i = 0; i < WRITES_BEFORE_KILL; i++) await attempt(connection, put);
      // Not waited for: the clock runs from the signal, as it does for etcd.
      const gone = this.killNode(killed);
      const began = performance.now();
      for (;;) {
        if ((await attempt(connection, put))?.status === 200) break;
        if (performance.now() - began > FAILOVER_TIMEOUT_MS) throw new Error('no fail-over within a minute');
      }
      const ms = performance.now() - began;
      await gone;
      return { killed, ms };
    } finally {
      connection.close();
    }
  }
}

/** Null when there was no answer in time, or the connection broke. */
async function attempt(connection: HttpConnection, request: Buffer): Promise<Answer | null> {
  return await new Promise((resolve) => {
    const timer = setTimeout(() => {
      connection.close();
      resolve(null);
    }, ATTEMPT_MS);
    const settle = (answer: Answer | null): void => {
      clearTimeout(timer);
      // Refused at once: a moment of patience, or the loop of the caller would take a core.
      if (answer?.status === 200) resolve(answer);
      else setTimeout(resolve, 1, answer);
    };
    connection.send(request, { done: settle, failed: () => settle(null) });
  });
}
