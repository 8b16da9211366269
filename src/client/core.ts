/** What the parts of a client share: who makes calls, and what has to be closed with it. */
import type { Attempt, ClientTransport } from './api.ts';
import type { Caller } from './caller.ts';
import type { Host } from './host.ts';
import type { Renewal } from './keep-alive.ts';

export interface Closable {
  close(): Promise<void>;
}

export class Core {
  readonly caller: Caller;
  /** Null for a client that is beside no node. */
  readonly host: Host | null;
  /** As `ClientTransport.announce`; nobody is told when the node is elsewhere. */
  readonly announce: NonNullable<ClientTransport['announce']>;
  readonly #handles = new Set<Closable>();
  #closing: Promise<void> | null = null;

  constructor(
    caller: Caller,
    host: Host | null = null,
    announce: NonNullable<ClientTransport['announce']> = () => undefined,
  ) {
    this.caller = caller;
    this.host = host;
    this.announce = announce;
  }

  now(): number {
    return this.caller.environment.now();
  }

  keep(handle: Closable): void {
    this.#handles.add(handle);
  }

  forget(handle: Closable): void {
    this.#handles.delete(handle);
  }

  /** A renewal that tells when the attempt was sent that was acknowledged. */
  async renew(
    ttlMs: number,
    deadline: number,
    signal: AbortSignal | undefined,
    send: (transport: ClientTransport, attempt: Attempt) => Promise<{ readonly ttlMs: number }>,
  ): Promise<Renewal> {
    let sentAt = 0;
    const answer = await this.caller.run(
      'idempotent',
      {
        internal: true,
        signal,
        timeoutMs: Math.max(1, deadline - this.now()),
        // A node that hangs must not cost the whole time to live.
        attemptTimeoutMs: Math.min(this.caller.options.attemptTimeoutMs, Math.ceil(ttlMs / 5)),
      },
      (transport, attempt) => {
        sentAt = this.now();
        return send(transport, attempt);
      },
    );
    return { ttlMs: answer.ttlMs, sentAt };
  }

  /** Calls are rejected, handles given back, sessions ended. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.caller.stop();
    const closed = await Promise.allSettled([...this.#handles].map((handle) => handle.close()));
    await this.caller.close();
    for (const result of closed) if (result.status === 'rejected') throw result.reason as Error;
  }
}
