import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { buildApp } from '../../src/http/app.ts';
import { startHttp } from '../../src/http/server.ts';
import { FakeNode } from './fake-node.ts';
import { eventually, serve } from './wire.ts';

const STANDARD_HEADERS = {
  'x-group': '1',
  'x-revision': '0',
  'x-raft-term': '3',
  'x-served-by': 'n1',
  'x-request-id': expect.stringMatching(/^[\w-]+$/u),
};

test('inject() works, for tests of programs that mount the API', async () => {
  const app = buildApp(new FakeNode());
  const put = await app.inject({ method: 'PUT', url: '/v1/kv/a%20b', payload: 'x' });
  expect(put.json()).toEqual({ revision: 1, created: true });
  expect((await app.inject('/v1/kv/a%20b')).body).toBe('x');
  await app.close();
});

test.each([
  '/',
  '/v1',
  '/v1/',
  '/v1/txn/',
  '/v1/watches',
  '/v1/locks/a/b',
  '/v1/locks/a/b/acquire',
  '/v1/leases/1/renew/',
  '/docs/',
  '/favicon.ico',
  '/v1/cluster/',
])('%s: 404 problem', async (target) => {
  const { send } = await serve();
  for (const method of ['GET', 'POST', 'PROPFIND']) {
    const answer = await send(target, { method, headers: { 'content-type': 'text/x' } });
    expect(answer.status).toBe(404);
    expect(answer.headers).toMatchObject(STANDARD_HEADERS);
    expect(answer.json).toMatchObject({ code: 'ERR_NOT_FOUND', status: 404, type: '/docs#ERR_NOT_FOUND' });
  }
});

test.each([
  ['POST', '/v1/kv/a', 'GET, HEAD, PUT, DELETE'],
  ['OPTIONS', '/v1/kv/a%2Fb', 'GET, HEAD, PUT, DELETE'],
  ['PUT', '/v1/kv?prefix=a', 'GET, DELETE'],
  ['PROPFIND', '/v1/kv/a', 'GET, HEAD, PUT, DELETE'],
  ['DELETE', '/v1/cluster', 'GET'],
  ['GET', '/v1/cluster/transfer-leadership', 'POST'],
  ['PUT', '/v1/cluster/members', 'GET, POST'],
  ['POST', '/v1/cluster/watch', 'GET'],
  ['GET', '/v1/cluster/members/n%2F1', 'DELETE'],
  ['DELETE', '/v1/cluster/members/n1/promote', 'POST'],
  ['GET', '/v1/txn', 'POST'],
  ['PROPFIND', '/v1/locks/a%2Fb/acquire', 'POST'],
  ['PUT', '/v1/locks/a%2Fb', 'GET, DELETE'],
  ['PUT', '/v1/leases', 'POST, GET'],
  ['POST', '/livez', 'GET'],
])('%s %s: 405 with Allow', async (method, target, allow) => {
  const { send } = await serve();
  const answer = await send(target, { method, body: 'x' });
  expect(answer.status).toBe(405);
  expect(answer.headers).toMatchObject({ ...STANDARD_HEADERS, allow });
  expect(answer.json).toMatchObject({ code: 'ERR_METHOD_NOT_ALLOWED' });
});

test('a path that cannot be decoded', async () => {
  const { send } = await serve();
  const answer = await send('/v1/%FF');
  expect([answer.status, answer.json['code']]).toEqual([400, 'ERR_INVALID_ARGUMENT']);
});

test('X-Request-Id is echoed when it is harmless, else made', async () => {
  const { send } = await serve();
  const echo = async (id: string): Promise<unknown> =>
    (await send('/livez', { headers: { 'x-request-id': id } })).headers['x-request-id'];
  expect(await echo('abc-123:~!')).toBe('abc-123:~!');
  expect(await echo('a'.repeat(128))).toBe('a'.repeat(128));
  for (const bad of ['a'.repeat(129), 'a b', '', 'k\u00f6ln']) expect(await echo(bad)).toMatch(/^[\w-]{9,}$/u);
  const [one, two] = [await echo(''), await echo('')];
  expect(one).not.toBe(two);
});

test('GET /v1/cluster', async () => {
  const { node, send } = await serve();
  const answer = await send('/v1/cluster');
  expect(answer.headers).toMatchObject({ ...STANDARD_HEADERS, 'content-type': 'application/json' });
  expect(answer.json).toEqual(node.cluster());
});

