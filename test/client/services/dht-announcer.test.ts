/** Instances that were registered over the network are told of in the DHT by the leader, as long as it leads. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { Attempt, RawBatch, Stream, WatchRequest } from '../../../src/client/api.ts';
import { coreOver } from '../../../src/client/client.ts';
import type { Client } from '../../../src/client/client.ts';
import type { Core } from '../../../src/client/core.ts';
import { EmbeddedTransport } from '../../../src/client/embedded-transport.ts';
import { DhtAnnouncer } from '../../../src/client/services/dht-announcer.ts';
import { KvorumError } from '../../../src/errors.ts';
import { simCluster, type SimCluster } from '../../../src/testing/index.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';

let cluster: SimCluster;
let client: Client;
let beside: Core[];

beforeEach(async () => {
  cluster = await simCluster({ seed: 78 });
  client = cluster.client();
  beside = [];
});

afterEach(async () => {
  for (const each of [client, ...beside]) await cluster.run(each.close()).catch(() => undefined);
  cluster.close();
});

const leads = (node: SimNode) => (): boolean => node.alive && node.node.cluster().leader === node.name;

function announcesBeside(node: SimNode, transport = new EmbeddedTransport(node.node)): void {
  const environment = {
    now: () => cluster.now,
    random: () => 0.5,
    after: (delayMs: number, task: () => void) => cluster.time.schedule(delayMs, task),
  };
  const own = coreOver([transport], { environment });
  own.keep(new DhtAnnouncer(own, leads(node)));
  beside.push(own);
}

const register = (instance: string, more: { node?: string; name?: string } = {}): ReturnType<typeof registered> =>
  registered(more.name ?? 'pay', { address: `${instance}:1`, instance, ...(more.node && { node: more.node }) });
const registered = (name: string, options: { address: string; instance: string }) =>
  cluster.run(client.services.register(name, options));

/** By node: what it tells of. */
async function told(by: SimNode, service = 'pay'): Promise<Record<string, unknown[]>> {
  const { records } = await cluster.run(by.node.dht.providers(`service/${service}`));
  return Object.fromEntries(
    records.map(({ id, value }) => {
      const said = JSON.parse(new TextDecoder().decode(value)) as { instance: string; status: string }[];
      return [id, said.map(({ instance, status }) => `${instance} ${status}`)];
    }),
  );
}

describe('the leader', () => {
  test('tells of what says no node, and of whatever becomes of it', async () => {
    const one = await register('one');
    await register('two', { node: '77' });
    for (const node of cluster.nodes) announcesBeside(node);
    const { leader } = cluster;
    const other = cluster.nodes.find((node) => node !== leader)!;
    await cluster.advance(10_000);
    expect(await told(other)).toEqual({ [leader!.node.id]: ['one passing'] });
    await register('three');
    await cluster.run(one.report('warning', 'draining'));
    await cluster.advance(10_000);
    expect(await told(other)).toEqual({ [leader!.node.id]: ['one warning', 'three passing'] });
    // Now it says one.
    await register('three', { node: '78' });
    await cluster.run(one.close());
    await cluster.advance(10_000);
    expect(await told(other)).toEqual({});
  });

  test('takes back what it told of when it leads no more, and the next one tells of it', async () => {
    await register('one');
    for (const node of cluster.nodes) announcesBeside(node);
    await cluster.advance(10_000);
    const before = cluster.leader!;
    const next = cluster.nodes.find((node) => node !== before)!;
    await cluster.run(before.node.transferLeadership(next.name));
    await cluster.advance(15_000);
    expect(cluster.leader).toBe(next);
    expect(await told(before)).toEqual({ [next.node.id]: ['one passing'] });
    next.crash();
    await cluster.until(() => cluster.leader !== null && cluster.leader !== next, 'somebody leads');
    await cluster.advance(15_000);
    // What the dead one told of is there until it expires.
    expect(await told(before)).toMatchObject({ [cluster.leader!.node.id]: ['one passing'] });
  });
});

/** Notes what it is to tell of. */
class Notebook extends EmbeddedTransport {
  readonly told = new Map<string, string>();
  /** The next watch begins with what is not kept any more. */
  compacted = 0;
  watches = 0;

