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
}

function end(store: MemoryStore, self: string, bootEpoch: number, now = (): number => 0): End {
  const sent: Uint8Array[] = [];
  const received: SnapshotMeta[] = [];
  const snapshots = new Snapshots(
    {
      group: 1,
      self,
      bootEpoch,
      state: store.group(1).state,
      now,
      send: (_to, parts) => sent.push(Buffer.concat(parts)) > 0,
      describe: (index) => ({ index, term: 1, configuration }),
      sent: () => {},
      undecided: () => false,
      received: (_from, _term, meta) => void received.push(meta),
      failed: (error) => {
        throw error;
      },
    },
    times,
  );
  return { snapshots, store, sent, received };
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
});
