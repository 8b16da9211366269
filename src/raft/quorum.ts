/**
 * Who has to agree: the majority of a set of voters, and of both sets while a configuration is joint
 * (Raft thesis §4.3). Learners never count.
 */
import type { Configuration, NodeId } from './types.ts';

/** Numbers are sorted in here instead of a fresh array: this runs for every acknowledgement. */
const scratch: number[] = [];

/** The largest number that a majority of `voters` has reached; Infinity for no voters, as the neutral element of `min`. */
export function majorityIndex(voters: readonly NodeId[], valueOf: (id: NodeId) => number): number {
  const count = voters.length;
  if (count === 0) return Infinity;
  // Insertion sort, descending: groups have three to nine voters.
  for (let i = 0; i < count; i++) {
    const value = valueOf(voters[i]!);
    let at = i;
    while (at > 0 && scratch[at - 1]! < value) {
      scratch[at] = scratch[at - 1]!;
      at--;
    }
    scratch[at] = value;
  }
  // Of 5 values in descending order the third is reached by three.
  return scratch[count >> 1]!;
}

/**
 * The largest number that a quorum has reached: a match index that may commit, a heartbeat round that confirms, a tick by
 * which a quorum was heard. `none` (the value of somebody who never answered) for a configuration without voters.
 */
export function quorumIndex(configuration: Configuration, valueOf: (id: NodeId) => number, none = 0): number {
  if (configuration.voters.length === 0) return none;
  const incoming = majorityIndex(configuration.voters, valueOf);
  if (configuration.votersOutgoing.length === 0) return incoming;
  return Math.min(incoming, majorityIndex(configuration.votersOutgoing, valueOf));
}

export type VoteResult = 'won' | 'lost' | 'pending';

function majorityVote(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  let granted = 0;
  let open = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === undefined) open++;
    else if (vote) granted++;
  }
  const needed = (voters.length >> 1) + 1;
  if (granted >= needed) return 'won';
  return granted + open >= needed ? 'pending' : 'lost';
}

/** Where an election stands. Votes of others than voters are ignored; without voters nobody can win. */
export function voteResult(configuration: Configuration, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  const incoming = majorityVote(configuration.voters, votes);
  if (configuration.votersOutgoing.length === 0 || incoming === 'lost') return incoming;
  const outgoing = majorityVote(configuration.votersOutgoing, votes);
  return outgoing === 'won' ? incoming : outgoing;
}
