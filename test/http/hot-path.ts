/**
 * What HTTP costs for a GET and a PUT of 256 bytes, beside a bare fastify route in the same run: bare sockets in another
 * process, a node that answers at once, and the CPU time of this process for each request. By hand:
 *
 *     node test/http/hot-path.ts [connections] [seconds] [rounds]
 */
import { fork } from 'node:child_process';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

import fastify from 'fastify';

import { startHttp } from '../../src/http/server.ts';
import { FakeNode } from './fake-node.ts';

const VALUE = 'x'.repeat(256);
const REQUESTS = {
  get: 'GET /v1/kv/bench/key-000123 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
  put: `PUT /v1/kv/bench/key-000123 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\nContent-Length: 256\r\n\r\n${VALUE}`,
};
type Kind = keyof typeof REQUESTS;

/** In the other process: closed loops, one a connection. */
function load(port: number, kind: Kind, connections: number, seconds: number): void {
  const request = Buffer.from(REQUESTS[kind]);
  let answered = 0;
  for (let i = 0; i < connections; i++) {
    const socket = net.connect(port, '127.0.0.1').setNoDelay(true);
    let length = 0;
    let got = 0;
    socket.on('data', (chunk) => {
      // Every answer of a run has the same length, known from the first.
      if (length === 0) {
        const head = chunk.toString('latin1');
        length = head.indexOf('\r\n\r\n') + 4 + Number(/content-length: (\d+)/iu.exec(head)![1]);
      }
      got += chunk.length;
      if (got < length) return;
      got = 0;
      answered++;
      socket.write(request);
    });
    socket.write(request);
  }
  setTimeout(() => {
    const before = answered;
    process.send!('start');
    setTimeout(() => process.send!(answered - before, () => process.exit()), seconds * 1000);
  }, 1000);
}

async function measure(name: string, port: number, kind: Kind, connections: number, seconds: number): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), [
    'load',
    String(port),
    kind,
    String(connections),
    String(seconds),
  ]);
  let start = process.cpuUsage();
  const answered = await new Promise<number>((resolve) => {
    child.on('message', (message) => {
      if (message === 'start') start = process.cpuUsage();
      else resolve(message as number);
    });
  });
  const { user, system } = process.cpuUsage(start);
  const perRequest = ((user + system) / answered).toFixed(1);
  const rate = Math.round(answered / seconds);
  process.stdout.write(`${kind} ${name.padEnd(14)} ${String(rate).padStart(7)}/s  ${perRequest} µs CPU a request\n`);
  await new Promise((resolve) => child.once('exit', resolve));
}

async function compare(connections: number, seconds: number, rounds: number): Promise<void> {
  const node = new FakeNode();
  await node.put('bench/key-000123', VALUE, { contentType: 'application/octet-stream' });
  // Answers that are there already, so that HTTP alone is measured.
  const got = node.get('bench/key-000123');
  let revision = 100_000;
  node.get = () => got;
  node.put = () => Promise.resolve({ revision: (revision++ % 900_000) + 100_000, created: false });
  const server = await startHttp(node, { port: 0 });

  const value = Buffer.from(VALUE);
  const bare = fastify();
  bare.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  bare.get('/v1/kv/*', (_request, reply) => reply.send(value));
  bare.put('/v1/kv/*', (_request, reply) => reply.send({ revision: 100_000, created: false }));
  await bare.listen({ host: '127.0.0.1', port: 0 });

  for (let round = 0; round < rounds; round++) {
    for (const kind of ['get', 'put'] as const) {
      await measure('bare fastify', (bare.server.address() as AddressInfo).port, kind, connections, seconds);
      await measure('kvorum', Number(new URL(server.url).port), kind, connections, seconds);
    }
  }
  await Promise.all([server.close(), bare.close()]);
}

const [first, ...rest] = process.argv.slice(2);
if (first === 'load') load(Number(rest[0]), rest[1] as Kind, Number(rest[2]), Number(rest[3]));
else await compare(Number(first ?? 32), Number(rest[0] ?? 3), Number(rest[1] ?? 1));
