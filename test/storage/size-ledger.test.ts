import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SizeLedger } from '../../src/storage/size-ledger.ts';

/** The obvious twin: one number an entry. */
it('is exact without compaction and never far off with it', () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('add' as const), count: fc.integer({ min: 1, max: 600 }) }),
    fc.record({ type: fc.constant('cut' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ type: fc.constant('compact' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.integer({ min: 0, max: 1000 }), (steps, start) => {
      const ledger = new SizeLedger();
      let sizes: number[] = [];
      let first = start;
      let exact = true;
      for (const step of steps) {
        if (step.type === 'add') {
          for (let i = 0; i < step.count; i++) {
            const size = (first * 7 + sizes.length * 13) % 100;
            ledger.add(first + sizes.length, size);
            sizes.push(size);
          }
        } else if (step.type === 'cut' && sizes.length > 0) {
          const keep = Math.floor(sizes.length * step.share);
          ledger.dropFrom(first + keep, (index) => sizes[index - first] as number);
          sizes = sizes.slice(0, keep);
        } else if (step.type === 'compact' && sizes.length > 0) {
          const drop = Math.floor(sizes.length * step.share);
          if (drop === 0) continue;
          ledger.dropThrough(first + drop - 1);
          sizes = sizes.slice(drop);
          first += drop;
          if (drop > 0) exact = false;
        }
        const total = sizes.reduce((sum, size) => sum + size, 0);
        if (exact || sizes.length === 0) expect(ledger.total).toBe(total);
        // Only one block is ever an estimate.
        expect(Math.abs(ledger.total - total)).toBeLessThanOrEqual(256 * 100);
        if (sizes.length === 0) exact = true;
      }
    }),
  );
});

it('spreads a restored sum, and gives all of it back', () => {
  for (const [first, last, total] of [
    [1, 0, 0],
    [1, 1, 7],
    [300, 300, 0],
    [250, 1600, 12345],
    [256, 511, 999],
  ] as const) {
    const ledger = new SizeLedger();
    ledger.restore(first, last, total);
    expect(ledger.total).toBe(total);
    if (last < first) continue;
    const half = Math.floor((first + last) / 2);
    ledger.dropThrough(half);
    expect(Math.abs(ledger.total - (total * (last - half)) / (last - first + 1))).toBeLessThan(total / 50 + 2);
    ledger.dropThrough(last);
    expect(ledger.total).toBe(0);
  }
});
