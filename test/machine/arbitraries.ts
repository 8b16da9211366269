/** Every kind of operation and of result, whatever is in it. */
import * as fc from 'fast-check';
import type { KvEntry } from '../../src/kv/types.ts';
import type { CommandResult, Operation } from '../../src/machine/types.ts';
import { endArbitrary, keyArbitrary, operationArbitrary, txnArbitrary, valueArbitrary } from '../kv/arbitraries.ts';

const count = fc.constantFrom(0, 1, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER);
const text = fc.constantFrom('', 'a', '\ufeffa', 'a\0b', '#:', 'ünï𝔽', 'x'.repeat(70));
const textOrNull = fc.option(text);
const lease = fc.constantFrom('1', '18446744073709551615');
const kind = fc.constantFrom('lock', 'semaphore', 'election', 'barrier');
const expiry = { lease, counter: count };

const coordination: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ type: fc.constant('compact'), revision: count }),
  fc.record({ type: fc.constant('leaseGrant'), ttlMs: count, owner: textOrNull }),
  fc.record({ type: fc.constant('leaseRenew'), leases: fc.array(lease, { maxLength: 20 }) }),
  fc.record({ type: fc.constant('leaseRevoke'), lease }),
  fc.record({ type: fc.constant('leaseExpire'), term: count, leases: fc.array(fc.record(expiry)) }),
  fc.record({
    type: fc.constant('leaseCheckpoint'),
    term: count,
    leases: fc.array(fc.record({ ...expiry, remainingMs: count })),
  }),
  fc.record({
    type: fc.constant('lockAcquire'),
    name: text,
    kind,
    lease: fc.oneof(lease, fc.record({ ttlMs: count })),
    mode: fc.constantFrom('read', 'write'),
    limit: count,
    delayMs: count,
    owner: textOrNull,
    value: textOrNull,
    wait: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('lockRelease'),
    name: text,
    kind,
    holder: fc.oneof(fc.record({ lease }), fc.record({ token: count })),
  }),
  fc.record({ type: fc.constant('lockCancel'), name: text, lease, ticket: count }),
  fc.record({ type: fc.constant('lockBreak'), name: text }),
  fc.record({ type: fc.constant('lockWake'), names: fc.array(text) }),
  fc.record({ type: fc.constant('electionProclaim'), name: text, token: count, value: textOrNull }),
  fc.record({
    type: fc.constant('counterAdd'),
    name: text,
    delta: fc.oneof(
      count,
      count.filter((n) => n > 0).map((n) => -n),
    ),
  }),
  fc.record({ type: fc.constant('counterDelete'), name: text }),
  fc.record({
    type: fc.constant('settings'),
    keepRevisions: fc.option(count),
    keepMs: fc.option(count),
    quotaBytes: fc.option(count),
  }),
);

export const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: operationArbitrary },
  { weight: 4, arbitrary: txnArbitrary },
  { weight: 15, arbitrary: coordination },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('deleteRange'), start: keyArbitrary, end: endArbitrary }) },
);

const entry: fc.Arbitrary<KvEntry> = fc.record({
  key: keyArbitrary,
  value: valueArbitrary,
  createRevision: count,
  modRevision: count,
  version: count,
  lease: fc.constantFrom(null, '9'),
  contentType: fc.constantFrom(null, 'text/plain', 'x/ünïcode'),
});

const keyEntry = entry.map(({ key, createRevision, modRevision, version, lease: of }) => {
  return { key, createRevision, modRevision, version, lease: of };
});

function success<T>(more: Record<string, fc.Arbitrary<T>>) {
  return fc.record(
    { ok: fc.constant(true as const), revision: count, prev: fc.option(entry), ...more },
    { requiredKeys: ['ok', 'revision', ...Object.keys(more)] as never[] },
  );
}

function answer(type: string, more: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> {
  const fields: Record<string, fc.Arbitrary<unknown>> = { type: fc.constant(type), revision: count, ...more };
  return fc.record({ ok: fc.constant<unknown>(true), ...fields });
}

const change = { prev: fc.option(entry) };

const response = fc.oneof(
  fc.record(
    { type: fc.constant('put'), created: fc.boolean(), ...change },
    { requiredKeys: ['type', 'created'] as never[] },
  ),
  fc.record(
    { type: fc.constant('delete'), deleted: fc.nat(1), ...change },
    { requiredKeys: ['type', 'deleted'] as never[] },
  ),
  fc.record({ type: fc.constant('get'), entry: fc.option(entry) }),
  fc.record({ type: fc.constant('range'), entries: fc.array(fc.oneof(entry, keyEntry), { maxLength: 4 }), count }),
);

const refusal = fc.record(
  {
    ok: fc.constant(false),
    code: fc.constantFrom('ERR_QUOTA', 'ERR_LOCK_HELD', 'ERR_LEASE_NOT_FOUND'),
    revision: count,
    message: text,
    details: fc.constantFrom(
      {},
      { entered: 2, holder: null },
      { holder: { token: 9, lease: '7', mode: 'write', owner: '{"name":"ünï"}', since: 1_700_000_000_000.5 } },
    ),
  },
  { requiredKeys: ['ok', 'code', 'revision', 'message'] },
);

export const anyResult = fc
  .tuple(
    fc.oneof(
      success({ created: fc.boolean() }),
      success({ deleted: fc.nat() }),
      fc.record({
        ok: fc.constant(false),
        code: fc.constant('ERR_CAS_FAILED'),
        revision: count,
        current: fc.option(entry),
      }),
      refusal,
      answer('txn', { succeeded: fc.boolean(), responses: fc.array(response, { maxLength: 4 }) }),
      answer('compacted', { compactedRevision: count }),
      answer('lease', { id: lease, ttlMs: count }),
      answer('renewed', { ttlMs: fc.array(fc.option(count)) }),
      answer('ended', { leases: count, deleted: count }),
      answer('lock', { token: fc.option(count), ticket: count, lease, ttlMs: count }),
      answer('count', { count }),
      answer('counter', { value: fc.oneof(count, fc.constant(Number.MIN_SAFE_INTEGER)) }),
      answer('settings', {}),
    ),
    fc.boolean(),
  )
  .map(([result, replayed]) => (replayed ? { ...result, replayed } : result)) as fc.Arbitrary<CommandResult>;
