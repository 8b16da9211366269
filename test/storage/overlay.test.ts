import { describe, expect, test } from 'vitest';
import { openMemoryStore } from '../../src/storage/memory-store.ts';
import { bytes, commit, text } from './harness.ts';

describe('the overlay', () => {
  test('hides what is on disk: a value that was overwritten, and one that was deleted, before they are flushed', async () => {
    const store = await openMemoryStore();
    const { state } = store.group(1);
    for (const name of ['a', 'b', 'c']) state.put(bytes(name), bytes('old'));
    state.seal({ index: 1, term: 1 });
    state.stageFlush(Infinity);
    await commit(store);
    expect(state.overlayBytes).toBe(0);
    state.put(bytes('a'), bytes('new'));
    state.delete(bytes('b'));
    expect(text(state.get(bytes('a')))).toBe('new');
    expect(state.get(bytes('b'))).toBeUndefined();
    expect(text(state.get(bytes('c')))).toBe('old');
    state.put(bytes('b'), bytes('again'));
    expect(text(state.get(bytes('b')))).toBe('again');
    await store.close();
  });

  test('never makes, nor writes, what is deleted before it is flushed', async () => {
    const store = await openMemoryStore();
    const { state } = store.group(1);
    let made = 0;
    const later = (name: string): void =>
      state.putLater?.(
        bytes(name),
        5,
        () => {
          made++;
          return bytes(`of ${name}`);
        },
        true,
      );
    const written = (): number => store.stats().bytesWritten;
    const flush = async (index: number): Promise<number> => {
      const before = written();
      state.seal({ index, term: 1 });
      state.stageFlush(Infinity);
      await commit(store);
      return written() - before;
    };
    const nothing = await flush(1);
    later('a');
    state.seal({ index: 2, term: 1 });
    state.delete(bytes('a'));
    expect(state.get(bytes('a'))).toBeUndefined();
    expect(await flush(3)).toBe(nothing);
    expect(made).toBe(0);

    // Flushed in between, its deletion is written.
    later('a');
    expect(await flush(4)).toBeGreaterThan(nothing);
    expect(text(state.get(bytes('a')))).toBe('of a');
    state.delete(bytes('a'));
    // The one on the disk has to go, whatever comes and goes after it.
    later('a');
    expect(text(state.get(bytes('a')))).toBe('of a');
    state.delete(bytes('a'));
    expect(await flush(5)).toBeGreaterThan(nothing);
    expect(state.get(bytes('a'))).toBeUndefined();
    const found: string[] = [];
    await state.scan(({ key }) => found.push(text(key) as string));
    expect(found).toEqual([]);
    expect(made).toBe(2);
    await store.close();
  });
});
