import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Applying } from '../../src/raft/applying.ts';
import type { Entry } from '../../src/raft/types.ts';

function entries(from: number, sizes: readonly number[]): Entry[] {
  return sizes.map((size, i) => ({ index: from + i, term: 1, kind: 'command', data: new Uint8Array(size) }));
}

describe('committed entries on their way through the state machine', () => {
  test('are counted by their bytes, batch by batch, as a plain list does', () => {
    const action = fc.oneof(
      fc.record({ type: fc.constant('out' as const), sizes: fc.array(fc.nat(30), { minLength: 1, maxLength: 4 }) }),
      fc.record({ type: fc.constant('done' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ type: fc.constant('skip' as const), by: fc.integer({ min: 1, max: 5 }) }),
    );
    fc.assert(
      fc.property(fc.nat(100), fc.array(action, { maxLength: 60 }), (start, actions) => {
        const applying = new Applying(50, start);
        let batches: { last: number; bytes: number }[] = [];
        let out = start;
        let applied = start;
        for (const step of actions) {
          if (step.type === 'out') {
            applying.handOut(entries(out + 1, step.sizes));
            out += step.sizes.length;
            batches.push({ last: out, bytes: step.sizes.reduce((sum, size) => sum + size, 0) });
          } else if (step.type === 'done') {
            const index = Math.round(start + (out - start) * step.share);
            applying.done(index);
            applied = Math.max(applied, index);
            batches = batches.filter(({ last }) => last > applied);
          } else {
            out += step.by;
            applied = out;
            batches = [];
            applying.skipTo(out);
          }
          const bytes = batches.reduce((sum, one) => sum + one.bytes, 0);
          expect([applying.handedOut, applying.applied]).toEqual([out, applied]);
          expect(applying.room).toBe(batches.length === 0 ? 50 : Math.max(0, 50 - bytes));
        }
      }),
    );
  });

  test('with nothing out there is room for all, so that an entry over the limit passes', () => {
    const applying = new Applying(10, 0);
    applying.handOut(entries(1, [25]));
    expect(applying.room).toBe(0);
    applying.done(1);
    expect(applying.room).toBe(10);
  });

  test('go out once and in order, and none is done that was not handed out', () => {
    const applying = new Applying(10, 4);
    expect(() => applying.handOut(entries(6, [1]))).toThrow('Entry 6 to apply after 4');
    expect(() => applying.handOut(entries(4, [1]))).toThrow('Entry 4 to apply after 4');
    applying.handOut(entries(5, [1, 1]));
    expect(() => applying.done(7)).toThrow('Applied up to 7, handed out 6');
  });
});
