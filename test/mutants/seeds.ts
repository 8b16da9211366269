/**
 * `node test/mutants/seeds.ts core|cluster --seeds N [--from S]`: seeds of a simulator, one after the other in this process. Exit code 2 at
 * the first violation. The last line of the output is JSON: `{"seeds": run, "seed": the one that fails or null, "message": why}`.
 */
import { parseArgs } from 'node:util';
import { runCluster } from '../sim/batch.ts';
import { Simulation } from '../sim/simulation.ts';

const SIMULATORS: Readonly<Record<string, (seed: number) => unknown>> = {
  core: (seed) => new Simulation(seed).run(),
  cluster: (seed) => runCluster(seed),
};

const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string', default: '100' }, from: { type: 'string', default: '1' } },
  allowPositionals: true,
});
const simulate = SIMULATORS[positionals[0] ?? ''];
const count = Number(values.seeds);
const from = Number(values.from);
if (simulate === undefined || !(count > 0) || !Number.isSafeInteger(from)) {
  throw new Error('usage: node test/mutants/seeds.ts core|cluster --seeds N [--from S]');
}

function report(seeds: number, seed: number | null, message: string | null): void {
  process.stdout.write(`${JSON.stringify({ seeds, seed, message })}\n`);
}

function fail(at: number, error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  report(at + 1, from + at, (message.split('\n')[0] ?? '').slice(0, 300));
  process.exit(2);
}

let at = 0;
// An error that nobody awaits is one of the code that is simulated.
process.on('uncaughtException', (error) => fail(at, error));
process.on('exit', (code) => {
  if (code === 13) report(at + 1, from + at, 'nothing is left to happen');
});
for (; at < count; at++) {
  try {
    await simulate(from + at);
  } catch (error) {
    fail(at, error);
  }
}
report(count, null, null);