test('POST /v1/cluster/transfer-leadership', async () => {
  const { send } = await serve();
  const post = async (body: string, type?: string): Promise<unknown[]> => {
    const headers = type === undefined ? {} : { 'content-type': type };
    const answer = await send('/v1/cluster/transfer-leadership', { method: 'POST', body, headers });
    return [answer.status, answer.json['code'] ?? answer.json];
  };
  const json = 'application/json';
  expect(await post('{"to":"n2"}', json)).toEqual([200, { leader: 'n2' }]);
  expect(await post('{}', 'Application/JSON; charset=utf-8')).toEqual([200, { leader: 'n2' }]);
  expect(await post('{"to":"n9"}', json)).toEqual([404, 'ERR_NOT_FOUND']);
  expect(await post('{}', 'text/plain')).toEqual([415, 'ERR_UNSUPPORTED_MEDIA_TYPE']);
  expect(await post('')).toEqual([415, 'ERR_UNSUPPORTED_MEDIA_TYPE']);
  for (const bad of ['', '{', '[]', 'null', '{"to":1}', '{"to":""}', '{"too":"n2"}', '{"__proto__":{}}', '\xff']) {
    expect(await post(bad, json)).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  }
  expect(await post(`{"to":"${'a'.repeat(70_000)}"}`, json)).toEqual([413, 'ERR_TOO_LARGE']);
});

test('probes', async () => {
  const { node, send } = await serve();
  expect((await send('/livez')).text).toBe('ok\n');
  expect((await send('/readyz')).text).toBe('ok\n');
  expect((await send('/readyz?verbose')).text).toMatch(/^(?:\[\+\][\w-]+ ok: .+\n){5}readyz check passed\n$/u);
  node.ready = false;
  node.leader = null;
  expect((await send('/livez?verbose')).text).toBe('[+]node ok: running\nlivez check passed\n');
  const unready = await send('/readyz');
  expect(unready.status).toBe(503);
  expect(unready.headers['content-type']).toBe('text/plain; charset=utf-8');
  expect(unready.text).toContain('[-]leader failed: no leader is known\n');
  expect(unready.text).toContain('readyz check failed\n');
  expect((await send('/v1/cluster')).json['leader']).toBeNull();
  node.fail(new Error('disk is gone'));
  await sleep(0);
  const dead = await send('/livez');
  expect([dead.status, dead.text]).toEqual([503, '[-]node failed: stopped: disk is gone\nlivez check failed\n']);
  expect((await send('/readyz')).text).toContain('[-]node failed');
});

test('a token guards everything but probes and documents', async () => {
  const { send } = await serve({ token: 'correct horse' });
  const token = 'correct-horse-battery';
  const { send: guarded } = await serve({ token });
  const get = (target: string, authorization?: string, method = 'GET') =>
    guarded(target, { method, headers: authorization === undefined ? {} : { authorization } });
  for (const target of ['/v1/kv/a', '/v1/kv', '/v1/cluster', '/v1/nothing', '/metrics']) {
    for (const wrong of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      `Basic ${token}`,
      'Bearer wrong',
      `Bearer ${token}x`,
      token,
    ]) {
      const refused = await get(target, wrong);
      expect(refused.status).toBe(401);
      expect(refused.json).toMatchObject({ code: 'ERR_UNAUTHENTICATED', outcome: 'none' });
      expect(refused.headers['www-authenticate']).toMatch(/^Bearer/u);
    }
    expect((await get(target, `Bearer ${token}`)).status).not.toBe(401);
    expect((await get(target, `bearer ${token}`)).status).not.toBe(401);
  }
  expect((await get('/v1/kv/a', undefined, 'PUT')).status).toBe(401);
  expect((await get('/v1/kv/a', undefined, 'PATCH')).status).toBe(401);
  for (const target of ['/livez', '/readyz', '/openapi.json', '/docs']) expect((await get(target)).status).toBe(200);
  expect((await send('/v1/cluster')).status).toBe(401);
});

test('CORS is off unless asked for', async () => {
  const { send } = await serve();
  const origin = { origin: 'https://app.test', 'access-control-request-method': 'PUT' };
  expect((await send('/v1/kv/a', { headers: origin })).headers['access-control-allow-origin']).toBeUndefined();
  expect((await send('/v1/kv/a', { method: 'OPTIONS', headers: origin })).status).toBe(405);

  const { send: open, put } = await serve({ corsOrigin: 'https://app.test', token: 'secret-token' });
  const preflight = await open('/v1/kv/a', { method: 'OPTIONS', headers: origin });
  expect(preflight.status).toBe(204);
  expect(preflight.headers).toMatchObject({
    'access-control-allow-origin': 'https://app.test',
    'access-control-allow-methods': 'GET, HEAD, PUT, DELETE',
    'access-control-allow-headers': expect.stringContaining('If-Match'),
    vary: 'Origin',
  });
  const written = await put('/v1/kv/a', 'x', { authorization: 'Bearer secret-token' });
  expect(written.headers['access-control-expose-headers']).toMatch(
    /ETag.*X-Revision.*X-Request-Id.*Idempotency-Replayed/u,
  );
  expect(preflight.headers['access-control-allow-headers']).toMatch(/Last-Event-ID.*Idempotency-Key.*Kvorum-Session/u);
  const refused = await put('/v1/kv/a', 'x');
  expect(refused.headers['access-control-allow-origin']).toBe('https://app.test');
});

