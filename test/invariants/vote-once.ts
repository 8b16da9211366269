/**
 * Each server votes for at most one candidate in a given term (Raft §5.2), for ever: a restart does not give the vote back.
 * Standing for election is a vote for oneself.
 */
import { fail } from './world.ts';
import type { Invariant } from './world.ts';

export function voteOnce(): Invariant {
  const name = 'vote once';
  /** Votes that others were told of. */
  const votes = new Map<string, string>();
  /** Votes in the memory of one process: until one is on disk and told, a crash may take it back. */
  const intended = new Map<string, string>();

  function cast(map: Map<string, string>, key: string, candidate: string): void {
    const before = map.get(key);
    if (before === undefined) map.set(key, candidate);
    else if (before !== candidate) fail(name, `${key} votes for ${before} and for ${candidate}`);
  }

  return {
    name,
    observe(event) {
      if (event.type === 'sent') {
        const { message } = event;
        const key = `${message.from} in term ${message.term}`;
        if (message.type === 'VoteResponse' && message.granted && !message.preVote) cast(votes, key, message.to);
        else if (message.type === 'VoteRequest' && !message.preVote) cast(votes, key, message.from);
      } else if (event.type === 'ready') {
        const { hardState } = event.ready;
        if (hardState === null || hardState.vote === null) return;
        const key = `${event.node.id} in term ${hardState.term}`;
        cast(intended, `${key} (process ${event.node.starts})`, hardState.vote);
        const told = votes.get(key);
        if (told !== undefined && told !== hardState.vote)
          fail(name, `${key} voted for ${told}, now ${hardState.vote}`);
      }
    },
  };
}
