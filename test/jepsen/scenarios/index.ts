/** The scenarios that every release passes, and how one is played: docs/scenarios.md. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { startLab } from '../lab.ts';
import type { NetworkChoice } from '../networks/choose.ts';
import { clockJumpLeases } from './clock-jump-leases.ts';
import { exactlyOnce } from './exactly-once.ts';
import { fencedHolder } from './fenced-holder.ts';
import { figure8 } from './figure-8.ts';
import { flippedByte } from './flipped-byte.ts';
import { gossipSplit } from './gossip-split.ts';
import { isolatedLeader } from './isolated-leader.ts';
import { killLoop } from './kill-loop.ts';
import { leaseLeaderChange } from './lease-leader-change.ts';
import { newMembers } from './new-members.ts';
import { oneWay } from './one-way.ts';
import { pausedLeader } from './paused-leader.ts';
import { poisonedLeader } from './poisoned-leader.ts';
import { powerLoss, tornTail } from './power-loss.ts';
import type { Scenario } from './scenario.ts';
import { slowDisk } from './slow-disk.ts';
import { snapshotKilled } from './snapshot-killed.ts';
import { Stage } from './stage.ts';
import { thousandWatchers } from './thousand-watchers.ts';
import { watchResumed } from './watch-resumed.ts';
import { wipedMember } from './wiped-member.ts';

export type { Scenario } from './scenario.ts';

/** In the order of their numbers. */
export const scenarios: readonly Scenario[] = [
  pausedLeader,
  isolatedLeader,
  oneWay,
  killLoop,
  powerLoss,
  tornTail,
  flippedByte,
  figure8,
  exactlyOnce,
  snapshotKilled,
  newMembers,
  wipedMember,
  fencedHolder,
  clockJumpLeases,
  leaseLeaderChange,
  watchResumed,
  thousandWatchers,
  poisonedLeader,
  slowDisk,
  gossipSplit,
];

export interface ScenarioOptions {
  readonly seed: number;
  /** Default `auto`. */
  readonly network?: NetworkChoice;
  /** Directory for histories and, unless it went well, logs. Default: a temporary one that is removed. */
  readonly out?: string;
  readonly say: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** `violation`: a promise was broken. `void`: something that was to be shown was not, for whatever reason. */
export interface ScenarioResult {
  readonly number: number;
  readonly name: string;
  readonly verdict: 'ok' | 'violation' | 'void' | 'skipped';
  /** Violations, what is missing, or why it was skipped. */
  readonly reasons: readonly string[];
  readonly seconds: number;
}

/** 2: a promise was broken; 1: not everything was shown; 0: all that can be played here went well. */
export function exitCode(results: readonly ScenarioResult[]): 0 | 1 | 2 {
  if (results.some(({ verdict }) => verdict === 'violation')) return 2;
  const shown = results.some(({ verdict }) => verdict === 'ok');
  return !shown || results.some(({ verdict }) => verdict === 'void') ? 1 : 0;
}

/** By name or number; `all`. Throws when there is none. */
export function chooseScenarios(word: string): readonly Scenario[] {
  if (word === 'all') return scenarios;
  const found = scenarios.filter(({ name, number }) => name === word || String(number) === word);
  if (found.length === 0)
    throw new Error(`there is no scenario "${word}"; there are ${scenarios.map(({ name }) => name).join(', ')}`);
  return found;
}

export async function runScenario(name: string, options: ScenarioOptions): Promise<ScenarioResult> {
  const [scenario] = chooseScenarios(name);
  if (scenario === undefined) throw new Error('unreachable: one was chosen');
  const startedAt = performance.now();
  const seconds = (): number => (performance.now() - startedAt) / 1000;
  const say = (text: string): void => options.say(`${seconds().toFixed(1).padStart(6)} s  ${text}`);
  const done = (verdict: ScenarioResult['verdict'], reasons: readonly string[]): ScenarioResult => {
    for (const reason of reasons) say(`${verdict}: ${reason}`);
    say(`scenario ${scenario.number}, ${scenario.name}: ${verdict}`);
    return { number: scenario.number, name: scenario.name, verdict, reasons, seconds: seconds() };
  };
  say(`scenario ${scenario.number}, ${scenario.name}, seed ${options.seed}: ${scenario.about}`);
  const reason = await scenario.probe();
  if (reason !== null) return done('skipped', [reason]);
  const out = options.out ?? mkdtempSync(path.join(os.tmpdir(), 'kvorum-scenario-'));
  mkdirSync(out, { recursive: true });
  try {
    const stage = await play(scenario, out, options, say);
    if (stage.violations.length > 0) return done('violation', stage.violations);
    return stage.voids.length > 0 ? done('void', stage.voids) : done('ok', []);
  } catch (error) {
    return done('void', [error instanceof Error ? (error.stack ?? error.message) : String(error)]);
  } finally {
    if (options.out === undefined) rmSync(out, { recursive: true, force: true });
  }
}

async function play(
  scenario: Scenario,
  out: string,
  options: ScenarioOptions,
  say: (text: string) => void,
): Promise<Stage> {
  const { seed, network, signal } = options;
  const lab = await startLab({
    ...{ nodes: scenario.nodes ?? 3, seed, log: say },
    ...(network === undefined ? {} : { network }),
    ...(scenario.args === undefined ? {} : { args: scenario.args }),
    ...(signal === undefined ? {} : { signal }),
  });
  const stage = new Stage(lab, out, seed);
  let prepared = false;
  try {
    await scenario.prepare?.(lab);
    prepared = true;
    await lab.startAll();
    try {
      await scenario.run(stage);
    } catch (error) {
      stage.failed(error);
    }
    if (lab.signal.aborted) throw new Error('the run was broken off');
    await stage.judge();
    if (stage.violations.length > 0 || stage.voids.length > 0) {
      for (const node of lab.nodes) writeFileSync(path.join(out, `${node.name}.log`), node.logs());
    }
    return stage;
  } finally {
    await Promise.all(lab.nodes.map(async (node) => await node.kill('SIGKILL')));
    if (prepared) await scenario.dispose?.(lab);
    await lab.dispose();
  }
}
