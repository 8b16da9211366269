import { connect, KvorumError, type Client } from '../../../src/client/index.ts';
import type { RealNode } from '../lab-node.ts';
import { fill } from './filler.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';
import { Follower, WatchRecord } from './watching.ts';

const PREFIX = 'story/';
const KEYS = 12;
const WRITE_EVERY_MS = 25;
const COMPACT_EVERY_MS = 700;
/** Behind the newest revision: nobody who is awake is so far behind. */
const COMPACT_BEHIND = 400;
const ROUNDS = 4;
const AWAY_MS = 1500;
const END_TIMEOUT_MS = 60_000;
const SNAPSHOT_TIMEOUT_MS = 20_000;

export const watchResumed: Scenario = {
  number: 16,
  name: 'watch-resumed',
  about:
    'watches, some bound to one node, go on across kills, partitions, snapshots and compactions: no gap, no duplicate, no reorder, and ERR_COMPACTED where history is gone',
  args: ['--log-keep-bytes', String(256 * 1024)],
  probe: everywhere,
  async run(stage) {
    const { lab, chance } = stage;
    const urls = lab.nodes.map(({ url }) => url);
    stage.startLoad({ rate: 100, workloads: ['register', 'watch'] });
    const record = new WatchRecord(stage, PREFIX);
    await stage.until(async () => await record.write(await stage.leader(), KEYS), 'a first write');
    const from = record.lastRevision;

    // Two that go to whoever answers, and one at each node that has to wait until that is back.
    const bound = lab.nodes.map((node) => ({ name: `at ${node.name}`, client: connect(node.url) }));
    const free = [1, 2].map((number) => ({ name: `free ${number}`, client: connect(urls) }));
    const watchers = [...bound, ...free];
    const ended = new AbortController();
    let until = Infinity;
    const followers = watchers.map(({ name }) => new Follower(record, name, from));
    const following = followers.map(async (follower, index) => {
      const client = watchers[index]?.client;
      if (client === undefined) throw new Error('unreachable: each has a client');
      await follower.follow(client, () => follower.upTo >= until, ended.signal);
    });
    const stop = new AbortController();
    const writing = keepWriting(stage, record, stop.signal);
    const compactions = { made: 0 };
    const compacting = keepCompacting(stage, record, compactions, stop.signal);

    for (let round = 1; round <= ROUNDS; round++) {
      const leader = await stage.leader();
      const victim = chance.chance(0.5) ? leader : chance.pick(stage.followers(leader));
      const what = round % 2 === 0 ? 'cut off' : 'killed';
      if (round % 2 === 0) await stage.isolate(victim);
      else await victim.kill('SIGKILL');
      await stage.pause(AWAY_MS);
      await stage.heal();
      if (!victim.alive) victim.start();
      await stage.whole();
      stage.say(
        `round ${round}: ${victim.name}${victim === leader ? ' (leader)' : ''} was ${what}; ${record.lastRevision} is the last revision`,
      );
    }
    await snapshotInBetween(stage);

    stop.abort();
    await Promise.all([writing, compacting]);
    until = await stage.until(async () => await record.write(await stage.leader(), KEYS), 'a last write');
    await stage.comes(() => followers.every(({ upTo }) => upTo >= until), END_TIMEOUT_MS);
    ended.abort();
    const ends = await Promise.allSettled(following);
    const told = followers.map(({ upTo }, index) => `${watchers[index]?.name}: ${upTo}`);
    stage.must(
      followers.every(({ upTo }) => upTo >= until),
      `every watcher was told of everything up to ${until} (${told.join(', ')})`,
    );
    for (const end of ends)
      if (end.status === 'rejected') stage.must(false, `no watch ends with an error: ${String(end.reason)}`);
    stage.needs(compactions.made > 0, 'history was compacted');
    const wrong = record.judge();
    const events = followers.reduce((sum, { batches }) => sum + batches.length, 0);
    stage.must(
      wrong === null,
      wrong ??
        `${watchers.length} watchers got ${events} revisions, each once and in order, over ${compactions.made} compactions`,
    );
    await whatIsGone(stage, record, from, free[0]?.client ?? bound[0]!.client);
    await Promise.all(watchers.map(async ({ client }) => await client.close()));
  },
};

