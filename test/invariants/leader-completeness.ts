/**
 * Leader Completeness: if an entry is committed in a given term, it is present in the logs of the leaders of all
 * higher-numbered terms (Raft, figure 3 and §5.4). Entries known to be committed are those that anybody has applied, and
 * the term in which that happened is at most the term of whoever applied it first. (A candidate whose own disk is slow may
 * be elected when a later term's leader has long committed more: such a leader is stale, and need not have it.)
 */
import type { NodeId } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function leaderCompleteness(): Invariant {
  const name = 'leader completeness';
  const checked = new Map<NodeId, string>();
  /** By index: the latest term in which the entry there can have been committed. */
  const committedIn: (number | undefined)[] = [];
  return {
    name,
    observe(event, world) {
      if (event.type === 'applied') committedIn[event.entry.index] ??= event.node.status.term;
      // The first Ready of a reign: the log that it was elected with, and its own first entry.
      if (event.type !== 'ready' || !event.node.up || event.node.status.role !== 'leader') return;
      const { node } = event;
      const reign = `${node.starts}:${node.status.term}`;
      if (checked.get(node.id) === reign) return;
      checked.set(node.id, reign);
      for (let index = node.log.firstIndex(); index < world.committed.length; index++) {
        const entry = world.committed[index];
        if (entry === undefined || (committedIn[index] ?? Infinity) >= node.status.term) continue;
        const term = node.log.term(index);
        if (term !== entry.term) {
          fail(
            name,
            `${node.id} leads term ${node.status.term}, but at index ${index} has term ${term ?? 'nothing'} ` +
              `where an entry of term ${entry.term} is committed`,
          );
        }
      }
    },
  };
}
