/**
 * Workers that take a lock and give it back, through the public client: `node bench/lock-load.ts '{"mode":"same",…}'`. Prints
 * `{"event":"measuring"}` when the warm-up is over, and one line with the result. An operation is both, as in etcd's program: lock and unlock.
 */
import { build } from 'hdr-histogram-js';
import { connect } from '../src/client/index.ts';
import type { LoadResult } from './result.ts';

export interface LockLoadOptions {
  /** `own`: a lock for each worker. `same`: one for all. */
  readonly mode: 'own' | 'same';
  /** As `connect` takes them; workers are dealt out over them in turn, a client each endpoint. */
  readonly endpoints: readonly string[];
  readonly secret: string;
  readonly workers: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
}

const options = JSON.parse(process.argv[2] ?? '') as LockLoadOptions;
const clients = options.endpoints.map((endpoint) => connect(endpoint, { secret: options.secret }));
const histogram = build({
  lowestDiscernibleValue: 1,
  highestTrackableValue: 120_000_000,
  numberOfSignificantValueDigits: 3,
});
let measuring = false;
let ended = false;

async function work(worker: number): Promise<void> {
  const client = clients[worker % clients.length]!;
  const lease = await client.lease({ ttl: '60s' });
  const name = options.mode === 'same' ? 'shared' : `own-${worker}`;
  while (!ended) {
    const began = performance.now();
    const lock = await client.lock(name, { lease, wait: '60s', timeout: '60s' });
    await lock.release();
    if (measuring && !ended) histogram.recordValue(Math.max(1, Math.round((performance.now() - began) * 1000)));
  }
}

const workers = Array.from({ length: options.workers }, (_, worker) => work(worker));
setTimeout(() => {
  measuring = true;
  const began = performance.now();
  console.log(JSON.stringify({ event: 'measuring' }));
  setTimeout(() => {
    ended = true;
    const seconds = (performance.now() - began) / 1000;
    const ops = histogram.totalCount;
    const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
    const result: LoadResult = {
      ops,
      seconds,
      perSecond: ops / seconds,
      p50Ms: at(50),
      p99Ms: at(99),
      p999Ms: at(99.9),
      errors: {},
    };
    console.log(JSON.stringify(result));
  }, options.seconds * 1000);
}, options.warmupSeconds * 1000);
await Promise.all(workers);
await Promise.all(clients.map((client) => client.close()));
