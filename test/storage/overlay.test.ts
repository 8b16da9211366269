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
});
