/**
 * `npm run mutants`: puts each seeded defect of `defects/` into a copy of the tree, one at a time, and sees which test or simulator notices
 * it. Exit code 0 only when all are caught. docs/mutants.md has the table.
 */
import { Command, InvalidArgumentError } from 'commander';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { DEFECTS } from './defects/index.ts';
import { killAll } from './process.ts';
import { markdownTable, summary, textTable } from './report.ts';
import { removeTrees, Tree } from './tree.ts';
import { calibrate, judge, type Plan, type Verdict } from './trial.ts';
import type { Defect } from './types.ts';

interface Flags {
  readonly only?: readonly string[];
  readonly room?: string;
  readonly list: boolean;
  readonly simulatorOnly: boolean;
  readonly coreSeeds: number;
  readonly clusterSeeds: number;
  readonly jobs: number;
  readonly committed: boolean;
  readonly resume?: string;
  readonly json: boolean;
  readonly markdown: boolean;
}

function count(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('a whole number is needed.');
  return value;
}

const program = new Command('npm run mutants --')
  .description('Seeded defects, one at a time: which test or simulator notices each?')
  .option('--only <name...>', 'these defects (a name, or a part of one)')
  .option('--room <room>', 'defects of one room: raft, machine, storage, replica, transport, gossip, members')
  .option('--list', 'name the defects and the rules that they break', false)
  .option('--simulator-only', 'ask no unit tests: what do the simulators alone find?', false)
  .option('--core-seeds <n>', 'seeds of the core simulator a defect', count, 300)
  .option('--cluster-seeds <n>', 'seeds of the simulator of whole nodes a defect', count, 30)
  .option('--jobs <n>', 'defects at a time', count, 2)
  .option('--committed', 'copy the last commit instead of the working tree', false)
  .option('--resume <file>', 'write each verdict into this file, and leave out those that it has')
  .option('--json', 'print JSON', false)
  .option('--markdown', 'print the table for docs/mutants.md', false)
  .showHelpAfterError('(--help says more)')
  .parse();
const flags = program.opts<Flags>();

function chosen(): Defect[] {
  const { only, room } = flags;
  const byName = ({ name }: Defect): boolean =>
    only === undefined ||
    only.some((part) => part === name || (!DEFECTS.some((one) => one.name === part) && name.includes(part)));
  return DEFECTS.filter(
    (defect) =>
      byName(defect) &&
      (room === undefined || defect.room === room) &&
      // What no simulator is asked about was not missed by one.
      (!flags.simulatorOnly || defect.room !== 'gossip'),
  );
}

/** Verdicts of an earlier run that was stopped. Whoever changed the source since begins a new file. */
function known(): Verdict[] {
  if (flags.resume === undefined || !existsSync(flags.resume)) return [];
  const lines = readFileSync(flags.resume, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Verdict);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function main(): Promise<number> {
  const defects = chosen();
  if (defects.length === 0) program.error('There is no such defect; --list names them.');
  if (flags.list) {
    for (const { name, room, about } of defects) console.log(`${name} (${room}): ${about}`);
    return 0;
  }
  const plan: Plan = {
    seeds: { core: flags.coreSeeds, cluster: flags.clusterSeeds },
    simulatorOnly: flags.simulatorOnly,
  };
  const startedMs = performance.now();
  const verdicts = new Map<string, Verdict>(known().map((verdict) => [verdict.name, verdict]));
  const waiting = defects.filter(({ name }) => !verdicts.has(name));
  const copies = Math.min(Math.max(1, flags.jobs), waiting.length);
  const trees = Array.from({ length: copies }, () => Tree.copy(flags.committed));
  const rooms = [...new Set(waiting.map(({ room }) => room))];
  const baseline = trees[0] === undefined ? new Map<string, number>() : await calibrate(trees[0], rooms, plan, say);
  await Promise.all(
    trees.map(async (tree) => {
      for (let defect = waiting.shift(); defect !== undefined; defect = waiting.shift()) {
        const verdict = await judge(tree, defect, plan, baseline);
        verdicts.set(defect.name, verdict);
        if (flags.resume !== undefined) appendFileSync(flags.resume, `${JSON.stringify(verdict)}\n`);
        say(`${verdicts.size}/${defects.length} ${textTable([verdict]).split('\n')[1] ?? ''}`);
      }
    }),
  );
  const all = defects.map(({ name }) => verdicts.get(name) as Verdict);
  if (flags.json) console.log(JSON.stringify(all, null, 2));
  else console.log(`\n${flags.markdown ? markdownTable(all) : textTable(all)}`);
  say(`\n${summary(all)}; ${((performance.now() - startedMs) / 60_000).toFixed(1)} minutes`);
  return all.every(({ status }) => status === 'caught') ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    killAll();
    removeTrees();
    process.exit(130);
  });
}
try {
  process.exitCode = await main();
} finally {
  removeTrees();
}
