import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';

const ROUNDS = 3;
const WRITES = 10;

export const isolatedLeader: Scenario = {
  number: 2,
  name: 'isolated-leader',
  about:
    'a leader that hears nobody and is heard by nobody acknowledges nothing, and what it alone has in its log goes',
  probe: everywhere,
  async run(stage) {
    const { recorder, client, lab } = stage;
    stage.startLoad();
    let tails = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      const old = await stage.leader();
      const keys = Array.from({ length: WRITES }, (_, index) => `isolated/${round}/${index}`);
      await recorder.put(old, `isolated/${round}/0`, 'before');
      await stage.isolate(old);
      const committed = (await stage.metric(old, 'kvorum_raft_commit_index')) ?? 0;
      // While it still believes that it leads, it takes them into its log.
      const puts = keys.map(async (key) => await recorder.put(old, key, 'of the isolated'));
      const next = await stage.leaderOtherThan(old);
      const across = keys[0] ?? '';
      await stage.until(async () => (await recorder.put(next, across, 'of the next')) === 'acknowledged', 'a write');
      const ends = await Promise.all(puts);
      const last = (await stage.metric(old, 'kvorum_raft_last_index')) ?? 0;
      const tail = Math.max(0, last - committed);
      tails += tail;
      stage.say(`round ${round}: ${old.name} alone had ${tail} entries, ${next.name} led; its answers: ${count(ends)}`);
      stage.must(!ends.includes('acknowledged'), `${old.name} acknowledged nothing while it was alone`);
      await stage.heal();
      await stage.whole();
      const present: string[] = [];
      for (const key of keys) {
        const read = await client.get(old, key, lab.signal);
        if (read.type !== 'read') stage.needs(false, `${key} can be read after healing`);
        else if (read.entry?.value === 'of the isolated') present.push(key);
      }
      stage.must(present.length === 0, `nothing of what ${old.name} alone had is there after healing`);
    }
    stage.needs(tails > 0, 'an isolated leader had entries of its own');
  },
};

function count(ends: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const end of ends) counts.set(end, (counts.get(end) ?? 0) + 1);
  return [...counts].map(([end, number]) => `${number} ${end}`).join(', ');
}
