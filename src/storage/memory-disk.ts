/**
 * A disk in memory that can forget what was not synced, fail, and stall, at a test's wish and never by itself. There is
 * no real time in it: writes land when `schedule` runs them.
 */
import sortedBTree from 'sorted-btree';
import { KvorumError, invariant } from '../errors.ts';
import { byteString } from './bytes.ts';
import type { Engine, EngineBatch, EngineIterator, EngineRange, EngineRecord, EngineSnapshot } from './engine.ts';

// The package is CommonJS: its class is the `default` of what Node imports, but what vitest imports is the class itself.
const BTree = sortedBTree.default ?? (sortedBTree as unknown as typeof sortedBTree.default);

/** Keys as strings of their bytes: they compare natively. */
type Tree = sortedBTree.default<string, EngineRecord>;
type Operation = readonly [key: string, record: EngineRecord | null];
type Undo = readonly (readonly [key: string, before: EngineRecord | undefined])[];

export interface MemoryDiskOptions {
  /** Runs a task soon, after the caller is done; a write lands in one. Default: queueMicrotask. */
  readonly schedule?: (task: () => void) => void;
  /** Milliseconds, for statistics only. Default: always 0. */
  readonly now?: () => number;
}

export interface CrashOptions {
  /**
   * How many of the batches that were not synced survive, oldest first; the one in flight, synced or not, counts as
   * the last of them. Default 0: the power went, and the disk had nothing but what was synced. `Infinity`: the process died, the machine did not.
   */
  readonly keepUnsynced?: number;
}

interface Write {
  readonly operations: readonly Operation[];
  readonly sync: boolean;
  readonly callback: (error: Error | null) => void;
}

export class MemoryDisk {
  readonly #options: MemoryDiskOptions;
  readonly #schedule: (task: () => void) => void;
  #tree: Tree = new BTree<string, EngineRecord>();
  /** How to take back each written batch that was not synced, oldest first. */
  #unsynced: Undo[] = [];
  /** Started and not landed; at most one, since the queue above has one in flight. */
  #flying: Write[] = [];
  #held = false;
  #failure: { readonly error: Error; readonly landed: boolean } | null = null;
  #open = false;
  #dead = false;
  #opened = 0;

  constructor(options: MemoryDiskOptions = {}) {
    this.#options = options;
    this.#schedule = options.schedule ?? queueMicrotask;
  }

  /** Batches that a crash now may take, the one in flight included. */
  get unsyncedBatches(): number {
    return this.#unsynced.length + this.#flying.length;
  }

  get writing(): boolean {
    return this.#flying.length > 0;
  }

  /**
   * The next write to land fails with `error`; null takes that back. It changes nothing, or with `landed` is there all the same, unsynced: what
   * a sync that failed leaves.
   */
  failNextWrite(error: Error | null, { landed = false }: { landed?: boolean } = {}): void {
    this.#failure = error === null ? null : { error, landed };
  }

  /** Writes stop landing (a frozen disk) until `release`. */
  hold(): void {
    this.#held = true;
  }

  /** Lands the oldest held write only; false when there is none. */
  releaseOne(): boolean {
    const write = this.#flying[0];
    if (write !== undefined) this.#land(write);
    return write !== undefined;
  }

  release(): void {
    this.#held = false;
    while (this.releaseOne());
  }

