/** What is measured. Each case gives rounds; a round has the figures of our cluster and, beside it, of etcd. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { measureAgents } from './agents.ts';
import type { Cluster, Via } from './cluster.ts';
import { EtcdCluster } from './etcd-cluster.ts';
import { KvorumCluster, LOAD_KEYS } from './kvorum-cluster.ts';
import { measureLinks } from './links.ts';
import type { Figures, LoadResult } from './result.ts';
import { measureStages } from './stages.ts';
import type { Workshop } from './workshop.ts';

export type CaseName =
  | 'put'
  | 'get'
  | 'lock'
  | 'watch'
  | 'load'
  | 'failover'
  | 'restart'
  | 'agents'
  | 'links'
  | 'stages';

export interface CaseOptions {
  readonly via: Via;
  readonly clients: number;
  /** `lock`: workers, and whether they all want the same one. */
  readonly workers: number;
  readonly same: boolean;
  readonly watchers: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly rounds: number;
  readonly agents: number;
  readonly keys: number;
  readonly stale: boolean;
  readonly rate: number | null;
}

export interface Round {
  readonly kvorum: Figures;
  readonly etcd: Figures | null;
}

/** What a figure is called for people, in which digits, and whether more of it is better. */
export interface FigureName {
  readonly key: string;
  readonly title: string;
  readonly digits: number;
  readonly better: 'more' | 'less';
}

export interface Bench {
  readonly workshop: Workshop;
  /** Folder of etcd's load programs, null: etcd is not measured. */
  readonly etcdPrograms: string | null;
  readonly options: CaseOptions;
  /** A line about what goes on, for people. */
  readonly say: (text: string) => void;
}

export interface Case {
  readonly figures: readonly FigureName[];
  readonly run: (bench: Bench) => AsyncGenerator<Round>;
}

const AGENT_LOAD = join(import.meta.dirname, 'agent-load.ts');
const WATCH_WRITERS = 8;
/** Between the end of a restart and the next kill, and between a load and the look at memory. */
const SETTLE_MS = 1000;
const REST_AFTER_LOAD_MS = 5000;

const throughput: readonly FigureName[] = [
  { key: 'perSecond', title: 'ops/s', digits: 0, better: 'more' },
  { key: 'p50Ms', title: 'p50 ms', digits: 2, better: 'less' },
  { key: 'p99Ms', title: 'p99 ms', digits: 2, better: 'less' },
  { key: 'p999Ms', title: 'p99.9 ms', digits: 2, better: 'less' },
  { key: 'cpuMicrosecondsPerOp', title: 'CPU µs/op', digits: 1, better: 'less' },
  { key: 'peakRssMiB', title: 'peak RSS MiB', digits: 0, better: 'less' },
  { key: 'errors', title: 'errors', digits: 0, better: 'less' },
];

