/**
 * Where a scenario plays: a lab with its clients, and the judge of what was seen. After the story the stage heals what is
 * broken, waits until the cluster is whole, reads every key, compares the replicas and checks every history.
 */
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { check } from '../../../src/checker/index.ts';
import { until } from '../../integration/until.ts';
import { outOf } from '../faults/equipment.ts';
import { metricOf } from '../faults/metric.ts';
import { WrongUnderFault } from '../faults/starting.ts';
import { compareReplicas, findInLogs, waitUntilWhole } from '../final-checks.ts';
import { callNode } from '../http-client.ts';
import { KvClient } from '../kv-client.ts';
import type { RealNode } from '../lab-node.ts';
import type { RunningLab } from '../lab.ts';
import { Load } from '../load.ts';
import { between, others } from '../nemeses/cut.ts';
import type { Chance, LabNode } from '../types.ts';
import { ContractError, Witness } from '../witness.ts';
import { chooseWorkloads } from '../workloads.ts';
import { Recorder } from './recorder.ts';

const READ_TIMEOUT_MS = 60_000;
const CHECK_TIMEOUT_MS = 120_000;
const TRANSFER_DEADLINE_MS = 5000;
/** Keys of the load and of the stories that somebody deletes, or that go with a lease. */
const FLEETING = ['delete/', 'leases/', 'watch/', 'fleeting/'];

export interface LoadSize {
  /** Operations a second. Default 120. */
  readonly rate?: number;
  /** Of each workload. Default 6. */
  readonly clients?: number;
  /** Default register and append. */
  readonly workloads?: readonly string[];
}

export class Stage {
  readonly lab: RunningLab;
  readonly chance: Chance;
  readonly client: KvClient;
  readonly recorder: Recorder;
  /** A promise was broken. */
  readonly violations: string[] = [];
  /** Something that was to be shown was not. */
  readonly voids: string[] = [];
  readonly #witness = new Witness();
  readonly #out: string;
  readonly #seed: number;
  #load: Load | null = null;

