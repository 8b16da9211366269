/** What the cells say together, beside what was published. */
import { bootstrap, percentiles, type Interval } from '../statistics.ts';
import { CONFIGURATIONS, type Cell, type ConfigurationName } from './anomalies.ts';
import type { Done } from './pool.ts';

/** Dadgar et al. 2017, tables IV and V; seconds. */
export const PUBLISHED: Readonly<
  Record<ConfigurationName, { total: number; healthy: number; first: readonly number[]; full: readonly number[] }>
> = {
  SWIM: { total: 100, healthy: 100, first: [12.44, 16.96, 19.4], full: [12.9, 16.93, 20.17] },
  'LHA-Probe': { total: 67.72, healthy: 32.88, first: [12.42, 17.75, 20.1], full: [12.9, 17.98, 20.56] },
  'LHA-Suspicion': { total: 3, healthy: 6.71, first: [12.42, 17.47, 25.41], full: [12.89, 17.33, 23.8] },
  Buddy: { total: 94.08, healthy: 44.57, first: [12.45, 17.12, 19.16], full: [12.92, 17.18, 19.81] },
  Lifeguard: { total: 1.53, healthy: 1.89, first: [12.45, 17.9, 21.2], full: [12.91, 18.05, 21.68] },
};

export interface Row {
  readonly configuration: ConfigurationName;
  readonly runs: number;
  readonly falsePositives: number;
  readonly atHealthy: number;
  /** Percent of SWIM on the same cells, with 95 % of what resampling the cells gives. */
  readonly total: number;
  readonly totalInterval: Interval;
  readonly healthy: number;
  readonly healthyInterval: Interval;
  readonly detections: number;
  /** 50, 99 and 99.9 %, seconds. */
  readonly first: readonly number[];
  readonly full: readonly number[];
  /** Of the median. */
  readonly firstInterval: Interval;
}

const PERCENTS = [50, 99, 99.9];

export function rowsOf(done: readonly Done[], seed: number): Row[] {
  const names = Object.keys(CONFIGURATIONS) as ConfigurationName[];
  return names
    .filter((name) => done.some(({ cell }) => cell.configuration === name))
    .map((configuration) => {
      const pairs = pairsOf(done, configuration);
      const share = (field: 'falsePositives' | 'falsePositivesAtHealthy') => (sample: readonly Pair[]) =>
        (100 * sum(sample.map(({ own }) => own.result[field]))) / sum(sample.map(({ swim }) => swim.result[field]));
      const detected = done.filter(
        ({ cell }) => cell.experiment === 'threshold' && cell.configuration === configuration,
      );
      const seconds = (field: 'firstMs' | 'fullMs', sample: readonly Done[]): number[] =>
        sample.flatMap(({ result }) => result[field]).map((ms) => ms / 1000);
      const first = seconds('firstMs', detected);
      const median = (sample: readonly Done[]): number =>
        percentiles(seconds('firstMs', sample), [50])[0] ?? Number.NaN;
      return {
        configuration,
        runs: pairs.length,
        falsePositives: sum(pairs.map(({ own }) => own.result.falsePositives)),
        atHealthy: sum(pairs.map(({ own }) => own.result.falsePositivesAtHealthy)),
        total: share('falsePositives')(pairs),
        totalInterval: bootstrap(pairs, share('falsePositives'), { seed }),
        healthy: share('falsePositivesAtHealthy')(pairs),
        healthyInterval: bootstrap(pairs, share('falsePositivesAtHealthy'), { seed }),
        detections: first.length,
        first: percentiles(first, PERCENTS),
        full: percentiles(seconds('fullMs', detected), PERCENTS),
        firstInterval: bootstrap(detected, median, { seed }),
      };
    });
}

interface Pair {
  readonly own: Done;
  readonly swim: Done;
}

/** Each run of the interval experiment beside SWIM's on the same cell. */
export function pairsOf(done: readonly Done[], configuration: ConfigurationName): Pair[] {
  const swims = new Map<string, Done>();
  for (const one of done) if (one.cell.configuration === 'SWIM') swims.set(placeOf(one.cell), one);
  return done.flatMap((own) => {
    if (own.cell.experiment !== 'interval' || own.cell.configuration !== configuration) return [];
    const swim = swims.get(placeOf(own.cell));
    return swim === undefined ? [] : [{ own, swim }];
  });
}

function placeOf({ experiment, blocked, durationMs, intervalMs, repeat }: Cell): string {
  return [experiment, blocked, durationMs, intervalMs, repeat].join(' ');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** As Markdown. */
export function tableOf(rows: readonly Row[]): string {
  const percent = (value: number, { low, high }: Interval): string =>
    `${value.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
  const seconds = (values: readonly number[]): string => values.map((value) => value.toFixed(2)).join(' / ');
  return [
    '| configuration | false positives | % of SWIM | published | at healthy members | % of SWIM | published | first detection 50 / 99 / 99.9 % (s) | published | full dissemination (s) | published |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
    ...rows.map((row) => {
      const published = PUBLISHED[row.configuration];
      return `| ${[
        row.configuration,
        row.falsePositives,
        percent(row.total, row.totalInterval),
        published.total,
        row.atHealthy,
        percent(row.healthy, row.healthyInterval),
        published.healthy,
        seconds(row.first),
        seconds(published.first),
        seconds(row.full),
        seconds(published.full),
      ].join(' | ')} |`;
    }),
  ].join('\n');
}