export const CASES: Readonly<Record<CaseName, Case>> = {
  put: {
    figures: throughput,
    run: (bench) => paired(bench, async (cluster) => await closedLoop(cluster, bench, 'put')),
  },
  get: {
    figures: throughput,
    run: (bench) => paired(bench, async (cluster) => await closedLoop(cluster, bench, 'get')),
  },
  lock: {
    figures: throughput.filter(({ key }) => key !== 'p999Ms'),
    run: (bench) => paired(bench, async (cluster) => await locks(cluster, bench)),
  },
  watch: {
    figures: [
      { key: 'perSecond', title: 'events/s', digits: 0, better: 'more' },
      { key: 'puts', title: 'puts/s', digits: 0, better: 'more' },
      { key: 'p50Ms', title: 'p50 ms', digits: 1, better: 'less' },
      { key: 'p99Ms', title: 'p99 ms', digits: 1, better: 'less' },
      { key: 'cpuMicrosecondsPerOp', title: 'CPU µs/event', digits: 2, better: 'less' },
      { key: 'peakRssMiB', title: 'peak RSS MiB', digits: 0, better: 'less' },
    ],
    run: (bench) => paired({ ...bench, etcdPrograms: null }, async (cluster) => await watches(cluster, bench)),
  },
  load: {
    figures: [
      { key: 'loadSeconds', title: 'load s', digits: 1, better: 'less' },
      { key: 'rssMiB', title: 'RSS MiB', digits: 0, better: 'less' },
      { key: 'peakRssMiB', title: 'peak RSS MiB', digits: 0, better: 'less' },
      { key: 'diskMiB', title: 'disk MiB', digits: 0, better: 'less' },
      { key: 'restartFirstMs', title: 'restart, first node ms', digits: 0, better: 'less' },
      { key: 'restartAllMs', title: 'restart, all nodes ms', digits: 0, better: 'less' },
      { key: 'restartedRssMiB', title: 'RSS MiB then', digits: 0, better: 'less' },
    ],
    run: (bench) => paired(bench, async (cluster) => await loadAndRestart(cluster, bench)),
  },
  failover: {
    figures: [{ key: 'ms', title: 'leader killed → write acknowledged, ms', digits: 0, better: 'less' }],
    run: failover,
  },
  restart: {
    figures: [
      { key: 'restartFirstMs', title: 'first node healthy, ms', digits: 0, better: 'less' },
      { key: 'restartAllMs', title: 'all nodes healthy, ms', digits: 0, better: 'less' },
    ],
    run: restarts,
  },
  agents: {
    figures: [
      { key: 'joinedMs', title: 'all joined ms', digits: 0, better: 'less' },
      { key: 'knowAllMs', title: 'all know all ms', digits: 0, better: 'less' },
      { key: 'agentCpuPercent', title: 'CPU % an agent', digits: 2, better: 'less' },
      { key: 'agentMiB', title: 'MiB an agent', digits: 1, better: 'less' },
      { key: 'processMiB', title: 'MiB a process', digits: 0, better: 'less' },
      { key: 'memberCpuPercent', title: 'CPU % a member', digits: 2, better: 'less' },
      { key: 'memberAloneCpuPercent', title: 'without agents', digits: 2, better: 'less' },
      { key: 'deathFirstMs', title: 'death known to one ms', digits: 0, better: 'less' },
      { key: 'deathAllMs', title: 'to all ms', digits: 0, better: 'less' },
    ],
    run: (bench) => paired({ ...bench, etcdPrograms: null }, async (cluster) => await agents(cluster, bench)),
  },
  links: {
    figures: [
      { key: 'linkMs', title: 'CPU ms a link, both sides', digits: 1, better: 'less' },
      { key: 'streamsMs', title: 'its first frames on two channels', digits: 1, better: 'less' },
      { key: 'linkMiB', title: 'MiB, both sides', digits: 2, better: 'less' },
    ],
    run: links,
  },
  stages: {
    figures: [
      { key: 'propose', title: 'propose µs', digits: 2, better: 'less' },
      { key: 'encode', title: 'encode µs', digits: 2, better: 'less' },
      { key: 'decode', title: 'decode µs', digits: 2, better: 'less' },
      { key: 'append', title: 'append µs', digits: 2, better: 'less' },
      { key: 'apply', title: 'apply µs', digits: 2, better: 'less' },
      { key: 'flush', title: 'flush µs', digits: 2, better: 'less' },
      { key: 'cpuUs', title: 'CPU of two nodes µs', digits: 1, better: 'less' },
      { key: 'gcUs', title: 'GC µs', digits: 1, better: 'less' },
    ],
    run: stages,
  },
};

/** A fresh cluster for each measurement, ours, etcd's, ours, etcd's; only one is alive at a time. */
async function* paired(bench: Bench, measure: (cluster: Cluster) => Promise<Figures>): AsyncGenerator<Round> {
  for (let round = 1; round <= bench.options.rounds; round++) {
    const kvorum = await fresh(bench, 'kvorum', round, measure);
    const etcd = bench.etcdPrograms === null ? null : await fresh(bench, 'etcd', round, measure);
    yield { kvorum, etcd };
  }
}

