/** `npm run lab -- gossip`: see docs/gossip.md. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cellsOf, CONFIGURATIONS, type ConfigurationName } from './anomalies.ts';
import { measureDetection, measureDissemination, measureLoad, measureMerge, SIZES } from './claims.ts';
import { detectionFigure, disseminationFigure, falsePositivesFigure, loadFigure, mergeFigure } from './figures.ts';
import { rowsOf, tableOf } from './lifeguard.ts';
import { runAll } from './pool.ts';

const USAGE = `Usage: npm run lab -- gossip [options]

  --grid small|full     of the Lifeguard experiment: a seeded sample (default), or the paper's whole grid, which takes a day
  --seed N              default 1
  --out DIR             progress and results (default lab-results/gossip); a run that was stopped goes on where it was
  --figures DIR         where the plots go (default: into --out)
  --only LIST           of lifeguard, load, detection, dissemination, merge (default: all)
  --configurations LIST of SWIM, LHA-Probe, LHA-Suspicion, Buddy, Lifeguard (default: all; SWIM is needed to compare with)
  --processing-us N     what a blocked agent takes afterwards for each message that waited for it (default 20)
  --neighbours N        whom each member probes and gossips to; all (default), as in the papers
  --sizes LIST          of clusters for load, detection and dissemination (default 128,1000,10000)
  --workers N           threads, at most 2 (default 2)`;

const PARTS = ['lifeguard', 'load', 'detection', 'dissemination', 'merge'] as const;
type Part = (typeof PARTS)[number];

/** What the gates ask for. */
const LEAST_REDUCTION = 50;
const MOST_MEDIAN_DIFFERENCE = 0.02;
const MOST_LOAD_DIFFERENCE = 0.05;

interface Settings {
  readonly grid: 'small' | 'full';
  readonly seed: number;
  readonly out: string;
  readonly figures: string;
  readonly parts: ReadonlySet<Part>;
  readonly configurations: readonly ConfigurationName[];
  readonly processingMs: number;
  /** Null: all. */
  readonly neighbours: number | null;
  readonly sizes: readonly number[];
  readonly workers: number;
}

