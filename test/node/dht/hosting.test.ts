import { afterEach, describe, expect, test } from 'vitest';
import { clientOver } from '../../../src/client/client.ts';
import { text } from '../../../src/client/codec.ts';
import { EmbeddedTransport } from '../../../src/client/embedded-transport.ts';
import type { DhtRecord, NodeDht } from '../../../src/node/types.ts';
import { simCluster, type SimCluster } from '../../../src/testing/sim-cluster.ts';
import { Peers, type TestPeer } from './peers.ts';

function said({ value }: DhtRecord): unknown[] {
  return JSON.parse(new TextDecoder().decode(value)) as unknown[];
}

describe('instances of services', () => {
  let peers: Peers;
  afterEach(() => peers.close());

  async function hosted(by: TestPeer, service = 'pay'): Promise<unknown[][]> {
    return (await peers.run(by.dht.providers(`service/${service}`))).records.map(said);
  }

  test('are told of by who hosts them, as long as it does', async () => {
    peers = new Peers(1);
    const [a, b, c] = (await peers.meet(3)) as [TestPeer, TestPeer, TestPeer];
    await a.dht.host('pay', 'one', '{"address":"h:1"}');
    await a.dht.host('pay', 'two', '{"address":"h:2","status":"passing"}');
    await b.dht.host('pay', 'three', '{"address":"h:3"}');
    await peers.time.pass(1000);
    const three = [{ instance: 'three', address: 'h:3' }];
    const both = [
      { instance: 'one', address: 'h:1' },
      { instance: 'two', address: 'h:2', status: 'passing' },
    ];
    expect(await hosted(c)).toEqual(expect.arrayContaining([both, three]));
    await a.dht.host('pay', 'one', null);
    await a.dht.host('pay', 'two', '{"address":"h:2","status":"critical"}');
    await b.dht.host('pay', 'three', null);
    await peers.time.pass(6000);
    expect(await hosted(c)).toEqual([[{ instance: 'two', address: 'h:2', status: 'critical' }]]);
    expect([a.hosting.size, b.hosting.size]).toEqual([1, 0]);
    await peers.run(a.hosting.leave(1000));
    expect(await hosted(c)).toEqual([]);
  });

  test('that come and go at once are not told of', async () => {
    peers = new Peers(2);
    const [a] = (await peers.meet(2)) as [TestPeer, TestPeer];
    const { requestsSent } = a.driver.stats();
    await a.dht.host('pay', 'one', '{}');
    await a.dht.host('pay', 'one', null);
    await a.dht.host('pay', 'never', null);
    await peers.time.pass(1000);
    expect([a.driver.stats().requestsSent, a.hosting.size]).toEqual([requestsSent, 0]);
  });

  test('that change all the time are told of every five seconds', async () => {
    peers = new Peers(5);
    const [a, b] = (await peers.meet(2)) as [TestPeer, TestPeer];
    const seqs = new Set<number>();
    for (let i = 0; i < 200; i++) {
      await a.dht.host('pay', 'one', JSON.stringify({ status: i % 2 === 0 ? 'passing' : 'critical', i }));
      await peers.time.pass(100);
      for (const { seq } of (await peers.run(b.dht.providers('service/pay'))).records) seqs.add(seq);
    }
    expect(seqs.size).toBeGreaterThanOrEqual(4);
    expect(seqs.size).toBeLessThanOrEqual(5);
    await peers.time.pass(6000);
    expect(await hosted(b)).toEqual([[{ instance: 'one', status: 'critical', i: 199 }]]);
  });

  test('of which there are more than a record holds are told of without their metadata, then in part', async () => {
    peers = new Peers(3);
    const [a, b] = (await peers.meet(2)) as [TestPeer, TestPeer];
    const metadata = { note: 'x'.repeat(1500) };
    for (const instance of ['1', '2', '3']) await a.dht.host('pay', instance, JSON.stringify({ metadata }));
    await peers.time.pass(1000);
    expect(await hosted(b)).toEqual([['1', '2', '3'].map((instance) => ({ instance, metadata: {} }))]);
    const address = 'a'.repeat(500);
    for (let i = 0; i < 256; i++) await a.dht.host('many', `i${i}`, JSON.stringify({ address }));
    await expect(a.dht.host('many', 'one more', '{}')).rejects.toMatchObject({ code: 'ERR_OVERLOADED' });
    await peers.time.pass(1000);
    const [list] = await hosted(b, 'many');
    expect(list!.length).toBeGreaterThan(5);
    expect(list!.length).toBeLessThan(10);
  });

  test.each<[string, string, string, string]>([
    ['without a name', '', 'one', '{}'],
    ['without an id', 'pay', '', '{}'],
    ['with a name that is too long', 'x'.repeat(513), 'one', '{}'],
    ['that say no JSON', 'pay', 'one', '{'],
    ['that say no object', 'pay', 'one', '[]'],
  ])('%s are refused', async (_, service, instance, what) => {
    peers = new Peers(4);
    const [a] = (await peers.meet(2)) as [TestPeer, TestPeer];
    await expect(a.dht.host(service, instance, what)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(a.hosting.size).toBe(0);
  });
});

describe('an instance that is registered by the client of an embedded node', () => {
  let cluster: SimCluster;
  afterEach(() => cluster.close());

  test('is provided by that node, until it is deregistered', async () => {
    cluster = await simCluster();
    const agent = cluster.add('a1', { role: 'agent' });
    void agent.start();
    await cluster.until(() => agent.state === 'running' && agent.node.readiness().ready, 'a1 is served');
    const client = clientOver([new EmbeddedTransport(agent.node)], text, {
      environment: {
        now: () => cluster.now,
        random: () => 0.5,
        after: (delayMs: number, task: () => void) => cluster.time.schedule(delayMs, task),
      },
    });
    const me = await cluster.run(client.services.register('pay', { address: '10.0.0.7:8080', instance: 'shop' }));
    await cluster.advance(1000);
    const dht: NodeDht = cluster.node('n2').node.dht;
    const provided = async (): Promise<unknown[]> =>
      (await cluster.run(dht.providers('service/pay'))).records.map((record) => [record.id, said(record)]);
    expect(await provided()).toMatchObject([
      [agent.node.id, [{ instance: 'shop', address: '10.0.0.7:8080', status: 'passing' }]],
    ]);
    await cluster.run(me.report('critical', 'it is ill'));
    await cluster.advance(6000);
    expect(await provided()).toMatchObject([[agent.node.id, [{ status: 'critical', note: 'it is ill' }]]]);
    await cluster.run(me.close());
    await cluster.advance(6000);
    expect(await provided()).toEqual([]);
    await cluster.run(client.close());
  });
});
