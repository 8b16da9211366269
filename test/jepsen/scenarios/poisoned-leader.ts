import {
  acquireDisks,
  acquireShims,
  expectEnds,
  releaseDisks,
  releaseShims,
  requireDisk,
  requireShim,
} from '../faults/equipment.ts';
import { POISONED } from '../faults/failing-disk.ts';
import { probeLoopDisk } from '../faults/loop-disk.ts';
import { probeShim } from '../faults/shim.ts';
import { endsByItself, lastErrorCode } from '../faults/starting.ts';
import type { RealNode } from '../lab-node.ts';
import type { Scenario } from './scenario.ts';
import type { Stage } from './stage.ts';

const STOP_TIMEOUT_MS = 20_000;

interface Failure {
  readonly name: string;
  /** Breaks it; gives back what tells whether the node has met it, and what mends it. */
  break(stage: Stage, node: RealNode): Promise<{ met: () => boolean; mend: () => void }>;
}

async function hasDisk(): Promise<boolean> {
  return (await probeLoopDisk()) === null;
}

const SHIM_FAILURES: readonly Failure[] = [
  shimFailure('EIO on one sync', 'sync', 1, 'EIO'),
  shimFailure('EIO on every sync', 'sync', -1, 'EIO'),
  shimFailure('EIO on one write', 'write', 1, 'EIO'),
  shimFailure('ENOSPC on one write', 'write', 1, 'ENOSPC'),
  shimFailure('ENOSPC on every write', 'write', -1, 'ENOSPC'),
];

function shimFailure(name: string, kind: 'sync' | 'write', count: number, error: 'EIO' | 'ENOSPC'): Failure {
  return {
    name,
    break: async ({ lab }, node) => {
      const shim = await requireShim(lab, node);
      const failed = (): number => (kind === 'sync' ? shim.counts.syncsFailed : shim.counts.writesFailed);
      const before = failed();
      const set = (left: number): void => {
        if (kind === 'sync') shim.failSyncs(left, error);
        else shim.failWrites(left, error);
      };
      set(count);
      return { met: () => failed() > before, mend: () => set(0) };
    },
  };
}

const DISK_FULL: Failure = {
  name: 'a full disk',
  break: async ({ lab }, node) => {
    const disk = await requireDisk(lab, node);
    const told = node.logs().length;
    await disk.fill();
    return { met: () => node.logs().includes(POISONED, told), mend: () => disk.drain() };
  },
};

export const poisonedLeader: Scenario = {
  number: 17,
  name: 'poisoned-leader',
  about:
    'a write or a sync of the leader fails once or for good: it stops by itself, and acknowledges nothing afterwards',
  probe: async () => await Promise.resolve(probeShim()),
  prepare: async (lab) => {
    await acquireShims(lab);
    if (await hasDisk()) await acquireDisks(lab);
  },
  dispose: async (lab) => {
    if (await hasDisk()) await releaseDisks(lab);
    await releaseShims(lab);
  },
  async run(stage) {
    stage.startLoad();
    const failures = [...SHIM_FAILURES, ...((await hasDisk()) ? [DISK_FULL] : [])];
    if (failures.length === SHIM_FAILURES.length)
      stage.say('a full disk is skipped: no disk of its own can be mounted');
    for (const failure of failures) await poison(stage, failure);
  },
};

/**
 * Clients write to the leader without a pause. Writes that were called after the failure was seen from outside and that
 * were acknowledged by the failed process would be the broken promise.
 */
async function poison(stage: Stage, failure: Failure): Promise<void> {
  const { recorder } = stage;
  const leader = await stage.leader();
  await stage.acknowledgedMore(20);
  expectEnds(leader, [POISONED]);
  const { met, mend } = await failure.break(stage, leader);
  let after = 0;
  let afterAcknowledged = 0;
  let isOver = false;
  const writer = async (number: number): Promise<void> => {
    for (let sequence = 0; !isOver; sequence++) {
      const late = met();
      if (late) after++;
      const put = await recorder.put(leader, `poisoned/${failure.name.replaceAll(' ', '-')}/${number}`, `${sequence}`);
      if (put === 'acknowledged' && late) afterAcknowledged++;
      // A refused connection comes back at once.
      if (put !== 'acknowledged') await stage.pause(2);
    }
  };
  const writers = Promise.all(Array.from({ length: 4 }, async (_, number) => await writer(number)));
  const ended = await endsByItself(leader, STOP_TIMEOUT_MS);
  isOver = true;
  await writers;
  const code = ended ? lastErrorCode(leader) : 'nothing';
  const exit = leader.lastExit?.code ?? null;
  stage.must(
    ended && code === POISONED && exit === 1,
    `${failure.name}: ${leader.name} stopped by itself with ${code}`,
  );
  if (after === 0) stage.say('it ended before anybody asked again');
  else stage.must(afterAcknowledged === 0, `none of ${after} writes called after the failure was acknowledged`);
  mend();
  const next = await stage.leaderOtherThan(leader);
  if (!ended) await leader.kill('SIGKILL');
  expectEnds(leader, []);
  leader.start();
  await leader.ready();
  stage.say(`${next.name} leads, and ${leader.name} is back`);
  await stage.whole();
}
