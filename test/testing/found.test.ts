/** What the simulator found in coordination, each as small as it could be made. */
import { afterEach, describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/index.ts';
import type { Services } from '../../src/node/services.ts';
import { simCluster, type SimCluster, type SimNode } from '../../src/testing/index.ts';
import type { Hello, TransportHandlers } from '../../src/transport/types.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

function follower(): SimNode {
  return cluster.nodes.find((node) => node.alive && node !== cluster.leader) as SimNode;
}

async function codeOf(promise: Promise<unknown>): Promise<string | null> {
  try {
    await promise;
    return null;
  } catch (error) {
    if (KvorumError.is(error)) return error.code;
    throw error;
  }
}

describe('watches', () => {
  test('a compaction at the end of what is applied at once does not end the node', async () => {
    cluster = await simCluster({ seed: 1, nodes: 1 });
    const node = cluster.node('n1');
    const watch = await cluster.run(node.call((running) => running.watch({ key: 'a' })));
    expect(watch.poll()).toBeNull();
    // One turn, one batch: what the watch is to see is gone before it can be looked at.
    await cluster.run(
      node.call((running) =>
        Promise.all([running.put('a', '1'), running.put('a', '2'), running.put('a', '3'), running.compact(3)]),
      ),
    );
    expect(node.failure).toBeNull();
    expect(node.state).toBe('running');
    expect(await codeOf(cluster.run(watch.next()))).toBe('ERR_COMPACTED');
    const again = await cluster.run(node.call((running) => running.watch({ key: 'a', from: 4 })));
    await cluster.run(node.call((running) => running.put('a', '4')));
    expect((await cluster.run(again.next())).value).toMatchObject({ revision: 4 });
  });

  test('one that is closed stays where it was, whatever its node applies afterwards', async () => {
    cluster = await simCluster({ seed: 2 });
    const node = cluster.node('n1');
    const watch = await cluster.run(node.call((running) => running.watch({ prefix: 'a' })));
    expect(watch.poll()).toBeNull();
    const { position } = watch;
    watch.close();
    await cluster.run(node.call((running) => running.put('a', 'nobody saw this')));
    expect(watch.position).toBe(position);
  });
});

describe('the rest of a lock', () => {
  test('does not last until a clock that was set back has caught up', async () => {
    cluster = await simCluster({ seed: 3 });
    const leader = cluster.leader as SimNode;
    leader.jumpClock(3_600_000);
    await cluster.run(leader.call((running) => running.locks.acquire('a', { ttlMs: 1000, delayMs: 500 })));
    leader.crash();
    await cluster.until(() => cluster.leader !== null, 'another leader');
    // The next leader's clock is an hour behind what the state has seen.
    const taken = follower().call((running) => running.locks.acquire('a', { ttlMs: 1000, waitMs: 20_000 }));
    const before = cluster.now;
    await cluster.run(taken);
    expect(cluster.now - before).toBeLessThan(10_000);
  });

  test('is forgotten by followers when it is over', async () => {
    const services = new Map<string, Services>();
    cluster = await simCluster({
      seed: 4,
      platform: (node, platform) => ({ ...platform, joined: (parts) => void services.set(node.name, parts.services) }),
    });
    const node = follower();
    for (let i = 0; i < 5; i++) {
      await cluster.run(node.call((running) => running.locks.acquire(`a${i}`, { ttlMs: 1000, delayMs: 200 })));
    }
    await cluster.until(() => services.get(node.name)?.resting === 5, 'all of them rest');
    await cluster.advance(2000);
    expect([...services.values()].map((one) => one.resting)).toEqual([0, 0, 0]);
  });
});

describe('a hello', () => {
  test('that is older than what its process has acknowledged since is asked for again', async () => {
    const handlers = new Map<string, TransportHandlers>();
    cluster = await simCluster({
      seed: 5,
      platform: (node, platform) => ({
        ...platform,
        createTransport: (options) => {
          handlers.set(node.name, options.handlers);
          return platform.createTransport(options);
        },
      }),
    });
    const [teller, told] = [follower(), cluster.leader as SimNode];
    const hello = handlers.get(teller.name)?.hello() as Hello;
    for (let i = 0; i < 20; i++) await cluster.run(told.call((running) => running.put('a', String(i))));
    await cluster.advance(2000);
    const admit = handlers.get(told.name)?.admit;
    const credential = { type: 'secret' } as const;
    expect(admit?.(hello, credential)).toMatchObject({ ok: false, code: 'ERR_UNAVAILABLE' });
    expect(admit?.(handlers.get(teller.name)?.hello() as Hello, credential)).toEqual({ ok: true });
    // From another process it is what an old copy of the disk says.
    const other = { ...hello, extra: { ...hello.extra, process: 'another one' } };
    expect(admit?.(other, credential)).toMatchObject({ ok: false, code: 'ERR_MEMBER_REPLACED' });
  });

  test('that comes with a join token is no client’s, and none of a first member', async () => {
    const handlers = new Map<string, TransportHandlers>();
    const token = { type: 'token', role: null, expiresMs: 8e15 } as const;
    const early: unknown[] = [];
    cluster = await simCluster({
      seed: 6,
      platform: (node, platform) => ({
        ...platform,
        createTransport: (options) => {
          handlers.set(node.name, options.handlers);
          const first = handlers.values().next().value;
          if (first !== options.handlers) early.push(first?.admit(options.handlers.hello(), token));
          return platform.createTransport(options);
        },
      }),
    });
    expect(early).toMatchObject([{ code: 'ERR_BAD_TOKEN' }, { code: 'ERR_BAD_TOKEN' }]);
    const told = handlers.get((cluster.leader as SimNode).name);
    const hello = handlers.get(follower().name)?.hello() as Hello;
    const client = { ...hello, clusterId: null, id: '7', name: 'shop', peerId: 'p7', extra: { client: true } };
    expect(told?.admit(client, token)).toMatchObject({ ok: false, code: 'ERR_BAD_TOKEN' });
    expect(told?.admit(client, { type: 'secret' })).toEqual({ ok: true });
  });
});
