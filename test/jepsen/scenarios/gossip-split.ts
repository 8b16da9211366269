import { DEFAULT_SETTINGS } from '../../../src/gossip/index.ts';
import { membersAt } from '../members.ts';
import { between } from '../nemeses/cut.ts';
import type { LabNode } from '../types.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';

const { gossipToTheDeadMs } = DEFAULT_SETTINGS;
/** Suspicion and its news, for two or three members at once. */
const NOTICE_MS = 60_000;
/** Dialling again after the split, and the news. */
const MERGE_MS = 30_000;

export const gossipSplit: Scenario = {
  number: 20,
  name: 'gossip-split',
  about:
    'two of five nodes are cut off for longer than the dead are gossiped to, each half takes the other for dead, and after healing all know all again',
  probe: everywhere,
  nodes: 5,
  async run(stage) {
    const { chance, lab, recorder } = stage;
    stage.startLoad();
    await stage.acknowledgedMore(100);
    stage.must(await stage.comes(async () => await allAre(lab.nodes, lab.nodes, 'alive'), MERGE_MS), 'all know all');
    const leader = await stage.leader();
    const [first] = stage.followers(leader);
    if (first === undefined) throw new Error('a cluster of five has followers');
    // Once the leader is among the few, once it is not.
    const second = chance.chance(0.5) ? leader : chance.pick(stage.followers(leader).filter((node) => node !== first));
    const few = [first, second];
    const many = lab.nodes.filter((node) => !few.includes(node));
    stage.say(`${few.map(({ name }) => name).join(' ')} | ${many.map(({ name }) => name).join(' ')}`);
    await stage.blockAll(between(few, many));
    const apart = async (): Promise<boolean> =>
      (await allAre(few, many, 'unreachable')) && (await allAre(many, few, 'unreachable'));
    stage.must(await stage.comes(apart, NOTICE_MS), 'each half takes the other for dead, and no member of its own');
    stage.must((await allAre(few, few, 'alive')) && (await allAre(many, many, 'alive')), 'each half knows its own');
    await stage.acknowledgedMore(50);
    const put = await recorder.put(first, 'split', 'by the few');
    stage.must(put !== 'acknowledged', `${first.name}, among the few, acknowledges nothing`);
    await stage.pause(1.5 * gossipToTheDeadMs);
    stage.must(await apart(), 'and so it stays');
    const term = Math.max(...(await Promise.all(many.map(async (node) => await termOf(stage, node)))));

    await stage.heal();
    const healedAt = performance.now();
    const whole = await stage.comes(async () => await allAre(lab.nodes, lab.nodes, 'alive'), MERGE_MS);
    const tookMs = Math.round(performance.now() - healedAt);
    stage.must(whole, `all know all again, within ${MERGE_MS / 1000} s of the healing: ${tookMs} ms`);
    await stage.whole();
    const grown = (await stage.term()) - term;
    stage.must(grown <= 1, `the term grew by ${grown}, at most 1, when the few came back`);
    await stage.acknowledgedMore(50);
  },
};

/** As each of `by` has it. */
async function allAre(by: readonly LabNode[], of: readonly LabNode[], health: string): Promise<boolean> {
  const views = await Promise.all(by.map(membersAt));
  return views.every((view) => of.every(({ name }) => view?.find((one) => one.name === name)?.health === health));
}

async function termOf(stage: Stage, node: LabNode): Promise<number> {
  return (await stage.metric(node, 'kvorum_raft_term')) ?? 0;
}
