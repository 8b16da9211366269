/**
 * What one seed decides before the clock starts: the cluster, its limits, its clients, how bad the weather is, and every fault with its
 * time. Rates themselves are drawn (swarm testing: Groce et al., ISSTA 2012), so that some runs have none of a fault and some have lots.
 * Every fault has dice of its own: taking one out leaves the others as they are, and so a failing plan can be shrunk.
 */
import { Random } from '../../src/testing/random.ts';
import { MEMBER_KINDS, type MemberKind } from './member-faults.ts';
import { MOMENTS, type Moment } from './sightings.ts';

export const FAULT_KINDS = [
  'crash',
  'kill',
  'power-out',
  'close',
  'pause',
  'sleep',
  'starve',
  'wipe',
  'disk-stall',
  'disk-slow',
  'disk-eio',
  'disk-full',
  'disk-flip',
  'isolate',
  'halves',
  'ring',
  'bridge',
  'pair',
  'one-way',
  'flap',
  'reset',
  'loss',
  'delay',
  'clock-jump',
  'transfer',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number] | MemberKind;

/** What needs a node's disk to be damaged for good cannot be told from a member that is gone for good, where members come and go. */
const NOT_WITH_CHURN: readonly FaultKind[] = ['wipe', 'disk-flip'];

/** What may happen to a node at a moment; the first ones more often. */
const AT_MOMENTS: readonly FaultKind[] = [
  ...(['crash', 'crash', 'crash', 'isolate', 'isolate', 'pause', 'pause'] as const),
  ...(['kill', 'power-out', 'one-way', 'reset', 'halves', 'starve', 'close', 'transfer'] as const),
  ...(['disk-stall', 'disk-slow', 'disk-eio', 'disk-full'] as const),
];

/** Where a cluster that comes up is hit. */
const AT_BIRTH: readonly Moment[] = ['opening', 'binding', 'adopting', 'candidate'];
/** What makes followers need snapshots, and where those are hit. */
const LAG_MAKERS: readonly FaultKind[] = ['crash', 'isolate', 'pair'];
const BREAKING: readonly FaultKind[] = ['crash', 'crash', 'kill', 'reset', 'isolate', 'close', 'disk-eio', 'pause'];
const AT_SNAPSHOT = MOMENTS.filter((moment) => moment.startsWith('snapshot'));

/** What some seeds look at more closely, for it is rare by itself. */
interface Themes {
  readonly early: boolean;
  readonly lagging: boolean;
  /** Leaders that sleep, and wake up deposed. */
  readonly sleepy: boolean;
}

export interface PlannedFault {
  /** Names it when a plan is shrunk: the place in the whole plan. */
  readonly number: number;
  readonly kind: FaultKind;
  /** Virtual milliseconds after the storm began. */
  readonly atMs: number;
  /** From `atMs` on it waits for this to happen, and strikes there; null: it strikes at `atMs`. */
  readonly moment: Moment | null;
  /** Seed of what it still has to choose. */
  readonly dice: number;
}

/** Clients of more than single keys: how many of each kind. */
export interface Coordination {
  readonly transactions: number;
  readonly watchers: number;
  readonly leases: number;
  readonly locks: number;
  readonly increments: number;
  /** Mean time between two operations of one. */
  readonly thinkMs: number;
  /** Superseded versions are kept for so many revisions; null: as long as they are by default. */
  readonly keepRevisions: number | null;
}

export const COORDINATION_KINDS = ['transactions', 'watchers', 'leases', 'locks', 'increments'] as const;

export interface Plan {
  readonly seed: number;
  readonly nodes: number;
  readonly stormMs: number;
  readonly timing: {
    readonly tickMs: number;
    readonly heartbeatMs: number;
    readonly electionTimeoutMs: number;
    readonly crashHintMs: number;
  };
  readonly limits: {
    readonly logKeepBytes: number;
    readonly maxOverlayBytes: number;
    readonly maxUncommittedBytes: number;
    readonly maxPending: number;
  };
  readonly network: { readonly delayMs: number; readonly jitterMs: number; readonly loss: number };
  readonly disk: { readonly writeMs: number; readonly jitterMs: number };
  /** Rate of each node's clock. */
  readonly clockRates: readonly number[];
  readonly clients: number;
  readonly thinkMs: number;
  readonly keys: number;
  /** Operations of one client, at most. */
  readonly operations: number;
  readonly largeValues: boolean;
  /** Values of this size are written beside the clients', so that a snapshot has many chunks; 0: none. */
  readonly ballastBytes: number;
  /** The storm begins with the first start of the first node, before there is a cluster; otherwise when all have joined. */
  readonly early: boolean;
  readonly coordination: Coordination;
  readonly faults: readonly PlannedFault[];
}

