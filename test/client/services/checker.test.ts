/** The checks as they are made outside of tests: by `fetch`, and by node:net, on loopback. */
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import type { AddressInfo, Server } from 'node:net';

import { expect, onTestFinished, test } from 'vitest';

import { FETCH_CHECKER } from '../../../src/client/services/check.ts';

const never = (): AbortSignal => new AbortController().signal;

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('http: a status from 200 to 299, and what else it was', async () => {
  const server = http.createServer((request, response) => {
    response.writeHead(request.url === '/well' ? 204 : 503, { connection: 'close' }).end();
  });
  const address = await listening(server);
  await FETCH_CHECKER.http(`http://${address}/well`, never());
  await expect(FETCH_CHECKER.http(`http://${address}/ill`, never())).rejects.toThrow(/ill answered 503$/u);
  server.close();
  await once(server, 'close');
  await expect(FETCH_CHECKER.http(`http://${address}/well`, never())).rejects.toThrow(/fetch failed/u);
});

test('tcp: a connection comes about, or does not, or is given up', async () => {
  const address = await listening(net.createServer((socket) => socket.destroy()));
  await FETCH_CHECKER.tcp(address, never());
  const closed = net.createServer();
  const nobody = await listening(closed);
  closed.close();
  await once(closed, 'close');
  await expect(FETCH_CHECKER.tcp(nobody, never())).rejects.toThrow(/ECONNREFUSED/u);
  const reason = new Error('too late');
  await expect(FETCH_CHECKER.tcp(address, AbortSignal.abort(reason))).rejects.toBe(reason);
});
