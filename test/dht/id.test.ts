import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  bitAt,
  compareBytes,
  compareDistance,
  distanceHead,
  equalBytes,
  idText,
  log2Distance,
  randomIdAt,
} from '../../src/dht/id.ts';
import { Random } from '../../src/testing/random.ts';
import { anyId, flipped, numberOf, someId } from './ids.ts';

const distance = (x: Uint8Array, y: Uint8Array): bigint => numberOf(x) ^ numberOf(y);
const sign = (value: number | bigint): number => (value > 0 ? 1 : value < 0 ? -1 : 0);

describe('the XOR metric (§2.1)', () => {
  it('d(x, x) = 0, and d(x, y) > 0 for another y', () => {
    fc.assert(
      fc.property(someId, someId, (x, y) => {
        expect(compareDistance(x, x, y) <= 0).toBe(true);
        expect(compareDistance(x, x, y) === 0).toBe(equalBytes(x, y));
        expect(log2Distance(x, y) === -1).toBe(equalBytes(x, y));
      }),
    );
  });

  it('is symmetric', () => {
    fc.assert(
      fc.property(someId, someId, (x, y) => {
        expect(log2Distance(x, y)).toBe(log2Distance(y, x));
        expect(distanceHead(x, y)).toBe(distanceHead(y, x));
      }),
    );
  });

  it('obeys the triangle inequality', () => {
    fc.assert(
      fc.property(someId, someId, someId, (x, y, z) => {
        expect(distance(x, y) + distance(y, z) >= distance(x, z)).toBe(true);
      }),
    );
  });

  it('is unidirectional: for a key and two ids, one is closer, unless they are the same', () => {
    fc.assert(
      fc.property(someId, someId, someId, (key, x, y) => {
        expect(sign(compareDistance(key, x, y))).toBe(sign(distance(key, x) - distance(key, y)));
        expect(compareDistance(key, x, y) === 0).toBe(equalBytes(x, y));
      }),
    );
  });
});

describe('positions', () => {
  it('log2Distance is the logarithm', () => {
    fc.assert(
      fc.property(someId, someId, (x, y) => {
        const d = distance(x, y);
        expect(log2Distance(x, y)).toBe(d === 0n ? -1 : d.toString(2).length - 1);
      }),
    );
  });

  it('bitAt counts from the last bit', () => {
    fc.assert(
      fc.property(anyId, fc.nat(255), (id, position) => {
        expect(bitAt(id, position)).toBe(Number((numberOf(id) >> BigInt(position)) & 1n));
        expect(log2Distance(id, flipped(id, position))).toBe(position);
      }),
    );
  });

  it('the head of a distance never contradicts it', () => {
    fc.assert(
      fc.property(someId, someId, someId, (key, x, y) => {
        const heads = distanceHead(key, x) - distanceHead(key, y);
        if (heads !== 0) expect(sign(heads)).toBe(sign(compareDistance(key, x, y)));
        expect(BigInt(distanceHead(key, x))).toBe(distance(key, x) >> 208n);
      }),
    );
  });

  it('a random id lies in the bucket it was made for', () => {
    fc.assert(
      fc.property(anyId, fc.nat(255), fc.nat(), (id, position, seed) => {
        const random = new Random(seed);
        expect(
          log2Distance(
            id,
            randomIdAt(id, position, () => random.float()),
          ),
        ).toBe(position);
      }),
    );
  });

  it('random ids fill their bucket evenly', () => {
    const random = new Random(7);
    const id = random.bytes(32);
    const counts = Array.from({ length: 16 }, () => 0);
    for (let i = 0; i < 1_600; i++) {
      const made = randomIdAt(id, 251, () => random.float());
      counts[(made[1] as number) >>> 4] = (counts[(made[1] as number) >>> 4] as number) + 1;
      // Only the lowest three bits of the first byte are free: the one of the bucket is turned, those above stay.
      expect((made[0] as number) >>> 3).toBe(((id[0] as number) >>> 3) ^ 1);
    }
    // 100 each, ± 5 standard deviations.
    for (const count of counts) expect(Math.abs(count - 100)).toBeLessThan(50);
  });
});

describe('bytes', () => {
  it('compare as words in a dictionary', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4, max: 2 }), fc.uint8Array({ maxLength: 4, max: 2 }), (x, y) => {
        expect(sign(compareBytes(x, y))).toBe(sign(Buffer.compare(x, y)));
        expect(equalBytes(x, y)).toBe(Buffer.compare(x, y) === 0);
      }),
    );
  });

  it('have one text each', () => {
    fc.assert(
      fc.property(someId, someId, (x, y) => {
        expect(idText(x) === idText(y)).toBe(equalBytes(x, y));
        expect(Buffer.from(idText(x), 'latin1')).toEqual(Buffer.from(x));
      }),
    );
  });
});
