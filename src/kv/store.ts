/**
 * The key-value store: etcd's MVCC model as a pure state machine over a `RecordView`.
 *
 * Every write takes the next revision and adds one history record (record.ts); nothing is overwritten. In memory there is, for each key, its newest
 * version and a chain of those before, without values (key-index.ts, key-version.ts); a value is read from the view when it is asked for.
 *
 * Compaction runs by itself, a few versions with every write: what was superseded more than `keepRevisions` revisions ago is dropped,
 * and so is a tombstone of that age. Which ones, and when, depends on the history of writes alone, so that replicas stay equal byte by byte, restarts included.
 *
 * @example
 * const store = new KvStore(view);
 * store.put({ key: 'a', value: bytes, contentType: null, lease: null, prev: false, condition: null }); // { ok: true, revision: 1, created: true }
 * store.get('a')?.modRevision; // 1
 */
import { KvorumError, invariant } from '../errors.ts';
import { mix32 } from './checksum.ts';
import { KeyIndex } from './key-index.ts';
import { KeyVersion, versionAt } from './key-version.ts';
import { RecordReader, RecordWriter, historyKey, historyKeyRevision, historyKeySubOperation } from './record.ts';
import { sortByKey } from './sort.ts';
import type {
  ByteKey,
  Condition,
  DeleteOperation,
  DeleteResult,
  KeyEntry,
  KeyMeta,
  KeyRange,
  KvEntry,
  KvState,
  PutOperation,
  PutResult,
  RangeQuery,
  RangeResult,
  RecordView,
} from './types.ts';

/** Superseded versions are kept for this many revisions. Part of the state: a change needs a command in the log. */
export const DEFAULT_KEEP_REVISIONS = 100_000;

/**
 * Superseded versions dropped at most with one write. A write supersedes one version, so anything above one catches up; a range that was deleted leaves
 * many due at once, and this spreads them over later writes.
 */
const MAX_DROPS_PER_WRITE = 8;

export interface KvStoreOptions {
  /** For a store without data; the state itself knows afterwards. The same on all replicas. Default 100,000. */
  readonly keepRevisions?: number;
}

export class KvStore {
  readonly #view: RecordView;
  readonly #index = new KeyIndex();
  readonly #writer = new RecordWriter();
  readonly #reader = new RecordReader();
  #revision = 0;
  #compactedRevision = 0;
  #keepRevisions: number;
  #digestLow = 0;
  #digestHigh = 0;
  /** Versions that superseded another one that is still kept, oldest first: a queue from #supersedingHead on. */
  #superseding: KeyVersion[] = [];
  #supersedingHead = 0;
  /** Versions read so far while the index is rebuilt, in order of revision; null otherwise. */
  #restoring: KeyVersion[] | null = null;

