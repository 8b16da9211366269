/**
 * Every version that is kept: its record in the view, the order in which they go, what they take, and the running digest of all that was done to them.
 *
 * A version is dropped when the one that superseded it is due. A tombstone goes together with the version that it superseded if it is still the
 * newest, and the key with it; otherwise when the put after it is due. So at any time the queue is exactly the versions that have an
 * older one, in order of revision, and a restart finds the same queue from the records alone.
 *
 * From this follows what watches live on: whatever was dropped was of `compactedRevision` or before (a version is older than the one that superseded it, whose
 * revision compactedRevision has reached). So every revision above it has all of its records, and of each of them what was there before.
 */
import { KvorumError, invariant } from '../errors.ts';
import { mix32, xxh32 } from './checksum.ts';
import type { KeyIndex } from './key-index.ts';
import type { KeyVersion } from './key-version.ts';
import { RecordReader, RecordWriter, historyKey } from './record.ts';
import type { ByteKey, Change, KvEntry, RecordView } from './types.ts';

/** What a version is counted with beside key and value: its record's head, its place in memory. */
const VERSION_BYTES = 64;
/** Fewer revisions of several writes are not worth pruning. */
const PRUNE_FROM = 1024;

export class History {
  readonly #view: RecordView;
  readonly #index: KeyIndex;
  readonly #writer = new RecordWriter();
  readonly #reader = new RecordReader();
  #bytes = 0;
  #compactedRevision = 0;
  #digestLow = 0;
  #digestHigh = 0;
  /** Versions that superseded another one that is still kept, oldest first: a queue from #head on. */
  #superseding: KeyVersion[] = [];
  #head = 0;
  /** How many writes a revision has that has more than one: of those above compactedRevision, and some that are not pruned yet. */
  readonly #writesOf = new Map<number, number>();
  #pruneAt = PRUNE_FROM;

  constructor(view: RecordView, index: KeyIndex) {
    this.#view = view;
    this.#index = index;
  }

  /** What all versions that are kept are counted with. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The oldest revision that can be read. */
  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  get digest(): readonly [number, number] {
    return [this.#digestLow, this.#digestHigh];
  }

  /** Versions that are kept although superseded. */
  get superseded(): number {
    return this.#superseding.length - this.#head;
  }

  /** Whether there is something to drop that was superseded at this revision or before. */
  isDue(revision: number): boolean {
    const version = this.#superseding[this.#head];
    return version !== undefined && version.modRevision <= revision;
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Reads.

  /** Reads the value. Throws ERR_CORRUPT when the record is damaged or gone. */
  entry(version: KeyVersion): KvEntry {
    const { modRevision, subOperation } = version;
    const record = this.#view.get(historyKey(modRevision, subOperation));
    if (record === undefined) throw missing(modRevision, subOperation);
    const reader = this.#reader;
    reader.read(modRevision, subOperation, record);
    const entry: KvEntry = {
      key: version.key,
      value: reader.value,
      createRevision: version.createRevision,
      modRevision,
      version: version.version,
      lease: version.lease,
      contentType: reader.contentType,
    };
    reader.release();
    return entry;
  }

  /** What a revision above compactedRevision changed, in order. Throws ERR_CORRUPT when a record is damaged or gone. */
  changes(revision: number): Change[] {
    const changes: Change[] = [];
    const reader = this.#reader;
    const writes = this.#writesOf.get(revision) ?? 1;
    for (let subOperation = 0; subOperation < writes; subOperation++) {
      const record = this.#view.get(historyKey(revision, subOperation));
      if (record === undefined) throw missing(revision, subOperation);
      reader.read(revision, subOperation, record);
      const { version } = reader;
      const deleted = version === 0;
      changes.push({
        type: deleted ? 'delete' : 'put',
        entry: {
          key: reader.key,
          value: reader.value,
          createRevision: deleted ? 0 : reader.createRevision,
          modRevision: revision,
          version,
          lease: reader.lease,
          contentType: reader.contentType,
        },
        subOperation,
      });
      reader.release();
    }
    return changes;
  }

  /** What was there before a change of a revision above compactedRevision: its chain may be long, so it is sought in the queue. */
  before({ entry, subOperation }: Change): KeyVersion | null {
    const queue = this.#superseding;
    let low = this.#head;
    let high = queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { modRevision, subOperation: at } = queue[middle] as KeyVersion;
      if (modRevision < entry.modRevision || (modRevision === entry.modRevision && at < subOperation)) low = middle + 1;
      else high = middle;
    }
    const found = queue[low];
    if (found === undefined || found.modRevision !== entry.modRevision || found.subOperation !== subOperation) {
      return null;
    }
    invariant(found.key === entry.key, 'a change is of the key that was written there');
    return found.older;
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Writes.

  /** Stores a new version. It comes after all before it: (modRevision, subOperation) rises. */
  add(version: KeyVersion, contentType: string | null, value: Uint8Array): void {
    const { modRevision, subOperation } = version;
    const record = this.#writer.encode({
      revision: modRevision,
      subOperation,
      key: version.key,
      createRevision: version.createRevision,
      version: version.version,
      lease: version.lease,
      contentType,
      value,
    });
    this.#view.put(historyKey(modRevision, subOperation), record);
    this.#bytes += costOf(version.key, version.size);
    this.#mixDigest(this.#writer.checksum, modRevision);
    if (version.older !== null) this.#superseding.push(version);
    if (subOperation > 0) this.#countWrite(modRevision, subOperation);
  }

