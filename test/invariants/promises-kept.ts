/**
 * "Updated on stable storage before responding to RPCs" (Raft, figure 2): when a vote or an acknowledgement leaves a node,
 * what it vouches for would survive a power cut at this very moment.
 */
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function promisesKept(): Invariant {
  const name = 'durable before promised';
  return {
    name,
    observe(event, world) {
      if (event.type !== 'sent') return;
      const { message, node } = event;
      const { hardState } = node.durable;
      if (message.type === 'VoteResponse' && message.granted && !message.preVote) {
        const kept =
          hardState.term > message.term || (hardState.term === message.term && hardState.vote === message.to);
        if (!kept)
          fail(name, `${node.id} grants ${message.to} a vote of term ${message.term} that a crash would forget`);
      } else if (message.type === 'VoteRequest' && !message.preVote) {
        // Asking for votes is voting for oneself. Were it forgotten, a restarted candidate could stand again in the same term
        // with a shorter log, and be elected by late answers that were given to the longer one.
        const kept = hardState.term > message.term || (hardState.term === message.term && hardState.vote === node.id);
        if (!kept) fail(name, `${node.id} campaigns in term ${message.term}, which a crash would forget`);
      } else if (message.type === 'AppendResponse' && !message.rejected && message.index > 0) {
        // To a leader of an earlier term it says what was so once, as a message does that was long on its way. Two writes that
        // share a batch can make it late: by then the vote or entry of a newer term is on the same disk.
        if (hardState.term > message.term) return;
        const leader = world.node(message.to);
        const durableTerm = node.durable.term(message.index);
        if (node.durable.lastIndex() < message.index) {
          fail(name, `${node.id} acknowledges ${message.index}, a crash would leave ${node.durable.lastIndex()}`);
        }
        // The leader it answers, if it still leads that term, knows what should be there.
        if (leader.up && leader.status.term === message.term && leader.status.role === 'leader') {
          const expected = leader.log.term(message.index);
          if (expected !== undefined && durableTerm !== undefined && expected !== durableTerm) {
            fail(
              name,
              `${node.id} acknowledges ${message.index} of term ${expected} to ${message.to}, on disk it is of ${durableTerm}`,
            );
          }
        }
      }
    },
  };
}