/** What a shrunk plan leaves out. */
export interface Cut {
  readonly nodes?: number | undefined;
  readonly clients?: number | undefined;
  readonly operations?: number | undefined;
  readonly stormMs?: number | undefined;
  /** Kinds of coordination that stay. */
  readonly kinds?: readonly string[] | undefined;
  /** Numbers of the faults that stay. */
  readonly faults?: readonly number[] | undefined;
}

export function drawPlan(seed: number): Plan {
  const random = new Random(seed);
  const shape = random.fork();
  const weather = random.fork();
  const times = random.fork();
  const coordination = random.fork();
  const churn = random.fork();
  const nodes = shape.pick([1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7]);
  const stormMs = shape.pick([5000, 10_000, 20_000, 40_000]);
  const tickMs = shape.pick([10, 10, 20, 50]);
  const early = shape.chance(0.3);
  const lagging = shape.chance(0.3);
  const sleepy = shape.chance(0.2);
  const drift = shape.pick([0, 0, 0.01, 0.1]);
  return {
    seed,
    nodes,
    stormMs,
    timing: {
      tickMs,
      heartbeatMs: shape.pick([100, 100, 200]),
      electionTimeoutMs: shape.pick([500, 1000, 1000]),
      crashHintMs: shape.pick([0, 50, 50]),
    },
    limits: {
      logKeepBytes: lagging ? 1024 : shape.pick([1024, 3000, 20_000, 64 * 1024 * 1024]),
      maxOverlayBytes: shape.pick([2000, 20_000, 32 * 1024 * 1024]),
      maxUncommittedBytes: shape.pick([2000, 64 * 1024 * 1024, 64 * 1024 * 1024]),
      maxPending: shape.pick([2, 16_384, 16_384, 16_384]),
    },
    network: {
      delayMs: shape.pick([0.1, 0.5, 0.5, 5, 25]),
      jitterMs: shape.pick([0.1, 1, 10]),
      loss: shape.pick([0, 0, 0, 0.005, 0.03]),
    },
    disk: { writeMs: shape.pick([0.1, 0.3, 0.3, 2, 10]), jitterMs: shape.pick([0, 0.5, 5]) },
    clockRates: Array.from({ length: nodes }, () => 1 + drift * (2 * shape.float() - 1)),
    clients: shape.between(2, 8),
    // A long storm is no busier than a short one: what costs is operations, what finds is faults.
    thinkMs: (shape.pick(lagging ? [3, 5, 10] : [3, 5, 10, 20, 100]) * stormMs) / 5000,
    keys: shape.between(1, 4),
    operations: Infinity,
    largeValues: shape.chance(lagging ? 0.5 : 0.2),
    ballastBytes: shape.pick(lagging ? [2000, 100_000, 100_000] : [0, 0, 0, 0, 0, 100_000]),
    early,
    coordination: drawCoordination(coordination, stormMs),
    faults: withChurn(drawFaults(weather, times, stormMs, { early, lagging, sleepy }), churn, stormMs),
  };
}

/** Each seed has some kinds, few have all. */
function drawCoordination(random: Random, stormMs: number): Coordination {
  const clients = (most: number, share = 0.5): number => (random.chance(share) ? random.between(1, most) : 0);
  return {
    transactions: clients(2),
    watchers: clients(4),
    leases: clients(5, 0.7),
    locks: clients(5, 0.7),
    increments: clients(3),
    thinkMs: stormMs / random.pick([50, 100, 200]),
    keepRevisions: random.pick([null, null, 5, 30, 200]),
  };
}

