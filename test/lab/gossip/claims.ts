/** What SWIM claims of itself (Das et al. 2002, §3 and §4), at any size; and that halves which were apart for long grow together. */
import { Random } from '../../../src/testing/random.ts';
import { bootstrap, deviation, mean, median, percentile, type Interval } from '../statistics.ts';
import { GossipSimulation } from './simulation.ts';

export const SIZES = [128, 1000, 10_000] as const;

const PERIOD_MS = 1000;
const ROUND_MS = 200;

export interface Load {
  readonly members: number;
  readonly periods: number;
  /** Messages sent in one period, over members. */
  readonly mean: number;
  readonly deviation: number;
}

/** Messages a member a period in calm: a ping and an ack for each probe, whatever the size. */
export function measureLoad(
  members: number,
  seed: number,
  neighbours = Infinity,
): { load: Load; memoryBytesPerPair: number } {
  const before = memory();
  const sim = new GossipSimulation({ nodes: members, seed, settings: { neighbours } });
  const memoryBytesPerPair = (memory() - before) / members ** 2;
  const periods = members >= 10_000 ? 8 : 30;
  const counts: number[] = [];
  // The first period begins at a random phase of each member.
  sim.run(2 * PERIOD_MS);
  let sent = total(sim);
  for (let i = 0; i < periods; i++) {
    sim.run(sim.nowMs + PERIOD_MS);
    counts.push((total(sim) - sent) / members);
    sent = total(sim);
  }
  return { load: { members, periods, mean: mean(counts), deviation: deviation(counts) }, memoryBytesPerPair };
}

export interface Detection {
  readonly members: number;
  /** Members that were crashed. */
  readonly crashes: number;
  /** Protocol periods from the crash until somebody suspects it. */
  readonly mean: number;
  readonly interval: Interval;
  readonly median: number;
  readonly p99: number;
}

/**
 * First detection. `aligned`: periods that all members begin together, as SWIM's analysis has it, and crashes just before one begins: e/(e − 1) periods, the
 * one in which it is found included. Else each has its own phase and crashes come at any time.
 */
export function measureDetection(
  members: number,
  seed: number,
  aligned: boolean,
  least: number,
  neighbours = Infinity,
): Detection {
  const perRun = Math.max(1, Math.floor(members / 25));
  const periods: number[] = [];
  const random = new Random(seed);
  for (let run = 0; periods.length < least; run++) {
    const first = new Map<string, number>();
    const crashedAt = new Map<string, number>();
    const sim = new GossipSimulation({
      nodes: members,
      seed: random.uint32(),
      // What is found is not passed on: only the first to find it is asked for.
      settings: { stagger: !aligned, gossipPeers: 0, neighbours },
      onMember: (_, { event, id }, nowMs) => {
        if (event === 'suspect' && !first.has(id)) first.set(id, nowMs);
      },
    });
    const victims = new Set<number>();
    while (victims.size < perRun) victims.add(random.between(0, members - 1));
    for (const victim of victims) {
      // All at one time would be none the wiser for each other, but a member that probes nobody any more is missed.
      const atMs = aligned ? 3 * PERIOD_MS - 1 : 2 * PERIOD_MS + random.float() * PERIOD_MS;
      sim.at(atMs, () => sim.crash(victim));
      crashedAt.set(sim.node(victim).id, aligned ? 3 * PERIOD_MS : atMs);
    }
    sim.run(3 * PERIOD_MS);
    if (!sim.runUntil(() => first.size === victims.size, 60_000, PERIOD_MS))
      throw new Error('a crash was not detected');
    for (const [id, atMs] of crashedAt) periods.push(((first.get(id) ?? Number.NaN) - atMs) / PERIOD_MS);
  }
  return {
    members,
    crashes: periods.length,
    mean: mean(periods),
    interval: bootstrap(periods, mean, { seed }),
    median: median(periods),
    p99: percentile(periods, 99),
  };
}

export interface Dissemination {
  readonly members: number;
  readonly runs: number;
  /** Rounds until 99 % have heard. */
  readonly mean: number;
  readonly deviation: number;
  /** Share that has heard, by round, over all runs. */
  readonly curve: readonly number[];
  /** Least share that has heard in the end. */
  readonly least: number;
}

