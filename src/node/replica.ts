/**
 * One Raft group on one node: joins the pure core and the state machine to disk, network and callers. Synchronous and driven from
 * outside (`loop.ts`), so that the simulator runs this very code.
 *
 * A turn takes in what callers and peers brought, hands out the core's effects (writes are staged, messages leave at once or after their
 * write), applies what is committed, and answers.
 */
import { invariant, KvorumError } from '../errors.ts';
import { Machine } from '../machine/machine.ts';
import type { CommandResult, Effect } from '../machine/types.ts';
import type { createRaft } from '../raft/raft.ts';
import type {
  ConfigurationChange,
  Entry,
  GroupId,
  InitialState,
  Message,
  NodeId,
  ProposeConfigResult,
  RaftCore,
  RaftOptions,
  Ready,
  SnapshotMeta,
  SoftState,
} from '../raft/types.ts';
import type { GroupStore, SnapshotReceiver } from '../storage/types.ts';
import type { Channel } from '../transport/types.ts';
import type { Environment } from './env.ts';
import type { ProposeFrame, ResultFrame } from './forwarding.ts';
import { Proposals, type Proposal } from './proposals.ts';
import { Reads, type PendingRead } from './reads.ts';
import { Snapshots } from './snapshots.ts';
import { StateClock } from './state-clock.ts';
import { Submission } from './submission.ts';
import { clusterIdBytes, decodeMessage, MessageEncoder } from './wire.ts';

export interface ReplicaLimits {
  readonly maxPending: number;
  readonly maxUncommittedBytes: number;
  readonly maxOverlayBytes: number;
  readonly logKeepBytes: number;
}

export interface ReplicaOptions {
  readonly env: Environment;
  readonly group: GroupId;
  readonly id: NodeId;
  readonly clusterId: string;
  readonly bootEpoch: number;
  readonly store: GroupStore;
  readonly raft: Omit<RaftOptions, 'group' | 'id' | 'bootEpoch' | 'random'>;
  readonly limits: ReplicaLimits;
  send(to: NodeId, channel: Channel, parts: readonly Uint8Array[]): boolean;
  /** Asks the loop for a turn. */
  wake(): void;
  softStateChanged(state: SoftState): void;
  /** Entries were applied, and their proposers answered: what they set off. */
  applied(effects: readonly Effect[], now: number): void;
  /** The state of a snapshot has taken the place of what there was; effects of what lies between are never told. */
  stateReplaced(): void;
  /** Another configuration is in force, or was applied. */
  configurationChanged(): void;
  /** An error after which this node must not go on. */
  failed(error: unknown): void;
  readonly createCore: typeof createRaft;
}

/** What a turn leaves to the loop: to write, and what to do once that is on disk. */
export interface TurnWork {
  staged: boolean;
  sync: boolean;
  readonly persisted: (() => void)[];
}

/** Readys handled in one turn before sockets and timers get theirs. */
const MAX_READYS_A_TURN = 16;
/**
 * State that rides along with a log write, once there is so much of it, and in a batch of its own. Not each write takes what there is: what is overwritten or deleted
 * meanwhile, as results are that were acknowledged, is never written.
 */
const FLUSH_BESIDE_BYTES = 512 * 1024;
const FLUSH_ALONE_BYTES = 1024 * 1024;
/** Applied state waits at most this long for a log write to ride with. */
const FLUSH_AFTER_MS = 50;
const SWEEP_EVERY_MS = 20;
/** A read round without an answer is asked for again. */
const READ_RETRY_MS = 100;
/** A transfer of a snapshot has failed after this silence; what was begun can be resumed for so long. */
const SNAPSHOT_STALLED_MS = 10_000;
const SNAPSHOT_KEPT_MS = 60_000;
/** A probe for having caught up is given up, and made again, after this long. */
const PROBE_TIMEOUT_MS = 5000;

