/**
 * A disk in memory that keeps two truths: what a running node sees, and what would be found after a power cut. Writes queue
 * in order; one that asked for no sync may be lost by a crash even after it was reported as written.
 */
import type { Entry, HardState, IndexedConfiguration, LogReader, Ready, SnapshotMeta } from '../../src/raft/types.ts';

/** The replicated state in miniature: where it stands, and a chain of everything applied so far. */
export interface AppliedState {
  readonly index: number;
  readonly term: number;
  readonly hash: number;
}

export const EMPTY_STATE: AppliedState = { index: 0, term: 0, hash: 0x811c9dc5 };

/** FNV-1a over index, term, kind and data, chained. Equal hashes mean equal histories, for a test's purpose. */
export function applyEntry(state: AppliedState, entry: Entry): AppliedState {
  let hash = state.hash;
  const mix = (value: number): void => {
    hash = Math.imul(hash ^ value, 0x01000193) >>> 0;
  };
  mix(entry.index);
  mix(entry.term);
  mix(entry.kind.length);
  for (const byte of entry.data) mix(byte);
  return { index: entry.index, term: entry.term, hash };
}

export type DiskOperation =
  | { readonly kind: 'ready'; readonly ready: Ready; readonly state: AppliedState | null }
  | { readonly kind: 'flush'; readonly state: AppliedState }
  | { readonly kind: 'compact'; readonly index: number };

/** The contents of a disk: a log, the hard state, configurations, and the flushed state. */
export class DiskImage implements LogReader {
  hardState: HardState = { term: 0, vote: null, commit: 0 };
  configurations: readonly IndexedConfiguration[] = [];
  applied: AppliedState = EMPTY_STATE;
  /** Index and term of the last entry that is gone. */
  baseIndex = 0;
  baseTerm = 0;
  readonly log: Entry[] = [];

  firstIndex(): number {
    return this.baseIndex + 1;
  }

  lastIndex(): number {
    return this.baseIndex + this.log.length;
  }

  lastTerm(): number {
    return this.log.at(-1)?.term ?? this.baseTerm;
  }

  term(index: number): number | undefined {
    return index === this.baseIndex ? this.baseTerm : this.entry(index)?.term;
  }

  entry(index: number): Entry | undefined {
    return index <= this.baseIndex ? undefined : this.log[index - this.baseIndex - 1];
  }

  entries(from: number, to: number, maxBytes: number): Entry[] {
    if (from <= this.baseIndex || to > this.lastIndex() + 1 || from > to) {
      throw new Error(`read of [${from}, ${to}) from a log of [${this.firstIndex()}, ${this.lastIndex() + 1})`);
    }
    const result: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.log[index - this.baseIndex - 1] as Entry;
      bytes += entry.data.length;
      if (result.length > 0 && bytes > maxBytes) break;
      result.push(entry);
    }
    return result;
  }

  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    if (first.index <= this.baseIndex || first.index > this.lastIndex() + 1) {
      throw new Error(`append at ${first.index} to a log of [${this.firstIndex()}, ${this.lastIndex() + 1})`);
    }
    this.log.length = first.index - this.baseIndex - 1;
    for (const entry of entries) this.log.push(entry);
  }

  compact(index: number): void {
    const term = this.term(index);
    if (index <= this.baseIndex || term === undefined) return;
    this.log.splice(0, index - this.baseIndex);
    this.baseIndex = index;
    this.baseTerm = term;
  }

  reset(meta: SnapshotMeta): void {
    this.log.length = 0;
    this.baseIndex = meta.index;
    this.baseTerm = meta.term;
  }

  perform(operation: DiskOperation): void {
    if (operation.kind === 'flush') {
      this.applied = operation.state;
    } else if (operation.kind === 'compact') {
      this.compact(operation.index);
    } else {
      const { ready, state } = operation;
      if (ready.snapshot !== null) {
        this.reset(ready.snapshot);
        if (state === null || state.index !== ready.snapshot.index) throw new Error('snapshot without its state');
        this.applied = state;
      }
      this.append(ready.entries);
      if (ready.hardState !== null) this.hardState = ready.hardState;
      if (ready.configurations !== null) this.configurations = ready.configurations;
    }
  }

  copyFrom(other: DiskImage): void {
    this.hardState = other.hardState;
    this.configurations = other.configurations;
    this.applied = other.applied;
    this.baseIndex = other.baseIndex;
    this.baseTerm = other.baseTerm;
    this.log.length = 0;
    for (const entry of other.log) this.log.push(entry);
  }
}

/** Which of its own writes a running node reads back: all that it staged, or only what has been written. */
export type ReadBack = 'staged' | 'written';

export class Disk {
  /** Everything that was handed to the disk, done or not. */
  readonly staged = new DiskImage();
  /** Everything that the disk reported as written. */
  readonly written = new DiskImage();
  /** What a power cut leaves, at least. */
  readonly durable = new DiskImage();
  /** Not yet written, oldest first. */
  readonly queue: DiskOperation[] = [];
  /** Written but not synced, oldest first. */
  readonly #unsynced: DiskOperation[] = [];

  /** Puts something on a disk before its node is first started. */
  prepare(fill: (image: DiskImage) => void): void {
    for (const image of [this.staged, this.written, this.durable]) fill(image);
  }

  stage(operation: DiskOperation): void {
    this.staged.perform(operation);
    this.queue.push(operation);
  }

  /** Finishes the oldest write. A synced write makes all earlier ones durable too. */
  write(): DiskOperation | undefined {
    const operation = this.queue.shift();
    if (operation === undefined) return undefined;
    this.written.perform(operation);
    this.#unsynced.push(operation);
    if (operation.kind === 'ready' && operation.ready.mustSync) {
      this.sync();
    }
    return operation;
  }

  /** Makes everything written durable. */
  sync(): void {
    for (const done of this.#unsynced.splice(0)) this.durable.perform(done);
  }

  /** How many writes a crash could lose. */
  get vulnerable(): number {
    return this.#unsynced.length + this.queue.length;
  }

  /** Power cut: of the vulnerable writes only the first `survivors` reached the platter. */
  crash(survivors: number): void {
    for (const operation of [...this.#unsynced, ...this.queue].slice(0, survivors)) this.durable.perform(operation);
    this.#unsynced.length = 0;
    this.queue.length = 0;
    this.staged.copyFrom(this.durable);
    this.written.copyFrom(this.durable);
  }
}
