/**
 * The state of one group on one node, and the few moves that every handler makes: change term, follow, commit, send.
 *
 * **What leaves when.** A Ready has two lists of messages: `messages` may leave while its batch is being written,
 * `messagesAfterPersist` only when that batch, and every one before it, is on disk. A message must wait if somebody could count
 * on something that a crash would make this node forget:
 *
 * | message                | vouches for                            | leaves                                               |
 * |------------------------|----------------------------------------|------------------------------------------------------|
 * | VoteRequest            | own vote in the new term               | after persist                                        |
 * | VoteResponse, granted  | the vote                               | after persist                                        |
 * | AppendResponse, accept | entries up to `index`                  | after persist; at once when they are on disk already |
 * | Append, Heartbeat,     | leadership: own vote was on disk       | at once: `becomeLeader` requires the term on disk;   |
 * | TimeoutNow,            | before it was counted                  | own entries need not be (thesis §10.2.1): the leader |
 * | ReadIndexResponse      |                                        | counts itself only once they are                     |
 * | VoteRequest, pre-vote  | nothing                                | at once                                              |
 * | VoteResponse, pre-vote | nothing                                | at once                                              |
 * | any refusal            | nothing but the term                   | at once                                              |
 * | HeartbeatResponse      | nothing but the term: a read is safe   | at once                                              |
 * |                        | if no quorum has voted beyond it yet   |                                                      |
 * | ReadIndexRequest       | nothing                                | at once                                              |
 *
 * "At once" has one condition: the term of this node is on disk (`send`). A node whose term is still being written speaks
 * after the write, so nobody ever hears a term from it that it could forget. That is more than safety needs, and it costs one
 * write a term.
 */
import { invariant } from '../errors.ts';
import { Applying } from './applying.ts';
import { Configurations, isVoter } from './configuration.ts';
import type { Leadership } from './leadership.ts';
import { RaftLog } from './log.ts';
import { FollowerReads } from './read-index.ts';
import type {
  Configuration,
  Entry,
  HardState,
  InitialState,
  LogReader,
  Message,
  NodeId,
  RaftOptions,
  ReadState,
  SnapshotMeta,
  SnapshotRequest,
  SoftState,
} from './types.ts';
import { Writes } from './writes.ts';

export class RaftState {
  readonly options: RaftOptions;
  readonly id: NodeId;
  readonly log: RaftLog;
  readonly configurations: Configurations;
  readonly writes: Writes;
  readonly applying: Applying;
  readonly followerReads = new FollowerReads();

  term: number;
  vote: NodeId | null;
  commit: number;
  role: SoftState['role'] = 'follower';
  /** The leader of `term` as far as known; this node itself when it leads. */
  leader: NodeId | null = null;
  /** Not null exactly while `role` is leader. */
  leadership: Leadership | null = null;

  /** Ticks since the start. */
  ticks = 0;
  /** NaN until the shell tells: then no lease is ever valid. */
  nowMs = Number.NaN;
  /** The last heartbeat round sent. It goes on growing over leaderships, so that no old answer can fit a new round. */
  round = 0;

  // Elections (election.ts).
  electionElapsed = 0;
  electionTimeout = 0;
  /** Elections in a row that this node started and did not win. */
  failedElections = 0;
  /** Ticks since a leader was heard, this term's or an earlier one's. */
  ticksSinceLeader: number;
  votes = new Map<NodeId, boolean>();
  /** Ticks until the pre-vote that a crash hint asked for; null for none. */
  crashHintIn: number | null = null;

  // What goes into the next Ready.
  messages: Message[] = [];
  messagesAfterPersist: Message[] = [];
  readStates: ReadState[] = [];
  snapshotRequests: SnapshotRequest[] = [];
  snapshot: SnapshotMeta | null = null;

