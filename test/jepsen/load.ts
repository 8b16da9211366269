/**
 * The clients. Each has a node of its own that it mostly speaks to, whatever state that is in, one operation at a time, and
 * a bounded rate. After an operation without an answer it goes on as somebody else (the old one is still waiting), as
 * Jepsen's processes do.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { HistoryFile } from './history-file.ts';
import { KeyPool } from './key-pool.ts';
import { Timeline } from './timeline.ts';
import type { Operation } from '../../src/checker/index.ts';
import type { ActingWorkload, Chance, Invocation, LabNode, Outcome, Scene, Workload } from './types.ts';
import { Random } from '../../src/testing/random.ts';

const HOME_SHARE = 0.9;
const DEFAULT_KEYS_AT_ONCE = 5;
const FINAL_WIDTH = 16;
const FINAL_RETRY_MS = 100;

export interface LoadOptions {
  readonly workloads: readonly (Workload | ActingWorkload)[];
  readonly nodes: readonly LabNode[];
  /** Of each workload. */
  readonly clients: number;
  /** Operations a second, of all workloads together. */
  readonly rate: number;
  readonly seed: number;
  /** History of a workload goes there. */
  readonly fileOf: (workload: { readonly name: string }) => string;
  /** An answer was against the contract: the run is over. */
  readonly failed: (error: unknown) => void;
}

interface RunningOf<W> {
  readonly workload: W;
  readonly keys: KeyPool;
  readonly history: HistoryFile;
  readonly endings: Record<Outcome['type'], number>;
  nextClient: number;
}

type Running = RunningOf<Workload> | RunningOf<ActingWorkload>;

export interface WorkloadRecord {
  readonly workload: Workload | ActingWorkload;
  readonly history: HistoryFile;
  readonly keys: number;
  readonly endings: Readonly<Record<Outcome['type'], number>>;
}

