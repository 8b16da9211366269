/**
 * The vocabulary of gossip: what is said of a member, the messages that carry it, what the core is made from, and its effects. Plain data only.
 *
 * Terms are those of SWIM (Das, Gupta, Motivala 2002) and Lifeguard (Dadgar, Phillips, Currey 2017). What is said here is a hint: who
 * votes is Raft's affair, and nothing of this room reaches it.
 */

/** An unsigned 64-bit number as a decimal string; follows from the peer id. */
export type MemberId = string;

/** Opaque to the core: what the shell sends to, and verifies signatures with. */
export type PeerId = string;

/** `agent`: embedded in a service, without a vote and without a log. */
export type MemberRole = 'voter' | 'learner' | 'agent';

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left';

// ---------------------------------------------------------------------------------------------------------------------
// Statements: signed, immutable, shared by reference. Of two about one member the one with the larger incarnation counts, and of
// one incarnation alive < suspect < dead < left (SWIM §4.2), so it does not matter in which order they come.

/** What a member says of itself. */
export interface Details {
  readonly name: string;
  readonly role: MemberRole;
  /** Where its peers reach it; at most LIMITS.addresses of them. */
  readonly addresses: readonly string[];
  /** Where its HTTP API is; '' for nowhere. */
  readonly http: string;
  readonly metadata: Uint8Array;
}

export interface AliveStatement extends Details {
  readonly kind: 'alive';
  readonly id: MemberId;
  readonly peerId: PeerId;
  /** bootEpoch · 2^20 + how often it has spoken up since: only the member itself raises it. */
  readonly incarnation: number;
  /** By the member. */
  readonly signature: Uint8Array;
}

export interface LeftStatement {
  readonly kind: 'left';
  readonly id: MemberId;
  readonly incarnation: number;
  /** By the member. */
  readonly signature: Uint8Array;
}

/** What one member says of another. */
export interface Accusation {
  readonly kind: 'suspect' | 'dead';
  /** Of whom it is said. */
  readonly id: MemberId;
  readonly incarnation: number;
  /** Who says it. */
  readonly by: MemberId;
  /** By the one who says it. */
  readonly signature: Uint8Array;
}

export type Statement = AliveStatement | LeftStatement | Accusation;

// ---------------------------------------------------------------------------------------------------------------------
// Messages. `updates` is what rides along (SWIM §4.1).

export interface Ping {
  readonly type: 'ping';
  readonly sequence: number;
  /** Local health score of the sender, 0 is best. */
  readonly health: number;
  readonly updates: readonly Statement[];
}

export interface Ack {
  readonly type: 'ack';
  /** Of the ping, or of the ping request. */
  readonly sequence: number;
  /** Local health score of the member that was pinged. */
  readonly health: number;
  readonly updates: readonly Statement[];
}

/** Asks for a ping to somebody who did not answer (SWIM §3.1). */
export interface PingRequest {
  readonly type: 'pingRequest';
  readonly sequence: number;
  readonly target: MemberId;
  readonly updates: readonly Statement[];
}

/** "I heard your ping request, but nothing of the target": so it is not the asker that is cut off (Lifeguard §IV.A). */
export interface Nack {
  readonly type: 'nack';
  readonly sequence: number;
}

export interface Gossip {
  readonly type: 'gossip';
  readonly updates: readonly Statement[];
}

/** Begins an exchange of whole tables. When both have the same, the answer is an empty part. */
export interface Digest {
  readonly type: 'digest';
  readonly clusterId: string;
  readonly count: number;
  /** Two times 32 bits, over all that the sender holds. */
  readonly hash: readonly [number, number];
  readonly updates: readonly Statement[];
}

/** A part of a table. */
export interface Sync {
  readonly type: 'sync';
  /** The receiver is to send its table too. Set in the last part of the first one to send. */
  readonly answer: boolean;
  readonly statements: readonly Statement[];
}

export type GossipMessage = Ping | Ack | PingRequest | Nack | Gossip | Digest | Sync;

/** Pings and what answers them have a stream and a bounded queue of their own: a table that is exchanged never delays them. */
export type Channel = 'ping' | 'gossip';

/** What is larger is refused when it is read, and not made: see LIMITS. */
export interface Limits {
  readonly clusterIdCharacters: number;
  readonly idCharacters: number;
  readonly peerIdCharacters: number;
  readonly nameCharacters: number;
  readonly addresses: number;
  readonly addressCharacters: number;
  readonly httpCharacters: number;
  readonly metadataBytes: number;
  readonly signatureBytes: number;
  /** Statements that ride on one message. */
  readonly updates: number;
  /** Statements in one part of a table. */
  readonly syncStatements: number;
}

