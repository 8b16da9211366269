/** The replica loop: proposals, reads and snapshots between core, machine, disk and peers. */
import { inRoom } from '../types.ts';

const REPLICA = 'src/node/replica.ts';
const PROPOSALS = 'src/node/proposals.ts';
const READS = 'src/node/reads.ts';
const SNAPSHOTS = 'src/node/snapshots.ts';
const SUBMISSION = 'src/node/submission.ts';

export const replica = inRoom('replica', [
  {
    name: 'turn-without-sync',
    file: REPLICA,
    about: 'A Ready that must be synced is committed with a sync.',
    find: 'work.sync ||= ready.mustSync;',
    replace: 'work.sync ||= false;',
  },
  {
    name: 'messages-overtake-the-disk',
    file: REPLICA,
    about: 'Messages that vouch for a write leave after it.',
    find: 'this.#sendAll(ready.messages);\n    const',
    replace: 'this.#sendAll(ready.messages);\n    this.#sendAll(ready.messagesAfterPersist);\n    const',
  },
  {
    name: 'core-told-before-the-disk',
    file: REPLICA,
    about: 'The core hears that a write is done when it is.',
    find: 'work.persisted.push(() => {\n      this.#core.persisted(seq);\n      this.#sendAll(messagesAfterPersist);\n    });',
    replace: 'this.#core.persisted(seq);\n    work.persisted.push(() => this.#sendAll(messagesAfterPersist));',
  },
  {
    name: 'hard-state-not-staged',
    file: REPLICA,
    about: 'Term, vote and commit index go to the disk with the entries of their Ready.',
    find: '      log.setHardState(ready.hardState);\n',
    replace: '',
  },
  {
    name: 'log-cut-before-state-is-durable',
    file: REPLICA,
    about: 'The log is cut only behind what the state has on disk.',
    find: 'const wanted = Math.min(first - 1 + surplus, state.flushed.index);',
    replace: 'const wanted = Math.min(first - 1 + surplus, this.#machine.appliedIndex);',
  },
  {
    name: 'log-cut-under-a-snapshot-on-its-way',
    file: REPLICA,
    about: 'The log behind a snapshot that is being sent is kept, or its receiver needs another one, for ever.',
    find: 'const cut = Math.min(wanted, this.#snapshots.oldestIndex);',
    replace: 'const cut = wanted;',
  },
  {
    name: 'meta-record-not-written',
    file: REPLICA,
    about: 'The applied index is stored with the state, in the same unit.',
    find: '    this.#machine.writeMeta();\n',
    replace: '',
  },
  {
    name: 'log-kept-under-snapshot',
    file: REPLICA,
    about: 'A snapshot that is switched to replaces the log (Raft §7).',
    find: '    this.#store.log.reset(snapshot.index, snapshot.term);\n',
    replace: '',
  },
  {
    name: 'applied-to-the-state-before-a-snapshot',
    file: REPLICA,
    about: 'While the state of a snapshot is read in nothing is applied: the machine of before is of the past.',
    find: 'this.#loading = true;',
    replace: 'this.#loading = false;',
  },
  {
    name: 'result-of-another-entry',
    file: PROPOSALS,
    about:
      'An entry answers the proposal at its index only if it is of the same term: another leader may have put another one there.',
    find: 'if (waiter.term === term) waiter.proposal.done(null, result);',
    replace: 'if (waiter.term > 0) waiter.proposal.done(null, result);',
  },
  {
    name: 'outcome-none-told-of-an-appended-entry',
    file: PROPOSALS,
    about: 'What was appended may take effect yet: its outcome is unknown.',
    find: "waiter.proposal.done(outcomeUnknown('the entry was appended but not committed in time'), null);",
    replace: 'waiter.proposal.done(noLeader(), null);',
  },
  {
    name: 'forwarded-and-forwarded-again',
    file: PROPOSALS,
    about: 'A forwarded write whose leader went away is not tried again by itself: it could be applied twice.',
    find: `        (forwarded.proposals[i] as Proposal).done(
          outcomeUnknown('the leader went away after the write was forwarded'),
          null,
        );`,
    replace: '        this.putBack([forwarded.proposals[i] as Proposal]);',
  },
  {
    name: 'proposals-without-bound',
    file: PROPOSALS,
    about: 'Every queue has a bound.',
    find: 'this.pending >= this.#limits.maxPending ||',
    replace: '',
  },
  {
    name: 'closing-leaves-callers-waiting',
    file: PROPOSALS,
    about: 'Every proposal ends exactly once.',
    find: '      waiter.proposal.done(unknown, null);\n',
    replace: '',
  },
  {
    name: 'answer-to-an-earlier-process',
    file: SUBMISSION,
    about: 'An answer to the process that was here before the restart is none to this one.',
    find: '    if (frame.bootEpoch !== bootEpoch) return;\n',
    replace: '',
  },
  {
    name: 'malformed-command-enters-the-log',
    file: SUBMISSION,
    about: 'What cannot be applied never enters the log: it would stop every replica.',
    find: 'const refused = leads ? faultOfCommand(data, this.#options.group) : null;',
    replace: 'const refused = leads && data.length === 0 ? faultOfCommand(data, this.#options.group) : null;',
  },
  {
    name: 'read-before-its-index-is-applied',
    file: READS,
    about: 'A confirmed read waits until its index is applied here (thesis §6.4).',
    find: '      if (first.index > index) return;\n',
    replace: '',
  },
  {
    name: 'read-joins-the-round-under-way',
    file: READS,
    about: 'A read that comes while a round is under way joins the next one (thesis §6.4).',
    find: 'this.#pending++;\n    this.#queue.push(read);',
    replace: 'this.#pending++;\n    (this.#round?.reads ?? this.#queue).push(read);',
  },
  {
    name: 'answer-of-an-earlier-round',
    file: READS,
    about: 'A token of a round before says nothing about the reads of this one.',
    find: 'state.token < round.firstToken || ',
    replace: '',
  },
  {
    name: 'chunks-of-two-transfers-mixed',
    file: SNAPSHOTS,
    about: 'A chunk belongs to the transfer that it names, boot epoch of the sender included.',
    find: '    if (incoming.bootEpoch !== bootEpoch || incoming.transfer !== transfer) return;\n',
    replace: '',
  },
  {
    name: 'answer-to-another-chunk',
    file: SNAPSHOTS,
    about: 'An answer that comes twice does not stand for the next chunk, let alone for the last.',
    find: 'outgoing.seq !== seq || outgoing.reading) return;',
    replace: 'outgoing.reading) return;',
  },
  {
    name: 'stalled-transfer-never-ends',
    file: SNAPSHOTS,
    about: 'A transfer without an answer fails after a while, and is begun anew.',
    find: 'if (!outgoing.reading && now - outgoing.heardAt > this.#times.stalledAfterMs) this.#fail(outgoing);',
    replace: '',
  },
  {
    name: 'boot-epoch-not-on-disk',
    file: 'src/node/identity.ts',
    about: 'Nothing is sent before the new boot epoch is on disk, or a restart could use the same one twice.',
    find: '  await commit(store);\n',
    replace: '',
  },
]);
