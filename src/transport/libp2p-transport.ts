/**
 * The transport of production: libp2p over TCP, with noise and yamux.
 *
 *     const transport = await createLibp2pTransport({ privateKey, listen: '127.0.0.1:0', credential: () => ({ secret }), wallTime: Date.now, handlers });
 *     transport.connect('10.0.0.6:7101');   // dials until told otherwise; handlers.peer says when it is up
 *     transport.send(id, 'raft', [bytes]);
 */
import type { Connection, Libp2p, PrivateKey } from '@libp2p/interface';
import { parseAddress, toMultiaddr } from './address.ts';
import type { Admission } from './admission.ts';
import { BaseTransport } from './base-transport.ts';
import type { Failure, TransportLogger } from './base-transport.ts';
import { createHost } from './libp2p-host.ts';
import {
  ADMISSION_PROTOCOL,
  DIAL_TIMEOUT_MS,
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_MISSED,
  channelProtocol,
} from './limits.ts';
import type { PartialTransportLimits } from './limits.ts';
import { Link } from './link.ts';
import type { LinkOwner } from './link.ts';
import type { OutStream } from './out-stream.ts';
import { memberId } from './peer-id.ts';
import type { DialResult } from './reconnect.ts';
import { SocketGuard } from './socket-guard.ts';
import { CHANNELS } from './types.ts';
import type { Channel, Credential, Hello, Transport, TransportHandlers } from './types.ts';

export interface Libp2pTransportOptions {
  /** Ed25519: the identity that noise proves. */
  readonly privateKey: PrivateKey;
  /** HOST:PORT; port 0 takes a free one. Null: it only dials. */
  readonly listen: string | null;
  /** Asked at each handshake, so it may change: links that are up stay. Null: nobody is admitted. Must not throw. */
  readonly credential: () => Credential;
  /** Milliseconds since the epoch, for the expiry of join tokens. */
  readonly wallTime: () => number;
  readonly handlers: TransportHandlers;
  readonly limits?: PartialTransportLimits;
  /** Silent unless given. */
  readonly logger?: TransportLogger;
}

/**
 * Listens, and resolves when it does. Rejects with ERR_ADDRESS_IN_USE when the port is taken, ERR_CONFIG when the address cannot be
 * listened on.
 */
export async function createLibp2pTransport(options: Libp2pTransportOptions): Promise<Transport> {
  const transport = new Libp2pTransport(options);
  await transport.open(options);
  return transport;
}

class Libp2pTransport extends BaseTransport<Link> implements LinkOwner {
  readonly #guard: SocketGuard;
  readonly #links = new Map<Connection, Link>();
  /** The address and the answer that a dial of ours waits with. */
  readonly #dials = new Map<Link, { readonly address: string; done(result: DialResult): void }>();
  #libp2p!: Libp2p;
  #address = '';
  #ownPeerId = '';
  #ticker: NodeJS.Timeout | null = null;
  #lastTickMs = 0;
  #dirty: OutStream[] = [];
  #closed: Promise<void> | null = null;

  constructor(options: Libp2pTransportOptions) {
    super({
      handlers: options.handlers,
      credential: options.credential,
      wallTime: options.wallTime,
      limits: options.limits,
      logger: options.logger,
      schedule: (delayMs, task) => {
        const timer = setTimeout(task, delayMs);
        return () => clearTimeout(timer);
      },
      random: Math.random,
    });
    this.#guard = new SocketGuard((remote) => this.onMalformed(remote, 'not libp2p'));
  }

  async open({ privateKey, listen }: Libp2pTransportOptions): Promise<void> {
    const { libp2p, address } = await createHost(privateKey, listen, this.#guard, (host) => this.#serve(host));
    this.#libp2p = libp2p;
    this.#address = address;
    this.#lastTickMs = performance.now();
    this.#ticker = setInterval(() => this.#tick(), KEEPALIVE_INTERVAL_MS);
  }

  get address(): string {
    return this.#address;
  }

  protected get ownPeerId(): string {
    return this.#ownPeerId;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.stop();
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#flush();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await this.#libp2p.stop();
  }

  async #serve(libp2p: Libp2p): Promise<void> {
    this.#ownPeerId = libp2p.peerId.toString();
    libp2p.addEventListener('connection:open', ({ detail: connection }) => {
      this.#guard.upgraded(connection);
      this.#links.set(connection, new Link(connection, memberId(connection.remotePeer), this));
    });
    // One stream a protocol and direction on each connection: that is all that there is ever need for.
    const options = { maxInboundStreams: 1, maxOutboundStreams: 1, runOnLimitedConnection: false };
    await libp2p.handle(
      ADMISSION_PROTOCOL,
      (stream, connection) => {
        const link = this.#links.get(connection);
        if (link?.role === 'listener') link.control(stream);
        else stream.abort(new Error('the dialer opens admission'));
      },
      options,
    );
    for (const channel of CHANNELS) {
      await libp2p.handle(
        channelProtocol(channel),
        (stream, connection) => {
          const link = this.#links.get(connection);
          if (link === undefined) stream.abort(new Error('closed'));
          else link.incoming(channel, stream);
        },
        options,
      );
    }
  }

  protected dial(address: string, done: (result: DialResult) => void): void {
    void this.#dial(address, done);
  }

