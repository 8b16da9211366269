/** Linearizable reads of the Raft core (thesis §6.4). */
import { inRoom } from '../types.ts';

const LEADER = 'src/raft/leader.ts';
const READ_INDEX = 'src/raft/read-index.ts';

export const reads = inRoom('raft', [
  {
    name: 'read-without-a-round',
    file: LEADER,
    about: 'A leader confirms by a round of heartbeats that it still leads before it answers a read (thesis §6.4).',
    find: 'if (holdsLease(state, leadership)) answerRead(state, read, state.commit);',
    replace: 'if (leadership.committedInTerm) answerRead(state, read, state.commit);',
  },
  {
    name: 'read-joins-a-round-already-sent',
    file: READ_INDEX,
    about: 'The answers to a round that left before the read may be older than it.',
    find: '    this.#waiting.push(read);\n',
    replace: `    if (this.#rounds.length > 0) (this.#rounds[0]!.reads as PendingRead[]).push(read);
    else this.#waiting.push(read);
`,
  },
  {
    name: 'old-heartbeat-answers-count',
    file: LEADER,
    about: 'An answer confirms the round that it answers, not a newer one (raft#397; trap 5).',
    find: 'progress.ackedRound = response.round;',
    replace: 'progress.ackedRound = state.round;',
  },
  {
    name: 'read-before-first-commit',
    file: LEADER,
    about:
      'Until an entry of its own term is committed a leader does not know the commit index (thesis §6.4; etcd#7331).',
    find: 'if (leadership.committedInTerm) leadership.reads.attach(round, state.commit);',
    replace: 'leadership.reads.attach(round, state.commit);',
  },
  {
    name: 'stale-heartbeat-answer-echoes-its-round',
    file: 'src/raft/raft.ts',
    about:
      'Who answers an old leader names no round: that node may lead this very term by then, counting from the start again.',
    find: 'from: id, to, term, round: 0 });',
    replace: 'from: id, to, term, round: message.round });',
    also: [
      {
        file: LEADER,
        find: 'invariant(false, `Node ${response.from} answered round ${response.round} before it was sent`);',
        replace: '',
      },
    ],
  },
  {
    name: 'read-answer-of-an-earlier-process',
    file: 'src/raft/follower.ts',
    about: 'An answer from before a restart carries another boot epoch and answers nothing.',
    find: 'if (message.bootEpoch !== state.options.bootEpoch || message.from !== state.leader) return;',
    replace: 'if (message.from !== state.leader) return;',
  },
  {
    name: 'reads-kept-over-leader-change',
    file: 'src/raft/state.ts',
    about: 'Reads that were asked of a leader are refused when it is one no more, and asked again.',
    find: '    for (const token of this.followerReads.drain()) this.readStates.push({ token, index: null });\n',
    replace: '',
  },
  {
    name: 'deposed-leader-forgets-its-reads',
    file: 'src/raft/state.ts',
    about: 'Every read ends: a leader that steps down refuses those it had.',
    find: '    for (const read of leadership.reads.drain()) this.refuseRead(read.from, read.bootEpoch, read.token);\n',
    replace: '',
  },
  {
    name: 'lease-outlives-transfer',
    file: LEADER,
    about: 'A leader that has sent TimeoutNow holds no lease any more (thesis §6.4.1).',
    find: 'leadership.leaseForfeited || ',
    replace: '',
  },
  {
    name: 'lease-without-margin',
    file: LEADER,
    about: 'A lease ends before the others may vote, clocks being what they are (thesis §6.4.1).',
    find: 'Math.max(0, electionTicks - LEASE_MARGIN_TICKS) * (tickMs ?? 0) * LEASE_CLOCK_MARGIN;',
    replace: '2 * electionTicks * (tickMs ?? 0);',
  },
]);
