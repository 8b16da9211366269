/**
 * A whole cluster in a storm: the nodes that ship on virtual time, disk and network, clients that read and write, and faults, all from one
 * seed. Phase one (safety) runs under faults; phase two (liveness) without: within a bound everybody follows one leader, every client
 * has its answer, and the replicas are equal, byte for byte, also after a restart.
 */
import type { Machine } from '../../src/machine/machine.ts';
import type { WorldEvent } from '../invariants/world.ts';
import { openMemoryStore } from '../../src/storage/memory-store.ts';
import { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import { Random } from '../../src/testing/random.ts';
import { Asking, type ClientCounts } from './asking.ts';
import { Clients } from './clients.ts';
import { Faults } from './faults.ts';
import { judge } from './judge.ts';
import { LogRules } from './log-rules.ts';
import { Oracle } from './oracle.ts';
import { Observer, type ObservedNode } from './observer.ts';
import { recordText, Replay, type Step } from './replay.ts';
import type { Plan } from './plan.ts';
import { Trace, type TraceWriter } from './trace.ts';
import { workloads } from './workloads/index.ts';
import type { Stage, Workload } from './workloads/workload.ts';

/** Virtual milliseconds of calm within which all must be whole: elections, back-offs of dials, a transfer of a snapshot that stalled. */
const CALM_MS = 60_000;
/** Applied state is flushed when it is this old, at the latest; slow disks take their time too. */
const FLUSHED_MS = 1000;
/** Members that caught up are promoted one after the other, and others removed. */
const MAX_FLUSH_ROUNDS = 30;
const GROUP = 1;

export interface SimulationReport {
  readonly seed: number;
  /** Of all that happened: equal for equal plans, or chance came in from somewhere. */
  readonly hash: string;
  readonly virtualMs: number;
  readonly events: number;
  readonly operations: ClientCounts;
  readonly faults: ReadonlyMap<string, number>;
  readonly elections: number;
  readonly snapshots: number;
  /** How often what is rare was reached. */
  readonly sightings: ReadonlyMap<string, number>;
  /** Virtual milliseconds of calm until all was whole. */
  readonly calmMs: number;
}

export class SimulationFailure extends Error {
  readonly seed: number;

  constructor(seed: number, now: number, recent: readonly string[], cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`seed ${seed} fails at ${now.toFixed(1)} ms: ${reason}\nlast of the trace:\n${recent.join('\n')}`, { cause });
    this.name = 'SimulationFailure';
    this.seed = seed;
  }
}

export class ClusterSimulation {
  readonly #plan: Plan;
  readonly #cluster: SimCluster;
  readonly #observer = new Observer();
  readonly #trace: Trace;
  readonly #faults: Faults;
  readonly #asking: Asking;
  readonly #clients: Clients;
  readonly #stage: Stage;
  readonly #workloads: readonly Workload[];
  readonly #random: Random;
  #violation: Error | null = null;
  #replay: Replay | null = null;
  #elections = 0;
  #snapshots = 0;

