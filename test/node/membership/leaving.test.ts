/**
 * Who leaves votes until C_old,new is left (thesis §4.3), and may be the one without whom it never is: the leader falls when nobody else
 * has C_new. Whole nodes, on virtual time.
 */
import { afterEach, expect, test } from 'vitest';
import type { Replica } from '../../../src/node/replica.ts';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

let cluster: SimCluster;
const replicas = new Map<string, Replica>();

afterEach(() => {
  cluster.close();
  replicas.clear();
});

async function start(nodes: number, seed: number, writeMs = 0.3): Promise<{ leader: SimNode; others: SimNode[] }> {
  cluster = await simCluster({
    seed,
    nodes,
    writeMs: () => writeMs,
    platform: (node, platform) => ({
      ...platform,
      joined: (joined) => {
        replicas.set(node.name, joined.replica);
        platform.joined?.(joined);
      },
    }),
  });
  const { leader } = cluster;
  if (leader === null) throw new Error('nobody leads');
  return { leader, others: cluster.nodes.filter((node) => node !== leader) };
}

function replicaOf({ name }: SimNode): Replica {
  const replica = replicas.get(name);
  if (replica === undefined) throw new Error(`${name} has not joined`);
  return replica;
}

/** That its log ends with. */
function isJoint(node: SimNode): boolean {
  return replicaOf(node).core.status().configuration.votersOutgoing.length > 0;
}

/** That it was removed is what ends it. */
async function leaves(node: SimNode): Promise<void> {
  await cluster.until(() => node.failure !== null, `${node.name} hears that it was removed`, 60_000);
  expect(node.failure).toMatchObject({ code: 'ERR_MEMBER_REMOVED' });
}

test('of two nodes one is removed, and the leader crashes before its C_new is on its disk: the other waits for it', async () => {
  const { leader, others } = await start(2, 3);
  const [leaver] = others as [SimNode];
  leader.call((node) => node.members.remove(leaver.name)).catch(() => undefined);
  await cluster.until(() => isJoint(leader), 'C_old,new');
  await cluster.until(() => !isJoint(leader), 'C_new');
  leader.disk.hold();
  await cluster.until(
    () => replicaOf(leaver).machine.configuration?.votersOutgoing.length === 2,
    'C_old,new is applied',
  );
  await cluster.advance(5);
  leader.crash();
  // For longer than a member that was removed stays on.
  await cluster.advance(60_000);
  expect(leaver.failure).toBeNull();
  void leader.start();
  await cluster.until(() => cluster.leader === leader && !isJoint(leader), 'the one that stays leads', 30_000);
  await leaves(leaver);
  await cluster.run(leader.node.put('k', 'v'));
});

test('a member is replaced while another is cut off, and the leader is lost for good before others have C_new: it is elected by who leaves', async () => {
  const { leader, others } = await start(3, 5);
  const [away, leaver] = others as [SimNode, SimNode];
  const successor = cluster.add('n4', { role: 'learner' });
  void successor.start();
  await cluster.until(() => successor.state === 'running' && successor.node.readiness().ready, 'n4 is ready');
  const { id } = successor.node as unknown as { readonly id: string };
  await cluster.until(() => {
    const { progress, commit } = replicaOf(leader).core.status();
    return progress.some((one) => one.id === id && one.match === commit);
  }, 'n4 has everything');
  for (const node of [leader, leaver, successor]) cluster.network.cut(away.address, node.address);
  leader.call((node) => node.members.replace(leaver.name, 'n4')).catch(() => undefined);
  await cluster.until(() => isJoint(leader), 'C_old,new');
  await cluster.until(() => !isJoint(leader), 'C_new');
  cluster.network.cut(leader.address, successor.address);
  await cluster.until(() => !isJoint(leaver), 'C_new with the one that goes');
  await cluster.advance(5);
  leader.crash();
  for (const node of [leaver, successor]) cluster.network.heal(away.address, node.address);
  await cluster.until(() => cluster.leader !== null && cluster.leader !== leader, 'somebody leads', 60_000);
  await leaves(leaver);
  const { leader: next } = cluster;
  await cluster.run((next ?? away).node.put('k', 'v'));
  expect(away.failure ?? successor.failure).toBeNull();
});

test('a change is answered when its joint configuration is left, not when that is applied', async () => {
  // So slow that a look falls between the two.
  const { leader, others } = await start(3, 7, 20);
  const [leaver] = others as [SimNode, SimNode];
  let answered = false;
  const removal = leader.call((node) => node.members.remove(leaver.name)).then(() => (answered = true));
  await cluster.until(
    () => replicaOf(leader).machine.configuration?.votersOutgoing.length === 3,
    'C_old,new is applied',
  );
  await cluster.until(() => {
    const isDone = replicaOf(leader).machine.configuration?.votersOutgoing.length === 0;
    if (!isDone) expect(answered).toBe(false);
    return isDone;
  }, 'C_new is applied');
  await cluster.run(removal);
});

test('a change that another leader has put something else in the place of is not answered as done', async () => {
  const { leader: old, others } = await start(3, 9);
  const [one, two] = others as [SimNode, SimNode];
  cluster.partition([old.name], [one.name, two.name]);
  const removal = old.call((node) => node.members.remove(one.name, { timeoutMs: 60_000 }));
  await cluster.until(() => isJoint(old), 'it is in one log');
  await cluster.until(() => cluster.leader !== null && cluster.leader !== old, 'somebody else leads');
  const { leader: next } = cluster;
  for (let i = 0; i < 5; i++) await cluster.run((next ?? one).node.put('k', String(i)));
  cluster.heal();
  // What was asked for is asked of the next leader then: done when that has done it.
  expect(await cluster.run(removal)).toEqual({ removed: true });
  expect(replicaOf(two).core.status().configuration.voters).toHaveLength(2);
  expect(isJoint(two)).toBe(false);
  await leaves(one);
});

test('who was removed goes on for half a second, so that what it has answered leaves', async () => {
  const { leader, others } = await start(3, 11);
  const [leaver] = others as [SimNode, SimNode];
  await cluster.run(leader.node.members.remove(leaver.name));
  await cluster.until(() => replicaOf(leaver).machine.memberMap.removed.length === 1, 'it knows');
  await cluster.advance(450);
  expect(leaver.failure).toBeNull();
  await leaves(leaver);
});
