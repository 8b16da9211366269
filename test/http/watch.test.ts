/** Watches as they go over the wire: events, positions, heartbeats, slow clients, ends. */
import { expect, test } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import type { KvEntry } from '../../src/kv/types.ts';
import type { WatchBatch, WatchOptions } from '../../src/node/coordination.ts';
import { FakeWatch } from './fake-coordination.ts';
import type { FakeNode } from './fake-node.ts';
import { eventually, serve, Wire } from './wire.ts';

const entry = (key: string, revision: number, value: string | Uint8Array = 'x'): KvEntry => ({
  key,
  value: Buffer.from(value as string),
  createRevision: revision,
  modRevision: revision,
  version: 1,
  lease: null,
  contentType: 'text/plain',
});

const put = (key: string, revision: number, value?: string | Uint8Array): WatchBatch => ({
  revision,
  events: [{ type: 'put', entry: entry(key, revision, value) }],
});

const id = (revision: number): string => Buffer.from(`1.${revision}`).toString('base64url');

function optionsOf(node: FakeNode): WatchOptions {
  const { signal, ...options } = node.calls.at(-1)!.options as WatchOptions;
  expect(signal).toBeInstanceOf(AbortSignal);
  return options;
}

test('what a client reads', async () => {
  const { node, listen } = await serve();
  const stream = await listen('/v1/watch?prefix=a&from=5', { 'x-request-id': 'r-1' });
  expect(stream.response.headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
    'x-group': '1',
    'x-revision': '0',
    'x-raft-term': '3',
    'x-served-by': 'n1',
    'x-request-id': 'r-1',
  });
  expect(stream.response.headers['transfer-encoding']).toBeUndefined();
  const gone = { ...entry('ab', 6, ''), createRevision: 0, version: 0, contentType: null };
  node.watches[0]!.push(
    put('ab', 5, 'two\nlines\r\n'),
    {
      revision: 6,
      events: [
        { type: 'delete', entry: gone, prev: entry('ab', 5, Buffer.from([255])) },
        { type: 'put', entry: entry('\xff', 6), prev: null },
      ],
    },
    { revision: 9, events: [] },
  );
  await stream.until(({ events }) => events.length === 4);
  // Where it begins, at once.
  expect(stream.events[0]).toEqual({ event: 'progress', id: id(4), data: '{"revision":4}' });
  expect(stream.events[1]).toEqual({
    id: id(5),
    data: '{"revision":5,"events":[{"type":"put","key":"ab","value":"two\\nlines\\r\\n","encoding":"utf8","createRevision":5,"modRevision":5,"version":1,"lease":null,"contentType":"text/plain"}]}',
  });
  expect(JSON.parse(stream.events[2]!.data!)).toEqual({
    revision: 6,
    events: [
      {
        type: 'delete',
        key: 'ab',
        value: '',
        encoding: 'utf8',
        createRevision: 0,
        modRevision: 6,
        version: 0,
        lease: null,
        contentType: 'application/octet-stream',
        prev: {
          key: 'ab',
          value: '/w==',
          encoding: 'base64',
          createRevision: 5,
          modRevision: 5,
          version: 1,
          lease: null,
          contentType: 'text/plain',
        },
      },
      expect.objectContaining({ type: 'put', key: '_w', keyEncoding: 'base64url', prev: null }),
    ],
  });
  expect(stream.events[3]).toEqual({ event: 'progress', id: id(9), data: '{"revision":9}' });
});

test('options reach the node', async () => {
  const { node, listen } = await serve();
  const ask = async (query: string, headers = {}): Promise<WatchOptions> => {
    await listen(`/v1/watch${query}`, headers);
    return optionsOf(node);
  };
  expect(await ask('')).toEqual({ timeoutMs: 4000 });
  expect(await ask('?prefix=&from=1')).toEqual({ timeoutMs: 4000, from: 1 });
  expect(await ask('?key=a%2Fb&prev=true&filter=put&timeout=9s')).toEqual({
    timeoutMs: 9000,
    key: 'a/b',
    prev: true,
    filter: 'put',
  });
  expect(await ask('?start=a&end=b&filter=delete&prev=false')).toEqual({
    timeoutMs: 4000,
    start: 'a',
    end: 'b',
    filter: 'delete',
  });
  expect(await ask('?prefix=_w&keyEncoding=base64url')).toEqual({ timeoutMs: 4000, prefix: Buffer.from([255]) });
  // Where the last event was, the next one follows; that is stronger than from.
  expect(await ask('?from=3', { 'last-event-id': id(41) })).toEqual({ timeoutMs: 4000, from: 42 });
  expect(await ask('', { 'last-event-id': id(0) })).toEqual({ timeoutMs: 4000, from: 1 });
});

