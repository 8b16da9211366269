/** What only a real socket shows: garbage, half requests, pipelines, hang-ups. */
import fc from 'fast-check';
import { expect, test } from 'vitest';

import { answersIn, eventually, serve, Wire } from './wire.ts';

const OK = 'GET /v1/kv/a HTTP/1.1\r\nHost: a\r\n\r\n';

test.each([
  ['noise', '\x00\x01\x02\xff\xfe garbage \r\n\r\n'],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['an unknown method', 'BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a wrong version', 'GET / HTTP/9.9\r\n\r\n'],
  ['a header without a colon', 'GET / HTTP/1.1\r\nnonsense\r\n\r\n'],
  ['two lengths', 'PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx'],
  ['length and chunks', 'PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx'],
  ['a length that is none', 'PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n'],
  ['a space in the target', 'GET /v1/kv/a b HTTP/1.1\r\nHost: a\r\n\r\n'],
])('%s: one clean 400, then the connection ends', async (_name, bytes) => {
  const { port, node, send } = await serve();
  const wire = new Wire(port);
  wire.write(Buffer.from(bytes, 'latin1'));
  const answers = await wire.untilClosed();
  expect(answers).toHaveLength(1);
  expect(answers[0]!.status).toBe(400);
  expect(answers[0]!.headers).toMatchObject({
    'content-type': 'application/problem+json',
    connection: 'close',
    'x-served-by': 'n1',
    'x-request-id': expect.any(String),
  });
  expect(answers[0]!.json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', status: 400, outcome: 'none' });
  expect(node.calls).toEqual([]);
  expect((await send('/livez')).status).toBe(200);
});

test('the Host header is asked for, by a problem', async () => {
  const { port } = await serve();
  const wire = new Wire(port);
  wire.write('GET /livez HTTP/1.1\r\n\r\nGET /livez HTTP/1.0\r\n\r\n');
  const [missing, old] = await wire.untilClosed();
  expect([missing!.status, missing!.json['code']]).toEqual([400, 'ERR_INVALID_ARGUMENT']);
  expect(old!.status).toBe(200);
});

test('headers that are too large: 431 with the limit', async () => {
  const { port } = await serve();
  const wire = new Wire(port);
  wire.write(`GET /v1/kv/a HTTP/1.1\r\nHost: a\r\nX-Big: ${'x'.repeat(40_000)}\r\n\r\n`);
  const [answer] = await wire.untilClosed();
  expect(answer!.status).toBe(431);
  expect(answer!.json).toMatchObject({ code: 'ERR_TOO_LARGE', status: 431, limit: 32_768 });
});

test('the absolute form of a target', async () => {
  const { port, put } = await serve();
  await put('/v1/kv/a/b', 'x');
  const wire = new Wire(port);
  wire.write('GET http://node:7101/v1/kv/a%2Fb?timeout=1s HTTP/1.1\r\nHost: a\r\n\r\n');
  const [answer] = await wire.answers(1);
  expect(answer!.text).toBe('x');
});

test('raw UTF-8 in a target is told how to be written', async () => {
  const { port } = await serve();
  const wire = new Wire(port);
  wire.write('GET /v1/kv/köln HTTP/1.1\r\nHost: a\r\n\r\n');
  const [answer] = await wire.untilClosed();
  expect(answer!.json).toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
    detail: expect.stringContaining('percent-encoded'),
  });
});

test('slow-loris in the head: 408 and the end', async () => {
  const { port } = await serve({ headersTimeoutMs: 100, requestTimeoutMs: 200, timeoutCheckMs: 50 });
  const wire = new Wire(port);
  wire.write('GET /v1/kv/a HTTP/1.1\r\nHost: a\r\nX-Slow: ');
  const drip = setInterval(() => wire.write('x'), 20);
  const [answer] = await wire.untilClosed().finally(() => clearInterval(drip));
  expect([answer!.status, answer!.headers['connection']]).toEqual([408, 'close']);
  expect(answer!.json).toMatchObject({ code: 'ERR_REQUEST_TIMEOUT', retryable: true, outcome: 'none' });
});

test('slow-loris in the body: 408 and the end, and nothing was written', async () => {
  const { port, node } = await serve({ headersTimeoutMs: 100, requestTimeoutMs: 200, timeoutCheckMs: 50 });
  const wire = new Wire(port);
  wire.write('PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n');
  const drip = setInterval(() => wire.write('x'), 20);
  const answers = await wire.untilClosed().finally(() => clearInterval(drip));
  expect(answers.map(({ status }) => status)).toEqual([408]);
  expect(answers[0]!.json).toMatchObject({ code: 'ERR_REQUEST_TIMEOUT', outcome: 'none' });
  expect(node.calls).toEqual([]);
});

