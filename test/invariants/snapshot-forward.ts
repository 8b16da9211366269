/**
 * A snapshot only moves a node forward: one that covers no more than what is committed here is ignored (Raft §7: a
 * retransmission or an old one; openraft#1828, databend#7294), and it does not bring a term from the future.
 */
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function snapshotForward(): Invariant {
  const name = 'snapshots move forward';
  return {
    name,
    observe(event, world) {
      if (event.type === 'ready' && event.ready.snapshot !== null) {
        const { node, ready } = event;
        const { index, term } = ready.snapshot ?? { index: 0, term: 0 };
        if (index <= node.applied.index) {
          fail(name, `${node.id} has applied ${node.applied.index} and switches to a snapshot at ${index}`);
        }
        if (node.status.commit < index) fail(name, `${node.id} switches to ${index}, commit is ${node.status.commit}`);
        if (term > node.status.term) fail(name, `${node.id} in term ${node.status.term} switches to one of ${term}`);
        const entry = world.committed[index];
        if (entry !== undefined && entry.term !== term) {
          fail(name, `${node.id} switches to ${term}/${index}, committed there is ${entry.term}/${index}`);
        }
      }
    },
  };
}
