/** Every row of the HTTP contract beyond single keys, on real nodes: asked of one, seen on another, also when the leader dies. */
import { expect, test } from 'vitest';

import { Cluster, type NodeProcess } from './cluster.ts';
import { until } from './until.ts';

/** Looked into, field by field: what is not as expected fails the test. */
// oxlint-disable-next-line typescript/no-explicit-any
type Json = any;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

async function ask(
  node: NodeProcess,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const json = body === undefined ? {} : { body: JSON.stringify(body) };
  const type = body === undefined ? {} : { 'Content-Type': 'application/json' };
  const response = await fetch(`${node.url}${path}`, { method, headers: { ...type, ...headers }, ...json });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

/** A stream of server-sent events, read by hand. */
class Stream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = '';

  private constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader();
  }

  static async open(node: NodeProcess, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Stream> {
    const response = await fetch(`${node.url}${path}`, { headers: { Accept: 'text/event-stream', ...headers } });
    if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) {
      throw new Error(`${response.status} is no stream: ${await response.text()}`);
    }
    return new Stream(response.body!);
  }

  /** The next event with data; the name of a batch is ''. Null at the end. */
  async next(): Promise<{ name: string; id: string; data: Json } | null> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end >= 0) {
        const lines = this.#text.slice(0, end).split('\n');
        this.#text = this.#text.slice(end + 2);
        const field = (name: string): string =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? '';
        if (field('data') !== '') return { name: field('event'), id: field('id'), data: JSON.parse(field('data')) };
        continue;
      }
      const { value, done } = await this.#reader.read().catch(() => ({ value: undefined, done: true }));
      if (done || value === undefined) return null;
      this.#text += new TextDecoder().decode(value);
    }
  }

  async batch(): Promise<{ id: string; data: Json }> {
    for (;;) {
      const event = await this.next();
      if (event === null) throw new Error('the stream ended');
      if (event.name === '') return event;
    }
  }

  async close(): Promise<void> {
    await this.#reader.cancel();
  }
}