test('a stream goes on where another one ended, also before its first event', async () => {
  const { node, listen } = await serve();
  const first = await listen('/v1/watch?from=7');
  await first.until(({ events }) => events.length === 1);
  first.close();
  await listen('/v1/watch', { 'last-event-id': first.events[0]!.id! });
  expect(optionsOf(node).from).toBe(7);
});

test.each([
  ['option', 'key', '?key=a&prefix=b'],
  ['option', 'key', '?key=a&start=b'],
  ['option', 'prefix', '?prefix=a&end=b'],
  ['option', 'from', '?from=0'],
  ['option', 'from', '?from=x'],
  ['option', 'prev', '?prev=1'],
  ['option', 'filter', '?filter=all'],
  ['option', 'keyEncoding', '?keyEncoding=hex'],
  ['option', 'timeout', '?timeout=61s'],
  ['option', 'revision', '?revision=1'],
  ['header', 'last-event-id', '', 'x'],
  ['header', 'last-event-id', '', '7'],
  ['header', 'last-event-id', '', Buffer.from('2.7').toString('base64url')],
  ['header', 'last-event-id', '', Buffer.from('1.07').toString('base64')],
  ['header', 'last-event-id', '', `${Buffer.from('1.7').toString('base64url')}!`],
])('%s %s at fault: %s %s', async (kind, name, query, last?: string) => {
  const { node, send } = await serve();
  const answer = await send(`/v1/watch${query}`, { headers: last === undefined ? {} : { 'last-event-id': last } });
  expect(answer.status).toBe(400);
  expect(answer.json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', [kind]: name });
  expect(node.calls).toEqual([]);
});

test('a start that is compacted is refused before the stream', async () => {
  const { node, send } = await serve();
  node.error = new KvorumError('ERR_COMPACTED', 'gone', { details: { compactRevision: 9 } });
  const answer = await send('/v1/watch?from=3');
  expect(answer.status).toBe(410);
  expect(answer.headers['content-type']).toBe('application/problem+json');
  expect(answer.json).toMatchObject({ code: 'ERR_COMPACTED', compactRevision: 9 });
  expect((await send('/v1/watch?key=%2A&keyEncoding=base64url')).json['code']).toBe('ERR_BAD_KEY');
});

test.each([
  ['what is compacted meanwhile', new KvorumError('ERR_COMPACTED', 'gone', { details: { compactRevision: 9 } }), 410],
  ['a node that closes', new KvorumError('ERR_CLOSED', 'the node is closed'), 503],
  ['a bug', new TypeError('secret'), 500],
])('%s ends the stream by an event', async (_what, error, status) => {
  const { node, listen } = await serve();
  const stream = await listen('/v1/watch');
  node.watches[0]!.push(put('a', 1));
  node.watches[0]!.fail(error);
  await stream.until(({ ended }) => ended);
  expect(stream.response.complete).toBe(true);
  expect(stream.data).toHaveLength(1);
  const last = stream.events.at(-1)!;
  expect([last.event, last.id]).toEqual(['error', undefined]);
  expect(JSON.parse(last.data!)).toMatchObject({ status, outcome: 'none', requestId: expect.any(String) });
  expect(last.data).not.toContain('secret');
  expect(node.watches[0]!.closed).toBe(true);
});

test('heartbeats, with the position when it has moved', async () => {
  const { node, listen } = await serve({ streamHeartbeatMs: 20 });
  const stream = await listen('/v1/watch?key=a');
  await stream.until(({ all }) => all.filter(({ comment }) => comment !== undefined).length >= 3);
  expect(stream.events).toHaveLength(1);
  // Others wrote: nothing to tell, but the client must not come back to what is long compacted.
  node.watches[0]!.position = 1001;
  await stream.until(({ events }) => events.length === 2);
  expect(stream.events[1]).toEqual({ event: 'progress', id: id(1000), data: '{"revision":1000}' });
  const before = stream.all.length;
  await stream.until(({ all }) => all.length >= before + 3);
  expect(stream.events).toHaveLength(2);
});

test('a client that hangs up closes its watch', async () => {
  const { node, port, listen, send } = await serve();
  const stream = await listen('/v1/watch');
  stream.close();
  await eventually(() => node.watches[0]!.closed);
  // While it is still asked where to begin, too.
  const release = node.hold();
  const wire = new Wire(port);
  wire.write('GET /v1/watch HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => node.calls.length === 2);
  const { signal } = node.calls[1]!.options;
  wire.socket.destroy();
  await eventually(() => signal!.aborted);
  release();
  expect((await send('/metrics')).text).toContain('kvorum_http_streams 0');
});

test('a watch that stands only after its client has gone is closed', async () => {
  const { node, port } = await serve();
  let stand = (): void => undefined;
  const watch = new FakeWatch(1);
  node.script.set('watch', () => new Promise((resolve) => (stand = () => resolve(watch))));
  const wire = new Wire(port);
  wire.write('GET /v1/watch HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => node.calls.length === 1);
  wire.socket.destroy();
  await eventually(() => node.calls[0]!.options.signal!.aborted);
  stand();
  await eventually(() => watch.closed);
});

test('a slow client is not read ahead for, and gets everything in the end', async () => {
  const { node, listen } = await serve();
  const stream = await listen('/v1/watch?from=1');
  await stream.until(({ events }) => events.length === 1);
  stream.response.pause();
  const value = 'v'.repeat(100_000);
  const batches = Array.from({ length: 400 }, (_, i) => put('a', i + 1, value));
  const watch = node.watches[0]!;
  watch.push(...batches);
  // 40 MB are more than sockets hold: what is left stays with the node.
  let polls = -1;
  while (polls !== watch.polls) {
    polls = watch.polls;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  expect(watch.waiting).toBeGreaterThan(100);
  stream.response.resume();
  await stream.until(({ text }) => text.length > 40_000_000 && text.endsWith('\n\n'));
  expect(stream.data.map(({ revision }) => revision)).toEqual(batches.map(({ revision }) => revision));
});

test('a client that takes nothing is cut off', async () => {
  const { node, port, send } = await serve({ streamStallMs: 50, streamHeartbeatMs: 20 });
  const wire = new Wire(port);
  wire.write('GET /v1/watch HTTP/1.1\r\nHost: a\r\n\r\n');
  await wire.until(({ received }) => received.includes('event: progress'));
  wire.socket.pause();
  const watch = node.watches[0]!;
  for (let revision = 1; revision <= 400; revision++) watch.push(put('a', revision, 'v'.repeat(100_000)));
  await eventually(() => watch.closed);
  expect(watch.waiting).toBeGreaterThan(100);
  expect((await send('/metrics')).text).toContain('kvorum_http_streams 0');
  wire.socket.resume();
  await wire.until(({ closed }) => closed);
  // Its last words are there if it reads at all after that.
  const said = wire.received.indexOf('event: error');
  if (said !== -1) expect(wire.received.slice(said)).toContain('ERR_OVERLOADED');
});

test('streams are counted by themselves, and bounded', async () => {
  const { listen, send } = await serve({ maxInflightRequests: 1, maxStreams: 3 });
  const streams = [await listen('/v1/watch'), await listen('/v1/elections/a/observe'), await listen('/v1/watch')];
  expect((await send('/v1/cluster')).status).toBe(200);
  for (const target of ['/v1/watch', '/v1/elections/a/observe']) {
    const refused = await send(target);
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    expect(refused.json).toMatchObject({ code: 'ERR_OVERLOADED', retryable: true, outcome: 'none' });
  }
  const { text } = await send('/metrics');
  expect(text).toContain('kvorum_http_streams 3\n');
  expect(text).toContain('kvorum_http_shed_total{reason="streams"} 2');
  expect(text).toContain('kvorum_http_requests_total{method="GET",route="/v1/watch",status="200"} 2');
  streams[0]!.close();
  let again = 503;
  while (again === 503) {
    again = await listen('/v1/watch').then(
      () => 200,
      () => 503,
    );
  }
});

test('streams end when the server does', async () => {
  const { node, server, listen } = await serve();
  const stream = await listen('/v1/watch');
  await stream.until(({ events }) => events.length === 1);
  server.stopAccepting();
  await stream.until(({ ended }) => ended);
  expect(JSON.parse(stream.events.at(-1)!.data!)).toMatchObject({ code: 'ERR_CLOSED', status: 503 });
  expect(node.watches[0]!.closed).toBe(true);
  await server.close();
});

test('a thousand watchers of the same: each gets everything in order, and it is written once', async () => {
  const { node, listen } = await serve();
  const streams = await Promise.all(Array.from({ length: 1000 }, () => listen('/v1/watch')));
  let read = 0;
  for (let revision = 1; revision <= 20; revision++) {
    const { events } = put('a', revision);
    const batch: WatchBatch = {
      revision,
      get events() {
        read++;
        return events;
      },
    };
    for (const watch of node.watches) watch.push(batch);
    if (revision % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(streams.map((stream) => stream.until(({ text }) => text.includes('"revision":20,'))));
  for (const stream of streams) {
    expect(stream.data.map(({ revision }) => revision)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  }
  // Once to see whether it is progress, for each; the writing itself reads it once more a batch.
  expect(read).toBe(20 * 1000 + 20);
  for (const stream of streams) stream.close();
});
