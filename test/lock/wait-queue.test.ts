import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Waiter } from '../../src/lock/types.ts';
import { WaitQueue } from '../../src/lock/wait-queue.ts';

function waiterOf(ticket: number): Waiter {
  return { lease: `${ticket}`, mode: 'write', owner: null, value: null, ticket };
}

describe('WaitQueue', () => {
  it('is the list of those who came and did not leave', () => {
    const leaving = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(200) });
    fc.assert(
      fc.property(fc.array(fc.option(leaving, { freq: 2 }), { maxLength: 300 }), fc.nat(100), (steps, ahead) => {
        const queue = new WaitQueue();
        let list: Waiter[] = [];
        let ticket = 0;
        const come = (): void => {
          const waiter = waiterOf((ticket += 2));
          queue.add(waiter);
          list.push(waiter);
        };
        for (let count = 0; count < ahead; count++) come();
        for (const place of steps) {
          const waiter = place === null ? undefined : list[place % Math.max(1, list.length)];
          if (waiter === undefined) {
            come();
          } else {
            queue.remove(waiter);
            list = list.filter((one) => one !== waiter);
          }
          expect([queue.size, queue.first, queue.last]).toEqual([list.length, list[0], list.at(-1)]);
        }
        expect(queue.toArray()).toEqual(list);
        for (const [place, waiter] of list.entries()) {
          expect(queue.find(waiter.lease)).toBe(waiter);
          expect(queue.position(waiter)).toBe(place);
        }
      }),
    );
  });

  it('knows nobody who does not wait', () => {
    const queue = new WaitQueue();
    queue.add(waiterOf(5));
    expect(queue.find('4')).toBeUndefined();
    expect(() => queue.remove(waiterOf(4))).toThrow('lease 4 does not wait with ticket 4');
    expect(() => queue.add(waiterOf(5))).toThrow('who comes later has a larger ticket');
    expect(() => queue.add({ ...waiterOf(6), lease: '5' })).toThrow('a lease waits once');
    queue.remove(waiterOf(5));
    expect([queue.size, queue.first, queue.last]).toEqual([0, undefined, undefined]);
  });
});