/** Rounds of gossip until 99 % have heard: pushed to three members in each, no probes and no exchange of tables. */
export function measureDissemination(
  members: number,
  seed: number,
  runs: number,
  neighbours = Infinity,
): Dissemination {
  let heard = 0;
  const sim = new GossipSimulation({
    nodes: members,
    seed,
    settings: {
      stagger: false,
      probeIntervalMs: 1e9,
      pushPullIntervalMs: 1e9,
      deadRetryIntervalMs: 1e9,
      neighbours,
    },
    onMember: (_, { event }) => {
      if (event === 'updated') heard++;
    },
  });
  const rounds: number[] = [];
  const sums: number[] = [];
  let least = 1;
  for (let run = 0; run < runs; run++) {
    // Long after the last statement has been forgotten. What a member itself has to say goes out at once: that is the first round.
    const beginMs = Math.ceil((sim.nowMs + 10 * ROUND_MS) / ROUND_MS) * ROUND_MS;
    sim.run(beginMs);
    heard = 1;
    sim.act(run, (core) => core.setDetails({ metadata: Uint8Array.of(run) }));
    let needed: number | null = null;
    for (let round = 1; round <= 24; round++) {
      sim.run(beginMs + round * ROUND_MS - 1);
      sums[round] = (sums[round] ?? 0) + heard / members;
      if (needed === null && heard >= 0.99 * members) needed = round;
    }
    if (needed === null) throw new Error('less than 99 % have heard');
    rounds.push(needed);
    least = Math.min(least, heard / members);
  }
  const curve = [1 / members, ...sums.slice(1).map((sum) => sum / runs)];
  return { members, runs, mean: mean(rounds), deviation: deviation(rounds), curve, least };
}

export interface Merge {
  readonly members: number;
  readonly splitSeconds: number;
  /** Until everybody sees everybody alive, seconds, of each run. */
  readonly seconds: readonly number[];
  /** Calls of death after the healing: none is to be. */
  readonly deaths: number;
  /** Alive by member and second after the healing, of the first run. */
  readonly curve: readonly number[];
}

/** Halves that are apart for longer than the dead stay on the list of the active. */
export function measureMerge(members: number, seed: number, runs: number, neighbours = Infinity): Merge {
  const splitSeconds = 600;
  const seconds: number[] = [];
  const curve: number[] = [];
  let deaths = 0;
  for (let run = 0; run < runs; run++) {
    let healed = false;
    const sim = new GossipSimulation({
      nodes: members,
      seed: seed + run,
      settings: { neighbours },
      onMember: (_, { event }) => {
        if (healed && event === 'dead') deaths++;
      },
    });
    sim.run(10_000);
    sim.split(({ index }) => index % 2);
    sim.run(10_000 + splitSeconds * 1000);
    const half = members / 2;
    for (const { core } of sim.nodes) {
      const { alive, dead } = core.stats();
      if (alive !== half || dead !== half) throw new Error('the halves are not apart');
    }
    sim.split(null);
    healed = true;
    const healedMs = sim.nowMs;
    const living = (): number => mean(sim.nodes.map(({ core }) => core.stats().alive));
    if (run === 0) curve.push(living());
    const whole = sim.runUntil(
      () => {
        if (run === 0 && (sim.nowMs - healedMs) % 500 === 0 && sim.nowMs > healedMs) curve.push(living());
        return sim.agrees();
      },
      healedMs + 600_000,
      100,
    );
    if (!whole) throw new Error(`the halves did not merge, seed ${seed + run}`);
    seconds.push((sim.nowMs - healedMs) / 1000);
    if (run === 0) curve.push(living());
    // Whatever comes of it later.
    sim.run(sim.nowMs + 60_000);
  }
  return { members, splitSeconds, seconds, deaths, curve };
}

function total(sim: GossipSimulation): number {
  return sim.nodes.reduce((sum, { sent }) => sum + sent, 0);
}

function memory(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
