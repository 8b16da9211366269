/** Leases, locks, elections, barriers and counters, row by row. */
import { expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import { eventually, serve, Wire } from './wire.ts';

test('a lease, from its making to its end', async () => {
  const { node, post, send } = await serve();
  const made = await post('/v1/leases', { ttl: '20s', owner: { host: 'a' } });
  expect([made.status, made.json]).toEqual([201, { id: '41', ttlMs: 20_000 }]);
  expect((await post('/v1/leases', {})).json).toEqual({ id: '42', ttlMs: 15_000 });
  expect((await post('/v1/leases', { ttl: 1000, owner: null })).json).toEqual({ id: '43', ttlMs: 1000 });
  const renewed = await send('/v1/leases/41/renew?timeout=1s', { method: 'POST' });
  expect([renewed.status, renewed.json]).toEqual([200, { id: '41', ttlMs: 20_000 }]);
  expect(node.calls.at(-1)).toMatchObject({ args: ['41'], options: { timeoutMs: 1000 } });
  expect((await post('/v1/leases/41/renew', {})).status).toBe(200);
  await post('/v1/locks/a/acquire', { lease: '41' });
  const lease = { id: '41', ttlMs: 20_000, remainingMs: 20_000, owner: { host: 'a' }, keys: [], locks: ['a'] };
  expect((await send('/v1/leases/41')).json).toEqual(lease);
  const list = (await send('/v1/leases')).json;
  expect(list).toMatchObject({ leases: [lease, { id: '42' }, { id: '43' }], next: null });
  expect((await send('/v1/leases?limit=2')).json).toMatchObject({ leases: [{ id: '41' }, { id: '42' }], next: '42' });
  expect((await send('/v1/leases?limit=2&after=42')).json).toMatchObject({ leases: [{ id: '43' }], next: null });
  const ended = await send('/v1/leases/41', { method: 'DELETE' });
  expect([ended.status, ended.json]).toEqual([200, { revision: 0, deleted: 0 }]);
  for (const answer of [
    await send('/v1/leases/41'),
    await send('/v1/leases/41', { method: 'DELETE' }),
    await send('/v1/leases/41/renew', { method: 'POST' }),
    await post('/v1/locks/b/acquire', { lease: '41' }),
    await send('/v1/kv/a?lease=41', { method: 'PUT' }),
  ]) {
    expect([answer.status, answer.json['code']]).toEqual([410, 'ERR_LEASE_NOT_FOUND']);
  }
});

test('a key hangs on a lease', async () => {
  const { node, post, put, send } = await serve();
  await post('/v1/leases', {});
  expect((await put('/v1/kv/a?lease=41', 'x')).status).toBe(200);
  expect(node.calls.at(-2)).toMatchObject({ method: 'put', options: { lease: '41' } });
  expect((await send('/v1/kv')).json['entries']).toMatchObject([{ key: 'a', lease: '41' }]);
});

test.each(['abc', '', '-1', '1e3', '%31x', '9'.repeat(21), 'a%2Fb'])('a lease id %j', async (id) => {
  const { node, send } = await serve();
  for (const [method, target] of [
    ['GET', `/v1/leases/${id}`],
    ['DELETE', `/v1/leases/${id}`],
    ['POST', `/v1/leases/${id}/renew`],
  ] as const) {
    expect((await send(target, { method })).json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  }
  expect(node.calls).toEqual([]);
});

test('a lock, from its holder to the next', async () => {
  const { node, post, send } = await serve();
  const held = await post('/v1/locks/orders%2F42/acquire', { ttl: '15s', owner: 'me' });
  expect([held.status, held.json]).toEqual([200, { name: 'orders/42', token: 42, lease: '41', ttlMs: 15_000 }]);
  const holder = { token: 42, lease: '41', mode: 'write', owner: 'me', since: 1_800_000_000_000 };
  const refused = await post('/v1/locks/orders%2F42/acquire', {});
  expect(refused.status).toBe(409);
  expect(refused.json).toMatchObject({ code: 'ERR_LOCK_HELD', retryable: true, outcome: 'none', holder });
  expect((await post('/v1/locks/orders%2F42/acquire', { lease: '41' })).json['token']).toBe(42);
  const lock = { name: 'orders/42', kind: 'lock', limit: 1, holders: [holder], queue: [] };
  expect((await send('/v1/locks/orders%2F42')).json).toEqual(lock);
  expect((await send('/v1/locks?prefix=orders/')).json).toEqual({ locks: [lock], next: null });
  expect((await send('/v1/locks?prefix=x')).json).toEqual({ locks: [], next: null });
  expect((await send('/v1/locks?limit=1')).json).toEqual({ locks: [lock], next: 'orders/42' });
  expect((await send('/v1/locks?limit=1&after=orders%2F42')).json).toEqual({ locks: [], next: null });
  for (const who of [{ lease: '41' }, { token: 42 }]) {
    expect((await post('/v1/locks/orders%2F42/renew', who)).json).toEqual({ ttlMs: 15_000 });
    expect(node.calls.at(-1)!.args).toEqual(['orders/42', who]);
  }
  const release = async (): Promise<unknown> => (await post('/v1/locks/orders%2F42/release', { token: 42 })).json;
  expect(await release()).toEqual({ released: true });
  expect(await release()).toEqual({ released: false });
  const lost = await post('/v1/locks/orders%2F42/renew', { token: 42 });
  expect([lost.status, lost.json['code']]).toEqual([410, 'ERR_LOCK_LOST']);
  await post('/v1/locks/orders%2F42/acquire', {});
  const broken = await send('/v1/locks/orders%2F42', { method: 'DELETE' });
  expect([broken.status, broken.json]).toEqual([200, { broken: 1 }]);
  expect((await send('/v1/locks/orders%2F42')).json).toEqual({ ...lock, holders: [] });
});

test('what can be said when acquiring', async () => {
  const { node, post } = await serve();
  const granted = { revision: 1, name: 'a', token: 7, lease: '41', ttlMs: 9000 };
  node.script.set('locks.acquire', () => granted);
  const ask = async (body: object, target = '/v1/locks/a/acquire'): Promise<unknown> => {
    expect((await post(target, body)).status).toBe(200);
    const { signal, ...options } = node.calls.at(-1)!.options;
    expect(signal).toBeInstanceOf(AbortSignal);
    return options;
  };
  expect(await ask({})).toEqual({ timeoutMs: 4000 });
  expect(
    await ask({ lease: '41', wait: '5s', owner: [1], mode: 'read', delay: '2s' }, '/v1/locks/a/acquire?timeout=9s'),
  ).toEqual({ timeoutMs: 9000, lease: '41', waitMs: 5000, owner: [1], mode: 'read', delayMs: 2000 });
  expect(await ask({ ttl: '1m', permits: 3, wait: 0 })).toEqual({
    timeoutMs: 4000,
    ttlMs: 60_000,
    waitMs: 0,
    permits: 3,
  });
  expect(await ask({ mode: 'exclusive', wait: '60s' })).toEqual({ timeoutMs: 4000, waitMs: 60_000, mode: 'exclusive' });
});

test('a client that hangs up leaves the queue', async () => {
  const { node, port } = await serve();
  node.hold();
  const wire = new Wire(port);
  wire.write(
    'POST /v1/locks/a/acquire HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"wait":"60s"}',
  );
  await eventually(() => node.calls.length === 1);
  const { signal } = node.calls[0]!.options;
  expect(signal!.aborted).toBe(false);
  wire.socket.destroy();
  await eventually(() => signal!.aborted);
});

test('an election', async () => {
  const { post, send } = await serve();
  const nobody = { name: 'a/b', leader: null, value: null, token: null };
  expect((await send('/v1/elections/a%2Fb')).json).toEqual(nobody);
  const elected = await post('/v1/elections/a%2Fb/campaign', { ttl: '15s', value: 'n1', owner: { pid: 1 } });
  expect([elected.status, elected.json]).toEqual([200, { name: 'a/b', token: 42, lease: '41', ttlMs: 15_000 }]);
  const leader = { name: 'a/b', leader: { lease: '41', owner: { pid: 1 } }, value: 'n1', token: 42 };
  expect((await send('/v1/elections/a%2Fb')).json).toEqual(leader);
  expect((await post('/v1/elections/a%2Fb/campaign', {})).json).toMatchObject({ code: 'ERR_LOCK_HELD', holder: {} });
  const said = await post('/v1/elections/a%2Fb/proclaim', { token: 42, value: 'n1:8080' });
  expect([said.status, said.json]).toEqual([200, { proclaimed: true }]);
  expect((await send('/v1/elections/a%2Fb')).json).toEqual({ ...leader, value: 'n1:8080' });
  const lost = await post('/v1/elections/a%2Fb/proclaim', { token: 7, value: '' });
  expect([lost.status, lost.json['code']]).toEqual([410, 'ERR_LOCK_LOST']);
  const resign = async (): Promise<unknown> => (await post('/v1/elections/a%2Fb/resign', { token: 42 })).json;
  expect(await resign()).toEqual({ resigned: true });
  expect(await resign()).toEqual({ resigned: false });
});

test('observing an election', async () => {
  const { node, listen } = await serve();
  const stream = await listen('/v1/elections/a/observe');
  expect(stream.response.headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-served-by': 'n1',
  });
  const nobody = { name: 'a', leader: null, value: null, token: null };
  await stream.until(({ data }) => data.length === 1);
  const elected = { name: 'a', leader: { lease: '41', owner: null }, value: 'x', token: 42 };
  node.coordination.observations[0]!.push(elected);
  await stream.until(({ data }) => data.length === 2);
  expect(stream.data).toEqual([nobody, elected]);
  expect(stream.events.every(({ event, id }) => event === undefined && id === undefined)).toBe(true);
  stream.close();
  await eventually(() => node.coordination.observations[0]!.closed);
});

test('an observation that fails: before it begins by a problem, later by an event', async () => {
  const { node, listen, send } = await serve();
  node.error = new KvorumError('ERR_NO_LEADER', 'nobody');
  const refused = await send('/v1/elections/a/observe');
  expect([refused.status, refused.json['code']]).toEqual([503, 'ERR_NO_LEADER']);
  expect(node.coordination.observations[0]!.closed).toBe(true);
  node.error = null;
  const stream = await listen('/v1/elections/a/observe', { 'x-request-id': 'r-1' });
  await stream.until(({ data }) => data.length === 1);
  node.coordination.observations[1]!.push(new KvorumError('ERR_CLOSED', 'the node is closed'));
  await stream.until(({ ended }) => ended);
  const last = stream.events.at(-1)!;
  expect(last.event).toBe('error');
  expect(JSON.parse(last.data!)).toMatchObject({ code: 'ERR_CLOSED', status: 503, requestId: 'r-1' });
  // One that ends without a word ends all the same.
  const other = await listen('/v1/elections/a/observe');
  await other.until(({ data }) => data.length === 1);
  node.coordination.observations[2]!.close();
  await other.until(({ ended }) => ended);
  expect(JSON.parse(other.events.at(-1)!.data!)).toMatchObject({ code: 'ERR_CLOSED' });
});

test('a barrier', async () => {
  const { node, post, send } = await serve();
  expect((await send('/v1/barriers/a')).json).toEqual({ name: 'a', parties: 3, entered: 1 });
  const early = await post('/v1/barriers/a/enter', { parties: 2 });
  expect([early.status, early.json]).toEqual([409, expect.objectContaining({ code: 'ERR_LOCK_HELD', entered: 1 })]);
  const entered = await post('/v1/barriers/a/enter', { parties: 1, wait: '1s', owner: 'me', ttl: '9s' });
  expect([entered.status, entered.json]).toEqual([200, { name: 'a', token: 42, lease: '41', ttlMs: 9000 }]);
  expect(node.calls.at(-1)!.options).toMatchObject({ parties: 1, waitMs: 1000, owner: 'me', ttlMs: 9000 });
});

test('a counter', async () => {
  const { node, post, send } = await serve();
  expect((await send('/v1/counters/a%20b')).json).toEqual({ name: 'a b', value: 0 });
  expect((await post('/v1/counters/a%20b/add', { delta: 5 })).json).toEqual({ name: 'a b', value: 5 });
  expect((await post('/v1/counters/a%20b/add', {})).json).toEqual({ name: 'a b', value: 6 });
  expect((await post('/v1/counters/a%20b/add', { delta: -6 })).json).toEqual({ name: 'a b', value: 0 });
  const remove = async (): Promise<unknown> => (await send('/v1/counters/a%20b', { method: 'DELETE' })).json;
  expect([await remove(), await remove()]).toEqual([{ deleted: true }, { deleted: false }]);
  node.error = new KvorumError('ERR_INVALID_ARGUMENT', 'the sum is no safe integer');
  expect((await post('/v1/counters/a/add', { delta: 1 })).status).toBe(400);
});

// --- bad input ---------------------------------------------------------------------------------------------------

const LONG = 'x'.repeat(4096);

const ACQUIRE_FAULTS: readonly [string, object][] = [
  ['lease', { lease: 41 }],
  ['lease', { lease: 'abc' }],
  ['lease', { lease: null }],
  ['ttl', { ttl: '999ms' }],
  ['ttl', { ttl: 0 }],
  ['ttl', { ttl: '25h' }],
  ['ttl', { ttl: 'soon' }],
  ['ttl', { ttl: 1500.5 }],
  ['ttl', { lease: '41', ttl: '15s' }],
  ['wait', { wait: '61s' }],
  ['wait', { wait: -1 }],
  ['wait', { wait: true }],
  ['owner', { owner: LONG }],
  ['owner', { owner: JSON.parse(`${'['.repeat(99)}${']'.repeat(99)}`) }],
  ['color', { color: 'red' }],
];

test.each<[string, string, object]>([
  ...ACQUIRE_FAULTS.map(([field, body]): [string, string, object] => [field, '/v1/locks/a/acquire', body]),
  ...ACQUIRE_FAULTS.map(([field, body]): [string, string, object] => [field, '/v1/elections/a/campaign', body]),
  ...ACQUIRE_FAULTS.map(([field, body]): [string, string, object] => [
    field,
    '/v1/barriers/a/enter',
    { parties: 2, ...body },
  ]),
  ['ttl', '/v1/leases', { ttl: 999 }],
  ['ttl', '/v1/leases', { ttl: null }],
  ['owner', '/v1/leases', { owner: LONG }],
  ['lease', '/v1/leases', { lease: '41' }],
  ['force', '/v1/leases/1/renew', { force: true }],
  ['mode', '/v1/locks/a/acquire', { mode: 'shared' }],
  ['mode', '/v1/locks/a/acquire', { mode: 'read', permits: 2 }],
  ['permits', '/v1/locks/a/acquire', { permits: 0 }],
  ['permits', '/v1/locks/a/acquire', { permits: '2' }],
  ['delay', '/v1/locks/a/acquire', { delay: '-1s' }],
  ['delay', '/v1/locks/a/acquire', { delay: '25h' }],
  ['lease', '/v1/locks/a/renew', {}],
  ['token', '/v1/locks/a/renew', { token: 0 }],
  ['token', '/v1/locks/a/renew', { token: 1, lease: '41' }],
  ['lease', '/v1/locks/a/release', {}],
  ['lease', '/v1/locks/a/release', { lease: 7 }],
  ['token', '/v1/locks/a/release', { token: '7' }],
  ['ttl', '/v1/locks/a/release', { token: 7, ttl: 1 }],
  ['value', '/v1/elections/a/campaign', { value: 7 }],
  ['value', '/v1/elections/a/campaign', { value: `${LONG}x` }],
  ['token', '/v1/elections/a/proclaim', { value: '' }],
  ['token', '/v1/elections/a/proclaim', { token: null, value: '' }],
  ['value', '/v1/elections/a/proclaim', { token: 7 }],
  ['value', '/v1/elections/a/proclaim', { token: 7, value: '\ud800' }],
  ['lease', '/v1/elections/a/proclaim', { token: 7, value: '', lease: '41' }],
  ['token', '/v1/elections/a/resign', {}],
  ['token', '/v1/elections/a/resign', { token: 1.5 }],
  ['lease', '/v1/elections/a/resign', { token: 7, lease: '41' }],
  ['parties', '/v1/barriers/a/enter', {}],
  ['parties', '/v1/barriers/a/enter', { parties: 0 }],
  ['parties', '/v1/barriers/a/enter', { parties: '2' }],
  ['delta', '/v1/counters/a/add', { delta: '1' }],
  ['delta', '/v1/counters/a/add', { delta: 1.5 }],
  ['delta', '/v1/counters/a/add', { delta: 2 ** 53 }],
  ['by', '/v1/counters/a/add', { by: 1 }],
])('field %s of %s at fault: %j', async (field, target, body) => {
  const { node, post } = await serve();
  const answer = await post(target, body);
  expect(answer.status).toBe(400);
  expect(answer.json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', outcome: 'none', field });
  expect(answer.json['detail']).toContain(`"${field}"`);
  expect(node.calls).toEqual([]);
});

const BODIES = [
  '/v1/leases',
  '/v1/locks/a/acquire',
  '/v1/locks/a/renew',
  '/v1/locks/a/release',
  '/v1/elections/a/campaign',
  '/v1/elections/a/proclaim',
  '/v1/elections/a/resign',
  '/v1/barriers/a/enter',
  '/v1/counters/a/add',
  '/v1/compact',
];

test.each(BODIES)('%s wants JSON, and an object', async (target) => {
  const { node, send } = await serve();
  const ask = async (body: string, type?: string): Promise<unknown[]> => {
    const headers = type === undefined ? {} : { 'content-type': type };
    const answer = await send(target, { method: 'POST', body, headers });
    return [answer.status, answer.json['code']];
  };
  expect(await ask('{}', 'text/plain')).toEqual([415, 'ERR_UNSUPPORTED_MEDIA_TYPE']);
  expect(await ask('')).toEqual([415, 'ERR_UNSUPPORTED_MEDIA_TYPE']);
  for (const bad of ['', '{', '[]', 'null', '"a"', '{"__proto__":{}}']) {
    expect(await ask(bad, 'application/json')).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  }
  expect(await ask(`{"x":"${'a'.repeat(70_000)}"}`, 'application/json')).toEqual([413, 'ERR_TOO_LARGE']);
  expect(node.calls).toEqual([]);
});

test('renewing a lease takes no body, and no other one than JSON', async () => {
  const { send } = await serve();
  const answer = await send('/v1/leases/41/renew', { method: 'POST', body: 'x', headers: { 'content-type': 'a/b' } });
  expect(answer.status).toBe(415);
});

const NAMED = [
  ['GET', '/v1/locks/NAME'],
  ['DELETE', '/v1/locks/NAME'],
  ['POST', '/v1/locks/NAME/acquire'],
  ['POST', '/v1/locks/NAME/renew'],
  ['POST', '/v1/locks/NAME/release'],
  ['GET', '/v1/elections/NAME'],
  ['GET', '/v1/elections/NAME/observe'],
  ['POST', '/v1/elections/NAME/campaign'],
  ['POST', '/v1/elections/NAME/proclaim'],
  ['POST', '/v1/elections/NAME/resign'],
  ['GET', '/v1/barriers/NAME'],
  ['POST', '/v1/barriers/NAME/enter'],
  ['GET', '/v1/counters/NAME'],
  ['POST', '/v1/counters/NAME/add'],
  ['DELETE', '/v1/counters/NAME'],
] as const;

test.each(NAMED)('names: %s %s', async (method, path) => {
  const { node, send } = await serve();
  const ask = (name: string, query = '') =>
    send(path.replace('NAME', name) + query, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(method === 'POST' && { body: '{"token":1,"parties":1,"value":""}' }),
    });
  const bad = ['.', '..', '%2E%2e', '%FF', 'a%2', 'x'.repeat(513), '%C3%B6'.repeat(257), 'a%23b#c'];
  for (const name of bad) {
    const answer = await ask(name);
    expect([400, 404, 405]).toContain(answer.status);
    if (!name.includes('#')) expect(answer.json['code']).toBe('ERR_INVALID_ARGUMENT');
  }
  const unknown = await ask('a', '?ttl=1');
  expect(unknown.json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', option: 'ttl' });
  expect(node.calls).toEqual([]);
  if (method === 'POST') return;
  for (const [name, meant] of [
    ['a%2Fb+c%20%25', 'a/b+c %'],
    ['%252F', '%2F'],
    ['x'.repeat(512), 'x'.repeat(512)],
    ['%C3%B6'.repeat(256), '\u00f6'.repeat(256)],
    ['acquire', 'acquire'],
  ] as const) {
    if (path.endsWith('observe')) break;
    expect((await ask(name)).status).toBe(200);
    expect(node.calls.at(-1)!.args[0]).toBe(meant);
  }
});

test('one spelling of a path', async () => {
  const { send } = await serve();
  expect((await send('/v1/l%6Fcks/a')).json['code']).toBe('ERR_NOT_FOUND');
});
