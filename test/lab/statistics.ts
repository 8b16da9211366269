/** What is said of a set of measurements: middle, tails, and how sure the figure is. */
import { Random } from '../../src/testing/random.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export function mean(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return values.length === 0 ? Number.NaN : sum / values.length;
}

/** Sample standard deviation; NaN for fewer than two values. */
export function deviation(values: readonly number[]): number {
  if (values.length < 2) return Number.NaN;
  const middle = mean(values);
  let sum = 0;
  for (const value of values) sum += (value - middle) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Linear between the two nearest ranks (Hyndman & Fan's type 7, what R and NumPy do). NaN for no values. */
export function percentile(values: readonly number[], percent: number): number {
  return percentileOfSorted(values.toSorted(ascending), percent);
}

export function percentiles(values: readonly number[], percents: readonly number[]): number[] {
  const sorted = values.toSorted(ascending);
  return percents.map((percent) => percentileOfSorted(sorted, percent));
}

function percentileOfSorted(sorted: readonly number[], percent: number): number {
  if (!(percent >= 0 && percent <= 100)) throw new RangeError(`${percent} is not a percentage`);
  const rank = ((sorted.length - 1) * percent) / 100;
  const below = sorted[Math.floor(rank)];
  const above = sorted[Math.ceil(rank)];
  if (below === undefined || above === undefined) return Number.NaN;
  return below + (above - below) * (rank - Math.floor(rank));
}

/**
 * Percentile bootstrap (Efron): the statistic of `resamples` samples drawn with replacement, and the interval that holds
 * `level` of them. Resample what is independent: whole runs, not single events of one run. The same seed gives the same interval.
 */
export function bootstrap<T>(
  sample: readonly T[],
  statistic: (resample: readonly T[]) => number,
  { seed, resamples = 1000, level = 0.95 }: { seed: number; resamples?: number; level?: number },
): Interval {
  if (sample.length === 0) return { low: Number.NaN, high: Number.NaN };
  const random = new Random(seed);
  const found: number[] = [];
  const resample: T[] = [...sample];
  for (let round = 0; round < resamples; round++) {
    for (let i = 0; i < resample.length; i++) resample[i] = random.pick(sample);
    const value = statistic(resample);
    // A ratio over a resample that happens to have nothing below the line says nothing.
    if (Number.isFinite(value)) found.push(value);
  }
  const [low = Number.NaN, high = Number.NaN] = percentiles(found, [50 * (1 - level), 50 * (1 + level)]);
  return { low, high };
}

function ascending(a: number, b: number): number {
  return a - b;
}
