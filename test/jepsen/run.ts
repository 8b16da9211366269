/** One run: nodes, clients, faults, healing, final reads, checks. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { check, drawHistory } from '../../src/checker/index.ts';
import { Random } from '../../src/testing/random.ts';
import { compareReplicas, findInLogs, waitUntilWhole, type Replicas } from './final-checks.ts';
import { KvClient } from './kv-client.ts';
import { startLab, type RunningLab } from './lab.ts';
import { Load, type WorkloadRecord } from './load.ts';
import { allNemeses, chooseNemeses, type ListedNemesis } from './nemeses.ts';
import { LOG_KEEP_BYTES } from './nemeses/snapshot.ts';
import type { NetworkChoice } from './networks/choose.ts';
import { renderReport } from './report.ts';
import type { NemesisResult, RunResult, RunVerdict, WorkloadResult } from './result.ts';
import { Schedule } from './schedule.ts';
import type { Second } from './timeline.ts';
import { versions } from './versions.ts';
import { ContractError, Witness } from './witness.ts';
import { chooseWorkloads } from './workloads.ts';

export interface RunOptions {
  readonly nodes: number;
  /** Of load with faults; starting, healing and checking come on top. */
  readonly seconds: number;
  readonly nemeses: readonly string[];
  readonly workloads: readonly string[];
  readonly seed: number;
  /** Operations a second, all workloads together. */
  readonly rate: number;
  /** Of each workload. */
  readonly clients: number;
  readonly network: NetworkChoice;
  /** Gets are stale ones: shows that the lab sees them. Default false. */
  readonly staleReads?: boolean;
  /** Directory for histories, report and, of a run that is not ok, logs. */
  readonly out: string;
  /** Repeats the run. */
  readonly command: string;
  readonly say: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** After the last fault, so that it is seen that clients are served again. */
const AFTER_MS = 3000;
const FINAL_READ_TIMEOUT_MS = 60_000;
/** A check that takes longer is given up, and the run is void. */
const CHECK_TIMEOUT_MS = 120_000;
/** After a fault the cluster needs a moment to serve as before. */
const RECOVERY_MS = 3000;
/** Of the rate asked for: less, and the run has not shown much. */
const MIN_SHARE = 0.1;
const MIN_QUIET_SHARE = 0.4;
const MIN_OK_PER_WORKLOAD = 20;
/** Keys that somebody deletes, or that go with a lease. */
const FLEETING = ['delete/', 'leases/', 'watch/'];

