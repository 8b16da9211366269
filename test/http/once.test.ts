/** Exactly once: the headers that ask for it, on every call that may change something. */
import { describe, expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import type { MutationOptions } from '../../src/node/coordination.ts';
import { serve } from './wire.ts';
import type { Answer, Served } from './wire.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

/** Every call that may change something and is remembered: how it is sent, and what the node is asked. */
const WRITES: readonly (readonly [string, string, string, string?])[] = [
  ['put', 'PUT', '/v1/kv/a', 'x'],
  ['delete', 'DELETE', '/v1/kv/a'],
  ['deleteRange', 'DELETE', '/v1/kv?prefix=a'],
  ['txn', 'POST', '/v1/txn', '{}'],
  ['compact', 'POST', '/v1/compact', '{"revision":1}'],
  ['leases.grant', 'POST', '/v1/leases', '{}'],
  ['leases.revoke', 'DELETE', '/v1/leases/7'],
  ['locks.acquire', 'POST', '/v1/locks/a/acquire', '{}'],
  ['locks.release', 'POST', '/v1/locks/a/release', '{"token":1}'],
  ['locks.break', 'DELETE', '/v1/locks/a'],
  ['elections.campaign', 'POST', '/v1/elections/a/campaign', '{}'],
  ['elections.proclaim', 'POST', '/v1/elections/a/proclaim', '{"token":1,"value":"x"}'],
  ['elections.resign', 'POST', '/v1/elections/a/resign', '{"token":1}'],
  ['barriers.enter', 'POST', '/v1/barriers/a/enter', '{"parties":1}'],
  ['counters.add', 'POST', '/v1/counters/a/add', '{}'],
  ['counters.delete', 'DELETE', '/v1/counters/a'],
];

const REPLAYED = {
  revision: 7,
  replayed: true,
  created: true,
  deleted: 1,
  succeeded: true,
  responses: [],
  compactedRevision: 1,
  id: '41',
  ttlMs: 15_000,
  name: 'a',
  token: 9,
  lease: '41',
  released: true,
  broken: 1,
  resigned: true,
  value: 3,
};

function call({ send }: Served, method: string, target: string, body: string | undefined, headers: object) {
  const json = method === 'POST' ? JSON_TYPE : {};
  return send(target, { method, headers: { ...json, ...headers }, ...(body !== undefined && { body }) });
}

const CALLS = WRITES.map(([name, method, target, body]) => ({ name, method, target, body }));

describe.each(CALLS)('$name', ({ name, method, target, body }) => {
  const served = (): Promise<Served> => serve();
  const lastOnce = ({ node }: Served): unknown => (node.calls.at(-1)!.options as MutationOptions).once;

  test('hands on a key, or a session and a sequence', async () => {
    const http = await served();
    http.node.script.set(name, () => ({ ...REPLAYED, replayed: undefined }));
    const ask = async (headers: object): Promise<unknown> => {
      const answer = await call(http, method, target, body, headers);
      expect(answer.headers['idempotency-replayed']).toBeUndefined();
      expect([200, 201]).toContain(answer.status);
      expect(http.node.calls.at(-1)?.method).toBe(name);
      return lastOnce(http);
    };
    expect(await ask({})).toBeUndefined();
    expect(http.node.calls.at(-1)!.options).not.toHaveProperty('once');
    expect(await ask({ 'Idempotency-Key': 'order 42, second' })).toEqual({ key: 'order 42, second' });
    expect(await ask({ 'Kvorum-Session': '41', 'Kvorum-Sequence': '3' })).toEqual({
      session: '41',
      sequence: 3,
      lowestUnanswered: 1,
    });
    expect(await ask({ 'Kvorum-Session': '41', 'Kvorum-Sequence': '9', 'Kvorum-Unanswered': '8' })).toEqual({
      session: '41',
      sequence: 9,
      lowestUnanswered: 8,
    });
  });

  test('says when the answer is one of before, errors too', async () => {
    const http = await served();
    http.node.script.set(name, () => REPLAYED);
    const again = await call(http, method, target, body, { 'Idempotency-Key': 'k' });
    expect(again.headers).toMatchObject({ 'idempotency-replayed': 'true', 'x-revision': '7' });
    expect(again.text).not.toContain('replayed');
    http.node.error = new KvorumError('ERR_CAS_FAILED', 'no', { details: { current: null, replayed: true } });
    const refused = await call(http, method, target, body, { 'Idempotency-Key': 'k' });
    expect([refused.status, refused.headers['idempotency-replayed']]).toEqual([412, 'true']);
    expect(refused.json).not.toHaveProperty('replayed');
    expect(refused.json).toHaveProperty('current', null);
  });

  test.each([
    ['ERR_IDEMPOTENCY_MISMATCH', 'none', 422],
    ['ERR_SESSION_EXPIRED', 'unknown', 410],
    ['ERR_OVERLOADED', 'none', 503],
  ] as const)('%s', async (code, outcome, status) => {
    const http = await served();
    http.node.error = new KvorumError(code, 'because', { outcome });
    const answer = await call(http, method, target, body, { 'Idempotency-Key': 'k' });
    expect([answer.status, answer.json['code'], answer.json['outcome']]).toEqual([status, code, outcome]);
  });

  test.each([
    ['idempotency-key', { 'Idempotency-Key': '' }],
    ['idempotency-key', { 'Idempotency-Key': 'a'.repeat(256) }],
    ['idempotency-key', { 'Idempotency-Key': 'k\u00f6ln' }],
    ['idempotency-key', { 'Idempotency-Key': ['a', 'b'] }],
    ['idempotency-key', { 'Idempotency-Key': 'a', 'Kvorum-Session': '1', 'Kvorum-Sequence': '1' }],
    ['kvorum-session', { 'Kvorum-Sequence': '1' }],
    ['kvorum-session', { 'Kvorum-Unanswered': '1' }],
    ['kvorum-session', { 'Kvorum-Session': 'abc', 'Kvorum-Sequence': '1' }],
    ['kvorum-sequence', { 'Kvorum-Session': '1' }],
    ['kvorum-sequence', { 'Kvorum-Session': '1', 'Kvorum-Sequence': '0' }],
    ['kvorum-sequence', { 'Kvorum-Session': '1', 'Kvorum-Sequence': '1.5' }],
    ['kvorum-sequence', { 'Kvorum-Session': '1', 'Kvorum-Sequence': '9999999999999999' }],
    ['kvorum-unanswered', { 'Kvorum-Session': '1', 'Kvorum-Sequence': '2', 'Kvorum-Unanswered': '3' }],
    ['kvorum-unanswered', { 'Kvorum-Session': '1', 'Kvorum-Sequence': '2', 'Kvorum-Unanswered': 'x' }],
  ])('%s at fault: %j', async (header, headers) => {
    const http = await served();
    const answer: Answer = await call(http, method, target, body, headers);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', outcome: 'none', header });
    expect(http.node.calls).toEqual([]);
  });
});

test.each(['/v1/leases/7/renew', '/v1/locks/a/renew'])(
  '%s is repeatable by itself: nothing is kept',
  async (target) => {
    const http = await serve();
    for (const method of ['leases.renew', 'locks.renew']) http.node.script.set(method, () => REPLAYED);
    const body = target.includes('locks') ? '{"token":1}' : undefined;
    expect((await call(http, 'POST', target, body, { 'Idempotency-Key': 'k' })).status).toBe(200);
    expect(http.node.calls.at(-1)!.options).not.toHaveProperty('once');
    expect((await call(http, 'POST', target, body, { 'Idempotency-Key': '' })).status).toBe(400);
  },
);

test('reads take no notice', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/a', 'x');
  expect((await send('/v1/kv/a', { headers: { 'Idempotency-Key': '' } })).status).toBe(200);
});
