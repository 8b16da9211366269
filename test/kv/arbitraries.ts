import * as fc from 'fast-check';
import type { Compare, Condition, RangeQuery, TxnStep } from '../../src/kv/types.ts';
import type { ModelOperation, Step } from './model.ts';

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

const leaseArbitrary = fc.constantFrom(null, '1', '18446744073709551615');

const put: fc.Arbitrary<ModelOperation> = fc.record({
  type: fc.constant('put' as const),
  key: keyArbitrary,
  value: valueArbitrary,
  contentType: fc.constantFrom(null, 'text/plain', 'application/json; charset=utf-8', 'x/ünïcode'),
  lease: leaseArbitrary,
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

const compareArbitrary: fc.Arbitrary<Compare> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      target: fc.constantFrom('version', 'createRevision', 'modRevision'),
      key: keyArbitrary,
      operator: fc.constantFrom('=', '!=', '<', '>'),
      value: fc.nat(6),
    }),
  },
  fc.record({
    target: fc.constant('lease' as const),
    key: keyArbitrary,
    operator: fc.constantFrom('=', '!=', '<', '>'),
    value: fc.constantFrom(null, '0', '1', '9', '010', '18446744073709551615'),
  }),
  fc.record({
    target: fc.constant('value' as const),
    key: keyArbitrary,
    operator: fc.constantFrom('=', '!=', '<', '>'),
    value: fc.uint8Array({ maxLength: 2 }),
  }),
  fc.record({
    target: fc.constant('token' as const),
    lock: fc.constantFrom('', 'one'),
    operator: fc.constantFrom('=', '!=', '<', '>'),
    value: fc.nat(4),
  }),
);

const stepArbitrary: fc.Arbitrary<TxnStep> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('put' as const),
      key: keyArbitrary,
      value: fc.uint8Array({ maxLength: 40 }),
      contentType: fc.constantFrom(null, 'text/plain'),
      lease: fc.oneof({ weight: 30, arbitrary: leaseArbitrary }, { weight: 1, arbitrary: fc.constant('404') }),
      prev: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('delete' as const), key: keyArbitrary, prev: fc.boolean() }),
  },
  fc.record({ type: fc.constant('deleteRange' as const), start: keyArbitrary, end: endArbitrary }),
  fc.record({ type: fc.constant('get' as const), key: keyArbitrary }),
  fc.record({
    type: fc.constant('range' as const),
    start: fc.oneof(fc.constant(''), keyArbitrary),
    end: endArbitrary,
    limit: fc.nat(5),
    keysOnly: fc.boolean(),
  }),
);

const branchArbitrary = fc.array(stepArbitrary, { maxLength: 4 });

export const txnArbitrary = fc.record({
  type: fc.constant('txn' as const),
  compare: fc.array(compareArbitrary, { maxLength: 2 }),
  // oxlint-disable-next-line unicorn/no-thenable
  then: branchArbitrary,
  otherwise: branchArbitrary,
});

/** Without what changes settings or time: these need a store that agrees with the model on them. */
const changeArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: operationArbitrary },
  { weight: 8, arbitrary: txnArbitrary },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('endLease' as const),
      leases: fc.constantFrom(['1'], ['18446744073709551615', '1'], ['2']),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('compact' as const), back: fc.integer({ min: -1, max: 12 }) }),
  },
);

export const stepsArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: changeArbitrary },
  {
    weight: 1,
    arbitrary: fc.record(
      { type: fc.constant('configure' as const), keepRevisions: fc.nat(12), quotaBytes: fc.constantFrom(0, 700, 5000) },
      { requiredKeys: ['type'] },
    ),
  },
);

/** With time, and settings about it. */
export const timedStepsArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: stepsArbitrary },
  { weight: 10, arbitrary: fc.record({ type: fc.constant('tick' as const), ms: fc.constantFrom(0, 1, 3, 50, 1000) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('configure' as const), keepMs: fc.constantFrom(0, 1, 100, 1000) }),
  },
);
