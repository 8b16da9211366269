/** One defect on trial: put in, shown to all who may notice it, taken out. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { simulators, TESTS, type Catcher, type Outcome, type Seeds } from './catchers.ts';
import { run } from './process.ts';
import type { Tree } from './tree.ts';
import { editsOf, type Defect, type Room } from './types.ts';

/** A catcher that takes this many times as long as without the defect hangs. */
const PATIENCE = 8;
const LEAST_LIMIT_SECONDS = 40;

export interface Plan {
  readonly seeds: Seeds;
  readonly simulatorOnly: boolean;
}

export interface Verdict {
  readonly name: string;
  readonly room: Room;
  readonly about: string;
  readonly status: 'caught' | 'survived' | 'broken';
  /** Catcher, and the test or violation. */
  readonly caughtBy: string | null;
  readonly detail: string;
  /** Until it was caught. */
  readonly seconds: number;
  /** The simulator that found it, how many seeds that took; null when it did not, or there is none. */
  readonly simulator: { readonly name: string; readonly seeds: number | null; readonly seconds: number } | null;
  /** Seeds run in vain, by simulator. */
  readonly inVain: Readonly<Record<string, number>>;
}

/** Seconds that each catcher takes without a defect. Throws when one fails then: it could prove nothing. */
export async function calibrate(
  tree: Tree,
  rooms: readonly Room[],
  plan: Plan,
  told: (line: string) => void,
): Promise<Map<string, number>> {
  const baseline = new Map<string, number>();
  for (const catcher of new Map(
    rooms.flatMap((room) => catchersOf(room, plan)).map((one) => [one.name, one]),
  ).values()) {
    let outcome = await catcher.run(tree.path, 600);
    if (outcome.verdict !== 'passed') outcome = await catcher.run(tree.path, 600);
    const { verdict, seconds, detail } = outcome;
    if (verdict !== 'passed') throw new Error(`without any defect, ${catcher.name}: ${verdict}: ${detail}`);
    told(`${catcher.name}: ${seconds.toFixed(1)} s without a defect`);
    baseline.set(catcher.name, seconds);
  }
  return baseline;
}

function catchersOf(room: Room, { seeds, simulatorOnly }: Plan): readonly Catcher[] {
  return [...(simulatorOnly ? [] : TESTS[room]), ...simulators(room, seeds)];
}

/** Whether all changed files still load: a defect that does not is no proof of anything. Null: they do. */
async function loads(tree: Tree, defect: Defect): Promise<string | null> {
  const urls = editsOf(defect).map(({ file }) => pathToFileURL(join(tree.path, file)).href);
  const script = urls.map((url) => `await import(${JSON.stringify(url)});`).join('');
  const { code, output } = await run(process.execPath, ['--input-type=module', '-e', script], tree.path, 30);
  return code === 0 ? null : output.slice(0, 300);
}

export async function judge(
  tree: Tree,
  defect: Defect,
  plan: Plan,
  baseline: ReadonlyMap<string, number>,
): Promise<Verdict> {
  const { name, room, about } = defect;
  const restore = tree.apply(editsOf(defect));
  try {
    const inVain: Record<string, number> = {};
    const verdict = { name, room, about, simulator: null, inVain, caughtBy: null, detail: '', seconds: 0 };
    const problem = await loads(tree, defect);
    if (problem !== null) return { ...verdict, status: 'broken', detail: problem };
    const ask = (catcher: Catcher): Promise<Outcome> =>
      catcher.run(tree.path, Math.max(LEAST_LIMIT_SECONDS, PATIENCE * (baseline.get(catcher.name) ?? 0)));

    let seconds = 0;
    let caught: { by: string; detail: string; seconds: number } | null = null;
    for (const catcher of plan.simulatorOnly ? [] : TESTS[room]) {
      const outcome = await ask(catcher);
      seconds += outcome.seconds;
      if (outcome.verdict === 'broken') return { ...verdict, status: 'broken', detail: outcome.detail };
      if (outcome.verdict === 'passed') continue;
      caught = { by: catcher.name, detail: outcome.detail, seconds };
      break;
    }
    let simulator: Verdict['simulator'] = null;
    for (const catcher of simulators(room, plan.seeds)) {
      const outcome = await ask(catcher);
      seconds += outcome.seconds;
      if (outcome.verdict === 'broken') return { ...verdict, status: 'broken', detail: outcome.detail };
      if (outcome.verdict === 'passed') {
        inVain[catcher.name] = outcome.seeds ?? 0;
        continue;
      }
      simulator = { name: catcher.name, seeds: outcome.seeds, seconds: outcome.seconds };
      caught ??= { by: catcher.name, detail: outcome.detail, seconds };
      break;
    }
    if (caught === null) return { ...verdict, status: 'survived', seconds };
    return {
      ...verdict,
      status: 'caught',
      caughtBy: caught.by,
      detail: caught.detail,
      seconds: caught.seconds,
      simulator,
    };
  } finally {
    restore();
  }
}
