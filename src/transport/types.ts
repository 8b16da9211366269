/**
 * What the shell asks of a network: frames to and from admitted peers, on one long-lived stream a class and direction.
 * Two implementations pass the same conformance suite: libp2p (`libp2p-transport.ts`) and memory (`memory-transport.ts`).
 *
 * Delivery is at most once and in order within (peer, channel) while a link lasts; a frame may be lost, never altered.
 */
import type { NodeId } from '../raft/types.ts';

/** A class of traffic with its own stream and its own queue: a heartbeat never waits behind a snapshot. */
export type Channel = 'raft' | 'snapshot' | 'client' | 'gossip' | 'ping' | 'dht';

export const CHANNELS: readonly Channel[] = ['raft', 'snapshot', 'client', 'gossip', 'ping', 'dht'];

/**
 * What peers tell each other inside the admission handshake, after each has proved that it knows the cluster secret or bears a join token. JSON-able.
 * The transport carries it and does not judge it: `admit` of the shell does.
 */
export interface Hello {
  /** Decimal cluster id; null before bootstrap. */
  readonly clusterId: string | null;
  readonly id: NodeId;
  readonly name: string;
  /** libp2p peer id, base58. Checked by the transport against the one that noise authenticated. */
  readonly peerId: string;
  readonly bootEpoch: number;
  /** HOST:PORT of the peer port, as others reach it. */
  readonly address: string;
  /** URL of its HTTP API, '' when it has none. */
  readonly http: string;
  /** Process id on its host, shown in /v1/cluster. */
  readonly pid: number;
  /** Version of the wire format: 1. */
  readonly protocol: number;
  /**
   * Room for the shell's own facts (bootstrap map and state, highest index …). Plain JSON data. The transport reads one of them, of a peer with a join token: `role`, the JoinRole that
   * it asks for; absent: voter.
   */
  readonly extra: Readonly<Record<string, unknown>>;
}

export interface Peer {
  readonly id: NodeId;
  readonly name: string;
  readonly address: string;
  readonly hello: Hello;
  /** What it proved with, over the link that counts. */
  readonly credential: PeerCredential;
  /** This side dialled that link. */
  readonly dialled: boolean;
}

/** What a node may be in a cluster. */
export type JoinRole = 'voter' | 'learner' | 'agent';

/** What a join token says. Its bearer shows it to whomever it speaks to. */
export interface JoinClaims {
  /** Decimal. */
  readonly clusterId: string;
  /** Wall clock, milliseconds since the epoch. */
  readonly expiresMs: number;
  /** Null: any. */
  readonly role: JoinRole | null;
  /** Tells two tokens apart. Base64url. */
  readonly nonce: string;
}

/** A join token, as `join-token.ts` reads it. */
export interface JoinToken {
  readonly claims: JoinClaims;
  /** The claims as they were signed. */
  readonly claimsBytes: Uint8Array;
  /** What its bearer proves to know, and shows to nobody. */
  readonly key: Uint8Array;
}

/** What a node proves with that it belongs to the cluster, or may join it. Null: nothing, so it is a cluster of one and admits nobody. */
export type Credential = { readonly secret: string } | { readonly token: JoinToken } | null;

/**
 * What a peer proved with: the cluster's secret, or the key of a join token, genuine, not expired, and of a role that its Hello asks for. For a node that bears a token itself,
 * every peer that it admits is one with the secret.
 */
export type PeerCredential =
  | { readonly type: 'secret' }
  | { readonly type: 'token'; readonly role: JoinRole | null; readonly expiresMs: number };

export type PeerEvent =
  /**
   * Admitted on both sides; frames can flow. Comes again, with the newer Hello, when a younger link takes the place of the one before: what was said on that one, and has not come, comes no more.
   */
  | { readonly type: 'up'; readonly peer: Peer }
  /** The last connection closed. Re-dialling goes on by itself for addresses given to `connect`. */
  | { readonly type: 'down'; readonly peer: Peer }
  /** The one re-dial right after `down` was refused by the operating system of the peer: its process is gone (decision 10). */
  | { readonly type: 'lost'; readonly peer: Peer }
  /** Admission failed, ours or theirs. Given once for each address and reason, until it changes. */
  | {
      readonly type: 'refused';
      readonly address: string;
      readonly code: string;
      readonly message: string;
      /** Who refused whom: we the peer, or it (`them`) this node. */
      readonly by: 'us' | 'them';
      /** What the peer said of itself; null when it did not come so far (a wrong secret, an expired token). */
      readonly hello: Hello | null;
    };

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly code: string; readonly message: string };