async function keepWriting(stage: Stage, record: WatchRecord, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const awake = stage.lab.nodes.filter((node) => node.alive && !node.paused);
    await record.write(stage.chance.pick(awake), KEYS);
    await stage.pause(WRITE_EVERY_MS);
  }
}

/** On demand, through any node, also while somebody is away. */
async function keepCompacting(
  stage: Stage,
  record: WatchRecord,
  count: { made: number },
  signal: AbortSignal,
): Promise<void> {
  const client = connect(stage.lab.nodes.map(({ url }) => url));
  while (!signal.aborted) {
    const revision = record.lastRevision - COMPACT_BEHIND;
    try {
      if (revision > 0) {
        await client.compact(revision);
        count.made++;
      }
    } catch (error) {
      // Compacted already, or there is no leader just now.
      if (!KvorumError.is(error)) throw error;
    }
    await stage.pause(COMPACT_EVERY_MS);
  }
  await client.close();
}

/** A follower comes back by snapshot: those who watch there go on all the same. */
async function snapshotInBetween(stage: Stage): Promise<void> {
  const leader: RealNode = await stage.leader();
  const away = stage.chance.pick(stage.followers(leader));
  const had = (await stage.metric(away, 'kvorum_raft_last_index')) ?? 0;
  await stage.isolate(away);
  await fill(stage, leader, 200);
  await stage.until(async () => {
    const first = await stage.metric(await stage.leader(), 'kvorum_raft_first_index');
    return first !== null && first > had + 1;
  }, 'the log that the follower needs is compacted');
  await stage.heal();
  await stage.whole();
  const restored = async (): Promise<boolean> => ((await stage.metric(away, 'kvorum_raft_first_index')) ?? 0) > had;
  stage.needs(await stage.comes(restored, SNAPSHOT_TIMEOUT_MS), `${away.name} came back by a snapshot`);
  stage.say(`${away.name} came back by a snapshot, with watchers`);
}

/** Where history is gone a watch says so, and with `resync` it goes on from a list. */
async function whatIsGone(stage: Stage, record: WatchRecord, from: number, client: Client): Promise<void> {
  const leader = await stage.leader();
  await client.compact(record.lastRevision);
  try {
    for await (const batch of client.watch({ prefix: PREFIX, from })) {
      stage.must(false, `a watch from ${from}, which is compacted, gave revision ${batch.revision}`);
      return;
    }
  } catch (error) {
    const compacted = KvorumError.is(error, 'ERR_COMPACTED') ? Number(error.details['compactRevision']) : null;
    stage.must(
      compacted === record.lastRevision,
      `a watch from ${from} ends with ERR_COMPACTED, which names ${compacted}`,
    );
  }
  const state = new Map<string, string>();
  const until = await stage.until(async () => await record.write(leader, KEYS), 'a write after the compaction');
  let lists = 0;
  for await (const batch of client.watch({ prefix: PREFIX, from, resync: true })) {
    if (batch.resync) {
      lists++;
      state.clear();
      for (const { key, value } of batch.entries) state.set(key, value);
    } else {
      for (const event of batch.events) {
        if (event.type === 'put') state.set(event.key, event.value);
        else state.delete(event.key);
      }
    }
    if (batch.revision >= until) break;
  }
  const now = new Map<string, string>();
  for await (const { key, value } of client.entries({ prefix: PREFIX })) now.set(key, value);
  const same = now.size === state.size && [...now].every(([key, value]) => state.get(key) === value);
  stage.must(
    lists === 1 && same,
    `with resync it gives ${lists} list and goes on to the same ${now.size} keys as a new list`,
  );
}
