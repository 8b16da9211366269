/** Writes that happen once, however often they are sent, to whatever node. */
import { afterEach, describe, expect, it } from 'vitest';
import { KvorumError, type KvorumNode, type Once } from '../../src/index.ts';
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

describe('a write under a key', () => {
  it('is done once, and answered the same from every node, also after restarts', async () => {
    cluster = await simCluster({ seed: 1 });
    const once: Once = { key: 'order-42' };
    const add = (node: SimNode) => on(node, (one) => one.counters.add('c', 5, { once }));
    expect(await add(cluster.nodes[0]!)).toEqual({ name: 'c', value: 5, revision: 0 });
    expect(await add(cluster.nodes[1]!)).toEqual({ name: 'c', value: 5, revision: 0, replayed: true });
    for (const node of cluster.nodes) node.crash();
    await cluster.start();
    expect(await add(cluster.nodes[2]!)).toEqual({ name: 'c', value: 5, revision: 0, replayed: true });
    const other = on(cluster.nodes[2]!, (one) => one.counters.add('c', 6, { once }));
    expect(await failure(other)).toMatchObject({ code: 'ERR_IDEMPOTENCY_MISMATCH', outcome: 'none' });
    expect(await on(cluster.nodes[0]!, (one) => one.counters.get('c'))).toMatchObject({ value: 5 });
  });

  it('that failed fails again, whatever has changed since', async () => {
    cluster = await simCluster({ seed: 2, nodes: 1 });
    const [node] = cluster.nodes;
    await on(node!, (one) => one.put('k', 'a'));
    const once: Once = { key: 'once' };
    const create = () => on(node!, (one) => one.put('k', 'b', { condition: { type: 'absent' }, once }));
    expect((await failure(create())).details).toMatchObject({ current: { modRevision: 1 } });
    await on(node!, (one) => one.delete('k'));
    expect(await failure(create())).toMatchObject({
      code: 'ERR_CAS_FAILED',
      details: { current: { modRevision: 1 }, replayed: true },
    });
  });

  it('that is sent twice at once is done once', async () => {
    cluster = await simCluster({ seed: 3 });
    const answers = await Promise.all(
      cluster.nodes.map((node) => on(node, (one) => one.counters.add('c', 1, { once: { key: 'x' } }))),
    );
    expect(answers.map(({ value }) => value)).toEqual([1, 1, 1]);
    expect(answers.filter(({ replayed }) => replayed === true)).toHaveLength(2);
  });
});

describe('a write of a session', () => {
  it('is done once; its number is forgotten when the session says so, and never done again', async () => {
    cluster = await simCluster({ seed: 4 });
    const [a, b] = cluster.nodes;
    const { id: session } = await on(a!, (one) => one.leases.grant({ ttlMs: 60_000 }));
    const add = (node: SimNode, sequence: number, lowestUnanswered: number) =>
      on(node, (one) => one.counters.add('c', 1, { once: { session, sequence, lowestUnanswered } }));
    expect(await add(a!, 1, 1)).toMatchObject({ value: 1 });
    expect(await add(a!, 3, 1)).toMatchObject({ value: 2 });
    expect(await add(b!, 2, 1)).toMatchObject({ value: 3 });
    expect(await add(b!, 1, 1)).toMatchObject({ value: 1, replayed: true });
    expect(await add(a!, 4, 3)).toMatchObject({ value: 4 });
    expect(await failure(add(b!, 2, 2))).toMatchObject({ code: 'ERR_SESSION_EXPIRED', outcome: 'unknown' });
    expect(await add(b!, 3, 3)).toMatchObject({ value: 2, replayed: true });
    await on(a!, (one) => one.leases.revoke(session));
    expect(await failure(add(b!, 5, 5))).toMatchObject({ code: 'ERR_SESSION_EXPIRED', outcome: 'unknown' });
    expect(await on(b!, (one) => one.counters.get('c'))).toMatchObject({ value: 4 });
  });

  it('that waits for a lock and is repeated elsewhere keeps its place', async () => {
    cluster = await simCluster({ seed: 5 });
    const [a, b, c] = cluster.nodes;
    const held = await on(a!, (one) => one.locks.acquire('l', { ttlMs: 60_000 }));
    const once: Once = { key: 'wait' };
    const first = b!.call((one) => one.locks.acquire('l', { waitMs: 60_000, once })).catch(() => null);
    await cluster.advance(100);
    const second = c!.call((one) => one.locks.acquire('l', { waitMs: 60_000, once }));
    await cluster.advance(100);
    expect((await on(a!, (one) => one.locks.get('l'))).queue).toHaveLength(1);
    await on(a!, (one) => one.locks.release('l', held));
    const lock = await cluster.run(second);
    expect(lock).toMatchObject({ replayed: true });
    expect(await cluster.run(first)).toMatchObject({ token: lock.token });
  });

  it.each([
    ['an empty key', { key: '' }],
    ['a key that is too long', { key: 'x'.repeat(256) }],
    ['a session that is no lease', { session: 'x', sequence: 1, lowestUnanswered: 1 }],
    ['a sequence of 0', { session: '1', sequence: 0, lowestUnanswered: 0 }],
    ['a mark above its sequence', { session: '1', sequence: 1, lowestUnanswered: 2 }],
  ])('is refused with %s', async (_, once) => {
    cluster = await simCluster({ seed: 6, nodes: 1 });
    const refused = await failure(on(cluster.nodes[0]!, (one) => one.counters.add('c', 1, { once })));
    expect(refused.code).toBe('ERR_INVALID_ARGUMENT');
  });
});

describe('the settings of the store', () => {
  it('are what the leader was told, on every node', async () => {
    cluster = await simCluster({ seed: 7, store: { keepRevisions: 3, quotaBytes: 4000 } });
    await cluster.advance(1000);
    const [a] = cluster.nodes;
    for (let i = 1; i <= 10; i++) await on(a!, (one) => one.put('k', String(i)));
    expect(await failure(on(a!, (one) => one.get('k', { revision: 5 })))).toMatchObject({
      code: 'ERR_COMPACTED',
      details: { compactRevision: 7 },
    });
    const full = await failure(on(a!, (one) => one.put('big', 'x'.repeat(4000))));
    expect(full).toMatchObject({ code: 'ERR_QUOTA', details: { quotaBytes: 4000 } });
    expect(await on(a!, (one) => one.delete('k'))).toMatchObject({ deleted: 1 });
  });
});
