import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { EventQueue } from './event-queue.ts';

it('gives events in the order of their times, and of one time in the order in which they were planned', () => {
  const steps = fc.array(fc.oneof(fc.nat({ max: 20 }), fc.constant('pop' as const)), { maxLength: 3000 });
  fc.assert(
    fc.property(steps, (drawn) => {
      const queue = new EventQueue<{ timeMs: number; order: number }>();
      const model: { timeMs: number; order: number }[] = [];
      for (const [order, step] of drawn.entries()) {
        if (step === 'pop') {
          if (model.length === 0) continue;
          model.sort((a, b) => a.timeMs - b.timeMs || a.order - b.order);
          expect(queue.nextMs).toBe(model[0]?.timeMs);
          expect(queue.pop()).toEqual(model.shift());
        } else {
          queue.push(step, { timeMs: step, order });
          model.push({ timeMs: step, order });
        }
        expect(queue.size).toBe(model.length);
      }
    }),
    { numRuns: 50 },
  );
});

it('an empty one has nothing', () => {
  const queue = new EventQueue<number>();
  expect(queue.nextMs).toBe(Infinity);
  expect(() => queue.pop()).toThrow('empty');
});
