/**
 * Trap 6: a disk that drops all that was not synced, crashed at every step of every scenario. Each script is run again for
 * each of its commands and each node, with a crash and a restart of that node after that command. What the script
 * then says is not compared, since the story is another one; but every invariant holds at every step, and in the end the
 * cluster is whole and nothing acknowledged is lost.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/raft/types.ts';
import { Cluster } from './cluster.ts';
import { parseScenario, Scenario } from '../raft/scenario.ts';

const directory = new URL('../raft/testdata/', import.meta.url);

/** Starts what is down, loses nothing more, and ticks until all logs are equal. */
function heal(cluster: Cluster, scenario: Scenario): void {
  // Time-outs that differ, as they would.
  [...cluster.hosts.keys()].forEach((id, i) => scenario.run(`random ${id} ${(i * 0.37) % 1}`));
  for (const host of cluster.hosts.values()) if (!host.up) cluster.act(host.id, () => host.start());
  cluster.settle();
  const whole = (): boolean => {
    const leader = cluster.leader();
    if (leader === undefined || leader.status.commit !== leader.status.lastIndex) return false;
    const reached = [...leader.status.configuration.voters, ...leader.status.configuration.learners];
    return reached.every((id) => cluster.node(id).applied.index === leader.applied.index);
  };
  for (let ticks = 0; !whole(); ticks++) {
    if (ticks > 400) throw new Error('the cluster is not whole after 400 calm ticks');
    cluster.tick();
  }
}

function runWithCrash(commands: readonly string[], at: number, victim: NodeId, survivors: number): void {
  const cluster = new Cluster();
  const scenario = new Scenario(cluster);
  commands.forEach((command, i) => {
    scenario.run(command);
    if (i === at && cluster.node(victim).up) {
      cluster.node(victim).crash(survivors);
      cluster.act(victim, (host) => host.start());
    }
  });
  heal(cluster, scenario);
}

describe('a crash at every step', () => {
  for (const file of readdirSync(directory).toSorted()) {
    if (!file.endsWith('.txt')) continue;
    test(file, { timeout: 60_000 }, () => {
      const commands = parseScenario(readFileSync(new URL(file, directory), 'utf8')).map(({ command }) => command);
      const probe = new Cluster();
      const scenario = new Scenario(probe);
      // Nodes that are up at each step.
      const up = commands.map((command) => {
        scenario.run(command);
        return [...probe.hosts.values()].filter((host) => host.up).map((host) => host.id);
      });
      let runs = 0;
      up.forEach((ids, at) => {
        for (const victim of ids) {
          for (const survivors of [0, 1]) {
            try {
              runWithCrash(commands, at, victim, survivors);
              runs += 1;
            } catch (error) {
              const step = `${file}: node ${victim} crashes after step ${at + 1} (${commands[at]}), ${survivors} survive`;
              throw new Error(`${step}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
            }
          }
        }
      });
      expect(runs).toBeGreaterThan(0);
    });
  }
});
