import { expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import { serve } from './wire.ts';

const ENTRY = 'application/vnd.kvorum.entry+json';

test('PUT writes the body, GET gives it back byte for byte', async () => {
  const { put, send } = await serve();
  const value = Buffer.from([0, 255, 13, 10, 128]);
  const written = await put('/v1/kv/a/b', value, { 'content-type': 'image/png; x=1' });
  expect(written.status).toBe(200);
  expect(written.text).toBe('{"revision":1,"created":true}');
  expect(written.headers).toMatchObject({ etag: '"1"', 'content-type': 'application/json', 'x-revision': '1' });

  const read = await send('/v1/kv/a/b');
  expect(read.status).toBe(200);
  expect(read.bytes).toEqual(value);
  expect(read.headers).toMatchObject({
    'content-type': 'image/png; x=1',
    'content-length': '5',
    etag: '"1"',
    'x-create-revision': '1',
    'x-version': '1',
    'x-content-type-options': 'nosniff',
    'content-security-policy': 'sandbox',
    'x-group': '1',
    'x-revision': '1',
    'x-raft-term': '3',
    'x-served-by': 'n1',
  });
});

test('HEAD gives the headers of GET', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/a', 'hello');
  const read = await send('/v1/kv/a', { method: 'HEAD' });
  expect(read.status).toBe(200);
  expect(read.text).toBe('');
  expect(read.headers).toMatchObject({
    'content-length': '5',
    etag: '"1"',
    'content-type': 'application/octet-stream',
  });
  const missing = await send('/v1/kv/b', { method: 'HEAD' });
  expect(missing.status).toBe(404);
  expect(missing.headers['content-type']).toBe('application/problem+json');
});

test.each([100, 8192, 8193, 300_000, 1024 * 1024])('a value of %d bytes comes back', async (size) => {
  const { put, send } = await serve();
  const value = Buffer.alloc(size, 'äb');
  expect((await put('/v1/kv/a', value)).status).toBe(200);
  const read = await send('/v1/kv/a');
  expect(read.bytes.equals(value)).toBe(true);
});

test('JSON is a value like any other, also broken JSON', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/a', '{"a": ', { 'content-type': 'application/json' });
  const read = await send('/v1/kv/a');
  expect(read.text).toBe('{"a": ');
  expect(read.headers['content-type']).toBe('application/json');
});

test.each(['garbage', ';;;', 'text/plain; charset="', 'a/b/c', 'application/x-www-form-urlencoded', 'text/k\u00f6ln'])(
  'Content-Type %j is kept as it is',
  async (type) => {
    const { put, send } = await serve();
    expect((await put('/v1/kv/a', 'x', { 'content-type': type })).status).toBe(200);
    expect((await send('/v1/kv/a')).headers['content-type']).toBe(type);
  },
);

test('an empty body is an empty value, with or without Content-Length', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/a', '');
  await send('/v1/kv/b', { method: 'PUT', headers: { 'transfer-encoding': 'chunked' } });
  for (const key of ['a', 'b']) {
    const read = await send(`/v1/kv/${key}`);
    expect(read.status).toBe(200);
    expect(read.bytes.length).toBe(0);
    expect(read.headers['content-length']).toBe('0');
  }
});

test('keys: one spelling in, the same key out', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/shop%2Forders+%31', 'x');
  expect((await send('/v1/kv/shop/orders+1')).text).toBe('x');
  expect((await send('/v1/kv/shop/orders%2B1')).text).toBe('x');
  expect((await send('/v1/kv/shop/orders%201')).status).toBe(404);
  expect((await send('/v1/kv/Shop/orders+1')).status).toBe(404);
  await put('/v1/kv/Li4vYQ?keyEncoding=base64url', 'dots');
  expect((await send('/v1/kv/Li4vYQ?keyEncoding=base64url', { headers: { accept: ENTRY } })).json).toMatchObject({
    key: '../a',
    value: 'dots',
  });
  await put('/v1/kv/_-8?keyEncoding=base64url', 'bytes');
  expect((await send('/v1/kv/_-8?keyEncoding=base64url', { headers: { accept: ENTRY } })).json).toMatchObject({
    key: '_-8',
    keyEncoding: 'base64url',
  });
});

