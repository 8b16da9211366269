/** Small charts as SVG of its own: lines, steps and points over linear or logarithmic axes. Series differ by dashes and marks too, not by colour alone. */

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Ends of the error bar. */
  readonly low?: number;
  readonly high?: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** How neighbours are joined; default `line`. `step`: flat until the next point, as a distribution is. `none`: marks only. */
  readonly join?: 'line' | 'step' | 'none';
  /** Default: marks, except on steps. */
  readonly marks?: boolean;
}

export interface Axis {
  readonly label: string;
  readonly scale?: 'linear' | 'log';
  /** Ends; default: what the points need, rounded. */
  readonly from?: number;
  readonly to?: number;
}

export interface Plot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

const WIDTH = 760;
const HEIGHT = 440;
const LEFT = 78;
const RIGHT = 20;
const TOP = 40;
const BOTTOM = 52;
const LEGEND_LINE = 18;
const COLORS = ['#0b5fa5', '#c2410c', '#15803d', '#7e22ce', '#a16207', '#0e7490', '#be185d', '#404040'];
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '12 4', '4 2', '1 2', '6 2 1 2'];

interface Scale {
  readonly ticks: readonly number[];
  /** Share of the way from the low end to the high end. */
  place(value: number): number;
  readonly shows: (value: number) => boolean;
}

/** The chart as a whole SVG document. Points that a logarithmic axis cannot show (zero and below) are left out. */
export function plot({ title, x, y, series }: Plot): string {
  const points = series.flatMap((one) => one.points);
  const across = scaleOf(
    x,
    points.map((point) => point.x),
  );
  const up = scaleOf(
    y,
    points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]),
  );
  const height = HEIGHT + Math.ceil(series.length / 2) * LEGEND_LINE;
  const left = (value: number): string => (LEFT + across.place(value) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const top = (value: number): string => (HEIGHT - BOTTOM - up.place(value) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="22" font-size="15" font-weight="600" fill="#111111">${escape(title)}</text>`,
    ...up.ticks.map(
      (tick) =>
        `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${top(tick)}" y2="${top(tick)}" stroke="#dddddd"/>` +
        `<text x="${LEFT - 8}" y="${top(tick)}" dy="4" text-anchor="end" fill="#333333">${numeral(tick)}</text>`,
    ),
    ...across.ticks.map(
      (tick) =>
        `<line x1="${left(tick)}" x2="${left(tick)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" stroke="#eeeeee"/>` +
        `<text x="${left(tick)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#333333">${numeral(tick)}</text>`,
    ),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 10}" text-anchor="middle" fill="#111111">${escape(x.label)}</text>`,
    `<text transform="translate(18 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle" fill="#111111">${escape(y.label)}</text>`,
  ];
  for (const [i, one] of series.entries()) {
    const color = COLORS[i % COLORS.length] ?? '#000000';
    const shown = one.points.filter((point) => across.shows(point.x) && up.shows(point.y));
    parts.push(...drawSeries(one, shown, color, DASHES[i % DASHES.length] ?? '', i, left, top, up));
    const at = { x: LEFT + (i % 2) * ((WIDTH - LEFT) / 2), y: HEIGHT + Math.floor(i / 2) * LEGEND_LINE };
    parts.push(
      `<line x1="${at.x}" x2="${at.x + 28}" y1="${at.y}" y2="${at.y}" stroke="${color}" stroke-width="2" stroke-dasharray="${DASHES[i % DASHES.length]}"/>`,
      one.marks === false || (one.join === 'step' && one.marks !== true) ? '' : mark(i, at.x + 14, at.y, color),
      `<text x="${at.x + 36}" y="${at.y}" dy="4" fill="#111111">${escape(one.name)}</text>`,
    );
  }
  parts.push('</svg>', '');
  return parts.filter((part, i) => part !== '' || i === parts.length - 1).join('\n');
}

