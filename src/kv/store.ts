/**
 * The key-value store: etcd's MVCC model as a pure state machine over a `RecordView`.
 *
 * Every write takes the next revision and adds one history record (record.ts); nothing is overwritten. In memory there is, for each key, its newest
 * version and a chain of those before, without values (key-index.ts, key-version.ts); a value is read from the view when it is asked for.
 *
 * What was superseded goes by itself, a few versions with every write, once it is too old by count or by time, was compacted on demand, or is in the
 * way of the quota (retention.ts, history.ts). Which versions, and when, depends on the commands alone, so that replicas stay equal byte by byte, restarts included.
 *
 * @example
 * const store = new KvStore(view);
 * store.put({ key: 'a', value: bytes, contentType: null, lease: null, prev: false, condition: null }); // { ok: true, revision: 1, created: true }
 * store.get('a')?.modRevision; // 1
 */
import { KvorumError, invariant } from '../errors.ts';
import { History, costOf } from './history.ts';
import { KeyIndex } from './key-index.ts';
import { KeyVersion, versionAt } from './key-version.ts';
import { LeaseKeys, sortedKeys } from './lease-keys.ts';
import { Page } from './page.ts';
import { Restoration } from './restoration.ts';
import { Retention } from './retention.ts';
import { decodeSettings, encodeSettings, settingsKey, type StoreSettings } from './settings.ts';
import { checkTxn, compareHolds } from './txn.ts';
import type {
  ByteKey,
  Change,
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
  Refusal,
  TxnContext,
  TxnOperation,
  TxnResponse,
  TxnResult,
  TxnStep,
} from './types.ts';

export { DEFAULT_KEEP_MS, DEFAULT_KEEP_REVISIONS, DEFAULT_QUOTA_BYTES, isSettingsKey } from './settings.ts';
export type { StoreSettings } from './settings.ts';
export { checkTxn } from './txn.ts';

/**
 * Superseded versions dropped at most with one write. A write supersedes one version, so anything above one catches up; a range that was deleted leaves
 * many due at once, and this spreads them over later writes.
 */
const MAX_DROPS_PER_WRITE = 8;
/** … while there is something left that was compacted or is too old by time: nobody can read it any more. */
const MAX_DROPS_BELOW_FLOOR = 64;
/** … with one compaction. */
const MAX_DROPS_PER_COMPACTION = 10_000;
/** … early, with one command, when the quota wants the space. */
const MAX_DROPS_FOR_QUOTA = 256;
/** A transaction drops for as many writes as it has, up to this. */
const MAX_WRITES_COUNTED = 128;
/** Above this part of the quota superseded versions go early: a store that is full recovers by deletions alone. */
const HIGH_WATER = 0.9;

/** An answer must fit a frame between nodes, and be kept for a repetition. */
const MAX_TXN_ANSWER_BYTES = 8 * 1024 * 1024;
/** A range in a transaction ends when its keys and values have this many bytes, though its limit may allow more: `count` tells. */
const MAX_TXN_RANGE_BYTES = 256 * 1024;
/** What a step takes in an answer, beside the value that it gives. */
const STEP_BYTES = 64;

/** What a store without data begins with; the state itself knows afterwards. The same on all replicas. Time and quota are in force from the first `tick`. */
export type KvStoreOptions = Partial<StoreSettings>;

export interface Compacted {
  readonly ok: true;
  readonly type: 'compacted';
  readonly revision: number;
  /** The oldest revision that can be read. */
  readonly compactedRevision: number;
}

export class KvStore {
  readonly #index = new KeyIndex();
  readonly #history: History;
  readonly #retention: Retention;
  readonly #leaseKeys = new LeaseKeys();
  readonly #view: RecordView;
  #revision = 0;
  /** What was read so far while the index is rebuilt; null otherwise. */
  #restoring: Restoration | null = null;

  constructor(view: RecordView, options: KvStoreOptions = {}) {
    this.#view = view;
    this.#history = new History(view, this.#index);
    this.#retention = new Retention(options);
  }

  /** Of the last write; 0 before the first. */
  get revision(): number {
    return this.#revision;
  }

  /** The oldest revision that can be read; 0 while nothing was dropped. */
  get compactedRevision(): number {
    return this.#history.compactedRevision;
  }

