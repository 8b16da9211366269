/** A follower that was away while the log it needs was compacted comes back by snapshot, and disturbs nobody. */
import { expect, test } from 'vitest';

import { Cluster } from './cluster.ts';
import { inParallel, Load } from './load.ts';
import { until } from './until.ts';

const WRITES = 100_000;

test('after 100,000 writes without it a follower installs a snapshot while writes go on, and no term changes', async () => {
  const cluster = await Cluster.start({ args: ['--log-keep-bytes', '1MiB'] });
  const leader = await cluster.leader();
  const [away, other] = await cluster.followers();
  if (away === undefined || other === undefined) throw new Error('a cluster of three has two followers');
  await leader.api.put('before', 'x');
  await until(async () => (await away.api.metric('kvorum_kv_keys')) === 1, { timeoutMs: 5000, what: 'replication' });
  const lastIndex = await away.api.metric('kvorum_raft_last_index');
  await away.kill('SIGKILL');

  // 20,000 keys, each written five times: a snapshot is smaller than the log that it stands for.
  const numbers = Array.from({ length: WRITES }, (_, number) => number);
  await inParallel(numbers, 128, async (number) => {
    const through = number % 2 === 0 ? leader : other;
    const answer = await through.api.put(`key/${number % 20_000}`, `value ${number} ${'x'.repeat(80)}`);
    if (answer.status !== 200) throw new Error(`${number}: ${answer.status} ${answer.body.toString()}`);
  });
  await until(async () => (await leader.api.metric('kvorum_raft_first_index')) > lastIndex + 1, {
    timeoutMs: 10_000,
    what: 'compaction beyond what the follower has',
  });

  const { term } = await leader.api.cluster();
  const load = new Load({ target: (n) => (n % 2 === 0 ? leader : other).api, writers: 8, prefix: 'meanwhile/' });
  const writesBefore = load.acknowledged.size;
  await away.restart();
  await until(
    async () => {
      const [mine, theirs] = [await away.api.cluster(), await leader.api.cluster()];
      return theirs.revision - mine.revision < 1000;
    },
    { timeoutMs: 60_000, what: 'the follower catches up while writes go on', explain: () => cluster.logTails() },
  );
  expect(load.acknowledged.size).toBeGreaterThan(writesBefore);
  await load.stop();
  expect([...load.statuses.keys()]).toEqual([200]);

  // By snapshot: its log begins after everything that it had when it went.
  expect(await away.api.metric('kvorum_raft_first_index')).toBeGreaterThan(lastIndex + 1);
  for (const node of cluster.nodes) expect([node.name, (await node.api.cluster()).term]).toEqual([node.name, term]);
  expect((await leader.api.cluster()).leader).toBe(leader.name);

  const { revision } = await leader.api.cluster();
  await until(async () => (await away.api.cluster()).revision >= revision, {
    timeoutMs: 10_000,
    what: 'the last entries',
  });
  const collect = async (node: typeof away): Promise<Map<string, string>> => {
    const found = new Map<string, string>();
    for await (const { key, value, modRevision } of node.api.list('', { consistency: 'stale' })) {
      found.set(key, `${modRevision} ${value}`);
    }
    return found;
  };
  const [mine, theirs] = [await collect(away), await collect(leader)];
  expect(mine.size).toBe(20_001 + load.acknowledged.size);
  expect([...mine].filter(([key, value]) => theirs.get(key) !== value)).toEqual([]);
  expect(theirs.size).toBe(mine.size);
});
