/** HTTP as it goes over the wire: requests whose target nobody tidies up, and bare sockets. */
import http from 'node:http';
import net from 'node:net';

import { onTestFinished } from 'vitest';

import type { ServeOptions } from '../../src/http/options.ts';
import { startHttp } from '../../src/http/server.ts';
import type { HttpServer } from '../../src/http/server.ts';
import { FakeNode } from './fake-node.ts';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export interface Sent {
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
  readonly agent?: http.Agent;
}

export interface Served {
  readonly node: FakeNode;
  readonly server: HttpServer;
  readonly port: number;
  readonly send: (target: string, sent?: Sent) => Promise<Answer>;
  readonly put: (target: string, body?: string | Uint8Array, headers?: http.OutgoingHttpHeaders) => Promise<Answer>;
  /** POST of JSON. */
  readonly post: (target: string, body: unknown, headers?: http.OutgoingHttpHeaders) => Promise<Answer>;
  /** A stream of events; fails the test when it is answered by anything else. */
  readonly listen: (target: string, headers?: http.OutgoingHttpHeaders) => Promise<Listener>;
}

/** On a machine that is busy with other things no request of a test is to be shed. */
const ANY_DELAY_MS = 60_000;

/** A server over a fake node, gone when the test is. */
export async function serve(options: ServeOptions = {}): Promise<Served> {
  const node = new FakeNode();
  const server = await startHttp(node, { port: 0, maxEventLoopDelayMs: ANY_DELAY_MS, ...options });
  onTestFinished(() => server.close({ drainTimeoutMs: 0 }));
  const port = Number(new URL(server.url).port);
  const call = (target: string, sent?: Sent): Promise<Answer> => send(port, target, sent);
  return {
    node,
    server,
    port,
    send: call,
    put: (target, body = '', headers = {}) => call(target, { method: 'PUT', body, headers }),
    post: (target, body, headers = {}) =>
      call(target, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    listen: (target, headers = {}) => listen(port, target, headers),
  };
}

function send(port: number, target: string, { method = 'GET', headers = {}, body, agent }: Sent = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sized = body !== undefined && !('transfer-encoding' in headers);
    const length = sized ? { 'content-length': Buffer.byteLength(body) } : {};
    const request = http.request(
      { host: '127.0.0.1', port, method, path: target, headers: { ...length, ...headers }, ...(agent && { agent }) },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve(answerOf(response.statusCode!, response.headers, Buffer.concat(chunks))));
      },
    );
    request.on('error', reject);
    // Bytes, so that Node does not send the headers in the encoding of a text.
    request.end(body === undefined ? undefined : Buffer.from(body as string));
  });
}

function answerOf(status: number, headers: http.IncomingHttpHeaders, bytes: Buffer): Answer {
  const text = bytes.toString('utf8');
  return {
    status,
    headers,
    bytes,
    text,
    get json() {
      return JSON.parse(text) as Record<string, unknown>;
    },
  };
}

/** One event as a client reads it; comments have nothing but their text. */
export interface ReadEvent {
  readonly event?: string;
  readonly id?: string;
  readonly data?: string;
  readonly comment?: string;
}

/** A client of server-sent events that keeps everything, and can stop reading. */
export class Listener {
  readonly response: http.IncomingMessage;
  text = '';
  ended = false;
  #wake: (() => void)[] = [];

  constructor(response: http.IncomingMessage) {
    this.response = response;
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      this.text += chunk;
      this.#changed();
    });
    response.on('error', () => undefined);
    response.on('close', () => {
      this.ended = true;
      this.#changed();
    });
    onTestFinished(() => {
      response.destroy();
    });
  }

  get all(): ReadEvent[] {
    return this.text
      .split('\n\n')
      .slice(0, -1)
      .map((block) => {
        const event: Record<string, string> = {};
        for (const line of block.split('\n')) {
          const colon = line.indexOf(': ');
          const name = colon <= 0 ? 'comment' : line.slice(0, colon);
          if (name in event) throw new Error(`two lines of ${name} in ${block}`);
          event[name] = line.slice(colon + 2);
        }
        return event;
      });
  }

  /** Without comments. */
  get events(): ReadEvent[] {
    return this.all.filter(({ comment }) => comment === undefined);
  }

  /** The data of events without a name: what was watched. */
  get data(): Record<string, unknown>[] {
    return this.events
      .filter(({ event }) => event === undefined)
      .map(({ data }) => JSON.parse(data!) as Record<string, unknown>);
  }

  async until(done: (listener: Listener) => boolean): Promise<this> {
    while (!done(this)) {
      if (this.ended) throw new Error(`the stream ended after: ${this.text}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    return this;
  }

  close(): void {
    this.response.destroy();
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function listen(port: number, target: string, headers: http.OutgoingHttpHeaders): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path: target, headers, agent: false }, (response) => {
      if (response.statusCode === 200) resolve(new Listener(response));
      else reject(new Error(`answered ${response.statusCode}`));
    });
    request.on('error', reject);
  });
}

/** A socket, what it has received so far, and ways to wait for more. */
export class Wire {
  readonly socket: net.Socket;
  received = '';
  closed = false;
  #wake: (() => void)[] = [];

  constructor(port: number) {
    this.socket = net.connect(port, '127.0.0.1');
    this.socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
      this.#changed();
    });
    // A reset is one way for a connection to end; the close that follows is what tests wait for.
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.closed = true;
      this.#changed();
    });
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  write(text: string | Uint8Array): void {
    this.socket.write(text);
  }

  /** Resolves when `done` holds; the test's own time limit is the bound. */
  async until(done: (wire: Wire) => boolean): Promise<void> {
    while (!done(this)) {
      if (this.closed) throw new Error(`the connection ended after: ${this.received}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async untilClosed(): Promise<Answer[]> {
    await this.until(() => this.closed);
    return answersIn(this.received);
  }

  async answers(count: number): Promise<Answer[]> {
    await this.until(() => answersIn(this.received).length >= count);
    return answersIn(this.received);
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** The complete answers in a stream that had no HEAD among its requests. */
export function answersIn(stream: string): Answer[] {
  const answers: Answer[] = [];
  let rest = stream;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return answers;
    const [first, ...lines] = rest.slice(0, end).split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = Number(headers['content-length'] ?? 0);
    const body = rest.slice(end + 4, end + 4 + length);
    if (body.length < length) return answers;
    const status = Number(first!.split(' ')[1]);
    if (status >= 200) answers.push(answerOf(status, headers, Buffer.from(body, 'latin1')));
    rest = rest.slice(end + 4 + length);
  }
}

/** Resolves when `done` holds, looked at on every turn of the event loop. */
export async function eventually(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
}