  override announce(service: string, instance: string, said: string | null): void {
    if (said === null) this.told.delete(`${service}/${instance}`);
    else this.told.set(`${service}/${instance}`, said);
  }

  override watch(request: WatchRequest, attempt: Attempt): Promise<Stream<RawBatch>> {
    this.watches += 1;
    if (this.compacted-- > 0) return Promise.reject(new KvorumError('ERR_COMPACTED', 'too old'));
    return super.watch(request, attempt);
  }
}

function notes(): Notebook {
  const { leader } = cluster;
  const notebook = new Notebook(leader!.node);
  announcesBeside(leader!, notebook);
  return notebook;
}

describe('what is told of', () => {
  test('has bounds, and what found no room gets what becomes free', async () => {
    for (let i = 100; i < 170; i++)
      await cluster.run(client.put(`_kvorum/services/pay/${i}`, '{"address":"a","status":"passing"}'));
    const notebook = notes();
    await cluster.advance(3000);
    expect(notebook.told.size).toBe(64);
    await cluster.run(client.delete('_kvorum/services/pay/100'));
    await cluster.run(client.delete('_kvorum/services/pay/101'));
    await cluster.advance(1000);
    expect(notebook.told.size).toBe(62);
    await cluster.advance(62_000);
    expect([...notebook.told.keys()].sort()).toEqual(Array.from({ length: 64 }, (_, i) => `pay/${102 + i}`));
    // Others have theirs.
    await cluster.run(client.put('_kvorum/services/shop/a', '{"address":"a","status":"passing"}'));
    await cluster.advance(1000);
    expect(notebook.told.has('shop/a')).toBe(true);
  });

  test('are so many services, and a gap is filled by another', async () => {
    for (let i = 100; i < 357; i++)
      await cluster.run(client.put(`_kvorum/services/s${i}/a`, '{"address":"a","status":"passing"}'));
    const notebook = notes();
    await cluster.advance(3000);
    expect([notebook.told.size, notebook.told.has('s356/a')]).toEqual([256, false]);
    await cluster.run(client.delete('_kvorum/services/s200/a'));
    await cluster.advance(62_000);
    expect([notebook.told.size, notebook.told.has('s356/a')]).toEqual([256, true]);
  });

  test('is only what can be read, and what is still there', async () => {
    await cluster.run(client.put('_kvorum/services/pay/one', '{"address":"a","status":"passing"}'));
    await cluster.run(client.put('_kvorum/services/pay/two', '{"address":"a","status":"passing"}'));
    await cluster.run(client.put('_kvorum/services/pay/three', 'by hand'));
    await cluster.run(client.put(new Uint8Array([...Buffer.from('_kvorum/services/pay/'), 0xff]), 'no text'));
    const notebook = notes();
    await cluster.advance(3000);
    expect([...notebook.told.keys()].sort()).toEqual(['pay/one', 'pay/two']);
    // It cannot be read any more.
    await cluster.run(client.put('_kvorum/services/pay/one', '{}'));
    await cluster.advance(1000);
    expect([...notebook.told.keys()]).toEqual(['pay/two']);
  });

  test('costs nothing where there are no services', async () => {
    const notebook = notes();
    await cluster.run(client.put('orders/1', 'new'));
    await cluster.advance(10_000);
    expect(notebook.watches).toBe(0);
    await register('one');
    await cluster.advance(2000);
    expect([...notebook.told.keys()]).toEqual(['pay/one']);
    await cluster.advance(10_000);
    expect(notebook.watches).toBe(1);
  });

  test('follows a registry of which history is not kept', async () => {
    const notebook = notes();
    notebook.compacted = 1;
    await register('one');
    await cluster.advance(5000);
    expect([...notebook.told.keys()]).toEqual(['pay/one']);
    expect(notebook.compacted).toBeLessThan(1);
  });

  test('is nothing that the end of the client has not ended', async () => {
    const notebook = notes();
    await cluster.advance(3000);
    await cluster.run(beside[0]!.close());
    await register('one');
    await cluster.advance(5000);
    expect(notebook.told.size).toBe(0);
  });
});