test.each([
  '/v1/kv/',
  '/v1/kv//a',
  '/v1/kv/a/../b',
  '/v1/kv/./a',
  '/v1/kv/a//b',
  '/v1/kv/a%2',
  '/v1/kv/%FF',
  '/v1/kv/a%2F..',
])('%s is a bad key for every method', async (target) => {
  const { send } = await serve();
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const answer = await send(target, { method });
    expect(answer.status).toBe(400);
    expect(answer.json['code']).toBe('ERR_BAD_KEY');
  }
});

test('a key of the largest size, every byte of it escaped', async () => {
  const { put, send } = await serve();
  const path = `/v1/kv/${'%61'.repeat(4096)}`;
  expect((await put(path, 'x')).status).toBe(200);
  expect((await send(`/v1/kv/${'a'.repeat(4096)}`)).text).toBe('x');
  const tooLong = await put(`${path}a`, 'x');
  expect(tooLong.status).toBe(413);
  expect(tooLong.json).toMatchObject({ code: 'ERR_TOO_LARGE', limit: 4096 });
});

test('the prefix of keys has one spelling', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/a', 'x');
  expect((await send('/v1/%6Bv/a')).status).toBe(404);
  expect((await send('/V1/kv/a')).status).toBe(404);
});

test('PUT with prev', async () => {
  const { put } = await serve();
  expect((await put('/v1/kv/a?prev=true', 'ä')).json).toEqual({ revision: 1, created: true, prev: null });
  expect((await put('/v1/kv/a?prev=true', Buffer.from([255]))).json).toEqual({
    revision: 2,
    created: false,
    prev: {
      key: 'a',
      value: 'ä',
      encoding: 'utf8',
      createRevision: 1,
      modRevision: 1,
      version: 1,
      lease: null,
      contentType: 'application/octet-stream',
    },
  });
  expect((await put('/v1/kv/a?prev=true', '')).json).toMatchObject({ prev: { value: '/w==', encoding: 'base64' } });
});

test('If-Match and If-None-Match on writes', async () => {
  const { put, send } = await serve();
  const code = async (answer: ReturnType<typeof put>): Promise<unknown> => [
    (await answer).status,
    (await answer).json['code'],
  ];
  const failed = [412, 'ERR_CAS_FAILED'];
  expect(await code(put('/v1/kv/a', 'x', { 'if-match': '*' }))).toEqual(failed);
  expect(await code(put('/v1/kv/a', 'x', { 'if-match': '"0"' }))).toEqual(failed);
  const missing = await put('/v1/kv/a', 'x', { 'if-match': '"1"' });
  expect(missing.json).toMatchObject({
    code: 'ERR_CAS_FAILED',
    current: null,
    revision: 0,
    outcome: 'none',
    retryable: false,
  });
  expect((await put('/v1/kv/a', 'x', { 'if-none-match': '*' })).status).toBe(200);
  const there = await put('/v1/kv/a', 'y', { 'if-none-match': '*' });
  expect(there.status).toBe(412);
  expect(there.json['current']).toMatchObject({ key: 'a', value: 'x', encoding: 'utf8', modRevision: 1 });
  expect((await put('/v1/kv/a', 'y', { 'if-match': '"1"' })).status).toBe(200);
  expect(await code(put('/v1/kv/a', 'z', { 'if-match': '"1"' }))).toEqual(failed);
  expect((await send('/v1/kv/a', { method: 'DELETE', headers: { 'if-match': '"1"' } })).status).toBe(412);
  expect((await send('/v1/kv/a', { method: 'DELETE', headers: { 'if-match': '"2"' } })).json).toEqual({
    revision: 3,
    deleted: 1,
  });
  for (const bad of ['1', 'W/"1"', '"1", "2"', '"x"']) {
    expect(await code(put('/v1/kv/a', 'x', { 'if-match': bad }))).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  }
});