  constructor(options: RaftOptions, reader: LogReader, initial: InitialState) {
    this.options = options;
    this.id = options.id;
    this.log = new RaftLog(reader, options.maxCachedBytes);
    this.configurations = new Configurations(initial.configurations);
    const { term, vote, commit } = initial.hardState;
    const { log } = this;
    invariant(log.lastTerm <= term, `The log ends in term ${log.lastTerm}, after the stored term ${term}`);
    invariant(commit <= log.lastIndex, `Commit index ${commit} is behind the end of the stored log, ${log.lastIndex}`);
    invariant(
      initial.appliedIndex >= log.firstIndex - 1 && initial.appliedIndex <= log.lastIndex,
      `Applied index ${initial.appliedIndex} is outside the stored log [${log.firstIndex}, ${log.lastIndex}]`,
    );
    this.term = term;
    this.vote = vote;
    // What was applied was committed, although that commit index may not have been stored.
    this.commit = Math.max(commit, initial.appliedIndex);
    this.writes = new Writes(term, vote);
    this.applying = new Applying(options.maxApplyBytes, initial.appliedIndex);
    // Before it went down this node may have promised a leader, by answering its heartbeat, not to vote for a while. Where
    // leases count on that, the promise is assumed and kept.
    this.ticksSinceLeader = options.leaseReads && term > 0 ? 0 : Infinity;
    this.resetElectionTimer();
  }

  get configuration(): Configuration {
    return this.configurations.current;
  }

