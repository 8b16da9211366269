import { describe, expect, it } from 'vitest';
import { Suspicions, suspicionMs } from '../../src/gossip/suspicion.ts';

const BOUNDS = { minMs: 2000, maxMs: 30_000, expected: 3 };

describe('how long suspicion lasts', () => {
  it('falls with the logarithm of the confirmations, from the most to the least', () => {
    // The table of memberlist's own test of this formula: K = 3, 2 s to 30 s.
    expect([0, 1, 2, 3, 4].map((confirmations) => suspicionMs(BOUNDS, confirmations))).toEqual([
      30_000, 16_000, 7810, 2000, 2000,
    ]);
  });

  it('is the least where no confirmation can be hoped for', () => {
    expect(suspicionMs({ ...BOUNDS, expected: 0 }, 0)).toBe(2000);
  });
});

describe('suspicions', () => {
  it('the first accuser confirms nothing, each other does once, and those beyond the expected are no news', () => {
    const suspicions = new Suspicions();
    suspicions.start(7, 'a', BOUNDS, 100);
    expect(suspicions.nextMs).toBe(30_100);
    expect(suspicions.isNews(7, 'a')).toBe(false);
    suspicions.confirm(7, 'a');
    expect(suspicions.nextMs).toBe(30_100);
    suspicions.confirm(7, 'b');
    suspicions.confirm(7, 'b');
    expect(suspicions.nextMs).toBe(16_100);
    suspicions.confirm(7, 'c');
    suspicions.confirm(7, 'd');
    expect(suspicions.nextMs).toBe(2100);
    expect(suspicions.isNews(7, 'e')).toBe(false);
    expect(suspicions.isNews(8, 'a')).toBe(false);
  });

  it('run out in the order of their ends', () => {
    const suspicions = new Suspicions();
    suspicions.start(1, 'a', BOUNDS, 10);
    suspicions.start(2, 'a', { ...BOUNDS, expected: 0 }, 20);
    suspicions.start(3, 'a', BOUNDS, 5);
    expect(suspicions.expired(2019)).toEqual([]);
    expect(suspicions.expired(2020)).toEqual([2]);
    suspicions.delete(2);
    expect(suspicions.expired(40_000)).toEqual([3, 1]);
  });

  it('a confirmation can end it at once', () => {
    const suspicions = new Suspicions();
    suspicions.start(1, 'a', BOUNDS, 0);
    suspicions.confirm(1, 'b');
    suspicions.confirm(1, 'c');
    expect(suspicions.expired(5000)).toEqual([]);
    suspicions.confirm(1, 'd');
    expect(suspicions.expired(5000)).toEqual([1]);
  });

  it('time that did not count is added', () => {
    const suspicions = new Suspicions();
    suspicions.start(1, 'a', BOUNDS, 0);
    suspicions.postpone(500);
    expect(suspicions.nextMs).toBe(30_500);
    suspicions.confirm(1, 'b');
    expect(suspicions.nextMs).toBe(16_500);
    suspicions.delete(1);
    expect(suspicions.nextMs).toBe(Infinity);
  });
});
