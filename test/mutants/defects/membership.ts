/** Changes of the configuration in the Raft core. Traps are those of docs/raft.md's list of what bit others. */
import { inRoom } from '../types.ts';

const CHANGE = 'src/raft/change.ts';
const CONFIGURATION = 'src/raft/configuration.ts';
const LEADER = 'src/raft/leader.ts';
const LEADERSHIP = 'src/raft/leadership.ts';
const PROGRESS = 'src/raft/progress.ts';
const RAFT = 'src/raft/raft.ts';
const RECONFIGURATION = 'src/raft/reconfiguration.ts';
const STATE = 'src/raft/state.ts';

export const membership = inRoom('raft', [
  {
    name: 'joint-left-twice',
    file: RECONFIGURATION,
    about:
      'A joint configuration is left once: what decides is the newest in the log, not the committed one (etcd#12136).',
    find: `  const { configuration } = state;
  if (!isJoint(configuration) || !configuration.autoLeave) return false;
  if (!state.configurationCommitted || !leadership.committedInTerm || leadership.transferTo !== null) return false;`,
    replace: `  const configuration = state.configurations.at(state.commit);
  if (!isJoint(configuration) || !configuration.autoLeave) return false;
  if (!leadership.committedInTerm || leadership.transferTo !== null) return false;`,
  },
  {
    name: 'joint-left-by-its-proposer-only',
    file: RECONFIGURATION,
    about: 'Whoever leads leaves the joint configuration, also one that it inherited (etcd#12136, #12582).',
    find: 'if (!state.configurationCommitted || !leadership.committedInTerm || leadership.transferTo !== null) return false;',
    replace:
      'if (!state.configurationCommitted || state.configurations.currentIndex < leadership.firstIndex) return false;',
  },
  {
    name: 'joint-left-before-commit',
    file: RECONFIGURATION,
    about: 'C_new follows once C_old,new is committed (thesis §4.3).',
    find: 'if (!state.configurationCommitted || !leadership.committedInTerm || leadership.transferTo !== null) return false;',
    replace: 'if (!leadership.committedInTerm || leadership.transferTo !== null) return false;',
  },
  {
    name: 'joint-left-under-a-transfer',
    file: RECONFIGURATION,
    about: 'While somebody takes over, the log does not grow before its eyes (thesis §3.10).',
    find: 'if (!state.configurationCommitted || !leadership.committedInTerm || leadership.transferTo !== null) return false;',
    replace: 'if (!state.configurationCommitted || !leadership.committedInTerm) return false;',
  },
  {
    name: 'joint-not-left-after-a-transfer',
    file: RECONFIGURATION,
    about: 'A transfer that comes to nothing leaves no joint configuration behind.',
    find: '  if (leaveJoint(state, leadership)) advance(state, leadership);\n',
    replace: '',
  },
  {
    name: 'change-before-own-term',
    file: RECONFIGURATION,
    about: 'No change before an entry of the leader’s own term is committed (trap 3; redpanda#17675).',
    find: "  if (!leadership.committedInTerm) return refused('termNotCommitted');\n",
    replace: '',
  },
  {
    name: 'second-change-before-commit',
    file: RECONFIGURATION,
    about: 'One change at a time: the one before is committed (trap 2; thesis §4.1).',
    find: "if (isJoint(configuration) || !state.configurationCommitted) return refused('changePending');",
    replace: "if (isJoint(configuration)) return refused('changePending');",
  },
  {
    name: 'change-while-joint',
    file: RECONFIGURATION,
    about: 'One change at a time: a joint configuration is left first. The assertion behind it is taken out too.',
    find: "if (isJoint(configuration) || !state.configurationCommitted) return refused('changePending');",
    replace: "if (!state.configurationCommitted) return refused('changePending');",
    also: [
      {
        file: CHANGE,
        find: "  invariant(!isJoint(current), 'A joint configuration is left before the next change');\n",
        replace: '',
      },
    ],
  },
  {
    name: 'change-under-a-transfer',
    file: RECONFIGURATION,
    about: 'While somebody takes over nothing is proposed (thesis §3.10).',
    find: "  if (leadership.transferTo !== null) return refused('transferring');\n",
    replace: '',
  },
  {
    name: 'change-beyond-the-limit',
    file: RECONFIGURATION,
    about: 'Changes count as uncommitted bytes, as commands do (etcd#10167).',
    find: "  if (!leadership.uncommitted.fits(data.length, false)) return refused('uncommittedBytes');\n",
    replace: '',
  },
  {
    name: 'change-not-counted',
    file: RECONFIGURATION,
    about: 'Changes count as uncommitted bytes, as commands do (etcd#10167).',
    find: '  leadership.uncommitted.add(index, data.length);\n',
    replace: '',
  },
  {
    name: 'voters-change-in-one-step',
    file: CHANGE,
    about: 'Voters change through C_old,new: old and new majorities need not meet (thesis §4.3).',
    find: '  if (sameMembers(voters, current.voters)) {\n    return { voters: current.voters,',
    replace: '  if (voters.length > 0) {\n    return { voters,',
  },
  {
    name: 'old-voters-forgotten',
    file: CHANGE,
    about: 'C_old,new counts all of the old voters, not those that stay (thesis §4.3).',
    find: '    votersOutgoing: current.voters,\n',
    replace: '    votersOutgoing: current.voters.filter((id) => voters.includes(id)),\n',
  },
  {
    name: 'nobody-left-to-vote',
    file: CHANGE,
    about: 'A change that leaves no voter is refused.',
    find: "  if (voters.length === 0) return 'noVoters';\n",
    replace: '',
  },
  {
    name: 'demoted-at-once',
    file: CHANGE,
    about: 'A demoted voter is no learner before its voting ends (etcd, learnersNext).',
    find: `    learners: learners.filter((id) => !current.voters.includes(id)),
    learnersNext: learners.filter((id) => current.voters.includes(id)),`,
    replace: `    learners,
    learnersNext: [],`,
  },
  {
    name: 'demoted-for-good',
    file: CHANGE,
    about: 'A demoted voter goes on as a learner once the joint configuration is left.',
    find: '    learners: [...joint.learners, ...joint.learnersNext],\n',
    replace: '',
  },
  {
    name: 'context-lost-on-leaving',
    file: CHANGE,
    about: 'C_new carries the context of C_old,new: the member map.',
    find: '    ...joint,\n',
    replace: '    voters: joint.voters,\n',
  },
  {
    name: 'removed-leader-counts-itself',
    file: LEADER,
    about: 'A leader that is not in C_new does not count itself (thesis §4.2.2).',
    find: '  const index = quorumIndex(state.configuration, leadership.matchOf);\n',
    replace: `  const { configuration, id } = state;
  const counted = isVoter(configuration, id) ? configuration.voters : [...configuration.voters, id];
  const index = quorumIndex({ ...configuration, voters: counted }, leadership.matchOf);\n`,
  },
  {
    name: 'removed-leader-leads-on',
    file: RECONFIGURATION,
    about: 'A leader that is not in C_new steps down once that is committed (thesis §4.2.2).',
    find: 'if (isVoter(state.configuration, state.id) || !state.configurationCommitted) return;',
    replace: 'return;',
  },
  {
    name: 'removed-leader-leaves-too-early',
    file: RECONFIGURATION,
    about: 'A leader that is not in C_new leads until that is committed (thesis §4.2.2).',
    find: 'if (isVoter(state.configuration, state.id) || !state.configurationCommitted) return;',
    replace: 'if (isVoter(state.configuration, state.id)) return;',
  },
  {
    name: 'removed-leader-hands-over-to-nobody',
    file: RECONFIGURATION,
    about: 'A leader that removed itself hands over, so that the gap is short.',
    find: '    if (transferLeadership(state, null)) return;\n',
    replace: '',
  },
  {
    name: 'removed-leader-never-gives-up',
    file: RECONFIGURATION,
    about: 'A leader that removed itself steps down after an election time-out although nobody took over.',
    find: '  if (leadership.transferTo === null) state.becomeFollower(state.term, null);\n',
    replace: '',
  },
  {
    name: 'new-member-not-followed',
    file: LEADERSHIP,
    about: 'A new member gets the log from when its configuration is appended (thesis §4.1).',
    find: '    for (const id of ids) if (id !== this.#options.id && !this.progress.has(id)) this.#begin(id, index);\n',
    replace: '',
  },
  {
    name: 'removed-member-dropped-at-once',
    file: LEADERSHIP,
    about: 'A removed member gets the log until it knows that it was removed.',
    find: '      else if (progress.removedIndex === 0) progress.removedIndex = index;\n',
    replace: '      else this.progress.delete(progress.id);\n',
  },
  {
    name: 'removed-member-followed-for-ever',
    file: PROGRESS,
    about: 'A removed member that does not answer is given up, a bounded time after the commit.',
    find: 'return this.ackedRound >= this.#farewellRound || tick >= this.#farewellEnds;',
    replace: 'return this.ackedRound >= this.#farewellRound;',
  },
  {
    name: 'removed-member-not-heard',
    file: PROGRESS,
    about: 'A removed member that knows it gets nothing any more.',
    find: 'return this.ackedRound >= this.#farewellRound || tick >= this.#farewellEnds;',
    replace: 'return tick >= this.#farewellEnds;',
  },
  {
    name: 'removed-member-told-too-early',
    file: PROGRESS,
    about: 'A removed member is told what removed it is committed, not only sent the entry.',
    find: 'if (this.removedIndex === 0 || commit < this.removedIndex) return;\n',
    replace: 'if (this.removedIndex === 0) return;\n',
  },
  {
    name: 'removed-member-not-told-by-the-next-leader',
    file: LEADER,
    about: 'The next leader tells a removed member what the one before could not.',
    find: '  if (previous !== null) state.leadership.followRemoved(members(previous), currentIndex);\n',
    replace: '',
  },
  {
    name: 'member-again-still-removed',
    file: LEADERSHIP,
    about: 'Who is added again, before the leader has parted with it, is a member.',
    find: '      if (ids.has(progress.id)) progress.joined();\n      else if',
    replace: '      if',
    also: [
      {
        file: LEADERSHIP,
        find: '(progress.removedIndex === 0) progress.removedIndex = index;',
        replace: '(!ids.has(progress.id) && progress.removedIndex === 0) progress.removedIndex = index;',
      },
    ],
  },
  {
    name: 'new-voters-held-against-the-leader',
    file: RECONFIGURATION,
    about: 'Check-quorum begins anew with a change: who has just begun to count cannot have been heard.',
    find: '  leadership.quorumSinceTick = state.ticks;\n',
    replace: '',
  },
  {
    name: 'smaller-quorum-not-counted',
    file: RECONFIGURATION,
    about: 'C_new may commit at once what C_old,new did not.',
    find: '  if (leaveJoint(state, leadership)) advanceCommit(state, leadership);\n',
    replace: '  leaveJoint(state, leadership);\n',
  },
  {
    name: 'reads-not-counted-anew',
    file: RECONFIGURATION,
    about: 'Reads that C_new confirms are released when it comes into force.',
    find: '  leadership.heartbeatDue = true;\n  return index;',
    replace: '  return index;',
  },
  {
    name: 'one-outside-never-stands',
    file: STATE,
    about: 'A node that its newest, uncommitted entry takes out still stands for election (thesis §4.2.2, figure 4.6).',
    find: 'return !this.configurationCommitted && previous !== null && isVoter(previous, this.id);',
    replace: 'return false;',
  },
  {
    name: 'one-outside-stands-for-ever',
    file: STATE,
    about: 'A node that knows that it was removed does not stand for election (thesis §4.2.3).',
    find: 'return !this.configurationCommitted && previous !== null && isVoter(previous, this.id);',
    replace: 'return previous !== null && isVoter(previous, this.id);',
  },
  {
    name: 'transfer-to-one-on-its-way-out',
    file: LEADER,
    about: 'Leadership goes to a voter that stays one (trap 4; consul#7031).',
    find: 'if (successor === null || successor === state.id || !state.configuration.voters.includes(successor)) return false;',
    replace:
      'if (successor === null || successor === state.id || !isVoter(state.configuration, successor)) return false;',
  },
  {
    name: 'transfer-to-anybody',
    file: LEADER,
    about: 'Leadership goes to a voter (trap 4; consul#7031).',
    find: 'if (successor === null || successor === state.id || !state.configuration.voters.includes(successor)) return false;',
    replace: 'if (successor === null || successor === state.id) return false;',
  },
  {
    name: 'truncation-keeps-the-configuration',
    file: STATE,
    about: 'A configuration whose entry is cut off is taken back (trap 2; raft#80).',
    find: '    this.configurations.truncate(from);\n',
    replace: '',
    also: [
      // Or the next configuration at that index would be refused.
      {
        file: CONFIGURATION,
        find: `    invariant(
      entry.index > this.currentIndex,
      \`Configuration at \${entry.index} is not newer than \${this.currentIndex}\`,
    );\n`,
        replace: '',
      },
    ],
  },
  {
    name: 'configuration-counts-when-committed',
    file: STATE,
    about: 'A configuration is in force when it is appended, not when it is committed (thesis §4.1; etcd#12359).',
    find: '    return this.configurations.current;\n',
    replace: '    return this.configurations.at(this.commit);\n',
  },
  {
    name: 'snapshot-keeps-the-configuration',
    file: 'src/raft/follower.ts',
    about: 'A snapshot brings the configuration that is in force at its index (trap 4; etcd#10864).',
    find: '  state.configurations.reset(index, configuration);\n',
    replace: '  state.configurations.reset(index, state.configuration);\n',
  },
  {
    name: 'status-forgets-the-commit',
    file: RAFT,
    about: 'The shell is told whether the newest configuration is committed.',
    find: '      configurationCommitted,\n',
    replace: '      configurationCommitted: true,\n',
  },
]);