// ---------------------------------------------------------------------------------------------------------------------
// The core.

/** Who this node is. */
export interface Self extends Details {
  readonly id: MemberId;
  readonly peerId: PeerId;
  /** Grows with every start of this node, so that what was said before a restart loses. */
  readonly bootEpoch: number;
}

/** All times in milliseconds. The defaults are those of HashiCorp memberlist for a local network. */
export interface GossipSettings {
  /** Default 1,000. */
  readonly probeIntervalMs: number;
  /** Until a ping without an answer is repeated through others. Default 500. */
  readonly probeTimeoutMs: number;
  /** Members that are asked to ping for us. Default 3. */
  readonly indirectProbes: number;
  /** α of Lifeguard: suspicion lasts at least α · max(1, log10 n) · probeIntervalMs. Default 4. */
  readonly suspicionMultiplier: number;
  /** β: and at most β times that, falling with each independent confirmation. Default 6. */
  readonly suspicionMaxMultiplier: number;
  /** Each statement is passed on this · ⌈log10(n + 1)⌉ times. Default 4. */
  readonly retransmitMultiplier: number;
  /** Default 200. */
  readonly gossipIntervalMs: number;
  /** Members gossiped to in each interval. Default 3. */
  readonly gossipPeers: number;
  /**
   * About so many others a member probes and gossips to, the same ones all the time, and is probed by; Infinity: all, as SWIM has it. Whole tables are exchanged with anybody. Default 20.
   */
  readonly neighbours: number;
  /** Dead members are gossiped to for so long, then taken off the list of the active. Default 30,000. */
  readonly gossipToTheDeadMs: number;
  /** Of exchanging whole tables, up to 32 members; stretched above. Default 30,000. */
  readonly pushPullIntervalMs: number;
  /** Known dead members are tried again for ever, one in each such interval. Default 30,000. */
  readonly deadRetryIntervalMs: number;
  /** Worst local health score plus one (S of Lifeguard is this less one). Default 8. */
  readonly awarenessMax: number;
  /** Lifeguard §IV.A: probe interval and time-out grow with one's own ill health; nacks. Default true. */
  readonly lhaProbe: boolean;
  /** Lifeguard §IV.B: suspicion begins long, and gets shorter with each independent confirmation. Default true; without: α alone. */
  readonly lhaSuspicion: boolean;
  /** Lifeguard §IV.C: a ping to a suspect tells it that it is suspected. Default true. */
  readonly buddy: boolean;
  /**
   * A tick that comes later than this was held up by this process itself (a blocked event loop, a stopped process): what it waited for is
   * then waited for that much longer, and its local health gets worse, instead of others being accused. Default 1,000; Infinity: never.
   */
  readonly stallMs: number;
  /** Start the loops at random phases. Default true; false only to measure what is said of rounds that all members begin together. */
  readonly stagger: boolean;
  /** Bytes of statements in one message. Default 1,400 less what the message itself takes. */
  readonly updateBytes: number;
  /** Members in the table, known dead ones included. Default 16,384. */
  readonly maxMembers: number;
  /** Ping requests of others in flight here; more are not served. Default 256. */
  readonly maxRelays: number;
}

export interface GossipOptions extends Partial<GossipSettings> {
  /** Statements are signed for one cluster. */
  readonly clusterId: string;
  readonly self: Self;
  /** Members remembered from an earlier run, whose statements were verified then. */
  readonly known?: readonly AliveStatement[];
  /** False: the others know of this start already, so nothing is said of it. Default true. */
  readonly announce?: boolean;
  /** Default: one of its own. A simulation of many nodes in one process shares one between them, and so the names of all members. */
  readonly directory?: MemberDirectory;
  /** A uniform number in [0, 1), from the shell's seeded or real source. */
  readonly random: () => number;
  /** With the key of this node. */
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly verify: (peerId: PeerId, bytes: Uint8Array, signature: Uint8Array) => boolean;
  /** The member id that belongs to a peer id; null for what is no peer id. The core calls it for every message: the shell remembers the last ones. */
  readonly idOf: (peerId: PeerId) => MemberId | null;
  /**
   * Whether a message to this member goes out without more ado. News goes to those of the neighbours first: what a link to another costs is not worth it, for the probes make that link soon
   * enough. Default: to all.
   */
  readonly isLinked?: (id: MemberId) => boolean;
}

