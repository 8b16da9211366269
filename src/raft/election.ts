/**
 * Elections: pre-vote (thesis §9.6), vote (Raft §5.2, §5.4.1), and those at a leader's wish (thesis §3.10).
 */
import { invariant } from '../errors.ts';
import { becomeLeader } from './leader.ts';
import { voteResult } from './quorum.ts';
import type { RaftState } from './state.ts';
import type { NodeId, TimeoutNow, VoteRequest, VoteResponse } from './types.ts';

/** Asks whether an election could be won, without changing any term. */
export function startPreVote(state: RaftState): void {
  state.role = 'preCandidate';
  state.setLeader(null);
  state.crashHintIn = null;
  state.votes.clear();
  state.resetRetryTimer();
  // Own consent needs no disk: nothing is promised by it.
  state.votes.set(state.id, true);
  requestVotes(state, true, false);
  conclude(state);
}

/** The real thing: a new term and a vote for oneself. Both are on disk before anybody hears of them. */
export function startElection(state: RaftState, transfer: boolean): void {
  invariant(state.role !== 'leader', 'A leader does not campaign');
  invariant(
    !state.options.leaseReads || state.ticksSinceLeader >= state.options.electionTicks,
    'A campaign while a leader may hold a lease',
  );
  state.role = 'candidate';
  state.setLeader(null);
  state.crashHintIn = null;
  state.term++;
  state.vote = state.id;
  state.votes.clear();
  state.resetRetryTimer();
  requestVotes(state, false, transfer);
}

function requestVotes(state: RaftState, preVote: boolean, transfer: boolean): void {
  const { voters, votersOutgoing } = state.configuration;
  for (const to of voters) requestVote(state, to, preVote, transfer);
  for (const to of votersOutgoing) if (!voters.includes(to)) requestVote(state, to, preVote, transfer);
}

function requestVote(state: RaftState, to: NodeId, preVote: boolean, transfer: boolean): void {
  if (to === state.id) return;
  const { log } = state;
  const request: VoteRequest = {
    type: 'VoteRequest',
    group: state.options.group,
    from: state.id,
    to,
    // A pre-vote is about the term that would come.
    term: preVote ? state.term + 1 : state.term,
    preVote,
    lastIndex: log.lastIndex,
    lastTerm: log.lastTerm,
    transfer,
  };
  if (preVote) state.send(request);
  else state.sendAfterPersist(request);
}

/** Called when a write finished: a candidate's own vote counts from then on. */
export function countOwnVote(state: RaftState): void {
  if (state.role !== 'candidate' || state.votes.has(state.id)) return;
  if (state.writes.term !== state.term || state.writes.vote !== state.id) return;
  state.votes.set(state.id, true);
  conclude(state);
}

function conclude(state: RaftState): void {
  const result = voteResult(state.configuration, state.votes);
  if (result === 'pending') return;
  if (result === 'lost') {
    state.failedElections++;
    state.becomeFollower(state.term, null);
  } else if (state.role === 'preCandidate') {
    startElection(state, false);
  } else if (state.votes.has(state.id)) {
    // Without its own vote on disk a node does not lead, not even if the others are enough.
    becomeLeader(state);
  }
}

/** Ticks of everybody but the leader. */
export function tickElection(state: RaftState): void {
  state.electionElapsed++;
  state.ticksSinceLeader++;
  if (state.crashHintIn !== null && --state.crashHintIn > 0) return;
  const hinted = state.crashHintIn !== null;
  if (!hinted && state.electionElapsed < state.electionTimeout) return;
  state.crashHintIn = null;
  if (state.role !== 'follower') state.failedElections++;
  if (state.promotable && !state.diskStalled) startPreVote(state);
  // Not a voter, or not able to: wait again, and know that nobody leads.
  else becomeLeaderless(state);
}

function becomeLeaderless(state: RaftState): void {
  if (state.role === 'follower') {
    state.setLeader(null);
    state.resetElectionTimer();
  } else {
    state.becomeFollower(state.term, null);
  }
}