  /** Keys that exist now. */
  get keyCount(): number {
    return this.#index.live;
  }

  /** Versions that are kept although superseded. */
  get supersededVersions(): number {
    return this.#history.superseded;
  }

  /** What all versions that are kept take: key, value and 64 bytes each. */
  get bytes(): number {
    return this.#history.bytes;
  }

  get settings(): StoreSettings {
    const { keepRevisions, keepMs, quotaBytes } = this.#retention;
    return { keepRevisions, keepMs, quotaBytes };
  }

  get state(): KvState {
    return {
      revision: this.#revision,
      compactedRevision: this.#history.compactedRevision,
      keepRevisions: this.#retention.keepRevisions,
      digest: this.#history.digest,
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
    return version === null ? null : this.#history.entry(version);
  }

  /** The entry as it was at `revision`. Throws as `checkRevision`. */
  getAt(key: ByteKey, revision: number): KvEntry | null {
    this.checkRevision(revision);
    const latest = this.#index.find(key);
    const version = latest === undefined ? null : versionAt(latest, revision);
    return version === null ? null : this.#history.entry(version);
  }

  /** Throws ERR_FUTURE_REVISION (`details.revision`: the current one) or ERR_COMPACTED (`details.compactRevision`: the oldest one that can be read). */
  checkRevision(revision: number): void {
    if (revision > this.#revision) throw new KvorumError(...this.#future(revision));
    if (revision < this.compactedRevision) {
      throw new KvorumError(...this.#compacted(`Revision ${revision} was compacted`));
    }
  }

  #future(revision: number) {
    return [
      'ERR_FUTURE_REVISION',
      `Revision ${revision} has not come yet; the current one is ${this.#revision}`,
      { details: { revision: this.#revision } },
    ] as const;
  }

  #compacted(what: string) {
    return [
      'ERR_COMPACTED',
      `${what}; the oldest that can be read is ${this.compactedRevision}`,
      { details: { compactRevision: this.compactedRevision } },
    ] as const;
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
    for (const version of page.versions)
      entries.push(query.keysOnly ? keyEntry(version) : this.#history.entry(version));
    return { revision, entries, count, more: page.more };
  }

  /** Keys that hang on the lease, in order. */
  keysOf(lease: string): readonly ByteKey[] {
    return this.#leaseKeys.of(lease);
  }

  keyCountOf(lease: string): number {
    return this.#leaseKeys.countOf(lease);
  }

  /**
   * All that one revision changed, in order; there is something in every revision above compactedRevision. Throws ERR_COMPACTED
   * (`details.compactRevision`: only revisions after it still have all their changes) or ERR_FUTURE_REVISION (`details.revision`).
   */
  changes(revision: number): readonly Change[] {
    this.#checkChanges(revision);
    return this.#history.changes(revision);
  }

  /** The entry before a change, null for none. Throws as `changes` when its revision was compacted since. */
  prevOf(change: Change): KvEntry | null {
    this.#checkChanges(change.entry.modRevision);
    const before = alive(this.#history.before(change));
    return before === null ? null : this.#history.entry(before);
  }

  #checkChanges(revision: number): void {
    if (revision > this.#revision) throw new KvorumError(...this.#future(revision));
    if (revision <= this.compactedRevision) {
      throw new KvorumError(...this.#compacted(`The changes of revision ${revision} were compacted`));
    }
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Writes.

  /** Whether the lease exists is the caller's to check. Refused with ERR_QUOTA (`details`: quotaBytes, bytes). */
  put(operation: PutOperation): PutResult | Refusal {
    this.#assertReady();
    const { key, condition } = operation;
    let found = this.#index.find(key);
    if (condition !== null && !holds(condition, alive(found))) return this.#casFailed(alive(found));
    const bytes = costOf(key, operation.value.length);
    if (!this.#fits(bytes)) {
      const refusal = this.#makeRoom(bytes);
      if (refusal !== null) return refusal;
      // A tombstone of this key may have gone.
      found = this.#index.find(key);
    }
    const latest = alive(found);
    const prev = operation.prev && latest !== null ? this.#history.entry(latest) : null;
    const revision = ++this.#revision;
    this.#write(found, revision, 0, operation);
    this.#dropSuperseded(1);
    const created = latest === null;
    return operation.prev ? { ok: true, revision, created, prev } : { ok: true, revision, created };
  }

  /** A key that does not exist: nothing is deleted and no revision is used. */
  delete(operation: DeleteOperation): DeleteResult {
    this.#assertReady();
    const latest = alive(this.#index.find(operation.key));
    if (operation.condition !== null && !holds(operation.condition, latest)) return this.#casFailed(latest);
    const prev = operation.prev && latest !== null ? this.#history.entry(latest) : null;
    let deleted = 0;
    if (latest !== null) {
      deleted = 1;
      this.#bury(latest, ++this.#revision, 0);
      this.#dropSuperseded(1);
    }
    const revision = this.#revision;
    return operation.prev ? { ok: true, revision, deleted, prev } : { ok: true, revision, deleted };
  }

  /** Deletes every key in the range at one revision, each key a sub-operation; no key, no revision. */
  deleteRange(range: KeyRange): DeleteResult {
    this.#assertReady();
    const revision = this.#revision + 1;
    const deleted = this.#buryRange(range, revision, 0);
    if (deleted > 0) {
      this.#revision = revision;
      this.#dropSuperseded(1);
    }
    return { ok: true, revision: this.#revision, deleted };
  }

  /** Deletes those of the keys that exist at one revision, in key order whatever the order given; none, no revision. Gives back how many. */
  deleteKeys(keys: readonly ByteKey[]): number {
    this.#assertReady();
    const revision = this.#revision + 1;
    let deleted = 0;
    for (const key of sortedKeys(keys)) {
      const latest = alive(this.#index.find(key));
      if (latest !== null) this.#bury(latest, revision, deleted++);
    }
    if (deleted > 0) {
      this.#revision = revision;
      this.#dropSuperseded(1);
    }
    return deleted;
  }

  /**
   * Refused, without any effect, as ERR_INVALID_ARGUMENT (see `checkTxn`), ERR_LEASE_NOT_FOUND (`details.lease`), ERR_TOO_LARGE (the answer; `details.limit`)
   * and ERR_QUOTA (`details`: quotaBytes, bytes), the latter three for the branch that is taken. What the quota has dropped early by then stays dropped.
   */
  txn(operation: TxnOperation, context: TxnContext): TxnResult | Refusal {
    this.#assertReady();
    const malformed = checkTxn(operation);
    if (malformed !== null) return this.#refuse('ERR_INVALID_ARGUMENT', malformed);
    const succeeded = operation.compare.every((compare) => compareHolds(compare, this, context));
    const steps = succeeded ? operation.then : operation.otherwise;
    let bytes = 0;
    for (const step of steps) {
      if (step.type !== 'put') continue;
      if (step.lease !== null && !context.leaseExists(step.lease)) {
        return this.#refuse('ERR_LEASE_NOT_FOUND', `There is no lease ${step.lease}`, { lease: step.lease });
      }
      bytes += costOf(step.key, step.value.length);
    }
    const answered = this.#answeredBytes(steps);
    if (answered > MAX_TXN_ANSWER_BYTES) {
      const limit = MAX_TXN_ANSWER_BYTES;
      return this.#refuse('ERR_TOO_LARGE', `The answer would have ${answered} bytes, ${limit} are allowed`, { limit });
    }
    if (!this.#fits(bytes)) {
      const refusal = this.#makeRoom(bytes);
      if (refusal !== null) return refusal;
    }

    const before = this.#revision;
    const responses: TxnResponse[] = [];
    let writes = 0;
    for (const step of steps) {
      const response = this.#step(step, before + 1, writes);
      responses.push(response);
      if (response.type === 'put') writes++;
      else if (response.type === 'delete') writes += response.deleted;
      // From the first write on, so that later steps read it.
      if (writes > 0) this.#revision = before + 1;
    }
    if (writes > 0) this.#dropSuperseded(Math.min(writes, MAX_WRITES_COUNTED));
    return { ok: true, type: 'txn', revision: this.#revision, succeeded, responses };
  }

  /** What the steps will read, ranges aside, which have a bound of their own. What one deletes and a later one reads is counted. */
  #answeredBytes(steps: readonly TxnStep[]): number {
    let bytes = 0;
    const written = new Map<ByteKey, number>();
    for (const step of steps) {
      if (step.type === 'range') bytes += MAX_TXN_RANGE_BYTES;
      else if (step.type === 'get' || (step.type !== 'deleteRange' && step.prev)) {
        const before = () => alive(this.#index.find(step.key))?.size ?? 0;
        bytes += step.key.length + (step.type === 'get' ? (written.get(step.key) ?? before()) : before()) + STEP_BYTES;
      }
      if (step.type === 'put') written.set(step.key, step.value.length);
    }
    return bytes;
  }

  #step(step: TxnStep, revision: number, subOperation: number): TxnResponse {
    switch (step.type) {
      case 'put': {
        const found = this.#index.find(step.key);
        const latest = alive(found);
        const prev = step.prev && latest !== null ? this.#history.entry(latest) : null;
        this.#write(found, revision, subOperation, step);
        const created = latest === null;
        return step.prev ? { type: 'put', created, prev } : { type: 'put', created };
      }
      case 'delete': {
        const latest = alive(this.#index.find(step.key));
        const prev = step.prev && latest !== null ? this.#history.entry(latest) : null;
        if (latest !== null) this.#bury(latest, revision, subOperation);
        const deleted = latest === null ? 0 : 1;
        return step.prev ? { type: 'delete', deleted, prev } : { type: 'delete', deleted };
      }
      case 'deleteRange':
        return { type: 'delete', deleted: this.#buryRange(step, revision, subOperation) };
      case 'get':
        return { type: 'get', entry: this.get(step.key) };
      case 'range': {
        const { start, end, limit, keysOnly } = step;
        const { entries, count } = this.range({
          start,
          end,
          limit,
          keysOnly,
          after: null,
          countOnly: false,
          maxBytes: MAX_TXN_RANGE_BYTES,
          strict: true,
        });
        return { type: 'range', entries, count };
      }
    }
  }

  /** `found`: what the `find` of the key, just before, has given. */
  #write(found: KeyVersion | undefined, revision: number, subOperation: number, put: Written): void {
    const latest = alive(found);
    const { value, lease } = put;
    const version = new KeyVersion(
      found?.key ?? put.key,
      latest?.createRevision ?? revision,
      revision,
      subOperation,
      latest === null ? 1 : latest.version + 1,
      value.length,
      lease,
      found ?? null,
    );
    this.#history.add(version, put.contentType, value);
    this.#index.putFound(version);
    const leaseBefore = latest === null ? null : latest.lease;
    if (lease !== leaseBefore) this.#leaseKeys.move(version.key, leaseBefore, lease);
  }

  /** `latest`: what the `find` of the key, just before, has given. */
  #bury(latest: KeyVersion, revision: number, subOperation: number): void {
    const version = tombstone(latest, revision, subOperation);
    this.#history.add(version, null, NO_VALUE);
    this.#index.putFound(version);
    this.#leaseKeys.move(latest.key, latest.lease, null);
  }

  #buryRange({ start, end }: KeyRange, revision: number, subOperation: number): number {
    let deleted = 0;
    this.#index.replaceRange(start, end, (latest) => {
      if (latest.version === 0) return latest;
      const version = tombstone(latest, revision, subOperation + deleted++);
      this.#history.add(version, null, NO_VALUE);
      this.#leaseKeys.move(latest.key, latest.lease, null);
      return version;
    });
    return deleted;
  }

  #casFailed(latest: KeyVersion | null) {
    const current = latest === null ? null : this.#history.entry(latest);
    return { ok: false, code: 'ERR_CAS_FAILED', revision: this.#revision, current } as const;
  }

  #refuse(code: Refusal['code'], message: string, details: Readonly<Record<string, unknown>> = {}): Refusal {
    return { ok: false, code, revision: this.#revision, message, details };
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Space.

  /** Before each command: it is this late, in state-machine time, milliseconds. */
  tick(timeMs: number): void {
    if (this.#retention.tick(timeMs, this.#revision)) this.#writeSettings();
  }

  /** Takes effect at once, except that versions go as they do after `compact`. Asserts whole numbers. */
  configure(settings: Partial<StoreSettings>): void {
    this.#assertReady();
    this.#retention.configure(settings, this.#revision);
    this.#writeSettings();
  }

  /**
   * Nothing older than `revision` can be read from now on. What that leaves behind is dropped here and, if it is much, with the writes that follow. Refused as
   * ERR_FUTURE_REVISION (`details.revision`) and, below what was compacted before, ERR_COMPACTED (`details.compactRevision`).
   */
  compact(revision: number): Compacted | Refusal {
    this.#assertReady();
    if (revision > this.#revision) {
      const [code, message, { details }] = this.#future(revision);
      return this.#refuse(code, message, details);
    }
    if (revision < this.compactedRevision) {
      const [code, message, { details }] = this.#compacted(`Revision ${revision} was compacted`);
      return this.#refuse(code, message, details);
    }
    if (revision > this.#retention.floor) {
      this.#retention.settle();
      this.#retention.raiseFloor(revision);
      this.#writeSettings();
    }
    this.#history.dropUntil(revision, MAX_DROPS_PER_COMPACTION);
    return { ok: true, type: 'compacted', revision: this.#revision, compactedRevision: this.compactedRevision };
  }

  #writeSettings(): void {
    this.#history.raiseCompactedRevision(this.#retention.floor);
    const record = encodeSettings(this.#retention.record);
    this.#view.put(settingsKey(), record);
    this.#history.mixRecord(record);
  }

  /** After each command that wrote: drops what is due, oldest first. */
  #dropSuperseded(writes: number): void {
    const { floor, keepRevisions, quotaBytes } = this.#retention;
    const history = this.#history;
    const due = this.#revision - keepRevisions;
    const drops = history.isDue(floor) ? MAX_DROPS_BELOW_FLOOR : MAX_DROPS_PER_WRITE;
    history.dropUntil(Math.max(due, floor), drops * writes);
    if (quotaBytes > 0 && history.bytes > quotaBytes * HIGH_WATER) {
      history.dropDownTo(quotaBytes * HIGH_WATER, MAX_DROPS_FOR_QUOTA);
    }
  }

  #fits(bytes: number): boolean {
    const { quotaBytes } = this.#retention;
    return bytes === 0 || quotaBytes === 0 || this.#history.bytes + bytes <= quotaBytes;
  }

  /** Drops what is superseded early, oldest first, for these bytes to fit into the quota. */
  #makeRoom(bytes: number): Refusal | null {
    const { quotaBytes } = this.#retention;
    this.#history.dropDownTo(quotaBytes - bytes, MAX_DROPS_FOR_QUOTA);
    if (this.#fits(bytes)) return null;
    const message = `The store holds ${this.bytes} of at most ${quotaBytes} bytes, and this would be ${bytes} more`;
    return this.#refuse('ERR_QUOTA', message, { quotaBytes, bytes: this.bytes });
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Start: the index is rebuilt from the history.

  /** Takes one history record; they come in key order, then `restored`. Keeps nothing of the record's memory. */
  restore(key: Uint8Array, record: Uint8Array): void {
    invariant(this.#revision === 0, 'a store is restored before it is used');
    this.#restoring ??= new Restoration();
    this.#restoring.add(key, record);
  }

  /** Takes the settings record, if there is one. Throws as `decodeSettings`. Keeps nothing of its memory. */
  restoreSettings(record: Uint8Array): void {
    invariant(this.#revision === 0, 'a store is restored before it is used');
    this.#restoring ??= new Restoration();
    this.#restoring.settings = decodeSettings(record);
  }

  /** Builds the index. Throws ERR_CORRUPT when the records and `state` do not belong together. */
  restored(state: KvState): void {
    invariant(this.#revision === 0, 'a store is restored before it is used');
    const restoration = this.#restoring ?? new Restoration();
    this.#restoring = null;
    restoration.check(state);
    this.#revision = state.revision;
    this.#retention.restore(state.keepRevisions, restoration.settings);
    const newest = restoration.link();
    this.#index.build(newest);
    for (const { key, lease } of newest) if (lease !== null) this.#leaseKeys.move(key, null, lease);
    this.#history.restore(restoration.versions, state.compactedRevision, state.digest);
  }

  #assertReady(): void {
    invariant(this.#restoring === null, 'a store is written to after it was restored');
  }
}

const NO_VALUE = new Uint8Array(0);

type Written = Pick<PutOperation, 'key' | 'value' | 'contentType' | 'lease'>;

function alive(version: KeyVersion | undefined | null): KeyVersion | null {
  return version === undefined || version === null || version.version === 0 ? null : version;
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