  get configurationCommitted(): boolean {
    return this.configurations.currentIndex <= this.commit;
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Sending.

  /** Leaves at once, unless it would carry a term that is not on disk yet. */
  send(message: Message): void {
    if (this.writes.term === this.term) this.messages.push(message);
    else this.messagesAfterPersist.push(message);
  }

  sendAfterPersist(message: Message): void {
    this.messagesAfterPersist.push(message);
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Following.

  /** Steps into `term` (or stays in it) as a follower; `leader` null: of nobody yet. */
  becomeFollower(term: number, leader: NodeId | null): void {
    invariant(term >= this.term, `Term ${this.term} would fall back to ${term}`);
    const wasFollower = this.role === 'follower';
    if (term > this.term) {
      this.term = term;
      this.vote = null;
    }
    this.#endLeadership();
    this.role = 'follower';
    this.votes.clear();
    this.setLeader(leader);
    // A follower's timer runs on: to see a higher term is not to grant a vote (openraft#1220), and a node that cannot win must
    // not hold up those that can. Who comes from another role starts anew, soon, since no leader is known.
    if (!wasFollower) this.resetRetryTimer();
  }

  setLeader(leader: NodeId | null): void {
    if (leader === this.leader) return;
    this.leader = leader;
    this.crashHintIn = null;
    for (const token of this.followerReads.drain()) this.readStates.push({ token, index: null });
  }

  #endLeadership(): void {
    const leadership = this.leadership;
    if (leadership === null) return;
    this.leadership = null;
    this.snapshotRequests = [];
    for (const read of leadership.reads.drain()) this.refuseRead(read.from, read.bootEpoch, read.token);
  }

  refuseRead(from: NodeId | null, bootEpoch: number, token: number): void {
    if (from === null) {
      this.readStates.push({ token, index: null });
      return;
    }
    const { id, term } = this;
    const group = this.options.group;
    this.send({ type: 'ReadIndexResponse', group, from: id, to: from, term, bootEpoch, token, index: null });
  }

  /** A message of `term`'s leader arrived. */
  heardLeader(from: NodeId): void {
    if (this.leader !== null && this.leader !== from) {
      invariant(false, `Two leaders in term ${this.term}: ${this.leader} and ${from}`);
    }
    if (this.role !== 'follower') this.becomeFollower(this.term, from);
    this.setLeader(from);
    this.crashHintIn = null;
    this.ticksSinceLeader = 0;
    this.electionElapsed = 0;
    // After a failed election the timer is a short one; back to the ordinary.
    if (this.electionTimeout < this.options.electionTicks || this.failedElections > 0) this.resetElectionTimer();
  }

  /** Whether a live leader is known, so that nobody else is to be voted for (check-quorum; thesis §4.2.3 and §6.4.1). */
  get hearsLeader(): boolean {
    if (this.role === 'leader') return true;
    if (this.ticksSinceLeader >= this.options.electionTicks) return false;
    // A crash hint makes this node forget its leader. A lease does not know about hints: there, only time frees the vote.
    return this.leader !== null || this.options.leaseReads;
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Timers. They decide when somebody asks, never what is answered: any choice is safe.

  /** A follower's patience: random in [electionTicks, 2·electionTicks) (Raft §5.2). */
  resetElectionTimer(): void {
    const { electionTicks, random } = this.options;
    this.failedElections = 0;
    this.electionElapsed = 0;
    this.electionTimeout = electionTicks + Math.floor(random() * electionTicks);
  }

  /**
   * After an election that was not won: random in [electionTicks/4, electionTicks/2). It may be shorter than the patience of a
   * follower since nobody is led now, so nobody is disturbed: what follows is a pre-vote, which changes no term and which all
   * who hear a leader refuse. It doubles with every failure, up to the ordinary time-out: on a disk or network so slow that a
   * vote takes longer than this, an election must succeed all the same.
   */
  resetRetryTimer(): void {
    const { electionTicks, random } = this.options;
    const quarter = Math.max(1, Math.floor(electionTicks / 4));
    const base = Math.min(electionTicks, quarter * 2 ** Math.min(this.failedElections, 16));
    this.electionElapsed = 0;
    this.electionTimeout = base + Math.floor(random() * base);
  }

  /** May stand for election: somebody's voter, with its log on disk not older than its snapshot. */
  get promotable(): boolean {
    return this.#mayBeNeeded && this.log.persisted >= this.log.firstIndex - 1;
  }

  /**
   * A voter by its own configuration; or by the one before, as long as it does not know the newest to be committed: the entry that
   * takes it out may be in its log only, and then nobody else can be elected (thesis §4.2.2 and figure 4.6: of two nodes the
   * leader removes itself and falls). Its own vote does not count then, since it is in no set.
   */
  get #mayBeNeeded(): boolean {
    const { current, previous } = this.configurations;
    if (isVoter(current, this.id)) return true;
    return !this.configurationCommitted && previous !== null && isVoter(previous, this.id);
  }

  /** The disk has not finished a write for an election time-out: this node must not lead (raft.md, trap 10). */
  get diskStalled(): boolean {
    return this.writes.stalledTicks(this.ticks) >= this.options.electionTicks;
  }

  // -------------------------------------------------------------------------------------------------------------------
  // The log and the commit index.

  /** Appends entries that the log does not have; configurations among them take effect now. */
  append(entries: readonly Entry[], offset = 0): void {
    this.log.append(entries, offset);
    for (let i = offset; i < entries.length; i++) {
      if (entries[i]!.kind === 'config') this.configurations.append(entries[i]!);
    }
  }

  truncate(from: number): void {
    invariant(from > this.commit, `Entry ${from} is committed (up to ${this.commit}) and would be cut off`);
    this.log.truncate(from);
    this.writes.clip(from - 1);
    this.configurations.truncate(from);
  }

  commitTo(index: number): void {
    if (index <= this.commit) return;
    if (index > this.log.lastIndex) {
      invariant(false, `Commit index ${index} is beyond the end of the log, ${this.log.lastIndex}: was the log lost?`);
    }
    this.commit = index;
  }

  /**
   * What may be applied: committed, and on this node's own disk. A follower's or leader's entry can be committed by others
   * before its own write is done. Nothing would contradict applying it then, but the state (and a snapshot made of it) would
   * run ahead of the log beneath it, and every reader of the two after a crash would have to know; the wait is at most one write.
   */
  get applicable(): number {
    return Math.min(this.commit, this.log.persisted);
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.commit };
  }
}
