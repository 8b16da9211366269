/** Makes a failing plan small: fewer faults, clients, operations, nodes and less time, as long as it fails in the same way. */
import { ClusterSimulation, SimulationFailure } from './cluster-simulation.ts';
import { COORDINATION_KINDS, cutPlan, type Cut, type Plan } from './plan.ts';

export interface Shrunk {
  readonly cut: Cut;
  readonly failure: SimulationFailure;
  /** Runs that it took. */
  readonly runs: number;
}

/** `expired` ends the search early, with what has been found so far. */
export async function shrink(plan: Plan, failure: SimulationFailure, expired: () => boolean): Promise<Shrunk> {
  const kind = kindOf(failure);
  let best: Cut = {};
  let bestFailure = failure;
  let runs = 0;
  const fails = async (cut: Cut): Promise<boolean> => {
    if (expired()) return false;
    runs++;
    const outcome = await failureOf(cutPlan(plan, cut));
    if (outcome === null || kindOf(outcome) !== kind) return false;
    best = cut;
    bestFailure = outcome;
    return true;
  };

  // Less time: what fails late in the calm fails because of something early.
  for (let ms = plan.stormMs / 2; ms >= 250; ms /= 2) {
    if (!(await fails({ ...best, stormMs: ms }))) break;
  }
  // Delta debugging (Zeller and Hildebrandt, TSE 2002): parts of the faults, ever smaller.
  let kept = cutPlan(plan, best).faults.map(({ number }) => number);
  if (kept.length > 0 && (await fails({ ...best, faults: [] }))) kept = [];
  for (let size = Math.ceil(kept.length / 2); kept.length > 0 && !expired();) {
    let removed = false;
    for (let at = 0; at < kept.length;) {
      const without = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (await fails({ ...best, faults: without })) {
        kept = without;
        removed = true;
      } else at += size;
    }
    if (size === 1 && !removed) break;
    size = Math.max(1, removed ? Math.min(size, kept.length) : size >> 1);
  }
  let kinds: readonly string[] = COORDINATION_KINDS.filter((kind) => plan.coordination[kind] > 0);
  for (const kind of kinds) {
    const without = kinds.filter((one) => one !== kind);
    if (await fails({ ...best, kinds: without })) kinds = without;
  }
  for (let clients = plan.clients - 1; clients >= 1; clients--) {
    if (!(await fails({ ...best, clients }))) break;
  }
  for (let operations = 256; operations >= 1; operations >>= 1) {
    if (!(await fails({ ...best, operations })) && operations < 256) break;
  }
  for (const nodes of [1, 2, 3]) {
    if (nodes < plan.nodes && (await fails({ ...best, nodes }))) break;
  }
  return { cut: best, failure: bestFailure, runs };
}

async function failureOf(plan: Plan): Promise<SimulationFailure | null> {
  try {
    await new ClusterSimulation(plan).run();
    return null;
  } catch (error) {
    if (error instanceof SimulationFailure) return error;
    throw error;
  }
}

/** The first words of what is wrong, without numbers and names. */
function kindOf({ cause }: SimulationFailure): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return (message.split('\n', 1)[0] ?? '').replaceAll(/[\d.]+/g, '#').slice(0, 60);
}

/** How a cut is written on the command line. */
export function cutArguments({ nodes, clients, operations, stormMs, kinds, faults }: Cut): string {
  const given = Object.entries({
    nodes,
    clients,
    operations,
    'storm-ms': stormMs,
    kinds: kinds?.join(','),
    faults: faults?.join(','),
  });
  return given.map(([name, value]) => (value === undefined ? '' : ` --${name}=${value}`)).join('');
}
