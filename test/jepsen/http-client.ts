/**
 * One HTTP call to one node, which tells apart what a client has to: nothing was sent, an answer came, or nobody knows.
 * Connections are kept, because thousands of calls would otherwise use up the ports.
 */
import http from 'node:http';

export interface NodeCall {
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'POST';
  /** Encoded, with its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** The call is given up after this long without its whole answer. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

export type NodeAnswer =
  | {
      readonly type: 'answer';
      readonly status: number;
      readonly headers: http.IncomingHttpHeaders;
      readonly body: Buffer;
    }
  /** No connection was made, so nothing was sent. */
  | { readonly type: 'unreached'; readonly error: string }
  /** It was sent, or may have been, and no answer came. */
  | { readonly type: 'unanswered'; readonly error: string };

const agent = new http.Agent({ keepAlive: true, maxSockets: 256, maxFreeSockets: 256 });

export async function callNode(base: string, call: NodeCall): Promise<NodeAnswer> {
  const { hostname, port } = new URL(base);
  const body = typeof call.body === 'string' ? Buffer.from(call.body) : call.body;
  return await new Promise((resolve) => {
    let connected = false;
    const outgoing = http.request({
      ...{ host: hostname, port, method: call.method, path: call.path, agent },
      headers: { ...call.headers, ...(body === undefined ? {} : { 'content-length': body.byteLength }) },
    });
    const end = (answer: NodeAnswer): void => {
      clearTimeout(timer);
      call.signal?.removeEventListener('abort', abort);
      resolve(answer);
    };
    const fail = (error: NodeJS.ErrnoException): void => {
      outgoing.destroy();
      const text = error.code ?? error.message;
      end(connected ? { type: 'unanswered', error: text } : { type: 'unreached', error: text });
    };
    const abort = (): void => fail(new Error('the run is over'));
    const timer = setTimeout(() => fail(new Error(`no answer within ${call.deadlineMs} ms`)), call.deadlineMs);
    call.signal?.addEventListener('abort', abort, { once: true });
    outgoing.on('socket', (socket) => {
      connected = !socket.connecting;
      if (connected) return;
      socket.once('connect', () => {
        connected = true;
      });
    });
    outgoing.on('error', fail);
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', fail);
      incoming.on('end', () => {
        const { statusCode = 0, headers } = incoming;
        end({ type: 'answer', status: statusCode, headers, body: Buffer.concat(chunks) });
      });
    });
    outgoing.end(body);
    if (call.signal?.aborted === true) abort();
  });
}
