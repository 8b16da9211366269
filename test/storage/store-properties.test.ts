import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryDisk, openMemoryStore } from '../../src/storage/memory-store.ts';
import type { Store } from '../../src/storage/types.ts';
import { levelHarness } from './harness.ts';
import { Twin } from './store-model.ts';
import type { Step } from './store-model.ts';

const share = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constant('append' as const),
        at: fc.oneof(fc.constant(0.999), share),
        count: fc.integer({ min: 1, max: 12 }),
        newTerm: fc.boolean(),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant('apply' as const),
        count: fc.integer({ min: 1, max: 8 }),
        keys: fc.array(fc.nat(99), { maxLength: 6 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ type: fc.constant('flush' as const), maxBytes: fc.integer({ min: 1, max: 2000 }) }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('compact' as const), at: share }) },
    { weight: 2, arbitrary: fc.constant<Step>({ type: 'hardState' }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('snapshot' as const),
        ahead: fc.nat(20),
        records: fc.nat(12),
      }),
    },
    { weight: 5, arbitrary: fc.record({ type: fc.constant('commit' as const), sync: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('restart' as const),
        how: fc.constantFrom('close' as const, 'kill' as const, 'power' as const),
      }),
    },
  ),
  { maxLength: 60 },
);

interface Place {
  open(): Promise<Store>;
  restart(store: Store, how: 'close' | 'kill' | 'power'): Promise<Store>;
  dispose(): Promise<void>;
}

async function follow(place: Place, steps: readonly Step[]): Promise<void> {
  let store = await place.open();
  try {
    let twin = new Twin(store);
    for (const step of [...steps, { type: 'restart', how: 'kill' } as const]) {
      if (step.type === 'restart') {
        store = await place.restart(store, step.how);
        twin = new Twin(store, twin);
        await twin.adopt(step.how);
      } else {
        await twin.run(step);
      }
      twin.check();
    }
    expect(store.poisoned).toBeNull();
  } finally {
    await store.close();
    await place.dispose();
  }
}

function memoryPlace(keep: number): Place {
  let disk = new MemoryDisk();
  return {
    open: () => openMemoryStore({ disk }),
    async restart(store, how) {
      if (how === 'close') await store.close();
      else disk = disk.crash({ keepUnsynced: how === 'kill' ? Infinity : Math.round(keep * disk.unsyncedBatches) });
      return openMemoryStore({ disk });
    },
    dispose: () => Promise.resolve(),
  };
}

function levelPlace(): Place {
  const harness = levelHarness();
  return {
    open: () => harness.open(),
    async restart(store, how) {
      if (how === 'close') await store.close();
      else await harness.kill(store);
      return harness.open();
    },
    dispose: () => harness.dispose(),
  };
}

describe('any history of appends, applies, compactions, snapshots and crashes agrees with the obvious twin', () => {
  it('in memory, where a power loss takes any suffix of what was not synced', async () => {
    await fc.assert(
      fc.asyncProperty(steps, share, (steps, keep) => follow(memoryPlace(keep), steps)),
      { numRuns: 300 },
    );
  });

  it('on LevelDB', async () => {
    await fc.assert(
      fc.asyncProperty(steps, (steps) => follow(levelPlace(), steps)),
      { numRuns: 25 },
    );
  }, 60_000);
});
