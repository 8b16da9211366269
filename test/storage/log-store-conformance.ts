import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LogStore, Store } from '../../src/storage/types.ts';
import { applyTo, commit, entries, entry, settled, text } from './harness.ts';
import type { Harness } from './harness.ts';

/** What any `LogStore` keeps. */
export function logStoreConformance(makeHarness: () => Harness): void {
  describe('LogStore', () => {
    let harness: Harness;
    let store: Store;
    let log: LogStore;
    beforeEach(async () => {
      harness = makeHarness();
      store = await harness.open();
      log = store.group(1).log;
    });
    afterEach(async () => {
      await store.close();
      await harness.dispose();
    });
    const reopen = async (): Promise<void> => {
      await store.close();
      store = await harness.open();
      log = store.group(1).log;
    };
    const indexes = (from: number, to: number, maxBytes = 1e9): number[] =>
      log.entries(from, to, maxBytes).map(({ index }) => index);

    it('is empty at first', () => {
      expect(log.firstIndex()).toBe(1);
      expect(log.lastIndex()).toBe(0);
      expect(log.term(0)).toBe(0);
      expect(log.term(1)).toBeUndefined();
      expect(log.bytes).toBe(0);
      expect(log.hardState).toEqual({ term: 0, vote: null, commit: 0 });
      expect(log.configurations).toEqual([]);
      expect(log.entries(1, 1, 10)).toEqual([]);
    });

    it('reads what is staged, in flight and written alike', async () => {
      const check = (): void => {
        expect(log.lastIndex()).toBe(3);
        expect(log.entries(1, 4, 1e6).map(({ index, term, kind, data }) => [index, term, kind, text(data)])).toEqual([
          [1, 1, 'noop', ''],
          [2, 1, 'config', 'c'],
          [3, 2, 'command', 'payload'],
        ]);
        expect([0, 1, 2, 3, 4].map((index) => log.term(index))).toEqual([0, 1, 1, 2, undefined]);
        expect(log.bytes).toBe(8);
      };
      log.append([
        { index: 1, term: 1, kind: 'noop', data: new Uint8Array(0) },
        { index: 2, term: 1, kind: 'config', data: Buffer.from('c') },
        { index: 3, term: 2, kind: 'command', data: Buffer.from('payload') },
      ]);
      check();
      const written = commit(store);
      check();
      await written;
      check();
      await reopen();
      check();
    });

    it('cuts entries off at maxBytes, but gives at least one', async () => {
      for (let i = 1; i <= 5; i++) log.append([entry(i, 1, 'x'.repeat(10))]);
      const check = (): void => {
        expect(indexes(1, 6, 30)).toEqual([1, 2, 3]);
        expect(indexes(1, 6, 29)).toEqual([1, 2]);
        expect(indexes(1, 6, 0)).toEqual([1]);
        expect(indexes(2, 4, 1000)).toEqual([2, 3]);
        expect(indexes(3, 3, 1000)).toEqual([]);
      };
      check();
      await commit(store);
      check();
    });

    it('overwrites from a lower index on and forgets what was above', async () => {
      log.append(entries(1, 10, 1));
      await commit(store);
      log.append(entries(6, 7, 2));
      const check = (): void => {
        expect(log.lastIndex()).toBe(7);
        expect(indexes(1, 8)).toEqual([1, 2, 3, 4, 5, 6, 7]);
        expect([5, 6, 7, 8].map((index) => log.term(index))).toEqual([1, 2, 2, undefined]);
        expect(log.bytes).toBe(log.entries(1, 8, 1e6).reduce((sum, { data }) => sum + data.length, 0));
      };
      check();
      await commit(store);
      check();
      await reopen();
      check();
      log.append(entries(8, 9, 3));
      expect(indexes(1, 10)).toHaveLength(9);
    });

    it('is cut within what was appended together, compacted there too', async () => {
      log.append(entries(1, 20, 1));
      log.append(entries(21, 40, 1));
      applyTo(store.group(1), 12, 1);
      await commit(store);
      log.compact(9);
      await commit(store);
      await settled(store);
      const check = (last: number, terms: Record<number, number>): void => {
        expect([log.firstIndex(), log.lastIndex()]).toEqual([10, last]);
        expect(indexes(10, last + 1)).toEqual(Array.from({ length: last - 9 }, (_, i) => 10 + i));
        for (const [index, term] of Object.entries(terms)) {
          expect(log.entries(Number(index), Number(index) + 1, 1e6)[0]?.term, index).toBe(term);
        }
      };
      check(40, { 10: 1, 40: 1 });
      await reopen();
      check(40, { 10: 1, 40: 1 });
      // Read before it is written, while it is, and afterwards.
      log.append(entries(15, 16, 2));
      check(16, { 14: 1, 15: 2 });
      const flying = commit(store);
      log.append(entries(13, 13, 3));
      check(13, { 12: 1, 13: 3 });
      await flying;
      check(13, { 12: 1, 13: 3 });
      await commit(store);
      check(13, { 12: 1, 13: 3 });
      await reopen();
      check(13, { 12: 1, 13: 3 });
      log.compact(12);
      await commit(store);
      await settled(store);
      await reopen();
      expect(indexes(13, 14)).toEqual([13]);
    });

    it('holds appends that are larger than what lies under one key', async () => {
      const large = Array.from({ length: 40 }, (_, i) => entry(i + 1, 1, new Uint8Array(20_000).fill(i)));
      log.append(large);
      log.append([entry(41, 1, new Uint8Array(500_000).fill(41))]);
      const check = (): void => {
        expect(log.entries(1, 42, 1e9).map(({ data }) => [data.length, data[0]])).toEqual([
          ...large.map(({ data }) => [data.length, data[0]]),
          [500_000, 41],
        ]);
        expect(indexes(17, 42, 50_000)).toEqual([17, 18]);
      };
      check();
      await commit(store);
      check();
      await reopen();
      check();
      log.append([entry(20, 2)]);
      await commit(store);
      await reopen();
      expect(log.entries(19, 21, 1e9).map(({ data }) => data.length)).toEqual([20_000, 'entry 20'.length]);
    });

    it('overwrites what is staged and what is in flight (the ABA case)', async () => {
      log.append(entries(1, 5, 1));
      const first = commit(store);
      log.append(entries(3, 4, 2));
      const second = commit(store);
      log.append(entries(4, 4, 3));
      log.append(entries(2, 6, 4));
      const check = (): void => {
        expect(log.entries(1, 7, 1e6).map(({ term }) => term)).toEqual([1, 4, 4, 4, 4, 4]);
        expect([1, 2, 6, 7].map((index) => log.term(index))).toEqual([1, 4, 4, undefined]);
      };
      check();
      await first;
      check();
      await second;
      check();
      await commit(store);
      check();
      await reopen();
      check();
    });

    it('refuses a gap, entries out of order, and a term that falls', () => {
      log.append(entries(1, 3, 2));
      expect(() => log.append([entry(5, 2)])).toThrow(/does not fit/);
      expect(() => log.append([entry(4, 2), entry(6, 2)])).toThrow(/belongs/);
      expect(() => log.append([entry(4, 1)])).toThrow(/term/);
      expect(() => log.entries(0, 2, 10)).toThrow(/outside/);
      expect(() => log.entries(1, 5, 10)).toThrow(/outside/);
    });

    it('keeps hard state and configurations', async () => {
      const configuration = {
        voters: ['1', '2'],
        votersOutgoing: [],
        learners: ['3'],
        learnersNext: [],
        autoLeave: false,
      };
      const list = [
        { index: 0, configuration },
        { index: 7, configuration: { ...configuration, autoLeave: true, context: { names: { 1: 'n1' } } } },
      ];
      log.setHardState({ term: 2 ** 40, vote: '18446744073709551615', commit: 0 });
      log.setConfigurations(list);
      expect(log.hardState.term).toBe(2 ** 40);
      expect(log.configurations).toEqual(list);
      await commit(store);
      log.setHardState({ term: 2 ** 40 + 1, vote: null, commit: 0 });
      await commit(store);
      await reopen();
      expect(log.hardState).toEqual({ term: 2 ** 40 + 1, vote: null, commit: 0 });
      expect(log.configurations).toEqual(list);
    });

    it('compacts: the term at the mark stays known, the rest is gone, also after a restart', async () => {
      log.append(entries(1, 400, 1));
      log.append(entries(401, 600, 2));
      log.append(entries(601, 1000, 3));
      applyTo(store.group(1), 600, 2);
      await commit(store);
      const before = log.bytes;
      const check = (): void => {
        expect(log.firstIndex()).toBe(501);
        expect(log.lastIndex()).toBe(1000);
        expect([499, 500, 501, 600, 601, 1000, 1001].map((index) => log.term(index))).toEqual([
          undefined,
          2,
          2,
          2,
          3,
          3,
          undefined,
        ]);
        expect(indexes(501, 504)).toEqual([501, 502, 503]);
        expect(() => log.entries(500, 502, 1)).toThrow(/outside/);
        expect(log.bytes / before).toBeCloseTo(0.5, 1);
      };
      log.compact(500);
      check();
      log.compact(400); // lower: already done
      check();
      await commit(store);
      check();
      await settled(store);
      check();
      await reopen();
      check();
    });

    it('compacts everything and goes on', async () => {
      log.append(entries(1, 300, 1));
      applyTo(store.group(1), 300, 1);
      await commit(store);
      log.compact(300);
      expect(log.bytes).toBe(0);
      expect(log.firstIndex()).toBe(301);
      expect(log.lastIndex()).toBe(300);
      expect(log.term(300)).toBe(1);
      await commit(store);
      await reopen();
      expect(log.bytes).toBe(0);
      expect([log.firstIndex(), log.lastIndex(), log.term(300)]).toEqual([301, 300, 1]);
      log.append(entries(301, 302, 1));
      log.append(entries(302, 303, 2));
      await commit(store);
      await reopen();
      expect(log.entries(301, 304, 1e6).map(({ term }) => term)).toEqual([1, 2, 2]);
      expect(() => log.compact(304)).toThrow(/beyond/);
    });

    it('cleans up after a crash between the mark and the deletions', async () => {
      log.append(entries(1, 5000, 1));
      applyTo(store.group(1), 5000, 1);
      await commit(store);
      log.compact(4990);
      await commit(store);
      await harness.kill(store);
      store = await harness.open();
      log = store.group(1).log;
      expect([log.firstIndex(), log.lastIndex()]).toEqual([4991, 5000]);
      await settled(store);
      await reopen();
      expect(indexes(4991, 5001)).toHaveLength(10);
    });

    it('starts again after a snapshot: above the old log, inside it, and twice', async () => {
      log.append(entries(1, 100, 1));
      await commit(store);
      const resetTo = async (index: number, term: number): Promise<void> => {
        log.reset(index, term);
        applyTo(store.group(1), index, term);
        expect([log.firstIndex(), log.lastIndex(), log.term(index), log.bytes]).toEqual([index + 1, index, term, 0]);
        await commit(store);
        expect([log.firstIndex(), log.lastIndex(), log.term(index), log.bytes]).toEqual([index + 1, index, term, 0]);
      };
      await resetTo(50, 2);
      log.append(entries(51, 60, 2));
      await commit(store);
      await reopen();
      expect(indexes(51, 61)).toHaveLength(10);
      await resetTo(1000, 7);
      await settled(store);
      await reopen();
      expect([log.firstIndex(), log.lastIndex(), log.term(1000), log.term(60)]).toEqual([1001, 1000, 7, undefined]);
      log.append(entries(1001, 1001, 7));
      await commit(store);
      await reopen();
      expect(indexes(1001, 1002)).toEqual([1001]);
    });

    it('resets with entries in flight', async () => {
      log.append(entries(1, 20, 1));
      const flying = commit(store);
      log.append(entries(21, 30, 1));
      log.reset(25, 3);
      applyTo(store.group(1), 25, 3);
      log.append(entries(26, 27, 3));
      await flying;
      await commit(store);
      await settled(store);
      expect(log.entries(26, 28, 1e6).map(({ term }) => term)).toEqual([3, 3]);
      await reopen();
      expect(log.entries(26, 28, 1e6).map(({ term }) => term)).toEqual([3, 3]);
    });

    it('counts bytes across restarts', async () => {
      let expected = 0;
      for (let i = 1; i <= 1000; i++) {
        const data = 'x'.repeat(i % 97);
        expected += data.length;
        log.append([entry(i, 1, data)]);
      }
      expect(log.bytes).toBe(expected);
      await commit(store);
      await reopen();
      expect(log.bytes).toBe(expected);
      applyTo(store.group(1), 1000, 1);
      log.compact(1000);
      expect(log.bytes).toBe(0);
    });
  });
}
