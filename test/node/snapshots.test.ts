import { describe, expect, it } from 'vitest';
import type { SnapshotMeta } from '../../src/raft/types.ts';
import { openMemoryStore, type MemoryStore } from '../../src/storage/memory-store.ts';
import { Snapshots } from '../../src/node/snapshots.ts';

const configuration = { voters: ['1', '2'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const times = { stalledAfterMs: 1000, keepMs: 5000 };

interface End {
  readonly snapshots: Snapshots;
  readonly store: MemoryStore;
  readonly sent: Uint8Array[];
  readonly received: SnapshotMeta[];
  /** What the core was told of its transfers. */
  readonly ended: { readonly index: number; readonly ok: boolean }[];
}

function end(store: MemoryStore, self: string, bootEpoch: number, now = (): number => 0): End {
  const sent: Uint8Array[] = [];
  const received: SnapshotMeta[] = [];
  const ended: { index: number; ok: boolean }[] = [];
  const snapshots = new Snapshots(
    {
      group: 1,
      self,
      bootEpoch,
      state: store.group(1).state,
      now,
      send: (_to, parts) => sent.push(Buffer.concat(parts)) > 0,
      describe: (index) => ({ index, term: 1, configuration }),
      sent: (_to, index, ok) => void ended.push({ index, ok }),
      undecided: () => false,
      received: (_from, _term, meta) => void received.push(meta),
      failed: (error) => {
        throw error;
      },
    },
    times,
  );
  return { snapshots, store, sent, received, ended };
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** A store whose state is one record, applied at `index`. */
async function filled(index: number, value: string): Promise<MemoryStore> {
  const store = await openMemoryStore();
  const { state } = store.group(1);
  state.put(Buffer.from('key'), Buffer.from(value));
  state.seal({ index, term: 1 });
  state.stageFlush(1000);
  await new Promise<void>((resolve) => store.commit(true, () => resolve()));
  return store;
}

describe('Snapshots', () => {
  it('does not take an answer to the process before for one to its own transfer of the same number', async () => {
    const receiver = end(await openMemoryStore(), '2', 1);
    const before = end(await filled(5, 'five'), '1', 1);
    const after = end(await filled(9, 'nine'), '1', 2);
    before.snapshots.start('2', 1, 1);
    after.snapshots.start('2', 2, 1);
    // The receiver's disk stands still, the sender restarts and begins anew: that is not heard.
    receiver.store.disk.hold();
    receiver.snapshots.frame('1', before.sent.shift() as Uint8Array);
    receiver.snapshots.frame('1', after.sent.shift() as Uint8Array);
    await turn();
    receiver.store.disk.release();
    await turn();
    // The answer reaches the new process. Its records under the description of the old one would be another state.
    for (const frame of receiver.sent.splice(0)) after.snapshots.frame('2', frame);
    await turn();
    for (const frame of after.sent.splice(0)) receiver.snapshots.frame('1', frame);
    await turn();
    expect(receiver.received).toEqual([]);
    // In its own process it is one.
    after.snapshots.close();
    const again = end(after.store, '1', 3);
    again.snapshots.start('2', 2, 1);
    for (let i = 0; i < 4; i++) {
      for (const frame of again.sent.splice(0)) receiver.snapshots.frame('1', frame);
      await turn();
      for (const frame of receiver.sent.splice(0)) again.snapshots.frame('2', frame);
      await turn();
    }
    expect(receiver.received).toMatchObject([{ index: 9 }]);
  });

  it('drops what was received of a snapshot whose sender is not heard of any more', async () => {
    let now = 0;
    const receiver = end(await openMemoryStore(), '2', 1, () => now);
    const sender = end(await filled(5, 'five'), '1', 1);
    sender.snapshots.start('2', 1, 1);
    receiver.snapshots.frame('1', sender.sent.shift() as Uint8Array);
    await turn();
    expect(receiver.snapshots.active).toBe(1);
    now = times.keepMs;
    receiver.snapshots.tick();
    expect(receiver.snapshots.active).toBe(1);
    now++;
    receiver.snapshots.tick();
    expect(receiver.snapshots.active).toBe(0);
    // Late chunks find nothing, and the same snapshot can be begun again.
    for (const frame of receiver.sent.splice(0)) sender.snapshots.frame('2', frame);
    await turn();
    for (const frame of sender.sent.splice(0)) receiver.snapshots.frame('1', frame);
    await turn();
    expect(receiver.received).toEqual([]);
  });

  it('does not take a chunk of the transfer before for one of the transfer under way', async () => {
    const receiver = end(await openMemoryStore(), '2', 1);
    const before = end(await filled(5, 'five'), '1', 1);
    const after = end(await filled(9, 'nine'), '1', 2);
    before.snapshots.start('2', 1, 1);
    receiver.snapshots.frame('1', before.sent.shift() as Uint8Array);
    await turn();
    for (const frame of receiver.sent.splice(0)) before.snapshots.frame('2', frame);
    await turn();
    const late = before.sent.shift() as Uint8Array;
    // The sender restarts and begins anew; then the chunk of the process before arrives.
    after.snapshots.start('2', 2, 1);
    receiver.snapshots.frame('1', after.sent.shift() as Uint8Array);
    await turn();
    expect(receiver.sent).toHaveLength(1);
    receiver.snapshots.frame('1', late);
    await turn();
    expect(receiver.sent).toHaveLength(1);
    expect(receiver.received).toEqual([]);
  });

  it('does not take an answer that comes twice for one to the next chunk', async () => {
    const store = await openMemoryStore();
    const { state } = store.group(1);
    for (let i = 0; i < 9; i++) state.put(Buffer.from(`key ${i}`), Buffer.alloc(50_000));
    state.seal({ index: 5, term: 1 });
    state.stageFlush(Infinity);
    await new Promise<void>((resolve) => store.commit(true, () => resolve()));
    const sender = end(store, '1', 1);
    const receiver = end(await openMemoryStore(), '2', 1);
    sender.snapshots.start('2', 1, 1);
    for (let i = 0; i < 2; i++) {
      for (const frame of sender.sent.splice(0)) receiver.snapshots.frame('1', frame);
      await turn();
      for (const frame of i === 0 ? receiver.sent.splice(0) : []) sender.snapshots.frame('2', frame);
      await turn();
    }
    const [answer] = receiver.sent.splice(0);
    for (let i = 0; i < 2; i++) {
      sender.snapshots.frame('2', answer as Uint8Array);
      await turn();
    }
    // The second and last chunk is on its way, and nothing but its own answer ends the transfer.
    expect([sender.sent.length, sender.snapshots.active, sender.ended]).toEqual([1, 1, []]);
    receiver.snapshots.frame('1', sender.sent.shift() as Uint8Array);
    await turn();
    sender.snapshots.frame('2', receiver.sent.shift() as Uint8Array);
    expect([sender.snapshots.active, sender.ended]).toEqual([0, [{ index: 5, ok: true }]]);
  });

  it('gives a transfer up when no answer comes, and goes on with the same snapshot when it is wanted again', async () => {
    let now = 0;
    const sender = end(await filled(5, 'five'), '1', 1, () => now);
    sender.snapshots.start('2', 1, 1);
    now = times.stalledAfterMs;
    sender.snapshots.tick();
    expect(sender.ended).toEqual([]);
    now++;
    sender.snapshots.tick();
    expect([sender.snapshots.active, sender.ended]).toEqual([0, [{ index: 5, ok: false }]]);
    expect(sender.snapshots.oldestIndex).toBe(5);
    sender.snapshots.start('2', 1, 1);
    expect([sender.snapshots.active, sender.sent.length]).toEqual([1, 2]);
  });
});