/**
 * Decision 10: the leader's process is known to be gone. This node alone forgets it, and asks for a pre-vote a little later;
 * random, since the other followers were told in the same millisecond.
 */
export function onPeerLost(state: RaftState, id: NodeId): void {
  if (state.role !== 'follower' || state.leader !== id) return;
  const { crashHintTicks, electionTicks, leaseReads, random } = state.options;
  state.setLeader(null);
  const wait = Math.floor(random() * (crashHintTicks + 1));
  // With leases, a vote (this node's own too) stays bound for as long as it would without the hint.
  const bound = leaseReads ? Math.max(0, electionTicks - state.ticksSinceLeader) : 0;
  state.crashHintIn = bound + wait;
  if (state.crashHintIn === 0 && state.promotable && !state.diskStalled) startPreVote(state);
}

/** Refuses without looking further. Carries this node's own term, so that a stale sender learns it. */
export function refuseVote(state: RaftState, request: VoteRequest): void {
  const { id, term, options } = state;
  const { from: to, preVote } = request;
  state.send({ type: 'VoteResponse', group: options.group, from: id, to, term, preVote, granted: false });
}

/** A request of this term, or a pre-vote for a later one. */
export function onVoteRequest(state: RaftState, request: VoteRequest): void {
  const { from: to, preVote } = request;
  const free =
    state.vote === to ||
    (state.vote === null && state.leader === null) ||
    // A pre-vote for a later term is free of what was voted in this one.
    (preVote && request.term > state.term);
  const leased = state.options.leaseReads && !request.transfer && state.hearsLeader;
  if (!free || leased || !state.log.isUpToDate(request.lastIndex, request.lastTerm)) {
    refuseVote(state, request);
    return;
  }
  const { id, options } = state;
  const { group } = options;
  if (preVote) {
    // Granted in the term asked for: in its own, older one the sender would take this for an answer to something else.
    const { term } = request;
    // The sender campaigns next, perhaps on the same hint: this node's own pre-vote would only get in its way.
    if (state.crashHintIn !== null) state.crashHintIn = Math.max(state.crashHintIn, options.crashHintTicks);
    state.send({ type: 'VoteResponse', group, from: id, to, term, preVote, granted: true });
    return;
  }
  invariant(request.term === state.term, 'A vote was about to be granted outside its term');
  invariant(state.vote === null || state.vote === to, `A second vote in term ${state.term}`);
  state.vote = to;
  // Granting, and only granting, gives the candidate time (§5.2).
  state.resetElectionTimer();
  state.crashHintIn = null;
  state.sendAfterPersist({
    type: 'VoteResponse',
    group,
    from: id,
    to,
    term: state.term,
    preVote,
    granted: true,
  });
}

/** An answer of this term, or a granted pre-vote for a later one. */
export function onVoteResponse(state: RaftState, response: VoteResponse): void {
  const { from, preVote, granted } = response;
  if (preVote) {
    if (state.role !== 'preCandidate') return;
    // A grant names the term asked for. One for another term answers an earlier pre-vote.
    if (granted && response.term !== state.term + 1) return;
  } else if (state.role !== 'candidate') {
    return;
  }
  // A grant stands; a refusal may be followed by a grant, when the request came twice and the leader fell silent in between.
  if (granted || !state.votes.has(from)) state.votes.set(from, granted);
  conclude(state);
}

/** The leader wants this node to take over: no pre-vote, and voters are told not to refuse because they hear a leader. */
export function onTimeoutNow(state: RaftState, message: TimeoutNow): void {
  invariant(message.term === state.term, 'TimeoutNow of another term');
  if (state.role === 'leader' || !state.promotable || state.diskStalled) return;
  // The leader has given up its lease for this: the promise not to vote is returned.
  state.ticksSinceLeader = Infinity;
  startElection(state, true);
}