  async #dial(address: string, done: (result: DialResult) => void): Promise<void> {
    let link: Link | undefined;
    try {
      const connection = await this.#libp2p.dial(toMultiaddr(parseAddress(address)), {
        signal: AbortSignal.timeout(DIAL_TIMEOUT_MS),
        // Which of two connections to keep is decided below, not by libp2p.
        force: true,
      });
      link = this.#links.get(connection);
      if (link === undefined) return done({ type: 'reset' });
      if (this.peer(link.id) !== undefined) {
        void link.close();
        return done({ type: 'linked', id: link.id });
      }
      this.#dials.set(link, { address, done });
      await link.begin();
    } catch (error) {
      this.logger?.debug({ address, error }, 'dial failed');
      if (link !== undefined && this.#dials.delete(link)) {
        link.abort(error);
        // Noise worked and the protocol is unknown there: libp2p, but not Kvorum, or not this version of it.
        if (error instanceof Error && error.name === 'UnsupportedProtocolError') {
          const refusal = {
            address,
            code: 'ERR_WRONG_PROTOCOL',
            message: NO_ADMISSION,
            by: 'us',
            hello: null,
          } as const;
          this.refuse('out', refusal);
          return done({ type: 'refused' });
        }
      }
      done({ type: link === undefined ? dialFailure(error) : 'reset' });
    }
  }

  admission(link: Link): Admission {
    return this.newAdmission(link.role, link.connection.remotePeer.toString(), link.id);
  }

  admitted(link: Link, hello: Hello): void {
    this.#guard.admitted(link.connection);
    const dial = this.#dials.get(link);
    this.#dials.delete(link);
    this.onAdmitted(link, hello, dial?.address ?? null);
    dial?.done({ type: 'linked', id: hello.id });
  }

  failed(link: Link, failure: Failure): void {
    const dial = this.#dials.get(link);
    this.#dials.delete(link);
    const result = this.onFailed(failure, dial?.address ?? null, remoteHost(link.connection));
    dial?.done(result);
  }

  dismissed(link: Link, code: string, message: string): void {
    const address = link.hello?.address ?? remoteHost(link.connection);
    this.refuse('out', { address, code, message, by: 'them', hello: link.hello });
  }

  malformed(link: Link, reason: unknown): void {
    this.onMalformed(remoteHost(link.connection), reason);
    link.abort(reason);
  }

  closed(link: Link): void {
    this.onClosed(link);
  }

  ended(link: Link): void {
    this.#links.delete(link.connection);
    if (this.closing || !this.isStranger(link.id)) return;
    // Strangers leave nothing behind, not even a line in libp2p's peer book.
    this.#libp2p.peerStore.delete(link.connection.remotePeer).catch((error: unknown) => {
      this.logger?.debug({ error }, 'peer book');
    });
  }

  frame(link: Link, channel: Channel, frame: Uint8Array): void {
    this.onFrame(link, channel, frame);
  }

  flushLater(stream: OutStream): void {
    // What one turn of the shell's loop sends leaves together, at its end. (setImmediate would gather more of several loops, and measured the same.)
    if (this.#dirty.push(stream) === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const stream of dirty) {
      stream.dirty = false;
      stream.flush();
    }
  }

  /** Keep-alives. A tick that comes late means that this process stood still, and what the peers said meanwhile is not read yet. */
  #tick(): void {
    const now = performance.now();
    const late = now - this.#lastTickMs > 1.5 * KEEPALIVE_INTERVAL_MS;
    this.#lastTickMs = now;
    for (const link of this.#links.values()) {
      if (link.phase !== 'up') continue;
      if (link.heard || late) link.silentTicks = 0;
      else if (++link.silentTicks >= KEEPALIVE_MISSED) {
        link.abort('the peer is silent');
        continue;
      }
      link.heard = false;
      link.ping();
      // The peer was to close it. It did not, so it does not know of the newer link: it will when this one is gone.
      if (this.current(link.id) !== link && ++link.replacedTicks > KEEPALIVE_MISSED) void link.close();
    }
  }
}

const NO_ADMISSION =
  'what listens there speaks libp2p, but not this version of Kvorum: upgrade the older of the two nodes';

function remoteHost(connection: Connection): string {
  const component = connection.remoteAddr.getComponents().find(({ name }) => /^(ip[46]|dns[46]?)$/.test(name));
  return component?.value ?? 'unknown';
}

/** Only what the peer's operating system says is a hint (decision 10): a time-out or an unreachable network says nothing of its process. */
function dialFailure(error: unknown, depth = 0): 'port-closed' | 'reset' | 'failed' {
  if (typeof error !== 'object' || error === null || depth > 4) return 'failed';
  if ('code' in error) {
    if (error.code === 'ECONNREFUSED') return 'port-closed';
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return 'reset';
  }
  if ('errors' in error && Array.isArray(error.errors) && error.errors.length > 0) {
    const kinds = new Set(error.errors.map((one) => dialFailure(one, depth + 1)));
    if (kinds.size === 1) return [...kinds][0]!;
    return 'failed';
  }
  const text = error instanceof Error ? `${error.name} ${error.message}` : '';
  // The socket closed while noise was at work.
  if (/StreamReset|StreamClosed|UnexpectedEOF|ECONNRESET|closed|EncryptionFailed/i.test(text)) return 'reset';
  return 'failed';
}
