/**
 * What only grows: the current term (Raft §5.1, over restarts too), the commit index while a process lives (figure 2), and
 * the applied index. Always applied ≤ commit ≤ last index, and nothing applied is ever un-committed by a restart.
 */
import type { Message, NodeId } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

interface Seen {
  starts: number;
  term: number;
  commit: number;
  applied: number;
}

/** Whether others build on this message's term having been reached by its sender for good. */
function binds(message: Message): boolean {
  if (message.type === 'VoteRequest') return !message.preVote;
  if (message.type === 'VoteResponse') return message.granted && !message.preVote;
  if (message.type === 'AppendResponse') return !message.rejected;
  return message.type === 'Append' || message.type === 'Heartbeat';
}

export function monotonic(): Invariant {
  const name = 'monotonic commit';
  const seen = new Map<NodeId, Seen>();
  /** Terms that a node has spoken in: it can never be found in an earlier one. */
  const spoken = new Map<NodeId, number>();
  return {
    name,
    observe(event) {
      if (event.type === 'sent' && binds(event.message)) {
        spoken.set(event.node.id, Math.max(spoken.get(event.node.id) ?? 0, event.message.term));
      }
    },
    check(node) {
      const { term, commit, applied, lastIndex, firstIndex, persistedIndex } = node.status;
      if (applied > commit) fail(name, `${node.id} applied ${applied} beyond commit ${commit}`);
      if (commit > lastIndex) fail(name, `${node.id} has commit ${commit} beyond its last index ${lastIndex}`);
      if (firstIndex > lastIndex + 1) fail(name, `${node.id} has first index ${firstIndex}, last index ${lastIndex}`);
      if (persistedIndex > lastIndex) fail(name, `${node.id} has persisted ${persistedIndex} of ${lastIndex}`);
      if (term < (spoken.get(node.id) ?? 0)) fail(name, `${node.id} is in term ${term} and spoke in a later one`);
      const before = seen.get(node.id);
      if (before !== undefined) {
        if (before.starts === node.starts) {
          if (term < before.term) fail(name, `${node.id} went from term ${before.term} back to ${term}`);
          if (commit < before.commit) fail(name, `${node.id} went from commit ${before.commit} back to ${commit}`);
          if (applied < before.applied) fail(name, `${node.id} went from applied ${before.applied} back to ${applied}`);
        }
        Object.assign(before, { starts: node.starts, term, commit, applied });
      } else {
        seen.set(node.id, { starts: node.starts, term, commit, applied });
      }
      if (commit < node.durable.applied.index) fail(name, `${node.id} has commit ${commit} below its flushed state`);
    },
  };
}
