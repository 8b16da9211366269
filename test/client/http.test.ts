/** The HTTP transport: what it writes on the wire, and what it makes of what comes back. */
import { describe, expect, test } from 'vitest';

import type { Attempt, RawBatch } from '../../src/client/api.ts';
import { FetchTransport } from '../../src/client/fetch-transport.ts';
import type { Fetch } from '../../src/client/http-link.ts';
import { baseUrlOf } from '../../src/client/http-link.ts';
import { bytes, connect, get, put, value } from '../../src/client/index.ts';
import { KvorumError } from '../../src/errors.ts';
import { FakeTime, failure, settle } from './fake-time.ts';

interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly signal: AbortSignal;
}

const HEADERS = { 'content-type': 'application/json', 'x-served-by': 'n2', 'x-revision': '9' };

/** Answers in turn; the last one again and again. */
function faked(...answers: (Response | Error | (() => Response | Promise<Response>))[]): {
  readonly fetch: Fetch;
  readonly sent: Sent[];
} {
  const sent: Sent[] = [];
  const fetch: Fetch = async (url, init) => {
    const body = init.body instanceof Uint8Array ? new TextDecoder().decode(init.body) : init.body;
    const { method = '', headers, signal } = init;
    sent.push({ method, url, headers: headers as Record<string, string>, body, signal: signal! });
    const answer = answers[Math.min(sent.length, answers.length) - 1]!;
    if (answer instanceof Error) throw answer;
    return typeof answer === 'function' ? answer() : answer.clone();
  };
  return { fetch, sent };
}

const ok = (json: unknown, status = 200): Response => new Response(JSON.stringify(json), { status, headers: HEADERS });

function problem(status: number, code: string, more: object = {}, headers: Record<string, string> = {}): Response {
  const body = JSON.stringify({ type: '/docs', title: 't', status, detail: 'why', code, outcome: 'none', ...more });
  return new Response(body, { status, headers: { 'content-type': 'application/problem+json', ...headers } });
}

const attempt = (more: Partial<Attempt> = {}): Attempt => ({
  timeoutMs: 3000,
  signal: new AbortController().signal,
  once: null,
  ...more,
});

function transport(fetch: Fetch, token: string | null = null): { node: FetchTransport; time: FakeTime } {
  const time = new FakeTime();
  return { node: new FetchTransport('http://n1:7101', { fetch, token, environment: time }), time };
}

const ENTRY = {
  key: 'a',
  value: '1',
  encoding: 'utf8',
  createRevision: 3,
  modRevision: 5,
  version: 2,
  lease: '7',
  contentType: 'text/plain',
};

