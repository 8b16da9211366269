/**
 * The vocabulary of the Raft core: entries, configurations, messages, and the `Ready` that carries its effects out.
 * Plain data only. Terms and names are those of the Raft paper (Ongaro & Ousterhout 2014) and of etcd-io/raft.
 */

/** A member: an unsigned 64-bit number as a decimal string. Opaque to the core, compared for equality only. */
export type NodeId = string;

/** A Raft group (shard) on a node: an unsigned 32-bit number. It travels in every message and every storage key. */
export type GroupId = number;

export type EntryKind = 'noop' | 'command' | 'config';

export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
  /** The shell's cache of the encoded record (one encode serves the log and every follower). The core never looks. */
  encoded?: Uint8Array;
  /** Likewise, of the first of several that were encoded together: their records, one behind the other. */
  run?: EncodedRun;
}

/** Records of entries that follow each other, each with its length before it. */
export interface EncodedRun {
  readonly last: Entry;
  readonly bytes: Uint8Array;
}

/** Who counts. While `votersOutgoing` is not empty the configuration is joint and needs a majority of both (thesis §4.3). */
export interface Configuration {
  readonly voters: readonly NodeId[];
  /** The old voters of a joint configuration; empty otherwise. */
  readonly votersOutgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Voters that become learners when the joint configuration is left. */
  readonly learnersNext: readonly NodeId[];
  /** Leave the joint configuration by itself once it is committed. */
  readonly autoLeave: boolean;
  /** Opaque to the core, meant for the state machine (the member map: names, peer ids, addresses). JSON data. */
  readonly context?: unknown;
}

/** What must be on disk before it is acted on (Raft paper, figure 2, "persistent state"). */
export interface HardState {
  readonly term: number;
  /** Whom this node voted for in `term`; null for nobody. */
  readonly vote: NodeId | null;
  /** The commit index last known. Not needed for safety; it shortens the way back after a restart. */
  readonly commit: number;
}

/** The last entry that a snapshot (or the compacted part of the log) covers, and the configuration in force there. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
}

/**
 * The persisted part of the log, read synchronously. The core keeps what is not yet persisted, and a bounded tail of
 * what is, in memory; this serves what is older. Implemented by storage/, given to the core by the shell.
 */
export interface LogReader {
  /** Index of the first entry still stored; compacted index + 1. 1 for a log that was never compacted. */
  firstIndex(): number;
  /** Index of the last entry stored; firstIndex() - 1 when there is none. */
  lastIndex(): number;
  /** Term of an index in [firstIndex - 1, lastIndex]; undefined outside. */
  term(index: number): number | undefined;
  /** Entries in [from, to), at least one if there is one, stopping before `maxBytes` of data is exceeded. */
  entries(from: number, to: number, maxBytes: number): Entry[];
}

/** What the core starts from: what storage/ found on disk for this group. */
export interface InitialState {
  readonly hardState: HardState;
  /** Every configuration that is still needed, oldest first: the one in force at firstIndex - 1, then one an entry. */
  readonly configurations: readonly IndexedConfiguration[];
  /** Applied by the state machine and flushed: apply goes on at appliedIndex + 1. */
  readonly appliedIndex: number;
}

export interface IndexedConfiguration {
  readonly index: number;
  readonly configuration: Configuration;
}

