/** What a node is given and must not take: each with its code, and the node goes on (or does not begin). */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';

import { problem, type Answer } from './api.ts';
import { Cluster, type ClusterOptions, type NodeProcess } from './cluster.ts';
import { until } from './until.ts';

async function single(options: ClusterOptions = {}): Promise<NodeProcess> {
  const cluster = await Cluster.start({ ...options, nodes: 1 });
  return cluster.node('n1');
}

function summary(answer: Answer): [number, string] {
  return [answer.status, problem(answer).code];
}

/** Exit code and the one line that says why. */
async function refusedStart(node: NodeProcess): Promise<{ code: number | null; line: string }> {
  const { code } = await node.exited;
  const lines = node
    .logs()
    .split('\n')
    .filter((line) => line.startsWith('kvorum: '));
  if (lines.length !== 1) throw new Error(`one line should say why:\n${node.logTail()}`);
  // No stack trace for what an operator can understand and mend.
  expect(node.logs()).not.toMatch(/^ {4}at /m);
  return { code, line: lines[0] ?? '' };
}

describe('over HTTP', () => {
  test('keys, sizes, conditions, options: a stable code each, and the node goes on', async () => {
    const { api } = await single();
    const raw = async (path: string): Promise<[number, string]> => summary(await api.call('PUT', path, { body: 'x' }));
    for (const key of [
      '',
      '%FF',
      '%',
      '%G0',
      '/a',
      'a//b',
      'a/./b',
      '..',
      '%2e%2e',
      'a?keyEncoding=base64url',
      '?keyEncoding=base64url',
    ]) {
      expect([key, ...(await raw(`/v1/kv/${key}`))]).toEqual([key, 400, 'ERR_BAD_KEY']);
    }
    expect(await raw('/v1/kv/a?keyEncoding=hex')).toEqual([400, 'ERR_INVALID_ARGUMENT']);

    const limit = 1024 * 1024;
    expect((await api.put('large', new Uint8Array(limit))).status).toBe(200);
    const tooLarge = await api.put('large', new Uint8Array(limit + 1));
    expect([...summary(tooLarge), problem(tooLarge)['limit']]).toEqual([413, 'ERR_TOO_LARGE', limit]);
    expect((await api.put('k'.repeat(4096), 'x')).status).toBe(200);
    expect(summary(await api.put('k'.repeat(4097), 'x'))[1]).toBe('ERR_TOO_LARGE');

    await api.put('a', '1');
    for (const wrong of ['7', '"', '"x"', 'W/"7"', '"-1"', '']) {
      const answer = await api.put('a', '2', { headers: { 'if-match': wrong } });
      expect([wrong, ...summary(answer)]).toEqual([wrong, 400, 'ERR_INVALID_ARGUMENT']);
    }
    const failed = await api.put('a', '2', { headers: { 'if-match': '"999"' } });
    expect(summary(failed)).toEqual([412, 'ERR_CAS_FAILED']);
    expect(problem(failed)['current']).toMatchObject({ key: 'a', value: '1' });
    expect(summary(await api.put('missing', '2', { headers: { 'if-match': '*' } }))).toEqual([412, 'ERR_CAS_FAILED']);

    expect(summary(await api.get('a', { query: { consistancy: 'stale' } }))).toEqual([400, 'ERR_INVALID_ARGUMENT']);
    for (const query of [{ timeout: 'soon' }, { timeout: '61s' }, { consistency: 'maybe' }, { revision: '-1' }]) {
      const answer = await api.get('a', { query });
      expect([query, ...summary(answer)]).toEqual([query, 400, 'ERR_INVALID_ARGUMENT']);
      expect(problem(answer).detail).toContain(Object.keys(query)[0]);
    }
    expect(summary(await api.call('GET', '/v1/kv?limit=many'))).toEqual([400, 'ERR_INVALID_ARGUMENT']);
    expect(summary(await api.call('GET', '/v1/kv?cursor=nonsense'))).toEqual([400, 'ERR_INVALID_ARGUMENT']);
    expect(summary(await api.get('a', { query: { revision: 1_000_000 } }))).toEqual([400, 'ERR_FUTURE_REVISION']);
    expect(summary(await api.call('DELETE', '/v1/kv'))).toEqual([400, 'ERR_INVALID_ARGUMENT']);
    expect(summary(await api.call('GET', '/v1/nothing'))).toEqual([404, 'ERR_NOT_FOUND']);
    expect((await api.get('a')).body.toString()).toBe('1');
  });

  test('garbage on the HTTP port', async () => {
    const node = await single();
    await sendGarbage(node.httpPort);
    expect((await node.api.put('a', 'x')).status).toBe(200);
    expect(node.alive).toBe(true);
  });

  test('a token that is asked for', async () => {
    const cluster = await Cluster.prepare({ nodes: 1 });
    const node = cluster.node('n1');
    const file = path.join(cluster.directory, 'token');
    await writeFile(file, 'open-sesame\n');
    await node.restart(['--http-token-file', file]);
    expect(summary(await node.api.put('a', 'x'))).toEqual([401, 'ERR_UNAUTHENTICATED']);
    const headers = { authorization: 'Bearer open-sesame' };
    expect((await node.api.put('a', 'x', { headers })).status).toBe(200);
    expect((await node.api.call('GET', '/livez')).status).toBe(200);
  });
});

