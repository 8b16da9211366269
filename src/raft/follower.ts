/**
 * What a leader's messages do to this node (Raft §5.3, §7), and answers to its read requests.
 */
import { invariant } from '../errors.ts';
import type { RaftState } from './state.ts';
import type { Append, Heartbeat, InstallSnapshot, NodeId, ReadIndexResponse, SnapshotMeta } from './types.ts';

export function onAppend(state: RaftState, message: Append): void {
  const { prevIndex, prevTerm, entries } = message;
  state.heardLeader(message.from);
  if (entries.length > 0 && entries[0]!.index !== prevIndex + 1) {
    invariant(false, `An Append after ${prevIndex} starts with entry ${entries[0]!.index}`);
  }
  const lastNew = prevIndex + entries.length;
  // Everything up to the commit index matches without a look (log matching and leader completeness, §5.3 and §5.4).
  const known = Math.max(0, state.commit - prevIndex);
  if (known > entries.length) {
    accept(state, message.from, state.commit);
    return;
  }
  if (known === 0) {
    if (!state.log.matches(prevIndex, prevTerm)) {
      reject(state, message);
      return;
    }
  } else if (!state.log.matches(state.commit, entries[known - 1]!.term)) {
    invariant(false, `The committed entry ${state.commit} is another one at the leader of term ${message.term}`);
  }
  let offset = known;
  if (prevIndex < state.log.lastIndex) {
    while (offset < entries.length && state.log.matches(entries[offset]!.index, entries[offset]!.term)) offset++;
    // Only a conflict cuts the log; an Append that is older and shorter must not (§5.3: "if an existing entry conflicts").
    if (offset < entries.length && entries[offset]!.index <= state.log.lastIndex)
      state.truncate(entries[offset]!.index);
  }
  if (offset < entries.length) {
    state.append(entries, offset);
    if (state.log.lastTerm > message.term) {
      invariant(false, `An entry of term ${state.log.lastTerm} came in term ${message.term}`);
    }
  }
  state.commitTo(Math.min(message.commit, lastNew));
  accept(state, message.from, lastNew);
}

/** The log up to `index` is the leader's. Said once it is on disk. */
function accept(state: RaftState, to: NodeId, index: number): void {
  const { id, term, options } = state;
  const { group } = options;
  const response = {
    type: 'AppendResponse',
    group,
    from: id,
    to,
    term,
    rejected: false,
    index,
    hintIndex: 0,
    hintTerm: 0,
  } as const;
  if (index <= state.log.persisted) state.send(response);
  else state.sendAfterPersist(response);
}

function reject(state: RaftState, message: Append): void {
  const { id, term, options, log } = state;
  const { group } = options;
  const { from: to, prevIndex: index, prevTerm } = message;
  const highest = Math.min(index, log.lastIndex);
  // Committed entries match, so the guess is never below them.
  const hintIndex = Math.max(state.commit, log.lastIndexUpToTerm(state.commit, highest, prevTerm));
  const hintTerm = log.term(hintIndex) ?? 0;
  state.send({ type: 'AppendResponse', group, from: id, to, term, rejected: true, index, hintIndex, hintTerm });
}

export function onHeartbeat(state: RaftState, message: Heartbeat): void {
  const { from: to, round } = message;
  state.heardLeader(to);
  state.commitTo(message.commit);
  const { id, term, options } = state;
  state.send({ type: 'HeartbeatResponse', group: options.group, from: id, to, term, round });
}

/**
 * A snapshot is complete and checked. What it holds is committed, so a follower takes it from an older term's leader as well:
 * a long transfer survives a change of leaders.
 */
export function onInstallSnapshot(state: RaftState, message: InstallSnapshot): void {
  if (message.term === state.term) state.heardLeader(message.from);
  const { snapshot } = message;
  const { index, term } = snapshot;
  if (index > state.commit) {
    // With the same entry at its end the log holds all that the snapshot stands for, and perhaps more (§7).
    if (state.log.matches(index, term)) state.commitTo(index);
    else install(state, snapshot);
  }
  accept(state, message.from, Math.max(index, state.commit));
}

function install(state: RaftState, snapshot: SnapshotMeta): void {
  const { index, term, configuration } = snapshot;
  invariant(index > state.commit, `A snapshot at ${index} would replace newer state (${state.commit})`);
  invariant(term <= state.term, `A snapshot of term ${term} came in term ${state.term}`);
  // Of the old log only the committed part still means anything once it is cut off.
  const kept = Math.min(state.log.persisted, state.commit);
  state.writes.clip(kept);
  state.log.reset(index, term, kept);
  state.configurations.reset(index, configuration);
  state.applying.skipTo(index);
  state.commit = index;
  state.snapshot = snapshot;
}

export function onReadIndexResponse(state: RaftState, message: ReadIndexResponse): void {
  // From before a restart, or from somebody who no longer leads: it may be an answer to another read.
  if (message.bootEpoch !== state.options.bootEpoch || message.from !== state.leader) return;
  const { token, index } = message;
  const tokens = index === null ? state.followerReads.refused(token) : state.followerReads.answered(token);
  for (const released of tokens) state.readStates.push({ token: released, index });
}

/** What was asked for in this turn, in one request. Called when a Ready is made. */
export function sendReadRequests(state: RaftState): void {
  if (state.followerReads.wantsRequest) requestRead(state, state.followerReads.take(state.ticks));
}

/** Requests and answers can be lost. */
export function tickReads(state: RaftState): void {
  const { electionTicks, heartbeatTicks } = state.options;
  const token = state.followerReads.takeOverdue(state.ticks, Math.max(heartbeatTicks, electionTicks >> 2));
  if (token !== null) requestRead(state, token);
}

function requestRead(state: RaftState, token: number): void {
  const { id, term, leader, options } = state;
  invariant(leader !== null && leader !== id, 'A read waits for a leader that is not known');
  const { group, bootEpoch } = options;
  state.send({ type: 'ReadIndexRequest', group, from: id, to: leader, term, bootEpoch, token });
}
