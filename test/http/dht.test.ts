/** The DHT over HTTP. */
import { expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { N2_PEER } from './fake-dht.ts';
import { eventually, serve, Wire } from './wire.ts';

const SEARCH = {
  outcome: 'complete',
  cost: { requests: 1, failures: 0, hops: 1, elapsedMs: 2 },
  closest: [N2_PEER],
};

test('a value, put and got, with how it was found', async () => {
  const { put, send } = await serve();
  const stored = await put('/v1/dht/values/greeting', 'hello');
  expect([stored.status, stored.json]).toEqual([
    200,
    { key: 'greeting', seq: 1_800_000_000_001, stored: 2, refused: {}, target: expect.any(String), ...SEARCH },
  ]);
  const got = await send('/v1/dht/values/greeting');
  expect([got.status, got.json]).toEqual([
    200,
    {
      ...{ key: 'greeting', value: 'hello', encoding: 'utf8', seq: 1_800_000_000_001, notAfterMs: 1_800_086_400_000 },
      ...{ node: '101', peerId: '12D3KooWFake', target: stored.json['target'], ...SEARCH },
    },
  ]);
});

test('bytes that are no text come as base64, and nothing is something', async () => {
  const { put, send } = await serve();
  await put('/v1/dht/values/a%2Fb', Uint8Array.of(0xff, 0));
  expect((await send('/v1/dht/values/a%2fb')).json).toMatchObject({ key: 'a/b', value: '/wA=', encoding: 'base64' });
  await put('/v1/dht/values/empty');
  expect((await send('/v1/dht/values/empty')).json).toMatchObject({ value: '', encoding: 'utf8' });
});

test('what is not found is a problem that says how many were asked, and how', async () => {
  const { node, send } = await serve();
  const none = await send('/v1/dht/values/nothing?trace=true');
  expect([none.status, none.json]).toEqual([
    404,
    expect.objectContaining({
      code: 'ERR_NOT_FOUND',
      detail: 'none of those asked has, in 1 request: a value under this key',
      search: expect.objectContaining({
        outcome: 'complete',
        steps: [expect.objectContaining({ step: 1 })],
      }) as unknown,
    }),
  ]);
  for (const target of ['/v1/dht/providers/service%2Fpay', '/v1/dht/nodes/7']) {
    expect((await send(target)).json).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND', search: SEARCH });
  }
  node.script.set('dht.get', () => ({
    ...{ target: '00', outcome: 'alone', closest: [], steps: null, record: null },
    cost: { requests: 0, failures: 0, hops: 0, elapsedMs: 0 },
  }));
  expect((await send('/v1/dht/values/nothing')).json['detail']).toBe(
    'this node has not, and knows nobody to ask: a value under this key',
  );
});

test('providers, nodes, and the nodes closest to a key', async () => {
  const { send } = await serve();
  const { json } = await send('/v1/dht/providers/group%2F1');
  expect(json).toMatchObject({ name: 'group/1', providers: [{ node: '102', encoding: 'utf8' }], ...SEARCH });
  const [provider] = json['providers'] as { value: string }[];
  expect(JSON.parse(provider!.value)).toMatchObject({ id: '102', name: 'n2', addresses: ['10.0.0.2:7201'] });
  expect((await send('/v1/dht/nodes/102')).json).toMatchObject({ node: { id: '102', role: 'voter' }, ...SEARCH });
  const looked = (await send('/v1/dht/lookup/greeting?trace=true')).json;
  expect(looked).toMatchObject({ key: 'greeting', ...SEARCH, steps: [{ asked: 'FindNode', peer: N2_PEER }] });
  expect(looked).not.toHaveProperty('node');
});

test('what can be said is what the node is told', async () => {
  const { node, put, send } = await serve();
  const told = async (call: Promise<unknown>): Promise<unknown> => {
    await call;
    const { method, args, options } = node.calls.at(-1)!;
    const { signal, ...rest } = options;
    expect(signal).toBeInstanceOf(AbortSignal);
    return [method, ...args, rest];
  };
  expect(await told(send('/v1/dht/values/a'))).toEqual(['dht.get', 'a', { timeoutMs: 4000 }]);
  const options = { timeoutMs: 9000, paths: 8, trace: true };
  const query = 'timeout=9s&paths=8&trace=true';
  expect(await told(send(`/v1/dht/values/a?${query}`))).toEqual(['dht.get', 'a', options]);
  expect(await told(send(`/v1/dht/lookup/a?${query}`))).toEqual(['dht.lookup', 'a', options]);
  expect(await told(send(`/v1/dht/nodes/102?${query}`))).toEqual(['dht.lookup', { node: '102' }, options]);
  expect(await told(send(`/v1/dht/providers/group%2F1?${query}`))).toEqual(['dht.providers', 'group/1', options]);
  expect(await told(put(`/v1/dht/values/a?ttl=10m&${query}`, 'x'))).toEqual([
    ...['dht.put', 'a', Buffer.from('x')],
    { ...options, ttlMs: 600_000 },
  ]);
});

test.each([
  ['GET', '/v1/dht/values/a?paths=0'],
  ['GET', '/v1/dht/values/a?paths=9'],
  ['GET', '/v1/dht/values/a?trace=yes'],
  ['GET', '/v1/dht/values/a?timeout=61s'],
  ['GET', '/v1/dht/values/a?consistency=stale'],
  ['GET', '/v1/dht/values/%FF'],
  ['GET', `/v1/dht/lookup/${'x'.repeat(513)}`],
  ['PUT', '/v1/dht/values/a?ttl=999'],
  ['PUT', '/v1/dht/values/a?ttl=49h'],
  ['GET', '/v1/dht/lookup/a?ttl=1h'],
])('%s %s is refused', async (method, target) => {
  const { node, send } = await serve();
  const answer = await send(target, { method });
  expect([answer.status, answer.json['code']]).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  expect(node.calls).toEqual([]);
});

test('a value that is too large is refused with the limit, and one that is not is not', async () => {
  const { node, put } = await serve();
  expect((await put('/v1/dht/values/a', 'x'.repeat(4096))).status).toBe(200);
  node.calls.length = 0;
  const refused = await put('/v1/dht/values/a', 'x'.repeat(4097));
  expect([refused.status, refused.json['code'], refused.json['limit']]).toEqual([413, 'ERR_TOO_LARGE', 4096]);
  expect(node.calls).toEqual([]);
});

test.each<[ErrorCode, number]>([
  ['ERR_INVALID_ARGUMENT', 400],
  ['ERR_OVERLOADED', 503],
  ['ERR_NO_LEADER', 503],
  ['ERR_QUOTA', 507],
])('%s of the node comes as %d', async (code, status) => {
  const { node, put } = await serve();
  node.error = new KvorumError(code, 'because');
  const answer = await put('/v1/dht/values/a', 'x');
  expect([answer.status, answer.json['code'], answer.json['detail']]).toEqual([status, code, 'because']);
});

test('a client that hangs up ends the search', async () => {
  const { node, port } = await serve();
  node.hold();
  const wire = new Wire(port);
  wire.write('GET /v1/dht/values/a?timeout=60s HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => node.calls.length === 1);
  const { signal } = node.calls[0]!.options;
  wire.socket.destroy();
  await eventually(() => signal!.aborted);
});
