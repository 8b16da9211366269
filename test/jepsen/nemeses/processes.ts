/** What happens to processes: killed, asked to stop, paused. */
import { startAgain as startOne, WrongUnderFault } from '../faults/starting.ts';
import type { Fault, Lab, LabNode, Nemesis } from '../types.ts';
import { leaderOrAny, minority, names, shuffled } from './cut.ts';

/** After the fault has been held already. */
const STOP_TIMEOUT_MS = 60_000;
const READY_TIMEOUT_MS = 60_000;

const probe = async (): Promise<null> => await Promise.resolve(null);

export const kill: Nemesis = {
  name: 'kill',
  about: 'SIGKILL to the leader or to a minority, started again later',
  probe,
  inject: async (lab) => await end(lab, await victims(lab), 'SIGKILL', 'killed'),
};

export const killAll: Nemesis = {
  name: 'kill-all',
  about: 'SIGKILL to all nodes at once, started again later',
  probe,
  inject: async (lab) => await end(lab, lab.nodes, 'SIGKILL', 'killed'),
};

export const restart: Nemesis = {
  name: 'restart',
  about: 'SIGTERM to the leader or to a minority: hand-over, drain, exit; started again later',
  probe,
  inject: async (lab) => await end(lab, await victims(lab), 'SIGTERM', 'stopped'),
};

export const pause: Nemesis = {
  name: 'pause',
  about: 'SIGSTOP to the leader, a minority, or now and then all; SIGCONT later',
  probe,
  inject: async (lab) => {
    const some = await victims(lab);
    const paused = (lab.chance.chance(0.1) ? lab.nodes : some).filter((node) => node.alive);
    if (paused.length === 0) return null;
    for (const node of paused) node.pause();
    return {
      what: `${names(paused)} paused`,
      heal: async () => {
        for (const node of paused) node.resume();
        await Promise.resolve();
      },
    };
  },
};

/** The leader half of the time, else some nodes that a majority can do without. */
async function victims(lab: Lab): Promise<readonly LabNode[]> {
  const some = shuffled(lab.chance, lab.nodes).slice(0, lab.chance.between(1, Math.max(1, minority(lab))));
  const theLeader = lab.chance.chance(0.5);
  const leader = await leaderOrAny(lab);
  return theLeader ? [leader] : some;
}

async function end(
  lab: Lab,
  chosen: readonly LabNode[],
  signal: 'SIGKILL' | 'SIGTERM',
  how: string,
): Promise<Fault | null> {
  const nodes = chosen.filter((node) => node.alive);
  if (nodes.length === 0) return null;
  const gone = Promise.all(nodes.map(async (node) => await node.kill(signal)));
  if (signal === 'SIGKILL') await gone;
  return {
    what: `${names(nodes)} ${how}`,
    heal: async () => {
      await goneInTime(nodes, gone);
      await startAgain(nodes);
      lab.log(`${names(nodes)} back`);
    },
  };
}

/** A node that was asked to stop hands over, drains and ends; it may not take for ever. */
async function goneInTime(nodes: readonly LabNode[], gone: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => resolve('late'), STOP_TIMEOUT_MS);
  const outcome = await Promise.race([gone, late]);
  clearTimeout(timer);
  if (outcome !== 'late') return;
  const stuck = nodes.filter((node) => node.alive);
  await Promise.all(stuck.map(async (node) => await node.kill('SIGKILL')));
  await startAgain(nodes);
  throw new WrongUnderFault(`${names(stuck)} did not stop within ${STOP_TIMEOUT_MS} ms of SIGTERM`);
}

/**
 * Starts those that do not run, and waits until all serve. On a busy machine that may take longer than there is time here:
 * whether they serve in the end is asked once everything is healed. Rejects when one ends.
 */
export async function startAgain(nodes: readonly LabNode[]): Promise<void> {
  for (const node of nodes) if (!node.alive) node.start();
  await Promise.all(nodes.map(async (node) => await startOne(node, READY_TIMEOUT_MS)));
}