test.each([
  ['closes', 400, (wire: Wire) => wire.socket.destroy()],
  ['says that this was all', 400, (wire: Wire) => wire.socket.end()],
  ['resets', 499, (wire: Wire) => wire.socket.resetAndDestroy()],
])(
  'fewer bytes than promised, and the client %s: nothing was written, nothing is held',
  async (_how, status, leave) => {
    const { port, node, send } = await serve();
    const wire = new Wire(port);
    wire.write('PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nonly this');
    let metrics = '';
    while (!metrics.includes('kvorum_http_inflight_body_bytes 9\n')) metrics = (await send('/metrics')).text;
    leave(wire);
    while (!metrics.includes('kvorum_http_inflight_body_bytes 0\n')) metrics = (await send('/metrics')).text;
    expect(metrics).toContain(`kvorum_http_requests_total{method="PUT",route="/v1/kv/{key}",status="${status}"} 1`);
    expect(metrics).toContain('kvorum_http_inflight_requests 1\n');
    expect(node.calls).toEqual([]);
  },
);

test('more bytes than promised: the value is what was promised, the rest is no request', async () => {
  const { port, send } = await serve();
  const wire = new Wire(port);
  wire.write('PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour and more\r\n\r\n');
  const answers = await wire.untilClosed();
  expect(answers.map(({ status }) => status)).toEqual([200, 400]);
  expect((await send('/v1/kv/a')).text).toBe('four');
});

test('chunks in pieces, with extensions and trailers', async () => {
  const { port, send } = await serve();
  const wire = new Wire(port);
  const bytes =
    'PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: t\r\n\r\n';
  for (const byte of bytes) {
    wire.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect((await wire.answers(1))[0]!.status).toBe(200);
  expect((await send('/v1/kv/a')).text).toBe('abcde');
});

test('chunks that are none: 400, and nothing was written', async () => {
  const { port, node } = await serve();
  const wire = new Wire(port);
  wire.write('PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n');
  const answers = await wire.untilClosed();
  expect(answers.map(({ status }) => status)).toEqual([400]);
  expect(answers[0]!.json).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', outcome: 'none' });
  expect(node.calls).toEqual([]);
});

test('a body over the limit: 413, and the connection goes on', async () => {
  const { port, node } = await serve();
  const wire = new Wire(port);
  const size = node.limits.maxValueBytes + 1;
  wire.write(`PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  wire.write(Buffer.alloc(size));
  wire.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n');
  const [refused, next] = await wire.answers(2);
  expect([refused!.status, next!.status]).toEqual([413, 200]);
});

test('a body without end: 413, then the connection ends', async () => {
  const { port } = await serve();
  const wire = new Wire(port);
  wire.write('PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
  const piece = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000), Buffer.from('\r\n')]);
  let sent = 0;
  const pump = (): void => {
    while (!wire.closed && sent < 64 * 1024 * 1024) {
      sent += piece.length;
      if (!wire.socket.write(piece)) break;
    }
  };
  wire.socket.on('drain', pump);
  pump();
  const [refused] = await wire.untilClosed();
  expect(refused!.status).toBe(413);
  expect(sent).toBeLessThan(32 * 1024 * 1024);
});

test('Expect: 100-continue, before a value that fits and before one that does not', async () => {
  const { port, node, send } = await serve();
  const good = new Wire(port);
  good.write('PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n');
  await good.until(() => good.received.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
  good.write('x');
  await good.until(() => good.received.includes('HTTP/1.1 200'));
  expect((await send('/v1/kv/a')).text).toBe('x');

  const bad = new Wire(port);
  bad.write(
    `PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${node.limits.maxValueBytes + 1}\r\n\r\n`,
  );
  const [refused] = await bad.answers(1);
  expect(bad.received).not.toContain('100 Continue');
  expect(refused!.status).toBe(413);
});

test('a pipeline is answered in order', async () => {
  const { port, put } = await serve();
  await put('/v1/kv/a', 'x');
  const wire = new Wire(port);
  const write = 'PUT /v1/kv/b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nyy';
  wire.write(`${OK}${write}GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(50));
  const answers = await wire.answers(150);
  expect(answers.slice(0, 3).map(({ status, text }) => [status, text.slice(0, 1)])).toEqual([
    [200, 'x'],
    [200, '{'],
    [404, '{'],
  ]);
  expect(answers).toHaveLength(150);
});

test('garbage behind requests that are being answered: their answers go first', async () => {
  const { port, node, put } = await serve();
  await put('/v1/kv/a', 'x');
  const release = node.hold();
  const wire = new Wire(port);
  wire.write(`${OK}${OK}\x00garbage\r\n\r\n`);
  await eventually(() => node.calls.length === 3);
  expect(wire.received).toBe('');
  release();
  const answers = await wire.untilClosed();
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 400]);
});

