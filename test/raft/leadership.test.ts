import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Leadership, UncommittedBytes } from '../../src/raft/leadership.ts';
import { RaftLog } from '../../src/raft/log.ts';
import type { LogReader } from '../../src/raft/types.ts';
import { configuration, DEFAULT_OPTIONS } from '../sim/cluster.ts';

describe('uncommitted bytes', () => {
  test('are counted to the byte, as a plain list does, however many there are', () => {
    const step = fc.record({ bytes: fc.nat(5), commit: fc.boolean(), back: fc.nat(3000) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 4000, size: 'max' }), (steps) => {
        const counted = new UncommittedBytes(40);
        let list: { index: number; bytes: number }[] = [];
        steps.forEach(({ bytes, commit, back }, i) => {
          const index = i + 1;
          const sum = list.reduce((total, one) => total + one.bytes, 0);
          expect(counted.fits(bytes, true)).toBe(sum + bytes <= 40);
          expect(counted.fits(bytes, false)).toBe(sum === 0 || sum + bytes <= 40);
          counted.add(index, bytes);
          list.push({ index, bytes });
          if (!commit) return;
          counted.committed(index - back);
          list = list.filter((one) => one.index > index - back);
          expect(counted.total).toBe(list.reduce((total, one) => total + one.bytes, 0));
        });
      }),
      { numRuns: 15 },
    );
  });

  test('of thousands of proposals are taken off one by one', () => {
    const counted = new UncommittedBytes(1_000_000);
    for (let index = 1; index <= 5000; index++) counted.add(index, index);
    let total = (5000 * 5001) / 2;
    for (let index = 1; index <= 5000; index++) {
      counted.committed(index);
      total -= index;
      expect(counted.total).toBe(total);
    }
    counted.add(5001, 7);
    expect(counted.total).toBe(7);
  });
});

describe('the lease', () => {
  const reader: LogReader = { firstIndex: () => 1, lastIndex: () => 0, term: () => undefined, entries: () => [] };
  const make = (): Leadership => {
    const options = { ...DEFAULT_OPTIONS, id: '1', bootEpoch: 1 };
    return new Leadership(options, configuration(['1', '2', '3']), new RaftLog(reader, 1000), 0);
  };

  test('counts from when the newest round was sent that a quorum answered', () => {
    const leadership = make();
    for (const round of [1, 2, 3]) leadership.leaseRoundSent(round, 100 * round);
    leadership.leaseRoundConfirmed(0, 50);
    expect(leadership.leaseUntilMs).toBe(-Infinity);
    leadership.leaseRoundConfirmed(2, 50);
    expect(leadership.leaseUntilMs).toBe(250);
    leadership.leaseRoundConfirmed(2, 1000);
    expect(leadership.leaseUntilMs).toBe(250);
    leadership.leaseRoundConfirmed(3, 50);
    expect(leadership.leaseUntilMs).toBe(350);
  });

  test('remembers so many rounds and no more, the oldest of them', () => {
    const leadership = make();
    for (let round = 1; round <= 100; round++) leadership.leaseRoundSent(round, round);
    leadership.leaseRoundConfirmed(100, 0);
    expect(leadership.leaseUntilMs).toBe(64);
    leadership.leaseRoundSent(101, 500);
    leadership.leaseRoundConfirmed(101, 0);
    expect(leadership.leaseUntilMs).toBe(500);
  });
});
