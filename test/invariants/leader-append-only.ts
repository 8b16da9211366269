/**
 * Leader Append-Only: a leader never overwrites or deletes entries in its log; it only appends (Raft, figure 3 and §5.3).
 */
import type { NodeId } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

interface Reign {
  readonly term: number;
  readonly starts: number;
  last: number;
}

export function leaderAppendOnly(): Invariant {
  const name = 'leader append-only';
  const reigns = new Map<NodeId, Reign>();
  return {
    name,
    observe(event) {
      if (event.type !== 'ready' || !event.node.up) return;
      const { node, ready } = event;
      const { role, term } = node.status;
      if (role !== 'leader') {
        reigns.delete(node.id);
        return;
      }
      let reign = reigns.get(node.id);
      if (reign !== undefined && reign.term === term && reign.starts === node.starts) {
        if (ready.snapshot !== null) fail(name, `${node.id} leads term ${term} and switches to a snapshot`);
        const first = ready.entries[0]?.index;
        if (first !== undefined && first !== reign.last + 1) {
          fail(name, `${node.id} leads term ${term}, has a log up to ${reign.last} and writes at ${first}`);
        }
      } else {
        reign = { term, starts: node.starts, last: 0 };
        reigns.set(node.id, reign);
      }
      reign.last = node.log.lastIndex();
    },
  };
}
