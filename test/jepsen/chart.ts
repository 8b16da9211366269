/** Charts over the time of a run as SVG, for screen and paper: lines differ by dashes too, not by colour alone. */

export interface Line {
  readonly name: string;
  readonly color: string;
  /** SVG's stroke-dasharray; empty: solid. */
  readonly dashes: string;
  /** One for each second; null: nothing to show. */
  readonly values: readonly (number | null)[];
}

export interface Shade {
  readonly label: string;
  readonly fromSeconds: number;
  readonly toSeconds: number;
}

export interface ChartOptions {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly shades: readonly Shade[];
  readonly seconds: number;
  readonly scale: 'linear' | 'log';
  readonly unit: string;
}

const WIDTH = 1100;
const LEFT = 58;
const RIGHT = 12;
const TITLE = 20;
/** Where the faults' names stand, upright. */
const LABELS = 96;
const PLOT = 220;
const BOTTOM = 46;
const LABEL_WIDTH = 11;

export function chart(options: ChartOptions): string {
  const { lines, shades, seconds, scale } = options;
  const top = TITLE + LABELS;
  const height = top + PLOT + BOTTOM;
  const x = (second: number): number => LEFT + (second / Math.max(1, seconds)) * (WIDTH - LEFT - RIGHT);
  const ticks = ticksOf(
    lines.flatMap(({ values }) => values.filter((value) => value !== null)),
    scale,
  );
  const [low, high] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  const place = (value: number): number => {
    const share =
      scale === 'log'
        ? Math.log(Math.max(value, low) / low) / Math.log(high / low)
        : (value - low) / Math.max(1e-9, high - low);
    return top + PLOT * (1 - Math.min(1, Math.max(0, share)));
  };
  const parts = [
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(options.title)}">`,
    `<text x="${LEFT}" y="13" class="title">${escape(options.title)}</text>`,
    legend(lines),
    ...drawShades(shades, x, top),
    ...ticks.map((tick) => {
      const y = place(tick).toFixed(1);
      return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" class="grid"/><text x="${LEFT - 6}" y="${y}" dy="4" class="tick" text-anchor="end">${number(tick)}</text>`;
    }),
    ...timeTicks(seconds).map((second) => {
      const at = x(second).toFixed(1);
      return `<line x1="${at}" x2="${at}" y1="${top + PLOT}" y2="${top + PLOT + 5}" class="axis"/><text x="${at}" y="${top + PLOT + 18}" class="tick" text-anchor="middle">${second} s</text>`;
    }),
    `<text x="${LEFT - 6}" y="${top - 8}" class="tick" text-anchor="end">${escape(options.unit)}</text>`,
    `<rect x="${LEFT}" y="${top}" width="${WIDTH - LEFT - RIGHT}" height="${PLOT}" class="frame"/>`,
    ...lines.map((line) => polyline(line, x, place)),
    '</svg>',
  ];
  return parts.join('\n');
}

function drawShades(shades: readonly Shade[], x: (second: number) => number, top: number): string[] {
  let lastLabel = -Infinity;
  return shades.flatMap(({ label, fromSeconds, toSeconds }) => {
    const [from, to] = [x(fromSeconds), x(toSeconds)];
    const at = Math.max(from + LABEL_WIDTH - 2, lastLabel + LABEL_WIDTH);
    lastLabel = at;
    return [
      `<rect x="${from.toFixed(1)}" y="${top}" width="${Math.max(1, to - from).toFixed(1)}" height="${PLOT}" class="fault"/>`,
      `<line x1="${from.toFixed(1)}" x2="${from.toFixed(1)}" y1="${top - 4}" y2="${top + PLOT}" class="edge"/>`,
      `<text transform="translate(${at.toFixed(1)} ${top - 5}) rotate(-90)" class="label">${escape(label)}</text>`,
    ];
  });
}

function polyline(line: Line, x: (second: number) => number, y: (value: number) => number): string {
  const runs: string[][] = [[]];
  for (const [second, value] of line.values.entries()) {
    if (value === null) runs.push([]);
    else runs.at(-1)?.push(`${x(second + 0.5).toFixed(1)},${y(value).toFixed(1)}`);
  }
  return runs
    .filter((points) => points.length > 0)
    .map((points) => {
      // A second alone is a dot.
      const [only] = points;
      const drawn = points.length === 1 && only !== undefined ? [only, only] : points;
      return `<polyline points="${drawn.join(' ')}" fill="none" stroke="${line.color}" stroke-width="1.4" stroke-dasharray="${line.dashes}" stroke-linejoin="round" stroke-linecap="round"/>`;
    })
    .join('\n');
}

function legend(lines: readonly Line[]): string {
  return lines
    .map((line, index) => {
      const at = WIDTH - RIGHT - 90 * (lines.length - index);
      return `<line x1="${at}" x2="${at + 26}" y1="9" y2="9" stroke="${line.color}" stroke-width="2" stroke-dasharray="${line.dashes}"/><text x="${at + 31}" y="13" class="tick">${escape(line.name)}</text>`;
    })
    .join('');
}

function ticksOf(values: readonly number[], scale: 'linear' | 'log'): number[] {
  const highest = values.reduce((most, value) => Math.max(most, value), 0);
  if (scale === 'log') {
    const lowest = values.reduce((least, value) => (value > 0 ? Math.min(least, value) : least), highest);
    const [from, to] = [Math.floor(Math.log10(lowest || 1)), Math.ceil(Math.log10(highest || 10))];
    return Array.from({ length: Math.max(1, to - from) + 1 }, (_, index) => 10 ** (from + index));
  }
  const rough = Math.max(1, highest) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 5, 10].find((factor) => factor * unit >= rough) ?? 10);
  return Array.from({ length: Math.ceil(Math.max(1, highest) / step) + 1 }, (_, index) => index * step);
}

function timeTicks(seconds: number): number[] {
  const step = [5, 10, 20, 30, 60, 120, 300, 600].find((candidate) => seconds / candidate <= 12) ?? 1800;
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, index) => index * step);
}

function number(value: number): string {
  return value >= 1 ? String(Math.round(value)) : String(Number(value.toPrecision(2)));
}

export function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
