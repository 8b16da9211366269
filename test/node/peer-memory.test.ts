import { describe, expect, test } from 'vitest';
import { PeerMemory } from '../../src/node/peer-memory.ts';
import { openMemoryStore } from '../../src/storage/memory-store.ts';

describe('what is remembered of peers', () => {
  test('only grows, survives a restart, and is written at most once a second', async () => {
    const store = await openMemoryStore();
    const memory = new PeerMemory(store.node);
    expect(memory.get('7')).toBeUndefined();
    expect(memory.stage(0)).toBe(false);
    memory.noteEpoch('7', 3);
    memory.noteIndex('7', 1, 100);
    memory.noteIndex('7', 1, 50);
    memory.noteEpoch('7', 2);
    memory.noteIndex('8', 2, 5);
    expect(memory.get('7')).toEqual({ bootEpoch: 3, indexes: { 1: 100 } });
    expect(memory.stage(10)).toBe(true);
    memory.noteIndex('7', 1, 101);
    expect(memory.stage(900)).toBe(false);
    expect(memory.stage(1010)).toBe(true);
    expect(memory.stage(5000)).toBe(false);
    memory.forget('8');
    expect(memory.stage(6000)).toBe(true);
    await new Promise<void>((resolve) => store.commit(true, () => resolve()));
    const again = new PeerMemory((await store.crash()).node);
    expect(again.get('7')).toEqual({ bootEpoch: 3, indexes: { 1: 101 } });
    expect(again.get('8')).toBeUndefined();
  });

  test('is empty when the record is not one', async () => {
    const store = await openMemoryStore();
    store.node.set('peers', { 7: { bootEpoch: 'x' }, 8: null, 9: { bootEpoch: 4, indexes: { 1: 'y', 2: 6 } } });
    const memory = new PeerMemory(store.node);
    expect(memory.get('7')).toBeUndefined();
    expect(memory.get('9')).toEqual({ bootEpoch: 4, indexes: { 2: 6 } });
  });
});
