/** The figures of a run, for people and for programs. */
import type { FigureName, Round } from './cases.ts';
import { median, type Figures } from './result.ts';

/** More pairs than this stand below each other. */
const WIDE = 6;

export interface Ratio {
  readonly figure: string;
  /** Ours divided by etcd's, round by round; null where one is unknown or zero. */
  readonly pairs: readonly (number | null)[];
  readonly median: number | null;
}

function known(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

function middle(values: readonly (number | null)[]): number | null {
  const numbers = known(values);
  return numbers.length === 0 ? null : median(numbers);
}

export function medians(
  rounds: readonly Round[],
  names: readonly FigureName[],
  side: 'kvorum' | 'etcd',
): Figures | null {
  if (rounds.some((round) => round[side] === null)) return null;
  return Object.fromEntries(names.map(({ key }) => [key, middle(rounds.map((round) => round[side]?.[key] ?? null))]));
}

export function ratios(rounds: readonly Round[], names: readonly FigureName[]): Ratio[] {
  return names.flatMap(({ key }) => {
    const pairs = rounds.map(({ kvorum, etcd }) => {
      const [ours, theirs] = [kvorum[key] ?? null, etcd?.[key] ?? null];
      return ours === null || theirs === null || theirs === 0 ? null : ours / theirs;
    });
    return known(pairs).length === 0 ? [] : [{ figure: key, pairs, median: middle(pairs) }];
  });
}

export function table(rounds: readonly Round[], names: readonly FigureName[]): string {
  const rows: string[][] = [['round', 'system', ...names.map(({ title }) => title)]];
  const row = (round: string, system: string, figures: Figures | null): void => {
    if (figures === null) return;
    rows.push([round, system, ...names.map(({ key, digits }) => figures[key]?.toFixed(digits) ?? '-')]);
  };
  for (const [index, { kvorum, etcd }] of rounds.entries()) {
    row(String(index + 1), 'kvorum', kvorum);
    row(String(index + 1), 'etcd', etcd);
  }
  if (rounds.length > 1) {
    row('median', 'kvorum', medians(rounds, names, 'kvorum'));
    row('median', 'etcd', medians(rounds, names, 'etcd'));
  }
  return align(rows);
}

export function ratioTable(rounds: readonly Round[], names: readonly FigureName[]): string {
  const all = ratios(rounds, names);
  if (all.length === 0) return '';
  const named = all.map((ratio) => ({ ...ratio, name: names.find(({ key }) => key === ratio.figure) }));
  const goal = ({ name }: { name: FigureName | undefined }): string => (name?.better === 'more' ? '> 1' : '< 1');
  if (rounds.length > WIDE) {
    return align([
      ['kvorum ÷ etcd', 'good is', ...named.map(({ name, figure }) => name?.title ?? figure)],
      ...rounds.map((_, index) => [`pair ${index + 1}`, '', ...named.map(({ pairs }) => show(pairs[index] ?? null))]),
      ['median', named.map(goal).join(' '), ...named.map(({ median: middleOne }) => show(middleOne))],
    ]);
  }
  return align([
    ['kvorum ÷ etcd', 'good is', ...rounds.map((_, index) => `pair ${index + 1}`), 'median'],
    ...named.map((ratio) => [ratio.name?.title ?? '', goal(ratio), ...ratio.pairs.map(show), show(ratio.median)]),
  ]);
}

function show(ratio: number | null): string {
  return ratio?.toFixed(2) ?? '-';
}

function align(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
