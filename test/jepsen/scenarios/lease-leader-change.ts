import type { RealNode } from '../lab-node.ts';
import { EXPIRY_DELAY_MS, LeaseStory, MEASURING_MS } from './lease-story.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';

const TTL_MS = 4000;
const CHANGES = 5;
const GONE_TIMEOUT_MS = 30_000;
const LONG_TTL_MS = 90_000;

type Trouble = 'kill' | 'pause' | 'isolate';
const ROUNDS: readonly Trouble[] = ['kill', 'pause', 'isolate'];

export const leaseLeaderChange: Scenario = {
  number: 15,
  name: 'lease-leader-change',
  about:
    'leases are renewed, and the leader that acknowledged it is killed, paused or cut off: each lasts its whole TTL, ends after it, and renewed ones live on',
  probe: everywhere,
  async run(stage) {
    stage.startLoad({ rate: 80, workloads: ['register', 'leases'] });
    const longBegan = performance.now();
    const long = await LeaseStory.begin(stage, 'fleeting/long', LONG_TTL_MS);
    const kept = await LeaseStory.begin(stage, 'fleeting/kept', TTL_MS);
    const stop = new AbortController();
    const keeping = keepAlive(stage, kept, stop.signal);
    for (const [index, trouble] of ROUNDS.entries()) await lastsItsTtl(stage, trouble, index + 1);

    // Whoever leads for less than a TTL ends nothing; renewals at any node are enough to live.
    for (let change = 1; change <= CHANGES; change++) {
      const leader = await stage.leader();
      await stage.transferTo(stage.chance.pick(stage.followers(leader)));
      await stage.pause(TTL_MS / 4);
    }
    stop.abort();
    await keeping;
    const leader = await stage.leader();
    const there = await kept.isThere(leader);
    stage.must(there !== false, `a lease that was renewed ${kept.renewals} times lives through all of it`);

    const remaining = await long.remainingMs(leader);
    const shortest = LONG_TTL_MS - (performance.now() - longBegan);
    stage.must(
      remaining !== null && remaining >= shortest - MEASURING_MS,
      `a lease of ${LONG_TTL_MS / 1000} s that nobody renews has ${remaining} ms left, at least ${Math.round(shortest)}`,
    );
    const gone = await kept.gone(leader, GONE_TIMEOUT_MS);
    const lateMs = gone === null ? Infinity : gone - kept.answeredMs - TTL_MS;
    stage.must(
      lateMs <= EXPIRY_DELAY_MS + MEASURING_MS,
      `not renewed any more, with a stable leader, it ends ${Math.round(lateMs)} ms after its TTL, at most ${EXPIRY_DELAY_MS} promised`,
    );
  },
};

async function lastsItsTtl(stage: Stage, trouble: Trouble, round: number): Promise<void> {
  await stage.whole();
  const { lab } = stage;
  const old = await stage.leader();
  const lease = await LeaseStory.begin(stage, `fleeting/${round}`, TTL_MS);
  // Most of its time is over when it is renewed: a leader that counted from the grant would end it too early.
  await stage.pause(TTL_MS * 0.7);
  await stage.until(async () => await lease.renew(old), 'a renewal');
  if (trouble === 'kill') await old.kill('SIGKILL');
  else if (trouble === 'pause') old.pause();
  else await stage.isolate(old);
  const next: RealNode = await stage.leaderOtherThan(old);
  const electedMs = performance.now();
  const there = await stage.until(async () => {
    const seen = await lease.isThere(next);
    return seen === null ? null : { seen };
  }, 'a read');
  if (!there.seen) lease.mustBeOver('the new leader does not have it');
  const remaining = await lease.remainingMs(next);
  stage.say(
    `round ${round}: ${old.name} ${trouble}, ${next.name} leads after ${Math.round(electedMs - lease.answeredMs)} ms and gives it ${remaining} ms`,
  );
  const gone = await lease.gone(next, GONE_TIMEOUT_MS);
  stage.must(gone !== null, `round ${round}: a lease that nobody renews is not immortal`);
  if (gone === null) return;
  const livedMs = gone - lease.sentMs;
  // The new leader counts from its election, which was before it was seen here.
  const lateMs = gone - electedMs - TTL_MS;
  stage.must(
    livedMs >= TTL_MS,
    `round ${round}: it lived ${Math.round(livedMs)} ms after its last renewal was sent, TTL ${TTL_MS}`,
  );
  stage.must(
    lateMs <= EXPIRY_DELAY_MS + MEASURING_MS,
    `round ${round}: it ended ${Math.round(gone - electedMs)} ms after the new leader was seen`,
  );
  if (!old.alive) old.start();
  if (old.paused) old.resume();
  await stage.heal();
  await lab.startAll();
  await stage.whole();
}

/** A third of the TTL apart; while nobody answers, sooner. */
async function keepAlive(stage: Stage, lease: LeaseStory, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await stage.pause((await lease.renewAnywhere()) ? TTL_MS / 3 : 100);
}
