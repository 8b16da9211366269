import { rmSync } from 'node:fs';

import { expectEnds } from '../faults/equipment.ts';
import { asidePath, copyDirectory, emptyDirectory } from '../faults/files.ts';
import { startAndSee } from '../faults/starting.ts';
import type { RealNode } from '../lab-node.ts';
import { isVoterEverywhere, makeNew, membersAt } from '../members.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';

const ALONE_MS = 6000;
const START_TIMEOUT_MS = 15_000;
const REPLACE_TIMEOUT_MS = 40_000;

export const wipedMember: Scenario = {
  number: 12,
  name: 'wiped-member',
  about:
    'a member whose data directory was emptied comes back under its old name: it is refused, and never makes a majority; by one command it is replaced',
  probe: everywhere,
  async run(stage) {
    const { recorder, chance } = stage;
    stage.startLoad();
    await stage.acknowledgedMore(100);
    const leader = await stage.leader();
    const wiped = chance.pick(stage.followers(leader));
    const other = stage.followers(leader).find((node) => node !== wiped);
    if (other === undefined) throw new Error('a cluster of three has two followers');
    await wiped.kill('SIGKILL');
    const aside = asidePath(wiped.dataDir, 'undamaged');
    copyDirectory(wiped.dataDir, aside);
    emptyDirectory(wiped.dataDir);

    // With its leader away, the other one has no majority: a wiped member that voted would make one.
    const term = await stage.term();
    await leader.kill('SIGKILL');
    expectEnds(wiped, ['ERR_MEMBER_REPLACED']);
    const start = await startAndSee(wiped, START_TIMEOUT_MS);
    const refused = start.kind === 'ended' && start.code === 'ERR_MEMBER_REPLACED';
    stage.must(refused, `${wiped.name}, wiped, is refused by ${other.name} alone with ERR_MEMBER_REPLACED`);
    const elected = await stage.comes(async () => {
      if (!wiped.alive) wiped.start();
      return (await stage.metric(other, 'kvorum_raft_is_leader')) === 1;
    }, ALONE_MS);
    stage.must(!elected, `${other.name} is not elected by it, however often it is started within ${ALONE_MS / 1000} s`);
    const put = await recorder.put(other, 'wiped', 'without a majority');
    stage.must(put !== 'acknowledged', `${other.name} acknowledges nothing`);

    leader.start();
    await leader.ready();
    if (wiped.alive) await wiped.kill('SIGKILL');
    const again = await startAndSee(wiped, START_TIMEOUT_MS);
    stage.must(
      again.kind === 'ended' && again.code === 'ERR_MEMBER_REPLACED',
      `with a majority back, ${wiped.name} is refused all the same`,
    );
    const grown = (await stage.term()) - term;
    stage.must(grown <= 2, `the term grew by ${grown}, at most 2: by the election that had to be`);

    copyDirectory(aside, wiped.dataDir);
    rmSync(aside, { recursive: true });
    expectEnds(wiped, []);
    const restored = await startAndSee(wiped, START_TIMEOUT_MS);
    stage.must(restored.kind === 'ready', `with its own data again ${wiped.name} serves`);
    await isReplaced(stage, wiped);
  },
};

/** What is to be done about a disk that is gone: one command, and the identity of before is nobody's any more. */
async function isReplaced(stage: Stage, wiped: RealNode): Promise<void> {
  const before = (await membersAt(wiped))?.find(({ name }) => name === wiped.name)?.id ?? null;
  stage.needs(before !== null, `${wiped.name} says who it is`);
  await wiped.kill('SIGKILL');
  const [old, current] = [asidePath(wiped.dataDir, 'old'), asidePath(wiped.dataDir, 'new')];
  copyDirectory(wiped.dataDir, old);
  await makeNew(stage.lab, wiped, { replaces: true });
  const start = await startAndSee(wiped, REPLACE_TIMEOUT_MS);
  stage.must(start.kind === 'ready', `on an empty disk and with --replace ${wiped.name} is a new node`);
  const isVoter = async (): Promise<boolean> => await isVoterEverywhere(stage.lab, wiped, before);
  stage.must(await stage.comes(isVoter, REPLACE_TIMEOUT_MS), `${wiped.name} is a voter under a new identity`);

  await wiped.kill('SIGKILL');
  copyDirectory(wiped.dataDir, current);
  copyDirectory(old, wiped.dataDir);
  expectEnds(wiped, ['ERR_MEMBER_REMOVED']);
  const revenant = await startAndSee(wiped, START_TIMEOUT_MS);
  const isTold = revenant.kind === 'ended' && revenant.code === 'ERR_MEMBER_REMOVED';
  stage.must(isTold, `with the disk of before ${wiped.name} is told that it was removed`);
  await wiped.kill('SIGKILL');
  copyDirectory(current, wiped.dataDir);
  for (const copy of [old, current]) rmSync(copy, { recursive: true });
  expectEnds(wiped, []);
  const again = await startAndSee(wiped, START_TIMEOUT_MS);
  stage.must(again.kind === 'ready', `with its new disk ${wiped.name} serves`);
}
