import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../../src/storage/types.ts';
import { applyTo, bytes, commit, entries, entry, text } from './harness.ts';
import type { Harness } from './harness.ts';

/** What any `Store` keeps: order, merging, and that nothing committed is lost. */
export function storeConformance(makeHarness: () => Harness): void {
  describe('Store', () => {
    let harness: Harness;
    let store: Store;
    beforeEach(async () => {
      harness = makeHarness();
      store = await harness.open();
    });
    afterEach(async () => {
      await store.close();
      await harness.dispose();
    });
    const reopen = async (): Promise<void> => {
      await store.close();
      store = await harness.open();
    };

    it('is empty at first, and gives the same group each time', () => {
      expect(store.groups()).toEqual([]);
      expect(store.group(3)).toBe(store.group(3));
      expect(store.group(3)).not.toBe(store.group(4));
      expect(store.poisoned).toBeNull();
      expect(store.busy).toBe(false);
    });

    it('never calls back before commit has returned', async () => {
      for (const stage of [true, false]) {
        let called = false;
        if (stage) store.node.set('a', 1);
        const done = new Promise<void>((resolve) => {
          store.commit(true, () => {
            called = true;
            resolve();
          });
        });
        expect(called).toBe(false);
        await done;
      }
    });

    it('has one batch in flight, merges those that wait, and calls back in order', async () => {
      const order: string[] = [];
      const done = (name: string) => (error: Error | null) => {
        expect(error).toBeNull();
        order.push(name);
      };
      store.node.set('a', 1);
      store.commit(true, done('first'));
      expect(store.busy).toBe(true);
      const before = store.stats().batches;
      for (let i = 0; i < 5; i++) {
        store.node.set('b', i);
        store.commit(i === 3, done(`waiting ${i}`));
      }
      await commit(store, false);
      expect(order).toEqual(['first', 'waiting 0', 'waiting 1', 'waiting 2', 'waiting 3', 'waiting 4']);
      expect(store.stats().batches - before).toBe(2);
      expect(store.busy).toBe(false);
    });

    it('keeps node records and their kinds', async () => {
      const value = {
        name: 'n1',
        list: [1, 'two', null, true],
        deep: { big: 2 ** 53 - 1 },
        raw: Buffer.from([0, 255]),
      };
      store.node.set('identity', value);
      store.node.set('gone', 1);
      store.node.set('grüße', 'é');
      expect(store.node.get('identity')).toEqual(value);
      await commit(store);
      store.node.set('gone', undefined);
      await commit(store);
      await reopen();
      expect(store.node.get('identity')).toEqual(value);
      expect(store.node.get('gone')).toBeUndefined();
      expect(store.node.get('grüße')).toBe('é');
    });

    it('drops what was staged and not committed', async () => {
      store.node.set('kept', 1);
      store.group(1).log.append(entries(1, 3, 1));
      await commit(store);
      store.node.set('kept', 2);
      store.group(1).log.append(entries(4, 5, 1));
      await reopen();
      expect(store.node.get('kept')).toBe(1);
      expect(store.group(1).log.lastIndex()).toBe(3);
    });

    it('writes on close what was committed and still waited', async () => {
      const done: string[] = [];
      store.node.set('a', 1);
      store.commit(true, () => done.push('a'));
      store.node.set('b', 1);
      store.commit(true, () => done.push('b'));
      await reopen();
      expect(done).toEqual(['a', 'b']);
      expect(store.node.get('b')).toBe(1);
    });

    it('refuses commits once it is closed', async () => {
      await store.close();
      await store.close();
      await expect(commit(store)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    });

    it('is held by one opener at a time', async () => {
      await expect(harness.open()).rejects.toMatchObject({ code: 'ERR_DATA_DIR_IN_USE' });
      store.node.set('still', 'here');
      await commit(store);
    });

    it('writes all groups in one batch and finds them again', async () => {
      const before = store.stats().batches;
      for (const id of [0, 1, 300, 2 ** 32 - 1]) {
        const group = store.group(id);
        group.log.append([entry(1, 1, `of ${id}`)]);
        group.log.setHardState({ term: 1, vote: `${id}`, commit: 1 });
        group.state.put(bytes('key'), bytes(`state ${id}`));
        applyTo(group, 1, 1);
      }
      await commit(store);
      expect(store.stats().batches - before).toBe(1);
      await reopen();
      expect(store.groups()).toEqual([0, 1, 300, 2 ** 32 - 1]);
      for (const id of store.groups()) {
        const group = store.group(id);
        expect(text(group.log.entries(1, 2, 100)[0]?.data)).toBe(`of ${id}`);
        expect(group.log.hardState).toEqual({ term: 1, vote: `${id}`, commit: 1 });
        expect(text(group.state.get(bytes('key')))).toBe(`state ${id}`);
      }
    });

    it('loses nothing that was committed when the process is killed', async () => {
      const group = store.group(1);
      for (let i = 1; i <= 50; i++) {
        group.log.append([entry(i, 1)]);
        await commit(store);
      }
      await harness.kill(store);
      store = await harness.open();
      expect(store.group(1).log.lastIndex()).toBe(50);
      expect(store.group(1).log.entries(1, 51, 1e6)).toHaveLength(50);
    });

    it('counts what it writes', async () => {
      store.node.set('a', 'x'.repeat(1000));
      await commit(store);
      const stats = store.stats();
      expect(stats.batches).toBe(1);
      expect(stats.syncedBatches).toBe(1);
      expect(stats.bytesWritten).toBeGreaterThan(1000);
      expect(stats.maxSyncMs).toBeGreaterThanOrEqual(stats.lastSyncMs);
    });
  });
}
