/** The service registry over real HTTP, on a real node. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { MockInstance } from 'vitest';

import { instanceKey, SERVICES_PREFIX } from '../../src/client/services/instance.ts';
import { KvorumError } from '../../src/errors.ts';
import { startHttp } from '../../src/http/server.ts';
import type { HttpServer } from '../../src/http/server.ts';
import { startNode } from '../../src/index.ts';
import type { EmbeddedNode, KvEntry, ListAnswer } from '../../src/index.ts';

let directory: string;
let node: EmbeddedNode;
let server: HttpServer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kvorum-services-'));
  node = await startNode({ dataDir: directory });
  // A machine that is busy with other tests is no reason to send clients away.
  server = await startHttp(node, { port: 0, maxEventLoopDelayMs: 60_000 });
});

afterAll(async () => {
  await server.close({ drainTimeoutMs: 0 });
  await node.close();
  await rm(directory, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Record<string, unknown>;
}

async function call(
  method: string,
  path: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${server.url}/v1/services${path}`, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return {
    status: response.status,
    headers: response.headers,
    json: (await response.json()) as Record<string, unknown>,
  };
}

const register = (path: string, body: object = { address: 'h:1' }, headers = {}): Promise<Answer> =>
  call('PUT', path, body, headers);

/** Server-sent events of a service, as they come. */
async function watching(
  path: string,
): Promise<{ next(): Promise<Record<string, unknown>>; all: string; close(): Promise<void> }> {
  const response = await fetch(`${server.url}/v1/services${path}`);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const stream = {
    all: '',
    read: 0,
    async next(): Promise<Record<string, unknown>> {
      for (;;) {
        const end = stream.all.indexOf('\n\n', stream.read);
        if (end >= 0) {
          const block = stream.all.slice(stream.read, end);
          stream.read = end + 2;
          if (block.startsWith('data: ')) return JSON.parse(block.slice(6)) as Record<string, unknown>;
          if (!block.startsWith(':')) return { block };
          continue;
        }
        const { done, value } = await reader.read();
        if (done) throw new Error(`the stream ended after ${stream.all}`);
        stream.all += value;
      }
    },
    close: () => reader.cancel(),
  };
  onTestFinished(() => stream.close());
  return stream;
}

const idsOf = (view: Record<string, unknown>): string[] =>
  (view['instances'] as { instance: string }[]).map(({ instance }) => instance);

