import { describe, expect, it } from 'vitest';
import { openMemoryStore } from '../../src/storage/memory-store.ts';
import type { MemoryDisk, MemoryStore } from '../../src/storage/memory-store.ts';
import { extentKey, stateKey } from '../../src/storage/keys.ts';
import { applyTo, bytes, commit, entries, entry, text } from './harness.ts';

const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });

describe('a failed write', () => {
  it('poisons the store: this commit, those that wait and later ones get the same error, and nothing is written', async () => {
    const store = await openMemoryStore();
    const { log } = store.group(1);
    log.append(entries(1, 3, 1));
    await commit(store);
    const errors: (Error | null)[] = [];
    const remember = (error: Error | null): void => void errors.push(error);
    store.disk.failNextWrite(full);
    log.append(entries(4, 5, 1));
    store.commit(true, remember);
    log.append(entries(6, 7, 1));
    store.commit(true, remember);
    store.commit(false, remember);
    await expect(commit(store)).rejects.toMatchObject({ code: 'ERR_STORE_POISONED', outcome: 'unknown', cause: full });
    log.append(entries(8, 9, 1));
    store.commit(true, remember);
    await expect(commit(store)).rejects.toMatchObject({ code: 'ERR_STORE_POISONED' });
    expect(errors).toHaveLength(4);
    expect(new Set(errors)).toEqual(new Set([store.poisoned]));
    expect(store.busy).toBe(false);
    expect(store.disk.unsyncedBatches).toBe(0);
    await store.close();
    const again = await openMemoryStore({ disk: store.disk });
    expect(again.group(1).log.lastIndex()).toBe(3);
  });

  it('of a background deletion poisons it too', async () => {
    const store = await openMemoryStore();
    store.group(1).log.append(entries(1, 3000, 1));
    applyTo(store.group(1), 3000, 1);
    await commit(store);
    store.group(1).log.compact(3000);
    store.disk.hold();
    const compacted = commit(store);
    store.disk.releaseOne();
    await compacted;
    expect(store.busy).toBe(true);
    store.disk.failNextWrite(full);
    store.disk.release();
    await expect(commit(store)).rejects.toMatchObject({ code: 'ERR_STORE_POISONED' });
  });
});

describe('a frozen disk', () => {
  it('calls nobody back, and everybody in order when it thaws', async () => {
    const tasks: (() => void)[] = [];
    const store = await openMemoryStore({ schedule: (task) => tasks.push(task) });
    const run = (): void => {
      while (tasks.length > 0) tasks.shift()?.();
    };
    const order: number[] = [];
    store.disk.hold();
    for (let i = 0; i < 4; i++) {
      store.node.set('n', i);
      store.commit(true, () => order.push(i));
    }
    run();
    expect(order).toEqual([]);
    expect(store.busy).toBe(true);
    expect(store.disk.releaseOne()).toBe(true);
    expect(order).toEqual([0]);
    store.disk.release();
    run();
    expect(order).toEqual([0, 1, 2, 3]);
    expect(store.stats().batches).toBe(2);
  });
});

