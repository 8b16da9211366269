/** Gossip as whole nodes have it: what /v1/cluster says of the members, and what it must not do to Raft. */
import { afterEach, expect, test } from 'vitest';
import type { MemberInfo } from '../../../src/node/types.ts';
import { simCluster, type SimCluster } from '../../../src/testing/index.ts';

/** The default protocol period. */
const PERIOD_MS = 1000;

let cluster: SimCluster;
afterEach(() => cluster.close());

function member(of: string, name: string): MemberInfo {
  const found = cluster
    .node(of)
    .node.cluster()
    .members.find((one) => one.name === name);
  if (found === undefined) throw new Error(`${of} knows no ${name}`);
  return found;
}

function health(of: string, name: string): MemberInfo['health'] {
  return member(of, name).health;
}

/** All have heard of all. */
function met(): boolean {
  return cluster.nodes.every(({ name }) =>
    cluster.nodes.every((other) => member(name, other.name).incarnation !== null),
  );
}

/** The value of a metric without labels, or with these. */
async function metric(of: string, name: string): Promise<number> {
  const registry = cluster.node(of).node.registry as { metrics(): Promise<string> };
  const line = (await registry.metrics()).split('\n').find((each) => each.startsWith(`${name} `));
  if (line === undefined) throw new Error(`no metric ${name}`);
  return Number(line.slice(name.length));
}

test('a crash is shown as suspicion at once, and as unreachable within the periods that it may take', async () => {
  cluster = await simCluster({ seed: 1 });
  await cluster.until(met, 'all have met');
  const seen: string[] = [];
  const at = cluster.now;
  cluster.node('n3').crash();
  // Of each at its own moment: the network takes its time.
  const isMissed = (name: string): boolean => health(name, 'n3') !== 'alive';
  await cluster.until(() => ['n1', 'n2'].every(isMissed), 'the links are missed', 100);
  for (let i = 0; i < 400 && ['n1', 'n2'].some((name) => health(name, 'n3') !== 'unreachable'); i++) {
    for (const name of ['n1', 'n2']) seen.push(health(name, 'n3'));
    await cluster.advance(100);
  }
  expect([health('n1', 'n3'), health('n2', 'n3')]).toEqual(['unreachable', 'unreachable']);
  expect(seen.slice(0, 2)).toEqual(['suspect', 'suspect']);
  expect(seen).not.toContain('alive');
  // Met within 3 periods, one for the probe, 4 of suspicion (there is nobody who could confirm it), and it spreads.
  expect((cluster.now - at) / PERIOD_MS).toBeLessThan(3 + 1 + 4 + 2);
  expect(member('n1', 'n3').role).toBe('voter');
  expect(await metric('n1', 'kvorum_gossip_members{state="dead",role="voter"}')).toBe(1);
  expect(await metric('n1', 'kvorum_gossip_failed_probes_total')).toBeGreaterThan(0);
  // Who votes is not gossip's to say: three voters still, and two are a majority.
  expect(cluster.node('n1').node.cluster().members).toHaveLength(3);
  await cluster.run(cluster.node('n1').call((node) => node.put('a', '1')));
});

test('a node that is closed is gone at once, and never suspected', async () => {
  cluster = await simCluster({ seed: 2 });
  await cluster.until(met, 'all have met');
  const seen: string[] = [];
  let closed = false;
  void cluster
    .node('n3')
    .close()
    .then(() => {
      closed = true;
    });
  while (!closed) {
    for (const name of ['n1', 'n2']) seen.push(health(name, 'n3'));
    await cluster.advance(20);
  }
  expect([health('n1', 'n3'), health('n2', 'n3')]).toEqual(['unreachable', 'unreachable']);
  expect(seen).not.toContain('suspect');
  await cluster.advance(10 * PERIOD_MS);
  expect(await metric('n1', 'kvorum_gossip_suspicions_total')).toBe(0);
  expect(await metric('n1', 'kvorum_gossip_members{state="left",role="voter"}')).toBe(1);
});

test('one that starts again is alive again, as somebody newer', async () => {
  cluster = await simCluster({ seed: 3 });
  await cluster.until(met, 'all have met');
  const { incarnation } = member('n1', 'n3');
  cluster.node('n3').crash();
  await cluster.until(() => health('n1', 'n3') === 'unreachable', 'unreachable', 20 * PERIOD_MS);
  await cluster.start();
  await cluster.until(() => health('n1', 'n3') === 'alive' && health('n2', 'n3') === 'alive', 'alive', 3 * PERIOD_MS);
  expect(member('n1', 'n3').incarnation).toBeGreaterThan(incarnation!);
  // What it says of itself is what the others have of it.
  await cluster.until(
    () => member('n2', 'n3').incarnation === member('n3', 'n3').incarnation,
    'the same',
    3 * PERIOD_MS,
  );
});

test('a node that stands still is suspected, speaks up, and Raft does not notice more than it must', async () => {
  cluster = await simCluster({ seed: 4 });
  await cluster.until(met, 'all have met');
  const follower = cluster.nodes.find((node) => node !== cluster.leader)!;
  const watcher = cluster.leader!.name;
  const { term } = cluster.leader!.node.cluster();
  follower.pause();
  await cluster.until(() => health(watcher, follower.name) === 'suspect', 'suspect', 6 * PERIOD_MS);
  follower.resume();
  await cluster.until(() => health(watcher, follower.name) === 'alive', 'alive', 4 * PERIOD_MS);
  expect(await metric(follower.name, 'kvorum_gossip_refutations_total')).toBeGreaterThan(0);
  expect(cluster.leader!.node.cluster().term).toBe(term);
});

