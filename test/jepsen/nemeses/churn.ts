/** Members that go and come: a follower is removed by the API and comes back as a new node, or its disk is lost and a new node takes its place. */
import { until } from '../../integration/until.ts';
import { expectEnds, mayLoseOne, outOf, wellNodes } from '../faults/equipment.ts';
import { endsByItself, startAgain, WrongUnderFault } from '../faults/starting.ts';
import { isVoterEverywhere, makeNew, membersAt, remove } from '../members.ts';
import type { Fault, Lab, LabNode, Nemesis } from '../types.ts';

const REMOVAL_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;
const BACK_TIMEOUT_MS = 60_000;

export const churn: Nemesis = {
  name: 'churn',
  about: 'a member is removed, or loses its disk, and a new node takes its place, also while the network is cut',
  probe: async () => await Promise.resolve(null),
  inject: async (lab) => {
    if (lab.nodes.length < 3 || !mayLoseOne(lab)) return null;
    const node = lab.chance.pick(lab.nodes);
    if (!wellNodes(lab).includes(node)) return null;
    const removes = lab.chance.chance(0.5);
    const before = (await membersAt(node))?.find(({ name }) => name === node.name)?.id ?? null;
    if (before === null) return null;
    outOf(lab).add(node);
    return removes ? await removed(lab, node, before) : await lost(lab, node, before);
  },
};

/** Removed while it runs; what it does not hear it hears when it is healed. */
async function removed(lab: Lab, node: LabNode, before: string): Promise<Fault> {
  let done = false;
  const asking = remove(lab, node, REMOVAL_TIMEOUT_MS).then(
    () => {
      done = true;
    },
    // Without a majority, or a leader, nobody is removed.
    () => undefined,
  );
  await asking;
  return {
    what: `${node.name} ${done ? 'removed' : 'could not be removed'}`,
    heal: async () => {
      // What could not be removed in time may yet be: by a leader that has it in its log.
      const stops = await endsByItself(node, done ? STOP_TIMEOUT_MS : 0);
      if (done && !stops) throw new WrongUnderFault(`${node.name} was removed and did not stop`);
      await node.kill('SIGKILL');
      await back(lab, node, before, !done);
    },
  };
}

/** Its disk is gone for good; the one that comes is another. */
async function lost(lab: Lab, node: LabNode, before: string): Promise<Fault> {
  await node.kill('SIGKILL');
  await makeNew(lab, node, { replaces: true });
  node.start();
  return { what: `${node.name} lost its disk and is replaced`, heal: async () => await back(lab, node, before, null) };
}

/** `replaces` null: it is on its way already. */
async function back(lab: Lab, node: LabNode, before: string, replaces: boolean | null): Promise<void> {
  if (replaces !== null) await makeNew(lab, node, { replaces });
  expectEnds(node, []);
  await startAgain(node, BACK_TIMEOUT_MS);
  await until(async () => await isVoterEverywhere(lab, node, before), {
    ...{ timeoutMs: BACK_TIMEOUT_MS, what: `${node.name} is a voter again`, pollMs: 100 },
  });
  outOf(lab).delete(node);
}