describe('a power loss', () => {
  const filled = async (): Promise<MemoryStore> => {
    const store = await openMemoryStore();
    store.node.set('n', 'synced');
    await commit(store, true);
    for (const value of ['first', 'second']) {
      store.node.set('n', value);
      await commit(store, false);
    }
    return store;
  };

  it('takes what was not synced, or a suffix of it', async () => {
    for (const [keepUnsynced, value] of [
      [0, 'synced'],
      [1, 'first'],
      [2, 'second'],
      [Infinity, 'second'],
    ] as const) {
      const store = await filled();
      expect(store.disk.unsyncedBatches).toBe(2);
      const after = await store.crash({ keepUnsynced });
      expect(after.node.get('n')).toBe(value);
    }
  });

  it('takes nothing of what a store found when it was opened, as LevelDB syncs what it recovers', async () => {
    for (const ends of ['closed', 'killed'] as const) {
      let store = await filled();
      if (ends === 'closed') await store.close();
      store =
        ends === 'closed' ? await openMemoryStore({ disk: store.disk }) : await store.crash({ keepUnsynced: Infinity });
      expect(store.disk.unsyncedBatches).toBe(0);
      expect((await store.crash()).node.get('n')).toBe('second');
    }
  });

  it('takes the batch in flight or leaves it whole, and never calls back', async () => {
    for (const [keepUnsynced, value] of [
      [2, 'second'],
      [3, 'flying'],
    ] as const) {
      const store = await filled();
      let called = false;
      store.node.set('n', 'flying');
      store.commit(true, () => (called = true));
      expect(store.disk.unsyncedBatches).toBe(3);
      const after = await store.crash({ keepUnsynced });
      expect(after.node.get('n')).toBe(value);
      store.commit(true, () => (called = true));
      await new Promise((resolve) => setImmediate(resolve));
      expect(called).toBe(false);
    }
  });

  it('cannot take what an empty synced commit covered', async () => {
    const store = await filled();
    await commit(store, true);
    const after = await store.crash();
    expect(after.node.get('n')).toBe('second');
  });
});

describe('damage found when reading', () => {
  it('an entry, a state record and a hole in the log are each refused', async () => {
    const make = async (): Promise<MemoryDisk> => {
      const store = await openMemoryStore();
      const { log, state } = store.group(1);
      for (const one of [entry(1, 1, 'a'), entry(2, 1, 'b'), entry(3, 1, 'c')]) log.append([one]);
      state.put(bytes('key'), bytes('value'));
      applyTo(store.group(1), 1, 1);
      await commit(store);
      await store.close();
      return store.disk;
    };
    const flip = (value: Uint8Array): Uint8Array => value.with(value.length - 1, (value.at(-1) as number) ^ 1);
    const damaged = { code: 'ERR_CORRUPT', message: expect.stringContaining('copy it aside') as string };

    let disk = await make();
    disk.damage(extentKey(1, 2, 1), flip);
    let store = await openMemoryStore({ disk });
    expect(text(store.group(1).log.entries(1, 2, 10)[0]?.data)).toBe('a');
    expect(() => store.group(1).log.entries(1, 3, 10)).toThrow(expect.objectContaining(damaged));

    disk = await make();
    disk.damage(extentKey(1, 3, 1), flip);
    await expect(openMemoryStore({ disk })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });

    disk = await make();
    disk.damage(stateKey(1, 1, bytes('key')), flip);
    store = await openMemoryStore({ disk });
    expect(() => store.group(1).state.get(bytes('key'))).toThrow(expect.objectContaining(damaged));
    await expect(store.group(1).state.scan(() => undefined)).rejects.toMatchObject({ code: 'ERR_CORRUPT' });

    disk = await make();
    disk.remove(extentKey(1, 2, 1));
    await expect(openMemoryStore({ disk })).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      message: expect.stringContaining('entry 2 is missing') as string,
    });

    disk = await make();
    disk.remove(extentKey(1, 3, 1));
    await expect(openMemoryStore({ disk })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
  });

  it('an entry among others that were appended with it is refused alone, and with it an extent that is cut short', async () => {
    const make = async (): Promise<MemoryDisk> => {
      const store = await openMemoryStore();
      store.group(1).log.append(entries(1, 5, 1));
      await commit(store);
      await store.close();
      return store.disk;
    };
    const key = extentKey(1, 1, 5);
    const length = 4 + 22 + 'entry 1'.length;
    let disk = await make();
    disk.damage(key, (value) => value.with(3 * length - 1, (value[3 * length - 1] as number) ^ 1));
    const { log } = (await openMemoryStore({ disk })).group(1);
    expect(log.entries(1, 3, 1e6).map(({ index }) => index)).toEqual([1, 2]);
    expect(log.entries(4, 6, 1e6).map(({ index }) => index)).toEqual([4, 5]);
    expect(() => log.entries(3, 4, 1e6)).toThrow(/entry 3 of group 1 is damaged/);
    expect(() => log.entries(1, 6, 1e6)).toThrow(/one of the entries 1 to 5 of group 1 is damaged/);

    for (const cut of [1, length]) {
      disk = await make();
      disk.damage(key, (value) => value.subarray(0, value.length - cut));
      await expect(openMemoryStore({ disk })).rejects.toMatchObject({
        code: 'ERR_CORRUPT',
        message: expect.stringContaining('entry 5 of group 1 is damaged') as string,
      });
    }
    // Whole records in each other's places.
    disk = await make();
    disk.damage(key, (value) =>
      Buffer.concat([value.subarray(length, 2 * length), value.subarray(0, length), value.subarray(2 * length)]),
    );
    const swapped = (await openMemoryStore({ disk })).group(1).log;
    expect(() => swapped.entries(2, 3, 1e6)).toThrow(/where entry 2 .* belongs, there is entry 1/);
  });

  it('extents that overlap, or leave something out, are refused', async () => {
    for (const [from, count] of [
      [4, 2],
      [6, 2],
      [5, 1],
      [5, 3],
    ] as const) {
      const store = await openMemoryStore();
      const { log } = store.group(1);
      log.append(entries(1, 4, 1));
      log.append(entries(5, 6, 1));
      await commit(store);
      await store.close();
      let value = new Uint8Array(0);
      store.disk.damage(extentKey(1, 5, 2), (found) => (value = new Uint8Array(found)));
      store.disk.remove(extentKey(1, 5, 2));
      const engine = store.disk.engine();
      const batch = engine.batch();
      batch.put(extentKey(1, from, count), value);
      await new Promise((resolve) => batch.write(true, resolve));
      await engine.close();
      await expect(openMemoryStore({ disk: store.disk })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
    }
  });

  it('a record of a newer layout is not guessed at', async () => {
    const store = await openMemoryStore();
    store.node.set('n', 1);
    await commit(store);
    await store.close();
    const { crc32 } = await import('node:zlib');
    store.disk.damage(Uint8Array.of(1, 110), (value) => {
      const newer = Buffer.from(value);
      newer[4] = 2;
      newer.writeUInt32LE(crc32(newer.subarray(4)), 0);
      return newer;
    });
    await expect(openMemoryStore({ disk: store.disk })).rejects.toMatchObject({ code: 'ERR_DATA_VERSION' });
  });
});

