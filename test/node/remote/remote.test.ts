/** A node that is called from elsewhere answers as it answers in its own process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { startNode } from '../../../src/index.ts';
import type { KvorumNode } from '../../../src/index.ts';
import { MAX_INFLIGHT, METHOD, STREAM_BATCHES } from '../../../src/node/remote/protocol.ts';
import type { RemoteNode } from '../../../src/node/remote/remote-node.ts';
import { wireTo } from './wire.ts';
import type { Wire } from './wire.ts';

let directory: string;
let node: KvorumNode;
let wire: Wire;
let remote: RemoteNode;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kvorum-remote-'));
  node = await startNode({ dataDir: directory });
});

beforeEach(() => {
  wire = wireTo(node);
  ({ remote } = wire);
});

afterAll(async () => {
  await node.close();
  await rm(directory, { recursive: true, force: true });
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, field: unknown) => (field instanceof Uint8Array ? [...field] : field)));

describe('single keys', () => {
  test('are put, got and deleted, with everything that is known of them', async () => {
    const first = await remote.put('kv/a', 'one', { contentType: 'text/plain' });
    expect(first).toEqual({ revision: node.head().revision, created: true });
    const second = await remote.put(bytes('kv/a'), bytes('two'), { prev: true, timeoutMs: 1000 });
    expect(second).toMatchObject({ created: false, prev: { contentType: 'text/plain', version: 1 } });
    expect(plain((await remote.get('kv/a')).entry)).toEqual(plain((await node.get('kv/a')).entry));
    expect(plain((await remote.get('kv/a', { revision: first.revision })).entry)).toMatchObject({ version: 1 });
    expect(await remote.delete('kv/a', { prev: true })).toMatchObject({ deleted: 1, prev: { version: 2 } });
    expect((await remote.get('kv/a', { consistency: 'stale' })).entry).toBeNull();
    expect(await remote.delete('kv/a', { prev: true })).toMatchObject({ deleted: 0, prev: null });
    expect(await remote.put('kv/none', '', { prev: true })).toMatchObject({ prev: null });
  });

  test('a condition that does not hold tells what is there', async () => {
    const { revision } = await remote.put('cond', 'x');
    await expect(remote.put('cond', 'y', { condition: { type: 'absent' } })).rejects.toMatchObject({
      code: 'ERR_CAS_FAILED',
      outcome: 'none',
      details: { current: { modRevision: revision, value: bytes('x') } },
    });
    await remote.put('cond', 'y', { condition: { type: 'modRevision', revision } });
    await remote.delete('cond', { condition: { type: 'exists' } });
    await expect(remote.delete('cond', { condition: { type: 'exists' } })).rejects.toMatchObject({
      code: 'ERR_CAS_FAILED',
    });
  });

  test('a write under a key is made once', async () => {
    const once = { key: 'remote-once' };
    const first = await remote.put('once', 'x', { once });
    expect(await remote.put('once', 'x', { once })).toEqual({ ...first, replayed: true });
    const { id: session } = await remote.leases.grant({ ttlMs: 60_000 });
    const numbered = { session, sequence: 1, lowestUnanswered: 1 };
    const added = await remote.counters.add('once', 1, { once: numbered });
    expect(await remote.counters.add('once', 1, { once: numbered })).toEqual({ ...added, replayed: true });
  });

  test('what the node refuses is refused with its code', async () => {
    await expect(remote.get('')).rejects.toMatchObject({ code: 'ERR_BAD_KEY' });
    await expect(remote.get('\ud800')).rejects.toMatchObject({ code: 'ERR_BAD_KEY' });
    await expect(remote.put('a', 'x', { timeoutMs: -1 })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await expect(remote.get('a', { revision: 1e9 })).rejects.toMatchObject({ code: 'ERR_FUTURE_REVISION' });
    await expect(remote.put('a', new Uint8Array(2 * 1024 * 1024))).rejects.toMatchObject({
      code: 'ERR_TOO_LARGE',
      details: { limit: 1024 * 1024 },
    });
  });
});

test('ranges, lists and transactions', async () => {
  await Promise.all(['r/a', 'r/b', 'r/c', 'r/\xe9'].map((key) => remote.put(key, key)));
  const page = await remote.list({ prefix: 'r/', limit: 2 });
  expect(plain(page)).toEqual(plain(await node.list({ prefix: 'r/', limit: 2 })));
  const next = await remote.list({ cursor: page.nextCursor!, keysOnly: true });
  expect(plain(next)).toEqual(plain(await node.list({ cursor: page.nextCursor!, keysOnly: true })));
  expect(next.entries[0]).not.toHaveProperty('value');
  expect(await remote.list({ start: 'r/a', end: 'r/c', countOnly: true })).toMatchObject({ count: 2, entries: [] });
  const request = {
    if: [
      { key: 'r/a', target: 'value', operator: '=', value: bytes('r/a') },
      { key: 'r/x', target: 'version', operator: '=', value: 0 },
      { key: 'r/a', target: 'lease', operator: '=', value: null },
      { lock: 'nobody', target: 'token', operator: '=', value: 0 },
    ],
    then: [
      { put: { key: 'r/x', value: 'x', prev: true } },
      { delete: { key: 'r/a', prev: true } },
      { get: { key: 'r/x' } },
      { range: { prefix: 'r/', limit: 2, keysOnly: true } },
      { delete: { start: 'r/b', end: 'r/c' } },
    ],
    else: [{ get: { key: 'r/b' } }],
  } as const;
  const done = await remote.txn(request);
  expect(done).toMatchObject({
    succeeded: true,
    responses: [
      { put: { prev: null } },
      { delete: { deleted: 1, prev: { key: 'r/a' } } },
      { get: { key: 'r/x', value: bytes('x') } },
      { range: { count: 4 } },
      { delete: { deleted: 1 } },
    ],
  });
  expect(await remote.txn(request)).toMatchObject({ succeeded: false, responses: [{ get: null }] });
  expect(await remote.deleteRange({ prefix: 'r/' })).toMatchObject({ deleted: 3 });
  const { revision } = node.head();
  expect(await remote.compact(revision - 1)).toMatchObject({ compactedRevision: revision - 1 });
  await expect(remote.get('r/a', { revision: 1 })).rejects.toMatchObject({
    code: 'ERR_COMPACTED',
    details: { compactRevision: revision - 1 },
  });
});

test('leadership is handed over, or not', async () => {
  await expect(remote.transferLeadership('n9')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND', outcome: 'none' });
  // There is nobody else.
  await expect(remote.transferLeadership()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  expect(await remote.transferLeadership(node.name, { timeoutMs: 2000 })).toEqual({ leader: node.name });
});

test('leases, locks, elections, barriers and counters', async () => {
  const owner = { who: 'me', deep: [1, null, { a: 'b' }] };
  const lease = await remote.leases.grant({ ttlMs: 30_000, owner });
  expect(await remote.leases.renew(lease.id)).toMatchObject({ id: lease.id, ttlMs: 30_000 });
  expect(await remote.leases.get(lease.id)).toMatchObject({ owner, keys: [], locks: [] });
  expect((await remote.leases.list({ after: String(Number(lease.id) - 1) }))[0]).toMatchObject({ id: lease.id });

  const lock = await remote.locks.acquire('l', { lease: lease.id, mode: 'write' });
  expect(await remote.locks.get('l')).toEqual(await node.locks.get('l'));
  await expect(remote.locks.acquire('l', { ttlMs: 5000 })).rejects.toMatchObject({
    code: 'ERR_LOCK_HELD',
    details: { holder: { token: lock.token } },
  });
  expect(await remote.locks.renew('l', { token: lock.token })).toEqual({ ttlMs: 30_000 });
  expect(await remote.locks.list({ prefix: 'l' })).toHaveLength(1);
  const waiting = remote.locks.acquire('l', { ttlMs: 5000, waitMs: 5000 });
  expect(await remote.locks.release('l', { lease: lease.id })).toMatchObject({ released: true });
  expect((await waiting).token).toBeGreaterThan(lock.token);
  expect(await remote.locks.break('l')).toMatchObject({ broken: 1 });

  const term = await remote.elections.campaign('e', { lease: lease.id, value: 'first' });
  const observation = remote.elections.observe('e');
  expect((await observation.next()).value).toMatchObject({ value: 'first', token: term.token });
  await remote.elections.proclaim('e', { token: term.token, value: 'second' });
  expect((await observation.next()).value).toMatchObject({ value: 'second' });
  expect(await remote.elections.resign('e', { token: term.token })).toMatchObject({ resigned: true });
  expect((await observation.next()).value).toMatchObject({ leader: null });
  observation.close();
  expect(await remote.elections.get('e')).toMatchObject({ leader: null });
  await expect(remote.elections.proclaim('e', { token: 1, value: 'x' })).rejects.toMatchObject({
    code: 'ERR_LOCK_LOST',
  });

  const entering = remote.barriers.enter('b', { parties: 2, waitMs: 5000 });
  await remote.barriers.enter('b', { parties: 2, waitMs: 5000 });
  await entering;
  expect(await remote.barriers.get('b')).toMatchObject({ name: 'b', entered: 0 });

  expect(await remote.counters.add('c', 5)).toMatchObject({ value: 5 });
  expect(await remote.counters.add('c')).toMatchObject({ value: 6 });
  expect(await remote.counters.get('c')).toMatchObject({ value: 6 });
  expect(await remote.counters.delete('c')).toMatchObject({ deleted: true });
  expect(await remote.leases.revoke(lease.id)).toMatchObject({ deleted: 0 });
  await expect(remote.leases.renew(lease.id)).rejects.toMatchObject({ code: 'ERR_LEASE_NOT_FOUND' });
  expect(plain(await remote.clusterInfo())).toEqual(plain(node.cluster()));
});

test('what is asked in one turn travels in one frame, and so do the answers', async () => {
  await remote.put('batch', 'x');
  wire.sent.requests = 0;
  wire.sent.answers = 0;
  await Promise.all(Array.from({ length: 100 }, (_, i) => remote.put(`batch/${i}`, 'x')));
  expect(wire.sent.requests).toBe(1);
  expect(wire.sent.answers).toBeLessThanOrEqual(3);
});

test('an abort of a wait is told to the node, which gives up the place', async () => {
  const held = await remote.locks.acquire('abort', { ttlMs: 30_000 });
  const controller = new AbortController();
  const waiting = remote.locks.acquire('abort', { ttlMs: 30_000, waitMs: 30_000, signal: controller.signal });
  await expect.poll(async () => (await node.locks.get('abort')).queue.length).toBe(1);
  controller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect.poll(async () => (await node.locks.get('abort')).queue.length).toBe(0);
  await remote.locks.release('abort', { token: held.token });
  expect(wire.session.inflight).toBe(0);
});

test('a cut wire ends what waits: unknown if it was sent, and the node forgets it', async () => {
  const held = await node.locks.acquire('cut', { ttlMs: 30_000 });
  const waiting = remote.locks.acquire('cut', { ttlMs: 30_000, waitMs: 30_000 });
  await expect.poll(async () => (await node.locks.get('cut')).queue.length).toBe(1);
  const unsent = remote.put('cut', 'x');
  wire.cut();
  await expect(waiting).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'unknown' });
  await expect(unsent).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'none' });
  await expect(remote.get('cut')).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE', outcome: 'none' });
  await expect.poll(async () => (await node.locks.get('cut')).queue.length).toBe(0);
  await node.locks.release('cut', { token: held.token });
});

describe('calls in flight', () => {
  test('have a bound on the side of who asks, and on the side of the node', async () => {
    const many = Array.from({ length: MAX_INFLIGHT }, (_, i) => remote.get(`flood/${i}`));
    await expect(remote.get('flood')).rejects.toMatchObject({ code: 'ERR_OVERLOADED', outcome: 'none' });
    await Promise.all(many);

    // One that does not keep to it.
    const { encodeFrame, ANSWERS, REQUESTS, decodeFrame } = await import('../../../src/node/remote/protocol.ts');
    const held = await node.locks.acquire('flood', { ttlMs: 30_000 });
    const requests = Array.from({ length: MAX_INFLIGHT + 10 }, (_, i) => [
      i + 1,
      METHOD.lockAcquire,
      'flood',
      { waitMs: 20, ttlMs: 5000 },
    ]);
    const answers: unknown[][] = [];
    const { Session } = await import('../../../src/node/remote/session.ts');
    const session = new Session({
      node,
      send: (parts) => {
        answers.push(...(decodeFrame(ANSWERS, Buffer.concat(parts)).slice(2) as unknown[][]));
        return true;
      },
      room: () => true,
      overflow: () => {},
      later: (task) => void setImmediate(task),
    });
    session.frame(Buffer.concat(encodeFrame(REQUESTS, requests)));
    await expect.poll(() => answers.length, { timeout: 8000 }).toBe(MAX_INFLIGHT + 10);
    expect(answers.filter(([, , code]) => code === 'ERR_OVERLOADED').length).toBeGreaterThanOrEqual(10);
    expect(session.inflight).toBe(0);
    await node.locks.release('flood', { token: held.token });
  });
});

describe('watches', () => {
  test('give every revision once and in order, in as many frames as the credit allows', async () => {
    const watch = await remote.watch({ prefix: 'w/', prev: true });
    expect(watch.position).toBe(node.head().revision + 1);
    const count = 4 * STREAM_BATCHES;
    await Promise.all(Array.from({ length: count }, (_, i) => node.put(`w/${i % 10}`, String(i))));
    const revisions: number[] = [];
    while (revisions.length < count) {
      const { value } = await watch.next();
      revisions.push((value as { revision: number }).revision);
    }
    expect(revisions).toEqual(Array.from({ length: count }, (_, i) => (revisions[0] as number) + i));
    watch.close();
    await expect.poll(() => wire.session.streams).toBe(0);
    expect(await watch.next()).toMatchObject({ done: true });
  });

  test('are not read further than the credit reaches, whoever reads or not', async () => {
    const watch = await remote.watch({ key: 'slow' });
    const value = new Uint8Array(64 * 1024);
    for (let i = 0; i < 40; i++) await node.put('slow', value);
    const before = wire.sent.answers;
    await expect.poll(() => watch.poll()).not.toBeNull();
    // 256 KiB are four of these, and one that goes over.
    expect(wire.sent.answers - before).toBeLessThan(8);
    for (let i = 1; i < 40; i++) expect((await watch.next()).done).toBe(false);
    watch.close();
  });

  test('wait while there is no room to send', async () => {
    const watch = await remote.watch({ key: 'room' });
    wire.room = false;
    await node.put('room', 'x');
    await remote.get('room');
    await remote.get('room');
    expect(watch.poll()).toBeNull();
    wire.room = true;
    expect((await watch.next()).value).toMatchObject({ events: [{ type: 'put', entry: { key: 'room' } }] });
    watch.close();
  });

  test('who are told the same are told with the same bytes', async () => {
    const watches = await Promise.all(Array.from({ length: 50 }, () => remote.watch({ key: 'same' })));
    const before = wire.sent.answers;
    await node.put('same', new Uint8Array(100_000));
    const batches = await Promise.all(watches.map((watch) => watch.next()));
    expect(batches.every(({ value }) => (value as { events: unknown[] }).events.length === 1)).toBe(true);
    expect(wire.sent.answers - before).toBeLessThanOrEqual(3);
    for (const watch of watches) watch.close();
  });

  test('a revision that is larger than a frame arrives as one', async () => {
    const value = new Uint8Array(900_000).fill(7);
    for (let i = 0; i < 20; i++) await node.put(`large/${i}`, value);
    const watch = await remote.watch({ prefix: 'large/', prev: true });
    await node.deleteRange({ prefix: 'large/' });
    const { value: batch } = await watch.next();
    expect((batch as { events: unknown[] }).events).toHaveLength(20);
    watch.close();
  });

  test('end with what the node says', async () => {
    await expect(remote.watch({ from: 1 })).rejects.toMatchObject({ code: 'ERR_COMPACTED' });
    await expect(remote.watch({ key: 'a', prefix: 'b' })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    const watch = await remote.watch({ key: 'end' });
    wire.cut();
    await expect(watch.next()).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE' });
    const controller = new AbortController();
    const again = wireTo(node);
    const aborted = await again.remote.watch({ key: 'end', signal: controller.signal });
    controller.abort();
    expect(await aborted.next()).toMatchObject({ done: true });
    await expect.poll(() => again.session.streams).toBe(0);
  });
});
