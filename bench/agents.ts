/**
 * Real agents in ten processes, joined to three voters: nine processes with the same number of them (a hundred agents: eleven), and one of one, which is killed. What an agent costs at rest, how long it takes until all know all, and until
 * the death of one is known to all.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentLoadOptions, Known, Wait } from './agent-load.ts';
import { askBytes, NODES } from './cluster.ts';
import type { KvorumCluster } from './kvorum-cluster.ts';
import { cpuSeconds, residentMiB } from './machine.ts';
import type { Figures } from './result.ts';
import { freeAddresses, until, type ServerProcess, type Workshop } from './workshop.ts';

const FULL_PROCESSES = 9;
const KNOW_TIMEOUT_MS = 600_000;
/** Between the news and the look at what rest costs: pages of code are warm, tables are exchanged. */
const SETTLE_MS = 15_000;
/** And each agent has said where it is, for which agents take turns of so long. */
const TURN_MS = 1000;

interface Crowd {
  readonly agents: number;
  readonly control: string;
  readonly server: ServerProcess;
}

export interface AgentCaseOptions {
  /** One more than a multiple of nine. */
  readonly agents: number;
  /** Of rest, in which CPU is counted. */
  readonly seconds: number;
  readonly program: string;
  readonly say: (text: string) => void;
}

export async function measureAgents(
  workshop: Workshop,
  cluster: KvorumCluster,
  { agents: count, seconds, program, say }: AgentCaseOptions,
): Promise<Figures> {
  const sizes = [...Array.from({ length: FULL_PROCESSES }, () => (count - 1) / FULL_PROCESSES), 1];
  await sleep(SETTLE_MS);
  const alone = await cpuPercent(cluster.pids(), seconds);
  const controls = await freeAddresses(sizes.length);
  const began = Date.now();
  const crowds = sizes.map((agents, i): Crowd => {
    const control = String(controls[i]);
    const options: AgentLoadOptions = { agents, prefix: `a${i + 1}`, control, ...cluster.joining() };
    return { agents, control, server: workshop.start(process.execPath, [program, JSON.stringify(options)]) };
  });
  try {
    const met = await knownTo(crowds, cluster, { state: 'alive', count: count + NODES });
    say(`  ${count} agents know all after ${met.lastAtMs - began} ms`);
    await sleep(SETTLE_MS + count * TURN_MS);
    const full = crowds.slice(0, FULL_PROCESSES);
    const pids = full.map(({ server }) => server.pid);
    const [agents, members] = await Promise.all([cpuPercent(pids, seconds), cpuPercent(cluster.pids(), seconds)]);
    const resident = pids.map((pid) => residentMiB(pid, 'VmRSS'));
    const perProcess = resident.some((mib) => mib === null) ? null : mean(resident.map(Number));
    const perCrowd = full[0]?.agents ?? 1;

    const [last] = crowds.slice(-1) as [Crowd];
    const others = crowds.filter((crowd) => crowd !== last);
    const killedAt = Date.now();
    const gone = last.server.kill();
    const death = await knownTo(others, cluster, { state: 'dead', count: 1 });
    await gone;
    return {
      joinedMs: met.joinedAtMs - began,
      knowAllMs: met.lastAtMs - began,
      agentCpuPercent: agents === null ? null : agents / (perCrowd * full.length),
      agentMiB: perProcess === null ? null : (perProcess - met.baseMiB) / perCrowd,
      processMiB: perProcess,
      memberCpuPercent: members === null ? null : members / NODES,
      memberAloneCpuPercent: alone === null ? null : alone / NODES,
      deathFirstMs: death.firstAtMs - killedAt,
      deathAllMs: death.lastAtMs - killedAt,
    };
  } finally {
    await Promise.all(crowds.map(async ({ server }) => await server.kill()));
  }
}

/** When the first and when the last of agents and members knew so much. */
async function knownTo(crowds: readonly Crowd[], cluster: KvorumCluster, wait: Wait): Promise<Known> {
  const ofAgents = crowds.map(async ({ control, server }): Promise<Known> => {
    const body = JSON.stringify(wait);
    return await until(`agents know ${wait.count} ${wait.state}`, KNOW_TIMEOUT_MS, async () => {
      if (!server.alive) throw new Error(`agents ended: ${server.lastWords()}`);
      try {
        const response = await fetch(`http://${control}`, { method: 'POST', body });
        return (await response.json()) as Known;
      } catch {
        // It does not listen yet.
        return null;
      }
    });
  });
  const ofMembers = cluster.urls().map(async (url): Promise<number> => {
    return await until(`${url} knows ${wait.count} ${wait.state}`, KNOW_TIMEOUT_MS, async () => {
      const text = (await askBytes(`${url}/metrics`))?.toString() ?? '';
      const lines = text.matchAll(new RegExp(`^kvorum_gossip_members\\{state="${wait.state}",[^}]*\\} (\\d+)$`, 'gm'));
      const count = [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
      return count >= wait.count ? Date.now() : null;
    });
  });
  const [agents, members] = [await Promise.all(ofAgents), await Promise.all(ofMembers)];
  return {
    firstAtMs: Math.min(...members, ...agents.map(({ firstAtMs }) => firstAtMs)),
    lastAtMs: Math.max(...members, ...agents.map(({ lastAtMs }) => lastAtMs)),
    joinedAtMs: Math.max(...agents.map(({ joinedAtMs }) => joinedAtMs)),
    baseMiB: mean(agents.map(({ baseMiB }) => baseMiB)),
  };
}

/** Of one core, all of them together. */
async function cpuPercent(pids: readonly number[], seconds: number): Promise<number | null> {
  const used = (): number[] => pids.map((pid) => cpuSeconds(pid) ?? Number.NaN);
  const [before, began] = [used(), performance.now()];
  await sleep(seconds * 1000);
  const after = used();
  const cpu = after.reduce((sum, value, i) => sum + value - (before[i] ?? Number.NaN), 0);
  return Number.isNaN(cpu) ? null : (cpu / ((performance.now() - began) / 1000)) * 100;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
