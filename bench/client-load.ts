/**
 * Callers that put or get through the public client: `node bench/client-load.ts '{"op":"put",…}'`. Prints `{"event":"measuring"}` when the warm-up is
 * over, and one line with the result. Closed loop: each caller asks again when it was answered.
 */
import { randomBytes } from 'node:crypto';
import { build } from 'hdr-histogram-js';
import { bytes, connect, KvorumError } from '../src/client/index.ts';
import type { Client } from '../src/client/index.ts';
import type { LoadResult } from './result.ts';

export interface CallerOptions {
  readonly op: 'put' | 'get';
  readonly clients: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Keys go round after this many. */
  readonly keys: number;
  /** The key of a number: prefix and zero-padded digits. */
  readonly keyPrefix: string;
  readonly keyDigits: number;
  readonly valueBytes: number;
  readonly stale: boolean;
}

export interface ClientLoadOptions extends CallerOptions {
  /** As `connect` takes them. */
  readonly endpoints: readonly string[];
  readonly secret: string;
}

const SLOWEST_US = 120_000_000;
const BACKOFF_MS = 10;

/** `measuring` is called when the warm-up is over. */
export async function callersOf(
  client: Client<Uint8Array>,
  options: CallerOptions,
  measuring: () => void,
): Promise<LoadResult> {
  const { op, clients, seconds, warmupSeconds, keys, keyPrefix, keyDigits, valueBytes, stale } = options;
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: SLOWEST_US,
    numberOfSignificantValueDigits: 3,
  });
  const errors: Record<string, number> = {};
  let next = 0;
  let counts = false;
  let ended = false;
  const read = stale ? ({ consistency: 'stale' } as const) : {};
  const call = async (): Promise<void> => {
    // Random, another for each caller: LevelDB compresses.
    const value = randomBytes(valueBytes);
    while (!ended) {
      const key = keyPrefix + String(next++ % keys).padStart(keyDigits, '0');
      const began = performance.now();
      try {
        if (op === 'put') await client.put(key, value);
        else await client.get(key, read);
        if (counts) histogram.recordValue(Math.min(SLOWEST_US, Math.round((performance.now() - began) * 1000)));
      } catch (error) {
        const reason = KvorumError.is(error) ? error.code : String(error);
        if (counts) errors[reason] = (errors[reason] ?? 0) + 1;
        await new Promise((resolve) => setTimeout(resolve, BACKOFF_MS));
      }
    }
  };
  const callers = Array.from({ length: clients }, call);
  await new Promise((resolve) => setTimeout(resolve, warmupSeconds * 1000));
  counts = true;
  measuring();
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  counts = false;
  const measured = (performance.now() - began) / 1000;
  ended = true;
  await Promise.all(callers);
  const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
  const ops = histogram.totalCount;
  return {
    ops,
    seconds: measured,
    perSecond: ops / measured,
    p50Ms: at(50),
    p99Ms: at(99),
    p999Ms: at(99.9),
    errors,
  };
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? '') as ClientLoadOptions;
  const client = connect(options.endpoints, { secret: options.secret, preferLeader: true }).with(bytes);
  const result = await callersOf(client, options, () => console.log(JSON.stringify({ event: 'measuring' })));
  console.log(JSON.stringify(result));
  await client.close();
}