export interface RaftOptions {
  readonly group: GroupId;
  readonly id: NodeId;
  /** Grows with every start of this node; makes a read-index answer from before a restart worthless. */
  readonly bootEpoch: number;
  /** Follower: ticks without a leader's word until a pre-vote. Randomised in [electionTicks, 2·electionTicks). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Data bytes in one Append; one entry that is larger still travels alone. */
  readonly maxAppendBytes: number;
  /** Appends in flight to one follower, in messages and in data bytes. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Data bytes of proposed, uncommitted entries beyond which the leader refuses proposals. */
  readonly maxUncommittedBytes: number;
  /** Data bytes of committed entries handed out in one Ready. */
  readonly maxApplyBytes: number;
  /** Data bytes of persisted entries kept in memory for followers and apply; older ones are read through LogReader. */
  readonly maxCachedBytes: number;
  /** Serve linearizable reads from the leader's lease, without a round (thesis §6.4.1). Default false: trusts clocks. */
  readonly leaseReads: boolean;
  /** Length of a tick, milliseconds; needed with `leaseReads`. No two ticks may follow each other faster, save by jitter. */
  readonly tickMs?: number;
  /** Upper bound of the random delay, in ticks, before a pre-vote after `peerLost(leader)`. */
  readonly crashHintTicks: number;
  /** A uniform number in [0, 1), from the shell's seeded or real source. */
  readonly random: () => number;
}

// ---------------------------------------------------------------------------------------------------------------------
// Messages. `from` and `to` are members, `term` is the sender's term (for pre-votes: the term it would campaign in).

interface Envelope {
  readonly group: GroupId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: number;
}

/** Raft §5.4.1 and thesis §9.6 (pre-vote). */
export interface VoteRequest extends Envelope {
  readonly type: 'VoteRequest';
  readonly preVote: boolean;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Sent at a leader's wish (leadership transfer, thesis §3.10): voters answer although they hear a leader. */
  readonly transfer: boolean;
}

export interface VoteResponse extends Envelope {
  readonly type: 'VoteResponse';
  readonly preVote: boolean;
  readonly granted: boolean;
}

/** Raft §5.3. Carries entries after `prevIndex`; empty as a probe. */
export interface Append extends Envelope {
  readonly type: 'Append';
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly commit: number;
  readonly entries: readonly Entry[];
}

export interface AppendResponse extends Envelope {
  readonly type: 'AppendResponse';
  readonly rejected: boolean;
  /** Accepted: the last index known to match and persisted. Rejected: the `prevIndex` that was refused. */
  readonly index: number;
  /** Rejected: where to look next, the follower's best guess of the last index that could match, and its term there. */
  readonly hintIndex: number;
  readonly hintTerm: number;
}

/** Keeps followers quiet and confirms leadership for reads. `round` is the leader's own growing counter. */
export interface Heartbeat extends Envelope {
  readonly type: 'Heartbeat';
  readonly commit: number;
  readonly round: number;
}

export interface HeartbeatResponse extends Envelope {
  readonly type: 'HeartbeatResponse';
  readonly round: number;
}

/** A follower asks the leader for a read index (thesis §6.4). The leader echoes `bootEpoch` and `token` unread. */
export interface ReadIndexRequest extends Envelope {
  readonly type: 'ReadIndexRequest';
  readonly bootEpoch: number;
  readonly token: number;
}

export interface ReadIndexResponse extends Envelope {
  readonly type: 'ReadIndexResponse';
  readonly bootEpoch: number;
  readonly token: number;
  /** null: refused (not the leader any more); ask again. */
  readonly index: number | null;
}

/** All chunks of a snapshot have been received and checked by the shell of `to`; stepped there by its own shell. */
export interface InstallSnapshot extends Envelope {
  readonly type: 'InstallSnapshot';
  readonly snapshot: SnapshotMeta;
}

/** The leader asks its chosen successor to campaign at once (thesis §3.10). */
export interface TimeoutNow extends Envelope {
  readonly type: 'TimeoutNow';
}

export type Message =
  | VoteRequest
  | VoteResponse
  | Append
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | ReadIndexRequest
  | ReadIndexResponse
  | InstallSnapshot
  | TimeoutNow;

// ---------------------------------------------------------------------------------------------------------------------
// Effects.

export interface ReadState {
  readonly token: number;
  /** Serve the read once this index is applied; null: the read could not be confirmed, ask again or give up. */
  readonly index: number | null;
}

