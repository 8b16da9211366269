/** What becomes of what nodes say of themselves when they go, come back with another clock, or have more to say than there is room for. Whole nodes, on virtual time. */
import { afterEach, expect, test } from 'vitest';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

async function joined(node: SimNode): Promise<void> {
  void node.start();
  await cluster.until(() => node.state === 'running', `${node.name} has joined`);
}

async function provided(service: string): Promise<number> {
  const { records } = await cluster.run(cluster.node('n1').node.dht.providers(`service/${service}`));
  return records.length;
}

const INSTANCE = JSON.stringify({ address: 'x:1' });

test('an agent that closes takes back what it provides', async () => {
  cluster = await simCluster({ seed: 1 });
  const a1 = cluster.add('a1', { role: 'agent' });
  await joined(a1);
  await cluster.advance(2000);
  await cluster.run(a1.node.dht.host('payments', 'i1', INSTANCE));
  await cluster.advance(2000);
  expect(await provided('payments')).toBe(1);
  await cluster.run(a1.close());
  expect(await provided('payments')).toBe(0);
  // Nor does anybody who was not told give it back.
  await cluster.advance(20 * 60_000);
  expect(await provided('payments')).toBe(0);
});

test('a node that comes back with its clock behind says where it is all the same', async () => {
  cluster = await simCluster({ seed: 2 });
  const a1 = cluster.add('a1', { role: 'agent' });
  a1.options = { ...a1.options, dataDir: 'kept' };
  a1.jumpClock(3_600_000);
  await joined(a1);
  await cluster.advance(6000);
  const { id } = a1.node;
  const where = async (): Promise<readonly string[] | undefined> =>
    (await cluster.run(cluster.node('n1').node.dht.lookup({ node: id }))).node?.addresses;
  expect(await where()).toEqual(['a1:1']);
  await cluster.run(a1.close());
  a1.jumpClock(-3_600_000);
  a1.options = { ...a1.options, advertise: 'elsewhere:1' };
  await joined(a1);
  expect(a1.node.id).toBe(id);
  await cluster.advance(6000);
  expect(await where()).toEqual(['elsewhere:1']);
});

test('a node that hosts more services at once than it may ask for provides all of them in the end', async () => {
  cluster = await simCluster({ seed: 3 });
  const { node } = cluster.node('n2');
  await cluster.advance(2000);
  const services = Array.from({ length: 100 }, (_, i) => `s${i}`);
  for (const service of services) await node.dht.host(service, 'i1', INSTANCE);
  await cluster.advance(120_000);
  const counts: number[] = [];
  for (const service of services) counts.push(await provided(service));
  expect(counts.filter((count) => count === 0)).toEqual([]);
});