  constructor(lab: RunningLab, out: string, seed: number) {
    this.lab = lab;
    this.chance = lab.chance;
    this.client = new KvClient(this.#witness);
    this.recorder = new Recorder(this.client, lab.signal);
    this.#out = out;
    this.#seed = seed;
  }

  say(text: string): void {
    this.lab.log(text);
  }

  /** What must hold, in words that are true when it does. */
  must(holds: boolean, what: string): void {
    this.say(`${holds ? 'held' : 'BROKEN'}: ${what}`);
    if (!holds) this.violations.push(`this did not hold: ${what}`);
  }

  /** What the story needs to show anything at all. */
  needs(happened: boolean, what: string): void {
    if (happened) return;
    this.say(`missing: ${what}`);
    this.voids.push(`this did not happen: ${what}`);
  }

  /** Clients that go on until the end, over every fault. Once a scenario. */
  startLoad({ rate = 120, clients = 6, workloads = ['register', 'append'] }: LoadSize = {}): void {
    this.#load = new Load({
      ...{ workloads: chooseWorkloads(this.client, workloads), nodes: this.lab.nodes, clients, rate, seed: this.#seed },
      fileOf: ({ name }) => path.join(this.#out, `history-${name}.jsonl`),
      failed: (error) => this.failed(error),
    });
    this.#load.start();
  }

  /** Writes that were acknowledged, of the load and of the recorder. */
  get acknowledged(): number {
    return this.#witness.acknowledgedCount;
  }

  /** Resolves when so many more writes were acknowledged. */
  async acknowledgedMore(count: number, timeoutMs = 30_000): Promise<void> {
    const enough = this.acknowledged + count;
    await this.until(() => this.acknowledged >= enough, `${count} more acknowledged writes`, timeoutMs);
  }

  async until<T>(condition: () => T | Promise<T>, what: string, timeoutMs = 30_000): Promise<NonNullable<T>> {
    return await until(condition, { timeoutMs, what, pollMs: 20, explain: () => this.lab.logTails() });
  }

  /** True when it came to be within the time. */
  async comes(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
    try {
      await until(condition, { timeoutMs, what: 'a condition', pollMs: 20 });
      return true;
    } catch {
      return false;
    }
  }

  async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.lab.signal });
  }

  async leader(): Promise<RealNode> {
    return await this.lab.agreedLeader();
  }

  /** A leader other than this one, that a majority agrees on. */
  async leaderOtherThan(node: LabNode, timeoutMs = 15_000): Promise<RealNode> {
    const found = async (): Promise<RealNode | null> => {
      const leader = await this.lab.leader();
      return leader === null || leader.name === node.name ? null : leader;
    };
    return await this.until(found, `another leader than ${node.name}`, timeoutMs);
  }

  /** Leadership is handed over until this node leads. */
  async transferTo(node: LabNode, timeoutMs = 30_000): Promise<void> {
    const body = JSON.stringify({ to: node.name });
    const path = '/v1/cluster/transfer-leadership?timeout=3s';
    const headers = { 'content-type': 'application/json' };
    await this.until(
      async () => {
        if ((await this.lab.leader())?.name === node.name) return true;
        await callNode(node.url, { method: 'POST', path, body, headers, deadlineMs: TRANSFER_DEADLINE_MS });
        return (await this.lab.leader())?.name === node.name;
      },
      `${node.name} leads`,
      timeoutMs,
    );
  }

  followers(leader: LabNode): RealNode[] {
    return this.lab.nodes.filter((node) => node.name !== leader.name && node.alive);
  }

  /** The highest term that any node knows. */
  async term(): Promise<number> {
    const views = await this.lab.views();
    return Math.max(0, ...views.map(({ term }) => term));
  }

  /** No link between the node and the others, either way. */
  async isolate(node: LabNode): Promise<void> {
    await this.blockAll(between([node], others(this.lab, node)));
  }

  async blockAll(links: readonly (readonly [LabNode, LabNode])[]): Promise<void> {
    await Promise.all(links.map(async ([from, to]) => await this.lab.network.block(from, to)));
  }

  async heal(): Promise<void> {
    await this.lab.network.healAll();
  }

  /** Every node serves and follows one leader. */
  async whole(): Promise<void> {
    await waitUntilWhole(this.lab);
  }

  /** Of /metrics of the node; null when it does not say. */
  async metric(node: LabNode, name: string): Promise<number | null> {
    return await metricOf(node, name);
  }

  /** An error that ends the story, sorted by its kind. */
  failed(error: unknown): void {
    if (error instanceof ContractError || error instanceof WrongUnderFault) this.violations.push(error.message);
    else this.voids.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }

  /** Heals, waits, reads, compares, checks. */
  async judge(): Promise<void> {
    await this.heal();
    outOf(this.lab).clear();
    try {
      await this.whole();
    } catch (error) {
      this.violations.push(`the cluster did not recover: ${(error as Error).message}`);
    }
    try {
      if (this.violations.length === 0) await this.#load?.stop();
      else await this.#load?.abandon();
      if (this.violations.length === 0) {
        await this.#load?.readAll(READ_TIMEOUT_MS);
        const mayBeDeleted = (key: string): boolean => FLEETING.some((prefix) => key.startsWith(prefix));
        const replicas = await compareReplicas(this.lab, this.client, this.#witness, mayBeDeleted);
        this.violations.push(...replicas.problems);
        const count = this.lab.nodes.length;
        this.say(`${replicas.entries} entries at revision ${replicas.revision}, the same on all ${count} nodes`);
      }
    } catch (error) {
      this.failed(error);
    } finally {
      await this.#load?.close();
    }
    this.violations.push(...findInLogs(this.lab));
    for (const { node, how, expected, lastWords } of this.lab.ownEnds) {
      if (!expected) this.violations.push(`${node} ended by itself: ${how}\n${lastWords}`);
    }
    this.#checkHistories();
    this.say(`${this.acknowledged} acknowledged writes`);
  }

  #checkHistories(): void {
    for (const { workload, history } of this.#load?.records() ?? []) {
      const startedAt = performance.now();
      const figures = workload.figures?.(history.operations);
      if (figures !== undefined) this.say(`${workload.name}: ${figures}`);
      const expired = (): boolean => performance.now() - startedAt > CHECK_TIMEOUT_MS;
      const { verdict, reason } = check(history.operations, { model: workload.model, budget: { expired } });
      this.say(`${workload.name}: ${history.operations.length} operations, ${verdict}`);
      this.#judged(workload.name, verdict, reason);
    }
    const own = this.recorder.check();
    if (this.recorder.operations.length > 0) {
      this.say(`of the story: ${this.recorder.operations.length} operations, ${own?.verdict ?? 'ok'}`);
    }
    if (own !== null) this.#judged('of the story', own.verdict, own.reason);
  }

  #judged(name: string, verdict: 'ok' | 'bad' | 'unknown', reason: string | null): void {
    if (verdict === 'bad') this.violations.push(`${name}: ${reason}`);
    if (verdict === 'unknown') this.voids.push(`${name}: the check came to no end: ${reason}`);
  }
}
