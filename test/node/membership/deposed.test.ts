/** A leader that does not know that another leads: what it answers about members has to be true of those that there are. Whole nodes, on virtual time. */
import { afterEach, expect, test } from 'vitest';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

/** A leader that stood still while its successor changed the members, and does not know it yet. */
async function depose(
  seed: number,
  change: (leader: SimNode, other: SimNode) => Promise<void>,
): Promise<{ deposed: SimNode; other: SimNode }> {
  cluster = await simCluster({ seed, nodes: 4 });
  const { leader: deposed } = cluster;
  if (deposed === null) throw new Error('nobody leads');
  const rest = cluster.nodes.filter((node) => node !== deposed);
  cluster.partition(
    [deposed.name],
    rest.map(({ name }) => name),
  );
  deposed.pause();
  await cluster.until(() => cluster.leader !== null && cluster.leader !== deposed, 'another leads');
  const other = rest.find((node) => node !== cluster.leader) as SimNode;
  await change(cluster.leader as SimNode, other);
  deposed.resume();
  return { deposed, other };
}

test('nothing is said to be done that another has undone', async () => {
  const { deposed, other } = await depose(7, async (leader, { name }) => {
    expect(await cluster.run(leader.node.members.demote(name))).toMatchObject({ role: 'learner' });
  });
  const promoted = deposed.call((node) => node.members.promote(other.name, { timeoutMs: 2000 }));
  await expect(cluster.run(promoted)).rejects.toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
  cluster.heal();
  const again = deposed.call((node) => node.members.promote(other.name, { timeoutMs: 10_000 }));
  expect(await cluster.run(again)).toMatchObject({ role: 'voter' });
  const roles = cluster.leader!.node.cluster().members.filter(({ role }) => role === 'voter');
  expect(roles).toHaveLength(4);
});

test('nothing is refused because of what was true once', async () => {
  const { deposed } = await depose(8, async (leader) => {
    const joiner = cluster.add('n5', { role: 'learner' });
    joiner.options = { ...joiner.options, join: [leader.address] };
    void joiner.start();
    await cluster.until(() => joiner.state === 'running' && joiner.node.readiness().ready, 'n5 is ready');
  });
  // It has never heard of it.
  const promoted = deposed.call((node) => node.members.promote('n5', { timeoutMs: 2000 }));
  await expect(cluster.run(promoted)).rejects.toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
  cluster.heal();
  const again = deposed.call((node) => node.members.promote('n5', { timeoutMs: 10_000 }));
  expect(await cluster.run(again)).toMatchObject({ name: 'n5', role: 'voter' });
});

test('what is true is answered at once', async () => {
  cluster = await simCluster({ seed: 9 });
  const { leader } = cluster;
  const before = leader!.node.head().revision;
  expect(await cluster.run(leader!.node.members.promote('n1'))).toMatchObject({ role: 'voter' });
  await expect(cluster.run(leader!.node.members.promote('n9'))).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
  expect(leader!.node.head().revision).toBe(before);
});
