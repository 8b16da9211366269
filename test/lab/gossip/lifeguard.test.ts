import { describe, expect, it } from 'vitest';
import { cellsOf, CONFIGURATIONS, type Cell, type CellResult, type ConfigurationName } from './anomalies.ts';
import { rowsOf, tableOf } from './lifeguard.ts';
import { parseProgress, type Done } from './pool.ts';

const ALL = Object.keys(CONFIGURATIONS) as ConfigurationName[];
const GRID = { seed: 1, processingMs: 0.02, configurations: ALL };

describe('the grid', () => {
  it('the full one is the paper’s: 9 numbers of agents, 6 durations, 8 intervals, 10 repeats, 5 configurations', () => {
    const cells = cellsOf({ ...GRID, size: 'full' });
    expect(cells.filter(({ experiment }) => experiment === 'interval')).toHaveLength(9 * 6 * 8 * 10 * 5);
    expect(cells.filter(({ experiment }) => experiment === 'threshold')).toHaveLength(9 * 10 * 5);
  });

  it('the small one is a sample of it by seed, the same for all configurations', () => {
    const small = cellsOf({ ...GRID, size: 'small' });
    expect(small).toEqual(cellsOf({ ...GRID, size: 'small' }));
    expect(small).not.toEqual(cellsOf({ ...GRID, seed: 2, size: 'small' }).map((cell) => ({ ...cell, seed: 1 })));
    const full = new Set(cellsOf({ ...GRID, size: 'full' }).map((cell) => JSON.stringify(cell)));
    expect(small.filter((cell) => !full.has(JSON.stringify(cell)))).toEqual([]);
    const of = (name: ConfigurationName): string[] =>
      small
        .filter(({ configuration }) => configuration === name)
        .map((cell) => JSON.stringify({ ...cell, configuration: '' }));
    for (const name of ALL) expect(of(name)).toEqual(of('SWIM'));
    expect(of('SWIM')).toHaveLength(6 * 8 + 9 * 3);
  });
});

describe('the table', () => {
  const done = (configuration: ConfigurationName, intervalMs: number, result: Partial<CellResult>): Done => ({
    cell: {
      ...{ configuration, experiment: intervalMs === 0 ? 'threshold' : 'interval', blocked: 4, durationMs: 8192 },
      ...{ intervalMs, repeat: 0, seed: 1, processingMs: 0.02, neighbours: null },
    } satisfies Cell,
    result: { falsePositives: 0, falsePositivesAtHealthy: 0, firstMs: [], fullMs: [], events: 0, ...result },
  });

  it('has false positives as shares of those of SWIM on the same cells, and latencies in seconds', () => {
    const rows = rowsOf(
      [
        done('SWIM', 1, { falsePositives: 300, falsePositivesAtHealthy: 40 }),
        done('SWIM', 4, { falsePositives: 100, falsePositivesAtHealthy: 10 }),
        done('SWIM', 0, { firstMs: [12_000, 13_000, 14_000], fullMs: [15_000] }),
        done('Lifeguard', 4, { falsePositives: 3 }),
        done('Lifeguard', 1, { falsePositives: 1, falsePositivesAtHealthy: 1 }),
        done('Lifeguard', 0, { firstMs: [11_000], fullMs: [12_000] }),
      ],
      1,
    );
    expect(rows.map(({ configuration }) => configuration)).toEqual(['SWIM', 'Lifeguard']);
    expect(rows[0]).toMatchObject({ falsePositives: 400, total: 100, healthy: 100, detections: 3 });
    expect(rows[0]?.first[0]).toBe(13);
    expect(rows[1]).toMatchObject({ falsePositives: 4, total: 1, healthy: 2, first: [11, 11, 11], full: [12, 12, 12] });
    // From one cell twice to the other twice.
    expect(rows[1]?.totalInterval.low).toBeCloseTo(1 / 3, 5);
    expect(rows[1]?.totalInterval.high).toBeCloseTo(3, 5);
    expect(tableOf(rows)).toContain('| Lifeguard | 4 | 1.00 (0.33 to 3.00) | 1.53 | 1 | 2.00');
  });

  it('progress that broke off in a line is read up to it', () => {
    const one = JSON.stringify(done('SWIM', 1, {}));
    expect(parseProgress(`${one}\n${one}\n${one.slice(0, -1)}`)).toHaveLength(2);
    expect(parseProgress(one)).toEqual([]);
    expect(parseProgress('')).toEqual([]);
  });
});
