import { acquireShims, releaseShims, requireShim } from '../faults/equipment.ts';
import { probeShim } from '../faults/shim.ts';
import { starve } from '../nemeses/starve.ts';
import type { LabNode } from '../types.ts';
import type { Scenario } from './scenario.ts';
import type { Stage } from './stage.ts';

const PHASE_MS = 10_000;
/** Well below the election time-out of a second; together most of the time. */
const STALL_MS = 350;
const BETWEEN_STALLS_MS = 150;

/** Term growth in a phase that may still be called calm. */
const MAX_TERMS = 3;

export const slowDisk: Scenario = {
  number: 18,
  name: 'slow-disk',
  about:
    'slow syncs everywhere, a disk that stands still on one, an event loop that stalls: no term storm, nobody ends',
  probe: async () => await Promise.resolve(probeShim()),
  prepare: acquireShims,
  dispose: releaseShims,
  async run(stage) {
    const { lab } = stage;
    stage.startLoad({ rate: 60 });
    const slow = async (nodes: readonly LabNode[], delayMs: number): Promise<void> => {
      for (const node of nodes) (await requireShim(lab, node)).slowSyncs(delayMs, delayMs / 2);
    };

    await phase(stage, 'every sync takes 200 to 300 ms on all nodes', async () => {
      await slow(lab.nodes, 200);
      await stage.pause(PHASE_MS);
      await slow(lab.nodes, 0);
    });

    const leader = await stage.leader();
    const follower = stage.chance.pick(stage.followers(leader));
    await phase(stage, `the disk of the follower ${follower.name} stands still`, async () => {
      await slow([follower], 60_000);
      await stage.pause(PHASE_MS);
      await slow([follower], 0);
    });

    const second = await stage.leader();
    await phase(stage, `the disk of the leader ${second.name} stands still`, async () => {
      await slow([second], 60_000);
      await stage.pause(PHASE_MS);
      await slow([second], 0);
    });

    const third = await stage.leader();
    const all = [third, stage.chance.pick(stage.followers(third))];
    const names = all.map(({ name }) => name).join(' and ');
    await phase(stage, `${names} stall for ${STALL_MS} ms, twice a second`, async () => {
      const end = performance.now() + PHASE_MS;
      while (performance.now() < end) {
        for (const node of all) node.pause();
        await stage.pause(STALL_MS);
        for (const node of all) node.resume();
        await stage.pause(BETWEEN_STALLS_MS);
      }
    });

    const reason = await starve.probe();
    if (reason !== null) {
      stage.say(`starving is skipped: ${reason}`);
      return;
    }
    await phase(stage, 'a node has a few percent of a processor', async () => {
      const fault = await starve.inject(lab);
      stage.say(fault?.what ?? 'nobody');
      await stage.pause(PHASE_MS);
      await fault?.heal();
    });
  },
};

async function phase(stage: Stage, what: string, play: () => Promise<void>): Promise<void> {
  await stage.whole();
  const before = await stage.term();
  const acknowledged = stage.acknowledged;
  const ends = stage.lab.ownEnds.length;
  await play();
  await stage.whole();
  const grown = (await stage.term()) - before;
  const written = stage.acknowledged - acknowledged;
  stage.must(grown <= MAX_TERMS, `${what}: the term grew by ${grown}, at most ${MAX_TERMS}`);
  stage.must(stage.lab.ownEnds.length === ends, 'nobody ended by itself');
  stage.must(written > 0, `the cluster went on: ${written} acknowledged writes`);
}