test('metrics', async () => {
  const { node, put, send } = await serve();
  await put('/v1/kv/a', 'x');
  await send('/v1/kv/a');
  await send('/v1/kv/b');
  await send('/nowhere');
  const release = node.hold();
  const held = send('/v1/kv/a');
  await eventually(() => node.calls.length === 4);
  const { text, headers } = await send('/metrics');
  release();
  await held;
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  const lines = text.split('\n');
  expect(lines).toEqual(
    expect.arrayContaining([
      'kvorum_http_requests_total{method="PUT",route="/v1/kv/{key}",status="200"} 1',
      'kvorum_http_requests_total{method="GET",route="/v1/kv/{key}",status="200"} 1',
      'kvorum_http_requests_total{method="GET",route="/v1/kv/{key}",status="404"} 1',
      'kvorum_http_requests_total{method="",route="(none)",status="404"} 1',
      'kvorum_http_request_duration_seconds_bucket{le="+Inf",method="PUT",route="/v1/kv/{key}",status="200"} 1',
      'kvorum_http_request_duration_seconds_count{method="PUT",route="/v1/kv/{key}",status="200"} 1',
      'kvorum_http_inflight_requests 2',
      'kvorum_http_shed_total{reason="requests"} 0',
    ]),
  );
});

test('metrics go into the registry of the node and out of it again', async () => {
  const node = new FakeNode();
  for (let i = 0; i < 2; i++) {
    const server = await startHttp(node, { port: 0 });
    expect(node.registry.getSingleMetric('kvorum_http_requests_total')).toBeDefined();
    await server.close();
    expect(node.registry.getMetricsAsArray()).toEqual([]);
  }
});

test('too many requests at the same time: 503 at once, probes excepted', async () => {
  const { node, send, put } = await serve({ maxInflightRequests: 2 });
  const release = node.hold();
  const held = [put('/v1/kv/a', 'x'), send('/v1/kv/a')];
  await eventually(() => node.calls.length === 2);
  for (const answer of [
    await send('/v1/kv/a'),
    await put('/v1/kv/a', Buffer.alloc(1000)),
    await send('/openapi.json'),
  ]) {
    expect(answer.status).toBe(503);
    expect(answer.json).toMatchObject({ code: 'ERR_OVERLOADED', retryable: true, outcome: 'none' });
    expect(answer.headers['retry-after']).toBe('1');
  }
  for (const target of ['/livez', '/readyz']) expect((await send(target)).status).toBe(200);
  expect((await send('/metrics')).text).toContain('kvorum_http_shed_total{reason="requests"} 3');
  release();
  expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200]);
  expect((await send('/v1/kv/a')).status).toBe(200);
});

test('too many bytes of bodies at the same time', async () => {
  const { node, send, put } = await serve({ maxInflightBodyBytes: 1000 });
  const release = node.hold();
  const held = put('/v1/kv/a', Buffer.alloc(900));
  await eventually(() => node.calls.length === 1);
  const refused = await put('/v1/kv/b', Buffer.alloc(101));
  expect([refused.status, refused.json['code']]).toEqual([503, 'ERR_OVERLOADED']);
  const small = put('/v1/kv/c', Buffer.alloc(100));
  await eventually(() => node.calls.length === 2);
  expect((await send('/metrics')).text).toContain('kvorum_http_inflight_body_bytes 1000');
  release();
  await Promise.all([held, small]);
  expect((await put('/v1/kv/b', Buffer.alloc(1000))).status).toBe(200);
});

test('an event loop that falls behind sends clients away, and takes them back', async () => {
  const { send } = await serve({ maxEventLoopDelayMs: 100 });
  expect((await send('/v1/cluster')).status).toBe(200);
  // What a burst of other work does to this process. The request is there when the loop comes back.
  const late = send('/v1/cluster');
  await new Promise((resolve) => setImmediate(resolve));
  const until = performance.now() + 300;
  while (performance.now() < until);
  expect((await late).json).toMatchObject({ code: 'ERR_OVERLOADED' });
  expect((await send('/livez')).status).toBe(200);
  let again = await send('/v1/cluster');
  while (again.status === 503) again = await send('/v1/cluster');
  expect(again.status).toBe(200);
});

test('the documents', async () => {
  const { send } = await serve();
  const openapi = await send('/openapi.json');
  expect(openapi.headers['content-type']).toBe('application/json');
  expect(openapi.json).toMatchObject({
    openapi: '3.1.1',
    paths: { '/v1/kv/{key}': { put: { operationId: 'putKey' } } },
  });
  const page = await send('/docs');
  expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
  expect(page.headers['content-security-policy']).toContain("default-src 'none'");
  expect(page.text).toContain('<code>/v1/kv/{key}</code>');
  expect(page.text).toContain('id="ERR_CAS_FAILED"');
  // Nothing to fetch from anywhere.
  expect(page.text).not.toMatch(/<(?:script|link|img|iframe)\b|@import|url\(|https?:\/\//u);
});
