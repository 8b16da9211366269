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

async function start(nodes: number, seed: number): Promise<{ leader: SimNode; others: SimNode[] }> {
  cluster = await simCluster({
    seed,
    nodes,
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
