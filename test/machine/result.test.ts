import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import type { KvEntry } from '../../src/kv/types.ts';
import { decodeResult, encodeResult } from '../../src/machine/result.ts';
import type { CommandResult } from '../../src/machine/types.ts';
import { keyArbitrary, valueArbitrary } from '../kv/arbitraries.ts';

const revision = fc.constantFrom(0, 1, 2 ** 33, Number.MAX_SAFE_INTEGER);

const entry: fc.Arbitrary<KvEntry> = fc.record({
  key: keyArbitrary,
  value: valueArbitrary,
  createRevision: revision,
  modRevision: revision,
  version: revision,
  lease: fc.constantFrom(null, '9'),
  contentType: fc.constantFrom(null, 'text/plain'),
});

function success<T>(more: Record<string, fc.Arbitrary<T>>) {
  return fc.record(
    { ok: fc.constant(true as const), revision, prev: fc.option(entry), ...more },
    { requiredKeys: ['ok', 'revision', ...Object.keys(more)] as never[] },
  );
}

const result = fc.oneof(
  success({ created: fc.boolean() }),
  success({ deleted: fc.nat() }),
  fc.record({
    ok: fc.constant(false as const),
    code: fc.constant('ERR_CAS_FAILED' as const),
    revision,
    current: fc.option(entry),
  }),
) as fc.Arbitrary<CommandResult>;

/** With plain Uint8Arrays, for a deep comparison. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}

describe('results on the wire', () => {
  it('come back as they were, an absent prev told from none', () => {
    fc.assert(
      fc.property(result, (result) => {
        expect(plain(decodeResult(encodeResult(result)))).toStrictEqual(plain(result));
      }),
      { numRuns: 500 },
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
      fc.property(result, fc.nat(), fc.nat(255), (result, place, byte) => {
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
