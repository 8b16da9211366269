/**
 * What a look-up costs when much of what the tables say is no longer true: a share of all nodes died at once, and nobody has noticed yet. The same share of the entries of all tables is dead,
 * and all who know the neighbours of a key name the same dead ones.
 */
import type { Network } from '../../dht/network.ts';
import { plot } from '../plot.ts';
import { figureOf, shareOf } from './figure.ts';
import type { Figure, Gate, Report, Row } from './figure.ts';
import { lookupsAtOnce } from './lookups.ts';
import { staticNetwork } from './static-network.ts';

const BASELINE: readonly { readonly share: number; readonly requests: number; readonly timeouts: number }[] = [
  { share: 0.1, requests: 25, timeouts: 2.4 },
  { share: 0.3, requests: 33, timeouts: 9.6 },
  { share: 0.5, requests: 45, timeouts: 21.9 },
];

export function dead(seed: number, size: number, count: number): Report {
  const rows: Row[] = [];
  const gates: Gate[] = [];
  for (const { share, requests: published, timeouts } of BASELINE) {
    const what = `${share * 100} % dead`;
    const network = killed(staticNetwork(size, { seed: seed + size + share * 10 }), share);
    const present = [...network.nodes.values()].filter(({ isAlive }) => isAlive);
    const done = lookupsAtOnce(network, { present }, count, `dead ${seed}`);
    const figures = {
      requests: figureOf(
        done.map((one) => one.requests),
        seed,
      ),
      'time-outs': figureOf(
        done.map((one) => one.failures),
        seed,
      ),
      'exact k closest': shareOf(done.map((one) => one.exact)),
      'closest node': shareOf(done.map((one) => one.found)),
      'ms, virtual': figureOf(
        done.map((one) => one.elapsedMs),
        seed,
      ),
    };
    rows.push({ what, figures, published: { requests: published, 'time-outs': timeouts } });
    gates.push({ what: `${what}: at most 10 % more requests`, holds: figures.requests.value <= published * 1.1 });
    if (share <= 0.3) {
      gates.push({
        what: `${what}: 99.9 % find the exact k closest`,
        holds: figures['exact k closest'].value >= 0.999,
      });
    }
  }
  const line = (name: string, figure: string): { name: string; points: Point[] } => ({
    name,
    points: rows.map((row) => pointOf(row, row.figures[figure])),
  });
  const theirs = (name: string, figure: string): { name: string; points: Point[] } => ({
    name,
    points: rows.map((row) => ({ x: Number.parseInt(row.what, 10), y: row.published?.[figure] ?? 0 })),
  });
  return {
    title: `Look-ups among the dead, ${size} nodes (in brackets: the baseline, which finds the exact k closest every time)`,
    rows,
    gates,
    pictures: {
      'dht-dead': plot({
        title: `Requests and time-outs of a look-up among the dead, ${size} nodes`,
        x: { label: '% dead', from: 0, to: 60 },
        y: { label: 'a look-up, mean', from: 0, to: 50 },
        series: [
          line('requests', 'requests'),
          theirs('requests, baseline', 'requests'),
          line('time-outs', 'time-outs'),
          theirs('time-outs, baseline', 'time-outs'),
        ],
      }),
    },
  };
}

interface Point {
  readonly x: number;
  readonly y: number;
  readonly low?: number;
  readonly high?: number;
}

function pointOf({ what }: Row, figure: Figure | undefined): Point {
  const { value: y, low, high } = figure ?? { value: 0, low: 0, high: 0 };
  return { x: Number.parseInt(what, 10), y, low, high };
}

function killed(network: Network, share: number): Network {
  for (const node of network.nodes.values()) if (network.random.chance(share)) network.kill(node);
  return network;
}
