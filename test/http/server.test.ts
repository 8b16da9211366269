import net from 'node:net';

import { expect, test } from 'vitest';

import { startHttp } from '../../src/http/server.ts';
import { FakeNode } from './fake-node.ts';
import { eventually, serve, Wire } from './wire.ts';

test('a taken port', async () => {
  const { port } = await serve();
  await expect(startHttp(new FakeNode(), { port })).rejects.toMatchObject({
    code: 'ERR_ADDRESS_IN_USE',
    message: expect.stringContaining(`127.0.0.1:${port}`),
    details: { address: `127.0.0.1:${port}` },
  });
});

test('an address that is not of this machine', async () => {
  await expect(startHttp(new FakeNode(), { host: '192.0.2.1', port: 0 })).rejects.toMatchObject({ code: 'ERR_CONFIG' });
});

test('loopback is the default and quiet; anything else is said loudly', async () => {
  const warnings: string[] = [];
  const quiet = (): void => undefined;
  const logger = {
    debug: quiet,
    info: quiet,
    error: quiet,
    warn: (_: object, message: string) => void warnings.push(message),
  };
  const { server } = await serve({ logger });
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/u);
  expect(warnings).toEqual([]);
  const { server: wide } = await serve({ logger, host: '0.0.0.0' });
  expect(wide.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/u);
  expect(warnings).toEqual([expect.stringMatching(/BEYOND THIS MACHINE.*WITHOUT A TOKEN/u)]);
  await serve({ logger, host: '0.0.0.0', token: 'a-secret-token' });
  expect(warnings[1]).not.toContain('WITHOUT A TOKEN');
});

test('close: what is being answered is answered, what comes is told, and then the port is free', async () => {
  const { node, server, port, put, send } = await serve();
  const release = node.hold();
  const held = put('/v1/kv/a', 'x');
  await eventually(() => node.calls.length === 1);
  const wire = new Wire(port);
  await eventually(() => !wire.socket.connecting);
  server.stopAccepting();
  const closed = server.close();

  const refused = await send('/v1/kv/a');
  expect([refused.status, refused.json['code'], refused.headers.connection]).toEqual([503, 'ERR_CLOSED', 'close']);
  expect(refused.headers['retry-after']).toBe('1');
  expect((await send('/livez')).status).toBe(200);
  const unready = await send('/readyz');
  expect([unready.status, unready.text]).toEqual([503, expect.stringContaining('[-]closing failed')]);

  release();
  const last = await held;
  expect([last.status, last.headers.connection]).toEqual([200, 'close']);
  await closed;
  // An idle connection does not hold the server up, and does not outlive it.
  await wire.until(() => wire.closed);
  const probe = net.connect(port, '127.0.0.1');
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => probe.once('error', resolve));
  expect(error.code).toBe('ECONNREFUSED');
  await server.close();
});

test('close does not wait longer than it was told to', async () => {
  const { node, server, put } = await serve();
  node.hold();
  const held = put('/v1/kv/a', 'x').catch((error: NodeJS.ErrnoException) => error.code);
  await eventually(() => node.calls.length === 1);
  await server.close({ drainTimeoutMs: 10 });
  expect(await held).toBe('ECONNRESET');
});

test('connections are bounded', async () => {
  const { port, send } = await serve({ maxConnections: 1 });
  const first = new Wire(port);
  first.write('GET /livez HTTP/1.1\r\nhost: a\r\n\r\n');
  await first.answers(1);
  const second = new Wire(port);
  await second.until(() => second.closed);
  first.socket.end();
  await first.until(() => first.closed);
  let metrics = '';
  while (metrics === '')
    metrics = await send('/metrics').then(
      ({ text }) => text,
      () => '',
    );
  expect(metrics).toContain('kvorum_http_shed_total{reason="connections"}');
});