/** Start streaming a snapshot to `to`; its index is the shell's choice, at least the log's firstIndex - 1. */
export interface SnapshotRequest {
  readonly to: NodeId;
  readonly term: number;
}

export interface SoftState {
  readonly role: 'follower' | 'preCandidate' | 'candidate' | 'leader';
  readonly leader: NodeId | null;
}

/**
 * What the shell has to do. Order: write (`entries`, `hardState`, `snapshot`, `configurations`) as one synced batch, in the order of
 * `seq`; meanwhile send `messages` and apply `committed`; once the batch is on disk call `persisted(seq)` and send
 * `messagesAfterPersist`. Later Readys may be taken before earlier ones are persisted.
 */
export interface Ready {
  /** Grows by one a Ready. */
  readonly seq: number;
  /** Present when role, leader or both changed. */
  readonly softState: SoftState | null;
  /** Present when it changed. Must be synced before `messagesAfterPersist` if `mustSync`. */
  readonly hardState: HardState | null;
  /** To append; the first one's index may be at or below the stored lastIndex: what is stored from there on is cut off first. */
  readonly entries: readonly Entry[];
  /** A received snapshot to switch to: the log before and at its index is gone, and so is a log that conflicts with it. */
  readonly snapshot: SnapshotMeta | null;
  /** The whole list to store when it changed, else null. */
  readonly configurations: readonly IndexedConfiguration[] | null;
  /** Whether `entries`, `hardState` or `snapshot` need an fsync (a new commit index alone does not). */
  readonly mustSync: boolean;
  /** To apply, in order, each exactly once. */
  readonly committed: readonly Entry[];
  readonly messages: readonly Message[];
  readonly messagesAfterPersist: readonly Message[];
  readonly readStates: readonly ReadState[];
  readonly snapshotRequests: readonly SnapshotRequest[];
}

export type ProposeResult =
  | { readonly status: 'accepted'; readonly firstIndex: number; readonly term: number }
  /** Not the leader. `leader` is where to forward to, null when it is not known. */
  | { readonly status: 'notLeader'; readonly leader: NodeId | null }
  /** Too many uncommitted bytes, or a leadership transfer is under way. Nothing was appended. */
  | { readonly status: 'refused'; readonly reason: 'uncommittedBytes' | 'transferring' };

/** What a member becomes. A voter that was not a member counts from its first moment: add a learner first, and promote it. */
export interface MemberChange {
  readonly id: NodeId;
  readonly to: 'voter' | 'learner' | 'removed';
}

/** Against the configuration in force; the core works out the rest. Members that are not named stay what they are. */
export interface ConfigurationChange {
  /** Each id once. Empty: only the context changes. */
  readonly changes: readonly MemberChange[];
  /** Takes the place of `Configuration.context`. Undefined: what is there stays. */
  readonly context?: unknown;
}

export type ProposeConfigResult =
  /**
   * An entry of kind `config` was appended at `index`, and is in force as of now. `joint`: it is C_old,new, and the entry of C_new
   * follows by itself once it is committed; the change is done when that one is, which is the first later configuration
   * that is not joint. Otherwise it is done when `index` is committed in `term`.
   */
  | { readonly status: 'accepted'; readonly index: number; readonly term: number; readonly joint: boolean }
  /** Everybody is already what was asked for, the context too, and that is committed. Nothing was appended. */
  | { readonly status: 'unchanged' }
  /** Not the leader. `leader` is where to forward to, null when it is not known. */
  | { readonly status: 'notLeader'; readonly leader: NodeId | null }
  /** Nothing was appended. */
  | { readonly status: 'refused'; readonly reason: ConfigRefusal };

/** Why a change was refused. The first four pass with time: ask again. */
export type ConfigRefusal =
  /** A leadership transfer is under way. */
  | 'transferring'
  /** The change before it is not done: its entry is not committed, or the configuration is joint (thesis §4.1). */
  | 'changePending'
  /** The leader has not committed an entry of its own term yet, so an earlier leader's change may be unknown to it. */
  | 'termNotCommitted'
  /** Too many uncommitted bytes. */
  | 'uncommittedBytes'
  /** Nobody would be left to vote. */
  | 'noVoters'
  /** Somebody is to be removed who is no member. */
  | 'unknownMember'
  /** An id is named twice. */
  | 'duplicateMember';