async function fresh(
  bench: Bench,
  kind: 'kvorum' | 'etcd',
  round: number,
  measure: (cluster: Cluster) => Promise<Figures>,
): Promise<Figures> {
  bench.say(`round ${round} of ${bench.options.rounds}: ${kind}`);
  const cluster = await create(bench, kind, `${kind}-${round}`);
  await cluster.start();
  const figures = await measure(cluster);
  await cluster.remove();
  return figures;
}

async function create(
  { workshop, etcdPrograms, options }: Bench,
  kind: 'kvorum' | 'etcd',
  name: string,
): Promise<Cluster> {
  if (kind === 'kvorum') return await KvorumCluster.create(workshop, name, options.via);
  if (etcdPrograms === null) throw new Error('etcd without its load programs');
  return await EtcdCluster.create(workshop, name, etcdPrograms);
}

async function closedLoop(cluster: Cluster, { options }: Bench, op: 'put' | 'get'): Promise<Figures> {
  // A get of a key that is not there is cheaper, so all are.
  if (op === 'get') await cluster.fill('load', LOAD_KEYS);
  const { clients, seconds, warmupSeconds, stale, rate } = options;
  return await measured(cluster, async (measuring) => {
    return await cluster.load({ op, clients, seconds, warmupSeconds, stale, rate, measuring });
  });
}

async function locks(cluster: Cluster, { options }: Bench): Promise<Figures> {
  const { workers, same, seconds, warmupSeconds } = options;
  const mode = same ? 'same' : 'own';
  return await measured(cluster, async (measuring) => {
    return await cluster.lock({ mode, workers, seconds, warmupSeconds, measuring });
  });
}

async function watches(cluster: Cluster, { options }: Bench): Promise<Figures> {
  if (!(cluster instanceof KvorumCluster)) throw new Error('there is no load of watches for etcd');
  const { watchers, seconds, warmupSeconds } = options;
  let puts = 0;
  const figures = await measured(cluster, async (measuring) => {
    const result = await cluster.watch({ watchers, writers: WATCH_WRITERS, seconds, warmupSeconds, measuring });
    ({ puts } = result);
    return result;
  });
  return { ...figures, puts };
}

async function agents(cluster: Cluster, { workshop, options, say }: Bench): Promise<Figures> {
  if (!(cluster instanceof KvorumCluster)) throw new Error('etcd has no agents');
  return await measureAgents(workshop, cluster, {
    agents: options.agents,
    seconds: options.seconds,
    program: AGENT_LOAD,
    say,
  });
}

/** A load with what it cost the servers. */
async function measured(cluster: Cluster, load: (measuring: () => void) => Promise<LoadResult>): Promise<Figures> {
  let cpuBefore: number | null = null;
  const { ops, perSecond, p50Ms, p99Ms, p999Ms, errors } = await load(() => {
    cpuBefore = cluster.cpuSeconds();
  });
  const cpuAfter = cluster.cpuSeconds();
  return {
    perSecond,
    p50Ms,
    p99Ms,
    p999Ms,
    cpuMicrosecondsPerOp: cpuBefore === null || cpuAfter === null ? null : ((cpuAfter - cpuBefore) / ops) * 1e6,
    peakRssMiB: highest(cluster.residentMiB('VmHWM')),
    errors: Object.values(errors).reduce((sum, count) => sum + count, 0),
  };
}

async function loadAndRestart(cluster: Cluster, { options, say }: Bench): Promise<Figures> {
  const { seconds } = await cluster.fill('bulk', options.keys);
  await sleep(REST_AFTER_LOAD_MS);
  const rss = cluster.residentMiB('VmRSS');
  const peak = cluster.residentMiB('VmHWM');
  const disk = cluster.diskMiB();
  say(`  RSS MiB a node ${whole(rss)}, disk MiB a node ${whole(disk)}`);
  const restarted = await killAndStart(cluster, options.keys);
  await sleep(REST_AFTER_LOAD_MS);
  return {
    loadSeconds: seconds,
    rssMiB: highest(rss),
    peakRssMiB: highest(peak),
    diskMiB: highest(disk),
    ...restarted,
    restartedRssMiB: highest(cluster.residentMiB('VmRSS')),
  };
}

