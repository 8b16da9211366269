import { connect, KvorumError, put, token, type Client } from '../../../src/client/index.ts';
import { GuardedResource } from '../locks/guarded-resource.ts';
import { HolderProcess, type Pause } from '../locks/holder-process.ts';
import type { SectionTask } from '../locks/section.ts';
import { PersistentClient } from '../persistent-client.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';

const TTL_MS = 1500;
const PAUSE_MS = 5000;
const LOCK = 'fenced';
const STORED = 'fenced/state';

const ROUNDS: readonly { readonly how: Pause; readonly careful: boolean; readonly leaderKilled: boolean }[] = [
  { how: 'stop', careful: false, leaderKilled: false },
  { how: 'stop', careful: true, leaderKilled: false },
  { how: 'block', careful: false, leaderKilled: true },
  { how: 'block', careful: true, leaderKilled: false },
];

/** Why a lock needs its token: docs/locks.md. */
export const fencedHolder: Scenario = {
  number: 13,
  name: 'fenced-holder',
  about:
    'the holder of a lock is paused beyond its TTL (SIGSTOP, a blocked event loop) and goes on: what it writes is refused everywhere',
  probe: everywhere,
  async run(stage) {
    const urls = stage.lab.nodes.map(({ url }) => url);
    const resource = await GuardedResource.open();
    const paused = new HolderProcess(urls);
    const client = connect(urls);
    try {
      stage.startLoad({ workloads: ['register', 'locks'] });
      for (const [index, round] of ROUNDS.entries())
        await playRound(stage, { ...round, index, resource, paused, client });
      const taken = resource.writes.filter(({ accepted }) => accepted).map((write) => write.token);
      stage.must(
        resource.problems().length === 0,
        `what was taken came with tokens that never fall: ${taken.join(' ')}`,
      );
    } finally {
      await paused.close();
      await client.close();
      await resource.close();
    }
  },
};

interface Round {
  readonly index: number;
  readonly how: Pause;
  readonly careful: boolean;
  readonly leaderKilled: boolean;
  readonly resource: GuardedResource;
  readonly paused: HolderProcess;
  readonly client: Client;
}

async function playRound(stage: Stage, round: Round): Promise<void> {
  const { how, careful, resource, paused, client, index } = round;
  const name = `round ${index + 1}`;
  const task: SectionTask = {
    ...{ lock: LOCK, resource: resource.url, holder: 'the paused', ttlMs: TTL_MS, waitMs: 10_000, abortAfterMs: null },
    ...{ ownLease: false, writes: 2, betweenMs: 0, careful, pauseMs: PAUSE_MS },
  };
  const playing = paused.play(task, how, () => Math.floor(performance.now() * 1000));
  await stage.until(async () => (await client.locks.get(LOCK)).holders.length > 0, 'the holder has the lock');
  if (round.leaderKilled) await (await stage.leader()).kill('SIGKILL');
  const [old] = (await client.locks.get(LOCK)).holders;
  // Handed over when the lease of the paused one is over.
  const lock = await client.lock(LOCK, { ttl: '10s', wait: '20s' });
  const accepted = resource.write(LOCK, lock.token, 'the next');
  const stored = await client.txn({ if: [token(LOCK).is(lock.token)], then: [put(STORED, `${lock.token}`)] });
  stage.must(accepted && stored.succeeded, `${name}: the next holder writes, to what is protected and in the store`);
  stage.must(
    old !== undefined && lock.token > old.token,
    `${name}: its token ${lock.token} is larger than ${old?.token}`,
  );
  const report = await playing;
  const after = resource.writes.filter((write) => write.token === old?.token && write.holder === 'the paused');
  for (const wrong of report.wrong) stage.must(false, `${name}: ${wrong}`);
  const pause = how === 'stop' ? 'stopped' : 'with a blocked event loop';
  if (careful) {
    stage.must(
      report.prevented === 1,
      `${name}: ${pause} for ${PAUSE_MS} ms, guard() throws, its signal is aborted, and it writes nothing`,
    );
    stage.must(
      after.every((write) => write.accepted),
      `${name}: nothing of it had to be refused`,
    );
  } else {
    stage.must(
      after.some((write) => !write.accepted),
      `${name}: ${pause} for ${PAUSE_MS} ms, it writes with token ${old?.token} and is refused`,
    );
  }
  const guarded = await client.txn({ if: [token(LOCK).is(old?.token ?? 0)], then: [put(STORED, 'stale')] });
  stage.must(!guarded.succeeded, `${name}: a transaction guarded by its token is refused`);
  const renewal = await new PersistentClient(stage.lab.nodes).insist(
    await stage.leader(),
    { method: 'POST', path: `/v1/locks/${LOCK}/renew`, json: { token: old?.token ?? 0 }, answers: ['ERR_LOCK_LOST'] },
    stage.lab.signal,
  );
  stage.must(
    renewal.type === 'told' && renewal.code === 'ERR_LOCK_LOST',
    `${name}: its renewal is answered ERR_LOCK_LOST`,
  );
  try {
    lock.guard();
    stage.must(true, `${name}: the next holder holds it all the while`);
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    stage.must(false, `${name}: the next holder holds it all the while; ${error.message}`);
  }
  await lock.release();
  for (const node of stage.lab.nodes) if (!node.alive) node.start();
  await stage.whole();
}
