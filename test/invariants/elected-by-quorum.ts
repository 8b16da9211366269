/**
 * A leader was elected by a majority of the voters of its configuration, of both halves while that is joint (Raft §5.2,
 * thesis §4.3): each of them gave its vote in that very term, and its own vote is on disk.
 */
import type { NodeId } from '../../src/raft/types.ts';
import { fail, isQuorum } from './world.ts';
import type { Invariant } from './world.ts';

export function electedByQuorum(): Invariant {
  const name = 'elected by a quorum';
  /** Who voted for whom: voters by term and candidate. */
  const votes = new Map<string, Set<NodeId>>();
  const checked = new Map<NodeId, number>();
  return {
    name,
    observe(event) {
      if (event.type !== 'sent' || event.message.type !== 'VoteResponse') return;
      const { from, to, term, granted, preVote } = event.message;
      if (!granted || preVote) return;
      const key = `${term}:${to}`;
      const voters = votes.get(key) ?? new Set();
      voters.add(from);
      votes.set(key, voters);
    },
    check(node) {
      const { role, term, configuration } = node.status;
      if (role !== 'leader' || checked.get(node.id) === term) return;
      checked.set(node.id, term);
      const { hardState } = node.durable;
      const voters = new Set(votes.get(`${term}:${node.id}`));
      if (hardState.term === term && hardState.vote === node.id) voters.add(node.id);
      if (!isQuorum(configuration, (id) => voters.has(id))) {
        fail(name, `${node.id} leads term ${term} with the votes of ${[...voters].join(', ') || 'nobody'}`);
      }
    },
  };
}
