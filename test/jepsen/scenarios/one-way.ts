import type { LabNode } from '../types.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';

const STEP_DOWN_MS = 15_000;
const AWAY_MS = 6000;

export const oneWay: Scenario = {
  number: 3,
  name: 'one-way',
  about:
    'a leader that is heard and hears nobody steps down; a member that was deaf, mute or alone comes back and raises no term',
  probe: everywhere,
  async run(stage) {
    const { recorder, lab } = stage;
    stage.startLoad();
    const othersOf = (node: LabNode): LabNode[] => lab.nodes.filter((other) => other.name !== node.name);

    const deaf = await stage.leader();
    const term = await stage.term();
    const cutAt = performance.now();
    await stage.blockAll(othersOf(deaf).map((other) => [other, deaf] as const));
    const next = await stage.leaderOtherThan(deaf, STEP_DOWN_MS);
    const tookMs = Math.round(performance.now() - cutAt);
    const wrote = await stage.comes(async () => (await recorder.put(next, 'one-way', 'x')) === 'acknowledged', 5000);
    stage.must(
      wrote,
      `${deaf.name}, deaf, stepped down: ${next.name} leads after ${tookMs} ms and acknowledges writes`,
    );
    const leads = async (): Promise<boolean> => (await stage.metric(deaf, 'kvorum_raft_is_leader')) === 1;
    stage.must(await stage.comes(async () => !(await leads()), STEP_DOWN_MS), `${deaf.name} does not lead any more`);
    await stage.heal();
    await stage.whole();
    const grown = (await stage.term()) - term;
    stage.must(grown <= 3, `the term grew by ${grown}, at most 3, while the leader was deaf and came back`);

    for (const kind of ['alone', 'deaf', 'mute'] as const) {
      const leader = await stage.leader();
      const away = stage.chance.pick(stage.followers(leader));
      const before = await stage.term();
      const links = othersOf(away).flatMap((other) => [
        ...(kind === 'mute' ? [] : [[other, away] as const]),
        ...(kind === 'deaf' ? [] : [[away, other] as const]),
      ]);
      await stage.blockAll(links);
      await stage.pause(AWAY_MS);
      const during = await stage.term();
      await stage.heal();
      await stage.whole();
      const after = await stage.term();
      const same = (await stage.leader()).name === leader.name;
      stage.must(
        during === before && after === before && same,
        `${away.name}, ${kind} for ${AWAY_MS / 1000} s, came back: term ${before} stayed (${during}, ${after}), ${leader.name} leads on`,
      );
    }
  },
};
