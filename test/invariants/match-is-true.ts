/**
 * `matchIndex`: index of highest log entry known to be replicated on a server (Raft, figure 2). What a leader believes to
 * be stored on a follower is stored there, synced, and is the same entry.
 */
import type { NodeId } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function matchIsTrue(): Invariant {
  const name = 'match is true';
  return {
    name,
    check(node, world) {
      if (node.status.role !== 'leader') return;
      // A deposed leader that does not know it yet may believe in what has been overwritten since.
      const newest = Math.max(...world.nodes.map((other) => other.durable.hardState.term));
      if (newest > node.status.term) return;
      for (const { id, match } of node.status.progress) verify(node.id, id, match);

      function verify(leader: NodeId, id: NodeId, match: number): void {
        if (match === 0) return;
        const { durable } = world.node(id);
        if (durable.firstIndex() > match) return;
        const own = node.log.term(match);
        const theirs = durable.term(match);
        if (own !== undefined && own !== theirs) {
          fail(name, `${leader} believes that ${id} has ${own}/${match}, there is ${theirs ?? 'nothing'}`);
        }
      }
    },
  };
}
