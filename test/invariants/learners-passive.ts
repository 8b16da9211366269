/**
 * Who does not count does not stand (thesis §4.2.1): a node that is a voter in neither half of its own configuration never
 * campaigns, leads no longer than it takes to hand over and takes no proposals meanwhile, and leadership is not handed to it.
 *
 * While it does not know its newest configuration to be committed, the one before says whether it may stand (thesis §4.2.2 and
 * figure 4.6): it may be the only one that has the entry. A learner may vote when asked: it may have been promoted without
 * knowing (etcd#10998).
 */
import type { Configuration, NodeId } from '../../src/raft/types.ts';
import { fail } from './world.ts';
import type { Invariant, NodeView } from './world.ts';

function votes({ voters, votersOutgoing }: Configuration, id: NodeId): boolean {
  return voters.includes(id) || votersOutgoing.includes(id);
}

function mayStand({ id, status, log }: NodeView): boolean {
  const { configuration, configurationIndex, configurationCommitted } = status;
  if (votes(configuration, id)) return true;
  if (configurationCommitted) return false;
  const before = log.configurations.findLast(({ index }) => index < configurationIndex);
  return before !== undefined && votes(before.configuration, id);
}

export function learnersPassive(): Invariant {
  const name = 'learners are passive';
  /** Leaders that were seen to lead when they still counted, or might have. */
  const reigns = new Map<NodeId, string>();
  return {
    name,
    check(node) {
      const { role, term } = node.status;
      if (role === 'follower') return;
      const reign = `${node.starts}:${term}`;
      if (mayStand(node)) {
        if (role === 'leader') reigns.set(node.id, reign);
      } else if (role !== 'leader') {
        fail(name, `${node.id} is no voter and campaigns`);
      } else if (reigns.get(node.id) !== reign) {
        fail(name, `${node.id} is no voter and was elected`);
      }
    },
    observe(event) {
      const { node } = event;
      if (event.type === 'accepted' && !mayStand(node)) {
        fail(name, `${node.id} is no voter, which is committed, and accepts ${event.firstIndex}`);
      }
      if (event.type !== 'sent' || event.message.type !== 'TimeoutNow') return;
      const { to } = event.message;
      // Not to one on its way out either.
      if (!node.status.configuration.voters.includes(to)) {
        fail(name, `${node.id} hands leadership to ${to}, which is no voter`);
      }
    },
  };
}
