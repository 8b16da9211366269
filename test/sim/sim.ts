/**
 *   npm run sim                                     as many seeds as a minute allows
 *   npm run sim -- --seeds 1000 [--from S] [--minutes M] [--jobs J] [--layer cluster|core|both]
 *   npm run sim -- --churn 72h [--from S]            so many hours of steady use: does anything grow?
 *   npm run sim -- --seed N [--grid]                replays one, step by step with --grid; with what shrinking printed: --faults=3,9 --clients=1 …
 *
 * Exits 0 when nothing was found, 2 when something was, 1 when it was called wrongly or is broken itself.
 */
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { addTotals, noTotals, type Failure, type Layer, type Totals } from './batch.ts';
import { Churn } from './churn.ts';
import { ClusterSimulation, SimulationFailure } from './cluster-simulation.ts';
import { cutPlan, drawPlan, type Cut } from './plan.ts';
import { cutArguments, shrink } from './shrink.ts';
import type { Answer, Task } from './sim-worker.ts';
import { Simulation, SimulationFailure as CoreFailure } from './simulation.ts';

const USAGE = `Usage: npm run sim -- [options]

  --seeds N        seeds to run (default: until --minutes are over)
  --from S         the first of them (default: a random one, which is printed)
  --minutes M      stop after so many minutes (default: 1 without --seeds, else no limit)
  --layer L        cluster: whole nodes; core: Raft cores alone; both (default)
  --jobs J         workers (default: one a processor)
  --keep-going     go on after a failure
  --churn 72h      run so many simulated hours of steady use, and tell what was stored and remembered
  --seed N         run one seed of the cluster layer (or of the core: --layer core) and tell about it
    --grid         every event with the state of all nodes beside it
    --nodes, --clients, --operations, --storm-ms, --kinds=locks,leases, --faults=1,2,3: only a part of its plan`;

const SHRINK_MS = 120_000;

function usage(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(1);
}

