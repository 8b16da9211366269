/** What may notice a defect: unit tests by room, and the simulators. A catcher says *caught* only for a failed assertion, never for code that does not load. */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run, type Finished } from './process.ts';
import type { Room } from './types.ts';

export interface Outcome {
  readonly verdict: 'caught' | 'passed' | 'broken';
  readonly seconds: number;
  /** Caught: the test or the violation. Broken: what went wrong instead. */
  readonly detail: string;
  /** Simulators: seeds run, the failing one included. */
  readonly seeds: number | null;
}

export interface Catcher {
  readonly name: string;
  readonly simulator: boolean;
  run(tree: string, limitSeconds: number): Promise<Outcome>;
}

export interface Seeds {
  readonly core: number;
  readonly cluster: number;
}

const node = process.execPath;
/** Of tests whose failure does not come again. */
const MAX_TRIES = 3;

/** Of vitest's JSON report. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

function timedOut(finished: Finished, what: string): Outcome {
  return { verdict: 'caught', seconds: finished.seconds, detail: `time-out: ${what} does not end`, seeds: null };
}

function lastLine(output: string): string {
  return output.trimEnd().split('\n').at(-1) ?? '';
}

function shortened(text: string): string {
  return text.slice(0, 300);
}

function vitest(name: string, project: 'unit' | 'sim', paths: readonly string[]): Catcher {
  const runTests = async (tree: string, limitSeconds: number, only: readonly string[]): Promise<Outcome> => {
    const file = join(tree, `vitest-${name.replaceAll(/\W+/g, '-')}.json`);
    await rm(file, { force: true });
    const reporters = ['--reporter=json', `--outputFile=${file}`];
    const program = join(tree, 'node_modules/vitest/vitest.mjs');
    const args = [program, 'run', '--project', project, '--bail', '1', ...reporters, ...only];
    const finished = await run(node, args, tree, limitSeconds);
    if (finished.timedOut) return timedOut(finished, name);
    const { code, seconds } = finished;
    if (code === 0) return { verdict: 'passed', seconds, detail: '', seeds: null };
    const report = existsSync(file) ? (JSON.parse(await readFile(file, 'utf8')) as Report) : null;
    for (const { name: path, assertionResults } of report?.testResults ?? []) {
      const failed = assertionResults.find(({ status }) => status === 'failed');
      if (failed === undefined) continue;
      const where = path.slice(path.indexOf('/test/') + 1);
      return { verdict: 'caught', seconds, detail: `${where}: ${failed.fullName}`, seeds: null };
    }
    const suite = report?.testResults.find(({ message }) => message !== '');
    if (report !== null && suite === undefined && finished.output.includes('Unhandled')) {
      return { verdict: 'caught', seconds, detail: `${name}: an error that no test awaits`, seeds: null };
    }
    return { verdict: 'broken', seconds, detail: shortened(suite?.message ?? lastLine(finished.output)), seeds: null };
  };
  return {
    name,
    simulator: false,
    async run(tree, limitSeconds) {
      let seconds = 0;
      for (let tries = 0; ; tries++) {
        const outcome = await runTests(tree, limitSeconds, paths);
        seconds += outcome.seconds;
        const file = /^test\/\S+\.ts(?=:)/.exec(outcome.detail)?.[0];
        if (outcome.verdict !== 'caught' || file === undefined) return { ...outcome, seconds };
        // A test that fails once on a busy machine is no proof, and hid those behind it: its file must fail again, by itself.
        const again = await runTests(tree, limitSeconds, [file]);
        seconds += again.seconds;
        if (again.verdict !== 'passed') return { ...outcome, seconds };
        if (tries === MAX_TRIES - 1) return { ...again, seconds };
      }
    },
  };
}

/** The loop over seeds in `seeds.ts`: exit code 2 and a last line of JSON for a violation. */
function seeds(name: 'core' | 'cluster', count: number): Catcher {
  return {
    name: `${name} simulator`,
    simulator: true,
    async run(tree, limitSeconds) {
      const args = [join(tree, 'test/mutants/seeds.ts'), name, '--seeds', String(count)];
      const finished = await run(node, args, tree, limitSeconds);
      if (finished.timedOut) return timedOut(finished, `the ${name} simulator`);
      const { code, seconds } = finished;
      const line = lastLine(finished.output);
      if ((code !== 0 && code !== 2 && code !== 13) || !line.startsWith('{')) {
        return { verdict: 'broken', seconds, detail: shortened(line), seeds: null };
      }
      const told = JSON.parse(line) as { seeds: number; seed: number | null; message: string | null };
      if (code === 0) return { verdict: 'passed', seconds, detail: '', seeds: told.seeds };
      return { verdict: 'caught', seconds, detail: `seed ${told.seed}: ${told.message}`, seeds: told.seeds };
    },
  };
}

const raftTests = vitest('raft tests', 'unit', ['test/raft/', 'test/invariants/']);
const machineTests = vitest('machine tests', 'unit', ['test/machine/', 'test/kv/', 'test/lock/']);
const storageTests = vitest('storage tests', 'unit', ['test/storage/']);
const nodeTests = vitest('node tests', 'unit', ['test/node/']);
const transportTests = vitest('transport tests', 'unit', ['test/transport/']);
const admissionTests = vitest('admission tests', 'unit', [
  'test/transport/admission',
  'test/node/admission',
  'test/node/bootstrap-decision',
  'test/node/wire',
]);
const gossipTests = vitest('gossip tests', 'unit', ['test/gossip/']);
const gossipDriverTests = vitest('gossip of nodes', 'unit', ['test/node/gossip/']);
const membersTests = vitest('members tests', 'unit', [
  'test/node/membership/',
  'test/node/admission',
  'test/node/agents',
  'test/transport/admission',
  'test/transport/join-token',
]);
const crashTests = vitest('scenarios crashed at every step', 'sim', ['test/sim/crash']);

/** Tests without a simulator, cheapest first. */
export const TESTS: Readonly<Record<Room, readonly Catcher[]>> = {
  raft: [raftTests, crashTests, nodeTests],
  machine: [machineTests, nodeTests],
  storage: [storageTests, nodeTests],
  replica: [nodeTests],
  transport: [admissionTests, transportTests, nodeTests],
  gossip: [gossipTests, gossipDriverTests],
  members: [membersTests, nodeTests],
};

/** The Raft cores alone, then whole nodes with clients whose history is judged. */
export function simulators(room: Room, { core, cluster }: Seeds): readonly Catcher[] {
  // Gossip has simulations of its own, among its tests.
  if (room === 'gossip') return [];
  const whole = cluster > 0 ? [seeds('cluster', cluster)] : [];
  return room === 'raft' && core > 0 ? [seeds('core', core), ...whole] : whole;
}
