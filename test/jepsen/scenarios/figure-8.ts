import type { RealNode } from '../lab-node.ts';
import { between } from '../nemeses/cut.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';

const ROUNDS = 6;

/**
 * Figure 8 of the Raft paper as far as it can be driven from outside: an entry of an old term comes to lie on a majority and
 * is overwritten all the same. Which states exactly are reached is up to timing; so it is done several times, and what must
 * hold is what clients see.
 */
export const figure8: Scenario = {
  number: 8,
  name: 'figure-8',
  about:
    'leaders crash with entries on some nodes only, again and again, until old entries lie on a majority: nothing acknowledged is overwritten',
  nodes: 5,
  probe: everywhere,
  async run(stage) {
    const { recorder, chance, lab } = stage;
    stage.startLoad({ rate: 60, clients: 5 });
    let overwritten = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      const key = `figure-8/${round}`;
      const open: Promise<unknown>[] = [];
      const put = (node: RealNode, value: string): void => void open.push(recorder.put(node, key, value));

      // (a) S1 leads, and its entry reaches one follower only.
      const s1 = await stage.leader();
      const s2 = chance.pick(stage.followers(s1));
      const rest = lab.nodes.filter((node) => node !== s1 && node !== s2);
      await stage.blockAll(between([s1, s2], rest));
      put(s1, `of ${s1.name}`);
      // (b) S5 is elected by the others, takes an entry at the same place, and keeps it to itself.
      const s5 = await stage.leaderOtherThan(s1);
      await stage.isolate(s5);
      put(s5, `of ${s5.name}`);
      await stage.pause(chance.between(50, 400));
      const alone = await stage.metric(s5, 'kvorum_raft_last_index');
      await s5.kill('SIGKILL');
      // (c) S1 or S2 is elected again, and goes on to replicate what it has; it crashes in the middle of that.
      await stage.heal();
      const again = await stage.leaderOtherThan(s5);
      put(again, `again of ${again.name}`);
      await stage.pause(chance.between(0, 150));
      await again.kill('SIGKILL');
      // (d) S5 is back, and may win against those that have the old entry only.
      s5.start();
      const last = await stage.leaderOtherThan(again);
      if (last === s5) overwritten++;
      await lab.startAll();
      await stage.whole();
      await Promise.all(open);
      const values = await Promise.all(lab.nodes.map(async (node) => await recorder.get(node, key)));
      const seen = new Set(values.map((read) => (read === 'unanswered' ? read : String(read.value))));
      stage.say(
        `round ${round}: ${s1.name} and ${s2.name} had an entry, then ${s5.name} alone (log up to ${alone ?? '?'}), ` +
          `${again.name} led again, then ${last.name}; in the end: ${[...seen].join(', ')}`,
      );
      stage.must(seen.size === 1, `all nodes answer the same for ${key}`);
    }
    stage.say(`${overwritten} of ${ROUNDS} times the one with the entry of its own came back as leader`);
  },
};
