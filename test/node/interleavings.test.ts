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

  it('sent through a follower, whose answers are larger together than a frame, do not stop the leader', async () => {
    const cluster = await MemoryCluster.start();
    const leader = await cluster.leader();
    const [asker] = others(cluster, leader) as [MemoryNode];
    const large = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 20; i++) await cluster.settle(leader.put(`k${i}`, large));
    const before = cluster.time.now;
    const outcomes = Array.from({ length: 20 }, (_, i) =>
      asker.put(`k${i}`, 'small', 4000, true).then(
        (result) => (result.ok && 'prev' in result ? (result.prev?.value.length ?? 0) : 0),
        (error: unknown) => error,
      ),
    );
    for (const [i, outcome] of (await cluster.settle(Promise.all(outcomes))).entries()) {
      // More than the link's queue takes is not answered with its content, but at once.
      if (i < 12) expect(outcome).toBe(large.length);
      else if (outcome !== large.length) expect(outcome).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    }
    expect(leader.failure).toBeNull();
    expect(cluster.time.now - before).toBeLessThan(1000);
    expect(await cluster.settle(asker.get('k19'))).toBe('small');
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

/** A leader, and a follower that will need a snapshot from it. */
async function behind(cluster: MemoryCluster, puts = 60): Promise<{ leader: MemoryNode; late: MemoryNode }> {
  const leader = await cluster.leader();
  const [late] = others(cluster, leader) as [MemoryNode];
  const disk = await late.crash();
  for (let i = 0; i < puts; i++) await cluster.settle(leader.put(`k${i}`, 'x'.repeat(50_000)));
  await cluster.time.run(() => leader.replica.core.status().firstIndex > 10, 5000);
  await late.start(disk);
  return { leader, late };
}

describe('snapshots', () => {
  it('that begin between the end of one and its installation do not stop the node', async () => {
    const cluster = await MemoryCluster.start({ limits: { logKeepBytes: 8 * 1024 } });
    const { leader, late } = await behind(cluster);
    let begin: Uint8Array | null = null;
    const { transport } = leader;
    const send = transport.send.bind(transport);
    transport.send = (to, channel, parts) => {
      if (channel === 'snapshot' && to === late.id) begin ??= Buffer.concat(parts);
      return send(to, channel, parts);
    };
    let injected = false;
    const own = late.transport;
    const answer = own.send.bind(own);
    own.send = (to, channel, parts) => {
      const sent = answer(to, channel, parts);
      // The last chunk is acknowledged: all is received, and the turn that installs it comes at the end of this iteration.
      if (channel === 'snapshot' && late.replica.activeSnapshots === 0 && begin !== null && !injected) {
        injected = true;
        late.replica.snapshotFrame(leader.id, begin);
      }
      return sent;
    };
    await cluster.time.run(() => injected, 20_000);
    await cluster.time.run(() => late.failure !== null || late.replica.machine.kv.get('k59') !== null, 30_000);
    expect(late.failure).toBeNull();
    await cluster.settle(leader.put('after', '1'));
    await cluster.time.run(() => !late.replica.loading && late.stale('after') === '1', 30_000);
  });

  it('reach a follower under load although more is written meanwhile than the log keeps', async () => {
    const cluster = await MemoryCluster.start({ limits: { logKeepBytes: 8 * 1024 } });
    const { leader, late } = await behind(cluster);
    let stop = false;
    const writers = Array.from({ length: 20 }, async (_, writer) => {
      for (let i = 0; !stop; i++) await leader.put(`w${writer}`, `${i} ${'x'.repeat(200)}`);
    });
    const caughtUp = (): boolean => {
      const follower = leader.replica.core.status().progress.find(({ id }) => id === late.id);
      return follower?.state === 'replicate' && follower.match > leader.replica.core.status().commit - 100;
    };
    await cluster.time.run(caughtUp, 3000);
    const { firstIndex } = leader.replica.core.status();
    await cluster.time.pass(500);
    expect(caughtUp()).toBe(true);
    // The log is let go of once the follower has come.
    expect(leader.replica.core.status().firstIndex).toBeGreaterThan(firstIndex);
    expect(leader.store.group(1).log.bytes).toBeLessThan(64 * 1024);
    stop = true;
    await cluster.settle(Promise.all(writers));
  });

  it('carry the largest value that can be configured', async () => {
    const cluster = await MemoryCluster.start({ limits: { logKeepBytes: 8 * 1024 } });
    const leader = await cluster.leader();
    await cluster.settle(leader.put('large', new Uint8Array(8 * 1024 * 1024)));
    const [late] = others(cluster, leader) as [MemoryNode];
    const disk = await late.crash();
    for (let i = 0; i < 20; i++) await cluster.settle(leader.put(`k${i}`, 'x'.repeat(50_000)));
    await cluster.time.run(() => leader.replica.core.status().firstIndex > 10, 5000);
    // One that has nothing yet gets it all.
    expect(disk.group(1).state.flushed.index).toBeLessThan(leader.replica.core.status().firstIndex);
    await late.start(disk);
    await cluster.time.run(() => !late.replica.loading && late.replica.machine.kv.get('k19') !== null, 20_000);
    expect(leader.failure).toBeNull();
    expect(late.stale('large')).toHaveLength(8 * 1024 * 1024);
  });
});