test('conditional reads', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/a', 'x');
  const same = await send('/v1/kv/a', { headers: { 'if-none-match': '"1"' } });
  expect(same.status).toBe(304);
  expect(same.text).toBe('');
  expect(same.headers).toMatchObject({ etag: '"1"', 'x-revision': '1' });
  expect((await send('/v1/kv/a', { headers: { 'if-none-match': '"2"' } })).status).toBe(200);
  expect((await send('/v1/kv/b', { headers: { 'if-none-match': '*' } })).status).toBe(404);
  expect((await send('/v1/kv/a', { headers: { 'if-match': '"1"' } })).status).toBe(200);
  expect((await send('/v1/kv/a', { headers: { 'if-match': '"2"' } })).json['code']).toBe('ERR_CAS_FAILED');
});

test('the entry as JSON', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/k%C3%B6ln', '{"a":1}', { 'content-type': 'application/json' });
  const read = await send('/v1/kv/k%C3%B6ln', { headers: { accept: `${ENTRY}, */*;q=0.1` } });
  expect(read.headers['content-type']).toBe(ENTRY);
  expect(read.json).toEqual({
    key: 'köln',
    value: '{"a":1}',
    encoding: 'utf8',
    createRevision: 1,
    modRevision: 1,
    version: 1,
    lease: null,
    contentType: 'application/json',
  });
});

test('reads at a revision', async () => {
  const { node, put, send } = await serve();
  await put('/v1/kv/a', 'one');
  await put('/v1/kv/a', 'two');
  await put('/v1/kv/a', 'three');
  expect((await send('/v1/kv/a?revision=2')).text).toBe('two');
  const future = await send('/v1/kv/a?revision=4');
  expect([future.status, future.json['code']]).toEqual([400, 'ERR_FUTURE_REVISION']);
  node.forget(2);
  const gone = await send('/v1/kv/a?revision=1');
  expect(gone.status).toBe(410);
  expect(gone.json).toMatchObject({ code: 'ERR_COMPACTED', compactRevision: 2 });
  expect((await send('/v1/kv?revision=1')).json['code']).toBe('ERR_COMPACTED');
});

test('options reach the node', async () => {
  const { node, put, send } = await serve();
  await send('/v1/kv/a?consistency=stale&timeout=250ms');
  await send('/v1/kv/a');
  expect(node.calls.map(({ options }) => options)).toEqual([
    { consistency: 'stale', timeoutMs: 250, signal: expect.any(AbortSignal) },
    { timeoutMs: 4000, signal: expect.any(AbortSignal) },
  ]);
  expect((await put('/v1/kv/a?lease=12', 'x')).json['code']).toBe('ERR_LEASE_NOT_FOUND');
  expect((await put('/v1/kv/a?lease=twelve', 'x')).json).toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
    option: 'lease',
  });
});

