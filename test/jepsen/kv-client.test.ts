/** What the lab's client makes of every kind of answer, against a server that says what the test wants. */
import http from 'node:http';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';

import { ALWAYS, KvClient } from './kv-client.ts';
import type { LabNode } from './types.ts';
import { ContractError, Witness } from './witness.ts';

const servers: { close(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const { signal } = new AbortController();

function nodeAt(port: number): LabNode {
  return { url: `http://127.0.0.1:${port}` } as LabNode;
}

async function listening(server: net.Server): Promise<LabNode> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  servers.push(server);
  return nodeAt((server.address() as AddressInfo).port);
}

async function answering(status: number, body: unknown, headers: Record<string, string> = {}): Promise<LabNode> {
  const server = http.createServer((request, response) => {
    request.resume();
    response.writeHead(status, { connection: 'close', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  return await listening(server);
}

function problem(code: string, outcome: string): object {
  return { code, outcome, detail: 'as the test wants it' };
}

const client = (): KvClient => new KvClient(new Witness());

test('a write that was answered is ok', async () => {
  const node = await answering(200, { revision: 7, created: true });
  expect(await client().put(node, 'a', 'x', ALWAYS, signal)).toEqual({ type: 'written', revision: 7 });
});

test.each([
  [503, 'ERR_NO_LEADER', 'none', 'fail'],
  [504, 'ERR_TIMEOUT', 'unknown', 'unknown'],
  [503, 'ERR_CLOSED', 'unknown', 'unknown'],
  [503, 'ERR_OVERLOADED', 'none', 'fail'],
] as const)('a write with %i %s and outcome %s is %s', async (status, code, outcome, type) => {
  const node = await answering(status, problem(code, outcome));
  expect(await client().put(node, 'a', 'x', ALWAYS, signal)).toEqual({ type, error: code });
});

test('a refused connection is a failure', async () => {
  const server = net.createServer();
  const node = await listening(server);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  expect(await client().put(node, 'a', 'x', ALWAYS, signal)).toEqual({ type: 'fail', error: 'ECONNREFUSED' });
});

test('a connection that breaks after the request leaves a write open, and a read did nothing', async () => {
  const node = await listening(net.createServer((socket) => socket.once('data', () => socket.resetAndDestroy())));
  expect(await client().put(node, 'a', 'x', ALWAYS, signal)).toEqual({ type: 'unknown', error: 'ECONNRESET' });
  expect(await client().get(node, 'a', signal)).toEqual({ type: 'fail', error: 'ECONNRESET' });
});

test('a read tells the value with its revision, or that there is none', async () => {
  const node = await answering(200, 'x', { etag: '"7"' });
  expect(await client().get(node, 'a', signal)).toEqual({ type: 'read', entry: { value: 'x', revision: 7 } });
  const empty = await answering(404, problem('ERR_KEY_NOT_FOUND', 'none'));
  expect(await client().get(empty, 'a', signal)).toEqual({ type: 'read', entry: null });
});

test('a condition that does not hold tells what is there', async () => {
  const current = { key: 'a', value: 'y', encoding: 'utf8', modRevision: 9 };
  const node = await answering(412, { ...problem('ERR_CAS_FAILED', 'none'), current });
  const result = await client().put(node, 'a', 'x', { type: 'revision', revision: 7 }, signal);
  expect(result).toEqual({ type: 'refused', current: { value: 'y', revision: 9 } });
});

test.each([
  ['400', 400, problem('ERR_INVALID_ARGUMENT', 'none')],
  ['500', 500, problem('ERR_INTERNAL', 'unknown')],
  ['503 without a problem', 503, 'Service Unavailable'],
  ['412 to a write without a condition', 412, { ...problem('ERR_CAS_FAILED', 'none'), current: null }],
] as const)('%s is against the contract', async (_, status, body) => {
  const node = await answering(status, body);
  await expect(client().put(node, 'a', 'x', ALWAYS, signal)).rejects.toThrow(ContractError);
});

test('a condition that is refused though it holds is against the contract', async () => {
  const current = { key: 'a', value: 'y', encoding: 'utf8', modRevision: 7 };
  const node = await answering(412, { ...problem('ERR_CAS_FAILED', 'none'), current });
  const put = client().put(node, 'a', 'x', { type: 'revision', revision: 7 }, signal);
  await expect(put).rejects.toThrow(/refused, though that is what is there/);
});

test('pages of one list that are of two revisions are against the contract', async () => {
  let revision = 1;
  const server = http.createServer((_, response) => {
    response.end(JSON.stringify({ revision: revision++, entries: [], nextCursor: 'more' }));
  });
  const node = await listening(server);
  await expect(client().list(node, 'a/', { signal })).rejects.toThrow(/revisions 1 and 2/);
});
