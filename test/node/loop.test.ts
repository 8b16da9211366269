import { describe, expect, it } from 'vitest';
import { Loop } from '../../src/node/loop.ts';
import type { Replica } from '../../src/node/replica.ts';
import { openMemoryStore } from '../../src/storage/memory-store.ts';
import { VirtualTime } from '../../src/testing/virtual-time.ts';

describe('Loop', () => {
  it('writes what a turn staged with its sync, although the end of the turn commits something without', async () => {
    const time = new VirtualTime();
    const store = await openMemoryStore({ schedule: (task) => void time.schedule(1, task) });
    const { log } = store.group(1);
    const loop = new Loop({
      env: time.process(() => 0),
      store,
      tickMs: 10,
      failed: (error) => {
        throw error;
      },
    });
    let persisted = false;
    const replica = {
      group: 1,
      turn: () => {
        log.append([{ index: 1, term: 1, kind: 'noop', data: new Uint8Array(0) }]);
        return { staged: true, sync: true, persisted: [() => (persisted = true)] };
      },
      // As a received snapshot is dropped.
      afterTurn: () => store.commit(false, () => {}),
      close: () => {},
    };
    loop.add(replica as unknown as Replica);
    loop.wake();
    await time.run(() => persisted, 10);
    loop.stop(new Error() as never);
    expect(store.stats()).toMatchObject({ batches: 1, syncedBatches: 1 });
  });
});
