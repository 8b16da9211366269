/** What one seed decides before the clock starts: the cluster, its limits, and how bad the weather is. Times in virtual ms. */
import type { Configuration, NodeId } from '../../src/raft/types.ts';
import { configuration } from './cluster.ts';
import type { HostOptions } from './cluster.ts';
import type { ReadBack } from './disk.ts';
import type { Random } from '../../src/testing/random.ts';

export const TICK_MS = 10;

export interface Profile {
  readonly ids: readonly NodeId[];
  readonly configuration: Configuration;
  readonly options: Omit<HostOptions, 'random'>;
  readonly readBack: ReadBack;
  /** Length of the safety phase. */
  readonly stormMs: number;
  readonly network: {
    readonly minDelayMs: number;
    readonly maxDelayMs: number;
    readonly loss: number;
    readonly duplication: number;
    /** Chance that a packet comes up to a second late: long after an election. */
    readonly late: number;
    /** Links keep their order, as streams do; otherwise every packet finds its own way. */
    readonly ordered: boolean;
  };
  readonly disk: { readonly minWriteMs: number; readonly maxWriteMs: number };
  /** Mean times between events; Infinity: never. */
  readonly every: {
    readonly proposal: number;
    readonly read: number;
    readonly crash: number;
    readonly partition: number;
    readonly pause: number;
    readonly stall: number;
    readonly compaction: number;
    readonly transfer: number;
    readonly change: number;
    readonly wipe: number;
  };
  /** Chance that a Ready is not taken at once, so that several inputs share one. */
  readonly lazy: number;
}

export function drawProfile(random: Random): Profile {
  const voterCount = random.pick([1, 2, 3, 3, 3, 4, 5, 5, 7]);
  const learnerCount = random.chance(0.3) ? random.between(1, 7 - Math.min(6, voterCount)) : 0;
  const total = Math.min(7, voterCount + learnerCount);
  const ids = Array.from({ length: total }, (_, i) => String(i + 1));
  const voters = ids.slice(0, voterCount);
  const learners = ids.slice(voterCount);
  let initial = configuration(voters, { learners });
  if (voterCount >= 3 && random.chance(0.25)) {
    // Joint: two majorities, overlapping by chance.
    const incoming = voters.filter(() => random.chance(0.7));
    const outgoing = voters.filter((id) => !incoming.includes(id) || random.chance(0.5));
    if (incoming.length > 0 && outgoing.length > 0) {
      initial = configuration(incoming, { votersOutgoing: outgoing, learners, autoLeave: random.chance(0.5) });
    }
  }
  // Most seeds have a mild or rough climate of each kind, some have none of it, so that no fault hides another.
  const rate = (...means: number[]): number => random.pick([Infinity, ...means]);
  const minDelayMs = random.pick([0, 1, 5]);
  return {
    ids,
    configuration: initial,
    options: {
      group: 1,
      electionTicks: 10,
      heartbeatTicks: random.between(1, 3),
      maxAppendBytes: random.pick([1, 40, 200, 65_536]),
      maxInflightMessages: random.pick([1, 2, 4, 64]),
      maxInflightBytes: random.pick([1, 100, 400, 65_536]),
      maxUncommittedBytes: random.pick([1, 200, 1000, 65_536]),
      maxApplyBytes: random.pick([1, 100, 65_536]),
      maxCachedBytes: random.pick([0, 100, 1000, 65_536]),
      leaseReads: random.chance(0.2),
      tickMs: TICK_MS,
      crashHintTicks: random.between(0, 5),
    },
    readBack: random.pick(['staged', 'written']),
    stormMs: random.between(1500, 4000),
    network: {
      minDelayMs,
      maxDelayMs: minDelayMs + random.pick([1, 5, 20, 60]),
      loss: random.pick([0, 0.01, 0.05, 0.2]),
      duplication: random.pick([0, 0.01, 0.1]),
      late: random.pick([0, 0, 0.01, 0.1]),
      ordered: random.chance(0.5),
    },
    disk: { minWriteMs: 0, maxWriteMs: random.pick([0, 2, 10, 60]) },
    every: {
      proposal: random.pick([3, 10, 30]),
      read: random.pick([5, 20, 60]),
      crash: rate(150, 400, 1200),
      partition: rate(150, 400, 1200),
      pause: rate(200, 800),
      stall: rate(200, 800),
      compaction: rate(50, 200),
      transfer: rate(200, 600),
      change: rate(20, 50, 150),
      wipe: rate(600, 2000),
    },
    lazy: random.pick([0, 0.3, 0.8]),
  };
}