export class Load {
  readonly timeline = new Timeline();
  readonly #options: LoadOptions;
  readonly #running: readonly Running[];
  readonly #chance: Random;
  readonly #startMs = performance.now();
  readonly #stopping = new AbortController();
  /** Ends calls that are under way; only when the run has failed. */
  readonly #giveUp = new AbortController();
  #clients: Promise<unknown> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#chance = new Random(options.seed);
    this.#running = options.workloads.map((workload): Running => ({
      workload: workload as never,
      keys: new KeyPool(workload.name, workload.operationsPerKey, workload.keysAtOnce ?? DEFAULT_KEYS_AT_ONCE),
      history: new HistoryFile(options.fileOf(workload)),
      endings: { ok: 0, fail: 0, unknown: 0 },
      nextClient: 1,
    }));
  }

  /** Milliseconds since the load was made: the time of the histories, in microseconds there, and of the report. */
  nowMs(): number {
    return performance.now() - this.#startMs;
  }

  start(): void {
    const lives = this.#running.map((running) => {
      if (isActing(running)) return this.#act(running);
      running.workload.open?.(this.#options.nodes);
      return Array.from({ length: this.#options.clients }, async (_, index) => {
        await this.#client(running, index, this.#chance.fork());
      });
    });
    this.#clients = Promise.all(lives.flat());
  }

  /** Resolves when the last answer is there, or its deadline over. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#clients;
  }

  /** Nothing more is waited for. */
  async abandon(): Promise<void> {
    this.#giveUp.abort();
    await this.stop();
  }

  /** Reads every key once, again and again until it is answered; rejects when that takes longer than the time given. */
  async readAll(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const all = this.#running
      .filter((running): running is RunningOf<Workload> => !isActing(running))
      .flatMap((running) => running.keys.names().map((key) => ({ running, key })));
    const chance = this.#chance.fork();
    const iterator = all.values();
    const reader = async (): Promise<void> => {
      for (const { running, key } of iterator) await this.#finalRead(running, key, chance, deadline);
    };
    await Promise.all(Array.from({ length: FINAL_WIDTH }, reader));
  }

  records(): WorkloadRecord[] {
    return this.#running.map(({ workload, history, keys, endings }) => {
      return { workload, history, keys: keys.names().length, endings };
    });
  }

  /** Also what the workloads have opened. */
  async close(): Promise<void> {
    for (const { history } of this.#running) history.close();
    await Promise.all(this.#running.map(async ({ workload }) => await workload.close?.()));
  }

  #act(running: RunningOf<ActingWorkload>): Promise<void>[] {
    const { clients } = this.#options;
    const opened = running.workload.open?.(this.#sceneOf(running, this.#chance.fork())) ?? Promise.resolve();
    return Array.from({ length: clients }, async (_, index) => {
      const scene = this.#sceneOf(running, this.#chance.fork());
      try {
        await opened;
        await running.workload.act(scene, index);
      } catch (error) {
        if (!this.#giveUp.signal.aborted) this.#fail(error);
      }
    });
  }

  #sceneOf(running: Running, chance: Random): Scene {
    const { nodes, clients } = this.#options;
    const everyMs = this.#everyMs();
    let dueMs = performance.now() + chance.float() * everyMs;
    return {
      ...{ nodes, chance, clients, stopping: this.#stopping.signal, giveUp: this.#giveUp.signal },
      nowUs: () => Math.floor(this.nowMs() * 1000),
      pace: async () => {
        await this.#waitUntil(dueMs);
        dueMs = Math.max(dueMs, performance.now()) + everyMs * (0.5 + chance.float());
        return !this.#stopping.signal.aborted;
      },
      takeKey: () => running.keys.take(chance),
      newClient: () => running.nextClient++,
      record: (operation, error, ending) => this.#add(running, operation, error, ending),
    };
  }

  /** Between two operations of a client. */
  #everyMs(): number {
    const { clients, rate } = this.#options;
    return (1000 * clients * this.#running.length) / rate;
  }

  /** Or until the load is to end. */
  async #waitUntil(dueMs: number): Promise<void> {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await delay(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }

  #fail(error: unknown): void {
    this.#stopping.abort();
    this.#options.failed(error);
  }

  async #client(running: RunningOf<Workload>, index: number, chance: Chance): Promise<void> {
    const { nodes } = this.#options;
    const everyMs = this.#everyMs();
    const home = nodes[index % nodes.length];
    let client = running.nextClient++;
    let dueMs = performance.now() + chance.float() * everyMs;
    for (;;) {
      await this.#waitUntil(dueMs);
      if (this.#stopping.signal.aborted) return;
      // What was missed while an answer was waited for is not made up for: that would be a burst.
      dueMs = Math.max(dueMs, performance.now()) + everyMs * (0.5 + chance.float());
      const target = home !== undefined && chance.chance(HOME_SHARE) ? home : chance.pick(nodes);
      const key = running.keys.take(chance);
      const invocation = running.workload.next(chance, client, key.name);
      const outcome = await this.#perform(running, client, invocation, target);
      if (outcome === null) return;
      if (outcome.type === 'unknown') {
        key.unknown++;
        client = running.nextClient++;
      }
    }
  }

  async #finalRead(running: RunningOf<Workload>, key: string, chance: Chance, deadline: number): Promise<void> {
    const invocation = running.workload.final(key);
    for (;;) {
      const target = chance.pick(this.#options.nodes);
      // A client for each try: the final reads are made side by side.
      const outcome = await this.#perform(running, running.nextClient++, invocation, target);
      if (outcome === null || outcome.type === 'ok') return;
      if (performance.now() > deadline) throw new Error(`${key} could not be read in the end: ${outcome.error}`);
      await delay(FINAL_RETRY_MS);
    }
  }

  /** Null when the run has failed with it. */
  async #perform(
    running: RunningOf<Workload>,
    client: number,
    invocation: Invocation,
    target: LabNode,
  ): Promise<Outcome | null> {
    const callMs = this.nowMs();
    let outcome: Outcome;
    try {
      outcome = await running.workload.perform(invocation, target, this.#giveUp.signal);
    } catch (error) {
      this.#record(running, client, invocation, callMs, { type: 'unknown', error: 'against the contract' });
      this.#fail(error);
      return null;
    }
    this.#record(running, client, invocation, callMs, outcome);
    return outcome;
  }

  #record(running: Running, client: number, invocation: Invocation, callMs: number, outcome: Outcome): void {
    const operation: Operation = {
      ...{ client, op: invocation.op, key: invocation.key, input: invocation.input },
      output: outcome.type === 'ok' ? outcome.output : null,
      call: Math.floor(callMs * 1000),
      return: outcome.type === 'ok' ? Math.ceil(this.nowMs() * 1000) : null,
      ...(outcome.type === 'fail' ? { fail: true } : {}),
    };
    this.#add(running, operation, outcome.type === 'ok' ? undefined : outcome.error);
  }

  #add(running: Running, operation: Operation, error?: string, ending = endingOf(operation)): void {
    const endMs = this.nowMs();
    running.endings[ending]++;
    const latencyMs = (operation.return ?? operation.call) / 1000 - operation.call / 1000;
    this.timeline.add(endMs, ending, latencyMs);
    if (error !== undefined) this.timeline.countError(error);
    running.history.add(operation);
  }
}

function endingOf({ fail, return: returned }: Operation): Outcome['type'] {
  if (fail === true) return 'fail';
  return returned === null ? 'unknown' : 'ok';
}

function isActing(running: Running): running is RunningOf<ActingWorkload> {
  return 'act' in running.workload;
}
