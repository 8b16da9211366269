/** What is on the disk, and when. Rules are those of docs/storage.md. */
import { inRoom } from '../types.ts';

const QUEUE = 'src/storage/write-queue.ts';
const LOG = 'src/storage/log-store.ts';
const STATE = 'src/storage/state-store.ts';
const RECORD = 'src/storage/record.ts';
const SCANNER = 'src/storage/wal-scanner.ts';

export const storage = inRoom('storage', [
  {
    name: 'no-sync',
    file: 'src/storage/level-engine.ts',
    about: 'Every batch is synced before anybody hears that it is written.',
    find: 'this.#batch.write({ sync: true }).then(',
    replace: 'this.#batch.write({ sync: false }).then(',
  },
  {
    name: 'sync-lost-in-group-commit',
    file: QUEUE,
    about: 'Commits that wait together are synced if any of them asked for it.',
    find: 'this.#waitingSync ||= sync;',
    replace: 'this.#waitingSync = sync;',
  },
  {
    name: 'called-back-before-written',
    file: QUEUE,
    about: 'A commit is called back when its batch is written.',
    find: 'const startedMs = this.#engine.now();',
    replace: 'const startedMs = this.#engine.now();\n    for (const callback of callbacks.splice(0)) callback(null);',
  },
  {
    name: 'failed-write-does-not-poison',
    file: QUEUE,
    about: 'After a failed write nothing is written any more: LevelDB would go on behind a torn record.',
    find: '        this.poison(error);\n        this.#finish(callbacks, this.#poisoned);',
    replace: '        this.#finish(callbacks, error);',
  },
  {
    name: 'two-batches-in-flight',
    file: QUEUE,
    about: 'One batch is in flight: LevelDB may land concurrent ones in any order.',
    find: 'this.#waitingSync ||= sync;\n    if (!this.#inFlight) this.#start();',
    replace: 'this.#waitingSync ||= sync;\n    this.#start();',
  },
  {
    name: 'written-after-poison',
    file: QUEUE,
    about: 'A poisoned store writes nothing more: what is staged is dropped, and every commit gets the same error.',
    find: 'if (this.#poisoned !== null) return this.#poisoned;\n    return this.#closing',
    replace: 'return this.#closing',
    also: [
      {
        file: QUEUE,
        find: 'put(key: Uint8Array, value: Uint8Array): void {\n    if (this.#poisoned !== null) return;',
        replace: 'put(key: Uint8Array, value: Uint8Array): void {',
      },
    ],
  },
  {
    name: 'chain-not-checked',
    file: SCANNER,
    about: 'Each batch names the one before it: one that went missing in between is damage.',
    find: 'if (last !== null && !follows(link, last)) {',
    replace: 'if (last !== null && link.number < 0) {',
  },
  {
    name: 'damage-taken-for-a-torn-tail',
    file: SCANNER,
    about: 'Only the last batch can be torn; what is invalid before a valid batch is damage.',
    find: '    if (end.validAfter !== null) throw damaged(path, end, last, `a valid batch follows at offset ${end.validAfter}`);\n',
    replace: '',
  },
  {
    name: 'recovery-not-compared',
    file: 'src/storage/store.ts',
    about: 'What the engine recovered ends where the write-ahead files ended.',
    find: 'if (seen !== null && (link === null || link.number < seen.number)) {',
    replace: 'if (seen !== null && link === null) {',
  },
  {
    name: 'checksum-not-compared',
    file: RECORD,
    about: 'Every record carries a checksum, and it is compared.',
    find: 'if (crc32(bytes.subarray(4), seed) !== readU32LE(bytes, 0)) throw failure(`${what} fails its checksum`);',
    replace: '',
  },
  {
    name: 'key-not-in-checksum',
    file: RECORD,
    about: 'The key is part of a state record’s checksum: a value must not turn up under another key.',
    find: "verify(bytes, crc32(key), 'a state record');",
    replace: "verify(bytes, 0, 'a state record');",
    also: [
      {
        file: RECORD,
        find: 'writeU32LE(bytes, 0, crc32(bytes.subarray(4), crc32(key)));',
        replace: 'writeU32LE(bytes, 0, crc32(bytes.subarray(4)));',
      },
    ],
  },
  {
    name: 'vote-lost-on-restart',
    file: LOG,
    about: 'The hard state survives a restart (Raft figure 2).',
    find: 'this.#hardState = { term, vote, commit };',
    replace: 'this.#hardState = { term, vote: vote === null ? vote : null, commit };',
  },
  {
    name: 'cut-entries-stay-on-disk',
    file: LOG,
    about: 'What is stored from the first appended index on is cut off first.',
    find: 'if (first.index <= this.#last) this.#truncate(first.index);',
    replace: '',
  },
  {
    name: 'compaction-forgets-its-term',
    file: LOG,
    about: 'The term at the compacted index stays known: the next Append is checked against it.',
    find: 'this.#compactedIndex = index;\n    this.#compactedTerm = term;\n    this.#sizes.dropThrough(index);',
    replace: 'this.#compactedIndex = index;\n    this.#sizes.dropThrough(index);',
  },
  {
    name: 'overlay-not-read',
    file: STATE,
    about: 'What is applied and not yet flushed is read from the overlay.',
    find: 'if (this.#overlay.size > 0) {',
    replace: 'if (this.#overlay.size < 0) {',
  },
  {
    name: 'deletion-in-overlay-not-seen',
    file: STATE,
    about: 'A deletion that is not yet flushed hides the record on disk.',
    find: 'if (latest !== undefined) return valueOf(latest) ?? undefined;',
    replace: 'if (latest !== undefined && latest.value !== null) return valueOf(latest) ?? undefined;',
  },
  {
    name: 'flush-without-position',
    file: STATE,
    about:
      'A flush writes the position of its last unit in the same batch: a restart finds the state of exactly one position.',
    find: '    this.#stagePosition(last.position);\n',
    replace: '',
  },
  {
    name: 'position-ahead-of-flush',
    file: STATE,
    about: 'The position on disk is that of the state on disk, not of what is applied in memory.',
    find: 'this.#stagePosition(last.position);',
    replace: 'this.#stagePosition(this.#sealed);',
  },
  {
    name: 'flushed-before-written',
    file: STATE,
    about: 'What is in flight is not flushed: the log behind it may not be cut yet.',
    find: 'if (unit.batch === 0 || unit.batch > number) break;',
    replace: 'if (unit.batch > number + 1) break;',
  },
  {
    name: 'snapshot-without-applied-index',
    file: STATE,
    about: 'A snapshot is installed together with its applied index (Raft §7).',
    find: '    this.#stagePosition(this.#flushed);\n',
    replace: '',
  },
  {
    name: 'snapshot-keeps-old-overlay',
    file: STATE,
    about: 'With a snapshot the overlay of the old state is gone.',
    find: '    this.#overlay.clear();\n    this.#units = [];',
    replace: '    this.#units = [];',
  },
  {
    name: 'two-snapshots-mixed-on-disk',
    file: STATE,
    about: 'Reception goes on only where the same snapshot of the same sender stopped.',
    find: 'return a.source === b.source && a.index === b.index && a.term === b.term;',
    replace: 'return a.index > 0 && b.index > 0;',
  },
  {
    name: 'generation-used-again',
    file: STATE,
    about: 'A generation number is never used twice: what is left of the old one would turn up in the new one.',
    find: 'this.#nextGeneration = newest + 1;',
    replace: 'this.#nextGeneration = this.#generation + 1;',
  },
]);
