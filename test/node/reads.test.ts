import { describe, expect, it } from 'vitest';
import type { KvorumError } from '../../src/errors.ts';
import { Reads, type PendingRead } from '../../src/node/reads.ts';

function probe(deadline = 1000): PendingRead & { readonly ends: (KvorumError | null)[] } {
  const ends: (KvorumError | null)[] = [];
  return { deadline, ends, done: (error) => ends.push(error) };
}

const limits = { maxPending: 3, retryAfterMs: 100 };

describe('Reads', () => {
  it('shares one token among the reads of a turn and answers them once their index is applied', () => {
    const reads = new Reads(limits);
    const [a, b] = [probe(), probe()];
    reads.add(a);
    reads.add(b);
    const token = reads.startRound(0) as number;
    reads.confirmed({ token, index: 5 });
    reads.applied(4);
    expect(a.ends).toEqual([]);
    reads.applied(5);
    expect([a.ends, b.ends]).toEqual([[null], [null]]);
    expect(reads.pending).toBe(0);
  });

  it('never lets a read join a round that was already sent', () => {
    const reads = new Reads(limits);
    const [early, late] = [probe(), probe()];
    reads.add(early);
    const first = reads.startRound(0) as number;
    reads.add(late);
    expect(reads.startRound(1)).toBeNull();
    reads.confirmed({ token: first, index: 5 });
    reads.applied(9);
    expect(early.ends).toEqual([null]);
    expect(late.ends).toEqual([]);
    const second = reads.startRound(2) as number;
    expect(second).toBeGreaterThan(first);
  });

  it('asks again with a new token when no answer comes, and takes whichever answer comes first', () => {
    for (const late of [false, true]) {
      const reads = new Reads(limits);
      const [a, b] = [probe(), probe()];
      reads.add(a);
      const first = reads.startRound(0) as number;
      // Younger than the first request: only the next round is for it.
      reads.add(b);
      const second = reads.startRound(100) as number;
      expect(second).toBeGreaterThan(first);
      reads.confirmed({ token: late ? first : second, index: 1 });
      reads.applied(1);
      expect(a.ends).toEqual([null]);
      expect(b.ends).toEqual([]);
      const third = reads.startRound(101) as number;
      reads.confirmed({ token: late ? second : first, index: 1 });
      reads.applied(1);
      expect(b.ends).toEqual([]);
      reads.confirmed({ token: third, index: 1 });
      reads.applied(1);
      expect(b.ends).toEqual([null]);
      expect(a.ends).toHaveLength(1);
    }
  });

  it('does not keep a round whose reads have all ended', () => {
    const reads = new Reads(limits);
    reads.add(probe(10));
    reads.startRound(0);
    reads.sweep(10, true);
    const a = probe();
    reads.add(a);
    const token = reads.startRound(11) as number;
    reads.confirmed({ token, index: 1 });
    reads.applied(1);
    expect(a.ends).toEqual([null]);
  });

  it('waits for the retry when a round is refused, so that a cluster without a leader is not asked in a loop', () => {
    const reads = new Reads(limits);
    reads.add(probe());
    const first = reads.startRound(0) as number;
    reads.confirmed({ token: first, index: null });
    expect(reads.startRound(50)).toBeNull();
    reads.restartRound();
    expect(reads.startRound(51)).not.toBeNull();
  });

  it('ends late reads wherever they wait, and tells a lost leader from a slow one', () => {
    const reads = new Reads(limits);
    const [confirmed, inRound, queued] = [probe(10), probe(10), probe(10)];
    reads.add(confirmed);
    reads.confirmed({ token: reads.startRound(0) as number, index: 9 });
    reads.add(inRound);
    reads.startRound(1);
    reads.add(queued);
    const refused = probe();
    reads.add(refused);
    expect(refused.ends[0]?.code).toBe('ERR_OVERLOADED');
    reads.sweep(10, false);
    for (const read of [confirmed, inRound, queued]) expect(read.ends[0]?.code).toBe('ERR_NO_LEADER');
    expect(reads.pending).toBe(0);
    reads.applied(9);
    expect(confirmed.ends).toHaveLength(1);
  });
});
