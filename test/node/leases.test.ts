/** Leases of whole nodes on virtual time: never shorter than promised, and over when nobody renews. */
import { afterEach, describe, expect, it } from 'vitest';
import { KvorumError, type KvorumNode } from '../../src/index.ts';
import { simCluster, type SimCluster, type SimNode } from '../../src/testing/index.ts';

let cluster: SimCluster;

afterEach(() => cluster.close());

function follower(): SimNode {
  return cluster.nodes.find((node) => node.alive && node !== cluster.leader)!;
}

function on<T>(node: SimNode, action: (node: KvorumNode) => Promise<T>): Promise<T> {
  return cluster.run(node.call(action));
}

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'ok';
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    return error.code;
  }
}

describe('a lease', () => {
  it('ends its TTL after the last renewal, at most a second late, and takes its keys at one revision', async () => {
    cluster = await simCluster({ seed: 1 });
    const { id } = await on(follower(), (node) => node.leases.grant({ ttlMs: 2000, owner: { host: 'a' } }));
    await on(follower(), (node) => node.put('x', '1', { lease: id }));
    await on(follower(), (node) => node.put('y', '2', { lease: id }));
    await cluster.advance(1500);
    const renewedAt = cluster.now;
    expect(await on(cluster.leader!, (node) => node.leases.renew(id))).toMatchObject({ id, ttlMs: 2000 });
    const info = await on(follower(), (node) => node.leases.get(id));
    expect(info).toMatchObject({ owner: { host: 'a' }, keys: ['x', 'y'], locks: [], ttlMs: 2000 });
    expect(info.remainingMs).toBeGreaterThan(1900);

    const before = cluster.leader!.node.head().revision;
    await cluster.until(() => cluster.leader!.node.head().revision > before, 'the keys are gone');
    expect(cluster.now - renewedAt).toBeGreaterThanOrEqual(2000);
    expect(cluster.now - renewedAt).toBeLessThan(3000);
    expect(cluster.leader!.node.head().revision).toBe(before + 1);
    expect((await on(follower(), (node) => node.list())).count).toBe(0);
    expect(await code(on(follower(), (node) => node.leases.renew(id)))).toBe('ERR_LEASE_NOT_FOUND');
    expect(await code(on(follower(), (node) => node.leases.get(id)))).toBe('ERR_LEASE_NOT_FOUND');
    expect(await code(on(follower(), (node) => node.put('z', '', { lease: id })))).toBe('ERR_LEASE_NOT_FOUND');
  });

  it('has its whole TTL again under a new leader', async () => {
    cluster = await simCluster({ seed: 2 });
    const { id } = await on(follower(), (node) => node.leases.grant({ ttlMs: 5000 }));
    await cluster.advance(4500);
    cluster.leader!.crash();
    await cluster.until(() => cluster.leader !== null, 'a new leader');
    const electedAt = cluster.now;
    await cluster.advance(4500);
    expect(await on(cluster.leader!, (node) => node.leases.get(id))).toMatchObject({ id });
    await cluster.advance(2000);
    expect(await code(on(cluster.leader!, (node) => node.leases.get(id)))).toBe('ERR_LEASE_NOT_FOUND');
    expect(cluster.now - electedAt).toBeLessThan(7000);
  });

  it('that is long is checkpointed: a new leader does not begin it anew', async () => {
    cluster = await simCluster({ seed: 3 });
    const { id } = await on(follower(), (node) => node.leases.grant({ ttlMs: 100_000 }));
    await cluster.advance(80_000);
    cluster.leader!.crash();
    await cluster.until(() => cluster.leader !== null, 'a new leader');
    await cluster.advance(500);
    const { remainingMs } = await on(cluster.leader!, (node) => node.leases.get(id));
    // What was left at the last checkpoint, from the election on.
    expect(remainingMs).toBeGreaterThan(20_000);
    expect(remainingMs).toBeLessThan(50_000);
  });

  it('survives a restart of all nodes', async () => {
    cluster = await simCluster({ seed: 4 });
    const { id } = await on(follower(), (node) => node.leases.grant({ ttlMs: 3000 }));
    await on(follower(), (node) => node.put('k', 'v', { lease: id }));
    for (const node of cluster.nodes) node.crash();
    await cluster.advance(10_000);
    await cluster.start();
    expect(await on(follower(), (node) => node.leases.renew(id))).toMatchObject({ id });
    await cluster.advance(4500);
    expect(await on(follower(), (node) => node.get('k'))).toMatchObject({ entry: null });
  });

  it('is not lost because its leader stood still while renewals waited', async () => {
    cluster = await simCluster({ seed: 5, timing: { electionTimeoutMs: 20_000 } });
    const leader = cluster.leader!;
    const { id } = await on(leader, (node) => node.leases.grant({ ttlMs: 1000 }));
    leader.pause();
    await cluster.advance(5000);
    leader.resume();
    await cluster.advance(300);
    expect(await code(on(leader, (node) => node.leases.renew(id)))).toBe('ok');
  });

  it('that is revoked takes its keys at once', async () => {
    cluster = await simCluster({ seed: 6 });
    const { id } = await on(follower(), (node) => node.leases.grant());
    await on(follower(), (node) => node.put('k', 'v', { lease: id }));
    expect(await on(follower(), (node) => node.leases.revoke(id))).toMatchObject({ deleted: 1 });
    expect(await code(on(follower(), (node) => node.leases.revoke(id)))).toBe('ERR_LEASE_NOT_FOUND');
    expect((await on(follower(), (node) => node.list())).count).toBe(0);
  });

  it('renewals of one turn are one entry', async () => {
    cluster = await simCluster({ seed: 7 });
    const leader = cluster.leader!;
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push((await on(leader, (node) => node.leases.grant())).id);
    await cluster.advance(500);
    const applied = (): number => leader.node.cluster().members.find(({ name }) => name === leader.name)!.appliedIndex!;
    const before = applied();
    await on(leader, (node) => Promise.all([...ids, ...ids, '1'].map((id) => node.leases.renew(id).catch(() => null))));
    expect(applied() - before).toBe(1);
  });

  it.each([
    ['a TTL that is too short', (node: KvorumNode) => node.leases.grant({ ttlMs: 999 })],
    ['a TTL that is too long', (node: KvorumNode) => node.leases.grant({ ttlMs: 86_400_001 })],
    ['a TTL that is no number', (node: KvorumNode) => node.leases.grant({ ttlMs: Number.NaN })],
    ['an owner that is too long', (node: KvorumNode) => node.leases.grant({ owner: 'x'.repeat(5000) })],
    ['an owner that is not JSON', (node: KvorumNode) => node.leases.grant({ owner: 1n })],
    ['an id that is none', (node: KvorumNode) => node.leases.renew('abc')],
  ])('is refused with %s', async (_, action) => {
    cluster = await simCluster({ seed: 8, nodes: 1 });
    expect(await code(on(cluster.nodes[0]!, action))).toBe('ERR_INVALID_ARGUMENT');
  });
});
