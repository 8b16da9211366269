/** Locks, semaphores, elections and barriers of whole nodes on virtual time. */
import { afterEach, describe, expect, it } from 'vitest';
import { KvorumError, type KvorumNode, type LockAnswer } from '../../src/index.ts';
import { simCluster, type SimCluster, type SimNode } from '../../src/testing/index.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

function on<T>(node: SimNode, action: (node: KvorumNode) => Promise<T>): Promise<T> {
  return cluster.run(node.call(action));
}

async function failure(promise: Promise<unknown>): Promise<KvorumError> {
  try {
    await promise;
  } catch (error) {
    if (KvorumError.is(error)) return error;
    throw error;
  }
  throw new Error('it succeeded');
}

function follower(): SimNode {
  return cluster.nodes.find((node) => node.alive && node !== cluster.leader)!;
}

/** Moves time on until so many wait for the name. */
async function queued(name: string, count: number, limitMs = 5000): Promise<void> {
  const until = cluster.now + limitMs;
  for (;;) {
    const { queue } = await on(cluster.leader!, (node) => node.locks.get(name));
    if (queue.length === count) return;
    if (cluster.now > until) throw new Error(`${queue.length} wait for ${name}, not ${count}`);
    await cluster.advance(1);
  }
}

describe('a lock', () => {
  it('is handed over in the order of asking, on whatever node, with growing tokens', async () => {
    cluster = await simCluster({ seed: 1 });
    const first = await on(cluster.nodes[0]!, (node) => node.locks.acquire('a', { owner: 'first' }));
    const order: number[] = [];
    const waiting: Promise<LockAnswer>[] = [];
    for (let i = 0; i < 6; i++) {
      const got = cluster.nodes[i % 3]!.call((node) => node.locks.acquire('a', { waitMs: 60_000, owner: i }));
      waiting.push(
        got.then((lock) => {
          order.push(i);
          return lock;
        }),
      );
      await queued('a', i + 1);
    }
    let held = first;
    for (let i = 0; i < 6; i++) {
      await on(cluster.nodes[(i + 1) % 3]!, (node) => node.locks.release('a', { token: held.token }));
      const next = await cluster.run(waiting[i]!);
      expect(next.token).toBeGreaterThan(held.token);
      held = next;
    }
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
    const info = await on(follower(), (node) => node.locks.get('a'));
    expect(info).toMatchObject({ kind: 'lock', holders: [{ token: held.token, owner: 5 }], queue: [] });
    expect(await on(follower(), (node) => node.locks.release('a', held))).toMatchObject({ released: true });
    expect(await on(follower(), (node) => node.locks.release('a', held))).toMatchObject({ released: false });
    // Leases that were made for the lock went with it.
    expect(await on(follower(), (node) => node.leases.list())).toEqual([]);
  });

  it('that is held answers at once, with the holder; or when the wait is over', async () => {
    cluster = await simCluster({ seed: 2 });
    const held = await on(follower(), (node) => node.locks.acquire('a', { owner: { host: 'h' } }));
    const refused = await failure(on(follower(), (node) => node.locks.acquire('a')));
    expect(refused).toMatchObject({
      code: 'ERR_LOCK_HELD',
      outcome: 'none',
      details: { holder: { token: held.token, lease: held.lease, owner: { host: 'h' } } },
    });
    const before = cluster.now;
    const late = await failure(on(follower(), (node) => node.locks.acquire('a', { waitMs: 2000 })));
    expect(late).toMatchObject({ code: 'ERR_LOCK_HELD', details: { holder: { token: held.token } } });
    expect(cluster.now - before).toBeGreaterThanOrEqual(2000);
    expect((await on(follower(), (node) => node.locks.get('a'))).queue).toEqual([]);
  });

  it('is left by a waiter who hangs up', async () => {
    cluster = await simCluster({ seed: 3 });
    await on(follower(), (node) => node.locks.acquire('a', { ttlMs: 60_000 }));
    const controller = new AbortController();
    const waiting = follower().call((node) =>
      node.locks.acquire('a', { waitMs: 60_000, signal: controller.signal }).catch((error: Error) => error.name),
    );
    await queued('a', 1);
    controller.abort();
    expect(await cluster.run(waiting)).toBe('AbortError');
    await queued('a', 0, 1000);
  });

  it('is waited for elsewhere when the node closes, at the same place', async () => {
    cluster = await simCluster({ seed: 13 });
    const held = await on(cluster.leader!, (node) => node.locks.acquire('a', { ttlMs: 60_000 }));
    const closing = follower();
    const once = { key: 'mine' };
    const first = failure(closing.call((node) => node.locks.acquire('a', { waitMs: 60_000, once })));
    await queued('a', 1);
    const behind = cluster.leader!.call((node) => node.locks.acquire('a', { waitMs: 60_000 }));
    await queued('a', 2);
    await cluster.run(closing.close());
    expect(await cluster.run(first)).toMatchObject({ code: 'ERR_CLOSED', outcome: 'unknown' });
    const again = follower().call((node) => node.locks.acquire('a', { waitMs: 60_000, once }));
    await cluster.advance(1000);
    await on(cluster.leader!, (node) => node.locks.release('a', held));
    const lock = await cluster.run(again);
    expect(lock).toMatchObject({ replayed: true });
    await on(cluster.leader!, (node) => node.locks.release('a', lock));
    expect((await cluster.run(behind)).token).toBeGreaterThan(lock.token);
  });

  it('is not waited for on a node that began to close before it was asked for in the log', async () => {
    cluster = await simCluster({ seed: 15 });
    await on(cluster.leader!, (node) => node.locks.acquire('a', { ttlMs: 60_000 }));
    const closing = follower();
    // On the node itself: its process goes on after it is closed, and nothing of it may.
    const { node } = closing;
    const asked = failure(node.locks.acquire('a', { waitMs: 60_000 }));
    const before = cluster.now;
    await cluster.run(node.close());
    expect(await cluster.run(asked)).toMatchObject({ code: 'ERR_CLOSED', outcome: 'unknown' });
    expect(cluster.now - before).toBeLessThan(5000);
  });

  it('that was broken is not renewed, though its lease lives', async () => {
    cluster = await simCluster({ seed: 14 });
    const { id: lease } = await on(follower(), (node) => node.leases.grant());
    await on(follower(), (node) => node.locks.acquire('a', { lease }));
    await on(cluster.leader!, (node) => node.locks.break('a'));
    for (const node of cluster.nodes) {
      expect(await failure(on(node, (one) => one.locks.renew('a', { lease })))).toMatchObject({
        code: 'ERR_LOCK_LOST',
      });
    }
  });

  it('keeps the place of a waiter who asks again with its lease', async () => {
    cluster = await simCluster({ seed: 12 });
    const held = await on(follower(), (node) => node.locks.acquire('a', { ttlMs: 60_000 }));
    const { id: lease } = await on(follower(), (node) => node.leases.grant({ ttlMs: 60_000 }));
    const ask = (waitMs: number) =>
      on(follower(), (node) => node.locks.acquire('a', { lease, waitMs, keepPlace: true }));
    expect(await failure(ask(500))).toMatchObject({ code: 'ERR_LOCK_HELD' });
    const behind = follower().call((node) => node.locks.acquire('a', { waitMs: 60_000 }));
    await queued('a', 2);
    expect(await failure(ask(500))).toMatchObject({ code: 'ERR_LOCK_HELD' });
    await on(follower(), (node) => node.locks.release('a', held));
    const lock = await ask(500);
    expect(await on(follower(), (node) => node.locks.get('a'))).toMatchObject({ holders: [{ lease }] });
    await on(follower(), (node) => node.locks.release('a', lock));
    expect((await cluster.run(behind)).token).toBeGreaterThan(lock.token);
    const placeless = on(follower(), (node) => node.locks.acquire('a', { waitMs: 500, keepPlace: true }));
    expect(await failure(placeless)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('of a waiter whose wait outlasts its TTL is kept alive by the node, and goes on from the grant', async () => {
    cluster = await simCluster({ seed: 4 });
    const first = await on(follower(), (node) => node.locks.acquire('a', { ttlMs: 60_000 }));
    const waiting = follower().call((node) => node.locks.acquire('a', { ttlMs: 1000, waitMs: 20_000 }));
    await cluster.advance(10_000);
    await on(follower(), (node) => node.locks.release('a', first));
    const lock = await cluster.run(waiting);
    expect(await on(follower(), (node) => node.locks.renew('a', lock))).toEqual({ ttlMs: 1000 });
    await cluster.advance(2500);
    expect(await failure(on(follower(), (node) => node.locks.renew('a', lock)))).toMatchObject({
      code: 'ERR_LOCK_LOST',
    });
  });

  it('goes to the next when the holder stops renewing, after its delay', async () => {
    cluster = await simCluster({ seed: 5 });
    const first = await on(follower(), (node) => node.locks.acquire('a', { ttlMs: 1000, delayMs: 3000 }));
    const before = cluster.now;
    const next = await on(follower(), (node) => node.locks.acquire('a', { waitMs: 20_000 }));
    expect(next.token).toBeGreaterThan(first.token);
    expect(cluster.now - before).toBeGreaterThanOrEqual(4000);
    expect(cluster.now - before).toBeLessThan(5500);
  });

  it('is granted once a leader has followed the one that died', async () => {
    cluster = await simCluster({ seed: 6 });
    const waiter = follower();
    await on(waiter, (node) => node.locks.acquire('a', { ttlMs: 2000 }));
    const waiting = waiter.call((node) => node.locks.acquire('a', { waitMs: 60_000 }));
    await queued('a', 1);
    cluster.leader!.crash();
    const lock = await cluster.run(waiting);
    expect(lock.token).toBeGreaterThan(1);
    expect(await on(waiter, (node) => node.locks.get('a'))).toMatchObject({ holders: [{ token: lock.token }] });
  });

  it('is held on a lease of the caller, again with the same token, and guards a transaction', async () => {
    cluster = await simCluster({ seed: 7 });
    const { id } = await on(follower(), (node) => node.leases.grant());
    const lock = await on(follower(), (node) => node.locks.acquire('a', { lease: id }));
    const again = await on(follower(), (node) => node.locks.acquire('a', { lease: id }));
    expect(again.token).toBe(lock.token);
    const guarded = (token: number) =>
      on(follower(), (node) =>
        node.txn({
          if: [{ lock: 'a', target: 'token', operator: '=', value: token }],
          then: [{ put: { key: 'k', value: 'v' } }],
        }),
      );
    expect(await guarded(lock.token)).toMatchObject({ succeeded: true });
    expect(await on(follower(), (node) => node.locks.break('a'))).toMatchObject({ broken: 1 });
    expect(await guarded(lock.token)).toMatchObject({ succeeded: false });
    expect(await on(follower(), (node) => node.leases.get(id))).toMatchObject({ locks: [] });
  });

  it('is shared by readers and not by writers; a semaphore by as many as it has permits', async () => {
    cluster = await simCluster({ seed: 8 });
    const acquire = (name: string, options: object) => on(follower(), (node) => node.locks.acquire(name, options));
    await acquire('rw', { mode: 'read' });
    await acquire('rw', { mode: 'read' });
    expect(await failure(acquire('rw', { mode: 'write' }))).toMatchObject({ code: 'ERR_LOCK_HELD' });
    const permit = await acquire('s', { permits: 2 });
    await acquire('s', { permits: 2 });
    expect(await failure(acquire('s', { permits: 2 }))).toMatchObject({ code: 'ERR_LOCK_HELD' });
    expect(await failure(acquire('s', { permits: 3 }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(await on(follower(), (node) => node.locks.release('s', permit))).toMatchObject({ released: true });
    await acquire('s', { permits: 2 });
    expect((await on(follower(), (node) => node.locks.list())).map(({ name }) => name)).toEqual(['rw', 's']);
  });
});

describe('an election', () => {
  it('shows every observer who leads and what it proclaims', async () => {
    cluster = await simCluster({ seed: 9 });
    const seen: unknown[] = [];
    const observer = follower();
    const observation = observer.node.elections.observe('boss');
    const next = async () => {
      const { value } = await cluster.run(observation.next());
      seen.push(value.value);
      return value;
    };
    expect(await next()).toEqual({ name: 'boss', leader: null, value: null, token: null });
    const term = await on(cluster.leader!, (node) => node.elections.campaign('boss', { value: 'a', ttlMs: 1000 }));
    expect(await next()).toMatchObject({ leader: { lease: term.lease }, value: 'a', token: term.token });
    await on(cluster.leader!, (node) => node.elections.proclaim('boss', { token: term.token, value: 'b' }));
    await next();
    await next(); // it does not renew
    expect(seen).toEqual([null, 'a', 'b', null]);
    const proclaim = on(follower(), (node) => node.elections.proclaim('boss', { token: term.token, value: 'c' }));
    expect(await failure(proclaim)).toMatchObject({ code: 'ERR_LOCK_LOST' });
    observation.close();
    expect(await observation.next()).toMatchObject({ done: true });
  });
});

describe('a barrier', () => {
  it('opens for all at once when enough have entered, and is closed again', async () => {
    cluster = await simCluster({ seed: 10 });
    const enter = (i: number) =>
      cluster.nodes[i % 3]!.call((node) => node.barriers.enter('b', { parties: 3, waitMs: 30_000 }));
    const two = [enter(0), enter(1)];
    await cluster.advance(1000);
    expect(await on(follower(), (node) => node.barriers.get('b'))).toEqual({ name: 'b', parties: 3, entered: 2 });
    const all = await cluster.run(Promise.all([...two, enter(2)]));
    expect(new Set(all.map(({ token }) => token)).size).toBe(1);
    expect(await on(follower(), (node) => node.barriers.get('b'))).toMatchObject({ entered: 0 });
    expect(await on(follower(), (node) => node.leases.list())).toEqual([]);
    const alone = await failure(on(follower(), (node) => node.barriers.enter('b', { parties: 3, waitMs: 100 })));
    expect(alone).toMatchObject({ code: 'ERR_LOCK_HELD' });
  });
});

describe('a queue of a thousand', () => {
  it('is served in order, one commit a hand-over', async () => {
    cluster = await simCluster({ seed: 11 });
    const leader = cluster.leader!;
    const { id } = await on(leader, (node) => node.leases.grant({ ttlMs: 3_600_000 }));
    let held = await on(leader, (node) => node.locks.acquire('q', { lease: id }));
    const leases = await on(leader, (node) =>
      Promise.all(Array.from({ length: 1000 }, () => node.leases.grant({ ttlMs: 3_600_000 }))),
    );
    const order: string[] = [];
    const got = leases.map(({ id: lease }) =>
      follower().call(async (node) => {
        const lock = await node.locks.acquire('q', { lease, waitMs: 60_000 });
        order.push(lease);
        return lock;
      }),
    );
    await queued('q', 1000);
    const { queue } = await on(leader, (node) => node.locks.get('q'));
    const expected = queue.map(({ lease }) => lease);
    const applied = (): number => leader.node.cluster().members.find(({ name }) => name === leader.name)!.appliedIndex!;
    const before = applied();
    const last = Promise.all(got);
    for (let i = 0; i < 1000; i++) {
      await on(leader, (node) => node.locks.release('q', held));
      const next = expected[i]!;
      await cluster.until(() => order.length === i + 1, 'the next one has it');
      const lock = await got[leases.findIndex(({ id: lease }) => lease === next)]!;
      expect(lock.token).toBeGreaterThan(held.token);
      held = lock;
    }
    await cluster.run(last);
    expect(order).toEqual(expected);
    expect(applied() - before).toBe(1000);
  });
});