export class Replica {
  readonly group: GroupId;
  /** What this node would stamp an entry with. */
  readonly clock: StateClock;
  readonly #options: ReplicaOptions;
  readonly #env: Environment;
  readonly #store: GroupStore;
  readonly #core: RaftCore;
  readonly #encoder: MessageEncoder;
  readonly #cluster: Uint8Array;
  readonly #proposals: Proposals;
  readonly #submission: Submission;
  readonly #reads: Reads;
  readonly #snapshots: Snapshots;
  #machine: Machine;
  #soft: SoftState = { role: 'follower', leader: null };
  /** Committed, not yet applied: non-empty only while a snapshot is being loaded or the overlay is full. */
  #toApply: Entry[] = [];
  /** All chunks are here; the core decides what becomes of it. */
  #received: { meta: SnapshotMeta; receiver: SnapshotReceiver } | null = null;
  #loading = false;
  #unflushedSince: number | null = null;
  #flushing = false;
  #lastSweep = 0;
  #unreachable = new Set<NodeId>();
  #term: number;
  /** A read was confirmed since this node last lost its leader or its state. */
  #caughtUp = false;
  #probing = false;
  #closed = false;

  /** Opens the group on what its store holds. The log must have been begun (see `beginLog`). */
  static async open(options: ReplicaOptions): Promise<Replica> {
    return new Replica(options, await loadMachine(options.store));
  }

