/** How many hops and requests a look-up takes in networks of several sizes, where nothing is wrong. */
import { plot } from '../plot.ts';
import { figureOf, shareOf } from './figure.ts';
import type { Gate, Report, Row } from './figure.ts';
import { lookupsAtOnce } from './lookups.ts';
import { staticNetwork } from './static-network.ts';

/** Static full buckets, k = 20, α = 3. */
const BASELINE: readonly { readonly size: number; readonly hops: number; readonly networks: number }[] = [
  // Two small networks differ by more than two look-ups in one.
  { size: 128, hops: 1.44, networks: 20 },
  { size: 1_000, hops: 1.85, networks: 5 },
  { size: 4_000, hops: 2.15, networks: 2 },
  { size: 10_000, hops: 2.42, networks: 1 },
];
const BASELINE_REQUESTS = 23;

export function hops(seed: number, count: number): Report {
  const rows: Row[] = [];
  const gates: Gate[] = [];
  for (const { size, hops: published, networks } of BASELINE) {
    const done = Array.from({ length: networks }, (_, i) => {
      const network = staticNetwork(size, { seed: seed + size + i });
      return lookupsAtOnce(network, { present: [...network.nodes.values()] }, count / networks, `hops ${seed} ${i}`);
    }).flat();
    const requests = figureOf(
      done.map((one) => one.requests),
      seed,
    );
    const exact = shareOf(done.map((one) => one.exact));
    const depth = figureOf(
      done.map((one) => one.hops),
      seed,
    );
    rows.push({
      what: `${size} nodes`,
      figures: { hops: depth, requests, 'exact k closest': exact },
      published: { hops: published },
    });
    gates.push(
      { what: `${size} nodes: at most 10 % more than 23 requests`, holds: requests.value <= BASELINE_REQUESTS * 1.1 },
      { what: `${size} nodes: the exact k closest every time`, holds: exact.value === 1 },
    );
  }
  const points = (
    pick: (row: Row) => { x: number; y: number; low?: number; high?: number },
  ): ReturnType<typeof pick>[] => rows.map(pick);
  const sizeOf = (row: Row): number => Number.parseInt(row.what, 10);
  return {
    title:
      'Hops and requests of a look-up, static networks (in brackets: the baseline; its look-ups take 20 to 23 requests)',
    rows,
    gates,
    pictures: {
      'dht-hops': plot({
        title: 'Hops to the closest node: static full buckets, k = 20, α = 3',
        x: { label: 'nodes', scale: 'log' },
        y: { label: 'hops, mean', from: 0, to: 3 },
        series: [
          {
            name: 'Kvorum',
            points: points((row) => {
              const { value: y, low, high } = row.figures['hops'] ?? { value: 0, low: 0, high: 0 };
              return { x: sizeOf(row), y, low, high };
            }),
          },
          { name: 'baseline', points: points((row) => ({ x: sizeOf(row), y: row.published?.['hops'] ?? 0 })) },
        ],
      }),
    },
  };
}
