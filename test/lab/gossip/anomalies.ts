/**
 * The experiments of the Lifeguard paper (Dadgar et al. 2017, §V): 128 agents, some of which are blocked in lock-step. The threshold experiment blocks them
 * once and measures how long it takes until they are called dead; the interval experiment blocks them again and again and counts who else is called dead.
 */
import type { GossipSettings } from '../../../src/gossip/types.ts';
import { Random } from '../../../src/testing/random.ts';
import { GossipSimulation } from './simulation.ts';

export const AGENTS = 128;
const QUIET_MS = 15_000;
const LEAST_MS = 120_000;

export const BLOCKED = [1, 4, 8, 12, 16, 20, 24, 28, 32] as const;
export const DURATIONS_MS = [128, 512, 2048, 8192, 16_384, 32_768] as const;
export const INTERVALS_MS = [1, 4, 16, 64, 256, 1024, 4096, 16_384] as const;
/** Long enough that all that will be detected is: shorter ones would leave out the late. */
const THRESHOLD_MS = 32_768;

export type ConfigurationName = 'SWIM' | 'LHA-Probe' | 'LHA-Suspicion' | 'Buddy' | 'Lifeguard';

const OFF = { lhaProbe: false, lhaSuspicion: false, buddy: false };

export const CONFIGURATIONS: Readonly<Record<ConfigurationName, Partial<GossipSettings>>> = {
  SWIM: OFF,
  'LHA-Probe': { ...OFF, lhaProbe: true },
  'LHA-Suspicion': { ...OFF, lhaSuspicion: true },
  Buddy: { ...OFF, buddy: true },
  Lifeguard: { lhaProbe: true, lhaSuspicion: true, buddy: true },
};

export interface Cell {
  readonly experiment: 'interval' | 'threshold';
  readonly configuration: ConfigurationName;
  /** Agents that are blocked (C). */
  readonly blocked: number;
  /** D. */
  readonly durationMs: number;
  /** I; 0 in the threshold experiment. */
  readonly intervalMs: number;
  readonly repeat: number;
  readonly seed: number;
  /** What an agent takes for each message that waited while it was blocked. */
  readonly processingMs: number;
  /** Of an agent; null: all. */
  readonly neighbours: number | null;
}

export interface CellResult {
  /** Agents that were never blocked and are called dead: how often by whomever, and by those that were never blocked either. */
  readonly falsePositives: number;
  readonly falsePositivesAtHealthy: number;
  /** Of each blocked agent, from the block: until the first healthy one calls it dead, and until all of them do. */
  readonly firstMs: readonly number[];
  readonly fullMs: readonly number[];
  readonly events: number;
}

export function runCell(cell: Cell): CellResult {
  const { blocked, durationMs, intervalMs } = cell;
  let falsePositives = 0;
  let falsePositivesAtHealthy = 0;
  const slow = new Map<string, number[]>();
  const sim = new GossipSimulation({
    nodes: AGENTS,
    seed: seedOf(cell),
    processingMs: cell.processingMs,
    settings: {
      ...CONFIGURATIONS[cell.configuration],
      neighbours: cell.neighbours ?? Infinity,
      suspicionMultiplier: 5,
      suspicionMaxMultiplier: 6,
      // What Lifeguard does not have: it would not be the paper's set-up.
      stallMs: Infinity,
    },
    onMember: (node, { event, id }, nowMs) => {
      if (event !== 'dead') return;
      const isHealthy = node.index >= blocked;
      const calledMs = slow.get(id);
      if (calledMs === undefined) {
        falsePositives++;
        if (isHealthy) falsePositivesAtHealthy++;
      } else if (isHealthy) calledMs.push(nowMs - QUIET_MS);
    },
  });
  for (const node of sim.nodes.slice(0, blocked)) slow.set(node.id, []);
  sim.run(QUIET_MS);
  const block = (): void => {
    for (let i = 0; i < blocked; i++) sim.block(i, sim.nowMs + durationMs);
    sim.run(sim.nowMs + durationMs);
  };
  if (cell.experiment === 'threshold') block();
  else {
    // Whole cycles, the last of which ends after the least time.
    while (sim.nowMs < QUIET_MS + LEAST_MS) {
      block();
      sim.run(sim.nowMs + intervalMs);
    }
  }
  const healthy = AGENTS - blocked;
  const called = [...slow.values()];
  return {
    falsePositives,
    falsePositivesAtHealthy,
    firstMs: called.flatMap(([first]) => first ?? []),
    fullMs: called.filter(({ length }) => length >= healthy).map((times) => times[healthy - 1] ?? Number.NaN),
    events: sim.events,
  };
}

/** The same for all configurations, so that they are compared on the same cluster, phases and network. */
function seedOf({ seed, blocked, durationMs, intervalMs, repeat }: Cell): number {
  const random = new Random(seed);
  let mixed = random.uint32();
  for (const part of [blocked, durationMs, intervalMs, repeat]) mixed = new Random(mixed * 65_536 + part).uint32();
  return mixed;
}

export interface Grid {
  readonly seed: number;
  readonly processingMs: number;
  /** Null: all. Default null. */
  readonly neighbours?: number | null;
  readonly size: 'small' | 'full';
  readonly configurations: readonly ConfigurationName[];
}

/**
 * `full`: the paper's, ten repeats of each. `small`: each pair of duration and interval once, with a number of blocked agents that is drawn for it, and three
 * repeats of the threshold experiment. All configurations have the same.
 */
export function cellsOf({ seed, processingMs, neighbours = null, size, configurations }: Grid): Cell[] {
  const random = new Random(seed);
  const cells: Cell[] = [];
  const add = (cell: Pick<Cell, 'experiment' | 'blocked' | 'durationMs' | 'intervalMs' | 'repeat'>): void => {
    for (const configuration of configurations) cells.push({ ...cell, configuration, seed, processingMs, neighbours });
  };
  const thresholdRepeats = size === 'full' ? 10 : 3;
  for (const blocked of BLOCKED) {
    for (let repeat = 0; repeat < thresholdRepeats; repeat++) {
      add({ experiment: 'threshold', blocked, durationMs: THRESHOLD_MS, intervalMs: 0, repeat });
    }
  }
  for (const durationMs of DURATIONS_MS) {
    for (const intervalMs of INTERVALS_MS) {
      if (size === 'small') {
        add({ experiment: 'interval', blocked: random.pick(BLOCKED), durationMs, intervalMs, repeat: 0 });
        continue;
      }
      for (const blocked of BLOCKED) {
        for (let repeat = 0; repeat < 10; repeat++) {
          add({ experiment: 'interval', blocked, durationMs, intervalMs, repeat });
        }
      }
    }
  }
  return cells;
}
