/**
 * A learner does not count and does not stand (thesis §4.2.1): a node that is a voter in neither half of its own
 * configuration never campaigns, and leadership is not handed to it. It may still vote when asked: it may have been
 * promoted without knowing (etcd#10998).
 */
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function learnersPassive(): Invariant {
  const name = 'learners are passive';
  return {
    name,
    observe(event) {
      if (event.type !== 'sent') return;
      const { node, message } = event;
      const { voters, votersOutgoing } = node.status.configuration;
      const votes = (id: string): boolean => voters.includes(id) || votersOutgoing.includes(id);
      if (message.type === 'VoteRequest' && !votes(node.id)) fail(name, `${node.id} is no voter and campaigns`);
      if (message.type === 'TimeoutNow' && !votes(message.to)) {
        fail(name, `${node.id} hands leadership to ${message.to}, which is no voter`);
      }
    },
  };
}
