import { acquireShims, releaseShims, requireShim } from '../faults/equipment.ts';
import { probeShim } from '../faults/shim.ts';
import type { RealNode } from '../lab-node.ts';
import { PersistentClient } from '../persistent-client.ts';
import { EXPIRY_DELAY_MS, LeaseStory, MEASURING_MS } from './lease-story.ts';
import type { Scenario } from './scenario.ts';
import type { Stage } from './stage.ts';

const TTL_MS = 3000;
const HOUR_MS = 3_600_000;
const GONE_TIMEOUT_MS = 30_000;
const REST_MS = 1000;
/** Of the election, and of the lock's way to whoever waits. */
const REST_SLACK_MS = 3000;

interface Jump {
  readonly name: string;
  readonly offsetMs: number;
  readonly whose: 'leader' | 'followers' | 'all';
}

const JUMPS: readonly Jump[] = [
  { name: 'the leader an hour ahead', offsetMs: HOUR_MS, whose: 'leader' },
  { name: 'the leader an hour back', offsetMs: -HOUR_MS, whose: 'leader' },
  { name: 'the followers an hour ahead', offsetMs: HOUR_MS, whose: 'followers' },
  { name: 'all an hour back', offsetMs: -HOUR_MS, whose: 'all' },
];

/** Leases count on monotonic clocks; what is stamped with wall time must not end or keep anything. */
export const clockJumpLeases: Scenario = {
  number: 14,
  name: 'clock-jump-leases',
  about:
    'wall clocks jump by an hour, forth and back: leases end neither early nor late, and locks rest for their delay',
  probe: async () => await Promise.resolve(probeShim()),
  prepare: acquireShims,
  dispose: releaseShims,
  async run(stage) {
    stage.startLoad({ rate: 80, workloads: ['register', 'leases'] });
    for (const [index, jump] of JUMPS.entries()) {
      await stage.whole();
      const leader = await stage.leader();
      const left = await LeaseStory.begin(stage, `fleeting/left/${index}`, TTL_MS);
      const kept = await LeaseStory.begin(stage, `fleeting/kept/${index}`, TTL_MS);
      await stage.until(async () => await left.renew(leader), 'a renewal');
      await jumpTo(stage, jump, leader, jump.offsetMs);
      const stop = new AbortController();
      const keeping = keepAlive(stage, kept, stop.signal);
      await endsInTime(stage, left, jump.name);
      await jumpTo(stage, jump, leader, 0);
      await stage.pause(TTL_MS);
      stop.abort();
      await keeping;
      stage.must(
        (await kept.isThere(leader)) !== false,
        `${jump.name}, and put right: a lease that is renewed lives on`,
      );
      await endsInTime(stage, kept, `${jump.name}, and put right`);
      await rests(stage, `${jump.name}, and put right`, `rest/${index}`);
    }
  },
};

async function jumpTo(stage: Stage, { whose }: Jump, leader: RealNode, offsetMs: number): Promise<void> {
  for (const node of stage.lab.nodes) {
    if (whose === 'all' || (whose === 'leader') === (node === leader)) {
      (await requireShim(stage.lab, node)).moveClock(offsetMs);
    }
  }
}

async function endsInTime(stage: Stage, lease: LeaseStory, when: string): Promise<void> {
  const term = await stage.term();
  const gone = await lease.gone(await stage.leader(), GONE_TIMEOUT_MS);
  stage.must(gone !== null, `${when}: a lease that nobody renews ends`);
  if (gone === null) return;
  const [livedMs, lateMs] = [gone - lease.sentMs, gone - lease.answeredMs - TTL_MS];
  stage.must(livedMs >= TTL_MS, `${when}: it lived ${Math.round(livedMs)} ms after its last renewal, TTL ${TTL_MS}`);
  // Only a leader that stays is to be in time.
  if ((await stage.term()) !== term) return;
  stage.must(lateMs <= EXPIRY_DELAY_MS + MEASURING_MS, `${when}: it ended ${Math.max(0, Math.round(lateMs))} ms late`);
}

/** A lock that was lost rests for its delay of the cluster's time, neither for nothing nor for an hour. */
async function rests(stage: Stage, when: string, name: string): Promise<void> {
  const client = new PersistentClient(stage.lab.nodes);
  const leader = await stage.leader();
  const path = `/v1/locks/${encodeURIComponent(name)}`;
  const acquire = async (waitMs: number): Promise<boolean> => {
    const json = { ttl: TTL_MS, delay: REST_MS, wait: waitMs };
    const request = { method: 'POST', path: `${path}/acquire`, json, waitMs, answers: ['ERR_LOCK_HELD'] } as const;
    const answer = await client.insist(leader, request, stage.lab.signal);
    if (answer.type !== 'told') throw new Error(`${name}: ${answer.error}`);
    return answer.code === null;
  };
  await acquire(0);
  const broken = await client.insist(leader, { method: 'DELETE', path }, stage.lab.signal);
  if (broken.type !== 'told') throw new Error(`${name}: ${broken.error}`);
  const from = performance.now();
  const got = await acquire(REST_MS + REST_SLACK_MS);
  const tookMs = Math.round(performance.now() - from);
  stage.must(
    got,
    `${when}: a lock with a delay of ${REST_MS} ms that was broken is let out within ${REST_MS + REST_SLACK_MS} ms (${tookMs} ms)`,
  );
  stage.must(tookMs >= REST_MS - MEASURING_MS / 4, `${when}: it rested for ${tookMs} ms`);
}

async function keepAlive(stage: Stage, lease: LeaseStory, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await stage.pause((await lease.renewAnywhere()) ? TTL_MS / 3 : 100);
}
