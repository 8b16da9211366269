/**
 * Leading: being elected, heartbeats, check-quorum, proposals, reads, and handing over. Replication is in replication.ts.
 */
import { invariant } from '../errors.ts';
import { isVoter, members } from './configuration.ts';
import { Leadership } from './leadership.ts';
import { quorumIndex } from './quorum.ts';
import type { PendingRead } from './read-index.ts';
import type { RaftState } from './state.ts';
import type { Entry, Heartbeat, HeartbeatResponse, NodeId, ProposeResult, ReadIndexRequest } from './types.ts';

const NO_DATA = new Uint8Array(0);
/** Of the followers' refusal to vote, this part is trusted as lease: clocks may differ in speed by the rest (thesis §6.4.1). */
const LEASE_CLOCK_MARGIN = 0.9;
/** Ticks come at any moment of a tick's length, and one may come late and the next on time. */
const LEASE_MARGIN_TICKS = 2;

export function becomeLeader(state: RaftState): void {
  invariant(state.role === 'candidate', `A ${state.role} was elected`);
  invariant(state.writes.term === state.term, `Leader of term ${state.term} before it is on disk`);
  state.role = 'leader';
  state.setLeader(state.id);
  state.votes.clear();
  state.failedElections = 0;
  state.ticksSinceLeader = Infinity;
  const { lastIndex } = state.log;
  const { current, currentIndex, previous } = state.configurations;
  state.leadership = new Leadership(state.options, current, state.log, state.ticks);
  // The leader that removed somebody may not have come to tell it.
  if (previous !== null) state.leadership.followRemoved(members(previous), currentIndex);
  // An entry of its own term: only with it may a leader commit what it inherited (§5.4.2, figure 8), and know what is committed
  // (§6.4). It also makes the new leader known at once.
  state.append([{ index: lastIndex + 1, term: state.term, kind: 'noop', data: NO_DATA }]);
}

