/** Elections, terms and quorums of the Raft core. Traps are those of docs/raft.md's list of what bit others. */
import { inRoom } from '../types.ts';

const ELECTION = 'src/raft/election.ts';
const QUORUM = 'src/raft/quorum.ts';
const RAFT = 'src/raft/raft.ts';
const STATE = 'src/raft/state.ts';
const LEADER = 'src/raft/leader.ts';
const LOG = 'src/raft/log.ts';
const READY = 'src/raft/ready.ts';

export const elections = inRoom('raft', [
  {
    name: 'vote-twice',
    file: ELECTION,
    about: 'One vote a term, first come, first served (Raft §5.2). The assertion behind it is taken out too.',
    find: '(state.vote === null && state.leader === null) ||',
    replace: 'state.leader === null ||',
    also: [
      {
        file: ELECTION,
        find: 'invariant(state.vote === null || state.vote === to, `A second vote in term ${state.term}`);',
        replace: '',
      },
    ],
  },
  {
    name: 'vote-answered-before-disk',
    file: ELECTION,
    about: 'A granted vote leaves only when it is on disk (Raft figure 2, persistent state).',
    find: "state.sendAfterPersist({\n    type: 'VoteResponse',",
    replace: "state.messages.push({\n    type: 'VoteResponse',",
  },
  {
    name: 'vote-not-stored',
    file: READY,
    about: 'votedFor is part of the persistent state (Raft figure 2).',
    find: '    return hardState;\n',
    replace: '    return { ...hardState, vote: null };\n',
  },
  {
    name: 'vote-not-synced',
    file: READY,
    about: 'A new term or vote needs an fsync, not just a write (a disk that drops what was not synced).',
    find: 'entries.length > 0 || state.snapshot !== null || state.term !== this.#term || state.vote !== this.#vote;',
    replace: 'entries.length > 0 || state.snapshot !== null;',
  },
  {
    name: 'own-vote-before-disk',
    file: ELECTION,
    about:
      'A candidate counts its own vote once it is on disk: a single node does not lead before its sync (etcd#14370).',
    find: 'if (state.writes.term !== state.term || state.writes.vote !== state.id) return;',
    replace: '',
    also: [
      {
        file: LEADER,
        find: 'invariant(state.writes.term === state.term, `Leader of term ${state.term} before it is on disk`);',
        replace: '',
      },
    ],
  },
  {
    name: 'voter-looks-at-length-only',
    file: LOG,
    about: 'Up to date means: the later last term first, the longer log second (Raft §5.4.1).',
    find: 'return term > this.#lastTerm || (term === this.#lastTerm && index >= this.#lastIndex);',
    replace: 'return index >= this.#lastIndex;',
  },
  {
    name: 'voter-looks-at-term-only',
    file: LOG,
    about: 'With equal last terms the longer log is more up to date (Raft §5.4.1).',
    find: '(term === this.#lastTerm && index >= this.#lastIndex)',
    replace: 'term === this.#lastTerm',
  },
  {
    name: 'term-not-raised',
    file: ELECTION,
    about: 'To begin an election a node increments its current term (Raft §5.2).',
    find: '  state.term++;\n  state.vote = state.id;',
    replace: '  state.vote = state.id;',
  },
  {
    name: 'higher-term-in-answers-ignored',
    file: RAFT,
    about: 'A leader that sees a higher term in an answer reverts to follower (Raft §5.1).',
    find: 'default:\n      state.becomeFollower(message.term, null);\n      return true;',
    replace: 'default:\n      return true;',
  },
  {
    name: 'pre-vote-raises-term',
    file: RAFT,
    about: 'A pre-vote asks about a term that nobody is in yet: it changes no term (thesis §9.6).',
    find: 'if (!message.preVote) state.becomeFollower(message.term, null);',
    replace: 'state.becomeFollower(message.term, null);',
  },
  {
    name: 'no-pre-vote',
    file: ELECTION,
    about:
      'A node that was cut off asks before it raises its term, or it deposes a healthy leader when it returns (thesis §9.6).',
    find: 'if (state.promotable && !state.diskStalled) startPreVote(state);\n  // Not a voter',
    replace: 'if (state.promotable && !state.diskStalled) startElection(state, false);\n  // Not a voter',
  },
  {
    name: 'vote-although-leader-is-heard',
    file: RAFT,
    about: 'Who hears a leader grants no vote and takes no term from a candidate (thesis §4.2.3).',
    find: 'if (!message.transfer && state.hearsLeader) {',
    replace: 'if (!message.transfer && state.hearsLeader && message.preVote) {',
  },
  {
    name: 'leads-without-quorum',
    file: LEADER,
    about: 'Check-quorum: a leader that no majority answers steps down (thesis §6.2).',
    find: 'if (state.ticks - Math.max(heard, leadership.quorumSinceTick) >= electionTicks) {',
    replace: 'if (heard === Infinity) {',
  },
  {
    name: 'leads-on-a-frozen-disk',
    file: LEADER,
    about: 'A leader whose disk stands still gives up its leadership (trap 10, hashicorp/raft#503).',
    find: 'if (state.diskStalled) {\n    // It can still send',
    replace: 'if (state.diskStalled && state.options.electionTicks < 0) {\n    // It can still send',
  },
  {
    name: 'learner-counts-for-commit',
    file: QUORUM,
    about: 'Learners never count (thesis §4.2.1).',
    find: 'const incoming = majorityIndex(configuration.voters, valueOf);',
    replace: 'const incoming = majorityIndex([...configuration.voters, ...configuration.learners], valueOf);',
  },
  {
    name: 'learner-campaigns',
    file: STATE,
    about: 'Only a voter of the configuration in force asks for votes (thesis §4.2.1, etcd#10998).',
    find: 'return this.#mayBeNeeded && this.log.persisted >= this.log.firstIndex - 1;',
    replace: 'return this.log.persisted >= this.log.firstIndex - 1;',
  },
  {
    name: 'joint-commit-by-one-half',
    file: QUORUM,
    about: 'While a configuration is joint, both majorities must have an entry (Raft §6).',
    find: 'return Math.min(incoming, majorityIndex(configuration.votersOutgoing, valueOf));',
    replace: 'return incoming;',
  },
  {
    name: 'joint-vote-by-one-half',
    file: QUORUM,
    about: 'While a configuration is joint, both majorities must vote for a leader (Raft §6).',
    find: "return outgoing === 'won' ? incoming : outgoing;",
    replace: 'return incoming;',
  },
  {
    name: 'half-commits',
    file: QUORUM,
    about: 'A majority is more than half: two of four are none.',
    find: 'return scratch[count >> 1]!;',
    replace: 'return scratch[(count - 1) >> 1]!;',
  },
  {
    name: 'half-elects',
    file: QUORUM,
    about: 'A majority is more than half: two votes of four elect nobody.',
    find: 'const needed = (voters.length >> 1) + 1;',
    replace: 'const needed = (voters.length + 1) >> 1;',
  },
  {
    name: 'transfer-to-lagging-follower',
    file: LEADER,
    about: 'TimeoutNow leaves once the successor has the whole log (thesis §3.10).',
    find: 'if (to === null || leadership.progress.get(to)?.match !== state.log.lastIndex) return;',
    replace: 'if (to === null) return;',
  },
]);