/** All three with SIGKILL at once, then started at once; healthy is a linearizable read of the last key that was written. */
async function killAndStart(cluster: Cluster, keys: number): Promise<{ restartFirstMs: number; restartAllMs: number }> {
  await cluster.killAll();
  const began = performance.now();
  for (const node of cluster.pids().keys()) cluster.startNode(node);
  const spawnedMs = performance.now() - began;
  const { firstMs, allMs } = await cluster.healthy(cluster.bulkKey(keys - 1));
  return { restartFirstMs: spawnedMs + firstMs, restartAllMs: spawnedMs + allMs };
}

/** The systems side by side, one of them measured while the other idles: the pair shares the state of the machine. */
async function* sideBySide(bench: Bench, measure: (cluster: Cluster) => Promise<Figures>): AsyncGenerator<Round> {
  const kvorum = await create(bench, 'kvorum', 'kvorum');
  const etcd = bench.etcdPrograms === null ? null : await create(bench, 'etcd', 'etcd');
  await kvorum.start();
  await etcd?.start();
  await sleep(SETTLE_MS);
  for (let round = 1; round <= bench.options.rounds; round++) {
    const ours = await measure(kvorum);
    const theirs = etcd === null ? null : await measure(etcd);
    bench.say(
      `round ${round} of ${bench.options.rounds}: ${told(ours)}${theirs === null ? '' : ` beside ${told(theirs)}`}`,
    );
    yield { kvorum: ours, etcd: theirs };
  }
  await kvorum.remove();
  await etcd?.remove();
}

/** Nor here: what it costs two peers to be linked. */
async function* links({ options, say }: Bench): AsyncGenerator<Round> {
  for (let round = 1; round <= options.rounds; round++) {
    const kvorum = { ...(await measureLinks()) };
    say(`round ${round} of ${options.rounds}: ${kvorum.linkMs.toFixed(1)} ms of CPU a link`);
    yield { kvorum, etcd: null };
  }
}

/** No cluster and no etcd: what one put costs inside. */
async function* stages({ workshop, options, say }: Bench): AsyncGenerator<Round> {
  for (let round = 1; round <= options.rounds; round++) {
    const folder = join(workshop.folder, `stages-${round}`);
    // Half of the clients are on their way while the others are answered.
    const batch = Math.max(1, Math.round(options.clients / 2));
    const { us, cpuUs, gcUs } = await measureStages({ folder, batch, batches: Math.ceil(options.keys / batch) });
    say(`round ${round} of ${options.rounds}: ${cpuUs.toFixed(1)} µs of CPU a put`);
    yield { kvorum: { ...us, cpuUs, gcUs }, etcd: null };
  }
}

async function* failover(bench: Bench): AsyncGenerator<Round> {
  yield* sideBySide(bench, async (cluster) => {
    const { killed, ms } = await cluster.failover();
    await cluster.killNode(killed);
    cluster.startNode(killed);
    await cluster.healthy();
    await sleep(SETTLE_MS);
    return { ms };
  });
}

async function* restarts(bench: Bench): AsyncGenerator<Round> {
  const filled = new Set<Cluster>();
  yield* sideBySide(bench, async (cluster) => {
    if (!filled.has(cluster)) await cluster.fill('bulk', bench.options.keys);
    filled.add(cluster);
    await sleep(SETTLE_MS);
    return await killAndStart(cluster, bench.options.keys);
  });
}

function highest(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>(
    (most, value) => (most === null || value === null ? null : Math.max(most, value)),
    0,
  );
}

function whole(values: readonly (number | null)[]): string {
  return values.map((value) => (value === null ? '-' : Math.round(value))).join(' ');
}

function told(figures: Figures): string {
  return Object.values(figures)
    .map((value) => (value === null ? '-' : `${Math.round(value)} ms`))
    .join(', ');
}
