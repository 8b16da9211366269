/**
 * Election Safety: at most one leader can be elected in a given term (Raft, figure 3 and §5.2).
 * A leader shows by its role and by what only a leader may send.
 */
import type { NodeId } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

const LEADERS_WORDS = new Set(['Append', 'Heartbeat', 'TimeoutNow']);

export function electionSafety(): Invariant {
  const name = 'election safety';
  const leaders = new Map<number, NodeId>();

  function claim(term: number, id: NodeId): void {
    const other = leaders.get(term);
    if (other === undefined) leaders.set(term, id);
    else if (other !== id) fail(name, `${other} and ${id} both lead in term ${term}`);
  }

  return {
    name,
    check(node) {
      if (node.status.role === 'leader') claim(node.status.term, node.id);
    },
    observe(event) {
      if (event.type === 'sent' && LEADERS_WORDS.has(event.message.type)) claim(event.message.term, event.node.id);
    },
  };
}
