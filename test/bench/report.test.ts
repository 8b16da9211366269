import { describe, expect, it } from 'vitest';
import type { FigureName, Round } from '../../bench/cases.ts';
import { medians, ratios, ratioTable, table } from '../../bench/report.ts';
import { median } from '../../bench/result.ts';

const names: FigureName[] = [
  { key: 'perSecond', title: 'ops/s', digits: 0, better: 'more' },
  { key: 'cpu', title: 'CPU', digits: 1, better: 'less' },
];
const rounds: Round[] = [
  { kvorum: { perSecond: 300, cpu: 1 }, etcd: { perSecond: 100, cpu: 2 } },
  { kvorum: { perSecond: 100, cpu: null }, etcd: { perSecond: 100, cpu: 2 } },
  { kvorum: { perSecond: 200, cpu: 3 }, etcd: { perSecond: 100, cpu: 0 } },
];

describe('the report', () => {
  it('has medians', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
    expect(medians(rounds, names, 'kvorum')).toEqual({ perSecond: 200, cpu: 2 });
  });

  it('compares pair by pair, and leaves out what is not known', () => {
    expect(ratios(rounds, names)).toEqual([
      { figure: 'perSecond', pairs: [3, 1, 2], median: 2 },
      { figure: 'cpu', pairs: [0.5, null, null], median: 0.5 },
    ]);
  });

  it('is readable', () => {
    expect(table(rounds.slice(0, 1), names)).toBe(
      ['round  system  ops/s  CPU', '1      kvorum    300  1.0', '1      etcd      100  2.0'].join('\n'),
    );
    expect(ratioTable(rounds, names).split('\n')[1]).toMatch(/^ops\/s +> 1 +3\.00 +1\.00 +2\.00 +2\.00$/);
  });

  it('stays narrow with many pairs', () => {
    const lines = ratioTable(
      Array.from({ length: 20 }, () => rounds[0] as Round),
      names,
    ).split('\n');
    expect(lines).toHaveLength(22);
    expect(lines[20]).toMatch(/^pair 20 +3\.00 +0\.50$/);
    expect(lines[21]).toMatch(/^median +> 1 < 1 +3\.00 +0\.50$/);
  });

  it('without etcd compares nothing', () => {
    const alone = rounds.map(({ kvorum }) => ({ kvorum, etcd: null }));
    expect(ratios(alone, names)).toEqual([]);
    expect(ratioTable(alone, names)).toBe('');
    expect(medians(alone, names, 'etcd')).toBeNull();
    expect(table(alone, names)).not.toContain('etcd');
  });
});