describe('register', () => {
  test('with a lease made for it, which is to be renewed; GET shows it', async () => {
    const full = {
      ...{ address: 'h:1', version: '1', weight: 3, metadata: { a: [1] }, note: 'new', node: '77', ttl: '20s' },
    };
    const { status, json } = await register('/full/a%2Fb', full);
    expect([status, json]).toEqual([201, { name: 'full', instance: 'a/b', lease: json['lease'], ttlMs: 20_000 }]);
    const lease = json['lease'] as string;
    const { ttl: _, ...shown } = full;
    const view = (await call('GET', '/full')).json;
    expect(view).toMatchObject({
      name: 'full',
      instances: [{ instance: 'a/b', ...shown, status: 'passing', lease }],
    });
    expect(await node.leases.get(lease)).toMatchObject({ owner: { service: 'full', instance: 'a/b', address: 'h:1' } });
    await node.leases.revoke(lease);
    expect((await call('GET', '/full')).json['instances']).toEqual([]);
  });

  test('with a lease that there is, and not with one that is gone', async () => {
    const { id } = await node.leases.grant({ ttlMs: 7000 });
    expect((await register('/leased/a', { address: 'h:1', lease: id })).json).toMatchObject({ lease: id, ttlMs: 7000 });
    expect(await register('/leased/b', { address: 'h:1', lease: '9999999' })).toMatchObject({
      status: 410,
      json: { code: 'ERR_LEASE_NOT_FOUND', outcome: 'none' },
    });
    expect((await register('/leased/b', { address: 'h:1', lease: id, ttl: '5s' })).json).toMatchObject({
      field: 'ttl',
    });
  });

  test('the client library sees the same, and the other way round', async () => {
    const client = node.client();
    await register('/both/http', { address: 'h:1', weight: 2 });
    const me = await client.services.register('both', { address: 'h:2', instance: 'library' });
    // It is in the process of this node; of who speaks HTTP nobody knows where it is.
    expect((await client.services.list('both')).instances.map((each) => each.node)).toEqual([null, node.id]);
    const { json } = await call('GET', '/both');
    const view = await client.services.list('both');
    expect(
      view.instances.map(({ name, ...instance }) => {
        expect(name).toBe('both');
        return instance;
      }),
    ).toEqual(json['instances']);
    expect(await call('POST', '/both/library/report', { status: 'critical', note: 'by hand' })).toMatchObject({
      json: { changed: true },
    });
    expect((await client.services.list('both', { passing: true })).instances).toMatchObject([{ instance: 'http' }]);
    await call('DELETE', '/both/library');
    await expect(me.report('warning')).rejects.toMatchObject({ code: 'ERR_REGISTRATION_LOST' });
    await client.close();
  });

  test.each([
    [{}, 'address'],
    [{ address: '' }, 'address'],
    [{ address: 'x'.repeat(513) }, 'address'],
    [{ address: 'a', version: '' }, 'version'],
    [{ address: 'a', weight: 0 }, 'weight'],
    [{ address: 'a', weight: 1001 }, 'weight'],
    [{ address: 'a', metadata: [] }, 'metadata'],
    [{ address: 'a', metadata: { x: 'y'.repeat(4096) } }, 'metadata'],
    [{ address: 'a', status: 'well' }, 'status'],
    [{ address: 'a', note: 'x'.repeat(513) }, 'note'],
    [{ address: 'a', ttl: '0s' }, 'ttl'],
    [{ address: 'a', lease: 7 }, 'lease'],
    [{ address: 'a', node: 'n1' }, 'node'],
    [{ address: 'a', more: 1 }, 'more'],
  ])('bad input is named: %j', async (body, field) => {
    expect(await register('/bad/a', body)).toMatchObject({
      status: 400,
      json: { code: 'ERR_INVALID_ARGUMENT', field },
    });
    expect((await call('GET', '/bad')).json['instances']).toEqual([]);
  });

  test.each([`/a/${'x'.repeat(513)}`, '/a/%ff', `/${'%C3%BC'.repeat(257)}/a`])(
    'names that cannot be: %s',
    async (path) => {
      expect(await register(path)).toMatchObject({ status: 400, json: { code: 'ERR_INVALID_ARGUMENT' } });
    },
  );

  test('under an idempotency key it is one registration', async () => {
    const key = { 'idempotency-key': 'register-once' };
    const first = await register('/once/a', { address: 'h:1', ttl: '9s' }, key);
    await call('POST', '/once/a/report', { status: 'critical' });
    const second = await register('/once/a', { address: 'h:1', ttl: '9s' }, key);
    expect(second.json).toEqual(first.json);
    expect([first, second].map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([null, 'true']);
    // What was said since is not unsaid.
    expect((await call('GET', '/once')).json['instances']).toMatchObject([{ status: 'critical' }]);
    expect(await register('/once/b', { address: 'h:1', ttl: '9s' }, key)).toMatchObject({ status: 422 });
    await register('/once/a', { address: 'h:2' });
    expect(await register('/once/a', { address: 'h:1', ttl: '9s' }, key)).toMatchObject({
      status: 410,
      json: { code: 'ERR_REGISTRATION_LOST' },
    });
    await node.leases.revoke(first.json['lease'] as string);
    await call('DELETE', '/once/a');
    expect(await register('/once/a', { address: 'h:1', ttl: '9s' }, key)).toMatchObject({ status: 410 });
  });

  test.each([{ weight: 2 }, { status: 'warning' }, { note: 'x' }, { version: '1' }, { metadata: { a: 1 } }])(
    'an idempotency key belongs to all that is said: not to %j',
    async (other) => {
      const key = { 'idempotency-key': `all-of-it-${JSON.stringify(other)}` };
      const body = { address: 'h:1', ttl: '9s' };
      await register('/whole/a', body, key);
      expect(await register('/whole/a', { ...body, ...other }, key)).toMatchObject({
        status: 422,
        json: { code: 'ERR_IDEMPOTENCY_MISMATCH' },
      });
      expect((await register('/whole/a', body, key)).headers.get('idempotency-replayed')).toBe('true');
    },
  );

  test('deregistered since, a repetition registers it again with the lease of the first time', async () => {
    const key = { 'idempotency-key': 'back-again' };
    const first = await register('/back/a', { address: 'h:1' }, key);
    await call('DELETE', '/back/a');
    expect((await register('/back/a', { address: 'h:1' }, key)).json).toEqual(first.json);
    expect((await call('GET', '/back')).json['instances']).toMatchObject([{ lease: first.json['lease'] }]);
  });

  test('a repetition writes over what was there before the first time, not over what came since', async () => {
    const key = { 'idempotency-key': 'half-done' };
    await register('/half/a', { address: 'h:1' });
    const put = vi.spyOn(node, 'put').mockRejectedValueOnce(new KvorumError('ERR_NO_LEADER', 'nobody leads'));
    onTestFinished(() => put.mockRestore());
    expect(await register('/half/a', { address: 'h:2' }, key)).toMatchObject({
      status: 503,
      json: { outcome: 'unknown' },
    });
    // Between its look and its write another registers.
    const { get } = node;
    const looked = vi.spyOn(node, 'get').mockImplementationOnce(async (...asked) => {
      const found = await get.apply(node, asked);
      await register('/half/a', { address: 'h:3' });
      return found;
    });
    onTestFinished(() => looked.mockRestore());
    expect(await register('/half/a', { address: 'h:2' }, key)).toMatchObject({
      status: 410,
      json: { code: 'ERR_REGISTRATION_LOST' },
    });
    expect((await call('GET', '/half')).json['instances']).toMatchObject([{ address: 'h:3' }]);

    put.mockRejectedValueOnce(new KvorumError('ERR_NO_LEADER', 'nobody leads'));
    const second = { 'idempotency-key': 'half-done-too' };
    await register('/half/a', { address: 'h:4' }, second);
    expect(await register('/half/a', { address: 'h:4' }, second)).toMatchObject({ status: 201 });
    expect((await call('GET', '/half')).json['instances']).toMatchObject([{ address: 'h:4' }]);
  });

  test('a repetition that finds nobody does not write over who registers meanwhile', async () => {
    const key = { 'idempotency-key': 'nobody-there' };
    const put = vi.spyOn(node, 'put').mockRejectedValueOnce(new KvorumError('ERR_NO_LEADER', 'nobody leads'));
    onTestFinished(() => put.mockRestore());
    await register('/nobody/a', { address: 'h:1' }, key);
    const { get } = node;
    const looked = vi.spyOn(node, 'get').mockImplementationOnce(async (...asked) => {
      const found = await get.apply(node, asked);
      await register('/nobody/a', { address: 'h:2' });
      return found;
    });
    onTestFinished(() => looked.mockRestore());
    expect(await register('/nobody/a', { address: 'h:1' }, key)).toMatchObject({ status: 410 });
    expect((await call('GET', '/nobody')).json['instances']).toMatchObject([{ address: 'h:2' }]);
  });
});

describe('report', () => {
  test('writes changes only, and knows its lease', async () => {
    const { json } = await register('/report/a');
    const { lease } = json as { lease: string };
    const say = (body: object): Promise<Answer> => call('POST', '/report/a/report', body);
    const revision = async (): Promise<unknown> => (await call('GET', '/report')).json['revision'];
    const before = await revision();
    expect(await say({ status: 'passing' })).toMatchObject({ status: 200, json: { changed: false } });
    expect(await revision()).toBe(before);
    expect((await say({ status: 'warning', note: 'slow', lease })).json).toEqual({
      ...{ name: 'report', instance: 'a', status: 'warning', changed: true },
    });
    expect((await call('GET', '/report')).json['instances']).toMatchObject([{ note: 'slow', lease, address: 'h:1' }]);
    expect((await call('GET', '/report?passing=true')).json['instances']).toEqual([]);
    expect(await say({ status: 'passing', lease: '1' })).toMatchObject({
      status: 410,
      json: { code: 'ERR_REGISTRATION_LOST' },
    });
    expect(await say({ note: 'x' })).toMatchObject({ status: 400, json: { field: 'status' } });
    expect(await call('POST', '/report/b/report', { status: 'passing' })).toMatchObject({
      status: 404,
      json: { code: 'ERR_NOT_FOUND' },
    });
  });

  test.each([
    [false, 404, 'ERR_NOT_FOUND'],
    [true, 410, 'ERR_REGISTRATION_LOST'],
  ])(
    'its lease ends while it reports (another has its id: %j): it is told what became of it',
    async (taken, status, code) => {
      const { lease } = (await register('/ended/a')).json as { lease: string };
      const { get } = node;
      const looked = vi.spyOn(node, 'get').mockImplementationOnce(async (...asked) => {
        const found = await get.apply(node, asked);
        await node.leases.revoke(lease);
        if (taken) await register('/ended/a');
        return found;
      });
      onTestFinished(() => looked.mockRestore());
      const answer = await call('POST', '/ended/a/report', { status: 'warning', lease });
      expect(answer).toMatchObject({ status, json: { code } });
    },
  );

  test('many at once: the last one that was written is there', async () => {
    await register('/crowd/a');
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, i) => call('POST', '/crowd/a/report', { status: 'warning', note: `n${i}` })),
    );
    // Whoever lost against others five times says so.
    for (const { status } of answers) expect([200, 412]).toContain(status);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(4);
    const { instances } = (await call('GET', '/crowd')).json as { instances: { note: string }[] };
    expect(instances[0]!.note).toMatch(/^n\d+$/u);
  });

  test('deregister: once there, then not', async () => {
    await register('/gone/a');
    expect((await call('DELETE', '/gone/a')).json).toEqual({ deregistered: true });
    expect((await call('DELETE', '/gone/a')).json).toEqual({ deregistered: false });
  });
});