export interface ProgressStatus {
  readonly id: NodeId;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly match: number;
  readonly next: number;
  readonly inflightMessages: number;
  readonly inflightBytes: number;
  /** Heard from within the current check-quorum window. */
  readonly active: boolean;
  /** No member any more: it gets the log until it knows that, or for two election time-outs after the commit. */
  readonly removed: boolean;
}

export interface RaftStatus {
  readonly id: NodeId;
  readonly group: GroupId;
  readonly term: number;
  readonly vote: NodeId | null;
  readonly role: SoftState['role'];
  readonly leader: NodeId | null;
  readonly commit: number;
  /** Handed out in `Ready.committed` and confirmed by `applied()`. */
  readonly applied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly persistedIndex: number;
  readonly uncommittedBytes: number;
  /** The newest one in the log, which is the one that counts, committed or not. */
  readonly configuration: Configuration;
  /** Where it stands in the log; 0 for that of the beginning. A snapshot's: the snapshot's index. */
  readonly configurationIndex: number;
  /** It is committed: it cannot be cut off any more. With a configuration that is not joint, nothing is in the way of a change. */
  readonly configurationCommitted: boolean;
  /** On the leader, one a member other than itself, and one a member that was removed just now. */
  readonly progress: readonly ProgressStatus[];
}

/**
 * The Raft core of one group on one node. Synchronous and deterministic; every method may change what `hasReady()` and `ready()` say.
 * `now` (a monotonic clock, milliseconds) is told by `clock(now)` before each turn of inputs, after they have arrived (a
 * lease must not be judged by a time before the read was asked for), and used for lease reads only: elections and heartbeats count ticks, so that a stalled process sees one late tick and not an expired timer.
 */
export interface RaftCore {
  clock(nowMs: number): void;
  tick(): void;
  step(message: Message): void;
  propose(data: readonly Uint8Array[]): ProposeResult;
  /**
   * Adds, promotes, demotes or removes members, several at once (thesis §4.3), one change at a time. A leader that removes or demotes
   * itself leads on until C_new is committed, hands over to the best of those that stay, and steps down: within
   * `electionTicks`, and until then its process must run.
   */
  proposeConfig(change: ConfigurationChange): ProposeConfigResult;
  /**
   * Confirms leadership for a read. The answer comes as a ReadState with this token. Tokens grow; one is used once. Its index is
   * null as soon as no leader is known, or another one: ask again when the soft state names one, not at once.
   */
  readIndex(token: number): void;
  /** `to` null: the most up-to-date voter. False when there is nobody to transfer to or this node is not the leader. */
  transferLeadership(to: NodeId | null): boolean;
  /** The process behind `id` is gone for certain (a re-dial was refused): a hint, see decision 10. */
  peerLost(id: NodeId): void;
  /** The link to `id` dropped frames: what is in flight may be lost; probe again. */
  peerUnreachable(id: NodeId): void;
  /** Streaming of a snapshot to `to` ended. `index` is that of the snapshot sent. */
  snapshotSent(to: NodeId, index: number, ok: boolean): void;
  hasReady(): boolean;
  ready(): Ready;
  /** The write of Ready `seq`, and of all before it, is on disk. */
  persisted(seq: number): void;
  /** The state machine has applied everything up to `index` (in memory is enough). */
  applied(index: number): void;
  /** The shell has cut the stored log: entries up to and including `index` are gone. */
  compacted(index: number): void;
  /** The configuration in force at an applied index that is not older than firstIndex - 1. */
  configurationAt(index: number): Configuration;
  status(): RaftStatus;
}