test.each([
  '/v1/kv/a?recurse=true',
  '/v1/kv/a?consistency=strong',
  '/v1/kv/a?timeout=2m',
  '/v1/kv/a?revision=0',
  '/v1/kv/a?prev=true',
  '/v1/kv?limit=1001',
  '/v1/kv?limit=5&limit=5',
  '/v1/kv?cursor=x&revision=3',
  '/v1/kv?prefix=a&start=b',
  '/v1/kv?prefix=a&end=b',
  '/v1/cluster?verbose',
  '/readyz?timeout=1s',
  '/metrics?x=1',
])('GET %s: the option is refused by name', async (target) => {
  const { send } = await serve();
  const answer = await send(target);
  expect(answer.status).toBe(400);
  expect(answer.json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', option: expect.any(String) });
});

test('DELETE', async () => {
  const { put, send } = await serve();
  await put('/v1/kv/a', 'x');
  expect((await send('/v1/kv/b', { method: 'DELETE' })).json).toEqual({ revision: 1, deleted: 0 });
  expect((await send('/v1/kv/b?prev=true', { method: 'DELETE' })).json).toEqual({
    revision: 1,
    deleted: 0,
    prev: null,
  });
  expect((await send('/v1/kv/a?prev=true', { method: 'DELETE' })).json).toMatchObject({
    revision: 2,
    deleted: 1,
    prev: { key: 'a', value: 'x' },
  });
  expect((await send('/v1/kv/a')).json['code']).toBe('ERR_KEY_NOT_FOUND');
});

test('DELETE of a range needs a prefix, or all=true', async () => {
  const { put, send } = await serve();
  for (const key of ['a/1', 'a/2', 'b', 'c']) await put(`/v1/kv/${key}`, 'x');
  for (const target of ['/v1/kv', '/v1/kv?prefix=', '/v1/kv?all=false', '/v1/kv?prefix=a&all=true']) {
    const refused = await send(target, { method: 'DELETE' });
    expect([refused.status, refused.json['code']]).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  }
  expect((await send('/v1/kv?prefix=a/', { method: 'DELETE' })).json).toEqual({ revision: 5, deleted: 2 });
  expect((await send('/v1/kv?prefix=a/', { method: 'DELETE' })).json).toEqual({ revision: 5, deleted: 0 });
  expect((await send('/v1/kv?prefix=Yg&keyEncoding=base64url', { method: 'DELETE' })).json).toMatchObject({
    deleted: 1,
  });
  expect((await send('/v1/kv?all=true', { method: 'DELETE' })).json).toMatchObject({ deleted: 1 });
  const conditional = await send('/v1/kv?prefix=a', { method: 'DELETE', headers: { 'if-match': '*' } });
  expect(conditional.status).toBe(400);
});

test('list: pages stay at their revision', async () => {
  const { put, send } = await serve();
  for (let i = 0; i < 40; i++) await put(`/v1/kv/p/${String(i).padStart(2, '0')}`, `v${i}`);
  await put('/v1/kv/q', 'x');
  const first = (await send('/v1/kv?prefix=p/&limit=30')).json;
  expect(first).toMatchObject({ revision: 41, count: 40, nextCursor: expect.any(String) });
  expect(first['entries']).toHaveLength(30);
  await put('/v1/kv/p/35', 'changed');
  await put('/v1/kv/p/99', 'new');
  const second = (await send(`/v1/kv?prefix=p/&limit=30&cursor=${first['nextCursor'] as string}`)).json;
  expect(second).toMatchObject({ revision: 41, count: 40, nextCursor: null });
  expect(second['entries']).toHaveLength(10);
  expect((second['entries'] as { value: string }[])[5]).toMatchObject({ key: 'p/35', value: 'v35' });
});

test('list: ranges, keysOnly, countOnly, empty options', async () => {
  const { put, send } = await serve();
  for (const key of ['a', 'b', 'c']) await put(`/v1/kv/${key}`, 'x');
  const keys = async (query: string): Promise<string[]> =>
    ((await send(`/v1/kv${query}`)).json['entries'] as { key: string }[]).map(({ key }) => key);
  expect(await keys('')).toEqual(['a', 'b', 'c']);
  expect(await keys('?prefix=&start=&end=&cursor=')).toEqual(['a', 'b', 'c']);
  expect(await keys('?start=b')).toEqual(['b', 'c']);
  expect(await keys('?start=a&end=c')).toEqual(['a', 'b']);
  expect(await keys('?prefix=Yg&keyEncoding=base64url')).toEqual(['b']);
  expect((await send('/v1/kv?prefix=b&keysOnly=true')).json['entries']).toEqual([
    { key: 'b', createRevision: 2, modRevision: 2, version: 1, lease: null },
  ]);
  expect((await send('/v1/kv?countOnly=true&limit=1')).json).toEqual({
    revision: 3,
    entries: [],
    count: 3,
    nextCursor: null,
  });
  expect((await send('/v1/kv?cursor=nonsense')).json['code']).toBe('ERR_INVALID_ARGUMENT');
});

test('list: a page of large values ends early, and the rest follows', async () => {
  const { put, send } = await serve();
  for (let i = 0; i < 12; i++) await put(`/v1/kv/${String(i).padStart(2, '0')}`, Buffer.alloc(1_000_000, 'x'));
  const first = (await send('/v1/kv')).json;
  const entries = first['entries'] as object[];
  expect(first).toMatchObject({ count: 12, nextCursor: expect.any(String) });
  expect(entries.length).toBeLessThan(12);
  const rest = (await send(`/v1/kv?cursor=${first['nextCursor'] as string}`)).json;
  expect(rest['entries']).toHaveLength(12 - entries.length);
  expect(rest['nextCursor']).toBeNull();
});

test('a body over the limit', async () => {
  const { node, put, send } = await serve();
  const limit = node.limits.maxValueBytes;
  expect((await put('/v1/kv/a', Buffer.alloc(limit))).status).toBe(200);
  const declared = await put('/v1/kv/a', Buffer.alloc(limit + 1));
  expect(declared.status).toBe(413);
  expect(declared.json).toMatchObject({ code: 'ERR_TOO_LARGE', limit, outcome: 'none' });
  const chunked = await send('/v1/kv/a', {
    method: 'PUT',
    headers: { 'transfer-encoding': 'chunked' },
    body: Buffer.alloc(limit + 1),
  });
  expect(chunked.status).toBe(413);
  expect(node.calls.filter(({ method }) => method === 'put')).toHaveLength(1);
});

test('codings and parts of values are refused, because they would not come back', async () => {
  const { put } = await serve();
  expect((await put('/v1/kv/a', 'x', { 'content-encoding': 'gzip' })).json['code']).toBe('ERR_UNSUPPORTED_MEDIA_TYPE');
  expect((await put('/v1/kv/a', 'x', { 'content-encoding': 'identity' })).status).toBe(200);
  expect((await put('/v1/kv/a', 'x', { 'content-range': 'bytes 0-0/2' })).json['code']).toBe('ERR_INVALID_ARGUMENT');
  expect((await put('/v1/kv/a', 'x', { 'content-type': `a/${'b'.repeat(255)}` })).json['code']).toBe(
    'ERR_INVALID_ARGUMENT',
  );
});

test.each([
  ['ERR_NO_LEADER', 'none', 503, '1'],
  ['ERR_OVERLOADED', 'none', 503, '1'],
  ['ERR_TIMEOUT', 'unknown', 504, undefined],
  ['ERR_QUOTA', 'none', 507, undefined],
] as const)('%s of the node, outcome %s', async (code, outcome, status, retryAfter) => {
  const { node, put } = await serve();
  node.error = new KvorumError(code, 'because', { outcome });
  const answer = await put('/v1/kv/a', 'x', { 'x-request-id': 'req-1' });
  expect(answer.status).toBe(status);
  expect(answer.headers).toMatchObject({ 'content-type': 'application/problem+json', 'x-request-id': 'req-1' });
  expect(answer.headers['retry-after']).toBe(retryAfter);
  expect(answer.json).toMatchObject({
    type: `/docs#${code}`,
    status,
    code,
    outcome,
    detail: 'because',
    requestId: 'req-1',
  });
});

test('a bug is ERR_INTERNAL, logged, and tells nothing', async () => {
  const logged: object[] = [];
  const quiet = (): void => undefined;
  const error = (fields: object): void => void logged.push(fields);
  const { node, put, send } = await serve({ logger: { debug: quiet, info: quiet, warn: quiet, error } });
  node.error = new TypeError('secret details');
  const write = await put('/v1/kv/a', 'x');
  expect([write.status, write.json['code'], write.json['outcome']]).toEqual([500, 'ERR_INTERNAL', 'unknown']);
  expect(write.text).not.toContain('secret');
  expect((await send('/v1/kv/a')).json['outcome']).toBe('none');
  expect(logged).toMatchObject([{ err: node.error, requestId: write.json['requestId'] }, {}]);
});