  /** The disk as it would be found after a crash now. This one is dead: nothing lands, nobody is called back. */
  crash(options: CrashOptions = {}): MemoryDisk {
    const survivor = new MemoryDisk(this.#options);
    survivor.#tree = this.#tree.clone();
    survivor.#opened = this.#opened;
    invariant(!this.#dead, 'this disk has crashed before');
    let keep = options.keepUnsynced ?? 0;
    for (let at = this.#unsynced.length - 1; at >= keep; at--) {
      for (const [key, before] of (this.#unsynced[at] as Undo).toReversed()) {
        if (before === undefined) survivor.#tree.delete(key);
        else survivor.#tree.set(key, before);
      }
    }
    keep -= this.#unsynced.length;
    for (const write of this.#flying) if (keep-- > 0) survivor.#apply(write.operations);
    this.#flying = [];
    this.#dead = true;
    return survivor;
  }

  /** What is on it now, synced or not, as another disk. */
  copy(): MemoryDisk {
    const other = new MemoryDisk(this.#options);
    other.#tree = this.#tree.clone();
    other.#opened = this.#opened;
    return other;
  }

  /** For the store: the engine over this disk, which is then durable as it is. */
  engine(): Engine {
    if (this.#open) throw new KvorumError('ERR_DATA_DIR_IN_USE', 'this disk is in use by another store');
    this.#open = true;
    // LevelDB writes what it recovers into a table, and syncs that, before it has opened: nothing of what a store found is lost with the power.
    this.#unsynced = [];
    const tree = (): Tree => this.#tree;
    return {
      nonce: ++this.#opened,
      get: (key) => tree().get(byteString(key))?.[1],
      batch: () => new MemoryBatch((write) => this.#start(write)),
      snapshot: () => new MemorySnapshot(tree().clone()),
      iterate: (range) =>
        new MemoryIterator(range.snapshot instanceof MemorySnapshot ? range.snapshot.tree : tree().clone(), range),
      schedule: this.#schedule,
      now: this.#options.now ?? (() => 0),
      close: () => {
        this.#open = false;
        return Promise.resolve();
      },
    };
  }

  /** A damaged byte: changes the stored value of a key in place. For tests. */
  damage(key: Uint8Array, change: (value: Uint8Array) => Uint8Array): void {
    const record = this.#tree.get(byteString(key));
    invariant(record !== undefined, 'there is no such record to damage');
    // Not `slice`: that of a Buffer shares its bytes, with everybody who has read them.
    this.#tree.set(byteString(key), [record[0], change(new Uint8Array(record[1]))]);
  }

  /** Of all stored records, in order. For tests. */
  keys(): Uint8Array[] {
    return this.#tree.valuesArray().map(([key]) => key);
  }

  /** A record that got lost. For tests. */
  remove(key: Uint8Array): void {
    this.#tree.delete(byteString(key));
  }

  #start(write: Write): void {
    if (this.#dead) return;
    this.#flying.push(write);
    this.#schedule(() => {
      if (!this.#held) this.#land(write);
    });
  }

  #land(write: Write): void {
    const at = this.#flying.indexOf(write);
    if (at < 0) return; // landed by hand, or the disk is dead
    this.#flying.splice(at, 1);
    const failure = this.#failure;
    if (failure !== null) {
      this.#failure = null;
      if (failure.landed) this.#unsynced.push(this.#apply(write.operations));
      write.callback(failure.error);
      return;
    }
    const undo = this.#apply(write.operations);
    if (write.sync) this.#unsynced = [];
    else this.#unsynced.push(undo);
    write.callback(null);
  }

  #apply(operations: readonly Operation[]): Undo {
    const undo: (readonly [string, EngineRecord | undefined])[] = [];
    for (const [key, record] of operations) {
      undo.push([key, this.#tree.get(key)]);
      if (record === null) this.#tree.delete(key);
      else this.#tree.set(key, record);
    }
    return undo;
  }
}

class MemoryBatch implements EngineBatch {
  readonly #start: (write: Write) => void;
  readonly #operations: Operation[] = [];

  constructor(start: (write: Write) => void) {
    this.#start = start;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#operations.push([byteString(key), [key, value]]);
  }

  delete(key: Uint8Array): void {
    this.#operations.push([byteString(key), null]);
  }

  write(sync: boolean, callback: (error: Error | null) => void): void {
    this.#start({ operations: this.#operations, sync, callback });
  }
}

class MemorySnapshot implements EngineSnapshot {
  readonly tree: Tree;

  constructor(tree: Tree) {
    this.tree = tree;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.tree.get(byteString(key))?.[1];
  }

  close(): void {
    this.tree.clear();
  }
}

const NO_VALUE = new Uint8Array(0);

class MemoryIterator implements EngineIterator {
  readonly #records: IterableIterator<[string, EngineRecord]>;
  readonly #from: string;
  readonly #to: string;
  readonly #keysOnly: boolean;

  constructor(tree: Tree, range: EngineRange) {
    this.#from = byteString(range.from);
    this.#to = byteString(range.to);
    this.#keysOnly = range.keysOnly === true;
    this.#records = range.reverse === true ? tree.entriesReversed(this.#to) : tree.entries(this.#from);
  }

  next(count: number): Promise<readonly EngineRecord[]> {
    const found: EngineRecord[] = [];
    while (found.length < count) {
      const next = this.#records.next();
      if (next.done === true) break;
      const [key, record] = next.value;
      // Backwards, the bound itself comes first and is not part of the range.
      if (key === this.#to) continue;
      if (key < this.#from || key > this.#to) break;
      found.push(this.#keysOnly ? [record[0], NO_VALUE] : record);
    }
    return Promise.resolve(found);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
