/** Schedules that once broke the replica loop, or came close to it: each is a bug, named after what it did. */
import { describe, expect, it } from 'vitest';
import { MemoryCluster, type MemoryNode } from './memory-cluster.ts';

function others(cluster: MemoryCluster, ...nodes: MemoryNode[]): MemoryNode[] {
  return cluster.nodes.filter((node) => !nodes.includes(node));
}

describe('writes', () => {
  it('are not acknowledged with the result of an older entry that took their place in the log', async () => {
    const cluster = await MemoryCluster.start();
    const first = await cluster.leader();
    const [a, b] = others(cluster, first) as [MemoryNode, MemoryNode];
    await cluster.time.pass(200);
    cluster.network.cut(first.address, a.address);
    cluster.network.cut(first.address, b.address);
    // At the places that the second leader fills with its no-op and a write, the first has two writes of the term before.
    const older = [first.put('x', 'older', 60_000), first.put('y', 'older', 60_000)];
    await cluster.time.run(() => a.leads || b.leads, 10_000);
    const [second, third] = a.leads ? [a, b] : [b, a];
    cluster.network.cut(second.address, third.address);
    const lost = second.put('y', 'newer', 60_000).then(
      () => 'acknowledged',
      (error: unknown) => error,
    );
    await cluster.time.pass(5000);
    // The older ones have no majority yet: their leader was deposed, and comes back in a third term, which commits them.
    cluster.network.heal(first.address, third.address);
    await cluster.settle(Promise.all(older));
    cluster.network.healAll();
    expect(await cluster.settle(lost)).toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
    expect(await cluster.settle(second.get('y'))).toBe('older');
  });
});

describe('reads', () => {
  it('end on a follower although a round takes longer than the time after which it is asked for again', async () => {
    const cluster = await MemoryCluster.start({ delayMs: 60 });
    const leader = await cluster.leader();
    const [reader] = others(cluster, leader) as [MemoryNode];
    await cluster.settle(leader.put('a', '1'));
    expect(await cluster.settle(reader.get('a'))).toBe('1');
    const before = cluster.time.now;
    // Also while others keep coming.
    const reads = Array.from({ length: 20 }, (_, i) => cluster.time.pass(0).then(() => reader.get('a', 3000 + i)));
    for (const read of reads) expect(await cluster.settle(read)).toBe('1');
    expect(cluster.time.now - before).toBeLessThan(600);
  });
});
