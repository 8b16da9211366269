/**
 * The Raft core of one group on one node: a pure state machine. Messages, ticks and requests go in; a `Ready` with everything
 * that has to be done comes out. It knows no disk, network, clock or randomness but what it is handed, so the same inputs
 * always give the same outputs.
 *
 * @example
 * const raft = createRaft(options, log, initial);
 * raft.tick();                          // every tickMs
 * raft.step(message);                   // from a peer
 * raft.propose([command]);              // from a client
 * while (raft.hasReady()) {
 *   const ready = raft.ready();
 *   send(ready.messages);               // while the disk works …
 *   write(ready, () => {                // … one synced batch, in the order of seq
 *     raft.persisted(ready.seq);
 *     send(ready.messagesAfterPersist);
 *   });
 *   for (const entry of ready.committed) apply(entry);
 *   if (ready.committed.length > 0) raft.applied(ready.committed.at(-1).index);
 * }
 *
 * One room a subject: election.ts, leader.ts, replication.ts, reconfiguration.ts, follower.ts act on the state in state.ts;
 * ready.ts takes the effects out of it; log.ts, writes.ts, applying.ts, progress.ts, read-index.ts, configuration.ts, change.ts
 * and quorum.ts are the parts.
 */
import { invariant, KvorumError } from '../errors.ts';
import { countOwnVote, onPeerLost, onTimeoutNow, onVoteRequest, onVoteResponse } from './election.ts';
import { refuseVote, tickElection } from './election.ts';
import { onAppend, onHeartbeat, onInstallSnapshot, onReadIndexResponse, tickReads } from './follower.ts';
import { onHeartbeatResponse, onReadIndexRequest } from './leader.ts';
import { propose, readIndex, tickLeader, transferLeadership } from './leader.ts';
import { ReadyMaker } from './ready.ts';
import { advance, proposeConfig, tickReconfiguration } from './reconfiguration.ts';
import { onAppendResponse, onPeerUnreachable, onSnapshotSent } from './replication.ts';
import { RaftState } from './state.ts';
import type {
  Configuration,
  ConfigurationChange,
  InitialState,
  LogReader,
  Message,
  NodeId,
  ProposeConfigResult,
  ProposeResult,
  RaftCore,
  RaftOptions,
  RaftStatus,
  Ready,
} from './types.ts';

/** @throws KvorumError ERR_CONFIG for options that make no sense, ERR_INVARIANT for a stored state that cannot be. */
export function createRaft(options: RaftOptions, log: LogReader, initial: InitialState): RaftCore {
  checkOptions(options);
  return new Raft(new RaftState(options, log, initial));
}

function checkOptions(options: RaftOptions): void {
  const positive = [
    'electionTicks',
    'heartbeatTicks',
    'maxAppendBytes',
    'maxInflightMessages',
    'maxInflightBytes',
    'maxUncommittedBytes',
    'maxApplyBytes',
  ] as const;
  for (const name of positive) {
    if (!(options[name] > 0)) throw new KvorumError('ERR_CONFIG', `${name} must be positive, is ${options[name]}`);
  }
  if (options.heartbeatTicks >= options.electionTicks) {
    throw new KvorumError('ERR_CONFIG', 'heartbeatTicks must be less than electionTicks');
  }
  if (options.leaseReads && !(options.tickMs !== undefined && options.tickMs > 0)) {
    throw new KvorumError('ERR_CONFIG', 'leaseReads needs tickMs, the length of a tick');
  }
}

class Raft implements RaftCore {
  readonly #state: RaftState;
  readonly #ready: ReadyMaker;

  constructor(state: RaftState) {
    this.#state = state;
    this.#ready = new ReadyMaker(state);
  }

  clock(nowMs: number): void {
    this.#state.nowMs = nowMs;
  }

  tick(): void {
    const state = this.#state;
    state.ticks++;
    if (state.leadership !== null) {
      tickLeader(state, state.leadership);
      if (state.leadership !== null) tickReconfiguration(state, state.leadership);
    } else {
      tickElection(state);
      tickReads(state);
    }
  }

  step(message: Message): void {
    const state = this.#state;
    invariant(message.group === state.options.group, 'A message came to the core of another group');
    // To the id that was here before this node was wiped, or an echo: not meant for this node.
    if (message.to !== state.id || message.from === state.id) return;
    if (message.term < state.term) {
      answerStale(state, message);
      return;
    }
    if (message.term > state.term && !enterTerm(state, message)) return;
    dispatch(state, message);
  }