/** Bytes that are no request, in pieces and at once, from several connections, until the node has closed each. */
async function sendGarbage(port: number): Promise<void> {
  const pieces = [
    randomBytes(64),
    randomBytes(64 * 1024),
    Buffer.alloc(64 * 1024),
    Buffer.from('GET / HTTP/1.1\r\n\u0000\r\n\r\n'),
    Buffer.from('/multistream/1.0.0\n'),
    Buffer.concat([Buffer.from('\u0013/multistream/1.0.0\n\u0007/noise\n'), randomBytes(4096)]),
  ];
  await Promise.all(
    pieces.map(async (bytes) => {
      const socket = net.connect({ host: '127.0.0.1', port });
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.resume();
      // The node may have closed before all of it was written.
      socket.end(bytes);
      await until(() => socket.destroyed, { timeoutMs: 20_000, what: `the node closes a connection on port ${port}` });
    }),
  );
}

describe('on the peer port', () => {
  test('garbage costs the connection and nothing else', async () => {
    const cluster = await Cluster.start();
    const leader = await cluster.leader();
    const { term } = await leader.api.cluster();
    for (const node of cluster.nodes) await sendGarbage(node.peerPort);
    for (const node of cluster.nodes) {
      expect(node.alive).toBe(true);
      expect((await node.api.put(`from ${node.name}`, 'x')).status).toBe(200);
    }
    expect((await leader.api.cluster()).term).toBe(term);
  });
});

describe('a node that must not start', () => {
  test('wrong secret, of a member', async () => {
    const cluster = await Cluster.start();
    const stranger = cluster.node('n3');
    await stranger.kill();
    const file = path.join(cluster.directory, 'wrong');
    await writeFile(file, 'this is not the secret of the cluster');
    stranger.start(['--secret-file', file]);
    // It knows its cluster and cannot tell whether it is itself that is wrong: it says so, is not ready, and harms nobody.
    await until(() => stranger.logs().includes('ERR_WRONG_SECRET'), {
      timeoutMs: 10_000,
      what: 'the refusal is logged',
    });
    expect(await stranger.api.ready()).toBe(false);
    expect((await cluster.node('n1').api.put('a', 'x')).status).toBe(200);
    const { term } = await cluster.node('n1').api.cluster();
    expect(await stranger.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    await stranger.restart();
    expect((await stranger.api.get('a')).body.toString()).toBe('x');
    expect((await stranger.api.cluster()).term).toBe(term);
  });

  test('wrong secret from the first minute', async () => {
    const cluster = await Cluster.prepare();
    const stranger = cluster.node('n3');
    const file = path.join(cluster.directory, 'wrong');
    await writeFile(file, 'this is not the secret of the cluster');
    cluster.node('n1').start();
    cluster.node('n2').start();
    stranger.start(['--secret-file', file]);
    const { code, line } = await refusedStart(stranger);
    expect([code, line]).toEqual([1, expect.stringMatching(/^kvorum: ERR_WRONG_SECRET: /)]);
    // The others wait for a third that knows the secret.
    await cluster.startAll();
    await Promise.all(cluster.nodes.map(async (node) => await node.ready()));
  });

  test.each(['http', 'listen'])('taken port: --%s', async (option) => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as net.AddressInfo;
    const cluster = await Cluster.prepare({ nodes: 1 });
    const node = cluster.node('n1');
    node.start([`--${option}`, `127.0.0.1:${port}`]);
    const { code, line } = await refusedStart(node);
    expect(code).toBe(1);
    expect(line).toMatch(/^kvorum: ERR_ADDRESS_IN_USE: /);
    expect(line).toContain(String(port));
  });

  test('taken data directory', async () => {
    const cluster = await Cluster.start({ nodes: 1 });
    const owner = cluster.node('n1');
    const second = await Cluster.prepare({ nodes: 1 });
    const node = second.node('n1');
    node.start(['--data-dir', owner.dataDir]);
    const { code, line } = await refusedStart(node);
    expect([code, line]).toEqual([1, expect.stringMatching(/^kvorum: ERR_DATA_DIR_IN_USE: /)]);
    expect(line).toContain(owner.dataDir);
    expect((await owner.api.put('a', 'x')).status).toBe(200);
  });

  test('a flipped byte in the middle of the log', async () => {
    const node = await single();
    for (let index = 0; index < 300; index++) await node.api.put(`key ${index}`, 'x'.repeat(200));
    await node.kill();
    const file = largestLog(node.dataDir);
    flipByte(file, Math.trunc(statSync(file).size / 2));
    node.start();
    const { code, line } = await refusedStart(node);
    expect([code, line]).toEqual([1, expect.stringMatching(/^kvorum: ERR_CORRUPT: /)]);
    expect(line).toContain(path.basename(file));
    // A second try does not find a directory that looks healthy: the evidence is still there.
    node.start();
    expect((await node.exited).code).toBe(1);
    flipByte(file, Math.trunc(statSync(file).size / 2));
    await node.restart();
    expect((await node.api.get('key 299')).status).toBe(200);
  });

  test('a wiped node under its old name', async () => {
    const cluster = await Cluster.start();
    const wiped = cluster.node('n3');
    await wiped.kill();
    rmSync(wiped.dataDir, { recursive: true });
    wiped.start();
    const { code, line } = await refusedStart(wiped);
    expect([code, line]).toEqual([1, expect.stringMatching(/^kvorum: ERR_MEMBER_REPLACED: /)]);
    expect((await cluster.node('n1').api.put('a', 'x')).status).toBe(200);
  });
});

function largestLog(directory: string): string {
  const logs = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.log'))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .toSorted((a, b) => statSync(b).size - statSync(a).size);
  if (logs[0] === undefined) throw new Error(`${directory} holds no write-ahead file`);
  return logs[0];
}

function flipByte(file: string, position: number): void {
  const descriptor = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(descriptor, byte, 0, 1, position);
  byte[0] = (byte[0] ?? 0) ^ 0x40;
  writeSync(descriptor, byte, 0, 1, position);
  closeSync(descriptor);
}