/** Gives each member id a small number: its place in the flat arrays of every table. */
export interface MemberDirectory {
  /** Of a new one too; each call is to be given back by `release`. */
  claim(id: MemberId): number;
  release(slot: number): void;
  slotOf(id: MemberId): number | undefined;
  idAt(slot: number): MemberId;
  /** 32 bits that depend on the id alone. */
  hashAt(slot: number): number;
  /** All slots are below. */
  readonly end: number;
}

/** What is known of a member. */
export interface Member extends Details {
  readonly id: MemberId;
  readonly peerId: PeerId;
  readonly state: MemberState;
  readonly incarnation: number;
  /** When it came to be suspect, dead or left; null for the living. */
  readonly sinceMs: number | null;
  /** Its own local health score, as it last told us; 0 is best. */
  readonly health: number;
  /** What it said last, to be remembered for the next start. */
  readonly statement: AliveStatement;
}

export type MemberEventKind = 'up' | 'suspect' | 'alive-again' | 'dead' | 'left' | 'updated';

export interface SendEffect {
  readonly kind: 'send';
  readonly to: PeerId;
  readonly channel: Channel;
  readonly message: GossipMessage;
}

export interface MemberEffect {
  readonly kind: 'member';
  /**
   * `up`: not known before, or had left. `alive-again`: was suspect or dead. `updated`: only what it says of itself changed.
   * Nothing is said of this node itself.
   */
  readonly event: MemberEventKind;
  readonly id: MemberId;
  /** Of an accusation: who made it. Else the member itself. */
  readonly by: MemberId;
  readonly incarnation: number;
}

export type GossipEffect = SendEffect | MemberEffect;

/** Loops that the shell holds still: see `tick`. */
export interface HeldLoops {
  readonly probe?: boolean;
  readonly gossip?: boolean;
  readonly pushPull?: boolean;
}

/** Why something that came in was not believed, or not served. */
export type Refusal =
  /** Not a message, or not of a version that this one reads. */
  | 'malformed'
  /** A message, but larger than LIMITS. */
  | 'overLimits'
  | 'wrongCluster'
  /** The member id does not belong to the peer id. */
  | 'badIdentity'
  | 'badSignature'
  /** Says something of a member that is not known. */
  | 'unknownSubject'
  /** Is said by a member that is not known. */
  | 'unknownAuthor'
  | 'tableFull'
  | 'tooManyRelays'
  | 'tooManySyncs';

export interface GossipStats {
  /** Local health score, 0 is best. */
  readonly health: number;
  /** Including this node. */
  readonly alive: number;
  readonly suspect: number;
  /** Known dead, and those who left and are still remembered. */
  readonly dead: number;
  readonly left: number;
  /** Statements waiting to be passed on. */
  readonly queued: number;
  readonly probes: number;
  readonly failedProbes: number;
  readonly refutations: number;
  readonly verifications: number;
  readonly stalls: number;
  readonly refused: Readonly<Record<Refusal, number>>;
}

/**
 * One node's part of the gossip. Calls are synchronous, time is the shell's monotonic clock and never goes back; after each call the
 * shell takes the effects and asks when to call again.
 */
export interface GossipCore {
  readonly id: MemberId;
  /** Own incarnation. */
  readonly incarnation: number;
  /**
   * Does what is due. `held`: loops that stand still for now, because what they sent last is still stuck in this process. (A node whose own queue of
   * pings is full would else accuse others of it.)
   */
  tick(nowMs: number, held?: HeldLoops): void;
  /** When to tick next. */
  nextTickMs(): number;
  /** A message of a peer that was authenticated and admitted. */
  receive(from: PeerId, message: GossipMessage, nowMs: number): void;
  /** Counts a frame that could not be read. */
  refuse(reason: Refusal): void;
  /** Peers to begin with; they are tried again until somebody has told its table, and whenever nobody else is alive. */
  join(peers: readonly PeerId[], nowMs: number): void;
  /** There is a link to this member again, whoever made it. When it is taken for dead it hears of that at once, and can speak up. */
  reachable(id: MemberId, nowMs: number): void;
  /** Says good-bye. The shell goes on ticking until `stats().queued` is 0, or as long as it has patience. */
  leave(nowMs: number): void;
  /** Says something else of this node. Throws ERR_INVALID_ARGUMENT when it is over the limits. */
  setDetails(changes: Partial<Details>): void;
  /** What the shell knows of its own health: worse by so much (event loop lag, a full queue); negative: better. */
  reportHealth(delta: number): void;
  /** All that are known, this node first. */
  members(): Member[];
  member(id: MemberId): Member | undefined;
  stats(): GossipStats;
  /** What is to be done; empty afterwards. */
  takeEffects(): GossipEffect[];
}