function drawSeries(
  { join = 'line', marks = join !== 'step' }: Series,
  points: readonly Point[],
  color: string,
  dashes: string,
  index: number,
  left: (value: number) => string,
  top: (value: number) => string,
  up: Scale,
): string[] {
  const parts: string[] = [];
  if (join !== 'none' && points.length > 1) {
    let path = '';
    for (const [i, point] of points.entries()) {
      if (i === 0) path = `M${left(point.x)} ${top(point.y)}`;
      else path += join === 'step' ? `H${left(point.x)}V${top(point.y)}` : `L${left(point.x)} ${top(point.y)}`;
    }
    parts.push(`<path d="${path}" fill="none" stroke="${color}" stroke-width="2" stroke-dasharray="${dashes}"/>`);
  }
  for (const { x, y, low = y, high = y } of points) {
    if (low !== high && up.shows(low) && up.shows(high)) {
      const at = left(x);
      const cap = (value: number): string => `M${Number(at) - 4} ${top(value)}h8`;
      parts.push(
        `<path d="M${at} ${top(low)}V${top(high)}${cap(low)}${cap(high)}" fill="none" stroke="${color}" stroke-width="1.2"/>`,
      );
    }
    if (marks) parts.push(mark(index, Number(left(x)), Number(top(y)), color));
  }
  return parts;
}

function mark(index: number, x: number, y: number, color: string): string {
  const paint = `fill="${color}"`;
  switch (index % 4) {
    case 0:
      return `<circle cx="${x}" cy="${y}" r="3.5" ${paint}/>`;
    case 1:
      return `<rect x="${x - 3.2}" y="${y - 3.2}" width="6.4" height="6.4" ${paint}/>`;
    case 2:
      return `<path d="M${x} ${y - 4.5}l4.2 7.5h-8.4z" ${paint}/>`;
    default:
      return `<path d="M${x} ${y - 4.6}l4.6 4.6l-4.6 4.6l-4.6-4.6z" ${paint}/>`;
  }
}

function scaleOf({ scale = 'linear', from, to }: Axis, values: readonly number[]): Scale {
  const shows = scale === 'log' ? (value: number) => value > 0 : Number.isFinite;
  const shown = values.filter((value) => Number.isFinite(value) && shows(value));
  const low = from ?? shown.reduce((least, value) => Math.min(least, value), shown[0] ?? 1);
  const high = to ?? shown.reduce((most, value) => Math.max(most, value), shown[0] ?? 1);
  return scale === 'log' ? logScale(low, high, shows) : linearScale(low, high, from, to, shows);
}

function logScale(low: number, high: number, shows: Scale['shows']): Scale {
  if (!(low > 0)) throw new RangeError('a logarithmic axis begins above zero');
  const first = Math.floor(Math.log10(low) + 1e-9);
  const last = Math.max(first + 1, Math.ceil(Math.log10(high) - 1e-9));
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
  return { ticks, shows, place: (value) => (Math.log10(value) - first) / (last - first) };
}

function linearScale(
  low: number,
  high: number,
  from: number | undefined,
  to: number | undefined,
  shows: Scale['shows'],
): Scale {
  const span = high - low || Math.abs(high) || 1;
  const rough = 10 ** Math.floor(Math.log10(span / 5));
  const step = [1, 2, 5, 10].map((factor) => factor * rough).find((size) => span / size <= 7) ?? rough * 10;
  const start = from ?? Math.floor(low / step) * step;
  const end = to ?? Math.max(Math.ceil(high / step) * step, start + step);
  const ticks: number[] = [];
  for (let i = Math.ceil(start / step - 1e-9); i * step <= end + step * 1e-9; i++) ticks.push(i * step);
  return { ticks, shows, place: (value) => (value - start) / (end - start) };
}

function numeral(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(0).replace('e+', 'e');
  return Number(value.toPrecision(6)).toLocaleString('en-US', { maximumFractionDigits: 6 });
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
