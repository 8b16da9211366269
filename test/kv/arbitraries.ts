import * as fc from 'fast-check';
import type { Condition, RangeQuery } from '../../src/kv/types.ts';
import type { ModelOperation } from './model.ts';

/** Few keys, so that they meet again; some are prefixes of others, with the lowest and the highest byte among them. */
export const keyArbitrary = fc
  .array(fc.constantFrom('\0', 'a', 'b', '\xff'), { minLength: 1, maxLength: 3 })
  .map((bytes) => bytes.join(''));

export const valueArbitrary = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.integer({ min: 4000, max: 20_000 }).map((length) => new Uint8Array(length).fill(length)),
);

const conditionArbitrary: fc.Arbitrary<Condition | null> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constant({ type: 'exists' } as const) },
  { weight: 1, arbitrary: fc.constant({ type: 'absent' } as const) },
  { weight: 2, arbitrary: fc.nat(12).map((revision) => ({ type: 'modRevision', revision }) as const) },
);

export const endArbitrary = fc.option(keyArbitrary, { freq: 3 });

const put: fc.Arbitrary<ModelOperation> = fc.record({
  type: fc.constant('put' as const),
  key: keyArbitrary,
  value: valueArbitrary,
  contentType: fc.constantFrom(null, 'text/plain', 'application/json; charset=utf-8', 'x/ünïcode'),
  lease: fc.constantFrom(null, '1', '18446744073709551615'),
  prev: fc.boolean(),
  condition: conditionArbitrary,
});

export const operationArbitrary: fc.Arbitrary<ModelOperation> = fc.oneof(
  { weight: 6, arbitrary: put },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('delete' as const),
      key: keyArbitrary,
      prev: fc.boolean(),
      condition: conditionArbitrary,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('deleteRange' as const), start: keyArbitrary, end: endArbitrary }),
  },
);

export const queryArbitrary: fc.Arbitrary<RangeQuery> = fc.record({
  start: fc.oneof(fc.constant(''), keyArbitrary),
  end: endArbitrary,
  limit: fc.nat(8),
  after: fc.option(keyArbitrary, { freq: 2 }),
  keysOnly: fc.boolean(),
  countOnly: fc.boolean(),
  maxBytes: fc.constantFrom(1, 50, 1_000_000),
});
