/** The state machine and its keys. */
import { inRoom } from '../types.ts';

const MACHINE = 'src/machine/machine.ts';
const KV = 'src/kv/store.ts';
const HISTORY = 'src/kv/history.ts';

export const machine = inRoom('machine', [
  {
    name: 'delete-does-not-remove',
    file: KV,
    about: 'A key that was deleted is not there any more.',
    find: 'this.#history.add(version, null, NO_VALUE);\n    this.#index.putFound(version);',
    replace: 'this.#history.add(version, null, NO_VALUE);',
  },
  {
    name: 'revision-not-counted',
    file: KV,
    about: 'Every write has a revision of its own.',
    find: 'const revision = ++this.#revision;',
    replace: 'const revision = Math.max(1, this.#revision);\n    this.#revision = revision;',
  },
  {
    name: 'condition-ignored',
    file: KV,
    about: 'Compare-and-set compares the revision, not just whether the key exists.',
    find: 'return latest !== null && latest.modRevision === condition.revision;',
    replace: 'return latest !== null;',
  },
  {
    name: 'history-off-by-one',
    file: 'src/kv/key-version.ts',
    about: 'A read at revision r sees what was written at r.',
    find: 'while (version !== null && version.modRevision > revision) version = version.older;',
    replace: 'while (version !== null && version.modRevision >= revision) version = version.older;',
  },
  {
    name: 'create-revision-moves',
    file: KV,
    about: 'The create revision is that of the first put since the key was last absent.',
    find: 'latest?.createRevision ?? revision,',
    replace: 'revision,',
  },
  {
    name: 'history-dropped-too-early',
    file: KV,
    about: 'Superseded versions are kept for keepRevisions revisions.',
    find: 'const due = this.#revision - keepRevisions;',
    replace: 'const due = this.#revision - keepRevisions + 1;',
  },
  {
    name: 'compacted-read-answered',
    file: KV,
    about: 'A revision that was compacted is refused, not answered from what is left.',
    find: 'if (revision < this.compactedRevision) {\n      throw',
    replace: 'if (revision < 0) {\n      throw',
  },
  {
    name: 'restart-forgets-what-is-due',
    file: HISTORY,
    about:
      'What is dropped, and when, depends on the history alone: replicas stay equal byte by byte, restarts included.',
    find: 'this.#superseding = versions.filter((version) => version.older !== null);',
    replace: 'this.#superseding = [];',
  },
  {
    name: 'digest-not-restored',
    file: HISTORY,
    about: 'Replicas at the same index have the same digest, however often they were restarted.',
    find: '    [this.#digestLow, this.#digestHigh] = digest;\n',
    replace: '',
  },
  {
    name: 'time-goes-back',
    file: MACHINE,
    about: 'State-machine time is the greatest time stamp applied: a new leader’s clock may be behind.',
    find: 'if (time > this.#time && time <= MAX_TIME) this.#time = time;',
    replace: 'this.#time = time;',
  },
  {
    name: 'applied-index-not-restored',
    file: MACHINE,
    about: 'After a restart apply goes on behind the stored applied index: nothing is applied twice.',
    find: '      this.#appliedIndex = meta.appliedIndex;\n',
    replace: '',
  },
  {
    name: 'entry-applied-twice',
    file: MACHINE,
    about: 'Each entry is applied exactly once, in order: the assertion that says so is gone.',
    find: 'entry.index === this.#appliedIndex + 1,',
    replace: 'entry.index > 0,',
  },
  {
    name: 'another-wait-is-cancelled',
    file: 'src/lock/lock-table.ts',
    about: 'Who gives up a wait leaves a later one of the same lease alone.',
    find: 'if (waiter?.ticket === ticket) {',
    replace: 'if (waiter !== undefined) {',
  },
]);