  constructor(plan: Plan, write: TraceWriter | null = null) {
    this.#plan = plan;
    this.#random = new Random(plan.seed + 0.5 * 2 ** 32);
    const weather = this.#random.fork();
    const writes = this.#random.fork();
    const restarts = this.#random.fork();
    const coordination = new Random(plan.seed + 0.25 * 2 ** 32);
    this.#cluster = new SimCluster({
      seed: plan.seed,
      nodes: plan.nodes,
      timing: plan.timing,
      limits: plan.limits,
      ...(plan.coordination.keepRevisions === null
        ? {}
        : { store: { keepRevisions: plan.coordination.keepRevisions } }),
      network: {
        delayMs: () => {
          const { delayMs, jitterMs } = plan.network;
          return delayMs + weather.float() * jitterMs + weather.float() * this.#faults.weather.extraDelayMs;
        },
        lose: () => {
          const { loss } = this.#faults.weather;
          return loss > 0 && weather.chance(loss);
        },
      },
      writeMs: (name) => {
        const { writeMs, jitterMs } = plan.disk;
        return (writeMs + writes.float() * jitterMs) * (this.#faults.weather.writeFactor.get(name) ?? 1);
      },
      // Whoever is added runs like one of the first: by their clocks it is judged what came too soon or too late.
      clockRate: (name) => plan.clockRates[(Number(name.slice(1)) - 1) % plan.clockRates.length] ?? 1,
      platform: this.#observer.platform,
      ended: (node) => {
        this.#observer.ended(node);
        if (node.failure !== null) this.#guard(() => this.#faults.stoppedItself(node, restarts));
      },
    });
    this.#observer.now = () => this.#cluster.now;
    this.#observer.sightings.maxOverlayBytes = plan.limits.maxOverlayBytes;
    this.#trace = new Trace(this.#cluster, this.#observer, write);
    const log = (line: string): void => this.#trace.line(line);
    this.#faults = new Faults(this.#cluster, this.#observer, plan, log);
    this.#asking = new Asking(this.#cluster, this.#observer.sightings, log);
    this.#clients = new Clients(this.#asking, plan);
    this.#stage = { asking: this.#asking, observer: this.#observer, plan, stopped: false };
    this.#workloads = workloads(this.#stage, coordination);
    this.#observer.onViolation = (error) => {
      this.#violation ??= error;
    };
    this.#observer.onEvent = (event) => this.#observed(event);
  }

  async run(): Promise<SimulationReport> {
    try {
      const calmMs = await this.#run();
      return {
        seed: this.#plan.seed,
        hash: this.#trace.hash,
        virtualMs: this.#cluster.now,
        events: this.#cluster.time.executed,
        operations: this.#asking.counts,
        faults: this.#faults.counts,
        elections: this.#elections,
        snapshots: this.#snapshots,
        sightings: this.#observer.sightings.counts,
        calmMs,
      };
    } catch (error) {
      throw new SimulationFailure(this.#plan.seed, this.#cluster.now, this.#trace.recent, this.#named(error));
    }
  }

  async #run(): Promise<number> {
    const { stormMs } = this.#plan;
    this.#trace.line(`plan ${JSON.stringify({ ...this.#plan, faults: this.#plan.faults.length })}`);
    if (this.#plan.early) {
      for (const node of this.#cluster.nodes) this.#faults.startLater(node, this.#random.float() * 300);
    } else {
      for (const node of this.#cluster.nodes) void node.start();
      await this.#until(() => this.#cluster.nodes.every((node) => node.state === 'running'), 'the cluster comes up');
    }
    this.#faults.schedule();
    const clients = Promise.all([
      this.#clients.run(this.#random.fork()),
      ...this.#workloads.map((workload) => workload.run()),
    ]);
    // A failure of a client is thrown where it is awaited.
    clients.catch((error: unknown) => {
      this.#violation ??= error as Error;
    });
    const end = this.#cluster.now + stormMs;
    this.#cluster.time.schedule(stormMs, () => {});
    await this.#until(() => this.#cluster.now >= end, 'the end of the storm', stormMs + 1);
    return this.#calm(clients);
  }

  // Phase two.

  async #calm(clients: Promise<unknown>): Promise<number> {
    this.#trace.line('-- calm --');
    const start = this.#cluster.now;
    this.#faults.calm();
    await this.#until(
      () => this.#cluster.nodes.every((node) => this.#faults.lost(node) || ready(node)),
      'all nodes are ready',
    );
    this.#clients.stop();
    this.#stage.stopped = true;
    await this.#settle(clients, 'every client has its answer');
    await this.#settle(this.#clients.readAll(), 'a read of every key on every node');
    for (const workload of this.#workloads) await this.#settle(workload.finish(), 'the rest of a workload');
    await this.#until(() => this.#whole(), 'all replicas have everything');
    const calmMs = this.#cluster.now - start;
    this.#observer.checkConverged();
    this.#rethrow();
    await this.#flushed();
    this.#judge();
    await this.#compareReplicas();
    return calmMs;
  }

  /** What all have applied is flushed. A member that caught up in the calm may be promoted, and another removed, until nothing more is to be done. */
  async #flushed(): Promise<void> {
    for (let last = -1, rounds = 0; last !== this.#lastIndex; rounds++) {
      if (rounds === MAX_FLUSH_ROUNDS) throw new Error(`the log grows on: ${last} entries and more`);
      last = this.#lastIndex;
      const end = this.#cluster.now + FLUSHED_MS;
      await this.#until(() => this.#cluster.now >= end, 'all is flushed', FLUSHED_MS + 1000);
      await this.#until(() => this.#whole(), 'all replicas have everything');
    }
  }

  #judge(): void {
    const { history } = this.#clients;
    judge(history.operations);
    const { committed, committedAt, digests, sightings } = this.#observer;
    const rules = new LogRules(sightings);
    const visit = (step: Step, machine: Machine): void => rules.visit(step, machine);
    this.#replay = new Replay({ committed, committedAt, digests, visit });
    const oracle = new Oracle(rules);
    for (const operation of history.operations) {
      const fate = oracle.check(operation);
      if (fate !== null) this.#observer.sightings.saw(fate);
    }
    for (const view of history.views) oracle.checkView(view);
    for (const workload of this.#workloads) workload.judge(rules);
  }

  /** Everybody that can run has applied all that the leader has. */
  #whole(): boolean {
    const last = this.#lastIndex;
    return this.#running.every(({ status, applied }) => status.commit === last && applied.index === last);
  }

  get #running(): readonly ObservedNode[] {
    return this.#observer.nodes.filter(({ up, simNode }) => up && simNode?.state === 'running');
  }

  get #lastIndex(): number {
    return Math.max(...this.#running.map(({ status }) => status.lastIndex));
  }

  /** Kills all nodes, and compares what they left on disk with what the log makes. */
  async #compareReplicas(): Promise<void> {
    const running = this.#cluster.nodes.filter((node) => node.state === 'running');
    for (const node of running) node.crash({ keepUnsynced: Infinity });
    let first: { readonly name: string; readonly records: readonly string[] } | null =
      this.#replay === null ? null : { name: 'the log', records: this.#replay.records() };
    for (const node of running) {
      const records = await this.#recordsOf(node);
      if (records === null) continue;
      if (first === null) first = { name: node.name, records };
      else if (records.length !== first.records.length || records.some((record, i) => record !== first?.records[i])) {
        const at = records.findIndex((record, i) => record !== first?.records[i]);
        const [one, other] = [first.records[at], records[at]].map((record) => record?.slice(0, 400) ?? 'nothing');
        throw new Error(`the replicas of ${first.name} and ${node.name} differ at record ${at}: ${one} and ${other}`);
      }
    }
  }

  /** All state as it lies on disk, null when its disk is damaged and says so. */
  async #recordsOf(node: SimNode): Promise<string[] | null> {
    const records: string[] = [];
    try {
      const store = await openMemoryStore({ disk: node.disk });
      await store.group(GROUP).state.scan(({ key, value }) => {
        records.push(recordText(key, value));
      });
      return records;
    } catch (error) {
      if (this.#faults.damaged.has(node) && (error as { code?: string }).code === 'ERR_CORRUPT') return null;
      throw error;
    }
  }

  // What is seen.

  #observed(event: WorldEvent): void {
    if (event.type === 'ready' && event.ready.softState?.role === 'leader') this.#elections++;
    if (event.type === 'installed') this.#snapshots++;
    this.#trace.event(event);
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#violation ??= error as Error;
    }
  }

  #rethrow(): void {
    if (this.#violation !== null) throw this.#violation;
  }

  /** Moves time on until the condition holds; stops at the first violation. */
  async #until(condition: () => boolean, what: string, limitMs = CALM_MS): Promise<void> {
    try {
      await this.#cluster.time.run(() => this.#violation !== null || condition(), limitMs);
    } catch (cause) {
      this.#rethrow();
      throw new Error(`${what}: ${(cause as Error).message}\n${this.#trace.grid()}`, { cause });
    }
    this.#rethrow();
  }

  async #settle(promise: Promise<unknown>, what: string): Promise<void> {
    let settled = false;
    promise.then(
      () => {
        settled = true;
      },
      (error: unknown) => {
        this.#violation ??= error as Error;
      },
    );
    await this.#until(() => settled, what);
  }

  #named(error: unknown): unknown {
    if (error instanceof Error) error.message = this.#observer.named(error.message);
    return error;
  }
}

function ready(node: SimNode): boolean {
  return node.state === 'running' && !node.paused && node.node.readiness().ready;
}
