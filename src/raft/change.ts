/**
 * From a configuration and what is to change to the next configuration: pure reckoning, without a log or a leader.
 *
 * As long as the voters stay the same, quorums do, and one entry is enough. Otherwise two: C_old,new, in which every decision
 * takes a majority of the old and one of the new voters, then C_new (thesis §4.3). It is used for a single voter too, where §4.1
 * would do without: one path for every change, and a replacement never passes through a smaller or an even cluster.
 */
import { invariant } from '../errors.ts';
import type { Configuration, ConfigRefusal, ConfigurationChange, MemberChange, NodeId } from './types.ts';

/** While it is, no other change may begin: the quorums of the next would have to meet those of both sets. */
export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

function sameMembers(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}

/** The configuration to append, or why there is none. `current` is not joint. */
export function changed(current: Configuration, change: ConfigurationChange): Configuration | ConfigRefusal {
  invariant(!isJoint(current), 'A joint configuration is left before the next change');
  const parts = new Map<NodeId, MemberChange['to']>();
  for (const { id, to } of change.changes) {
    if (parts.has(id)) return 'duplicateMember';
    const isMember = current.voters.includes(id) || current.learners.includes(id);
    if (to === 'removed' && !isMember) return 'unknownMember';
    parts.set(id, to);
  }
  // Who stays keeps its place, newcomers follow: the same change gives the same bytes.
  const these = (part: MemberChange['to'], before: readonly NodeId[]): NodeId[] => [
    ...before.filter((id) => (parts.get(id) ?? part) === part),
    ...[...parts].filter(([id, to]) => to === part && !before.includes(id)).map(([id]) => id),
  ];
  const voters = these('voter', current.voters);
  const learners = these('learner', current.learners);
  if (voters.length === 0) return 'noVoters';
  const context = change.context === undefined ? current.context : change.context;
  const rest = context === undefined ? {} : { context };
  if (sameMembers(voters, current.voters)) {
    return { voters: current.voters, votersOutgoing: [], learners, learnersNext: [], autoLeave: false, ...rest };
  }
  // A voter of the old set goes on voting until that is left, and nobody is voter and learner at once.
  return {
    voters,
    votersOutgoing: current.voters,
    learners: learners.filter((id) => !current.voters.includes(id)),
    learnersNext: learners.filter((id) => current.voters.includes(id)),
    autoLeave: true,
    ...rest,
  };
}

/** C_new: what follows the joint configuration C_old,new. */
export function left(joint: Configuration): Configuration {
  invariant(isJoint(joint), 'Only a joint configuration is left');
  return {
    ...joint,
    votersOutgoing: [],
    learners: [...joint.learners, ...joint.learnersNext],
    learnersNext: [],
    autoLeave: false,
  };
}
