/** Figures with their spread, beside what was published, as a table for the terminal and for the page. */
import { bootstrap, mean } from '../statistics.ts';

export interface Figure {
  readonly value: number;
  /** 95 % of what other samples of this size would have given. */
  readonly low: number;
  readonly high: number;
}

export interface Row {
  readonly what: string;
  readonly figures: Readonly<Record<string, Figure>>;
  /** Published, or the baseline, by the same names. */
  readonly published?: Readonly<Record<string, number>>;
}

export interface Gate {
  readonly what: string;
  readonly holds: boolean;
}

export interface Report {
  readonly title: string;
  readonly rows: readonly Row[];
  readonly gates: readonly Gate[];
  /** File name without its ending → the picture. */
  readonly pictures: Readonly<Record<string, string>>;
}

export function figureOf(values: readonly number[], seed: number): Figure {
  const { low, high } = bootstrap(values, mean, { seed, resamples: 400 });
  return { value: mean(values), low, high };
}

/** Of a share of n: Wilson's interval, which says something also where nothing failed. */
export function shareOf(flags: readonly boolean[]): Figure {
  const n = flags.length;
  const p = flags.filter(Boolean).length / n;
  const z = 1.96;
  const middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const width = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return { value: p, low: Math.max(0, middle - width), high: Math.min(1, middle + width) };
}

export function single(value: number): Figure {
  return { value, low: value, high: value };
}

/** A Markdown table: ours with its interval, and in brackets what was published. */
export function tableOf(rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const cell = ({ figures, published }: Row, name: string): string => {
    const figure = figures[name];
    if (figure === undefined) return '';
    const theirs = published?.[name];
    const text = isExact(figure) ? numeral(figure.value) : `${numeral(figure.value)} ±${numeral(spread(figure))}`;
    return theirs === undefined ? text : `${text} (${numeral(theirs)})`;
  };
  const lines = [
    ['', ...names],
    ['---', ...names.map(() => '---')],
    ...rows.map((row) => [row.what, ...names.map((name) => cell(row, name))]),
  ];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function isExact({ value, low, high }: Figure): boolean {
  return low === value && high === value;
}

/** The longer arm of the interval. */
function spread({ value, low, high }: Figure): number {
  return Math.max(value - low, high - value);
}

function numeral(value: number): string {
  if (Number.isInteger(value)) return `${value}`;
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) < 1 ? 4 : 2);
}
