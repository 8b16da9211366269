import { describe, expect, it } from 'vitest';
import { Random } from '../../src/testing/random.ts';
import { bootstrap, deviation, mean, median, percentile, percentiles } from './statistics.ts';

describe('statistics', () => {
  it('mean and deviation', () => {
    expect(mean([2, 4, 4, 4, 5, 5, 7, 9])).toBe(5);
    expect(deviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(2.138, 3);
    expect(mean([])).toBeNaN();
    expect(deviation([1])).toBeNaN();
  });

  it('percentiles lie between ranks, whatever the order', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
    expect(percentiles([10, 20, 30, 40, 50], [0, 25, 90, 100])).toEqual([10, 20, 46, 50]);
    expect(percentile([], 50)).toBeNaN();
    expect(() => percentile([1], 101)).toThrow('not a percentage');
  });

  it('a bootstrap interval holds the true mean about as often as it says', () => {
    const random = new Random(20);
    let held = 0;
    for (let round = 0; round < 100; round++) {
      const sample = Array.from({ length: 40 }, () => random.float());
      const { low, high } = bootstrap(sample, mean, { seed: round, resamples: 200, level: 0.9 });
      if (low <= 0.5 && 0.5 <= high) held++;
    }
    expect(held).toBeGreaterThanOrEqual(80);
    expect(held).toBeLessThanOrEqual(98);
  });

  it('a bootstrap is replayed by its seed', () => {
    const sample = [3, 1, 4, 1, 5, 9, 2, 6];
    expect(bootstrap(sample, median, { seed: 7 })).toEqual(bootstrap(sample, median, { seed: 7 }));
    expect(bootstrap(sample, median, { seed: 7 })).not.toEqual(bootstrap(sample, mean, { seed: 7 }));
    expect(bootstrap([], mean, { seed: 1 })).toEqual({ low: Number.NaN, high: Number.NaN });
  });
});
