/** The client over a node in the same process, and what its transport makes of requests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { EmbeddedTransport } from '../../src/client/embedded-transport.ts';
import { bytes, json, put, value } from '../../src/client/index.ts';
import type { Attempt } from '../../src/client/api.ts';
import { startNode } from '../../src/index.ts';
import type { EmbeddedNode } from '../../src/index.ts';

let directory: string;
let node: EmbeddedNode;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kvorum-embedded-'));
  node = await startNode({ dataDir: directory, http: { port: 0 } });
});

afterAll(async () => {
  await node.close();
  await rm(directory, { recursive: true, force: true });
});

test('the whole client works on it', async () => {
  const client = node.client({ owner: 'test' });
  await client.put('a', 'one');
  expect(await client.get('a')).toMatchObject({ value: 'one', version: 1 });
  await client.with(json<{ n: number }>()).put('j', { n: 1 }, { condition: 'absent' });
  await expect(client.put('j', 'x', { condition: 'absent' })).rejects.toMatchObject({ code: 'ERR_CAS_FAILED' });
  const { succeeded } = await client.txn({ if: [value('a').is('one')], then: [put('a', 'two')] });
  expect(succeeded).toBe(true);
  expect((await client.list({ prefix: '' })).entries.map(({ key }) => key)).toEqual(['a', 'j']);
  expect((await client.with(bytes).get('a'))?.value).toEqual(new TextEncoder().encode('two'));

  const watch = client.watch({ prefix: 'w/' });
  await watch.ready();
  await client.put('w/1', 'x');
  expect((await watch.next()).value).toMatchObject({ events: [{ key: 'w/1', value: 'x' }] });
  await watch.close();

  const lock = await client.lock('l', { wait: '1s' });
  await expect(client.lock('l')).rejects.toMatchObject({ code: 'ERR_LOCK_HELD' });
  await lock.release();
  const election = client.election('e');
  const term = await election.campaign({ value: 'me' });
  for await (const { value: said } of election.observe()) {
    expect(said).toBe('me');
    break;
  }
  await term.close();
  expect(await client.counter('c').add(2)).toBe(2);
  expect((await client.cluster()).name).toBe('n1');
  expect(await client.delete('a')).toMatchObject({ deleted: 1 });
  await client.close();
  await expect(client.get('a')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
});

test('a position of a watch is good for any way to the node', async () => {
  const transport = new EmbeddedTransport(node);
  const attempt: Attempt = { timeoutMs: 1000, once: null, signal: new AbortController().signal };
  const request = { span: { prefix: 'p/' }, from: null, after: null, prev: false, filter: null, idleMs: 1000 };
  const stream = await transport.watch(request, attempt);
  const begin = await stream.next();
  expect(begin).toMatchObject({ events: [], revision: node.head().revision });
  await node.put('p/1', 'x');
  await node.put('p/2', 'x');
  const first = await stream.next();
  stream.close();
  expect(await stream.next()).toBeNull();

  const again = await transport.watch({ ...request, after: first!.position }, attempt);
  expect(await again.next()).toMatchObject({ revision: first!.revision, events: [] });
  expect(await again.next()).toMatchObject({ events: [{ entry: { key: 'p/2' } }] });
  again.close();
  const response = await fetch(`${node.url}/v1/watch?prefix=p/`, { headers: { 'last-event-id': first!.position! } });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('p/2')) text += (await reader.read()).value ?? '';
  expect(text).not.toContain('p/1');
  expect(text).toContain(`id: ${first!.position!}\n`);
  await reader.cancel();
  await expect(transport.watch({ ...request, after: 'nonsense' }, attempt)).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
  });
});

test('clients end with the node, and give back what they hold', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'kvorum-embedded-'));
  const one = await startNode({ dataDir: dir });
  const client = one.client();
  const lock = await client.lock('held', { ttl: '1h' });
  await one.close();
  expect(lock.signal.aborted).toBe(true);
  await expect(client.get('a')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  expect(() => one.client()).toThrow(/closed/u);
  const again = await startNode({ dataDir: dir });
  expect((await again.locks.get('held')).holders).toEqual([]);
  await again.close();
  await rm(dir, { recursive: true, force: true });
});
