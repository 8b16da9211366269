/**
 * Changing the configuration, the leader's part (thesis chapter 4). What every node does with a configuration that it finds in
 * its log is in configuration.ts: use it as of the moment it is appended, and the one before when it is cut off.
 *
 * A change that touches the voters is two entries: C_old,new, proposed; and C_new, which the leader appends by itself once
 * C_old,new is committed. Whoever leads does that, in whatever state it found the change: nothing about it is kept but the log
 * (trap 1: etcd#12136, #12582, #14538). A configuration that is joint is left, one that is not is not, hence exactly once.
 */
import { invariant } from '../errors.ts';
import { changed, isJoint, left } from './change.ts';
import { encodeConfiguration, isVoter } from './configuration.ts';
import { advanceCommit, transferLeadership } from './leader.ts';
import type { Leadership } from './leadership.ts';
import type { RaftState } from './state.ts';
import type { ConfigRefusal, ConfigurationChange, ProposeConfigResult } from './types.ts';

export function proposeConfig(state: RaftState, change: ConfigurationChange): ProposeConfigResult {
  const { leadership, configuration, term } = state;
  if (leadership === null) return { status: 'notLeader', leader: state.leader };
  if (leadership.transferTo !== null) return refused('transferring');
  if (isJoint(configuration) || !state.configurationCommitted) return refused('changePending');
  // Without this the single-server algorithm (§4.1) loses its quorums' meeting (Ongaro on raft-dev, 10 July 2015; redpanda#17675). Those of
  // joint configurations meet all the same; but who has committed nothing yet may have been replaced, and begins nothing.
  if (!leadership.committedInTerm) return refused('termNotCommitted');
  const next = changed(configuration, change);
  if (typeof next === 'string') return refused(next);
  const data = encodeConfiguration(next);
  if (sameBytes(data, encodeConfiguration(configuration))) return { status: 'unchanged' };
  if (!leadership.uncommitted.fits(data.length, false)) return refused('uncommittedBytes');
  return { status: 'accepted', index: appendConfiguration(state, leadership, data), term, joint: isJoint(next) };
}

function refused(reason: ConfigRefusal): ProposeConfigResult {
  return { status: 'refused', reason };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** In force as of now: everything that is counted over the members is counted anew. */
function appendConfiguration(state: RaftState, leadership: Leadership, data: Uint8Array): number {
  // So nobody who is about to take over can stop being a voter.
  invariant(leadership.transferTo === null, 'The configuration changes while leadership is handed over');
  const index = state.log.lastIndex + 1;
  state.append([{ index, term: state.term, kind: 'config', data }]);
  leadership.uncommitted.add(index, data.length);
  leadership.appendsDue = true;
  leadership.follow(state.configuration, index);
  // Who has just begun to count cannot have been heard yet: check-quorum begins anew. It cannot be put off for ever by this, since no
  // change begins before a quorum has committed the one before.
  leadership.quorumSinceTick = state.ticks;
  // A round at once: who is new hears who leads, and reads are counted by the new quorum when it leaves.
  leadership.heartbeatDue = true;
  return index;
}

/** More may be on the disks of a quorum than is committed; and what becomes committed may be what a change waits for. */
export function advance(state: RaftState, leadership: Leadership): void {
  if (!advanceCommit(state, leadership)) return;
  // C_new needs one majority where C_old,new needed two: it may commit more, at once.
  if (leaveJoint(state, leadership)) advanceCommit(state, leadership);
  retire(state, leadership);
}

/** Appends C_new. Not while somebody takes over: the log would grow before its eyes; it does this itself, or the tick does. */
function leaveJoint(state: RaftState, leadership: Leadership): boolean {
  const { configuration } = state;
  if (!isJoint(configuration) || !configuration.autoLeave) return false;
  if (!state.configurationCommitted || !leadership.committedInTerm || leadership.transferTo !== null) return false;
  // Never refused: what the limit on uncommitted bytes is for is what clients send.
  appendConfiguration(state, leadership, encodeConfiguration(left(configuration)));
  return true;
}

/**
 * A leader that is no voter any more leads until C_new is committed, without counting itself, since those of C_new that lack the
 * entry could not elect anybody else yet (thesis §4.2.2). Then it lets the best of them take over, as in any transfer; when
 * that takes an election time-out, it steps down and leaves it to theirs.
 */
function retire(state: RaftState, leadership: Leadership): void {
  if (isVoter(state.configuration, state.id) || !state.configurationCommitted) return;
  if (!leadership.retiring) {
    leadership.retiring = true;
    if (transferLeadership(state, null)) return;
  }
  if (leadership.transferTo === null) state.becomeFollower(state.term, null);
}

export function tickReconfiguration(state: RaftState, leadership: Leadership): void {
  leadership.partWith(state.commit, state.ticks);
  if (leaveJoint(state, leadership)) advance(state, leadership);
  retire(state, leadership);
}