test('transactions, leases, locks, elections, barriers, counters and compaction', async () => {
  const cluster = await Cluster.start();
  const [a, b, c] = cluster.nodes as [NodeProcess, NodeProcess, NodeProcess];

  const txn = { if: [{ key: 'k', target: 'version', op: '=', value: 0 }], then: [{ put: { key: 'k', value: '1' } }] };
  const done = await ask(a, 'POST', '/v1/txn', { ...txn, else: [{ get: { key: 'k' } }] });
  expect(done).toMatchObject({ status: 200, body: { succeeded: true, responses: [{ put: {} }] } });
  const other = await ask(b, 'POST', '/v1/txn', { ...txn, else: [{ get: { key: 'k' } }, { range: { prefix: '' } }] });
  expect(other.body).toMatchObject({ succeeded: false, responses: [{ get: { value: '1' } }, { range: { count: 1 } }] });

  const lease = await ask(a, 'POST', '/v1/leases', { ttl: '15s', owner: { host: 'h' } });
  expect(lease).toMatchObject({ status: 201, body: { ttlMs: 15_000 } });
  const { id } = lease.body;
  expect(await ask(b, 'PUT', `/v1/kv/leased?lease=${id}`)).toMatchObject({ status: 200 });
  expect(await ask(c, 'POST', `/v1/leases/${id}/renew`)).toMatchObject({ status: 200, body: { id, ttlMs: 15_000 } });
  expect((await ask(c, 'GET', `/v1/leases/${id}`)).body).toMatchObject({ id, owner: { host: 'h' }, keys: ['leased'] });
  expect((await ask(c, 'GET', '/v1/leases')).body).toMatchObject({ leases: [{ id }] });
  expect(await ask(b, 'DELETE', `/v1/leases/${id}`)).toMatchObject({ status: 200 });
  expect(await ask(a, 'GET', '/v1/kv/leased')).toMatchObject({ status: 404 });
  expect(await ask(a, 'POST', `/v1/leases/${id}/renew`)).toMatchObject({
    status: 410,
    body: { code: 'ERR_LEASE_NOT_FOUND' },
  });

  const lock = '/v1/locks/orders%2F42';
  const held = await ask(a, 'POST', `${lock}/acquire`, { ttl: '15s', owner: 'a' });
  expect(held).toMatchObject({ status: 200, body: { name: 'orders/42', ttlMs: 15_000 } });
  const { token } = held.body;
  expect(await ask(b, 'POST', `${lock}/acquire`, {})).toMatchObject({
    status: 409,
    body: { code: 'ERR_LOCK_HELD', holder: { token, owner: 'a' } },
  });
  expect((await ask(c, 'GET', lock)).body).toMatchObject({ holders: [{ token }], queue: [] });
  expect((await ask(c, 'GET', '/v1/locks?prefix=orders')).body).toMatchObject({ locks: [{ name: 'orders/42' }] });
  const waiting = ask(b, 'POST', `${lock}/acquire`, { wait: '30s' });
  await until(async () => ((await ask(a, 'GET', lock)).body.queue.length === 1 ? true : null), {
    timeoutMs: 10_000,
    what: 'it waits',
  });
  const guard = {
    if: [{ lock: 'orders/42', target: 'token', op: '=', value: token }],
    then: [{ put: { key: 'g', value: '' } }],
  };
  expect((await ask(c, 'POST', '/v1/txn', guard)).body).toMatchObject({ succeeded: true });
  expect((await ask(c, 'POST', `${lock}/renew`, { token })).body).toMatchObject({ ttlMs: 15_000 });
  expect((await ask(c, 'POST', `${lock}/release`, { token })).body).toEqual({ released: true });
  expect((await ask(c, 'POST', `${lock}/release`, { token })).body).toEqual({ released: false });
  const next = await waiting;
  expect(next.body.token).toBeGreaterThan(token);
  expect((await ask(c, 'POST', '/v1/txn', guard)).body).toMatchObject({ succeeded: false });
  expect(await ask(c, 'DELETE', lock)).toMatchObject({ status: 200, body: { broken: 1 } });
  expect(await ask(b, 'POST', `${lock}/renew`, { token: next.body.token })).toMatchObject({
    status: 410,
    body: { code: 'ERR_LOCK_LOST' },
  });

  const election = '/v1/elections/boss';
  const observed = await Stream.open(c, `${election}/observe`);
  expect((await observed.batch()).data).toMatchObject({ name: 'boss', leader: null });
  const term = (await ask(a, 'POST', `${election}/campaign`, { value: 'a', ttl: '15s' })).body;
  expect((await observed.batch()).data).toMatchObject({ value: 'a', token: term.token, leader: { lease: term.lease } });
  expect(await ask(b, 'POST', `${election}/proclaim`, { token: term.token, value: 'a2' })).toMatchObject({
    status: 200,
  });
  expect((await observed.batch()).data).toMatchObject({ value: 'a2' });
  expect((await ask(b, 'GET', election)).body).toMatchObject({ value: 'a2', token: term.token });
  expect(await ask(c, 'POST', `${election}/resign`, { token: term.token })).toMatchObject({ status: 200 });
  expect((await observed.batch()).data).toMatchObject({ leader: null });
  await observed.close();

  const enter = (node: NodeProcess) => ask(node, 'POST', '/v1/barriers/start/enter', { parties: 3, wait: '30s' });
  const through = await Promise.all([enter(a), enter(b), enter(c)]);
  expect(new Set(through.map(({ body }) => body.token)).size).toBe(1);

  const add = () => ask(a, 'POST', '/v1/counters/visits/add', { delta: 2 }, { 'Idempotency-Key': 'visit-1' });
  expect((await add()).headers.get('idempotency-replayed')).toBeNull();
  const again = await add();
  expect(again).toMatchObject({ status: 200, body: { value: 2 } });
  expect(again.headers.get('idempotency-replayed')).toBe('true');
  expect((await ask(b, 'GET', '/v1/counters/visits')).body).toMatchObject({ value: 2 });
  expect(await ask(c, 'POST', '/v1/counters/visits/add', { delta: 3 }, { 'Idempotency-Key': 'visit-1' })).toMatchObject(
    {
      status: 422,
      body: { code: 'ERR_IDEMPOTENCY_MISMATCH' },
    },
  );
  const session = (await ask(a, 'POST', '/v1/leases', { ttl: '60s' })).body.id;
  const numbered = { 'Kvorum-Session': session, 'Kvorum-Sequence': '1' };
  expect((await ask(a, 'PUT', '/v1/kv/s', 'v', numbered)).body).toMatchObject({ created: true });
  expect((await ask(b, 'PUT', '/v1/kv/s', 'v', numbered)).body).toMatchObject({ created: true });

  const { revision } = (await ask(a, 'PUT', '/v1/kv/k', '2')).body;
  expect((await ask(a, 'POST', '/v1/compact', { revision })).body).toEqual({ compactedRevision: revision });
  expect(await ask(c, 'GET', '/v1/kv/k?revision=1')).toMatchObject({
    status: 410,
    body: { code: 'ERR_COMPACTED', compactRevision: revision },
  });
  expect(await ask(c, 'GET', '/v1/watch?from=1')).toMatchObject({ status: 410, body: { compactRevision: revision } });
});

test('a watch goes on at another node after the one that served it was killed, with every revision once', async () => {
  const cluster = await Cluster.start();
  const leader = await cluster.leader();
  const [survivor] = cluster.nodes.filter((node) => node !== leader) as [NodeProcess];
  const stream = await Stream.open(leader, '/v1/watch?prefix=w/&prev=true');
  const put = (value: string) => ask(survivor, 'PUT', '/v1/kv/w/1', value);
  const seen: number[] = [];
  let id = '';
  for (const value of ['1', '2', '3']) {
    const { revision } = (await put(value)).body;
    const batch = await stream.batch();
    expect(batch.data).toMatchObject({ revision, events: [{ type: 'put', key: 'w/1' }] });
    seen.push(revision);
    id = batch.id;
  }
  await leader.kill('SIGKILL');
  expect(await stream.next()).toBeNull();
  const revision = await until(
    async () => {
      const answer = await put('4');
      return answer.status === 200 ? (answer.body.revision as number) : null;
    },
    { timeoutMs: 20_000, what: 'another one leads' },
  );
  const resumed = await Stream.open(survivor, '/v1/watch?prefix=w/&prev=true', { 'Last-Event-ID': id });
  const batch = await resumed.batch();
  expect(batch.data.revision).toBeGreaterThan(seen.at(-1)!);
  expect(batch.data.revision).toBeLessThanOrEqual(revision);
  await resumed.close();
});