describe('requests', () => {
  const rows: readonly [string, (node: FetchTransport) => Promise<unknown>, unknown, Partial<Sent>][] = [
    [
      'put',
      (node) =>
        node.put(
          {
            key: 'shop/orders ä/1+1',
            value: 'x',
            contentType: 'text/plain',
            lease: '7',
            prev: true,
            condition: { type: 'absent' },
          },
          attempt({ once: { session: '4', sequence: 9, lowestUnanswered: 8 } }),
        ),
      { revision: 9, created: true, prev: null },
      {
        method: 'PUT',
        url: 'http://n1:7101/v1/kv/shop/orders%20%C3%A4/1%2B1?lease=7&prev=true&timeout=3000',
        headers: {
          accept: 'application/json',
          'content-type': 'text/plain',
          'if-none-match': '*',
          'kvorum-session': '4',
          'kvorum-sequence': '9',
          'kvorum-unanswered': '8',
        },
        body: 'x',
      },
    ],
    [
      'put under a key of the caller, by modRevision, of bytes',
      (node) =>
        node.put(
          {
            key: new Uint8Array([255, 47]),
            value: new Uint8Array([1]),
            contentType: 'image/png',
            condition: { type: 'modRevision', revision: 5 },
          },
          attempt({ once: { key: 'mine' } }),
        ),
      { revision: 9, created: false },
      {
        url: 'http://n1:7101/v1/kv/_y8?keyEncoding=base64url&timeout=3000',
        headers: {
          accept: 'application/json',
          'content-type': 'image/png',
          'if-match': '"5"',
          'idempotency-key': 'mine',
        },
        body: '\u0001',
      },
    ],
    [
      'delete',
      (node) => node.delete({ key: 'a', condition: { type: 'exists' } }, attempt()),
      { revision: 9, deleted: 1 },
      {
        method: 'DELETE',
        url: 'http://n1:7101/v1/kv/a?timeout=3000',
        headers: { accept: 'application/json', 'if-match': '*' },
      },
    ],
    [
      'delete a prefix',
      (node) => node.deleteRange({ prefix: 'a/' }, attempt()),
      { revision: 9, deleted: 4 },
      { method: 'DELETE', url: 'http://n1:7101/v1/kv?prefix=a%2F&timeout=3000' },
    ],
    [
      'delete everything',
      (node) => node.deleteRange({ prefix: '' }, attempt()),
      { revision: 9, deleted: 4 },
      { url: 'http://n1:7101/v1/kv?all=true&timeout=3000' },
    ],
    [
      'delete a range',
      (node) => node.deleteRange({ start: 'a', end: 'b' }, attempt()),
      { revision: 9, succeeded: true, responses: [{ delete: { deleted: 4 } }] },
      {
        method: 'POST',
        url: 'http://n1:7101/v1/txn?timeout=3000',
        body: '{"if":[],"then":[{"delete":{"start":"a","end":"b"}}],"else":[]}',
      },
    ],
    [
      'list',
      (node) =>
        node.list(
          { prefix: 'a/', limit: 5, cursor: 'c', keysOnly: true, consistency: 'stale', revision: undefined },
          attempt(),
        ),
      { revision: 9, entries: [], count: 0, nextCursor: null },
      {
        method: 'GET',
        url: 'http://n1:7101/v1/kv?prefix=a%2F&limit=5&cursor=c&keysOnly=true&consistency=stale&timeout=3000',
      },
    ],
    [
      'list of bytes',
      (node) => node.list({ start: 'a', end: new Uint8Array([255]) }, attempt()),
      { revision: 9, entries: [], count: 0, nextCursor: null },
      { url: 'http://n1:7101/v1/kv?start=YQ&end=_w&keyEncoding=base64url&timeout=3000' },
    ],
    [
      'txn',
      (node) =>
        node.txn(
          {
            if: [
              { target: 'value', key: 'a', operator: '=', value: new Uint8Array([49]) },
              { target: 'lease', key: 'a', operator: '!=', value: null },
              { target: 'token', lock: 'l', operator: '=', value: 4 },
            ],
            then: [
              { put: { key: 'a', value: new Uint8Array([255]), contentType: 'x/y', prev: true } },
              { delete: { prefix: 'p' } },
              { get: { key: new Uint8Array([255]) } },
            ],
            else: [{ range: { start: 'a', end: null, limit: 3, keysOnly: true } }],
          },
          attempt(),
        ),
      { revision: 9, succeeded: false, responses: [] },
      {
        method: 'POST',
        body: JSON.stringify({
          if: [
            { key: 'a', target: 'value', op: '=', value: '1' },
            { key: 'a', target: 'lease', op: '!=', value: null },
            { lock: 'l', target: 'token', op: '=', value: 4 },
          ],
          then: [
            { put: { key: 'a', value: '/w==', encoding: 'base64', contentType: 'x/y', prev: true } },
            { delete: { prefix: 'p' } },
            { get: { key: '_w', keyEncoding: 'base64url' } },
          ],
          else: [{ range: { start: 'a', limit: 3, keysOnly: true } }],
        }),
      },
    ],
    [
      'acquire with a lease made for it',
      (node) =>
        node.lockAcquire(
          {
            name: 'orders/42',
            lease: { ttlMs: 15_000 },
            waitMs: 5000,
            keepPlace: false,
            mode: 'read',
            owner: { pid: 1 },
          },
          attempt(),
        ),
      { name: 'orders/42', token: 4, lease: '7', ttlMs: 15_000 },
      {
        method: 'POST',
        url: 'http://n1:7101/v1/locks/orders%2F42/acquire?timeout=3000',
        body: '{"ttl":15000,"wait":5000,"owner":{"pid":1},"mode":"read"}',
      },
    ],
    [
      'acquire with a lease that there is',
      (node) =>
        node.lockAcquire({ name: 'l', lease: '7', waitMs: 0, keepPlace: false, permits: 3, delayMs: 100 }, attempt()),
      { name: 'l', token: 4, lease: '7', ttlMs: 15_000 },
      { body: '{"lease":"7","permits":3,"delay":100}' },
    ],
    [
      'release',
      (node) => node.lockRelease({ name: 'l', token: 4 }, attempt()),
      { released: true },
      { method: 'POST', url: 'http://n1:7101/v1/locks/l/release?timeout=3000', body: '{"token":4}' },
    ],
    [
      'grant',
      (node) => node.leaseGrant({ ttlMs: 15_000 }, attempt()),
      { id: '7', ttlMs: 15_000 },
      { method: 'POST', url: 'http://n1:7101/v1/leases?timeout=3000', body: '{"ttl":15000}' },
    ],
    [
      'renew',
      (node) => node.leaseRenew('7', attempt()),
      { id: '7', ttlMs: 15_000 },
      { method: 'POST', url: 'http://n1:7101/v1/leases/7/renew?timeout=3000', body: '{}' },
    ],
    [
      'revoke',
      (node) => node.leaseRevoke('7', attempt()),
      { revision: 9, deleted: 0 },
      { method: 'DELETE', url: 'http://n1:7101/v1/leases/7?timeout=3000' },
    ],
    [
      'campaign',
      (node) =>
        node.electionCampaign(
          { name: 'e', lease: { ttlMs: 1000 }, waitMs: 60_000, keepPlace: false, value: 'me' },
          attempt(),
        ),
      { name: 'e', token: 4, lease: '7', ttlMs: 1000 },
      {
        url: 'http://n1:7101/v1/elections/e/campaign?timeout=3000',
        body: '{"ttl":1000,"wait":60000,"value":"me"}',
      },
    ],
    [
      'enter',
      (node) => node.barrierEnter({ name: 'b', lease: '7', waitMs: 10, keepPlace: true, parties: 3 }, attempt()),
      { name: 'b', token: 4, lease: '7', ttlMs: 1000 },
      {
        url: 'http://n1:7101/v1/barriers/b/enter?timeout=3000',
        body: '{"lease":"7","wait":10,"keepPlace":true,"parties":3}',
      },
    ],
    [
      'add',
      (node) => node.counterAdd({ name: 'c', delta: -2 }, attempt()),
      { name: 'c', value: 3 },
      { url: 'http://n1:7101/v1/counters/c/add?timeout=3000', body: '{"delta":-2}' },
    ],
    [
      'compact',
      (node) => node.compact(7, attempt()),
      { compactedRevision: 7 },
      { url: 'http://n1:7101/v1/compact?timeout=3000', body: '{"revision":7}' },
    ],
  ];
  test.each(rows)('%s', async (_, call, answer, expected) => {
    const { fetch, sent } = faked(ok(answer));
    await call(transport(fetch).node);
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject(expected);
    if (expected.headers !== undefined) expect(sent[0]!.headers).toEqual(expected.headers);
  });

  test.each(['/a', 'a//b', '.', 'a/..', '../b', 'a/./b'])('the key %j goes as base64url', async (key) => {
    const { fetch, sent } = faked(ok(ENTRY));
    await transport(fetch).node.get({ key }, attempt());
    const [, written] = /\/v1\/kv\/([\w-]+)\?keyEncoding=base64url/u.exec(sent[0]!.url)!;
    expect(Buffer.from(written!, 'base64url').toString()).toBe(key);
  });

  test.each(['a/', '...', '.a', 'a.', 'a/b', '?', '#', '%2F', 'a b'])('the key %j goes as it is', async (key) => {
    const { fetch, sent } = faked(ok(ENTRY));
    await transport(fetch).node.get({ key }, attempt());
    expect(decodeURIComponent(new URL(sent[0]!.url).pathname)).toBe(`/v1/kv/${key}`);
    expect(new URL(sent[0]!.url).searchParams.has('keyEncoding')).toBe(false);
  });

  test('what no path can carry is refused here', async () => {
    const { fetch, sent } = faked(ok({}));
    const { node } = transport(fetch);
    expect(await failure(node.get({ key: '' }, attempt()))).toMatchObject({ code: 'ERR_BAD_KEY' });
    expect(await failure(node.get({ key: '\ud800' }, attempt()))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    for (const name of ['', '.', '..']) {
      expect(await failure(node.lockGet(name, attempt()))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
    expect(sent).toHaveLength(0);
  });

  test('the bearer token, and no keys on a read', async () => {
    const { fetch, sent } = faked(ok(ENTRY));
    const { node } = transport(fetch, 'secret');
    await node.get({ key: 'a', revision: 4, consistency: 'stale' }, attempt({ once: { key: 'x' } }));
    expect(sent[0]).toMatchObject({
      url: 'http://n1:7101/v1/kv/a?revision=4&consistency=stale&timeout=3000',
      headers: { accept: 'application/vnd.kvorum.entry+json', authorization: 'Bearer secret' },
    });
    expect(sent[0]!.headers).not.toHaveProperty('idempotency-key');
    expect(node.servedBy).toBe('n2');
  });
});

describe('answers', () => {
  test('entries: text, bytes, keys that are not UTF-8', async () => {
    const { fetch } = faked(
      ok(ENTRY),
      ok({ ...ENTRY, key: '_w', keyEncoding: 'base64url', value: '/w==', encoding: 'base64', lease: null }),
      ok({ ...ENTRY, key: 'ä' }),
      problem(404, 'ERR_KEY_NOT_FOUND'),
    );
    const { node } = transport(fetch);
    const read = () => node.get({ key: 'a' }, attempt());
    expect((await read()).entry).toEqual({
      key: 'a',
      value: new Uint8Array([49]),
      createRevision: 3,
      modRevision: 5,
      version: 2,
      lease: '7',
      contentType: 'text/plain',
    });
    expect((await read()).entry).toMatchObject({ key: '\xff', value: new Uint8Array([255]), lease: null });
    expect((await read()).entry).toMatchObject({ key: '\xc3\xa4' });
    expect((await read()).entry).toBeNull();
  });

  test('leases, locks, elections', async () => {
    const lock = { name: 'l', kind: 'lock', limit: 1, holders: [], queue: [] };
    const { fetch, sent } = faked(
      ok({
        leases: [
          {
            ...{ id: '7', ttlMs: 1000, remainingMs: 900, owner: null },
            ...{ keys: ['ä', { key: '_w', keyEncoding: 'base64url' }], locks: ['l'] },
          },
        ],
        next: null,
      }),
      ok({ locks: [lock], next: null }),
      ok({ name: 'e', leader: { lease: '7', owner: { pid: 1 } }, value: 'me', token: 4 }),
      ok({ name: 'e', leader: null, value: null, token: null }),
    );
    const { node } = transport(fetch);
    expect(await node.leaseList('6', attempt())).toEqual([
      { id: '7', ttlMs: 1000, remainingMs: 900, owner: null, keys: ['\xc3\xa4', '\xff'], locks: ['l'] },
    ]);
    expect(await node.lockList({ prefix: 'l', after: null }, attempt())).toEqual([lock]);
    expect(await node.electionGet('e', attempt())).toEqual({
      ...{ name: 'e', leader: { lease: '7', owner: { pid: 1 } }, value: 'me', token: 4 },
    });
    expect(await node.electionGet('e', attempt())).toEqual({ name: 'e', leader: null, value: null, token: null });
    expect(sent.map(({ url }) => new URL(url).search)).toEqual([
      '?after=6&timeout=3000',
      '?prefix=l&timeout=3000',
      '?timeout=3000',
      '?timeout=3000',
    ]);
  });

  test.each([
    ['no JSON', new Response('<html>', { headers: HEADERS })],
    ['a list', ok([])],
    ['a field is missing', ok({ revision: 9 })],
    ['a field is of another kind', ok({ revision: '9', created: true })],
  ])('%s is not believed, and the write may have been made', async (_, response) => {
    const { node } = transport(faked(response).fetch);
    expect(await failure(node.put({ key: 'a', value: '1', contentType: 'x/y' }, attempt()))).toMatchObject({
      code: 'ERR_INTERNAL',
      outcome: 'unknown',
    });
  });
});

describe('errors', () => {
  const write = (fetch: Fetch) => transport(fetch).node.put({ key: 'a', value: '1', contentType: 'x/y' }, attempt());

  test('a problem document: code, outcome, what it says, and more', async () => {
    const response = problem(412, 'ERR_CAS_FAILED', { current: ENTRY, requestId: 'r1', outcome: 'unknown' });
    const error = (await failure(write(faked(response).fetch))) as KvorumError;
    expect(error).toBeInstanceOf(KvorumError);
    expect(error).toMatchObject({ code: 'ERR_CAS_FAILED', message: 'why', outcome: 'unknown' });
    expect(error.details).toMatchObject({ requestId: 'r1', current: { key: 'a', value: new Uint8Array([49]) } });
  });

  test('Retry-After in seconds or as a date', async () => {
    const seconds = problem(503, 'ERR_OVERLOADED', {}, { 'retry-after': '3' });
    expect(await failure(write(faked(seconds).fetch))).toMatchObject({ details: { retryAfterMs: 3000 } });
    const soon = new Date(Date.now() + 60_000).toUTCString();
    const date = problem(503, 'ERR_OVERLOADED', {}, { 'retry-after': soon });
    const { details } = (await failure(write(faked(date).fetch))) as KvorumError;
    expect(details['retryAfterMs']).toBeGreaterThan(50_000);
  });

  test.each([
    [503, 'ERR_UNAVAILABLE'],
    [502, 'ERR_UNAVAILABLE'],
    [500, 'ERR_UNAVAILABLE'],
    [429, 'ERR_UNAVAILABLE'],
    [404, 'ERR_INTERNAL'],
    [301, 'ERR_INTERNAL'],
  ])('%i of a proxy is %s, outcome unknown', async (status, code) => {
    const response = new Response('<html>', { status, headers: { 'content-type': 'text/html' } });
    expect(await failure(write(faked(response).fetch))).toMatchObject({ code, outcome: 'unknown' });
  });

  test.each([
    [{ code: 'ERR_OF_TOMORROW', retryable: true, outcome: 'none' }, 'ERR_UNAVAILABLE', 'none'],
    [{ code: 'ERR_OF_TOMORROW', retryable: false, outcome: 'none' }, 'ERR_INVALID_ARGUMENT', 'none'],
    [{ code: 'ERR_OF_TOMORROW', retryable: false, status: 507 }, 'ERR_INTERNAL', 'unknown'],
  ])('a code that this client does not know: %j', async (members, code, outcome) => {
    const body = JSON.stringify({ status: 400, detail: 'new', ...members });
    const response = new Response(body, { status: 400, headers: { 'content-type': 'application/problem+json' } });
    expect(await failure(write(faked(response).fetch))).toMatchObject({
      code,
      outcome,
      details: { code: 'ERR_OF_TOMORROW' },
    });
  });

  const because = (message: string, more: object): Error => Object.assign(new Error(message), more);
  const refused = because('connect ECONNREFUSED', { code: 'ECONNREFUSED', syscall: 'connect' });
  const reset = because('read ECONNRESET', { code: 'ECONNRESET', syscall: 'read' });
  test.each([
    ['Node: refused', new TypeError('fetch failed', { cause: refused }), 'none'],
    [
      'Node: a name that nobody has',
      new TypeError('fetch failed', { cause: because('x', { code: 'ENOTFOUND' }) }),
      'none',
    ],
    [
      'Node: no route',
      new TypeError('fetch failed', { cause: because('x', { code: 'EHOSTUNREACH', syscall: 'connect' }) }),
      'none',
    ],
    [
      'Node: all addresses refused',
      new TypeError('fetch failed', { cause: new AggregateError([refused, refused]) }),
      'none',
    ],
    [
      'Node: one of two addresses was reset',
      new TypeError('fetch failed', { cause: new AggregateError([refused, reset]) }),
      'unknown',
    ],
    ['Node: reset', new TypeError('fetch failed', { cause: reset }), 'unknown'],
    [
      'Deno: refused',
      new TypeError('error sending request: tcp connect error: Connection refused (os error 111)'),
      'none',
    ],
    ['Bun: refused', because('Unable to connect', { code: 'ConnectionRefused' }), 'none'],
    ['a browser, which does not say', new TypeError('Failed to fetch'), 'unknown'],
    ['nothing that is known', new Error('?'), 'unknown'],
  ])('%s', async (_, error, outcome) => {
    expect(await failure(write(faked(error).fetch))).toMatchObject({ code: 'ERR_UNAVAILABLE', outcome, cause: error });
  });

  test('an answer that breaks off: unknown', async () => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"revision":'));
        controller.error(new TypeError('terminated'));
      },
    });
    const response = (): Response => new Response(body, { headers: HEADERS });
    expect(await failure(write(faked(response).fetch))).toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'unknown' });
  });
});