  constructor(view: RecordView, options: KvStoreOptions = {}) {
    this.#view = view;
    this.#keepRevisions = options.keepRevisions ?? DEFAULT_KEEP_REVISIONS;
    invariant(Number.isSafeInteger(this.#keepRevisions) && this.#keepRevisions >= 0, 'keepRevisions is a whole number');
  }

  /** Of the last write; 0 before the first. */
  get revision(): number {
    return this.#revision;
  }

  /** The oldest revision that can be read; 0 while nothing was dropped. */
  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  /** Keys that exist now. */
  get keyCount(): number {
    return this.#index.live;
  }

  /** Versions that are kept although superseded. */
  get supersededVersions(): number {
    return this.#superseding.length - this.#supersedingHead;
  }

  get state(): KvState {
    return {
      revision: this.#revision,
      compactedRevision: this.#compactedRevision,
      keepRevisions: this.#keepRevisions,
      digest: [this.#digestLow, this.#digestHigh],
    };
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Reads. Values share memory with the view's records: not to be written to.

  /** What is known of a key without reading its value; null when it does not exist. */
  meta(key: ByteKey): KeyMeta | null {
    return alive(this.#index.find(key));
  }

  get(key: ByteKey): KvEntry | null {
    const version = alive(this.#index.find(key));
    return version === null ? null : this.#entry(version);
  }

  /** The entry as it was at `revision`. Throws as `checkRevision`. */
  getAt(key: ByteKey, revision: number): KvEntry | null {
    this.checkRevision(revision);
    const latest = this.#index.find(key);
    const version = latest === undefined ? null : versionAt(latest, revision);
    return version === null ? null : this.#entry(version);
  }

  /** Throws ERR_FUTURE_REVISION (`details.revision`: the current one) or ERR_COMPACTED (`details.compactRevision`: the oldest one that can be read). */
  checkRevision(revision: number): void {
    if (revision > this.#revision) {
      throw new KvorumError(
        'ERR_FUTURE_REVISION',
        `Revision ${revision} has not come yet; the current one is ${this.#revision}`,
        { details: { revision: this.#revision } },
      );
    }
    if (revision < this.#compactedRevision) {
      throw new KvorumError(
        'ERR_COMPACTED',
        `Revision ${revision} was compacted; the oldest that can be read is ${this.#compactedRevision}`,
        { details: { compactRevision: this.#compactedRevision } },
      );
    }
  }

  /**
   * Entries in key order, as they were at `revision` (default: as of now). Counting is cheap now and walks the whole range at an older revision:
   * pass `knownCount` for later pages. Throws as `checkRevision`.
   */
  range(query: RangeQuery, revision = this.#revision): RangeResult {
    this.checkRevision(revision);
    const { start, end, after } = query;
    const page = new Page(query);
    let count = query.knownCount ?? null;
    if (revision === this.#revision) count ??= this.#index.count(start, end);
    let taking = !query.countOnly;
    if (count === null) {
      count = 0;
      this.#index.visit(start, false, end, (latest) => {
        const version = versionAt(latest, revision);
        if (version === null) return true;
        (count as number)++;
        if (taking && (after === null || version.key > after)) taking = page.take(version);
        return true;
      });
    } else if (taking) {
      const resumed = after !== null && after >= start;
      this.#index.visit(resumed ? after : start, resumed, end, (latest) => {
        const version = versionAt(latest, revision);
        return version === null || page.take(version);
      });
    }
    return this.#rangeResult(query, page, revision, count);
  }

  #rangeResult(query: RangeQuery, page: Page, revision: number, count: number): RangeResult {
    const entries: (KvEntry | KeyEntry)[] = [];
    for (const version of page.versions) entries.push(query.keysOnly ? keyEntry(version) : this.#entry(version));
    return { revision, entries, count, more: page.more };
  }

  /** Reads the value. Throws ERR_CORRUPT when the record is damaged or gone. */
  #entry(version: KeyVersion): KvEntry {
    const { modRevision, subOperation } = version;
    const record = this.#view.get(historyKey(modRevision, subOperation));
    if (record === undefined) {
      throw new KvorumError('ERR_CORRUPT', `The history record of revision ${modRevision}.${subOperation} is missing`);
    }
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

  // -------------------------------------------------------------------------------------------------------------------
  // Writes.

  put(operation: PutOperation): PutResult {
    this.#assertReady();
    const { key, value, lease } = operation;
    const found = this.#index.find(key);
    const latest = alive(found);
    if (operation.condition !== null && !holds(operation.condition, latest)) return this.#casFailed(latest);
    const prev = operation.prev && latest !== null ? this.#entry(latest) : null;
    const revision = ++this.#revision;
    const version = new KeyVersion(
      found?.key ?? key,
      latest?.createRevision ?? revision,
      revision,
      0,
      latest === null ? 1 : latest.version + 1,
      value.length,
      lease,
      found ?? null,
    );
    this.#record(version, operation.contentType, value);
    this.#index.putFound(version);
    this.#dropSuperseded();
    const created = latest === null;
    return operation.prev ? { ok: true, revision, created, prev } : { ok: true, revision, created };
  }

  /** A key that does not exist: nothing is deleted and no revision is used. */
  delete(operation: DeleteOperation): DeleteResult {
    this.#assertReady();
    const latest = alive(this.#index.find(operation.key));
    if (operation.condition !== null && !holds(operation.condition, latest)) return this.#casFailed(latest);
    const prev = operation.prev && latest !== null ? this.#entry(latest) : null;
    let deleted = 0;
    if (latest !== null) {
      deleted = 1;
      const version = tombstone(latest, ++this.#revision, 0);
      this.#record(version, null, NO_VALUE);
      this.#index.putFound(version);
      this.#dropSuperseded();
    }
    const revision = this.#revision;
    return operation.prev ? { ok: true, revision, deleted, prev } : { ok: true, revision, deleted };
  }

  /** Deletes every key in the range at one revision, each key a sub-operation; no key, no revision. */
  deleteRange(range: KeyRange): DeleteResult {
    this.#assertReady();
    let deleted = 0;
    const revision = this.#revision + 1;
    this.#index.replaceRange(range.start, range.end, (latest) => {
      if (latest.version === 0) return latest;
      const version = tombstone(latest, revision, deleted++);
      this.#record(version, null, NO_VALUE);
      return version;
    });
    if (deleted > 0) {
      this.#revision = revision;
      this.#dropSuperseded();
    }
    return { ok: true, revision: this.#revision, deleted };
  }

  #casFailed(latest: KeyVersion | null) {
    const current = latest === null ? null : this.#entry(latest);
    return { ok: false, code: 'ERR_CAS_FAILED', revision: this.#revision, current } as const;
  }

  #record(version: KeyVersion, contentType: string | null, value: Uint8Array): void {
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
    this.#mixDigest(this.#writer.checksum, modRevision);
    if (version.older !== null) this.#superseding.push(version);
  }

  /**
   * Drops what is due, oldest first. A version goes when the one that superseded it is due. A tombstone goes together with the version that it
   * superseded if it is still the newest, and the key with it; otherwise when the put after it is due. So at any time the queue is exactly the versions that have an
   * older one, in order of revision, and a restart finds the same queue from the records alone.
   */
  #dropSuperseded(): void {
    const due = this.#revision - this.#keepRevisions;
    let head = this.#supersedingHead;
    for (let drops = 0; drops < MAX_DROPS_PER_WRITE; drops++) {
      const version = this.#superseding[head];
      if (version === undefined || version.modRevision > due) break;
      head++;
      const { older } = version;
      invariant(older !== null && older.older === null, 'a superseded version is dropped after all before it');
      this.#erase(older);
      version.older = null;
      this.#compactedRevision = version.modRevision;
      if (version.version === 0 && this.#index.find(version.key) === version) {
        this.#erase(version);
        this.#index.remove(version.key);
      }
    }
    if (head >= 1024 && head * 2 >= this.#superseding.length) {
      this.#superseding = this.#superseding.slice(head);
      head = 0;
    }
    this.#supersedingHead = head;
  }

  #erase(version: KeyVersion): void {
    this.#view.delete(historyKey(version.modRevision, version.subOperation));
    this.#mixDigest(version.subOperation, ~version.modRevision);
  }

  #mixDigest(a: number, b: number): void {
    this.#digestLow = mix32(this.#digestLow ^ b, a);
    this.#digestHigh = mix32(this.#digestHigh ^ a, this.#digestLow);
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Start: the index is rebuilt from the history.

  /** Takes one history record; they come in key order, then `restored`. Keeps nothing of the record's memory. */
  restore(key: Uint8Array, record: Uint8Array): void {
    invariant(this.#revision === 0, 'a store is restored before it is used');
    const revision = historyKeyRevision(key);
    const subOperation = historyKeySubOperation(key);
    const reader = this.#reader;
    reader.read(revision, subOperation, record);
    this.#restoring ??= [];
    const version = new KeyVersion(
      reader.key,
      reader.createRevision,
      revision,
      subOperation,
      reader.version,
      reader.size,
      reader.lease,
      null,
    );
    reader.release();
    this.#restoring.push(version);
  }

  /** Builds the index. Throws ERR_CORRUPT when the records and `state` do not belong together. */
  restored(state: KvState): void {
    invariant(this.#revision === 0, 'a store is restored before it is used');
    const versions = this.#restoring ?? [];
    this.#restoring = null;
    const last = versions.at(-1);
    if (last !== undefined && last.modRevision > state.revision) {
      throw new KvorumError(
        'ERR_CORRUPT',
        `There is a history record of revision ${last.modRevision}, but the last revision applied is ${state.revision}`,
      );
    }
    this.#revision = state.revision;
    this.#compactedRevision = state.compactedRevision;
    this.#keepRevisions = state.keepRevisions;
    [this.#digestLow, this.#digestHigh] = state.digest;

    // Newest last among equal keys: each version is linked to the one before, and the last one of a key stays.
    const newest = sortByKey(versions);
    let keys = 0;
    const leases = new Map<string, string>();
    for (const version of newest) {
      if (version.lease !== null) version.lease = shared(leases, version.lease);
      const before = keys === 0 ? undefined : newest[keys - 1];
      if (before !== undefined && before.key === version.key) {
        version.key = before.key;
        version.older = before;
        newest[keys - 1] = version;
      } else {
        newest[keys++] = version;
      }
    }
    newest.length = keys;
    this.#index.build(newest);
    this.#superseding = versions.filter((version) => version.older !== null);
    this.#supersedingHead = 0;
  }

  #assertReady(): void {
    invariant(this.#restoring === null, 'a store is written to after it was restored');
  }
}

/** Collects the entries of one answer within its limits. */
class Page {
  readonly versions: KeyVersion[] = [];
  more = false;
  readonly #limit: number;
  readonly #keysOnly: boolean;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(query: RangeQuery) {
    this.#limit = query.limit;
    this.#keysOnly = query.keysOnly;
    this.#maxBytes = query.maxBytes ?? Number.POSITIVE_INFINITY;
  }

  /** False once the page is full: then this version is not on it. */
  take(version: KeyVersion): boolean {
    const bytes = this.#bytes + version.key.length + (this.#keysOnly ? 0 : version.size);
    const taken = this.versions.length;
    if (taken >= this.#limit || (taken > 0 && bytes > this.#maxBytes)) {
      this.more = true;
      return false;
    }
    this.#bytes = bytes;
    this.versions.push(version);
    return true;
  }
}

const NO_VALUE = new Uint8Array(0);

function alive(version: KeyVersion | undefined): KeyVersion | null {
  return version === undefined || version.version === 0 ? null : version;
}

function holds(condition: Condition, latest: KeyVersion | null): boolean {
  switch (condition.type) {
    case 'modRevision':
      return latest !== null && latest.modRevision === condition.revision;
    case 'exists':
      return latest !== null;
    case 'absent':
      return latest === null;
  }
}

function tombstone(latest: KeyVersion, revision: number, subOperation: number): KeyVersion {
  return new KeyVersion(latest.key, revision, revision, subOperation, 0, 0, null, latest);
}

function keyEntry(version: KeyVersion): KeyEntry {
  const { key, createRevision, modRevision, lease } = version;
  return { key, createRevision, modRevision, version: version.version, lease };
}

/** The same string object for equal strings. */
function shared(strings: Map<string, string>, text: string): string {
  const known = strings.get(text);
  if (known !== undefined) return known;
  strings.set(text, text);
  return text;
}