test('services with their counts, page after page', async () => {
  for (const name of ['p!', 'p', 'p%2F', 'p0']) for (const id of ['a', 'b']) await register(`/${name}/${id}`);
  await call('POST', '/p/b/report', { status: 'critical' });
  const all: { name: string; instances: number; passing: number }[] = [];
  let after = 'once';
  for (;;) {
    const { json } = await call('GET', `?limit=1&after=${encodeURIComponent(after)}`);
    const { services, next } = json as { services: typeof all; next: string | null };
    expect(services).toHaveLength(1);
    all.push(...services);
    if (next === null) break;
    after = next;
  }
  const pages = all.filter(({ name }) => name.startsWith('p'));
  expect(pages.map(({ name, instances, passing }) => [name, instances, passing])).toEqual([
    ['p!', 2, 2],
    ['p/', 2, 2],
    ['p', 2, 1],
    ['p0', 2, 2],
  ]);
  expect((await call('GET', '?limit=0')).json).toMatchObject({ option: 'limit' });
});

describe('lists of several pages', () => {
  const COMPACTED = new KvorumError('ERR_COMPACTED', 'compacted');
  const stored = (id: string): KvEntry => ({
    ...{ key: instanceKey('paged', id), value: Buffer.from('{"address":"h:1","status":"passing"}') },
    ...{ createRevision: 1, modRevision: 1, version: 1, lease: null, contentType: null },
  });
  const page = (entries: KvEntry[]): ListAnswer => ({ revision: 1, entries, count: 9, nextCursor: 'next' });
  /** What lists of the API are answered, one after the other. The node itself lists all services now and then, for the DHT: that is none of them. */
  const listing = (): MockInstance<EmbeddedNode['list']> => {
    const real = node.list.bind(node);
    const list = vi.fn<EmbeddedNode['list']>(real);
    const spy = vi
      .spyOn(node, 'list')
      .mockImplementation((options) => (options?.prefix === SERVICES_PREFIX ? real(options) : list(options)));
    onTestFinished(() => spy.mockRestore());
    return list;
  };

  test.each(['/paged', '?after=page&limit=1', '/paged/watch'])(
    'compacted meanwhile, %s is begun again',
    async (path) => {
      await register('/paged/now');
      const list = listing();
      list.mockResolvedValueOnce(page([stored('then')])).mockRejectedValueOnce(COMPACTED);
      const found = path.endsWith('watch') ? await (await watching(path)).next() : (await call('GET', path)).json;
      expect(found).toMatchObject(
        path.startsWith('?') ? { services: [{ name: 'paged', instances: 1 }] } : { instances: [{ instance: 'now' }] },
      );
    },
  );

  test.each(['/paged', '?after=page'])('but %s is not begun again for ever', async (path) => {
    const list = listing();
    for (let turn = 0; turn < 5; turn++) {
      list.mockResolvedValueOnce(page([stored('then')])).mockRejectedValueOnce(COMPACTED);
    }
    expect(await call('GET', path)).toMatchObject({ status: 410, json: { code: 'ERR_COMPACTED' } });
  });

  test('of more instances than there may be no more pages are read than are kept', async () => {
    let pages = 0;
    listing().mockImplementation(async () => {
      pages++;
      const answer = page(Array.from({ length: 1000 }, (_, at) => stored(`${pages}-${at}`)));
      return { ...answer, nextCursor: pages < 20 ? 'next' : null };
    });
    expect(await call('GET', '/paged')).toMatchObject({ status: 413, json: { code: 'ERR_TOO_LARGE', limit: 10_000 } });
    expect(pages).toBe(11);
  });
});

