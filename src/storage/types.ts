/**
 * What the shell asks of a disk: one `Store` a node, and in it a `LogStore` and a `StateStore` for each Raft group.
 * Two implementations pass the same conformance suites: LevelDB (`level-store.ts`) and memory (`memory-store.ts`, which can
 * also forget what was not synced, fail and stall at a test's wish).
 *
 * Callbacks, not promises: the replica loop that uses this runs unchanged in the simulator, where a write ends when the
 * simulator says so.
 */
import type { Entry, GroupId, HardState, IndexedConfiguration, LogReader, SnapshotMeta } from '../raft/types.ts';

export interface Store {
  /** The log, state and small records of a group; made empty on first use. Same object each time. */
  group(id: GroupId): GroupStore;
  /** Groups found on disk. */
  groups(): readonly GroupId[];
  /** Small node-wide records (identity, boot epoch, member map …), read into memory at open. */
  readonly node: NodeRecords;
  /**
   * Writes what all groups and `node` have staged since the last commit as one batch, and calls back when it is written
   * (`sync: true`: when it is on disk). Exactly one batch is in flight: a commit that arrives meanwhile waits, is merged with
   * others that wait (synced if any of them is), and their callbacks run in order, after the batch. After a failure nothing more is ever written:
   * that callback, all waiting ones and all later ones get the same ERR_STORE_POISONED.
   */
  commit(sync: boolean, callback: (error: Error | null) => void): void;
  /** Set once a write failed. */
  readonly poisoned: Error | null;
  /** True while a batch is in flight or waits. */
  readonly busy: boolean;
  /** Waits for the batch in flight, then closes. Staged, uncommitted data is dropped. */
  close(): Promise<void>;
  stats(): StoreStats;
}

export interface StoreStats {
  readonly batches: number;
  readonly syncedBatches: number;
  readonly bytesWritten: number;
  /** Milliseconds of the last and of the slowest synced batch. */
  readonly lastSyncMs: number;
  readonly maxSyncMs: number;
}

export interface NodeRecords {
  get(name: string): unknown;
  /** Staged until the next `commit`. `value` is msgpack-able plain data; undefined deletes. */
  set(name: string, value: unknown): void;
}

export interface GroupStore {
  readonly log: LogStore;
  readonly state: StateStore;
}

/** The log of one group. Reads see what was staged at once; what is staged becomes durable with a synced `Store.commit`. */
export interface LogStore extends LogReader {
  /** What was found at open; hardState is {term: 0, vote: null, commit: 0} for a fresh group. */
  readonly hardState: HardState;
  readonly configurations: readonly IndexedConfiguration[];
  /** Stages entries (contiguous; the first index ≤ lastIndex + 1: what is stored from there on is cut off first). */
  append(entries: readonly Entry[]): void;
  setHardState(hardState: HardState): void;
  setConfigurations(configurations: readonly IndexedConfiguration[]): void;
  /** Forgets entries up to and including `index` (≤ lastIndex); their term at `index` stays known. Deleting may go on in the background. */
  compact(index: number): void;
  /** Forgets the whole log and goes on after a snapshot: firstIndex becomes index + 1, lastIndex index. */
  reset(index: number, term: number): void;
  /** Data bytes of the entries stored, for compaction by size. */
  readonly bytes: number;
}

export interface AppliedPosition {
  readonly index: number;
  readonly term: number;
}

/** A record of the replicated state. Keys are ordered as unsigned bytes and are the state machine's own. */
export interface StateRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** What the state machine sees of the store, synchronously: reads through the overlay, writes into it. */
export interface StateView {
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  /**
   * As `put`, but the value is made when it is read or flushed: what is overwritten or deleted before that is never made. `bytes`: about how much memory it takes until
   * then. `fresh`: nothing is stored under the key; then a deletion before that is not written either.
   */
  putLater?(key: Uint8Array, bytes: number, make: () => Uint8Array, fresh: boolean): void;
}

/**
 * The applied state of one group: an in-memory overlay (applied, not yet flushed) over the database.
 * What is put between two `seal` calls is a unit; flushing writes whole units, each batch with the position of its last unit,
 * so that a restart applies each entry exactly once.
 */
export interface StateStore extends StateView {
  /** The position that is on its way to or on disk and that a restart would continue from: the last flushed unit's. {0, 0} when empty. */
  readonly flushed: AppliedPosition;
  /** Ends a unit: what was put since the last seal belongs to entries up to `position`. */
  seal(position: AppliedPosition): void;
  /** Bytes in sealed and unsealed units that are not yet flushed: bounded by the replica loop, which refuses proposals beyond. */
  readonly overlayBytes: number;
  /**
   * Stages the oldest sealed units, whole, up to about `maxBytes` (at least one), for the next `Store.commit`. Returns bytes staged, 0 when there is nothing.
   * They leave the overlay when that commit's batch is written; `flushed` moves at the same moment.
   */
  stageFlush(maxBytes: number): number;
  /** All flushed records in key order, [from, to) by key when given. For rebuilding the index at start. Not for use while units are unflushed. */
  scan(visit: (record: StateRecord) => void, from?: Uint8Array, to?: Uint8Array): Promise<void>;
  /** A consistent view of what is flushed now, unmoved by later writes. Close it. */
  openSnapshot(): StateSnapshot;
  /**
   * Receives a snapshot under a new generation, beside the state in use. What an earlier receiver left is deleted,
   * unless it was of the same `id`, which is then resumed.
   */
  receiveSnapshot(id: SnapshotId): Promise<SnapshotReceiver>;
}

/** The same snapshot on the same sender: chunks of it can be continued after a break. */
export interface SnapshotId {
  /** Sender's member id and a number that is unique there, for example `"5:17"`. */
  readonly source: string;
  readonly index: number;
  readonly term: number;
}

export interface StateSnapshot {
  readonly position: AppliedPosition;
  /** Records after `after` (exclusive; null from the start), in key order, up to about `maxBytes`; done when there are no more after these. */
  read(after: Uint8Array | null, maxBytes: number): Promise<{ records: StateRecord[]; done: boolean }>;
  close(): void;
}

export interface SnapshotReceiver {
  readonly id: SnapshotId;
  /** Key of the last record already stored: the sender goes on after it. Null from the start. */
  readonly after: Uint8Array | null;
  /** Stores records in key order. Resolves when written (not synced). */
  write(records: readonly StateRecord[]): Promise<void>;
  /**
   * Stages the switch (for the next synced `Store.commit`, in which the log's `reset` and `configurations` go too): from then on `get`, `scan` and `flushed` are
   * those of the snapshot, and the overlay is empty. The old generation is deleted in the background.
   */
  stageInstall(meta: SnapshotMeta): void;
  /** Gives up: deletes what was received (in the background). */
  discard(): void;
}

export interface OpenOptions {
  /** Data directory; made when it does not exist. */
  readonly directory: string;
  /** Called with one-line messages about recovery (a torn tail was cut, …). Default: silence. */
  readonly log?: (message: string) => void;
}