test('a client that hangs up aborts its call, and nobody is alarmed', async () => {
  const logged: object[] = [];
  const log = (fields: object): void => void logged.push(fields);
  const { port, node, send } = await serve({ logger: { debug: log, info: log, warn: log, error: log } });
  node.hold();
  const wire = new Wire(port);
  wire.write(OK);
  await eventually(() => node.calls.length === 1);
  const { signal } = node.calls[0]!.options;
  expect(signal!.aborted).toBe(false);
  wire.socket.destroy();
  await eventually(() => signal!.aborted);
  expect(logged).toEqual([]);
  const { text } = await send('/metrics');
  expect(text).toContain('kvorum_http_requests_total{method="GET",route="/v1/kv/{key}",status="499"} 1');
  expect(text).toContain('kvorum_http_inflight_requests 1\n');
});

test('one signal serves all requests of a connection, and another connection has its own', async () => {
  const { port, node } = await serve();
  const wire = new Wire(port);
  wire.write(OK + OK);
  await wire.answers(2);
  const other = new Wire(port);
  other.write(OK);
  await other.answers(1);
  const [first, second, third] = node.calls.map(({ options }) => options.signal);
  expect(first).toBe(second);
  expect(first).not.toBe(third);
});

test('HEAD in a pipeline has no body', async () => {
  const { port, put } = await serve();
  await put('/v1/kv/a', 'value');
  const wire = new Wire(port);
  wire.write(`${OK.replace('GET', 'HEAD')}GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  await wire.until(() => wire.closed);
  expect(wire.received.match(/HTTP\/1\.1 200 OK/gu)).toHaveLength(2);
  expect(wire.received).not.toContain('value');
  const second = answersIn(wire.received.slice(wire.received.lastIndexOf('HTTP/1.1')));
  expect(second[0]!.text).toBe('ok\n');
});

test('half a request behind a whole one, both with a body: both are answered', async () => {
  const { port } = await serve();
  const wire = new Wire(port);
  const whole = 'PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx';
  wire.write(`${whole}${whole.slice(0, -1)}`);
  await wire.answers(1);
  wire.socket.end();
  const answers = await wire.untilClosed();
  expect(answers.map(({ status }) => status)).toEqual([200, 400]);
});

test('any bytes, and any way to leave: nothing is held, and the next client is served', async () => {
  const { port, send } = await serve();
  const requests = [
    OK,
    'PUT /v1/kv/a?prev=true HTTP/1.1\r\nHost: a\r\nIf-Match: *\r\nContent-Length: 20\r\n\r\n01234567890123456789',
    'PUT /v1/kv/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n',
    'GET /v1/kv?prefix=%61&limit=3 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n',
    'POST /v1/cluster/transfer-leadership HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
    'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /v1/kv/a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ];
  const leave = fc.constantFrom<'end' | 'destroy' | 'resetAndDestroy'>('end', 'destroy', 'resetAndDestroy');
  const edits = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 3 });
  const scripts = fc.tuple(
    fc.array(fc.constantFrom(...requests), { minLength: 1, maxLength: 4 }),
    edits,
    fc.nat(600),
    leave,
  );
  await fc.assert(
    fc.asyncProperty(scripts, async ([pipeline, changes, length, way]) => {
      const bytes = Buffer.from(pipeline.join('')).subarray(0, 40 + length);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const wire = new Wire(port);
      wire.write(bytes);
      await eventually(() => wire.closed || !wire.socket.connecting);
      wire.socket[way]();
      await wire.until(() => wire.closed);
    }),
    { numRuns: 300 },
  );
  let metrics = '';
  const clean = [
    'kvorum_http_inflight_requests 1\n',
    'kvorum_http_inflight_body_bytes 0\n',
    'kvorum_http_connections 1\n',
  ];
  while (!clean.every((line) => metrics.includes(line))) metrics = (await send('/metrics')).text;
  expect((await send('/livez')).status).toBe(200);
});
