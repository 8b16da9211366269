/** The client that services have, on a simulated cluster. */
import { afterEach, expect, test } from 'vitest';
import { KvorumError } from '../../src/index.ts';
import { simCluster, type SimCluster } from '../../src/testing/index.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

test('a write is made once, whoever dies meanwhile', async () => {
  cluster = await simCluster({ seed: 1 });
  const client = cluster.client();
  await cluster.run(client.counter('sales').add(1));
  const adding = Promise.all(Array.from({ length: 20 }, () => client.counter('sales').add(1)));
  await cluster.advance(1);
  cluster.leader?.crash();
  await cluster.run(adding);
  expect(await cluster.run(client.counter('sales').get())).toBe(21);
  await cluster.run(client.close());
});

test('a watch goes on at another node, without a gap', async () => {
  cluster = await simCluster({ seed: 2 });
  const client = cluster.client();
  const watch = client.watch({ prefix: 'a' });
  const seen: string[] = [];
  const reading = (async () => {
    for await (const batch of watch) for (const event of batch.events) if (event.type === 'put') seen.push(event.value);
  })();
  await cluster.advance(100);
  for (let i = 0; i < 12; i++) {
    await cluster.run(client.put('a', String(i)));
    if (i % 4 === 1) cluster.nodes[i % 3]?.crash();
    if (i % 4 === 3) await cluster.start();
  }
  await cluster.until(() => seen.length === 12, 'all is seen');
  expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => String(i)));
  await cluster.run(client.close());
  await cluster.run(reading.catch(() => {}));
});

test('a lock is lost by who cannot reach anybody, in time', async () => {
  cluster = await simCluster({ seed: 3 });
  const client = cluster.client();
  const lock = await cluster.run(client.lock('orders/42', { ttl: '5s' }));
  lock.guard();
  await cluster.advance(20_000);
  // Kept alive.
  lock.guard();
  for (const node of cluster.nodes) node.pause();
  await cluster.advance(6000);
  expect(lock.signal.aborted).toBe(true);
  expect(() => lock.guard()).toThrow(KvorumError);
  for (const node of cluster.nodes) node.resume();
  const other = cluster.client();
  const next = await cluster.run(other.lock('orders/42', { ttl: '5s', wait: '20s' }));
  expect(next.token).toBeGreaterThan(lock.token);
  await cluster.run(Promise.allSettled([client.close(), other.close()]));
});
