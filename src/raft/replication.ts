/**
 * The leader's Appends: what to send to whom, and what the answers mean (Raft §5.3; flow control as in etcd-io/raft).
 */
import { invariant } from '../errors.ts';
import { tryTransfer } from './leader.ts';
import type { Leadership } from './leadership.ts';
import type { Progress } from './progress.ts';
import { advance } from './reconfiguration.ts';
import type { RaftState } from './state.ts';
import type { Append, AppendResponse, Entry, NodeId } from './types.ts';

const NO_ENTRIES: readonly Entry[] = [];

/**
 * When there is nothing to send but a new commit index, an idle follower hears it at once, in an empty Append. Under load the
 * next entries carry it anyway, so no more than this many are sent to a follower in one tick; the tick makes up for the rest.
 */
const MAX_COMMIT_NOTICES_PER_TICK = 2;

function wantsAppend(state: RaftState, progress: Progress): boolean {
  if (progress.state === 'snapshot') return false;
  if (progress.state === 'probe') return !progress.paused;
  if (progress.checkDue) return true;
  if (progress.next <= state.log.lastIndex) return !progress.inflights.full;
  return progress.sentCommit < state.commit && progress.commitNotices < MAX_COMMIT_NOTICES_PER_TICK;
}

export function hasAppends(state: RaftState, leadership: Leadership): boolean {
  if (!leadership.appendsDue) return false;
  for (const progress of leadership.progress.values()) if (wantsAppend(state, progress)) return true;
  leadership.appendsDue = false;
  return false;
}

/** Called when a Ready is made: what was proposed in one turn leaves in one Append. */
export function buildAppends(state: RaftState, leadership: Leadership): void {
  if (!leadership.appendsDue) return;
  leadership.appendsDue = false;
  let shared = NO_ENTRIES;
  for (const progress of leadership.progress.values()) {
    // Each turn of the loop moves `next`, fills the window, pauses the probe or uses up a notice.
    while (wantsAppend(state, progress)) shared = sendAppend(state, progress, shared);
  }
}

/** `shared`: the entries last sent. Followers in step get the same array, which is encoded once. */
function sendAppend(state: RaftState, progress: Progress, shared: readonly Entry[]): readonly Entry[] {
  const { log, options } = state;
  const prevIndex = progress.next - 1;
  const prevTerm = log.term(prevIndex);
  if (prevTerm === undefined) {
    requestSnapshot(state, progress);
    return shared;
  }
  let entries = NO_ENTRIES;
  if (progress.next <= log.lastIndex && !progress.inflights.full) {
    if (shared.length > 0 && shared[0]!.index === progress.next) entries = shared;
    else entries = log.slice(progress.next, log.lastIndex + 1, options.maxAppendBytes);
    if (entries.length === 0) {
      requestSnapshot(state, progress);
      return shared;
    }
  }
  const append: Append = {
    type: 'Append',
    group: options.group,
    from: state.id,
    to: progress.id,
    term: state.term,
    prevIndex,
    prevTerm,
    commit: state.commit,
    entries,
  };
  state.send(append);
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.length;
  if (entries.length === 0 && progress.state === 'replicate') progress.commitNotices++;
  progress.sentCommit = state.commit;
  progress.sent(entries.length, prevIndex + entries.length, bytes, state.ticks);
  return entries.length === 0 ? shared : entries;
}

/** What the follower needs is compacted. To one that is not there nothing is streamed: it is asked again when it speaks. */
function requestSnapshot(state: RaftState, progress: Progress): void {
  if (state.ticks - progress.heardTick < state.options.electionTicks) {
    progress.becomeSnapshot();
    state.snapshotRequests.push({ to: progress.id, term: state.term });
    return;
  }
  progress.becomeProbe();
  progress.paused = true;
  progress.awaitingTick = state.ticks;
}

export function onAppendResponse(state: RaftState, leadership: Leadership, response: AppendResponse): void {
  const progress = leadership.progress.get(response.from);
  if (progress === undefined) return;
  progress.heardTick = state.ticks;
  leadership.appendsDue = true;
  if (response.rejected) {
    progress.backTo(response.index, guessMatch(state, response));
    return;
  }
  if (response.index > state.log.lastIndex) {
    invariant(false, `Node ${progress.id} has entry ${response.index}, its leader only ${state.log.lastIndex}`);
  }
  const advanced = progress.advanceTo(response.index);
  if (advanced) progress.awaitingTick = state.ticks;
  if (progress.state === 'replicate') {
    progress.inflights.freeTo(response.index);
  } else if (progress.state === 'probe') {
    // An answer that tells nothing new still ends the probing, since the logs meet at `match`; unless what comes next there is
    // compacted, and this is a late answer while a snapshot is being taken in.
    const meets = response.index === progress.match && progress.match + 1 >= state.log.firstIndex;
    if (advanced || meets) progress.becomeReplicate();
  } else if (advanced && progress.match + 1 >= state.log.firstIndex) {
    // The log reaches the follower again, whatever became of the stream.
    progress.becomeReplicate();
  }
  if (!advanced) return;
  tryTransferTo(state, leadership, progress.id);
  advance(state, leadership);
}

function tryTransferTo(state: RaftState, leadership: Leadership, id: NodeId): void {
  if (leadership.transferTo === id) tryTransfer(state, leadership);
}

/**
 * Where the logs could still match: the follower offers its last entry of a term not above that of the refused one; ours with
 * a higher term than its offer cannot be in its log. Both steps skip a whole term at once (§5.3, end; etcd `findConflictByTerm`).
 */
function guessMatch(state: RaftState, response: AppendResponse): number {
  const { log } = state;
  const lowest = log.firstIndex - 1;
  const highest = Math.min(response.hintIndex, log.lastIndex);
  if (highest < lowest || response.hintTerm === 0) return highest;
  return log.lastIndexUpToTerm(lowest, highest, response.hintTerm);
}

/** The link dropped frames: what was sent ahead may be lost. A probe is out already, or is left to the next heartbeat. */
export function onPeerUnreachable(leadership: Leadership, id: NodeId): void {
  const progress = leadership.progress.get(id);
  if (progress === undefined || progress.state !== 'replicate') return;
  progress.becomeProbe();
  leadership.appendsDue = true;
}

export function onSnapshotSent(state: RaftState, leadership: Leadership, to: NodeId, index: number, ok: boolean): void {
  const progress = leadership.progress.get(to);
  if (progress === undefined || progress.state !== 'snapshot') return;
  invariant(!ok || index <= state.log.lastIndex, `A snapshot at ${index} is beyond the log, ${state.log.lastIndex}`);
  progress.snapshotEnded(index, ok);
  progress.awaitingTick = state.ticks;
}
