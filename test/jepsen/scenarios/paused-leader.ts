import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';

const ROUNDS = 4;
const READS = 40;

export const pausedLeader: Scenario = {
  number: 1,
  name: 'paused-leader',
  about:
    'the leader is stopped (SIGSTOP), another one is elected and writes; resumed, the old one never serves what was before',
  probe: everywhere,
  async run(stage) {
    const { recorder } = stage;
    let inAll = 0;
    stage.startLoad();
    for (let round = 1; round <= ROUNDS; round++) {
      const old = await stage.leader();
      const key = `paused/${round}`;
      await recorder.put(old, key, 'before');
      old.pause();
      const next = await stage.leaderOtherThan(old);
      await stage.until(async () => (await recorder.put(next, key, `after ${round}`)) === 'acknowledged', 'a write');
      // Some wait in its sockets when it wakes up, some come right after.
      const waiting = Array.from({ length: READS / 2 }, async () => await recorder.get(old, key));
      await stage.pause(stage.chance.between(0, 1500));
      old.resume();
      const later = Array.from({ length: READS / 2 }, async () => await recorder.get(old, key));
      const reads = await Promise.all([...waiting, ...later]);
      const answered = reads.filter((read) => read !== 'unanswered');
      inAll += answered.length;
      const stale = answered.filter(({ value }) => value !== `after ${round}`);
      stage.say(`round ${round}: ${old.name} woke up, ${next.name} led: ${answered.length} of ${READS} reads answered`);
      stage.must(stale.length === 0, `no read of ${old.name} is older than the write that ${next.name} acknowledged`);
      await stage.until(async () => (await recorder.get(old, key)) !== 'unanswered', `${old.name} serves again`);
    }
    stage.needs(inAll > 0, 'a read that was made while the old leader slept or woke up was answered');
  },
};