export interface TransportHandlers {
  /** Our Hello, asked for at every handshake: it may change. */
  hello(): Hello;
  /** Judge a peer that proved the secret, or bears a join token. A refusal is told to it with its code and message. */
  admit(hello: Hello, credential: PeerCredential): Verdict;
  /** A whole frame, of the link that was told to be `up` last, and what the peer proved with over it. The bytes are the receiver's to keep. Must not throw; a throw closes the link and is counted as malformed. */
  frame(from: NodeId, channel: Channel, frame: Uint8Array, credential: PeerCredential): void;
  peer(event: PeerEvent): void;
  /**
   * What came of dialling an address given to `connect`: the member that is linked now, whoever dialled, or null: nobody yet, it will be dialled again. `peer` tells
   * when frames can flow, perhaps after this.
   */
  dialled?(address: string, id: NodeId | null): void;
  /** True for a peer that comes and goes and is nobody in particular: nothing of it is kept, nor shown in `stats`. */
  transient?(hello: Hello): boolean;
}

export interface Transport {
  /** Where it listens, HOST:PORT with the real port; '' when it does not. */
  readonly address: string;
  /** Dials the address until told otherwise, with back-off and jitter, and again whenever the link is lost. */
  connect(address: string): void;
  disconnect(address: string): void;
  /** Admitted peers with a live link. */
  peers(): readonly Peer[];
  peer(id: NodeId): Peer | undefined;
  /**
   * Queues one frame (the parts are concatenated on the wire, and not copied before) and returns at once. False: there is no link, or the queue of this peer and channel
   * is over its limit in bytes, and the frame was dropped. Frames of one event-loop turn leave together.
   */
  send(to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean;
  /** Makes a channel ready before there is anything to send on it: the first frame then does not wait for its stream, a few milliseconds. Nothing happens while the peer is not linked. */
  prepare(to: NodeId, channel: Channel): void;
  /** Bytes queued and not yet given to the operating system. */
  queuedBytes(to: NodeId, channel: Channel): number;
  /**
   * Closes every connection to the peer gently: what its open streams were given leaves first. It is told nothing, and may come again; an address given to `connect` is dialled again. To this side
   * the peer is not linked from now on: `down` is told before this returns.
   */
  hangUp(id: NodeId): void;
  /** As `hangUp`, but only of the connections that one side opened by a join token. */
  hangUpTokenLinks(id: NodeId): void;
  /** Closes every connection to the peer (a removed or refused one). */
  drop(id: NodeId, code: string, message: string): void;
  stats(): TransportStats;
  close(): Promise<void>;
}

export interface PeerStats {
  readonly id: NodeId;
  readonly framesSent: number;
  readonly bytesSent: number;
  readonly framesReceived: number;
  readonly bytesReceived: number;
  readonly framesDropped: number;
  readonly queuedBytes: number;
}

export interface TransportStats {
  readonly peers: readonly PeerStats[];
  /** Handshakes refused, by code (`ERR_WRONG_SECRET`, …), since the start. */
  readonly refused: Readonly<Record<string, number>>;
  /** Streams or connections closed for bytes that are not our protocol. */
  readonly malformed: number;
}

export interface TransportLimits {
  /** Largest frame accepted or sent, by channel. Default 16 MiB (gossip, ping and dht 64 KiB). */
  readonly maxFrameBytes: Readonly<Record<Channel, number>>;
  /** Queue of one peer and channel. Default 64 MiB raft, 8 MiB snapshot, 16 MiB client, 1 MiB gossip and dht, 64 KiB ping. */
  readonly maxQueueBytes: Readonly<Record<Channel, number>>;
}
