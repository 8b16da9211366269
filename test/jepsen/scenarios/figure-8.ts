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
      const logs = async (nodes: readonly RealNode[]): Promise<number> => {
        const ends = await Promise.all(nodes.map(async (node) => await stage.metric(node, 'kvorum_raft_last_index')));
        return Math.max(...ends.map((end) => end ?? 0));
      };
      // It believes that it leads for as long as an election time-out; what was on its way has arrived by then.
      const without = rest.filter((node) => node !== s5);
      await stage.pause(100);
      const others = await logs(without);
      const hasMore = await stage.comes(async () => (await logs([s5])) > others, 1500);
      await s5.kill('SIGKILL');
      let before = s1;
      if (round % 2 === 0) {
        // (c) S1 or S2 is elected again, and goes on to replicate what it has; it crashes in the middle of that.
        await stage.heal();
        const again = await stage.leaderOtherThan(s5);
        before = again;
        put(again, `again of ${again.name}`);
        await stage.pause(chance.between(0, 150));
        await again.kill('SIGKILL');
        s5.start();
      } else {
        // S5 is back with those that have neither entry: only it can win, and overwrites what S1 and S2 have.
        for (const node of without) {
          await lab.network.unblock(node, s5);
          await lab.network.unblock(s5, node);
        }
        s5.start();
      }
      // (d)
      const last = await stage.leaderOtherThan(before);
      put(last, `last of ${last.name}`);
      if (last === s5) overwritten++;
      await stage.pause(chance.between(0, 150));
      await last.kill('SIGKILL');
      await stage.heal();
      await lab.startAll();
      await stage.whole();
      await Promise.all(open);
      const values = await Promise.all(lab.nodes.map(async (node) => await recorder.get(node, key)));
      const seen = new Set(values.map((read) => (read === 'unanswered' ? read : String(read.value))));
      stage.say(
        `round ${round}: ${s1.name} and ${s2.name} had an entry, then ${s5.name} ${hasMore ? 'alone had one' : 'had none'}, ` +
          `then ${before === s1 ? 'nobody' : before.name} led, then ${last.name}; in the end: ${[...seen].join(', ')}`,
      );
      stage.must(seen.size === 1, `all nodes answer the same for ${key}`);
    }
    stage.needs(overwritten > 0, 'the one with an entry of its own came back as leader');
    stage.say(`${overwritten} of ${ROUNDS} times the one with the entry of its own came back as leader`);
  },
};