export async function run(args: readonly string[]): Promise<number> {
  let settings: Settings | null;
  try {
    settings = settingsOf(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 1;
  }
  if (settings === null) {
    console.log(USAGE);
    return 0;
  }
  mkdirSync(settings.out, { recursive: true });
  mkdirSync(settings.figures, { recursive: true });
  const broken: string[] = [];
  const { parts } = settings;
  if (parts.has('load') || parts.has('detection')) loadAndDetection(settings, broken);
  if (parts.has('dissemination')) dissemination(settings);
  if (parts.has('merge')) merge(settings, broken);
  if (parts.has('lifeguard')) await lifeguard(settings, broken);
  for (const gate of broken) console.error(`gate: ${gate}`);
  return broken.length === 0 ? 0 : 2;
}

function settingsOf(args: readonly string[]): Settings | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      grid: { type: 'string', default: 'small' },
      seed: { type: 'string', default: '1' },
      out: { type: 'string', default: join('lab-results', 'gossip') },
      figures: { type: 'string' },
      only: { type: 'string', default: PARTS.join(',') },
      configurations: { type: 'string', default: Object.keys(CONFIGURATIONS).join(',') },
      'processing-us': { type: 'string', default: '20' },
      neighbours: { type: 'string', default: 'all' },
      sizes: { type: 'string', default: SIZES.join(',') },
      workers: { type: 'string', default: '2' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  if (values.grid !== 'small' && values.grid !== 'full') throw new Error(`--grid is small or full, not ${values.grid}`);
  return {
    grid: values.grid,
    seed: number('seed', values.seed, 0, 2 ** 32),
    out: values.out,
    figures: values.figures ?? values.out,
    parts: new Set(listOf('only', values.only, PARTS)),
    configurations: listOf('configurations', values.configurations, Object.keys(CONFIGURATIONS) as ConfigurationName[]),
    processingMs: number('processing-us', values['processing-us'], 0, 10_000) / 1000,
    neighbours: values.neighbours === 'all' ? null : number('neighbours', values.neighbours, 1, 20_000),
    sizes: values.sizes.split(',').map((size) => number('sizes', size, 16, 20_000)),
    workers: number('workers', values.workers, 1, 2),
  };
}

function listOf<T extends string>(name: string, text: string, known: readonly T[]): T[] {
  return text.split(',').map((part) => {
    const found = known.find((one) => one === part);
    if (found === undefined) throw new Error(`--${name} knows ${known.join(', ')}, not ${part}`);
    return found;
  });
}

function number(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text !== '' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(`--${name} is a whole number from ${least} to ${most}, not ${text}`);
}

function loadAndDetection(settings: Settings, broken: string[]): void {
  const { sizes, seed, parts } = settings;
  const neighbours = settings.neighbours ?? Infinity;
  const loads = [];
  if (parts.has('load')) {
    console.log('\nMessages a member a period, in calm (SWIM: constant)\n');
    console.log('| members | messages | deviation between periods | bytes a (node, member) pair |\n|---|---|---|---|');
    for (const members of sizes) {
      const { load, memoryBytesPerPair } = measureLoad(members, seed, neighbours);
      loads.push(load);
      console.log(
        `| ${members} | ${load.mean.toFixed(3)} | ${load.deviation.toFixed(3)} | ${memoryBytesPerPair.toFixed(1)} |`,
      );
    }
    const means = loads.map(({ mean }) => mean);
    if (Math.max(...means) / Math.min(...means) > 1 + MOST_LOAD_DIFFERENCE) broken.push('load grows with the cluster');
  }
  const detections = [];
  if (parts.has('detection')) {
    console.log(`\nFirst detection, protocol periods (SWIM: e/(e − 1) = ${(Math.E / (Math.E - 1)).toFixed(3)})\n`);
    console.log(
      '| members | crashes | periods begin together: mean (95 %) | median | 99 % | at random phases: mean (95 %) |',
    );
    console.log('|---|---|---|---|---|---|');
    for (const members of sizes) {
      const aligned = measureDetection(members, seed, true, 400, neighbours);
      const staggered = measureDetection(members, seed, false, 400, neighbours);
      detections.push(aligned);
      const spread = ({ mean, interval: { low, high } }: typeof aligned): string =>
        `${mean.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
      console.log(
        `| ${[members, aligned.crashes, spread(aligned), aligned.median.toFixed(2), aligned.p99.toFixed(2), spread(staggered)].join(' | ')} |`,
      );
    }
  }
  if (loads.length > 0 && detections.length > 0) save(settings, 'load', loadFigure(loads, detections));
  keep(settings, 'swim', { loads, detections });
}

function dissemination(settings: Settings): void {
  console.log('\nRounds until 99 % have heard, pushed to three members a round\n');
  console.log(
    '| members | runs | rounds | deviation | heard in the end, at least | published |\n|---|---|---|---|---|---|',
  );
  const published: Readonly<Record<number, number>> = { 128: 5.7, 1000: 7, 10_000: 9 };
  const results = settings.sizes.map((members) => {
    const result = measureDissemination(
      members,
      settings.seed,
      members >= 10_000 ? 20 : 50,
      settings.neighbours ?? Infinity,
    );
    const { runs, mean, deviation, least } = result;
    console.log(
      `| ${[members, runs, mean.toFixed(2), deviation.toFixed(2), `${(100 * least).toFixed(2)} %`, published[members] ?? ''].join(' | ')} |`,
    );
    return result;
  });
  save(settings, 'dissemination', disseminationFigure(results));
  keep(settings, 'dissemination', results);
}

function merge(settings: Settings, broken: string[]): void {
  const result = measureMerge(128, settings.seed, 5, settings.neighbours ?? Infinity);
  const seconds = result.seconds.map((value) => value.toFixed(1)).join(', ');
  console.log(
    `\nTwo halves of ${result.members}, apart for ${result.splitSeconds} s: whole again after ${seconds} s, ${result.deaths} called dead over it`,
  );
  if (result.deaths > 0) broken.push('members were called dead while two halves merged');
  save(settings, 'merge', mergeFigure(result));
  keep(settings, 'merge', result);
}

async function lifeguard(settings: Settings, broken: string[]): Promise<void> {
  const { seed, processingMs, neighbours, grid, configurations, out, workers } = settings;
  const cells = cellsOf({ seed, processingMs, neighbours, size: grid, configurations });
  console.log(`\nLifeguard: ${cells.length} runs, ${grid} grid, seed ${seed}, ${processingMs * 1000} µs a message`);
  const began = performance.now();
  const done = await runAll(cells, join(out, 'cells.jsonl'), workers, (count, of) => {
    if (count % 20 === 0) console.log(`  ${count} of ${of}, ${((performance.now() - began) / 60_000).toFixed(1)} min`);
  });
  const rows = rowsOf(done, seed);
  console.log(`\n${tableOf(rows)}`);
  save(settings, 'false-positives', falsePositivesFigure(rows));
  save(settings, 'detection', detectionFigure(done));
  keep(settings, 'lifeguard', rows);
  const swim = rows.find(({ configuration }) => configuration === 'SWIM');
  const whole = rows.find(({ configuration }) => configuration === 'Lifeguard');
  if (swim === undefined || whole === undefined) return;
  const reduction = swim.falsePositives / whole.falsePositives;
  const [swimMedian = Number.NaN, median = Number.NaN] = [swim.first[0], whole.first[0]];
  console.log(
    `\nLifeguard against SWIM: ${reduction.toFixed(1)} times fewer false positives, first detection ${median.toFixed(2)} s against ${swimMedian.toFixed(2)} s`,
  );
  if (!(reduction >= LEAST_REDUCTION)) broken.push(`false positives are not ${LEAST_REDUCTION} times fewer`);
  if (!(Math.abs(median / swimMedian - 1) <= MOST_MEDIAN_DIFFERENCE)) broken.push('detection takes another time');
}

function save({ figures }: Settings, name: string, svg: string): void {
  writeFileSync(join(figures, `gossip-${name}.svg`), svg);
}

function keep({ out, seed, grid, processingMs }: Settings, name: string, results: unknown): void {
  writeFileSync(join(out, `${name}.json`), `${JSON.stringify({ seed, grid, processingMs, results }, null, 2)}\n`);
}