describe('watch', () => {
  test('what is, at once, then whatever it becomes; no two alike', async () => {
    await register('/watched/a');
    const all = await watching('/watched/watch');
    const well = await watching('/watched/watch?passing=true');
    expect(idsOf(await all.next())).toEqual(['a']);
    expect(idsOf(await well.next())).toEqual(['a']);
    await call('POST', '/watched/a/report', { status: 'critical', note: '1' });
    expect((await all.next())['instances']).toMatchObject([{ note: '1' }]);
    expect(idsOf(await well.next())).toEqual([]);
    await call('POST', '/watched/a/report', { status: 'critical', note: '2' });
    await register('/watched/b', { address: 'h:2' });
    expect(idsOf(await well.next())).toEqual(['b']);
    expect((await all.next())['instances']).toMatchObject([{ note: '2' }]);
    const last = await all.next();
    expect(last).toEqual((await call('GET', '/watched')).json);
    await call('DELETE', '/watched/a');
    await register('/watched/c', { address: 'h:3' });
    expect(idsOf(await well.next())).toEqual(['b', 'c']);
    expect(well.all.match(/^data: /gmu)).toHaveLength(4);
    expect(well.all).not.toContain('\nid:');
  });

  test('a stream that comes back begins with what is then, whoever else watches', async () => {
    const one = await watching('/again/watch');
    expect(idsOf(await one.next())).toEqual([]);
    for (let i = 0; i < 5; i++) {
      await register(`/again/i${i}`);
      const other = await watching('/again/watch');
      expect(idsOf(await other.next())).toHaveLength(i + 1);
      await other.close();
    }
    await one.close();
    await register('/again/i5');
    const last = await watching('/again/watch');
    expect(idsOf(await last.next())).toHaveLength(6);
  });

  test('an instance whose lease ends goes by itself', async () => {
    const { json } = await register('/mortal/a', { address: 'h:1', ttl: '1s' });
    const stream = await watching('/mortal/watch?passing=true');
    expect(idsOf(await stream.next())).toEqual(['a']);
    expect(idsOf(await stream.next())).toEqual([]);
    await expect(node.leases.get(json['lease'] as string)).rejects.toMatchObject({ code: 'ERR_LEASE_NOT_FOUND' });
  });
});
