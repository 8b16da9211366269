import { expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import type { KvEntry } from '../../src/kv/types.ts';
import type { TxnRequest } from '../../src/node/coordination.ts';
import { serve } from './wire.ts';

const entry = (key: string, value: string | Uint8Array): KvEntry => ({
  key,
  value: Buffer.from(value as string),
  createRevision: 1,
  modRevision: 2,
  version: 2,
  lease: null,
  contentType: null,
});

const shown = (key: string, value: string) => ({
  key,
  value,
  encoding: 'utf8',
  createRevision: 1,
  modRevision: 2,
  version: 2,
  lease: null,
  contentType: 'application/octet-stream',
});

test('both ways, over the wire', async () => {
  const { post, put } = await serve();
  await put('/v1/kv/stock/7', '3');
  const sell = {
    if: [{ key: 'stock/7', target: 'value', op: '=', value: '3' }],
    then: [{ put: { key: 'stock/7', value: '2', prev: true } }, { put: { key: 'sold', value: '' } }],
    else: [{ get: { key: 'stock/7' } }],
  };
  const done = await post('/v1/txn', sell);
  expect(done.status).toBe(200);
  expect(done.headers).toMatchObject({ 'content-type': 'application/json', 'x-revision': '2' });
  expect(done.json).toMatchObject({
    succeeded: true,
    revision: 2,
    responses: [{ put: { prev: { key: 'stock/7', value: '3' } } }, { put: {} }],
  });
  expect((await post('/v1/txn', sell)).json).toMatchObject({
    succeeded: false,
    revision: 2,
    responses: [{ get: { key: 'stock/7', value: '2', modRevision: 2 } }],
  });
});

test('everything that can be asked reaches the node as it is meant', async () => {
  const { node, post } = await serve();
  const bytes = Buffer.from([255, 0, 128]);
  const [key64, value64] = [bytes.toString('base64url'), bytes.toString('base64')];
  await post('/v1/txn?timeout=1s', {
    if: [
      { key: 'a', target: 'version', op: '=', value: 0 },
      { key: key64, keyEncoding: 'base64url', target: 'value', op: '!=', value: value64, encoding: 'base64' },
      { key: 'a', target: 'createRevision', op: '<', value: 7 },
      { key: 'a', target: 'modRevision', op: '>', value: 7 },
      { key: 'a', target: 'lease', op: '=', value: '41' },
      { key: 'a', target: 'lease', op: '=', value: null },
      { lock: 'orders', target: 'token', op: '=', value: 41 },
    ],
    then: [
      { put: { key: 'a', value: '1' } },
      {
        put: {
          key: key64,
          keyEncoding: 'base64url',
          value: value64,
          encoding: 'base64',
          contentType: 'image/png',
          lease: '41',
          prev: true,
        },
      },
      { delete: { key: 'a' } },
      { delete: { key: 'a', prev: true } },
      { delete: { prefix: 'b' } },
      { delete: { start: 'b', end: 'c' } },
      { delete: { start: key64, keyEncoding: 'base64url' } },
      { delete: { start: '', end: 'c' } },
    ],
    else: [
      { get: { key: 'k\u00f6ln' } },
      { range: { prefix: 'b' } },
      { range: { prefix: '' } },
      { range: { end: 'c', limit: 1000, keysOnly: true } },
    ],
  }).then(
    () => undefined,
    () => undefined,
  );
  const call = node.calls.at(-1)!;
  expect(call.options.timeoutMs).toBe(1000);
  expect(call.args[0] as TxnRequest).toEqual({
    if: [
      { key: 'a', target: 'version', operator: '=', value: 0 },
      { key: bytes, target: 'value', operator: '!=', value: bytes },
      { key: 'a', target: 'createRevision', operator: '<', value: 7 },
      { key: 'a', target: 'modRevision', operator: '>', value: 7 },
      { key: 'a', target: 'lease', operator: '=', value: '41' },
      { key: 'a', target: 'lease', operator: '=', value: null },
      { lock: 'orders', target: 'token', operator: '=', value: 41 },
    ],
    then: [
      { put: { key: 'a', value: '1' } },
      { put: { key: bytes, value: bytes, contentType: 'image/png', lease: '41', prev: true } },
      { delete: { key: 'a' } },
      { delete: { key: 'a', prev: true } },
      { delete: { prefix: 'b' } },
      { delete: { start: 'b', end: 'c' } },
      { delete: { start: bytes, end: null } },
      { delete: { start: '', end: 'c' } },
    ],
    else: [
      { get: { key: 'k\u00f6ln' } },
      { range: { prefix: 'b' } },
      { range: { prefix: '' } },
      { range: { start: '', end: 'c', limit: 1000, keysOnly: true } },
    ],
  });
});

test('every answer of a step', async () => {
  const { node, post } = await serve();
  const { value: _value, contentType: _type, ...bare } = entry('b', '');
  node.script.set('txn', () => ({
    revision: 9,
    succeeded: false,
    responses: [
      { put: {} },
      { put: { prev: null } },
      { put: { prev: entry('a', 'x') } },
      { delete: { deleted: 0 } },
      { delete: { deleted: 1, prev: entry('a', 'x') } },
      { delete: { deleted: 0, prev: null } },
      { get: null },
      { get: { ...entry('\xff', Buffer.from([255])), lease: '41', contentType: 'a/b' } },
      { range: { entries: [entry('a', 'x'), bare], count: 7 } },
    ],
  }));
  expect((await post('/v1/txn', {})).json).toEqual({
    succeeded: false,
    revision: 9,
    responses: [
      { put: {} },
      { put: { prev: null } },
      { put: { prev: shown('a', 'x') } },
      { delete: { deleted: 0 } },
      { delete: { deleted: 1, prev: shown('a', 'x') } },
      { delete: { deleted: 0, prev: null } },
      { get: null },
      {
        get: {
          key: '_w',
          keyEncoding: 'base64url',
          value: '/w==',
          encoding: 'base64',
          createRevision: 1,
          modRevision: 2,
          version: 2,
          lease: '41',
          contentType: 'a/b',
        },
      },
      {
        range: {
          entries: [shown('a', 'x'), { key: 'b', createRevision: 1, modRevision: 2, version: 2, lease: null }],
          count: 7,
        },
      },
    ],
  });
});

const compare = (change: object): object => ({ if: [{ key: 'a', target: 'version', op: '=', value: 1, ...change }] });
const then = (step: unknown): object => ({ then: [step] });
const many = Array.from({ length: 129 }, () => ({ get: { key: 'a' } }));

test.each<[string, unknown]>([
  ['when', { when: [] }],
  ['__proto__', JSON.parse('{"__proto__":[]}')],
  ['if', { if: {} }],
  ['then', { then: 'x' }],
  ['else', { else: null }],
  ['then', { then: many }],
  ['else', { else: many }],
  ['if', { if: Array.from({ length: 129 }, () => ({})) }],
  ['if[0]', { if: [null] }],
  ['if[0].key', { if: [{}] }],
  ['if[0].key', compare({ key: 7 })],
  ['if[0].keyEncoding', compare({ keyEncoding: 'base64' })],
  ['if[0].target', compare({ target: 'size' })],
  ['if[0].target', compare({ target: 'token' })],
  ['if[0].op', compare({ op: '==' })],
  ['if[0].value', compare({ value: '1' })],
  ['if[0].value', compare({ value: -1 })],
  ['if[0].value', compare({ value: 1.5 })],
  ['if[0].value', compare({ target: 'value', value: 1 })],
  ['if[0].value', { if: [{ key: 'a', target: 'value', op: '=' }] }],
  ['if[0].value', compare({ target: 'value', value: '!', encoding: 'base64' })],
  ['if[0].value', compare({ target: 'lease', value: 41 })],
  ['if[0].encoding', compare({ encoding: 'utf8' })],
  ['if[0].encoding', compare({ target: 'value', value: '', encoding: 'hex' })],
  ['if[0].operator', compare({ operator: '=' })],
  ['if[0].lock', compare({ key: undefined, lock: 7, target: 'token' })],
  ['if[0].lock', compare({ key: undefined, lock: '', target: 'token' })],
  ['if[0].lock', compare({ key: undefined, lock: '\u00f6'.repeat(257), target: 'token' })],
  ['if[0].key', compare({ lock: 'a', target: 'token' })],
  ['if[0].target', compare({ key: undefined, lock: 'a', target: 'version' })],
  ['if[0].value', compare({ key: undefined, lock: 'a', target: 'token', value: null })],
  ['then[0]', then(7)],
  ['then[0]', then({})],
  ['then[0]', then({ get: { key: 'a' }, delete: { key: 'a' } })],
  ['then[0].set', then({ set: {} })],
  ['then[1].get', { then: [{ get: { key: 'a' } }, { get: 'a' }] }],
  ['else[0].get.key', { else: [{ get: {} }] }],
  ['then[0].get.prev', then({ get: { key: 'a', prev: true } })],
  ['then[0].put.key', then({ put: { value: '' } })],
  ['then[0].put.key', then({ put: { key: '\ud800', value: '' } })],
  ['then[0].put.value', then({ put: { key: 'a' } })],
  ['then[0].put.value', then({ put: { key: 'a', value: 7 } })],
  ['then[0].put.value', then({ put: { key: 'a', value: '\ud800' } })],
  ['then[0].put.value', then({ put: { key: 'a', value: 'a b', encoding: 'base64' } })],
  ['then[0].put.encoding', then({ put: { key: 'a', value: '', encoding: null } })],
  ['then[0].put.contentType', then({ put: { key: 'a', value: '', contentType: '' } })],
  ['then[0].put.contentType', then({ put: { key: 'a', value: '', contentType: 'a\nb' } })],
  ['then[0].put.contentType', then({ put: { key: 'a', value: '', contentType: 'a'.repeat(257) } })],
  ['then[0].put.lease', then({ put: { key: 'a', value: '', lease: 41 } })],
  ['then[0].put.prev', then({ put: { key: 'a', value: '', prev: 'true' } })],
  ['then[0].delete.key', then({ delete: {} })],
  ['then[0].delete.key', then({ delete: { end: 'b' } })],
  ['then[0].delete.key', then({ delete: { key: 'a', prefix: 'a' } })],
  ['then[0].delete.prefix', then({ delete: { prefix: '' } })],
  ['then[0].delete.prefix', then({ delete: { prefix: 'a', end: 'b' } })],
  ['then[0].delete.prev', then({ delete: { prefix: 'a', prev: true } })],
  ['then[0].range.prefix', then({ range: {} })],
  ['then[0].range.prefix', then({ range: { prefix: 'a', start: 'a' } })],
  ['then[0].range.limit', then({ range: { prefix: 'a', limit: 0 } })],
  ['then[0].range.limit', then({ range: { prefix: 'a', limit: 1001 } })],
  ['then[0].range.keysOnly', then({ range: { prefix: 'a', keysOnly: 1 } })],
  ['then[0].range.countOnly', then({ range: { prefix: 'a', countOnly: true } })],
])('field %s at fault', async (field, body) => {
  const { node, post } = await serve();
  const answer = await post('/v1/txn', body);
  expect(answer.status).toBe(400);
  expect(answer.json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', outcome: 'none', field });
  expect(answer.json['detail']).toContain(`"${field}"`);
  expect(node.calls).toEqual([]);
});

test.each<[string, unknown]>([
  ['then[0].get.key', then({ get: { key: '' } })],
  ['then[0].put.key', then({ put: { key: '*', keyEncoding: 'base64url', value: '' } })],
  ['then[0].range.end', then({ range: { end: 'a b', keyEncoding: 'base64url' } })],
  ['if[0].key', compare({ key: '' })],
])('field %s is a bad key', async (field, body) => {
  const { post } = await serve();
  const answer = await post('/v1/txn', body);
  expect([answer.status, answer.json['code'], answer.json['field']]).toEqual([400, 'ERR_BAD_KEY', field]);
});

test('what is no JSON object, no JSON, too large', async () => {
  const { node, send } = await serve();
  const ask = async (body: string | Buffer, type = 'application/json'): Promise<unknown[]> => {
    const answer = await send('/v1/txn', { method: 'POST', body, headers: { 'content-type': type } });
    return [answer.status, answer.json['code']];
  };
  for (const bad of ['', '{', '[]', 'null', '7', '\xff']) {
    expect(await ask(bad)).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  }
  expect(await ask('{}', 'text/json')).toEqual([415, 'ERR_UNSUPPORTED_MEDIA_TYPE']);
  const deep = `{"if":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  expect(await ask(deep)).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  // A value of the largest size fits, also when it is written in the longest way.
  const longest = `{"then":[{"put":{"key":"a","value":"${'\\u0001'.repeat(node.limits.maxValueBytes)}"}}]}`;
  expect(await ask(longest)).toEqual([200, undefined]);
  expect(await ask(Buffer.alloc(8 * (4096 + 1024 * 1024) + 1, ' '))).toEqual([413, 'ERR_TOO_LARGE']);
});

test.each([
  ['ERR_LEASE_NOT_FOUND', 410],
  ['ERR_QUOTA', 507],
  ['ERR_TOO_LARGE', 413],
] as const)('%s of the node', async (code, status) => {
  const { node, post } = await serve();
  node.error = new KvorumError(code, 'because');
  const answer = await post('/v1/txn', {});
  expect([answer.status, answer.json['code']]).toEqual([status, code]);
});

test('POST /v1/compact', async () => {
  const { node, post, put } = await serve();
  for (let i = 0; i < 3; i++) await put('/v1/kv/a', `${i}`);
  const done = await post('/v1/compact', { revision: 2 });
  expect([done.status, done.json]).toEqual([200, { compactedRevision: 2 }]);
  const future = await post('/v1/compact', { revision: 9 });
  expect([future.status, future.json['code']]).toEqual([400, 'ERR_FUTURE_REVISION']);
  const past = await post('/v1/compact', { revision: 1 });
  expect([past.status, past.json]).toEqual([
    410,
    expect.objectContaining({ code: 'ERR_COMPACTED', compactRevision: 2 }),
  ]);
  const before = node.calls.length;
  for (const body of [{}, { revision: 0 }, { revision: '2' }, { revision: 2.5 }, { revision: null }]) {
    expect((await post('/v1/compact', body)).json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', field: 'revision' });
  }
  expect((await post('/v1/compact', { revision: 2, physical: true })).json).toMatchObject({ field: 'physical' });
  expect(node.calls).toHaveLength(before);
});
