/**
 * One keep-alive HTTP/1.1 connection with one request in flight, on a raw socket: the load generator shares the machine
 * with the cluster that it measures, so it must cost as little as a request can.
 */
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** A request is sent as it is; one of the two is called, once. */
export interface Exchange {
  readonly done: (answer: Answer) => void;
  readonly failed: (error: Error) => void;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LENGTH = /\r\ncontent-length: *(\d+)/i;

export class HttpConnection {
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | null = null;
  #exchange: Exchange | null = null;
  #received: Buffer | null = null;
  /** Bytes of the whole answer once its head is here, 0 before. */
  #expected = 0;
  #headBytes = 0;
  #status = 0;

  /** @param address HOST:PORT */
  constructor(address: string) {
    const colon = address.lastIndexOf(':');
    this.#host = address.slice(0, colon);
    this.#port = Number(address.slice(colon + 1));
  }

  /** `request` must stay untouched until the answer. */
  send(request: Uint8Array, exchange: Exchange): void {
    if (this.#exchange !== null) throw new Error('one request at a time');
    this.#exchange = exchange;
    this.#socket ??= this.#open();
    this.#socket.write(request);
  }

  /** Forgets a request in flight: its socket is closed, neither callback is called. */
  close(): void {
    this.#exchange = null;
    this.#drop();
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#received = null;
    this.#expected = 0;
    socket?.destroy();
  }

  #open(): Socket {
    const socket = connect({ host: this.#host, port: this.#port, noDelay: true });
    socket.on('data', (chunk) => {
      if (socket === this.#socket) this.#read(chunk);
    });
    socket.on('error', (error) => {
      if (socket === this.#socket) this.#fail(error);
    });
    socket.on('close', () => {
      if (socket === this.#socket) this.#fail(new Error('connection closed'));
    });
    return socket;
  }

  #fail(error: Error): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    this.#drop();
    exchange?.failed(error);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#received === null ? chunk : Buffer.concat([this.#received, chunk]);
    if (this.#expected === 0) {
      const end = bytes.indexOf(HEAD_END);
      if (end < 0) {
        this.#received = bytes;
        return;
      }
      const head = bytes.toString('latin1', 0, end);
      this.#status = Number(head.slice(9, 12));
      const length = LENGTH.exec(head);
      const bodyless = this.#status === 204 || this.#status === 304;
      if (length === null && !bodyless) return this.#fail(new Error(`an answer without Content-Length: ${head}`));
      this.#headBytes = end + HEAD_END.length;
      this.#expected = this.#headBytes + (bodyless ? 0 : Number(length?.[1]));
    }
    if (bytes.length < this.#expected) {
      this.#received = bytes;
      return;
    }
    const answer = { status: this.#status, body: bytes.subarray(this.#headBytes, this.#expected) };
    const exchange = this.#exchange;
    this.#exchange = null;
    this.#received = null;
    this.#expected = 0;
    exchange?.done(answer);
  }
}

/** The bytes of a request. */
export function requestBytes(method: string, target: string, address: string, body?: Uint8Array): Buffer {
  const length = body === undefined ? '' : `Content-Length: ${body.length}\r\n`;
  const head = Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: ${address}\r\n${length}\r\n`, 'latin1');
  return body === undefined ? head : Buffer.concat([head, body]);
}