export async function run(options: RunOptions): Promise<RunResult> {
  mkdirSync(options.out, { recursive: true });
  const startedAt = performance.now();
  const say = (text: string): void => {
    options.say(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  };
  const lab = await startLab({
    ...{ nodes: options.nodes, seed: options.seed, network: options.network, log: say },
    args: ['--log-keep-bytes', String(LOG_KEEP_BYTES)],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  say(`${options.nodes} nodes, network ${lab.network.kind} (${lab.networkReason}), seed ${options.seed}`);
  const prepared: ListedNemesis[] = [];
  const judge = new Judge();
  try {
    const { usable, skipped } = await probeAll(lab, options.nemeses);
    for (const { name, skipped: reason } of skipped) say(`${name} skipped: ${reason}`);
    for (const listed of usable) {
      await listed.nemesis.prepare?.(lab);
      prepared.push(listed);
    }
    await lab.startAll();
    say(`${(await lab.agreedLeader()).name} leads`);
    return await runOn(lab, options, judge, usable, skipped, say);
  } finally {
    await Promise.all(lab.nodes.map(async (node) => await node.kill('SIGKILL')));
    for (const { nemesis } of prepared) await nemesis.dispose?.(lab);
    await lab.dispose();
  }
}

class Judge {
  readonly violations: string[] = [];
  readonly voids: string[] = [];
  readonly errors: string[] = [];

  /** A broken promise or a failure of the lab, by its kind. */
  failed(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (error instanceof ContractError) this.violations.push(error.message);
    else this.errors.push(text);
  }

  verdict(): RunVerdict {
    if (this.violations.length > 0) return 'violation';
    if (this.errors.length > 0) return 'error';
    return this.voids.length > 0 ? 'void' : 'ok';
  }
}

async function probeAll(
  lab: RunningLab,
  words: readonly string[],
): Promise<{ usable: ListedNemesis[]; skipped: NemesisResult[] }> {
  const usable: ListedNemesis[] = [];
  const skipped: NemesisResult[] = [];
  for (const listed of chooseNemeses(allNemeses(lab.network.abilities), words)) {
    const { name, about } = listed.nemesis;
    const reason = await listed.nemesis.probe();
    if (reason === null) usable.push(listed);
    else skipped.push({ name, about, skipped: reason, injected: 0, passed: 0 });
  }
  return { usable, skipped };
}

async function runOn(
  lab: RunningLab,
  options: RunOptions,
  judge: Judge,
  usable: readonly ListedNemesis[],
  skipped: readonly NemesisResult[],
  say: (text: string) => void,
): Promise<RunResult> {
  const chance = new Random(options.seed);
  const witness = new Witness();
  const client = new KvClient(witness, { staleReads: options.staleReads ?? false });
  const workloads = chooseWorkloads(client, options.workloads);
  const failure = new AbortController();
  const load = new Load({
    ...{ workloads, nodes: lab.nodes, clients: options.clients, rate: options.rate, seed: chance.uint32() },
    fileOf: ({ name }) => path.join(options.out, `history-${name}.jsonl`),
    failed: (error) => {
      judge.failed(error);
      failure.abort();
    },
  });
  const signal = AbortSignal.any([lab.signal, failure.signal]);
  const schedule = new Schedule({
    ...{ lab, nemeses: usable, chance: chance.fork(), totalMs: options.seconds * 1000, signal },
    nowMs: () => load.nowMs(),
  });
  load.start();
  await schedule.run();
  judge.violations.push(...schedule.violations);
  judge.errors.push(...schedule.problems);
  await lab.network.healAll();
  let replicas: Replicas | null = null;
  let loadMs = 0;
  try {
    const healedAt = load.nowMs();
    await waitUntilWhole(lab).catch((error: unknown) => {
      judge.violations.push(`the cluster did not recover: ${(error as Error).message}`);
      failure.abort();
    });
    if (!signal.aborted) {
      say(`whole again after ${((load.nowMs() - healedAt) / 1000).toFixed(1)} s`);
      await new Promise((resolve) => setTimeout(resolve, AFTER_MS));
    }
    loadMs = load.nowMs();
    await (signal.aborted ? load.abandon() : load.stop());
    if (!signal.aborted) {
      await load.readAll(FINAL_READ_TIMEOUT_MS);
      say('every key was read');
    }
    if (!signal.aborted) {
      replicas = await compareReplicas(lab, client, witness, (key) =>
        FLEETING.some((prefix) => key.startsWith(prefix)),
      );
      judge.violations.push(...replicas.problems);
      say(`${replicas.entries} entries at revision ${replicas.revision} on each of ${lab.nodes.length} nodes`);
    }
  } catch (error) {
    if (error instanceof ContractError) judge.failed(error);
    else judge.violations.push((error as Error).message);
  } finally {
    await load.close();
  }
  judge.violations.push(...findInLogs(lab));
  for (const { node, how, expected, lastWords } of lab.ownEnds) {
    if (!expected) judge.violations.push(`${node} ended by itself: ${how}\n${lastWords}`);
  }
  if (options.signal?.aborted === true) judge.errors.push('the run was broken off');
  const checked = load.records().map((record) => checkWorkload(record, options.out, say));
  for (const { name, verdict, reason } of checked) {
    if (verdict === 'bad') judge.violations.push(`${name}: ${reason}`);
    if (verdict === 'unknown') judge.voids.push(`${name}: the check came to no end: ${reason}`);
  }
  const seconds = load.timeline.seconds();
  const quiet = quietSeconds(seconds, schedule, loadMs);
  judge.voids.push(...tooLittle(options, load, checked, quiet, loadMs));
  const result: RunResult = {
    verdict: judge.verdict(),
    ...{ violations: judge.violations, voids: judge.voids, errors: judge.errors },
    ...{ seed: options.seed, command: options.command, nodes: options.nodes },
    network: { kind: lab.network.kind, why: lab.networkReason },
    ...{ versions: versions(), date: new Date().toISOString(), loadMs: Math.round(loadMs), rate: options.rate },
    ok: load.timeline.total('ok'),
    fail: load.timeline.total('fail'),
    unknown: load.timeline.total('unknown'),
    ...{ acknowledgedWrites: witness.acknowledgedCount, quiet },
    endings: Object.fromEntries([...load.timeline.errors].sort(([, a], [, b]) => b - a)),
    workloads: checked,
    nemeses: [...usable.map(({ nemesis: { name, about } }) => counted(name, about, schedule)), ...skipped],
    faults: schedule.faults,
    replicas: replicas === null ? null : { revision: replicas.revision, entries: replicas.entries },
  };
  writeFileSync(path.join(options.out, 'verdict.json'), `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(path.join(options.out, 'report.html'), renderReport(result, { seconds }));
  if (result.verdict !== 'ok') keepLogs(lab, options.out);
  return result;
}

function counted(name: string, about: string, schedule: Schedule): NemesisResult {
  return { name, about, skipped: null, ...(schedule.counts.get(name) ?? { injected: 0, passed: 0 }) };
}

function checkWorkload(record: WorkloadRecord, out: string, say: (text: string) => void): WorkloadResult {
  const { workload, history, keys, endings } = record;
  const model = typeof workload.model === 'string' ? workload.model : workload.model.name;
  const startedAt = performance.now();
  const result = check(history.operations, {
    model: workload.model,
    budget: { expired: () => performance.now() - startedAt > CHECK_TIMEOUT_MS },
  });
  const checkMs = Math.round(performance.now() - startedAt);
  const picture = result.verdict === 'ok' ? null : `failed-${workload.name}.html`;
  if (picture !== null) writeFileSync(path.join(out, picture), drawHistory(result, workload.name));
  const figures = workload.figures?.(history.operations) ?? null;
  say(`${workload.name}: ${result.verdict}, ${history.operations.length} operations on ${keys} keys, ${checkMs} ms`);
  if (figures !== null) say(`${workload.name}: ${figures}`);
  return {
    ...{ name: workload.name, about: workload.about, model, keys, operations: history.operations.length },
    ...{ ok: endings.ok, fail: endings.fail, unknown: endings.unknown, checkMs, picture, figures },
    ...{ verdict: result.verdict, reason: result.reason, file: path.basename(history.path) },
  };
}

/** Seconds of the load in which no fault was at work, nor had been a moment before. */
function quietSeconds(seconds: readonly Second[], schedule: Schedule, loadMs: number): RunResult['quiet'] {
  let [count, ok] = [0, 0];
  for (const [index, second] of seconds.entries()) {
    const [from, to] = [index * 1000, (index + 1) * 1000];
    if (to > loadMs) break;
    if (schedule.faults.some(({ startMs, healedMs }) => from < healedMs + RECOVERY_MS && to > startMs)) continue;
    count++;
    ok += second.ok;
  }
  return { seconds: count, okPerSecond: count === 0 ? 0 : ok / count };
}

function tooLittle(
  { rate }: RunOptions,
  load: Load,
  workloads: readonly WorkloadResult[],
  quiet: RunResult['quiet'],
  loadMs: number,
): string[] {
  const during = load.timeline.seconds().slice(0, Math.ceil(loadMs / 1000));
  const perSecond = during.reduce((sum, { ok }) => sum + ok, 0) / (loadMs / 1000);
  const words: string[] = [];
  if (!(perSecond >= MIN_SHARE * rate)) {
    words.push(`too few operations: ${perSecond.toFixed(1)} a second ended well, of ${rate} asked for`);
  }
  if (quiet.seconds === 0) words.push('there was no second without a fault');
  else if (quiet.okPerSecond < MIN_QUIET_SHARE * rate) {
    words.push(`too few operations without a fault: ${quiet.okPerSecond.toFixed(1)} a second, of ${rate} asked for`);
  }
  for (const { name, ok } of workloads) {
    if (ok < MIN_OK_PER_WORKLOAD) words.push(`${name}: only ${ok} operations ended well`);
  }
  return words;
}

function keepLogs(lab: RunningLab, out: string): void {
  for (const node of lab.nodes) writeFileSync(path.join(out, `${node.name}.log`), node.logs());
}
