/** Many seeds, one after the other: what a worker of the command does, and what the tests do. */
import { ClusterSimulation, SimulationFailure, type SimulationReport } from './cluster-simulation.ts';
import { drawPlan } from './plan.ts';
import { Simulation, SimulationFailure as CoreFailure, type SimulationReport as CoreReport } from './simulation.ts';

/** Whole nodes on virtual time, or only the Raft cores with a network that also duplicates and reorders, and configurations with learners and two halves. */
export type Layer = 'cluster' | 'core';

export interface Totals {
  seeds: number;
  virtualMs: number;
  wallMs: number;
  ok: number;
  failed: number;
  unknown: number;
  elections: number;
  snapshots: number;
  faults: Record<string, number>;
  /** How often what is rare was reached. */
  sightings: Record<string, number>;
  /** Virtual milliseconds of calm that the slowest seed needed. */
  calmMs: number;
}

export function noTotals(): Totals {
  return {
    seeds: 0,
    virtualMs: 0,
    wallMs: 0,
    ok: 0,
    failed: 0,
    unknown: 0,
    elections: 0,
    snapshots: 0,
    faults: {},
    sightings: {},
    calmMs: 0,
  };
}

export function addTotals(sum: Totals, more: Totals): void {
  sum.seeds += more.seeds;
  sum.virtualMs += more.virtualMs;
  sum.wallMs += more.wallMs;
  sum.ok += more.ok;
  sum.failed += more.failed;
  sum.unknown += more.unknown;
  sum.elections += more.elections;
  sum.snapshots += more.snapshots;
  for (const [kind, count] of Object.entries(more.faults)) sum.faults[kind] = (sum.faults[kind] ?? 0) + count;
  for (const [what, count] of Object.entries(more.sightings)) sum.sightings[what] = (sum.sightings[what] ?? 0) + count;
  sum.calmMs = Math.max(sum.calmMs, more.calmMs);
}

export interface Failure {
  readonly layer: Layer;
  readonly seed: number;
  readonly message: string;
}

/** Runs one seed of one layer. */
export async function runSeed(layer: Layer, seed: number): Promise<Totals | Failure> {
  const began = performance.now();
  try {
    const totals = layer === 'core' ? ofCore(new Simulation(seed).run()) : ofCluster(await runCluster(seed));
    totals.wallMs = performance.now() - began;
    return totals;
  } catch (error) {
    if (!(error instanceof SimulationFailure || error instanceof CoreFailure)) throw error;
    return { layer, seed, message: error.message };
  }
}

export function runCluster(seed: number): Promise<SimulationReport> {
  return new ClusterSimulation(drawPlan(seed)).run();
}

function ofCluster(report: SimulationReport): Totals {
  const { virtualMs, operations, elections, snapshots, faults, sightings, calmMs } = report;
  return {
    ...noTotals(),
    seeds: 1,
    virtualMs,
    ...operations,
    elections,
    snapshots,
    faults: Object.fromEntries(faults),
    sightings: Object.fromEntries(sightings),
    calmMs,
  };
}

function ofCore(report: CoreReport): Totals {
  const { virtualMs, acknowledged, elections, snapshots, faults, sightings } = report;
  const counts = { faults: { ...faults }, sightings: { ...sightings } };
  return { ...noTotals(), seeds: 1, virtualMs, ok: acknowledged, elections, snapshots, ...counts };
}