/** Raft §5.3, §5.4.2: what a quorum has on disk is committed, if it is of this term; and with it all before it. True: there was more. */
export function advanceCommit(state: RaftState, leadership: Leadership): boolean {
  const index = quorumIndex(state.configuration, leadership.matchOf);
  if (index <= state.commit || index < leadership.firstIndex) return false;
  state.commitTo(index);
  leadership.uncommitted.committed(index);
  leadership.committedInTerm = true;
  leadership.appendsDue = true;
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Time.

export function tickLeader(state: RaftState, leadership: Leadership): void {
  const { electionTicks, heartbeatTicks } = state.options;
  if (state.diskStalled) {
    // It can still send, so it does not let the others wait for their time-outs.
    const successor = bestSuccessor(state, leadership);
    if (successor !== null) sendTimeoutNow(state, leadership, successor);
    state.becomeFollower(state.term, null);
    return;
  }
  // Check-quorum: when a majority was last heard. Followers that do not answer may have elected another (thesis §6.2).
  const heard = quorumIndex(
    state.configuration,
    (id) => (id === state.id ? state.ticks : (leadership.progress.get(id)?.heardTick ?? -Infinity)),
    -Infinity,
  );
  if (state.ticks - Math.max(heard, leadership.quorumSinceTick) >= electionTicks) {
    state.becomeFollower(state.term, null);
    return;
  }
  if (leadership.transferTo !== null && ++leadership.transferElapsed >= electionTicks) leadership.transferTo = null;
  for (const progress of leadership.progress.values()) {
    progress.commitNotices = 0;
    if (progress.sentCommit < state.commit) leadership.appendsDue = true;
  }
  if (++leadership.heartbeatElapsed < heartbeatTicks) return;
  leadership.heartbeatElapsed = 0;
  leadership.heartbeatDue = true;
  // The first TimeoutNow may be lost; a second one does no harm, the successor is in a later term by then.
  tryTransfer(state, leadership);
}

// ---------------------------------------------------------------------------------------------------------------------
// Heartbeats and reads.

export function wantsRound(leadership: Leadership): boolean {
  return leadership.heartbeatDue || (leadership.committedInTerm && leadership.reads.wantsRound);
}

/** One round of heartbeats; the reads that wait leave with it. Called when a Ready is made, so all reads of a turn share it. */
export function sendRound(state: RaftState, leadership: Leadership): void {
  const { configuration } = state;
  const all = leadership.heartbeatDue;
  leadership.heartbeatDue = false;
  const round = ++state.round;
  for (const progress of leadership.progress.values()) {
    // A round for reads needs those who vote; the others are kept quiet by the clock's rounds.
    if (!all && !isVoter(configuration, progress.id)) continue;
    // Never more than the follower is known to have: it takes this at its word.
    const commit = Math.min(progress.match, state.commit);
    progress.sentCommit = Math.max(progress.sentCommit, commit);
    progress.saidFarewell(commit, round);
    const heartbeat: Heartbeat = {
      type: 'Heartbeat',
      group: state.options.group,
      from: state.id,
      to: progress.id,
      term: state.term,
      commit,
      round,
    };
    state.send(heartbeat);
  }
  if (leadership.committedInTerm) leadership.reads.attach(round, state.commit);
  if (state.options.leaseReads) leadership.leaseRoundSent(round, state.nowMs);
  // A single voter is its own quorum.
  confirmRounds(state, leadership);
}

export function confirmRounds(state: RaftState, leadership: Leadership): void {
  const confirmed = quorumIndex(state.configuration, (id) =>
    id === state.id ? state.round : (leadership.progress.get(id)?.ackedRound ?? 0),
  );
  for (const { index, reads } of leadership.reads.confirm(confirmed)) {
    for (const read of reads) answerRead(state, read, index);
  }
  if (state.options.leaseReads) leadership.leaseRoundConfirmed(confirmed, leaseMs(state));
}

/**
 * How long after a round was *sent* no other leader can be: who answered it refuses to vote for `electionTicks` of its own
 * ticks from then on. Assumes that no node's ticks come faster than `tickMs` by more than a tenth, save for two ticks of
 * jitter, and that no monotonic clock is slower than another by more than that tenth, nor stops, as it may in a virtual
 * machine that is suspended.
 */
function leaseMs(state: RaftState): number {
  const { electionTicks, tickMs } = state.options;
  return Math.max(0, electionTicks - LEASE_MARGIN_TICKS) * (tickMs ?? 0) * LEASE_CLOCK_MARGIN;
}

function holdsLease(state: RaftState, leadership: Leadership): boolean {
  if (!state.options.leaseReads || leadership.leaseForfeited || leadership.transferTo !== null) return false;
  return leadership.committedInTerm && state.nowMs < leadership.leaseUntilMs;
}

function answerRead(state: RaftState, read: PendingRead, index: number): void {
  const { from, bootEpoch, token } = read;
  if (from === null) {
    state.readStates.push({ token, index });
    return;
  }
  const { id, term, options } = state;
  const { group } = options;
  state.send({ type: 'ReadIndexResponse', group, from: id, to: from, term, bootEpoch, token, index });
}

function addRead(state: RaftState, leadership: Leadership, read: PendingRead): void {
  if (holdsLease(state, leadership)) answerRead(state, read, state.commit);
  else if (!leadership.reads.add(read)) state.refuseRead(read.from, read.bootEpoch, read.token);
}

/** This node's own shell asks. Without a known leader the answer is null at once. */
export function readIndex(state: RaftState, token: number): void {
  const { leadership, options } = state;
  if (leadership !== null) addRead(state, leadership, { from: null, bootEpoch: options.bootEpoch, token });
  else if (state.leader === null) state.readStates.push({ token, index: null });
  else state.followerReads.add(token);
}

export function onReadIndexRequest(state: RaftState, request: ReadIndexRequest): void {
  const { from, bootEpoch, token } = request;
  if (state.leadership === null) state.refuseRead(from, bootEpoch, token);
  else addRead(state, state.leadership, { from, bootEpoch, token });
}

export function onHeartbeatResponse(state: RaftState, leadership: Leadership, response: HeartbeatResponse): void {
  const progress = leadership.progress.get(response.from);
  if (progress === undefined) return;
  if (response.round > state.round) {
    invariant(false, `Node ${response.from} answered round ${response.round} before it was sent`);
  }
  progress.heardTick = state.ticks;
  // Something seems lost if an Append has waited for as long as heartbeats take to come again. (Rounds for reads come faster,
  // and an Append on its way to a disk is not lost.)
  if (state.ticks - progress.awaitingTick >= state.options.heartbeatTicks) {
    if (progress.state === 'probe' && progress.paused) {
      progress.paused = false;
      leadership.appendsDue = true;
    } else if (progress.state === 'replicate' && progress.inflights.count > 0) {
      progress.checkDue = true;
      progress.awaitingTick = state.ticks;
      leadership.appendsDue = true;
    }
  }
  if (response.round <= progress.ackedRound) return;
  progress.ackedRound = response.round;
  confirmRounds(state, leadership);
}

// ---------------------------------------------------------------------------------------------------------------------
// Proposals.

export function propose(state: RaftState, data: readonly Uint8Array[]): ProposeResult {
  const { leadership, log, term } = state;
  if (leadership === null) return { status: 'notLeader', leader: state.leader };
  if (leadership.transferTo !== null) return { status: 'refused', reason: 'transferring' };
  let bytes = 0;
  for (const item of data) bytes += item.length;
  const inherited = state.commit < leadership.firstIndex - 1;
  if (!leadership.uncommitted.fits(bytes, inherited)) return { status: 'refused', reason: 'uncommittedBytes' };
  const firstIndex = log.lastIndex + 1;
  const entries: Entry[] = [];
  for (const item of data) entries.push({ index: firstIndex + entries.length, term, kind: 'command', data: item });
  log.append(entries);
  leadership.uncommitted.add(log.lastIndex, bytes);
  leadership.appendsDue = true;
  return { status: 'accepted', firstIndex, term };
}

// ---------------------------------------------------------------------------------------------------------------------
// Handing over (thesis §3.10).

/** The voter with most of the log among those that are heard; null for none. */
function bestSuccessor(state: RaftState, leadership: Leadership): NodeId | null {
  let best: NodeId | null = null;
  let bestMatch = -1;
  for (const id of state.configuration.voters) {
    const progress = leadership.progress.get(id);
    if (progress === undefined || state.ticks - progress.heardTick >= state.options.electionTicks) continue;
    if (progress.match > bestMatch) {
      best = id;
      bestMatch = progress.match;
    }
  }
  return best;
}

export function transferLeadership(state: RaftState, to: NodeId | null): boolean {
  const { leadership } = state;
  if (leadership === null) return false;
  const successor = to ?? bestSuccessor(state, leadership);
  // Never to a learner, nor to a voter that is on its way out.
  if (successor === null || successor === state.id || !state.configuration.voters.includes(successor)) return false;
  if (leadership.transferTo === successor) return true;
  leadership.transferTo = successor;
  leadership.transferElapsed = 0;
  leadership.appendsDue = true;
  tryTransfer(state, leadership);
  return true;
}

/** As soon as the successor has the whole log. */
export function tryTransfer(state: RaftState, leadership: Leadership): void {
  const to = leadership.transferTo;
  if (to === null || leadership.progress.get(to)?.match !== state.log.lastIndex) return;
  sendTimeoutNow(state, leadership, to);
}

function sendTimeoutNow(state: RaftState, leadership: Leadership, to: NodeId): void {
  leadership.leaseForfeited = true;
  state.send({ type: 'TimeoutNow', group: state.options.group, from: state.id, to, term: state.term });
}
