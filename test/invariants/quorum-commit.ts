/**
 * A leader commits an entry once it is stored on a majority, and only entries of its own term by counting (Raft §5.3,
 * §5.4.2, figure 8); in a joint configuration it takes a majority of both halves (thesis §4.3). Stored means synced.
 */
import type { NodeId } from '../../src/raft/types.ts';
import { fail, isQuorum } from './world.ts';
import type { Invariant } from './world.ts';

export function quorumCommit(): Invariant {
  const name = 'committed by a quorum';
  const before = new Map<NodeId, { starts: number; term: number; commit: number }>();
  return {
    name,
    check(node, world) {
      const { role, term, commit, configuration } = node.status;
      if (role !== 'leader') {
        before.delete(node.id);
        return;
      }
      const last = before.get(node.id);
      const sameReign = last !== undefined && last.term === term && last.starts === node.starts;
      before.set(node.id, { starts: node.starts, term, commit });
      if (!sameReign || commit === last.commit) return;
      // The entry may be in a Ready not taken yet; then nobody can have it.
      const entryTerm = node.log.term(commit);
      if (entryTerm !== term) {
        fail(name, `${node.id} commits ${commit} of term ${entryTerm ?? 'nothing'} while it leads term ${term}`);
      }
      const stored = (id: NodeId): boolean => {
        const { durable } = world.node(id);
        return durable.firstIndex() > commit || durable.term(commit) === entryTerm;
      };
      if (!isQuorum(configuration, stored)) {
        const who = world.nodes.filter((other) => stored(other.id)).map((other) => other.id);
        fail(name, `${node.id} commits ${commit}, which only ${who.join(', ') || 'nobody'} stored`);
      }
    },
  };
}
