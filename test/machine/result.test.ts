import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import { decodeResult, encodeResult } from '../../src/machine/result.ts';
import { anyResult } from './arbitraries.ts';
import { plain } from './harness.ts';

describe('results on the wire', () => {
  it('come back as they were, an absent prev told from none', () => {
    fc.assert(
      fc.property(anyResult, (result) => {
        expect(plain(decodeResult(encodeResult(result)))).toStrictEqual(plain(result));
      }),
      { numRuns: 2000 },
    );
  });

  it('are refused with a KvorumError when they are malformed', () => {
    const refusedOrDecoded = (data: Uint8Array) => {
      try {
        decodeResult(data);
      } catch (error) {
        if (!KvorumError.is(error)) throw error;
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (tail) => {
        refusedOrDecoded(tail);
        refusedOrDecoded(new Uint8Array([1, ...tail]));
      }),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(anyResult, fc.nat(), fc.nat(255), (result, place, byte) => {
        const data = encodeResult(result).slice();
        data[place % data.length] = byte;
        refusedOrDecoded(data);
        refusedOrDecoded(data.slice(0, place % data.length));
      }),
      { numRuns: 3000 },
    );
    expect(() => decodeResult(Uint8Array.of(2, 0x90))).toThrow(expect.objectContaining({ code: 'ERR_DATA_VERSION' }));
  });
});