function drawFaults(weather: Random, times: Random, stormMs: number, themes: Themes): PlannedFault[] {
  const faults: Omit<PlannedFault, 'number'>[] = [];
  // From calm over a few kinds to all of them; the more kinds, the rarer each, or nothing would ever be acknowledged.
  // A theme needs a cluster that works between its faults.
  const share = themes.sleepy || themes.lagging ? 0.03 : weather.pick([0, 0.05, 0.1, 0.2, 0.2, 0.4, 0.7]);
  const between = weather.pick([500, 1500, 4000]) * (1 + 10 * share);
  const keen = themes.sleepy || themes.lagging ? 0 : weather.pick([0, 0.15, 0.3, 0.6]);
  const betweenMoments = weather.pick([100, 300, 1000]) * (1 + 10 * keen);
  for (const kind of FAULT_KINDS) {
    const themed = (themes.lagging && LAG_MAKERS.includes(kind)) || (themes.sleepy && kind === 'sleep');
    const wanted = weather.chance(themed ? 0.8 : share);
    const meanMs = (themed ? 2000 : between) * weather.pick([0.5, 1, 3]);
    const own = times.fork();
    if (!wanted) continue;
    for (let at = 0; ;) {
      at += -Math.log(1 - own.float()) * meanMs;
      if (at >= stormMs) break;
      faults.push({ kind, atMs: at, moment: null, dice: own.uint32() });
    }
  }
  for (const moment of MOMENTS) {
    const themed = (themes.early && AT_BIRTH.includes(moment)) || (themes.lagging && AT_SNAPSHOT.includes(moment));
    const wanted = weather.chance(themed ? 0.6 : keen);
    const meanMs = betweenMoments * weather.pick([0.5, 1, 3]);
    const own = times.fork();
    if (!wanted) continue;
    // The first waits from the beginning on, for what happens only once.
    for (let at = 0; at < stormMs; at += -Math.log(1 - own.float()) * meanMs) {
      const kind = own.pick(AT_SNAPSHOT.includes(moment) ? BREAKING : AT_MOMENTS);
      faults.push({ kind, atMs: at, moment, dice: own.uint32() });
    }
  }
  faults.sort((a, b) => a.atMs - b.atMs);
  return faults.map((fault, number) => ({ number, ...fault }));
}

/** In a quarter of the seeds members come and go. On top of all else, which stays as it is. */
function withChurn(faults: PlannedFault[], random: Random, stormMs: number): PlannedFault[] {
  if (!random.chance(0.25)) return faults;
  const meanMs = random.pick([300, 1000, 3000]);
  const kinds = MEMBER_KINDS.filter(() => random.chance(0.6));
  const moments = random.chance(0.5);
  const coming: Omit<PlannedFault, 'number'>[] = [];
  for (let at = 0; kinds.length > 0;) {
    at += -Math.log(1 - random.float()) * meanMs;
    if (at >= stormMs) break;
    const moment = moments && random.chance(0.3) ? random.pick(MOMENTS) : null;
    coming.push({ kind: random.pick(kinds), atMs: at, moment, dice: random.uint32() });
  }
  const staying = faults.filter(({ kind }) => !NOT_WITH_CHURN.includes(kind));
  return [...staying, ...coming].toSorted((a, b) => a.atMs - b.atMs).map((fault, number) => ({ ...fault, number }));
}

export function cutPlan(plan: Plan, cut: Cut): Plan {
  const kept = cut.faults === undefined ? null : new Set(cut.faults);
  const stormMs = Math.min(plan.stormMs, cut.stormMs ?? Infinity);
  return {
    ...plan,
    nodes: cut.nodes ?? plan.nodes,
    clients: cut.clients ?? plan.clients,
    operations: cut.operations ?? plan.operations,
    stormMs,
    coordination: cutCoordination(plan.coordination, cut.kinds),
    faults: plan.faults.filter(({ number, atMs }) => (kept === null || kept.has(number)) && atMs < stormMs),
  };
}

function cutCoordination(coordination: Coordination, kinds: readonly string[] | undefined): Coordination {
  if (kinds === undefined) return coordination;
  const left = COORDINATION_KINDS.filter((kind) => !kinds.includes(kind)).map((kind) => [kind, 0]);
  return { ...coordination, ...(Object.fromEntries(left) as Partial<Coordination>) };
}
