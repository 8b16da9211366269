import { describe, expect, test } from 'vitest';
import { FollowerReads, LeaderReads, type PendingRead } from '../../src/raft/read-index.ts';

function read(token: number): PendingRead {
  return { from: null, bootEpoch: 1, token };
}

function tokens(reads: readonly PendingRead[]): number[] {
  return reads.map(({ token }) => token);
}

describe('reads on the leader', () => {
  test('wait for a round that is sent after them, and two rounds at most are under way', () => {
    const reads = new LeaderReads();
    expect(reads.wantsRound).toBe(false);
    reads.attach(1, 10);
    expect(reads.confirm(1)).toEqual([]);
    for (const token of [1, 2]) reads.add(read(token));
    expect(reads.wantsRound).toBe(true);
    reads.attach(2, 20);
    expect(reads.wantsRound).toBe(false);
    reads.add(read(3));
    reads.attach(3, 30);
    reads.add(read(4));
    expect(reads.wantsRound).toBe(false);
    const [first, ...others] = reads.confirm(2);
    expect([first?.index, tokens(first?.reads ?? []), others]).toEqual([20, [1, 2], []]);
    expect(reads.wantsRound).toBe(true);
    reads.attach(4, 40);
    expect(reads.confirm(2)).toEqual([]);
    expect(reads.confirm(9).map(({ index, reads: done }) => [index, tokens(done)])).toEqual([
      [30, [3]],
      [40, [4]],
    ]);
    expect(reads.drain()).toEqual([]);
  });

  test('are all given back when the leadership ends, once', () => {
    const reads = new LeaderReads();
    reads.add(read(1));
    reads.attach(1, 10);
    reads.add(read(2));
    expect(tokens(reads.drain())).toEqual([1, 2]);
    expect(reads.drain()).toEqual([]);
    expect(reads.wantsRound).toBe(false);
    expect(reads.confirm(1)).toEqual([]);
  });

  test('are bounded, and make room for others when they are confirmed', () => {
    const reads = new LeaderReads();
    const fill = (): boolean => Array.from({ length: 65_536 }, (_, token) => reads.add(read(token))).every(Boolean);
    expect(fill()).toBe(true);
    expect(reads.add(read(-1))).toBe(false);
    reads.attach(1, 10);
    expect(reads.add(read(-1))).toBe(false);
    expect(reads.confirm(1)[0]?.reads.length).toBe(65_536);
    expect(reads.add(read(-1))).toBe(true);
    expect(tokens(reads.drain())).toEqual([-1]);
    expect(fill()).toBe(true);
  });
});

describe('reads on a follower', () => {
  function asked(...batches: readonly (readonly number[])[]): FollowerReads {
    const reads = new FollowerReads();
    batches.forEach((batch, tick) => {
      for (const token of batch) reads.add(token);
      expect(reads.wantsRequest).toBe(true);
      expect(reads.take(tick)).toBe(Math.max(...batch));
      expect(reads.wantsRequest).toBe(false);
    });
    return reads;
  }

  test('are answered with all that were asked for before, and none that came later', () => {
    const reads = asked([2, 1], [3, 5, 4], [6]);
    expect(reads.answered(4)).toEqual([]);
    expect(reads.answered(5)).toEqual([2, 1, 3, 5, 4]);
    expect(reads.answered(5)).toEqual([]);
    expect(reads.answered(2)).toEqual([]);
    expect(reads.answered(6)).toEqual([6]);
  });

  test('are refused one request at a time', () => {
    const reads = asked([1], [3, 2], [4]);
    expect(reads.refused(2)).toEqual([]);
    expect(reads.refused(3)).toEqual([3, 2]);
    expect(reads.refused(3)).toEqual([]);
    expect(reads.refused(1)).toEqual([1]);
    expect(reads.answered(4)).toEqual([4]);
  });

  test('are asked for again when they have waited, by the newest request that has', () => {
    const reads = asked([1], [2], [3]);
    expect(reads.takeOverdue(4, 5)).toBeNull();
    expect(reads.takeOverdue(5, 5)).toBe(1);
    expect(reads.takeOverdue(7, 5)).toBeNull();
    const others = asked([1], [2], [3]);
    expect(others.takeOverdue(6, 5)).toBe(2);
    expect(others.takeOverdue(7, 5)).toBeNull();
    expect(others.takeOverdue(12, 5)).toBe(3);
    expect(others.answered(3)).toEqual([1, 2, 3]);
    expect(others.takeOverdue(99, 5)).toBeNull();
  });

  test('are all given back when the leader changes, once', () => {
    const both = asked([1, 2], [3]);
    both.add(4);
    expect(both.drain()).toEqual([1, 2, 3, 4]);
    expect(both.drain()).toEqual([]);
    expect(both.wantsRequest).toBe(false);
    expect(both.answered(3)).toEqual([]);
    expect(asked([1, 2]).drain()).toEqual([1, 2]);
    const collected = new FollowerReads();
    collected.add(7);
    expect(collected.drain()).toEqual([7]);
    expect(new FollowerReads().drain()).toEqual([]);
  });
});