  #countWrite(revision: number, subOperation: number): void {
    if (subOperation === 1 && this.#writesOf.size >= this.#pruneAt) {
      for (const known of this.#writesOf.keys()) {
        if (known > this.#compactedRevision) break;
        this.#writesOf.delete(known);
      }
      this.#pruneAt = Math.max(PRUNE_FROM, 2 * this.#writesOf.size);
    }
    this.#writesOf.set(revision, subOperation + 1);
  }

  /** Nothing below this revision can be read from now on. */
  raiseCompactedRevision(revision: number): void {
    if (revision > this.#compactedRevision) this.#compactedRevision = revision;
  }

  /** Drops what was superseded at `due` or before, oldest first. */
  dropUntil(due: number, maxDrops: number): void {
    for (let drops = 0; drops < maxDrops && this.isDue(due); drops++) this.#dropOldest();
    this.#trim();
  }

  /** Drops, oldest first, until no more than this is taken. */
  dropDownTo(bytes: number, maxDrops: number): void {
    for (let drops = 0; drops < maxDrops && this.#bytes > bytes && this.superseded > 0; drops++) this.#dropOldest();
    this.#trim();
  }

  #dropOldest(): void {
    const version = this.#superseding[this.#head] as KeyVersion;
    const { older } = version;
    invariant(older !== null && older.older === null, 'a superseded version is dropped after all before it');
    this.#head++;
    this.#erase(older);
    version.older = null;
    this.raiseCompactedRevision(version.modRevision);
    if (version.version === 0 && this.#index.find(version.key) === version) {
      this.#erase(version);
      this.#index.remove(version.key);
    }
  }

  #erase(version: KeyVersion): void {
    this.#view.delete(historyKey(version.modRevision, version.subOperation));
    this.#bytes -= costOf(version.key, version.size);
    this.#mixDigest(version.subOperation, ~version.modRevision);
  }

  #trim(): void {
    if (this.#head < 1024 || this.#head * 2 < this.#superseding.length) return;
    this.#superseding = this.#superseding.slice(this.#head);
    this.#head = 0;
  }

  /** Counts a record of another kind into the digest. */
  mixRecord(record: Uint8Array): void {
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    this.#mixDigest(xxh32(view, 0, record.length, 0), record.length);
  }

  #mixDigest(a: number, b: number): void {
    this.#digestLow = mix32(this.#digestLow ^ b, a);
    this.#digestHigh = mix32(this.#digestHigh ^ a, this.#digestLow);
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Start.

  /** `versions` in order of revision, each linked to the one before it. */
  restore(versions: readonly KeyVersion[], compactedRevision: number, digest: readonly [number, number]): void {
    this.#compactedRevision = compactedRevision;
    [this.#digestLow, this.#digestHigh] = digest;
    this.#superseding = versions.filter((version) => version.older !== null);
    this.#head = 0;
    this.#bytes = 0;
    for (const { key, size, modRevision, subOperation } of versions) {
      this.#bytes += costOf(key, size);
      if (subOperation > 0) this.#countWrite(modRevision, subOperation);
    }
  }
}

/** What a version counts towards the quota. */
export function costOf(key: ByteKey, size: number): number {
  return key.length + size + VERSION_BYTES;
}

function missing(revision: number, subOperation: number): KvorumError {
  return new KvorumError('ERR_CORRUPT', `The history record of revision ${revision}.${subOperation} is missing`);
}
