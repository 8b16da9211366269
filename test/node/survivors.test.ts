/** Regressions for seeded defects that no test of the replica loop noticed (test/mutants), each named after one. */
import { describe, expect, test } from 'vitest';
import { MemoryCluster, type MemoryNode } from './memory-cluster.ts';

describe('seeded defects', () => {
  test('core-told-before-the-disk: with one follower left, nothing is acknowledged before the leader’s own disk has it', async () => {
    const cluster = await MemoryCluster.start();
    const { time } = cluster;
    const leader = await cluster.leader();
    const dead = cluster.nodes.find((node) => node !== leader);
    await dead?.crash();
    await cluster.settle(leader.put('a', 'before'));
    leader.store.disk.hold();
    let answered = false;
    const written = leader.put('a', 'held').then((result) => {
      answered = true;
      return result;
    });
    // Long enough for the other follower to have it, not for the disk to count as stalled.
    await time.pass(300);
    expect(answered).toBe(false);
    leader.store.disk.release();
    expect(await cluster.settle(written)).toMatchObject({ ok: true });
    for (const node of cluster.nodes) if (node.running) await node.crash();
  });

  test('log-cut-before-state-is-durable: at any moment the log reaches back to what the state has on disk', async () => {
    const cluster = await MemoryCluster.start({ limits: { logKeepBytes: 4096 }, writeMs: 5 });
    const leader = await cluster.leader();
    const value = 'x'.repeat(50_000);
    for (let round = 0; round < 8; round++) {
      let open = 5;
      for (let i = 0; i < 5; i++) void leader.put(`k${i}`, value, 10_000).finally(() => open--);
      await cluster.time.run(() => {
        for (const { store } of cluster.nodes) {
          const { log, state } = store.group(1);
          expect(log.firstIndex() - 1).toBeLessThanOrEqual(state.flushed.index);
        }
        return open === 0;
      }, 10_000);
    }
    expect(leader.store.group(1).log.firstIndex()).toBeGreaterThan(2);
    for (const node of cluster.nodes) await node.crash();
  });

  test('answer-to-an-earlier-process: an answer with another boot epoch answers nothing', async () => {
    const cluster = await MemoryCluster.start();
    const leader = await cluster.leader();
    const follower = cluster.nodes.find((node) => node !== leader) as MemoryNode;
    for (const { store } of cluster.nodes) store.disk.hold();
    let ends = 0;
    const written = follower.put('a', 'b').finally(() => ends++);
    await cluster.time.pass(50);
    const result = { ok: true, revision: 77, created: true } as const;
    const frame = { group: 1, request: 1, first: 0, answers: [{ error: null, result, retry: false }] };
    follower.replica.resultFrame(leader.id, { ...frame, bootEpoch: 0 });
    await cluster.time.pass(50);
    expect(ends).toBe(0);
    for (const { store } of cluster.nodes) store.disk.release();
    expect(await cluster.settle(written)).toMatchObject({ ok: true, revision: 1 });
    for (const node of cluster.nodes) await node.crash();
  });

  test('malformed-command-enters-the-log: what another node hands over is looked at before it is proposed', async () => {
    const cluster = await MemoryCluster.start();
    const leader = await cluster.leader();
    const other = cluster.nodes.find((node) => node !== leader) as MemoryNode;
    const { lastIndex } = leader.replica.core.status();
    const commands = [new Uint8Array(40)];
    leader.replica.proposeFrame(other.id, { group: 1, bootEpoch: 1, request: 9, timeoutMs: 1000, commands });
    await cluster.time.pass(300);
    expect(cluster.nodes.map(({ failure }) => failure)).toEqual([null, null, null]);
    expect(leader.replica.core.status().lastIndex).toBe(lastIndex);
    for (const node of cluster.nodes) await node.crash();
  });

  test('applied-to-the-state-before-a-snapshot: what is written while a snapshot is read in waits for it', async () => {
    const cluster = await MemoryCluster.start({ limits: { logKeepBytes: 8 * 1024 } });
    const leader = await cluster.leader();
    const late = cluster.nodes.find((node) => node !== leader) as MemoryNode;
    const disk = await late.crash();
    for (let i = 0; i < 200; i++) await cluster.settle(leader.put(`k${i % 50}`, `${i} ${'x'.repeat(100)}`));
    await cluster.time.run(() => leader.replica.core.status().firstIndex > 100, 5000);
    await late.start(disk);
    // A large state takes its time to be read.
    const { state } = late.store.group(1);
    const scan = state.scan.bind(state);
    let scanned = (): void => {};
    state.scan = async (...bounds) => {
      await new Promise<void>((resolve) => {
        scanned = resolve;
      });
      return scan(...bounds);
    };
    await cluster.time.run(() => late.store.group(1).log.firstIndex() > 100, 20_000);
    for (let i = 0; i < 20; i++) await cluster.settle(leader.put('during', String(i)));
    await cluster.time.pass(200);
    expect(late.failure).toBeNull();
    scanned();
    await cluster.time.run(() => late.stale('during') === '19', 5000);
    expect(late.replica.machine.digest()).toBe(leader.replica.machine.digest());
    for (const node of cluster.nodes) await node.crash();
  });
});