describe('state and log', () => {
  it('that do not fit each other are refused', async () => {
    for (const spoil of [
      (store: MemoryStore): void => store.group(1).log.compact(5), // entries 1 to 5 were never applied
      (store: MemoryStore): void => applyTo(store.group(1), 11, 1), // beyond the log
      (store: MemoryStore): void => applyTo(store.group(1), 5, 7), // another history
      (store: MemoryStore): void => store.group(1).log.setHardState({ term: 1, vote: null, commit: 11 }),
    ]) {
      const store = await openMemoryStore();
      store.group(1).log.append(entries(1, 10, 1));
      spoil(store);
      await commit(store);
      await store.close();
      await expect(openMemoryStore({ disk: store.disk })).rejects.toMatchObject({ code: 'ERR_CORRUPT' });
    }
  });
});

describe('commits that wait together', () => {
  it('are synced when any of them asked for it, in whatever order', async () => {
    const store = await openMemoryStore();
    for (const waiting of [
      [true, false],
      [false, true],
    ]) {
      store.disk.hold();
      store.group(1).log.append(entries(1, 1, 1));
      const first = commit(store, false);
      store.group(1).log.append(entries(1, 2, 1));
      const others = waiting.map((sync) => commit(store, sync));
      store.disk.release();
      await Promise.all([first, ...others]);
      expect(store.disk.unsyncedBatches).toBe(0);
    }
  });
});
