/** What is remembered for each client connection. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Somebody who waits for the rest of a request on this connection. */
export interface BodyReader {
  /** The connection ended before the body did. */
  hangUp(): void;
  /** True when the whole body has arrived, though it need not have been read. */
  readonly arrived: boolean;
  /** The rest of the body will not come, or is no HTTP. */
  fail(error: unknown, headers?: string[]): void;
}

const STATE = Symbol('kvorum.http.connection');

interface WithState {
  [STATE]?: Connection;
}

export class Connection {
  /** Whoever reads the body that is arriving now. */
  reading: BodyReader | null = null;
  /** The answer that comes last on this connection as things stand. */
  last: ServerResponse | null = null;
  /** The connection cannot be understood any more; its last words have been prepared. */
  broken = false;
  readonly #socket: Socket;
  #controller: AbortController | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.once('close', () => this.#close());
  }

  /**
   * Aborted when the client hangs up. One for all requests of a connection, because a controller for each would cost
   * more than the rest of a GET's bookkeeping.
   */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#socket.destroyed) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  #close(): void {
    this.reading?.hangUp();
    this.#controller?.abort();
  }
}

export function connectionOf(socket: Socket): Connection {
  const holder = socket as Socket & WithState;
  return (holder[STATE] ??= new Connection(socket));
}
