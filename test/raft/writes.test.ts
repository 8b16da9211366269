import { describe, expect, it } from 'vitest';
import { Writes } from '../../src/raft/writes.ts';

describe('Writes', () => {
  it('do not pile up what there is nothing to learn from while the disk stands still', () => {
    const writes = new Writes(1, null);
    const first = writes.add(5, 1, null, true, 1);
    let last = first;
    for (let tick = 2; tick < 200_000; tick++) last = writes.add(5, 1, null, false, tick);
    expect(writes.stalledTicks(200_000)).toBe(199_999);
    let told = 0;
    for (let seq = first; seq <= last; seq++) if (writes.complete(seq, 200_000)) told++;
    expect(told).toBe(1);
    expect(writes.lastIndex).toBe(5);
    expect(writes.stalledTicks(200_001)).toBe(0);
  });

  it('keep what changes something although it needs no sync', () => {
    const writes = new Writes(1, null);
    const synced = writes.add(5, 1, null, true, 1);
    writes.clip(3);
    const after = writes.add(5, 1, null, false, 2);
    writes.complete(synced, 3);
    expect(writes.lastIndex).toBe(3);
    expect(writes.complete(after, 3)).toBe(true);
    expect(writes.lastIndex).toBe(5);
  });
});
