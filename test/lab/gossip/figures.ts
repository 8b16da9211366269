/** The figures of docs/gossip.md. */
import { plot } from '../plot.ts';
import type { Detection, Dissemination, Load, Merge } from './claims.ts';
import { PUBLISHED, type Row } from './lifeguard.ts';
import type { Done } from './pool.ts';

export function falsePositivesFigure(rows: readonly Row[]): string {
  const at = (name: string): number => rows.findIndex(({ configuration }) => configuration === name) + 1;
  return plot({
    title: 'False positives, % of SWIM',
    x: { label: '1 SWIM, 2 LHA-Probe, 3 LHA-Suspicion, 4 Buddy, 5 Lifeguard', from: 0, to: 6 },
    y: { label: '% of SWIM', scale: 'log', from: 0.01, to: 1000 },
    series: [
      {
        name: 'ours, in total (95 % interval)',
        join: 'none',
        points: rows.map(({ configuration, total, totalInterval: { low, high } }) => ({
          x: at(configuration) - 0.15,
          y: total,
          low: Math.max(0.01, low),
          high: Math.max(0.01, high),
        })),
      },
      {
        name: 'published, in total',
        join: 'none',
        points: rows.map(({ configuration }) => ({ x: at(configuration) - 0.05, y: PUBLISHED[configuration].total })),
      },
      {
        name: 'ours, at healthy members',
        join: 'none',
        points: rows.map(({ configuration, healthy }) => ({ x: at(configuration) + 0.05, y: healthy })),
      },
      {
        name: 'published, at healthy members',
        join: 'none',
        points: rows.map(({ configuration }) => ({ x: at(configuration) + 0.15, y: PUBLISHED[configuration].healthy })),
      },
    ],
  });
}

export function detectionFigure(done: readonly Done[]): string {
  const names = ['SWIM', 'Lifeguard'] as const;
  return plot({
    title: 'First detection of a blocked member, 128 agents',
    x: { label: 'seconds since it was blocked', from: 8, to: 32 },
    y: { label: 'share of the blocked members', from: 0, to: 1 },
    series: names.map((name) => {
      const seconds = done
        .filter(({ cell }) => cell.experiment === 'threshold' && cell.configuration === name)
        .flatMap(({ result }) => result.firstMs)
        .map((ms) => ms / 1000)
        .toSorted((a, b) => a - b);
      const points = seconds.map((x, i) => ({ x, y: (i + 1) / seconds.length }));
      return { name, join: 'step' as const, points: [{ x: 8, y: 0 }, ...points] };
    }),
  });
}

export function loadFigure(loads: readonly Load[], detections: readonly Detection[]): string {
  return plot({
    title: 'Load and first detection do not grow with the cluster',
    x: { label: 'members', scale: 'log', from: 100, to: 10_000 },
    y: { label: 'messages, periods', from: 0, to: 3 },
    series: [
      {
        name: 'messages a member a period',
        points: loads.map(({ members, mean, deviation }) => ({
          ...{ x: members, y: mean, low: mean - deviation, high: mean + deviation },
        })),
      },
      {
        name: 'first detection, periods (95 % interval)',
        points: detections.map(({ members, mean, interval }) => ({ x: members, y: mean, ...interval })),
      },
      {
        name: 'e / (e − 1)',
        marks: false,
        points: detections.map(({ members }) => ({ x: members, y: Math.E / (Math.E - 1) })),
      },
    ],
  });
}

export function disseminationFigure(disseminations: readonly Dissemination[]): string {
  return plot({
    title: 'How a statement spreads: pushed to three members in each round',
    x: { label: 'rounds of 200 ms', from: 0, to: 14 },
    y: { label: 'share of the members that have heard', from: 0, to: 1 },
    series: disseminations.map(({ members, curve }) => ({
      name: `${members.toLocaleString('en-US')} members`,
      points: curve.slice(0, 15).map((share, round) => ({ x: round, y: share })),
    })),
  });
}

export function mergeFigure({ members, curve, splitSeconds }: Merge): string {
  return plot({
    title: `Two halves of ${members}, apart for ${splitSeconds} s, meet again`,
    x: { label: 'seconds after the healing', from: 0 },
    y: { label: 'members seen alive, on average', from: 0, to: members },
    series: [{ name: 'alive', join: 'step', points: curve.map((alive, i) => ({ x: i / 2, y: alive })) }],
  });
}