describe('streams', () => {
  function streaming(): { push(text: string): void; end(): void; fail(error: Error): void; response: Response } {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (made) => void (controller = made) }, { highWaterMark: 0 });
    return {
      push: (text) => controller.enqueue(new TextEncoder().encode(text)),
      end: () => controller.close(),
      fail: (error) => controller.error(error),
      response: new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
    };
  }
  const WATCH = { span: { prefix: 'a' }, from: 7, after: 'p6', prev: true, filter: 'put', idleMs: 25_000 } as const;

  async function opened(): Promise<
    ReturnType<typeof streaming> & { time: FakeTime; sent: Sent[]; next(): Promise<RawBatch | null>; close(): void }
  > {
    const body = streaming();
    const { fetch, sent } = faked(() => body.response);
    const { node, time } = transport(fetch);
    const stream = await node.watch(WATCH, attempt());
    return { ...body, time, sent, next: () => stream.next(), close: () => stream.close() };
  }

  test('batches, progress, positions', async () => {
    const made = await opened();
    expect(made.sent[0]).toMatchObject({
      url: 'http://n1:7101/v1/watch?prefix=a&from=7&prev=true&filter=put&timeout=3000',
      headers: { accept: 'text/event-stream', 'last-event-id': 'p6' },
    });
    const deletion = { type: 'delete', key: 'b', value: '', encoding: 'utf8', modRevision: 8, prev: ENTRY };
    made.push(`event: progress\nid: p6\ndata: {"revision":6}\n\n: heartbeat\n\nid: p8\ndata: `);
    made.push(`${JSON.stringify({ revision: 8, events: [{ type: 'put', ...ENTRY }, deletion] })}\n\n`);
    expect(await made.next()).toEqual({ revision: 6, events: [], position: 'p6' });
    expect(await made.next()).toMatchObject({
      revision: 8,
      position: 'p8',
      events: [
        { type: 'put', entry: { key: 'a', modRevision: 5 } },
        { type: 'delete', entry: { key: 'b', modRevision: 8, version: 0 }, prev: { key: 'a' } },
      ],
    });
    made.end();
    expect(await made.next()).toBeNull();
  });

  test('the error event is told as what it is', async () => {
    const made = await opened();
    made.push(
      'event: error\ndata: {"status":410,"code":"ERR_COMPACTED","detail":"gone","outcome":"none","compactRevision":50}\n\n',
    );
    expect(await failure(made.next())).toMatchObject({ code: 'ERR_COMPACTED', details: { compactRevision: 50 } });
  });

  test('a problem instead of a stream', async () => {
    const { node } = transport(faked(problem(410, 'ERR_COMPACTED', { compactRevision: 50 })).fetch);
    expect(await failure(node.watch(WATCH, attempt()))).toMatchObject({ code: 'ERR_COMPACTED' });
  });

  test('a connection that died without a word is given up; heartbeats are words', async () => {
    const made = await opened();
    const next = made.next();
    for (let i = 0; i < 5; i++) {
      await made.time.pass(20_000);
      made.push(': heartbeat\n\n');
      await settle();
    }
    const over = failure(next);
    await made.time.pass(24_999);
    expect(made.sent[0]!.signal.aborted).toBe(false);
    await made.time.pass(1);
    expect(await over).toMatchObject({ code: 'ERR_UNAVAILABLE' });
    expect(made.sent[0]!.signal.aborted).toBe(true);
  });

  test('whoever asks for nothing is not given up', async () => {
    const made = await opened();
    made.push('event: progress\ndata: {"revision":6}\n\n');
    await made.next();
    await made.time.pass(3_600_000);
    expect(made.sent[0]!.signal.aborted).toBe(false);
  });

  test('a connection that breaks', async () => {
    const made = await opened();
    made.fail(new TypeError('terminated'));
    expect(await failure(made.next())).toMatchObject({ code: 'ERR_UNAVAILABLE' });
  });

  test('close ends the request and whoever waits', async () => {
    const made = await opened();
    const next = made.next();
    made.close();
    made.close();
    expect(await next).toBeNull();
    expect(made.sent[0]!.signal.aborted).toBe(true);
    expect(made.time.pending).toBe(0);
  });

  test('the attempt ends with the stream: aborting it later does nothing, aborting it before does', async () => {
    const body = streaming();
    const { fetch, sent } = faked(() => body.response);
    const later = new AbortController();
    const { node } = transport(fetch);
    await node.watch(WATCH, attempt({ signal: later.signal }));
    later.abort();
    expect(sent[0]!.signal.aborted).toBe(false);

    const hanging = faked(() => new Promise<Response>(() => undefined));
    const before = new AbortController();
    void transport(hanging.fetch).node.watch(WATCH, attempt({ signal: before.signal }));
    await settle();
    before.abort();
    expect(hanging.sent[0]!.signal.aborted).toBe(true);
  });
});

