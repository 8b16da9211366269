import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Inflights, Progress } from '../../src/raft/progress.ts';

describe('the window of Appends in flight', () => {
  test('counts messages and bytes as a plain list does', () => {
    const action = fc.oneof(
      fc.record({ type: fc.constant('add' as const), bytes: fc.nat(30) }),
      fc.record({ type: fc.constant('free' as const), index: fc.nat(100) }),
      fc.record({ type: fc.constant('reset' as const) }),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 100 }),
        fc.array(action, { maxLength: 100 }),
        (maxMessages, maxBytes, actions) => {
          const inflights = new Inflights(maxMessages, maxBytes);
          let list: { index: number; bytes: number }[] = [];
          let index = 0;
          for (const step of actions) {
            const bytes = list.reduce((sum, one) => sum + one.bytes, 0);
            if (step.type === 'add') {
              const full = list.length >= maxMessages || bytes >= maxBytes;
              assert.equal(inflights.full, full);
              if (full) {
                assert.throws(() => inflights.add(index + 1, step.bytes), /full/);
              } else {
                inflights.add(++index, step.bytes);
                list.push({ index, bytes: step.bytes });
              }
            } else if (step.type === 'free') {
              inflights.freeTo(step.index);
              list = list.filter((one) => one.index > step.index);
            } else {
              inflights.reset();
              list = [];
            }
            expect(inflights.count).toBe(list.length);
            expect(inflights.bytes).toBe(list.reduce((sum, one) => sum + one.bytes, 0));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('an Append that is larger than the window passes alone', () => {
    const inflights = new Inflights(10, 100);
    inflights.add(1, 5000);
    expect(inflights.full).toBe(true);
    inflights.freeTo(1);
    expect(inflights.full).toBe(false);
  });
});

describe('progress of a follower', () => {
  const fresh = (): Progress => new Progress('2', 11, 4, 1000);

  test('a probe sends once and waits', () => {
    const progress = fresh();
    progress.sent(3, 13, 30, 7);
    expect(progress).toMatchObject({ state: 'probe', next: 11, paused: true, awaitingTick: 7 });
  });

  test('a refused probe goes back to the guess, never below what matches', () => {
    const progress = fresh();
    progress.match = 4;
    progress.paused = true;
    expect(progress.backTo(10, 6)).toBe(true);
    expect(progress).toMatchObject({ next: 7, paused: false });
    expect(progress.backTo(6, 0)).toBe(true);
    expect(progress.next).toBe(5);
  });

  test('a refusal always moves a probe back, whatever the guess is', () => {
    const progress = fresh();
    expect(progress.backTo(10, 50)).toBe(true);
    expect(progress.next).toBe(10);
  });

  test('an old refusal does not move it', () => {
    const progress = fresh();
    progress.paused = true;
    expect(progress.backTo(8, 3)).toBe(false);
    expect(progress).toMatchObject({ next: 11, paused: true });
  });

  test('replicating runs ahead; a refusal makes it probe after what matches', () => {
    const progress = fresh();
    progress.match = 10;
    progress.becomeReplicate();
    progress.sent(2, 12, 20, 0);
    progress.sent(2, 14, 20, 0);
    expect(progress).toMatchObject({ next: 15, match: 10 });
    expect(progress.inflights.count).toBe(2);
    expect(progress.backTo(10, 9)).toBe(false);
    expect(progress.backTo(12, 9)).toBe(true);
    expect(progress).toMatchObject({ state: 'probe', next: 11, paused: false });
    expect(progress.inflights.count).toBe(0);
  });

  test('an answer never takes back what matched', () => {
    const progress = fresh();
    expect(progress.advanceTo(12)).toBe(true);
    expect(progress).toMatchObject({ match: 12, next: 13 });
    expect(progress.advanceTo(12)).toBe(false);
    expect(progress.advanceTo(5)).toBe(false);
    expect(progress.match).toBe(12);
  });

  test.each([
    [true, 21],
    [false, 1],
  ])('after a snapshot (sent: %s) it is left alone, then goes on at %i', (ok, next) => {
    const progress = fresh();
    progress.becomeSnapshot();
    expect(progress.backTo(10, 0)).toBe(false);
    progress.snapshotEnded(20, ok);
    expect(progress).toMatchObject({ state: 'probe', paused: true, next });
  });

  test('next is always behind match', () => {
    const action = fc.oneof(
      fc.record({ type: fc.constant('sent' as const), count: fc.nat(3) }),
      fc.record({ type: fc.constant('advance' as const), index: fc.nat(40) }),
      fc.record({ type: fc.constant('back' as const), rejected: fc.nat(40), guess: fc.nat(40) }),
      fc.record({ type: fc.constant('probe' as const) }),
      fc.record({ type: fc.constant('replicate' as const) }),
      fc.record({ type: fc.constant('snapshot' as const) }),
      fc.record({ type: fc.constant('ended' as const), index: fc.nat(40), ok: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const progress = new Progress('2', 11, 1000, 1e9);
        let match = 0;
        for (const step of actions) {
          if (step.type === 'sent') {
            if (progress.state === 'snapshot') continue;
            progress.sent(step.count, progress.next - 1 + step.count, step.count, 0);
          } else if (step.type === 'advance') progress.advanceTo(step.index);
          else if (step.type === 'back') progress.backTo(step.rejected, step.guess);
          else if (step.type === 'probe') progress.becomeProbe();
          else if (step.type === 'replicate') progress.becomeReplicate();
          else if (step.type === 'snapshot') progress.becomeSnapshot();
          else progress.snapshotEnded(step.index, step.ok);
          expect(progress.next).toBeGreaterThan(progress.match);
          expect(progress.match).toBeGreaterThanOrEqual(match);
          match = progress.match;
        }
      }),
    );
  });
});
