/**
 * What every transport does alike: who is linked, which of several connections to a peer counts, what is told to the shell, what is
 * counted. How bytes travel is the business of the classes below it.
 *
 * **One link a peer.** There may be several connections to a peer: both sides dial at the same time, or one of them does not know yet that the one before is dead. All are ordered alike on both
 * sides, whatever comes when: by the number that the side with the smaller peer id gives each handshake. The highest counts, the youngest therefore; but a link by the secret is never given up for
 * one by a join token, which is good for asking to be let in and nothing else, and who has the secret by the time that a handshake by its token is over makes no link of it. The side with the smaller peer
 * id closes what is left over, a second later, when the other has made the same choice. A dialer that finds its peer linked meanwhile gives up its own dial.
 *
 * **A connection counts once, or never.** One that was outranked is not taken up again when the one that counts ends: all end with it. Frames are sent on the one that counts here, and taken from
 * it only. So who keeps something for as long as a link lasts, from one `up` to the next or to `down`, never gets an answer to what was asked, or said, on another: either both ends have come to
 * the same connection, or nothing passes.
 */
import { invariant, KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import { parseAddress } from './address.ts';
import { Admission } from './admission.ts';
import type { AdmissionOutcome } from './admission.ts';
import { MAX_PEERS_REMEMBERED, resolveLimits } from './limits.ts';
import type { PartialTransportLimits } from './limits.ts';
import { Reconnector } from './reconnect.ts';
import type { DialResult } from './reconnect.ts';
import { Refusals } from './refusals.ts';
import type { Refusal } from './refusals.ts';
import { CHANNELS } from './types.ts';
import type {
  Channel,
  Credential,
  Hello,
  Peer,
  PeerCredential,
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

/** A connection to one peer, of whatever kind. */
export interface BaseLink {
  readonly id: NodeId;
  readonly role: 'dialer' | 'listener';
  readonly hello: Hello | null;
  /** Of the peer; null until it is admitted. */
  readonly credential: PeerCredential | null;
  /** This side proved with a join token. */
  readonly bearsToken: boolean;
  /** Of its handshake, as the side with the smaller peer id counts them. */
  readonly number: number;
  /** Closed by our own will or the peer's word: nobody asks whether its process is gone. */
  readonly wanted: boolean;
  /** False when the queue of the channel is full. */
  send(channel: Channel, parts: readonly Uint8Array[], length: number): boolean;
  prepare(channel: Channel): void;
  queuedBytes(channel: Channel): number;
  /** Frames that would be lost if it closed now. */
  queuedFrames(): number;
  /** Tells the peer why, then closes. */
  dismiss(code: string, message: string): void;
  /** Closes gently: what is written leaves first. To this side it is gone at once. */
  close(): unknown;
}

/** Why a connection was not admitted. `broken`: it ended, which says nothing about the peer. */
export type Failure =
  | Exclude<AdmissionOutcome, { type: 'admitted' }>
  | { readonly type: 'timeout' }
  | { readonly type: 'broken' };

export interface BaseOptions {
  readonly handlers: TransportHandlers;
  readonly credential: () => Credential;
  readonly wallTime: () => number;
  readonly limits?: PartialTransportLimits | undefined;
  readonly logger?: TransportLogger | undefined;
  /** Runs `task` after `delayMs`; returns what cancels it. */
  schedule(delayMs: number, task: () => void): () => void;
  /** Uniform in [0, 1). */
  random(): number;
}

const CLOSE_RIVALS_MS = 1000;
/** A node makes fewer handshakes a millisecond, so that those of its next start have higher numbers. */
const NUMBERS_A_MS = 1024;

/** A member that was admitted at least once. */
interface PeerState<L> {
  readonly id: NodeId;
  /** Admitted connections, oldest first. */
  readonly links: L[];
  /** The one that counts: that of the highest rank. */
  current: L | null;
  peer: Peer;
  /** Forgotten with its last link. */
  transient: boolean;
  framesSent: number;
  bytesSent: number;
  framesReceived: number;
  bytesReceived: number;
  framesDropped: number;
}

export abstract class BaseTransport<L extends BaseLink> implements Transport {
  abstract readonly address: string;
  readonly limits: TransportLimits;
  protected readonly handlers: TransportHandlers;
  protected readonly logger: TransportLogger | undefined;
  protected readonly reconnector: Reconnector;
  readonly #refusals: Refusals;
  readonly #peers = new Map<NodeId, PeerState<L>>();
  readonly #options: BaseOptions;
  #nextNumber: number;
  readonly #timers = new Set<() => void>();
  #malformed = 0;
  protected closing = false;

  constructor(options: BaseOptions) {
    this.#options = options;
    this.#nextNumber = Math.max(0, Math.floor(options.wallTime())) * NUMBERS_A_MS;
    this.limits = resolveLimits(options.limits);
    this.handlers = options.handlers;
    this.logger = options.logger;
    this.#refusals = new Refusals((event) => {
      this.logger?.debug({ ...event }, 'peer refused');
      this.#tell(event);
    });
    this.reconnector = new Reconnector({
      dial: (address, done) => this.dial(address, done),
      linked: (id) => this.peer(id) !== undefined,
      lost: (id) => {
        const state = this.#peers.get(id);
        if (state !== undefined) this.#tell({ type: 'lost', peer: state.peer });
      },
      dialled: (address, id) => {
        if (!this.closing) options.handlers.dialled?.(address, id);
      },
      schedule: (delayMs, task) => options.schedule(delayMs, task),
      random: () => options.random(),
    });
  }

  abstract close(): Promise<void>;
  /** Dials once. `done` is called once, at the end of admission. */
  protected abstract dial(address: string, done: (result: DialResult) => void): void;
  /** Peer id of this node. */
  protected abstract readonly ownPeerId: string;

  connect(address: string): void {
    parseAddress(address);
    if (!this.closing && address !== this.address) this.reconnector.connect(address);
  }

  disconnect(address: string): void {
    this.reconnector.disconnect(address);
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
    if (state.current === null || this.closing || !state.current.send(channel, parts, length)) {
      state.framesDropped++;
      return false;
    }
    state.framesSent++;
    state.bytesSent += length;
    return true;
  }

  prepare(to: NodeId, channel: Channel): void {
    this.#peers.get(to)?.current?.prepare(channel);
  }

  queuedBytes(to: NodeId, channel: Channel): number {
    return this.#peers.get(to)?.current?.queuedBytes(channel) ?? 0;
  }

  hangUp(id: NodeId): void {
    for (const link of [...(this.#peers.get(id)?.links ?? [])]) link.close();
  }

  hangUpTokenLinks(id: NodeId): void {
    for (const link of [...(this.#peers.get(id)?.links ?? [])]) if (isByToken(link)) link.close();
  }

  drop(id: NodeId, code: string, message: string): void {
    const { links = [], current = null } = this.#peers.get(id) ?? {};
    // With the one that counts the others end too, without a word.
    for (const link of [...links]) if (link !== current) link.dismiss(code, message);
    current?.dismiss(code, message);
  }

  stats(): TransportStats {
    const peers: PeerStats[] = [];
    for (const state of this.#peers.values()) {
      if (state.transient) continue;
      const { id, framesSent, bytesSent, framesReceived, bytesReceived, framesDropped, current } = state;
      let queuedBytes = 0;
      if (current !== null) for (const channel of CHANNELS) queuedBytes += current.queuedBytes(channel);
      peers.push({ id, framesSent, bytesSent, framesReceived, bytesReceived, framesDropped, queuedBytes });
    }
    return { peers, refused: this.#refusals.counts(), malformed: this.#malformed };
  }

  /** For one handshake: what it is proved with is asked for now. */
  protected newAdmission(role: 'dialer' | 'listener', remotePeerId: string, remoteId: NodeId): Admission {
    const { credential, handlers, wallTime } = this.#options;
    return new Admission({
      role,
      credential: credential(),
      number: this.#nextNumber++,
      ownPeerId: this.ownPeerId,
      remotePeerId,
      remoteId,
      wallTime,
      hello: () => handlers.hello(),
      admit: (hello, proved) => handlers.admit(hello, proved),
    });
  }

  /** The link whose frames count; undefined while the peer is not linked. */
  protected current(id: NodeId): L | undefined {
    return this.#peers.get(id)?.current ?? undefined;
  }

  /** A connection passed admission on both sides. `dialled`: the address that we dialled for it, null when the peer dialled. */
  protected onAdmitted(link: L, hello: Hello, dialled: string | null): void {
    if (link.bearsToken && !this.#bearsToken()) {
      link.close();
      return;
    }
    const peer = peerOf(link, hello);
    const state = this.#remember(peer);
    state.links.push(link);
    this.#refusals.clear('in', hello.address);
    this.#refusals.clear('out', dialled ?? hello.address);
    const rival = state.current;
    if (rival !== null && this.ownPeerId < hello.peerId) {
      this.#later(CLOSE_RIVALS_MS, () => this.#closeRivals(state));
    }
    // A bearer of a token is not asked whose address it gives for its own.
    this.reconnector.up(peer.id, isByToken(link) ? null : peer.address, dialled);
    // Who was told just now may have closed it.
    if ((rival !== null && this.#outranks(rival, link)) || !state.links.includes(link)) return;
    state.peer = peer;
    state.transient = this.handlers.transient?.(hello) ?? false;
    state.current = link;
    this.#tell({ type: 'up', peer });
  }

  /** Nothing more is dialled, scheduled or told. */
  protected stop(): void {
    this.closing = true;
    this.reconnector.close();
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  #later(delayMs: number, task: () => void): void {
    const cancel = this.#options.schedule(delayMs, () => {
      this.#timers.delete(cancel);
      task();
    });
    this.#timers.add(cancel);
  }

  #bearsToken(): boolean {
    const credential = this.#options.credential();
    return credential !== null && 'token' in credential;
  }

  /** Of two links to a peer. All that this looks at both sides know alike. */
  #outranks(one: L, other: L): boolean {
    if (isByToken(one) !== isByToken(other)) return isByToken(other);
    const [oneEpoch, otherEpoch] = [this.#epoch(one), this.#epoch(other)];
    return oneEpoch === otherEpoch ? one.number > other.number : oneEpoch > otherEpoch;
  }

  /** Boot epoch of the side that numbers the handshakes: it grows though the clock goes back. */
  #epoch({ hello }: L): number {
    if (hello !== null && hello.peerId < this.ownPeerId) return hello.bootEpoch;
    return this.handlers.hello().bootEpoch;
  }

  #closeRivals(state: PeerState<L>): void {
    for (const link of [...state.links]) if (link !== state.current) link.close();
  }

  /** A connection failed to be admitted. Returns what that means for our dial. */
  protected onFailed(failure: Failure, dialled: string | null, remoteHost: string): DialResult {
    switch (failure.type) {
      case 'refused': {
        // Whoever did not prove the secret has only the address that it came from, and its port there means nothing.
        const address = dialled ?? failure.hello?.address ?? remoteHost;
        const { code, message, by, hello } = failure;
        this.refuse(dialled === null ? 'in' : 'out', { address, code, message, by, hello });
        return { type: 'refused' };
      }
      case 'malformed':
        this.onMalformed(remoteHost, failure.reason);
        return { type: 'failed' };
      case 'timeout':
        this.#refusals.count('ERR_TIMEOUT');
        return { type: 'failed' };
      default:
        return { type: 'reset' };
    }
  }

  protected refuse(direction: 'in' | 'out', refusal: Refusal): void {
    const told = refusal.by === 'us' ? refusal.message : `the peer refused this node: ${refusal.message}`;
    this.#refusals.add(direction, { ...refusal, message: told });
  }

  protected onMalformed(remote: string, reason: unknown): void {
    this.#malformed++;
    this.logger?.debug({ remote, reason }, 'bytes that are not our protocol');
  }

  /** Nothing of this member is remembered. */
  protected isStranger(id: NodeId): boolean {
    return !this.#peers.has(id);
  }

  protected onClosed(link: L): void {
    const state = this.#peers.get(link.id);
    const index = state?.links.indexOf(link) ?? -1;
    if (state === undefined || index < 0) return;
    state.links.splice(index, 1);
    state.framesDropped += link.queuedFrames();
    if (state.current !== link) return;
    state.current = null;
    for (const outranked of [...state.links]) outranked.close();
    if (state.transient) this.#peers.delete(state.id);
    this.#tell({ type: 'down', peer: state.peer });
    this.reconnector.down(state.id, link.wanted);
  }

  /** Throws what the shell's handler throws: the link is closed for it. */
  protected onFrame(link: L, channel: Channel, frame: Uint8Array): void {
    const state = this.#peers.get(link.id);
    if (state?.current !== link || this.closing) return;
    state.framesReceived++;
    state.bytesReceived += frame.byteLength;
    this.handlers.frame(link.id, channel, frame, credentialOf(link));
  }

  #remember(peer: Peer): PeerState<L> {
    let state = this.#peers.get(peer.id);
    if (state !== undefined) return state;
    // Those who are here are counted by whoever admits them.
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
      transient: false,
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
    if (!this.closing) this.handlers.peer(event);
  }
}

function peerOf(link: BaseLink, hello: Hello): Peer {
  const { id, name, address } = hello;
  return { id, name, address, hello, credential: credentialOf(link), dialled: link.role === 'dialer' };
}

/** One side bore a join token: both sides say the same of it. */
function isByToken(link: BaseLink): boolean {
  return link.bearsToken || credentialOf(link).type === 'token';
}

function credentialOf({ credential }: BaseLink): PeerCredential {
  invariant(credential !== null, 'a link that is up was admitted by something');
  return credential;
}
