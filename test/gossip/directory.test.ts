import { describe, expect, it } from 'vitest';
import { Directory } from '../../src/gossip/directory.ts';

describe('the directory of members', () => {
  it('gives the same place for the same id, and another for another', () => {
    const directory = new Directory();
    expect([directory.claim('a'), directory.claim('b'), directory.claim('a')]).toEqual([0, 1, 0]);
    expect(directory.idAt(1)).toBe('b');
    expect(directory.slotOf('c')).toBeUndefined();
    expect(directory.hashAt(0)).not.toBe(directory.hashAt(1));
  });

  it('gives a place away again when nobody claims it any more, so that names that come and go take no memory', () => {
    const directory = new Directory();
    directory.claim('a');
    directory.claim('a');
    directory.release(0);
    expect(directory.slotOf('a')).toBe(0);
    directory.release(0);
    expect(directory.slotOf('a')).toBeUndefined();
    for (let i = 0; i < 1000; i++) directory.release(directory.claim(`name-${i}`));
    expect(directory.end).toBe(1);
    expect(directory.claim('b')).toBe(0);
    expect(directory.idAt(0)).toBe('b');
  });

  it('a place that is given back too often is a bug', () => {
    const directory = new Directory();
    directory.release(directory.claim('a'));
    expect(() => directory.release(0)).toThrow('given back more often');
  });
});
