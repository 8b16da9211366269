/**
 * The transport of production: libp2p over TCP, with noise and yamux.
 *
 *     const transport = await createLibp2pTransport({ privateKey, listen: '127.0.0.1:0', secret, handlers });
 *     transport.connect('10.0.0.6:7101');   // dials until told otherwise; handlers.peer says when it is up
 *     transport.send(peerId, 'raft', [bytes]);
 *
 * **One link a peer.** Both sides may dial at the same time. Each side uses the connection that was admitted last; the side with the smaller
 * peer id closes the others, and only that side does, so the two can never close each one that the other keeps. A dialer that finds its peer linked
 * meanwhile gives up its own dial. Frames of a connection that is not the current one are dropped: order within a link holds.
 */
import type { Connection, Libp2p, PrivateKey } from '@libp2p/interface';
import { KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import { parseAddress, toMultiaddr } from './address.ts';
import { Admission } from './admission.ts';
import { createHost } from './libp2p-host.ts';
import {
  ADMISSION_PROTOCOL,
  DIAL_TIMEOUT_MS,
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_MISSED,
  MAX_PEERS_REMEMBERED,
  channelProtocol,
  resolveLimits,
} from './limits.ts';
import type { PartialTransportLimits } from './limits.ts';
import { Link } from './link.ts';
import type { Failure, LinkOwner } from './link.ts';
import type { OutStream } from './out-stream.ts';
import { memberId } from './peer-id.ts';
import { Reconnector } from './reconnect.ts';
import type { DialResult } from './reconnect.ts';
import { Refusals } from './refusals.ts';
import { SocketGuard } from './socket-guard.ts';
import { CHANNELS } from './types.ts';
import type {
  Channel,
  Hello,
  Peer,
  PeerEvent,
  PeerStats,
  Transport,
  TransportHandlers,
  TransportLimits,
  TransportStats,
} from './types.ts';

/** The part of pino's interface that the transport uses. */
export interface TransportLogger {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface Libp2pTransportOptions {
  /** Ed25519: the identity that noise proves. */
  readonly privateKey: PrivateKey;
  /** HOST:PORT; port 0 takes a free one. */
  readonly listen: string;
  /** Cluster secret; null: nobody is admitted. */
  readonly secret: string | null;
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

/** A member that was admitted at least once. */
interface PeerState {
  readonly id: NodeId;
  /** Admitted connections, oldest first; the last is the current one. */
  links: Link[];
  current: Link | null;
  peer: Peer;
  framesSent: number;
  bytesSent: number;
  framesReceived: number;
  bytesReceived: number;
  framesDropped: number;
}

class Libp2pTransport implements Transport, LinkOwner {
  readonly limits: TransportLimits;
  readonly #handlers: TransportHandlers;
  readonly #secret: string | null;
  readonly #logger: TransportLogger | undefined;
  readonly #guard: SocketGuard;
  readonly #reconnector: Reconnector;
  readonly #refusals: Refusals;
  readonly #peers = new Map<NodeId, PeerState>();
  readonly #links = new Map<Connection, Link>();
  /** The address and the answer that a dial of ours waits with. */
  readonly #dials = new Map<Link, { readonly address: string; done(result: DialResult): void }>();
  #libp2p!: Libp2p;
  #address = '';
  #ownPeerId = '';
  #malformed = 0;
  #ticker: NodeJS.Timeout | null = null;
  #lastTickMs = 0;
  #dirty: OutStream[] = [];
  #closing: Promise<void> | null = null;

  constructor(options: Libp2pTransportOptions) {
    this.limits = resolveLimits(options.limits);
    this.#handlers = options.handlers;
    this.#secret = options.secret;
    this.#logger = options.logger;
    this.#guard = new SocketGuard((remote) => {
      this.#malformed++;
      this.#logger?.debug({ remote }, 'bytes that are not our protocol came to the peer port');
    });
    this.#refusals = new Refusals((event) => {
      if (event.type === 'refused') this.#logger?.warn({ ...event }, 'peer refused');
      this.#tell(event);
    });
    this.#reconnector = new Reconnector({
      dial: (address, done) => void this.#dial(address, done),
      linked: (id) => this.peer(id) !== undefined,
      lost: (id) => {
        const state = this.#peers.get(id);
        if (state !== undefined) this.#tell({ type: 'lost', peer: state.peer });
      },
      schedule: (delayMs, task) => {
        const timer = setTimeout(task, delayMs);
        return () => clearTimeout(timer);
      },
      random: Math.random,
    });
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

  connect(address: string): void {
    parseAddress(address);
    if (this.#closing === null && address !== this.#address) this.#reconnector.connect(address);
  }

  disconnect(address: string): void {
    this.#reconnector.disconnect(address);
  }

  peers(): readonly Peer[] {
    const peers: Peer[] = [];
    for (const state of this.#peers.values()) if (state.current !== null) peers.push(state.peer);
    return peers;
  }

  peer(id: NodeId): Peer | undefined {
    const state = this.#peers.get(id);
    return state === undefined || state.current === null ? undefined : state.peer;
  }

  send(to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean {
    let length = 0;
    for (const part of parts) length += part.byteLength;
    const limit = this.limits.maxFrameBytes[channel];
    if (length > limit) {
      throw new KvorumError('ERR_TOO_LARGE', `a ${channel} frame of ${length} bytes is over the limit of ${limit}`);
    }
    const state = this.#peers.get(to);
    if (state === undefined) return false;
    if (state.current === null || this.#closing !== null || !state.current.send(channel, parts, length)) {
      state.framesDropped++;
      return false;
    }
    state.framesSent++;
    state.bytesSent += length;
    return true;
  }

  queuedBytes(to: NodeId, channel: Channel): number {
    return this.#peers.get(to)?.current?.queuedBytes(channel) ?? 0;
  }

  drop(id: NodeId, code: string, message: string): void {
    for (const link of this.#peers.get(id)?.links ?? []) link.dismiss(code, message);
  }

  stats(): TransportStats {
    const peers: PeerStats[] = [];
    for (const state of this.#peers.values()) {
      const { id, framesSent, bytesSent, framesReceived, bytesReceived, framesDropped, current } = state;
      let queuedBytes = 0;
      if (current !== null) for (const channel of CHANNELS) queuedBytes += current.queuedBytes(channel);
      peers.push({ id, framesSent, bytesSent, framesReceived, bytesReceived, framesDropped, queuedBytes });
    }
    return { peers, refused: this.#refusals.counts(), malformed: this.#malformed };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#reconnector.close();
    this.#flush();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await this.#libp2p.stop();
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Connections

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
      this.#logger?.debug({ address, error }, 'dial failed');
      if (link !== undefined && this.#dials.delete(link)) {
        link.abort(error);
        // Noise worked and the protocol is unknown there: libp2p, but not Kvorum, or not this version of it.
        if (error instanceof Error && error.name === 'UnsupportedProtocolError') {
          this.#refusals.add('out', address, 'ERR_WRONG_PROTOCOL', NO_ADMISSION);
          return done({ type: 'refused' });
        }
      }
      done({ type: link === undefined ? dialFailure(error) : 'reset' });
    }
  }

  admission(link: Link): Admission {
    return new Admission({
      role: link.role,
      secret: this.#secret,
      ownPeerId: this.#ownPeerId,
      remotePeerId: link.connection.remotePeer.toString(),
      remoteId: link.id,
      hello: () => this.#handlers.hello(),
      admit: (hello) => this.#handlers.admit(hello),
    });
  }

  admitted(link: Link, hello: Hello): void {
    this.#guard.admitted(link.connection);
    const peer: Peer = { id: hello.id, name: hello.name, address: hello.address, hello };
    const state = this.#remember(peer);
    state.peer = peer;
    state.links.push(link);
    state.current = link;
    if (this.#ownPeerId < hello.peerId) {
      for (const older of state.links.slice(0, -1)) void older.close();
    }
    const dial = this.#dials.get(link);
    this.#dials.delete(link);
    this.#refusals.clear('in', hello.address);
    this.#refusals.clear('out', dial?.address ?? hello.address);
    this.#reconnector.up(peer.id, peer.address);
    dial?.done({ type: 'linked', id: peer.id });
    // The raft stream is opened at once, so that the first message does not wait for it.
    link.out('raft');
    this.#tell({ type: 'up', peer });
  }

  failed(link: Link, failure: Failure): void {
    const dial = this.#dials.get(link);
    this.#dials.delete(link);
    switch (failure.type) {
      case 'refused': {
        const direction = dial === undefined ? 'in' : 'out';
        // Whoever did not prove the secret has only the address that it came from, and its port there means nothing.
        const address = dial?.address ?? failure.hello?.address ?? remoteHost(link.connection);
        const whose = failure.by === 'us' ? '' : 'the peer refused this node: ';
        this.#refusals.add(direction, address, failure.code, whose + failure.message);
        return dial?.done({ type: 'refused' });
      }
      case 'malformed':
        this.#malformed++;
        this.#logger?.debug({ remote: remoteHost(link.connection), reason: failure.reason }, 'malformed handshake');
        return dial?.done({ type: 'failed' });
      case 'timeout':
        this.#refusals.count('ERR_TIMEOUT');
        return dial?.done({ type: 'failed' });
      default:
        return dial?.done({ type: 'reset' });
    }
  }

  dismissed(link: Link, code: string, message: string): void {
    const address = link.hello?.address ?? remoteHost(link.connection);
    this.#refusals.add('out', address, code, `the peer closed the link: ${message}`);
  }

  malformed(link: Link, reason: unknown): void {
    this.#malformed++;
    this.#logger?.warn({ remote: remoteHost(link.connection), peer: link.id, reason }, 'link closed: malformed bytes');
    link.abort(reason);
  }

  closed(link: Link): void {
    this.#links.delete(link.connection);
    const state = this.#peers.get(link.id);
    const index = state?.links.indexOf(link) ?? -1;
    if (state === undefined || index < 0) {
      // Strangers leave nothing behind, not even a line in libp2p's peer book.
      if (this.#closing === null && state === undefined) {
        this.#libp2p.peerStore.delete(link.connection.remotePeer).catch((error: unknown) => {
          this.#logger?.debug({ error }, 'peer book');
        });
      }
      return;
    }
    state.links.splice(index, 1);
    state.framesDropped += link.queuedFrames();
    if (state.current !== link) return;
    const next = state.links.at(-1);
    if (next !== undefined) {
      state.current = next;
      this.#tell({ type: 'up', peer: state.peer });
      return;
    }
    state.current = null;
    if (this.#closing !== null) return;
    this.#tell({ type: 'down', peer: state.peer });
    this.#reconnector.down(state.id, link.wanted);
  }

  frame(link: Link, channel: Channel, frame: Uint8Array): void {
    const state = this.#peers.get(link.id);
    if (state === undefined || state.current !== link || this.#closing !== null) return;
    state.framesReceived++;
    state.bytesReceived += frame.byteLength;
    this.#handlers.frame(link.id, channel, frame);
  }

  flushLater(stream: OutStream): void {
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

  #remember(peer: Peer): PeerState {
    let state = this.#peers.get(peer.id);
    if (state !== undefined) return state;
    if (this.#peers.size >= MAX_PEERS_REMEMBERED) {
      for (const [id, old] of this.#peers) {
        if (old.links.length > 0) continue;
        this.#peers.delete(id);
        break;
      }
    }
    state = {
      id: peer.id,
      links: [],
      current: null,
      peer,
      framesSent: 0,
      bytesSent: 0,
      framesReceived: 0,
      bytesReceived: 0,
      framesDropped: 0,
    };
    this.#peers.set(peer.id, state);
    return state;
  }

  #tell(event: PeerEvent): void {
    if (this.#closing === null) this.#handlers.peer(event);
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
      const current = this.#peers.get(link.id)?.current;
      if (current !== link && ++link.replacedTicks > KEEPALIVE_MISSED) void link.close();
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