test('a cluster split for longer than its dead are gossiped to is one again when it heals', async () => {
  cluster = await simCluster({
    seed: 5,
    nodes: 5,
    gossip: { gossipToTheDeadMs: 3000, deadRetryIntervalMs: 2000, pushPullIntervalMs: 5000 },
  });
  await cluster.until(met, 'all have met');
  const [few, many] = [
    ['n1', 'n2'],
    ['n3', 'n4', 'n5'],
  ] as const;
  cluster.partition(few, many);
  const apart = (mine: readonly string[], theirs: readonly string[]): boolean =>
    mine.every((name) => theirs.every((other) => health(name, other) === 'unreachable'));
  await cluster.until(() => apart(few, many) && apart(many, few), 'two halves');
  await cluster.advance(20_000);
  cluster.heal();
  const at = cluster.now;
  const whole = (): boolean =>
    cluster.nodes.every(({ name }) => cluster.nodes.every((other) => health(name, other.name) === 'alive'));
  await cluster.until(whole, 'one cluster again');
  expect(cluster.now - at).toBeLessThan(15_000);
  await cluster.run(cluster.node('n1').call((node) => node.put('a', '1')));
});

test('who can be reached again hears at once that it was taken for dead', async () => {
  cluster = await simCluster({
    seed: 5,
    nodes: 5,
    // Nobody asks the dead in the time of this test.
    gossip: { gossipToTheDeadMs: 3000, deadRetryIntervalMs: 3_600_000 },
  });
  await cluster.until(met, 'all have met');
  const few = ['n1', 'n2'];
  const many = ['n3', 'n4', 'n5'];
  cluster.partition(few, many);
  const all = (how: string, mine: readonly string[], theirs: readonly string[]): boolean =>
    mine.every((name) => theirs.every((other) => health(name, other) === how));
  await cluster.until(() => all('unreachable', few, many) && all('unreachable', many, few), 'two halves');
  await cluster.advance(20_000);
  cluster.heal();
  await cluster.until(() => all('alive', few, many) && all('alive', many, few), 'one cluster again', 30_000);
});

test('what a node says of itself is shown by all, its role as the configuration has it', async () => {
  cluster = await simCluster({ seed: 6 });
  const joiner = cluster.add('n4', { role: 'learner', metadata: { zone: 'b', rack: '7' } });
  await cluster.start();
  await cluster.until(() => member('n1', 'n4').metadata !== null, 'it is heard of');
  expect(member('n1', 'n4')).toMatchObject({ role: 'learner', health: 'alive', metadata: { zone: 'b', rack: '7' } });
  expect(member('n4', 'n4').metadata).toEqual({ zone: 'b', rack: '7' });
  expect(member('n4', 'n1').metadata).toBeNull();
  await cluster.until(() => joiner.node.readiness().ready, 'it has caught up');
  await cluster.run(cluster.node('n1').call((node) => node.members.promote('n4')));
  const registry = (): Promise<number> => metric('n2', 'kvorum_gossip_members{state="alive",role="voter"}');
  await cluster.until(() => member('n2', 'n4').role === 'voter', 'a voter');
  await cluster.advance(3 * PERIOD_MS);
  expect(await registry()).toBe(4);
});

test('the list of members can be watched, and goes on at another node', async () => {
  cluster = await simCluster({ seed: 7 });
  await cluster.until(met, 'all have met');
  const client = cluster.client();
  const seen: string[] = [];
  const watch = client.members.watch();
  const reading = (async () => {
    for await (const members of watch) {
      seen.push(members.map(({ name, health: how }) => `${name}:${how}`).join(' '));
    }
  })();
  const all = 'n1:alive n2:alive n3:alive';
  await cluster.until(() => seen.length > 0, 'the list');
  expect(seen).toEqual([all]);
  expect((await cluster.run(client.members.list())).map(({ name }) => name)).toEqual(['n1', 'n2', 'n3']);
  cluster.node('n2').crash();
  await cluster.until(() => seen.at(-1)?.includes('n2:unreachable') === true, 'it is told', 20 * PERIOD_MS);
  await cluster.start();
  await cluster.until(() => seen.at(-1) === all, 'it is told');
  // Whichever it listens to, it hears of the others.
  for (const name of ['n1', 'n2', 'n3']) {
    cluster.node(name).crash();
    await cluster.until(
      () => seen.at(-1)?.includes(`${name}:`) === true && seen.at(-1) !== all,
      `${name} is missed`,
      20 * PERIOD_MS,
    );
    await cluster.start();
    await cluster.until(() => seen.at(-1) === all, `${name} is back`);
  }
  await cluster.run(client.close());
  await cluster.run(reading);
});

test('a watch ends with its signal, and with its node', async () => {
  cluster = await simCluster({ seed: 8 });
  const { node } = cluster.node('n1');
  const controller = new AbortController();
  const [watch, other] = [node.members.watch({ signal: controller.signal }), node.members.watch()];
  expect((await cluster.run(watch.next())).value).toHaveLength(3);
  await cluster.run(other.next());
  controller.abort();
  expect(await cluster.run(watch.next())).toEqual({ done: true, value: undefined });
  const next = other.next();
  await cluster.run(cluster.node('n1').close());
  await cluster.run(
    (async () => {
      let result = await next;
      while (result.done !== true) result = await other.next();
    })(),
  );
});

test('runs the same way for the same seed', async () => {
  const story = async (): Promise<unknown> => {
    cluster = await simCluster({ seed: 9 });
    await cluster.until(met, 'all have met');
    cluster.node('n2').crash();
    await cluster.until(() => health('n1', 'n2') === 'unreachable', 'unreachable');
    const facts = [cluster.now, cluster.time.executed, member('n1', 'n3').incarnation];
    cluster.close();
    return facts;
  };
  expect(await story()).toEqual(await story());
});
