/**
 * `npm run mutation`: Stryker over src/raft with the unit tests of the Raft core. It stops after `--minutes`; what was found is kept in
 * coverage/mutation/, and the next run goes on from there, testing anew only what changed. Exit code 0 when every mutant was tested.
 */
import { Command, InvalidArgumentError } from 'commander';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scoreOf, scoreTable, survivors, type MutationReport } from './score.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RESULTS = join(ROOT, 'coverage/mutation/results.json');
const STRYKER = join(ROOT, 'node_modules/@stryker-mutator/core/bin/stryker.js');
/** For writing down what was found, after the time is over. */
const GRACE_SECONDS = 30;

interface Flags {
  readonly minutes: number;
  readonly concurrency: number;
  readonly fresh: boolean;
  readonly mutate?: string;
  readonly survivors: boolean;
  readonly reportOnly: boolean;
}

function positive(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('a positive number is needed.');
  return value;
}

const flags = new Command('npm run mutation --')
  .description('Mutation score of src/raft under its unit tests.')
  .option('--minutes <n>', 'stop after this time; the next run goes on', positive, 40)
  .option('--concurrency <n>', 'mutants at a time', positive, 2)
  .option('--mutate <glob>', 'other files than all of src/raft, or lines of one (src/raft/log.ts:10-40)')
  .option('--fresh', 'forget what was found before', false)
  .option('--survivors', 'list the mutants that no test noticed', false)
  .option('--report-only', 'run nothing, print what was found before', false)
  .showHelpAfterError('(--help says more)')
  .parse()
  .opts<Flags>();

/** Resolves with whether Stryker came to its end. */
function stryker(): Promise<boolean> {
  const args = [STRYKER, 'run', 'test/mutants/stryker.config.json', '--concurrency', String(flags.concurrency)];
  if (flags.mutate !== undefined) args.push('--mutate', flags.mutate);
  const child = spawn(process.execPath, args, { cwd: ROOT, detached: true, stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => {
    let stopped = false;
    let lastResort: NodeJS.Timeout | undefined;
    const kill = (): void => {
      // The group: its test runners are processes of their own.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    const stop = (): void => {
      if (stopped) return;
      stopped = true;
      child.kill('SIGTERM');
      lastResort = setTimeout(kill, GRACE_SECONDS * 1000);
    };
    const timer = setTimeout(stop, flags.minutes * 60_000);
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      clearTimeout(lastResort);
      try {
        kill();
      } catch {
        // Nobody of the group is left.
      }
      if (code === 0 || stopped) resolve(!stopped);
      else reject(new Error(`Stryker ended with exit code ${code}`));
    });
  });
}

if (flags.fresh && !flags.reportOnly) rmSync(RESULTS, { force: true });
mkdirSync(dirname(RESULTS), { recursive: true });
const complete = flags.reportOnly || (await stryker());
if (!existsSync(RESULTS)) throw new Error('nothing was found yet: the time was too short for the first test run');
const report = JSON.parse(readFileSync(RESULTS, 'utf8')) as MutationReport;
console.log(`\n${scoreTable(report)}`);
if (flags.survivors) console.log(`\n${survivors(report).join('\n')}`);
if (!complete) console.log(`\nstopped after ${flags.minutes} minutes, not all is tested: run it again to go on`);
process.exitCode = complete && scoreOf(report).untested === 0 ? 0 : 1;
