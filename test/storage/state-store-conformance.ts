import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Configuration } from '../../src/raft/types.ts';
import type { SnapshotReceiver, StateRecord, StateStore, Store } from '../../src/storage/types.ts';
import { bytes, commit, entries, settled, text } from './harness.ts';
import type { Harness } from './harness.ts';

const configuration: Configuration = {
  voters: ['1'],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** What any `StateStore` keeps. */
export function stateStoreConformance(makeHarness: () => Harness): void {
  describe('StateStore', () => {
    let harness: Harness;
    let store: Store;
    let state: StateStore;
    beforeEach(async () => {
      harness = makeHarness();
      store = await harness.open();
      state = store.group(1).state;
      // The state never runs ahead of the log.
      store.group(1).log.append(entries(1, 1000, 1));
      await commit(store);
    });
    afterEach(async () => {
      await store.close();
      await harness.dispose();
    });
    const reopen = async (): Promise<void> => {
      await store.close();
      store = await harness.open();
      state = store.group(1).state;
    };
    const put = (key: string, value: string): void => state.put(bytes(key), bytes(value));
    const get = (key: string): string | undefined => text(state.get(bytes(key)));
    const flush = async (): Promise<void> => {
      while (state.stageFlush(1024 * 1024) > 0);
      await commit(store);
    };
    const all = async (from?: string, to?: string): Promise<string[]> => {
      const found: string[] = [];
      await state.scan(
        ({ key, value }) => found.push(`${text(key)}=${text(value)}`),
        from === undefined ? undefined : bytes(from),
        to === undefined ? undefined : bytes(to),
      );
      return found;
    };
    const receive = async (records: readonly StateRecord[], source = 's:1', index = 500): Promise<SnapshotReceiver> => {
      const receiver = await state.receiveSnapshot({ source, index, term: 1 });
      await receiver.write(records);
      return receiver;
    };
    const record = (key: string, value: string): StateRecord => ({ key: bytes(key), value: bytes(value) });
    const install = async (receiver: SnapshotReceiver): Promise<void> => {
      const { index, term } = receiver.id;
      receiver.stageInstall({ index, term, configuration });
      store.group(1).log.reset(index, term);
    };

    it('is empty at first', async () => {
      expect(state.get(bytes('a'))).toBeUndefined();
      expect(state.flushed).toEqual({ index: 0, term: 0 });
      expect(state.overlayBytes).toBe(0);
      expect(state.stageFlush(1000)).toBe(0);
      expect(await all()).toEqual([]);
    });

    it('reads through the overlay at once, and the same before and after the flush', async () => {
      put('a', '1');
      put('b', '1');
      state.seal({ index: 1, term: 1 });
      put('a', '2');
      state.delete(bytes('b'));
      const check = (): void => expect([get('a'), get('b'), get('c')]).toEqual(['2', undefined, undefined]);
      check();
      state.seal({ index: 2, term: 1 });
      check();
      state.stageFlush(1e6);
      check();
      const written = commit(store);
      check();
      await written;
      check();
      expect(state.overlayBytes).toBe(0);
      await reopen();
      check();
      expect(state.flushed).toEqual({ index: 2, term: 1 });
      expect(await all()).toEqual(['a=2']);
    });

    it('holds empty values and any bytes as keys, in unsigned order', async () => {
      const keys = [[0], [0, 0], [0, 1], [1], [127], [128], [255], [255, 255]].map((key) => Uint8Array.from(key));
      for (const key of keys.toReversed()) state.put(key, new Uint8Array(0));
      state.put(new Uint8Array(0), bytes('the empty key'));
      state.seal({ index: 1, term: 1 });
      await flush();
      const found: number[][] = [];
      await state.scan(({ key }) => found.push(Array.from(key)));
      expect(found).toEqual([[], ...keys.map((key) => Array.from(key))]);
      expect(state.get(Uint8Array.of(255))).toHaveLength(0);
      expect(text(state.get(new Uint8Array(0)))).toBe('the empty key');
    });

    it('moves `flushed` when the batch is written, unit by unit', async () => {
      for (let i = 1; i <= 4; i++) {
        put(`k${i}`, 'x'.repeat(100));
        state.seal({ index: i * 10, term: 1 });
      }
      const before = state.overlayBytes;
      const staged = state.stageFlush(1);
      expect(staged).toBeGreaterThan(0);
      expect(state.flushed.index).toBe(0);
      const written = commit(store);
      expect(state.flushed.index).toBe(0);
      await written;
      expect(state.flushed).toEqual({ index: 10, term: 1 });
      expect(state.overlayBytes).toBe(before - staged);
      // Two chunks staged for one commit.
      expect(state.stageFlush(1) + state.stageFlush(1)).toBe(2 * staged);
      await commit(store);
      expect(state.flushed.index).toBe(30);
      await reopen();
      expect(state.flushed.index).toBe(30);
      expect(await all()).toHaveLength(3);
      expect(get('k4')).toBeUndefined();
    });

    it('flushes whole units only, and not the open one', async () => {
      put('a', '1');
      expect(state.stageFlush(1e6)).toBe(0);
      put('b', '2');
      state.seal({ index: 5, term: 1 });
      put('c', '3');
      expect(state.stageFlush(1e6)).toBeGreaterThan(0);
      await commit(store);
      expect(state.overlayBytes).toBeGreaterThan(0);
      expect(get('c')).toBe('3');
      await reopen();
      expect(await all()).toEqual(['a=1', 'b=2']);
    });

    it('keeps the later of two values when they are flushed apart', async () => {
      put('a', '1');
      state.seal({ index: 1, term: 1 });
      state.stageFlush(1);
      const first = commit(store);
      put('a', '2');
      state.seal({ index: 2, term: 1 });
      await first;
      expect(get('a')).toBe('2');
      await flush();
      expect(get('a')).toBe('2');
      expect(state.overlayBytes).toBe(0);
      await reopen();
      expect(get('a')).toBe('2');
    });

    it('seals empty units: the position moves', async () => {
      state.seal({ index: 7, term: 1 });
      expect(state.stageFlush(10)).toBeGreaterThan(0);
      await commit(store);
      await reopen();
      expect(state.flushed).toEqual({ index: 7, term: 1 });
      expect(() => state.seal({ index: 6, term: 1 })).toThrow(/after/);
    });

    it('scans a range of thousands, in order', async () => {
      for (let i = 0; i < 3000; i++) put(`k${String(i).padStart(5, '0')}`, `v${i}`);
      state.seal({ index: 1, term: 1 });
      await expect(all()).rejects.toMatchObject({ code: 'ERR_INVARIANT' });
      await flush();
      expect(await all()).toHaveLength(3000);
      expect(await all('k00010', 'k00012')).toEqual(['k00010=v10', 'k00011=v11']);
      expect(await all('k02999')).toEqual(['k02999=v2999']);
      expect(await all(undefined, 'k00001')).toEqual(['k00000=v0']);
    });

    it('gives the visitor’s error to the caller of scan', async () => {
      put('a', '1');
      state.seal({ index: 1, term: 1 });
      await flush();
      const stop = new Error('stop');
      await expect(
        state.scan(() => {
          throw stop;
        }),
      ).rejects.toBe(stop);
    });

    it('shows a snapshot unmoved by later writes, in chunks', async () => {
      for (let i = 0; i < 100; i++) put(`k${String(i).padStart(3, '0')}`, 'old');
      state.seal({ index: 1, term: 1 });
      await flush();
      const snapshot = state.openSnapshot();
      for (let i = 50; i < 150; i++) put(`k${String(i).padStart(3, '0')}`, 'new');
      state.delete(bytes('k000'));
      state.seal({ index: 2, term: 1 });
      await flush();
      expect(snapshot.position).toEqual({ index: 1, term: 1 });
      const seen: string[] = [];
      let after: Uint8Array | null = null;
      let chunks = 0;
      for (;;) {
        const { records, done }: { records: StateRecord[]; done: boolean } = await snapshot.read(after, 100);
        for (const { key, value } of records) seen.push(`${text(key)}=${text(value)}`);
        chunks++;
        if (done) break;
        after = (records.at(-1) as StateRecord).key;
      }
      expect(chunks).toBeGreaterThan(5);
      expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => `k${String(i).padStart(3, '0')}=old`));
      snapshot.close();
      snapshot.close();
      await expect(snapshot.read(null, 1)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    });

    it('gives one record that is larger than a chunk, and an empty snapshot', async () => {
      const empty = state.openSnapshot();
      expect(empty.position).toEqual({ index: 0, term: 0 });
      expect(await empty.read(null, 10)).toEqual({ records: [], done: true });
      empty.close();
      put('big', 'x'.repeat(1000));
      put('small', 'x');
      state.seal({ index: 1, term: 1 });
      await flush();
      const snapshot = state.openSnapshot();
      const first = await snapshot.read(null, 10);
      expect([first.records.length, first.done]).toEqual([1, false]);
      snapshot.close();
    });

    it('receives a snapshot beside the state and switches to it in one batch', async () => {
      put('old', '1');
      state.seal({ index: 10, term: 1 });
      await flush();
      put('unflushed', '1');
      state.seal({ index: 11, term: 1 });
      const receiver = await receive([record('a', '1'), record('b', '2')]);
      await receiver.write([record('c', '3')]);
      expect(get('old')).toBe('1');
      expect(get('a')).toBeUndefined();
      await install(receiver);
      const check = async (): Promise<void> => {
        expect([get('old'), get('unflushed'), get('a'), get('c')]).toEqual([undefined, undefined, '1', '3']);
        expect(state.flushed).toEqual({ index: 500, term: 1 });
        expect(state.overlayBytes).toBe(0);
        expect(await all()).toEqual(['a=1', 'b=2', 'c=3']);
      };
      await check();
      await commit(store);
      await settled(store);
      await check();
      await reopen();
      await check();
      put('d', '4');
      state.seal({ index: 500, term: 1 });
    });

    it('keeps the old state when the process dies before the switch is written', async () => {
      put('old', '1');
      state.seal({ index: 10, term: 1 });
      await flush();
      const receiver = await receive([record('a', '1')]);
      receiver.stageInstall({ index: 500, term: 1, configuration });
      await harness.kill(store);
      store = await harness.open();
      state = store.group(1).state;
      expect([get('old'), get('a')]).toEqual(['1', undefined]);
      expect(state.flushed.index).toBe(10);
    });

    it('ignores a flush of the old state that lands after the switch was staged', async () => {
      put('a', 'old');
      state.seal({ index: 10, term: 1 });
      const receiver = await receive([record('a', 'new')]);
      state.stageFlush(1e6);
      const flushed = commit(store);
      await install(receiver);
      await flushed;
      expect(get('a')).toBe('new');
      expect(state.flushed.index).toBe(500);
      await commit(store);
      await settled(store);
      await reopen();
      expect(await all()).toEqual(['a=new']);
      expect(state.flushed.index).toBe(500);
    });

    it('resumes the same snapshot, in the same process and after a restart', async () => {
      const receiver = await receive([record('a', '1'), record('b', '2')]);
      expect(text(receiver.after ?? undefined)).toBe('b');
      const again = await state.receiveSnapshot(receiver.id);
      expect(text(again.after ?? undefined)).toBe('b');
      await expect(receiver.write([record('x', '1')])).rejects.toMatchObject({ code: 'ERR_CLOSED' });
      await reopen();
      const later = await state.receiveSnapshot(receiver.id);
      expect(text(later.after ?? undefined)).toBe('b');
      await later.write([record('c', '3')]);
      await install(later);
      await commit(store);
      expect(await all()).toEqual(['a=1', 'b=2', 'c=3']);
    });

    it('starts over for another snapshot and deletes what it had', async () => {
      await receive([record('a', '1'), record('z', '1')]);
      const other = await state.receiveSnapshot({ source: 's:2', index: 600, term: 1 });
      expect(other.after).toBeNull();
      await other.write([record('b', '2')]);
      await install(other);
      await commit(store);
      await settled(store);
      await reopen();
      expect(await all()).toEqual(['b=2']);
      const third = await state.receiveSnapshot({ source: 's:1', index: 700, term: 1 });
      expect(third.after).toBeNull();
    });

    it('discards what it received', async () => {
      const receiver = await receive([record('a', '1')]);
      receiver.discard();
      receiver.discard();
      await settled(store);
      expect((await state.receiveSnapshot(receiver.id)).after).toBeNull();
      await reopen();
      expect(await all()).toEqual([]);
    });

    it('deletes large old generations in the background, also when it was interrupted', async () => {
      for (let i = 0; i < 3000; i++) put(`k${i}`, 'x');
      state.seal({ index: 1, term: 1 });
      await flush();
      const receiver = await receive([record('only', '1')]);
      await install(receiver);
      await commit(store);
      await harness.kill(store);
      store = await harness.open();
      state = store.group(1).state;
      await settled(store);
      await reopen();
      await settled(store);
      expect(store.stats().batches).toBe(0);
      expect(await all()).toEqual(['only=1']);
    });
  });
}