describe('connect', () => {
  test('nothing is sent before something is asked', async () => {
    const { fetch, sent } = faked(ok({ id: '900', ttlMs: 60_000 }, 201), ok({ revision: 1, created: true }), ok(ENTRY));
    const client = connect('http://n1:7101/', { fetch });
    await settle();
    expect(sent).toHaveLength(0);
    expect(await client.put('a', '1')).toEqual({ revision: 1, created: true });
    expect((await client.get('a'))?.value).toBe('1');
    expect(sent.map(({ method, url }) => [method, url])).toEqual([
      ['POST', 'http://n1:7101/v1/leases?timeout=3000'],
      ['PUT', 'http://n1:7101/v1/kv/a?timeout=3000'],
      ['GET', 'http://n1:7101/v1/kv/a?timeout=3000'],
    ]);
    await client.close();
  });

  test('a transaction, from the builders to the wire and back', async () => {
    const { fetch, sent } = faked(ok({ succeeded: false, revision: 4, responses: [{ get: ENTRY }] }));
    await using client = connect(['http://n1:7101'], { fetch });
    const { succeeded, responses } = await client.txn(
      { if: [value('a').is('3')], then: [put('a', '2')], else: [get('a')] },
      { once: { key: 'k' } },
    );
    if (succeeded) throw new Error('the other branch');
    expect(responses[0].entry?.value).toBe('1');
    expect(sent[0]!.body).toBe(
      '{"if":[{"key":"a","target":"value","op":"=","value":"3"}],' +
        '"then":[{"put":{"key":"a","value":"2","contentType":"text/plain; charset=utf-8"}}],"else":[{"get":{"key":"a"}}]}',
    );
    expect((await client.with(bytes).txn({ else: [get('a')] }, { once: false })).succeeded).toBe(false);
  });

  test('an endpoint may stand behind a path', () => {
    expect(baseUrlOf('https://proxy/kvorum/')).toBe('https://proxy/kvorum');
    expect(baseUrlOf('HTTP://[::1]:7101')).toBe('http://[::1]:7101');
  });

  test.each([[[]], ['localhost:7101'], ['ftp://n1'], ['http://n1/?a=b'], ['http://u@n1'], ['']])(
    '%j is refused',
    (endpoints) => {
      expect(() => connect(endpoints)).toThrow(KvorumError);
    },
  );

  test.each([
    { timeout: '0s' },
    { timeout: 'soon' },
    { sessionWindow: 0 },
    { sessionWindow: 1024 },
    { sessionTtl: '10ms' },
  ])('%j is refused', (options) => {
    expect(() => connect('http://n1', options)).toThrow(KvorumError);
  });
});
