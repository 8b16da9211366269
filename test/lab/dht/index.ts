/**
 *   npm run lab -- dht [--seed N] [--out DIR] [--grid small|full] [--only hops,dead,growth,churn,liars]
 *
 * Look-ups of the DHT core in networks on virtual time, held against the figures of a baseline: hops and requests, dead contacts, networks that grew, nodes that come and go, peers that
 * lie. Prints tables, writes pictures into DIR, and exits with 2 when a gate does not hold.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { churn } from './churn.ts';
import { dead } from './dead.ts';
import { tableOf } from './figure.ts';
import type { Report } from './figure.ts';
import { growth } from './growth.ts';
import { hops } from './hops.ts';
import { liars } from './liars.ts';

const USAGE = `Usage: npm run lab -- dht [options]

  --seed N      every figure follows from it; default 1
  --out DIR     where the pictures go; default docs/figures
  --grid SIZE   full: up to 10,000 nodes and 1,000 look-ups a figure, ten minutes; small: two. Default full
  --only NAMES  some of hops, dead, growth, churn, liars, separated by commas`;

interface Grid {
  readonly lookups: number;
  readonly nodes: number;
  readonly growth: readonly number[];
  readonly churnNodes: number;
  readonly churnMediansMin: readonly number[];
  readonly churnMeasureMin: number;
  readonly liarsNodes: number;
  readonly liarsLookups: number;
}

const GRIDS: Readonly<Record<string, Grid>> = {
  full: {
    lookups: 1_000,
    nodes: 10_000,
    growth: [1_000, 10_000],
    churnNodes: 500,
    churnMediansMin: [10, 20, 60],
    churnMeasureMin: 20,
    liarsNodes: 2_000,
    liarsLookups: 500,
  },
  small: {
    lookups: 200,
    nodes: 1_000,
    growth: [500],
    churnNodes: 200,
    churnMediansMin: [10, 60],
    churnMeasureMin: 15,
    liarsNodes: 1_000,
    liarsLookups: 200,
  },
};

export async function run(args: readonly string[]): Promise<number> {
  const options = parsed(args);
  if (options === null) {
    console.log(USAGE);
    return args.includes('--help') ? 0 : 1;
  }
  const { seed, out, grid, only } = options;
  const experiments: Readonly<Record<string, () => Report>> = {
    hops: () => hops(seed, grid.lookups),
    dead: () => dead(seed, grid.nodes, grid.lookups),
    growth: () => growth(seed, grid.growth, grid.lookups),
    churn: () => churn(seed, grid.churnNodes, grid.churnMediansMin, grid.churnMeasureMin),
    liars: () => liars(seed, grid.liarsNodes, grid.liarsLookups),
  };
  const names = only ?? Object.keys(experiments);
  const unknown = names.find((name) => !Object.hasOwn(experiments, name));
  if (unknown !== undefined) {
    console.error(`There is no experiment named ${unknown}.\n\n${USAGE}`);
    return 1;
  }
  await mkdir(out, { recursive: true });
  let failed = 0;
  for (const name of names) {
    const before = process.cpuUsage();
    const report = (experiments[name] as () => Report)();
    const { user, system } = process.cpuUsage(before);
    console.log(`\n${report.title}\n\n${tableOf(report.rows)}\n`);
    for (const { what, holds } of report.gates) console.log(`${holds ? 'holds' : 'FAILS'}  ${what}`);
    console.log(`seed ${seed}, ${((user + system) / 1e6).toFixed(0)} s of CPU`);
    failed += report.gates.filter(({ holds }) => !holds).length;
    for (const [file, picture] of Object.entries(report.pictures)) await writeFile(join(out, `${file}.svg`), picture);
  }
  return failed > 0 ? 2 : 0;
}

interface Options {
  readonly seed: number;
  readonly out: string;
  readonly grid: Grid;
  readonly only: readonly string[] | null;
}

function parsed(args: readonly string[]): Options | null {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seed: { type: 'string', default: '1' },
        out: { type: 'string', default: join('docs', 'figures') },
        grid: { type: 'string', default: 'full' },
        only: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    const seed = Number(values.seed);
    const grid = Object.hasOwn(GRIDS, values.grid) ? GRIDS[values.grid] : undefined;
    if (values.help || !Number.isSafeInteger(seed) || seed < 0 || grid === undefined) return null;
    return { seed, out: values.out, grid, only: values.only?.split(',') ?? null };
  } catch (error) {
    console.error((error as Error).message);
    return null;
  }
}
