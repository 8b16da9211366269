/**
 * What every transport does alike: who is linked, which of several connections to a peer counts, what is told to the shell, what is
 * counted. How bytes travel is the business of the classes below it.
 *
 * **One link a peer.** Both sides may dial at the same time, and then there are two connections. Of two that are both young, each side takes the
 * one that the side with the smaller peer id dialled, so both take the same; otherwise the younger one, because a peer dials only when it has
 * no link, so the older one is dead and we have not noticed. But a link by the secret is never given up for one by a join token, which is good for asking to be let in and nothing else, and who
 * has the secret by the time that a handshake by its token is over makes no link of it. The side with the smaller peer id closes what is left over, a
 * second later, when the other has made the same choice. A dialer that finds its peer linked meanwhile gives up its own dial.
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

/** Two connections that were admitted within this time were dialled at the same time. */
const YOUNG_MS = 2000;
const CLOSE_RIVALS_MS = 1000;

/** A member that was admitted at least once. */
interface PeerState<L> {
  readonly id: NodeId;
  /** Admitted connections, oldest first. */
  readonly links: L[];
  /** The one that frames are sent on. */
  current: L | null;
  /** The one that frames are taken from: the current one from its first frame on. */
  receiving: L | null;
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
  readonly #young = new Set<L>();
  readonly #timers = new Set<() => void>();
  #malformed = 0;
  protected closing = false;

  constructor(options: BaseOptions) {
    this.#options = options;
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
    for (const link of [...(this.#peers.get(id)?.links ?? [])]) link.dismiss(code, message);
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
    this.reconnector.up(peer.id, peer.address);
    this.#young.add(link);
    this.#later(YOUNG_MS, () => this.#young.delete(link));
    const rival = state.current;
    if (rival !== null) {
      if (this.ownPeerId < hello.peerId) this.#later(CLOSE_RIVALS_MS, () => this.#closeRivals(state));
      if (this.#outranks(rival, link, hello)) return;
    }
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

  /** Whether the older of two links is kept. Both sides know alike of either whether it is by a token. */
  #outranks(older: L, younger: L, hello: Hello): boolean {
    if (isByToken(older) !== isByToken(younger)) return isByToken(younger);
    return this.#young.has(older) && this.#preferred(older, hello) && !this.#preferred(younger, hello);
  }

  /** Dialled by the side with the smaller peer id. */
  #preferred(link: L, hello: Hello): boolean {
    return (link.role === 'dialer') === this.ownPeerId < hello.peerId;
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
    if (state.receiving === link) state.receiving = null;
    state.framesDropped += link.queuedFrames();
    if (state.current !== link) return;
    const next = state.links.at(-1);
    if (next !== undefined) {
      state.current = next;
      if (next.hello !== null) state.peer = peerOf(next, next.hello);
      this.#tell({ type: 'up', peer: state.peer });
      return;
    }
    state.current = null;
    if (state.transient) this.#peers.delete(state.id);
    this.#tell({ type: 'down', peer: state.peer });
    this.reconnector.down(state.id, link.wanted);
  }

  /** Throws what the shell's handler throws: the link is closed for it. */
  protected onFrame(link: L, channel: Channel, frame: Uint8Array): void {
    const state = this.#peers.get(link.id);
    if (state === undefined || this.closing) return;
    if (state.receiving !== link) {
      // What is still under way on a connection that was given up comes before the first frame on the new one, or not at all.
      if (state.receiving !== null && link !== state.current) return;
      state.receiving = link;
    }
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
      receiving: null,
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
  return { id, name, address, hello, credential: credentialOf(link) };
}

/** One side bore a join token: both sides say the same of it. */
function isByToken(link: BaseLink): boolean {
  return link.bearsToken || credentialOf(link).type === 'token';
}

function credentialOf({ credential }: BaseLink): PeerCredential {
  invariant(credential !== null, 'a link that is up was admitted by something');
  return credential;
}