  propose(data: readonly Uint8Array[]): ProposeResult {
    return propose(this.#state, data);
  }

  proposeConfig(change: ConfigurationChange): ProposeConfigResult {
    return proposeConfig(this.#state, change);
  }

  readIndex(token: number): void {
    readIndex(this.#state, token);
  }

  transferLeadership(to: NodeId | null): boolean {
    return transferLeadership(this.#state, to);
  }

  peerLost(id: NodeId): void {
    const { leadership } = this.#state;
    if (leadership === null) onPeerLost(this.#state, id);
    else onPeerUnreachable(leadership, id);
  }

  peerUnreachable(id: NodeId): void {
    const { leadership } = this.#state;
    if (leadership !== null) onPeerUnreachable(leadership, id);
  }

  snapshotSent(to: NodeId, index: number, ok: boolean): void {
    const { leadership } = this.#state;
    if (leadership !== null) onSnapshotSent(this.#state, leadership, to, index, ok);
  }

  hasReady(): boolean {
    return this.#ready.hasReady();
  }

  ready(): Ready {
    return this.#ready.make();
  }

  persisted(seq: number): void {
    const state = this.#state;
    if (!state.writes.complete(seq, state.ticks)) return;
    state.log.persistTo(state.writes.lastIndex);
    countOwnVote(state);
    if (state.leadership !== null) advance(state, state.leadership);
  }

  applied(index: number): void {
    this.#state.applying.done(index);
  }

  compacted(index: number): void {
    const { applying, configurations, log } = this.#state;
    invariant(index <= applying.applied, `Compaction up to ${index}, but only ${applying.applied} is applied`);
    log.compact(index);
    configurations.compact(index);
  }

  configurationAt(index: number): Configuration {
    const { configurations, log } = this.#state;
    invariant(index >= log.firstIndex - 1, `The configuration at ${index} was compacted (${log.firstIndex})`);
    return configurations.at(index);
  }

  status(): RaftStatus {
    const { id, options, term, vote, role, leader, commit, log, applying, leadership, ticks } = this.#state;
    const { configuration, configurations, configurationCommitted } = this.#state;
    return {
      id,
      group: options.group,
      term,
      vote,
      role,
      leader,
      commit,
      applied: applying.applied,
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      persistedIndex: log.persisted,
      uncommittedBytes: leadership?.uncommitted.total ?? 0,
      configuration,
      configurationIndex: configurations.currentIndex,
      configurationCommitted,
      progress: [...(leadership?.progress.values() ?? [])].map((progress) =>
        progress.status(ticks - progress.heardTick < options.electionTicks),
      ),
    };
  }
}

/** A message of a later term: step into it if that is what it means. False: it is dealt with. */
function enterTerm(state: RaftState, message: Message): boolean {
  switch (message.type) {
    case 'VoteRequest':
      // Check-quorum and pre-vote hold together here: who hears a leader is not moved, nor is its term (thesis §4.2.3).
      if (!message.transfer && state.hearsLeader) {
        refuseVote(state, message);
        return false;
      }
      // A pre-vote asks about a term that nobody is in yet.
      if (!message.preVote) state.becomeFollower(message.term, null);
      return true;
    case 'VoteResponse':
      // A granted pre-vote names that same future term; a refusal the term the voter is in.
      if (!(message.preVote && message.granted)) state.becomeFollower(message.term, null);
      return true;
    case 'Append':
    case 'Heartbeat':
    case 'InstallSnapshot':
    case 'TimeoutNow':
      state.becomeFollower(message.term, message.from);
      return true;
    default:
      state.becomeFollower(message.term, null);
      return true;
  }
}

/**
 * A message of an earlier term takes no effect, but its sender may have to learn that the term is over: with pre-vote and
 * check-quorum, a node that is ahead in term is never asked to vote, and would be cut off for good if it did not answer (etcd's
 * treatment of `m.Term < r.Term`; etcd#8243, #8501).
 */
function answerStale(state: RaftState, message: Message): void {
  const { id, term, options } = state;
  const { group } = options;
  const to = message.from;
  switch (message.type) {
    case 'VoteRequest':
      refuseVote(state, message);
      return;
    // These answers carry the new term and nothing else. Echoing an index or a round would be dangerous: the receiver may lead
    // this very term by the time they arrive, restarted since and counting rounds from the start again.
    case 'Append': {
      const empty = { rejected: true, index: 0, hintIndex: 0, hintTerm: 0 };
      state.send({ type: 'AppendResponse', group, from: id, to, term, ...empty });
      return;
    }
    case 'Heartbeat':
      state.send({ type: 'HeartbeatResponse', group, from: id, to, term, round: 0 });
      return;
    case 'ReadIndexRequest':
      state.refuseRead(to, message.bootEpoch, message.token);
      return;
    case 'InstallSnapshot':
      if (state.role === 'follower') onInstallSnapshot(state, message);
      return;
    default:
    // Answers to what was asked in an earlier term, and an earlier leader's wish: nobody waits for these.
  }
}

/** A message of this term (or a pre-vote and its grant, which are of the next). */
function dispatch(state: RaftState, message: Message): void {
  const { leadership } = state;
  switch (message.type) {
    case 'VoteRequest':
      onVoteRequest(state, message);
      return;
    case 'VoteResponse':
      onVoteResponse(state, message);
      return;
    case 'Append':
      onAppend(state, message);
      return;
    case 'AppendResponse':
      if (leadership !== null) onAppendResponse(state, leadership, message);
      return;
    case 'Heartbeat':
      onHeartbeat(state, message);
      return;
    case 'HeartbeatResponse':
      if (leadership !== null) onHeartbeatResponse(state, leadership, message);
      return;
    case 'ReadIndexRequest':
      onReadIndexRequest(state, message);
      return;
    case 'ReadIndexResponse':
      onReadIndexResponse(state, message);
      return;
    case 'InstallSnapshot':
      onInstallSnapshot(state, message);
      return;
    case 'TimeoutNow':
      onTimeoutNow(state, message);
  }
}
