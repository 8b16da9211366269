import { expectEnds } from '../faults/equipment.ts';
import { endsByItself, startAndSee } from '../faults/starting.ts';
import type { RealNode } from '../lab-node.ts';
import { askToRemove, isVoterEverywhere, makeNew, membersAt } from '../members.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';

const STOP_TIMEOUT_MS = 20_000;
const START_TIMEOUT_MS = 40_000;
const NEW_LEADER_MS = 5000;

export const newMembers: Scenario = {
  number: 11,
  name: 'new-members',
  about:
    'under load the leader is removed, two of three lose their disks and are replaced one after the other, and a member is removed while it is cut off',
  probe: everywhere,
  async run(stage) {
    stage.startLoad({ rate: 100, workloads: ['register', 'append', 'increments'] });
    await stage.acknowledgedMore(100);
    await removeLeader(stage);
    await replaceTwo(stage);
    await removeWhileCutOff(stage);
    await stage.acknowledgedMore(100);
  },
};

/** It hands over, says that it was removed, and stops; its name is free, and a new node takes it. */
async function removeLeader(stage: Stage): Promise<void> {
  const leader = await stage.leader();
  const before = await idOf(leader);
  const [other] = stage.followers(leader);
  if (other === undefined) throw new Error('a cluster of three has two followers');
  expectEnds(leader, ['ERR_MEMBER_REMOVED']);
  const answer = await askToRemove(other, leader.name);
  stage.must(answer === 'done', `the leader ${leader.name} is removed by a call to ${other.name}: ${answer}`);
  const next = await stage.leaderOtherThan(leader, NEW_LEADER_MS);
  stage.must(await endsByItself(leader, STOP_TIMEOUT_MS), `${leader.name} stops by itself`);
  stage.must(leader.lastExit?.code === 1, `${leader.name} ends with exit code 1`);
  await stage.acknowledgedMore(50);
  const again = await startAndSee(leader, STOP_TIMEOUT_MS);
  stage.must(
    again.kind === 'ended' && again.code === 'ERR_MEMBER_REMOVED',
    `with its old disk ${leader.name} is told again that it was removed`,
  );
  await leader.kill('SIGKILL');
  await makeNew(stage.lab, leader, { replaces: false });
  await comesBack(stage, leader, before);
  stage.say(`${next.name} leads on, and ${leader.name} is a new member`);
}

/** While the third is cut off from one of them, now and then. */
async function replaceTwo(stage: Stage): Promise<void> {
  const nodes = [...stage.lab.nodes];
  const stays = stage.chance.pick(nodes);
  for (const node of nodes.filter((one) => one !== stays)) {
    const before = await idOf(node);
    await node.kill('SIGKILL');
    await makeNew(stage.lab, node, { replaces: true });
    const third = nodes.find((one) => one !== stays && one !== node);
    if (third === undefined) throw new Error('a cluster of three has a third node');
    node.start();
    // One way to the others is gone for a while, in the middle of it.
    await stage.blockAll([
      [third, node],
      [node, third],
    ]);
    await stage.pause(stage.chance.between(200, 2500));
    await stage.heal();
    await comesBack(stage, node, before);
    await stage.acknowledgedMore(50);
  }
}

async function removeWhileCutOff(stage: Stage): Promise<void> {
  const leader = await stage.leader();
  const gone = stage.chance.pick(stage.followers(leader));
  const before = await idOf(gone);
  await stage.isolate(gone);
  expectEnds(gone, ['ERR_MEMBER_REMOVED']);
  const removed = await stage.comes(async () => (await askToRemove(leader, gone.name)) === 'done', 20_000);
  stage.must(removed, `${gone.name} is removed while it is cut off`);
  await stage.acknowledgedMore(50);
  stage.must(gone.alive, `${gone.name} has not heard of it`);
  await stage.heal();
  stage.must(await endsByItself(gone, STOP_TIMEOUT_MS), `${gone.name} stops by itself when it hears of it`);
  await makeNew(stage.lab, gone, { replaces: false });
  await comesBack(stage, gone, before);
}

async function comesBack(stage: Stage, node: RealNode, before: string): Promise<void> {
  const start = await startAndSee(node, START_TIMEOUT_MS);
  stage.must(start.kind === 'ready', `${node.name} serves as a new node`);
  const voter = await stage.comes(async () => await isVoterEverywhere(stage.lab, node, before), START_TIMEOUT_MS);
  stage.must(voter, `${node.name} is a voter under a new identity`);
}

async function idOf(node: RealNode): Promise<string> {
  const member = (await membersAt(node))?.find(({ name }) => name === node.name);
  if (member === undefined) throw new Error(`${node.name} does not say who it is`);
  return member.id;
}