  private constructor(options: ReplicaOptions, machine: Machine) {
    this.#options = options;
    this.group = options.group;
    this.#env = options.env;
    this.#store = options.store;
    this.#machine = machine;
    this.clock = new StateClock(options.env, () => this.#machine.time);
    const { log, state } = options.store;
    const initial: InitialState = {
      hardState: log.hardState,
      configurations: log.configurations,
      appliedIndex: state.flushed.index,
    };
    this.#core = options.createCore(
      {
        ...options.raft,
        group: options.group,
        id: options.id,
        bootEpoch: options.bootEpoch,
        random: () => options.env.random(),
      },
      log,
      initial,
    );
    this.#term = initial.hardState.term;
    this.#encoder = new MessageEncoder(options.clusterId);
    this.#cluster = clusterIdBytes(options.clusterId);
    const { maxPending, maxUncommittedBytes } = options.limits;
    this.#proposals = new Proposals({ maxPending, maxQueuedBytes: maxUncommittedBytes });
    this.#submission = new Submission({
      env: options.env,
      group: options.group,
      id: options.id,
      bootEpoch: options.bootEpoch,
      core: this.#core,
      proposals: this.#proposals,
      clock: this.clock,
      send: (to, channel, parts) => options.send(to, channel, parts),
      congested: () => state.overlayBytes > options.limits.maxOverlayBytes,
    });
    this.#reads = new Reads({ maxPending, retryAfterMs: READ_RETRY_MS });
    this.#snapshots = new Snapshots(
      {
        group: options.group,
        self: options.id,
        bootEpoch: options.bootEpoch,
        state,
        now: () => this.#env.now(),
        send: (to, parts) => options.send(to, 'snapshot', parts),
        describe: (index) => this.#describe(index),
        sent: (to, index, ok) => {
          this.#core.snapshotSent(to, index, ok);
          options.wake();
        },
        undecided: () => this.#received !== null,
        received: (from, term, snapshot, receiver) => this.#snapshotReceived(from, term, snapshot, receiver),
        failed: (error) => options.failed(error),
      },
      { stalledAfterMs: SNAPSHOT_STALLED_MS, keepMs: SNAPSHOT_KEPT_MS },
    );
    this.#hurryFirstElection();
  }

  /**
   * Nobody is led when a cluster begins, or when all its nodes were down, so the first election need not wait for a whole time-out. A
   * quarter is left: enough to hear a leader if there is one, and if it is not enough, a pre-vote that all the others refuse does no harm (etcd does likewise). A
   * sole voter has nobody to wait for. Not with leases: there, time itself is what a vote is bound by.
   */
  #hurryFirstElection(): void {
    const { electionTicks, leaseReads } = this.#options.raft;
    if (leaseReads) return;
    const { voters, votersOutgoing } = this.#core.status().configuration;
    const alone = voters.length === 1 && voters[0] === this.#options.id && votersOutgoing.length === 0;
    const ticks = alone ? 2 * electionTicks : electionTicks - Math.ceil(electionTicks / 4);
    for (let tick = 0; tick < ticks && this.#core.status().role === 'follower'; tick++) this.#core.tick();
  }

  get machine(): Machine {
    return this.#machine;
  }

  get core(): RaftCore {
    return this.#core;
  }

  get softState(): SoftState {
    return this.#soft;
  }

  /** True while the state of a received snapshot is being read in: the machine of before is of the past. */
  get loading(): boolean {
    return this.#loading;
  }

  get term(): number {
    return this.#term;
  }

  /** The term in which this node leads, once an entry of it is applied: then nothing of an earlier reign is still to come. Null otherwise. */
  get reign(): number | null {
    return this.#soft.role === 'leader' && this.#machine.appliedTerm === this.#term ? this.#term : null;
  }

  /** Knows a leader, and has applied at least what was committed when it found it. */
  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  get pendingProposals(): number {
    return this.#proposals.pending;
  }

  get pendingReads(): number {
    return this.#reads.pending;
  }

  get activeSnapshots(): number {
    return this.#snapshots.active;
  }

  /** Nothing waits for an answer. */
  get idle(): boolean {
    return this.#proposals.pending === 0 && this.#reads.pending === 0;
  }

  // Callers.

  propose(proposal: Proposal): void {
    if (this.#closed) {
      proposal.done(new KvorumError('ERR_CLOSED', 'the node is closed'), null);
      return;
    }
    this.#proposals.add(proposal);
    this.#options.wake();
  }

  /** Calls back once the local state may be read linearizably. */
  read(read: PendingRead): void {
    if (this.#closed) {
      read.done(new KvorumError('ERR_CLOSED', 'the node is closed'));
      return;
    }
    this.#reads.add(read);
    this.#options.wake();
  }

  /** Changes the members; only the leader can. */
  proposeConfig(change: ConfigurationChange): ProposeConfigResult {
    if (this.#closed) return { status: 'notLeader', leader: null };
    const result = this.#core.proposeConfig(change);
    this.#options.wake();
    return result;
  }

  /** Of the entry at `index` in this node's log; undefined when it is not there, or not there any more. */
  termAt(index: number): number | undefined {
    return this.#store.log.term(index);
  }

  transferLeadership(to: NodeId | null): boolean {
    const started = this.#core.transferLeadership(to);
    this.#options.wake();
    return started;
  }

  // Peers.

  /** A frame of the `raft` channel. Throws for bytes that are no message. */
  raftFrame(from: NodeId, frame: Uint8Array): void {
    const message = decodeMessage(frame, from, this.#options.id, this.#cluster);
    if (this.#closed || message.group !== this.group) return;
    this.#guard(() => {
      this.#core.clock(this.#env.now());
      this.#core.step(message);
    });
    this.#options.wake();
  }

  snapshotFrame(from: NodeId, frame: Uint8Array): void {
    if (!this.#closed) this.#snapshots.frame(from, frame);
  }

  /** Another node hands over proposals, believing that this one leads. */
  proposeFrame(from: NodeId, frame: ProposeFrame): void {
    this.#submission.proposeFrame(from, frame, !this.#closed && this.#soft.role === 'leader');
    this.#options.wake();
  }

  /** The answers to proposals that this node forwarded. */
  resultFrame(from: NodeId, frame: ResultFrame): void {
    this.#submission.resultFrame(from, frame);
    this.#options.wake();
  }

  /** The link to a peer closed: what was in flight is lost. */
  peerDown(peer: NodeId): void {
    this.#guard(() => {
      this.#proposals.peerGone(peer);
      this.#snapshots.peerGone(peer);
      this.#core.peerUnreachable(peer);
    });
    this.#options.wake();
  }

  /** The peer's process is gone for certain. */
  peerLost(peer: NodeId): void {
    this.#guard(() => this.#core.peerLost(peer));
    this.#options.wake();
  }

  // The loop.

  tick(): void {
    const now = this.#env.now();
    this.#core.clock(now);
    this.#core.tick();
    this.#snapshots.tick();
    if (now - this.#lastSweep >= SWEEP_EVERY_MS) {
      this.#lastSweep = now;
      this.#proposals.sweep(now);
      this.#reads.sweep(now, this.#soft.leader !== null);
      this.#probe(now);
    }
  }

  /** Catching up is proved by a read of our own: once it is confirmed and applied, this node is as new as the leader was. */
  #probe(now: number): void {
    if (this.#caughtUp || this.#probing || this.#loading || this.#soft.leader === null) return;
    this.#probing = true;
    this.#reads.add({
      deadline: now + PROBE_TIMEOUT_MS,
      done: (error) => {
        this.#probing = false;
        this.#caughtUp = error === null && this.#soft.leader !== null && !this.#loading;
      },
    });
  }

  /** One turn. May be called at any time; what it returns must be committed to the store at once. */
  turn(): TurnWork {
    const work: TurnWork = { staged: false, sync: false, persisted: [] };
    if (this.#closed) return work;
    const now = this.#env.now();
    this.#core.clock(now);
    for (let round = 0; ; round++) {
      this.#apply(now);
      this.#submission.submit(now, this.#soft);
      const token = this.#reads.startRound(now);
      if (token !== null) this.#core.readIndex(token);
      if (!this.#core.hasReady()) break;
      if (round === MAX_READYS_A_TURN) {
        this.#options.wake();
        break;
      }
      this.#handle(this.#core.ready(), work);
    }
    for (const peer of this.#unreachable) this.#core.peerUnreachable(peer);
    this.#unreachable.clear();
    this.#housekeeping(now, work);
    return work;
  }

  #handle(ready: Ready, work: TurnWork): void {
    const { log } = this.#store;
    if (ready.softState !== null) this.#changeRole(ready.softState);
    if (ready.snapshot !== null) this.#install(ready.snapshot, work);
    if (ready.entries.length > 0) log.append(ready.entries);
    if (ready.hardState !== null) {
      this.#term = ready.hardState.term;
      log.setHardState(ready.hardState);
    }
    if (ready.configurations !== null) {
      log.setConfigurations(ready.configurations);
      this.#options.configurationChanged();
    }
    // A commit index that moved alone is not worth a write: it goes with the next.
    if (ready.mustSync || ready.entries.length > 0 || ready.configurations !== null) work.staged = true;
    work.sync ||= ready.mustSync;
    this.#sendAll(ready.messages);
    const { seq, messagesAfterPersist } = ready;
    work.persisted.push(() => {
      this.#core.persisted(seq);
      this.#sendAll(messagesAfterPersist);
    });
    for (const entry of ready.committed) this.#toApply.push(entry);
    if (ready.readStates.length > 0) {
      for (const state of ready.readStates) this.#reads.confirmed(state);
      if (!this.#loading) this.#reads.applied(this.#machine.appliedIndex);
    }
    for (const { to, term } of ready.snapshotRequests) this.#snapshots.start(to, term, log.firstIndex());
  }

  #changeRole(next: SoftState): void {
    const before = this.#soft;
    this.#soft = next;
    if (next.leader === null) this.#caughtUp = false;
    if (next.leader !== before.leader) this.#reads.restartRound();
    if (next.role !== 'leader') this.#snapshots.stopSending();
    this.#submission.roleChanged(next, next.leader !== before.leader);
    this.#options.softStateChanged(next);
  }

  #sendAll(messages: readonly Message[]): void {
    for (const message of messages) {
      invariant(message.type !== 'InstallSnapshot', 'a snapshot travels in chunks, not as a message');
      const sent = this.#options.send(message.to, 'raft', this.#encoder.encode(message));
      if (!sent && message.type === 'Append') this.#unreachable.add(message.to);
    }
  }

  #apply(now: number): void {
    if (this.#loading || this.#toApply.length === 0) return;
    const { state } = this.#store;
    // Twice the bound at which the leader stops: a follower that flushes more slowly must not grow without end either.
    if (state.overlayBytes > 2 * this.#options.limits.maxOverlayBytes) return;
    const entries = this.#toApply;
    this.#toApply = [];
    const waiting = this.#proposals.hasWaiting;
    const { configuration } = this.#machine;
    const results: (CommandResult | null)[] = [];
    for (const entry of entries) results.push(this.#machine.apply(entry));
    this.#machine.writeMeta();
    const last = entries[entries.length - 1] as Entry;
    state.seal({ index: last.index, term: last.term });
    this.#unflushedSince ??= now;
    this.#core.applied(last.index);
    this.#submission.applied(last.index);
    if (waiting) {
      for (let i = 0; i < entries.length; i++) {
        const entry = entries[i] as Entry;
        this.#proposals.applied(entry.index, entry.term, results[i] ?? null);
      }
    }
    this.#reads.applied(last.index);
    this.#options.applied(this.#machine.takeEffects(), now);
    if (this.#machine.configuration !== configuration) this.#options.configurationChanged();
  }

  #housekeeping(now: number, work: TurnWork): void {
    const { state, log } = this.#store;
    if (state.overlayBytes > 0 && !this.#loading && this.#received === null) {
      const due = this.#unflushedSince !== null && now - this.#unflushedSince >= FLUSH_AFTER_MS;
      if (work.sync) {
        if (due || state.overlayBytes > FLUSH_BESIDE_BYTES) this.#stageFlush(now, FLUSH_BESIDE_BYTES, work);
      } else if (!this.#flushing && (due || state.overlayBytes > FLUSH_ALONE_BYTES)) {
        this.#stageFlush(now, FLUSH_ALONE_BYTES, work);
      }
    }
    const { logKeepBytes } = this.#options.limits;
    if (log.bytes > logKeepBytes * 1.25 && !this.#loading) {
      const first = log.firstIndex();
      const surplus = Math.floor((log.lastIndex() - first + 1) * (1 - logKeepBytes / log.bytes));
      const wanted = Math.min(first - 1 + surplus, state.flushed.index);
      if (this.#snapshots.delivered) {
        const { progress } = this.#core.status();
        this.#snapshots.caughtUp(wanted, (id) => progress.find((follower) => follower.id === id)?.match);
      }
      const cut = Math.min(wanted, this.#snapshots.oldestIndex);
      if (cut >= first) {
        log.compact(cut);
        this.#core.compacted(cut);
        work.staged = true;
      }
    }
  }

  #stageFlush(now: number, maxBytes: number, work: TurnWork): void {
    if (this.#store.state.stageFlush(maxBytes) === 0) return;
    this.#flushing = true;
    this.#unflushedSince = now;
    work.staged = true;
    work.persisted.push(() => {
      this.#flushing = false;
      if (this.#store.state.overlayBytes === 0) this.#unflushedSince = null;
    });
  }

  // Snapshots.

  #describe(index: number): SnapshotMeta {
    const term = this.#store.log.term(index);
    invariant(term !== undefined, `the log does not know the term of applied index ${index}`);
    return { index, term, configuration: this.#core.configurationAt(index) };
  }

  #snapshotReceived(from: NodeId, term: number, meta: SnapshotMeta, receiver: SnapshotReceiver): void {
    if (this.#closed || this.#received !== null || this.#loading) {
      receiver.discard();
      return;
    }
    this.#received = { meta, receiver };
    this.#guard(() => {
      this.#core.step({
        type: 'InstallSnapshot',
        group: this.group,
        from,
        to: this.#options.id,
        term,
        snapshot: meta,
      });
    });
    // The core's decision is in its next Ready: taken now, so that a snapshot that it refuses is not kept.
    this.#options.wake();
  }

  #install(snapshot: SnapshotMeta, work: TurnWork): void {
    const received = this.#received;
    invariant(
      received !== null && received.meta.index === snapshot.index && received.meta.term === snapshot.term,
      'the core switches to a snapshot that was not received',
    );
    this.#received = null;
    received.receiver.stageInstall(snapshot);
    this.#store.log.reset(snapshot.index, snapshot.term);
    this.#loading = true;
    this.#caughtUp = false;
    this.#unflushedSince = null;
    this.#toApply = this.#toApply.filter((entry) => entry.index > snapshot.index);
    work.staged = true;
    work.sync = true;
    work.persisted.push(() => this.#load(snapshot.index));
  }

  #load(index: number): void {
    loadMachine(this.#store)
      .then((machine) => {
        if (this.#closed) return;
        invariant(machine.appliedIndex === index, 'the state of a snapshot is not at its index');
        this.#machine = machine;
        this.#loading = false;
        this.#core.applied(index);
        this.#proposals.snapshotInstalled(index, machine.appliedTerm);
        this.#reads.applied(index);
        this.#options.stateReplaced();
        this.#options.configurationChanged();
        this.#options.wake();
      })
      .catch((error: unknown) => this.#options.failed(error));
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.failed(error);
    }
  }

  /** A received snapshot that the core did not want is dropped. Called by the loop after each turn. */
  afterTurn(): void {
    if (this.#received === null || this.#core.hasReady()) return;
    this.#received.receiver.discard();
    this.#received = null;
  }

  /** Ends everything that waits. What is staged and not committed is the store's to drop. */
  close(error: KvorumError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#proposals.close(error);
    this.#reads.close(error);
    this.#snapshots.close();
  }
}

async function loadMachine(store: GroupStore): Promise<Machine> {
  const machine = new Machine(store.state);
  await store.state.scan((record) => machine.restore(record));
  machine.restored();
  return machine;
}
