/** Log, commit index, snapshots and flow control of the Raft core. */
import { inRoom } from '../types.ts';

const FOLLOWER = 'src/raft/follower.ts';
const LEADER = 'src/raft/leader.ts';
const LEADERSHIP = 'src/raft/leadership.ts';
const STATE = 'src/raft/state.ts';
const PROGRESS = 'src/raft/progress.ts';
const CUT = `if (offset < entries.length && entries[offset]!.index <= state.log.lastIndex)
      state.truncate(entries[offset]!.index);`;

export const replication = inRoom('raft', [
  {
    name: 'old-term-entries-counted',
    file: LEADER,
    about: 'Only entries of the leader’s own term are committed by counting (Raft §5.4.2, figure 8; trap 11).',
    find: 'if (index <= state.commit || index < leadership.firstIndex) return false;',
    replace: 'if (index <= state.commit) return false;',
  },
  {
    name: 'leader-counts-itself-before-disk',
    file: LEADERSHIP,
    about: 'The leader’s own disk may be written in parallel, but counts only when it is done (thesis §10.2.1).',
    find: '(id === options.id ? log.persisted : (this.progress.get(id)?.match ?? 0))',
    replace: '(id === options.id ? log.lastIndex : (this.progress.get(id)?.match ?? 0))',
  },
  {
    name: 'acknowledged-before-disk',
    file: FOLLOWER,
    about: 'A follower says that it has entries when they are on disk (Raft figure 2; trap 6).',
    find: 'if (index <= state.log.persisted) state.send(response);\n  else state.sendAfterPersist(response);',
    replace: 'state.send(response);',
  },
  {
    name: 'after-persist-means-now',
    file: STATE,
    about: 'What vouches for something that a crash would undo waits for the disk.',
    find: 'sendAfterPersist(message: Message): void {\n    this.messagesAfterPersist.push(message);',
    replace: 'sendAfterPersist(message: Message): void {\n    this.messages.push(message);',
  },
  {
    name: 'overwritten-write-acknowledges',
    file: STATE,
    about: 'A write under way proves nothing about entries that were cut off since (the ABA case, raft#8; trap 6).',
    find: '    this.writes.clip(from - 1);\n',
    replace: '',
  },
  {
    name: 'older-append-cuts-the-log',
    file: FOLLOWER,
    about: 'Only a conflicting entry cuts the log; an older, shorter Append must not (Raft §5.3).',
    find: 'while (offset < entries.length && state.log.matches(entries[offset]!.index, entries[offset]!.term)) offset++;',
    replace: '',
  },
  {
    name: 'conflict-not-cut',
    file: FOLLOWER,
    about: 'A conflicting entry and all that follow it are deleted (Raft §5.3).',
    find: CUT,
    replace: 'if (offset < entries.length && entries[offset]!.index <= state.log.lastIndex) offset = entries.length;',
  },
  {
    name: 'cut-one-entry-too-many',
    file: STATE,
    about: 'The log is cut at the first conflicting entry; what is before it stays (Raft §5.3).',
    find: 'this.log.truncate(from);',
    replace: 'this.log.truncate(from - 1);',
  },
  {
    name: 'previous-term-not-compared',
    file: FOLLOWER,
    about: 'The consistency check compares index and term of the entry before (Raft §5.3).',
    find: 'if (!state.log.matches(prevIndex, prevTerm)) {',
    replace: 'if (state.log.term(prevIndex) === undefined) {',
  },
  {
    name: 'commit-beyond-match',
    file: FOLLOWER,
    about: 'A follower commits up to min(leaderCommit, index of last new entry) (Raft figure 2).',
    find: 'state.commitTo(Math.min(message.commit, lastNew));',
    replace: 'state.commitTo(Math.min(message.commit, state.log.lastIndex));',
  },
  {
    name: 'heartbeat-commit-beyond-match',
    file: LEADER,
    about: 'A heartbeat tells no more than the follower is known to have: it takes this at its word.',
    find: 'const commit = Math.min(progress.match, state.commit);',
    replace: 'const commit = state.commit;',
  },
  {
    name: 'match-goes-back',
    file: PROGRESS,
    about: 'An answer that was overtaken tells nothing new: matchIndex only grows (Raft figure 2).',
    find: 'if (index <= this.match) return false;\n    this.match = index;',
    replace: 'if (index === this.match) return false;\n    this.match = index;',
  },
  {
    name: 'configuration-not-taken-back',
    file: STATE,
    about: 'A configuration entry that is cut off brings the one before it back (Raft §6; trap 2).',
    find: '    this.configurations.truncate(from);\n',
    replace: '',
  },
  {
    name: 'configuration-not-in-snapshot',
    file: FOLLOWER,
    about: 'A snapshot brings its configuration: a voter can be demoted by one (Raft §7; etcd#10864).',
    find: '  state.configurations.reset(index, configuration);\n',
    replace: '',
  },
  {
    name: 'applied-before-own-disk',
    file: STATE,
    about: 'The state never runs ahead of the log beneath it: what is applied is on this node’s own disk.',
    find: 'return Math.min(this.commit, this.log.persisted);',
    replace: 'return this.commit;',
  },
  {
    name: 'old-snapshot-replaces-newer-state',
    file: FOLLOWER,
    about:
      'A snapshot that is older than what is committed changes nothing (Raft §7; trap 9). Its assertion is taken out too.',
    find: 'if (index > state.commit) {',
    replace: 'if (index > 0) {',
    also: [
      {
        file: FOLLOWER,
        find: 'invariant(index > state.commit, `A snapshot at ${index} would replace newer state (${state.commit})`);',
        replace: '',
      },
      {
        file: FOLLOWER,
        find: 'if (state.log.matches(index, term)) state.commitTo(index);',
        replace: 'if (false) return;',
      },
    ],
  },
  {
    name: 'snapshot-discards-the-log-behind-it',
    file: FOLLOWER,
    about: 'Entries behind a snapshot whose last entry the log has are kept: they may be acknowledged (Raft §7).',
    find: 'if (state.log.matches(index, term)) state.commitTo(index);\n    else install(state, snapshot);',
    replace: 'install(state, snapshot);',
  },
  {
    name: 'snapshot-does-not-move-apply',
    file: FOLLOWER,
    about: 'What a snapshot stands for is not applied again.',
    find: '  state.applying.skipTo(index);\n',
    replace: '',
  },
  {
    name: 'lost-appends-unnoticed',
    file: LEADER,
    about: 'Appends that were lost are found out by heartbeats, also when the window is full.',
    find: '      progress.checkDue = true;\n      progress.awaitingTick = state.ticks;',
    replace: '      progress.awaitingTick = state.ticks;',
  },
  {
    name: 'uncommitted-without-bound',
    file: LEADER,
    about: 'Beyond the limit of uncommitted bytes a proposal is refused at once (etcd#10167; trap 8).',
    find: "if (!leadership.uncommitted.fits(bytes, inherited)) return { status: 'refused', reason: 'uncommittedBytes' };",
    replace: '',
  },
  {
    name: 'uncommitted-never-freed',
    file: LEADER,
    about: 'Uncommitted bytes come back to zero (raft#11; trap 8).',
    find: '  leadership.uncommitted.committed(index);\n',
    replace: '',
  },
  {
    name: 'inflight-bytes-without-bound',
    file: PROGRESS,
    about: 'Appends in flight are limited in messages and in bytes.',
    find: 'return this.#count >= this.#maxMessages || this.#bytes >= this.#maxBytes;',
    replace: 'return this.#count >= this.#maxMessages;',
  },
]);