const { values } = (() => {
  try {
    return parseArgs({
      options: {
        seeds: { type: 'string' },
        from: { type: 'string' },
        minutes: { type: 'string' },
        layer: { type: 'string', default: 'both' },
        jobs: { type: 'string' },
        'keep-going': { type: 'boolean', default: false },
        churn: { type: 'string' },
        seed: { type: 'string' },
        grid: { type: 'boolean', default: false },
        nodes: { type: 'string' },
        clients: { type: 'string' },
        operations: { type: 'string' },
        'storm-ms': { type: 'string' },
        kinds: { type: 'string' },
        faults: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
})();

function number(name: string, text: string | undefined, least = 0): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value < least) usage(`--${name} must be a number of at least ${least}, not ${text}`);
  return value;
}

if (values.help) {
  console.log(USAGE);
} else if (values.churn !== undefined) {
  process.exitCode = await churn(values.churn);
} else if (values.seed === undefined) {
  process.exitCode = await many();
} else {
  process.exitCode = await one(number('seed', values.seed) ?? 0);
}

// Days.

async function churn(text: string): Promise<number> {
  const hours = number('churn', text.replace(/h$/, ''), 1) ?? 1;
  const seed = number('from', values.from) ?? 1;
  try {
    const report = await new Churn(seed).run(hours, (line) => console.log(line));
    console.log(report);
    return 0;
  } catch (error) {
    console.error(error);
    return 2;
  }
}

// One seed.

async function one(seed: number): Promise<number> {
  const write = values.grid ? (line: string) => console.log(line) : null;
  try {
    if (values.layer === 'core') console.log(new Simulation(seed, write).run());
    else console.log(await new ClusterSimulation(cutPlan(drawPlan(seed), givenCut()), write).run());
    return 0;
  } catch (error) {
    if (!(error instanceof SimulationFailure || error instanceof CoreFailure)) throw error;
    console.error(error.message);
    return 2;
  }
}

function givenCut(): Cut {
  const { faults, kinds } = values;
  return {
    nodes: number('nodes', values.nodes, 1),
    clients: number('clients', values.clients, 1),
    operations: number('operations', values.operations),
    stormMs: number('storm-ms', values['storm-ms']),
    kinds: kinds?.split(',').filter(Boolean),
    faults: faults === undefined ? undefined : faults.split(',').filter(Boolean).map(Number),
  };
}

// Many.

async function many(): Promise<number> {
  const count = number('seeds', values.seeds, 1) ?? Infinity;
  const minutes = number('minutes', values.minutes) ?? (count === Infinity ? 1 : Infinity);
  // The one place where chance comes in: it is printed, and a failure prints its own seed.
  const from = number('from', values.from) ?? 1_000_000 + Math.floor(Math.random() * 1_000_000_000);
  const jobs = number('jobs', values.jobs, 1) ?? availableParallelism();
  const layers: Layer[] = values.layer === 'both' ? ['cluster', 'core'] : [layerOf(values.layer)];
  const began = performance.now();
  const deadline = began + minutes * 60_000;
  const totals: Record<Layer, Totals> = { cluster: noTotals(), core: noTotals() };
  const failures: Failure[] = [];
  let next = 0;
  console.log(
    `seeds from ${from}, ${count === Infinity ? `for ${minutes} min` : `${count} of them`}, ${jobs} workers, commit ${commit()}`,
  );

  const nextTask = (): Task | null => {
    const index = Math.floor(next / layers.length);
    if (index >= count || performance.now() > deadline) return null;
    if (failures.length > 0 && !values['keep-going']) return null;
    const layer = layers[next % layers.length] as Layer;
    next++;
    return { layer, seed: from + index };
  };
  await Promise.all(Array.from({ length: Math.min(jobs, count * layers.length) }, () => work(nextTask, done)));
  function done({ layer, seed, outcome }: Answer): void {
    if ('message' in outcome) {
      failures.push(outcome);
      console.error(`\n${layer}: ${outcome.message}\nreplay: npm run sim -- --layer ${layer} --seed ${seed} --grid`);
    } else addTotals(totals[layer], outcome);
  }

  const wallMs = performance.now() - began;
  for (const layer of layers) report(layer, totals[layer], jobs);
  console.log(
    `\n${failures.length === 0 ? 'nothing found' : `${failures.length} failures`} in ${(wallMs / 60_000).toFixed(1)} min`,
  );
  const first = failures.find(({ layer }) => layer === 'cluster');
  if (first !== undefined) await tellSmallest(first);
  return failures.length === 0 ? 0 : 2;
}

function layerOf(text: string): Layer {
  if (text === 'cluster' || text === 'core') return text;
  return usage(`--layer is cluster, core or both, not ${text}`);
}

/** Keeps one worker busy until there is nothing more to do. */
function work(nextTask: () => Task | null, done: (answer: Answer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./sim-worker.ts', import.meta.url));
    const give = (): void => {
      const task = nextTask();
      if (task === null) void worker.terminate();
      else worker.postMessage(task);
    };
    worker.on('message', (answer: Answer) => {
      done(answer);
      give();
    });
    worker.on('error', reject);
    worker.on('exit', () => resolve());
    give();
  });
}

function report(layer: Layer, totals: Totals, jobs: number): void {
  const { seeds, virtualMs, wallMs, ok, failed, unknown, elections, snapshots, faults, sightings, calmMs } = totals;
  const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
  // Each worker's own time, so that one that waited for the last seed of another does not count.
  const speed = wallMs === 0 ? 0 : (virtualMs / wallMs) * jobs;
  console.log(`\n${layer === 'cluster' ? 'whole clusters' : 'Raft cores'}: ${whole(seeds)} seeds`);
  console.log(`  ${whole(virtualMs / 60_000)} simulated minutes, ${whole(speed)} a wall minute with ${jobs} workers`);
  const refused = layer === 'cluster' ? `, ${whole(failed)} refused, ${whole(unknown)} without an answer` : '';
  console.log(`  ${whole(ok)} operations acknowledged${refused}`);
  console.log(`  ${whole(elections)} elections, ${whole(snapshots)} snapshots installed`);
  const list = (counts: Record<string, number>): string =>
    Object.entries(counts)
      .toSorted(([, a], [, b]) => b - a)
      .map(([what, times]) => `${what} ${whole(times)}`)
      .join(', ') || 'none';
  console.log(`  faults: ${list(faults)}`);
  if (layer === 'cluster') console.log(`  whole again after ${whole(calmMs)} ms of calm at most`);
  console.log(`  reached: ${list(sightings)}`);
}

async function tellSmallest({ seed }: Failure): Promise<void> {
  const plan = drawPlan(seed);
  const deadline = performance.now() + SHRINK_MS;
  console.log(`\nshrinking seed ${seed}, at most ${SHRINK_MS / 60_000} min`);
  try {
    await new ClusterSimulation(plan).run();
    console.log('it does not fail again: chance came in from somewhere, which is a bug of the simulator');
  } catch (error) {
    if (!(error instanceof SimulationFailure)) throw error;
    const { cut, failure, runs } = await shrink(plan, error, () => performance.now() > deadline);
    console.log(`after ${runs} runs: ${failure.message}`);
    console.log(`replay: npm run sim -- --seed ${seed}${cutArguments(cut)} --grid`);
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}
