/**
 * The log as the core sees it: a tail in memory over what `LogReader` reads from disk.
 *
 * The tail always holds what is not known to be on disk, and behind that as many persisted entries as fit into
 * `maxCachedBytes`, so that followers that keep up and the state machine are served without a read. Disk is asked only for
 * indexes before the tail, which are persisted and not cut off: it does not matter whether the reader shows a write when
 * it is staged or when it is synced.
 *
 * Messages of assertions are built only when they fail, here and wherever code runs for every entry or message.
 *
 * Four positions, in order: `firstIndex` ≤ … ≤ `persisted` < `unstable` ≤ `lastIndex` + 1. Entries from `unstable` on have
 * not been handed to a Ready; those between `persisted` and `unstable` are on their way to the disk.
 */
import { invariant } from '../errors.ts';
import type { Entry, LogReader } from './types.ts';

/** Reckoned for each cached entry besides its data, so that a million empty entries count for something. */
const ENTRY_OVERHEAD_BYTES = 64;
/** Takes the slot of an evicted entry until the array is shifted, so that its data can be collected at once. */
const EVICTED: Entry = { index: 0, term: 0, kind: 'noop', data: new Uint8Array(0) };
/** Evicted slots are squeezed out once there are this many and they are half of the array: O(1) an entry over time. */
const SQUEEZE_SLOTS = 256;

function cost(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

export class RaftLog {
  readonly #reader: LogReader;
  readonly #maxCachedBytes: number;
  /** Entries `#tailFirst`, `#tailFirst + 1`, … start at slot `#head`. */
  #tail: Entry[] = [];
  #head = 0;
  #tailFirst: number;
  #firstIndex: number;
  /** Term at firstIndex - 1: of the last entry that was compacted or came as a snapshot. */
  #baseTerm: number;
  #lastIndex: number;
  #lastTerm: number;
  #persisted: number;
  #unstable: number;
  /** Of entries in the tail that are persisted: those that may be evicted. */
  #cachedBytes = 0;

  constructor(reader: LogReader, maxCachedBytes: number) {
    this.#reader = reader;
    this.#maxCachedBytes = maxCachedBytes;
    this.#firstIndex = reader.firstIndex();
    this.#lastIndex = reader.lastIndex();
    invariant(this.#lastIndex >= this.#firstIndex - 1, 'The stored log ends before it begins');
    this.#baseTerm = this.#firstIndex === 1 ? 0 : this.#storedTerm(this.#firstIndex - 1);
    this.#lastTerm = this.#lastIndex < this.#firstIndex ? this.#baseTerm : this.#storedTerm(this.#lastIndex);
    this.#tailFirst = this.#lastIndex + 1;
    this.#unstable = this.#lastIndex + 1;
    this.#persisted = this.#lastIndex;
  }

  #storedTerm(index: number): number {
    const term = this.#reader.term(index);
    invariant(term !== undefined, `The stored log has no term for index ${index}`);
    return term;
  }

  get firstIndex(): number {
    return this.#firstIndex;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get lastTerm(): number {
    return this.#lastTerm;
  }

  /** Everything up to here is on disk, as it stands in this log now. */
  get persisted(): number {
    return this.#persisted;
  }

  get hasUnstable(): boolean {
    return this.#unstable <= this.#lastIndex;
  }

  /** Data bytes and bookkeeping of the persisted entries held in memory. */
  get cachedBytes(): number {
    return this.#cachedBytes;
  }

  /** Undefined outside [firstIndex - 1, lastIndex]. */
  term(index: number): number | undefined {
    if (index === this.#lastIndex) return this.#lastTerm;
    if (index > this.#lastIndex || index < this.#firstIndex - 1) return undefined;
    if (index === this.#firstIndex - 1) return this.#baseTerm;
    if (index >= this.#tailFirst) return this.#tail[this.#head + index - this.#tailFirst]!.term;
    return this.#reader.term(index);
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Raft §5.4.1: a log ending in (index, term) is at least as up to date as this one. */
  isUpToDate(index: number, term: number): boolean {
    return term > this.#lastTerm || (term === this.#lastTerm && index >= this.#lastIndex);
  }

  /** Appends after lastIndex, from position `offset` of `entries`. */
  append(entries: readonly Entry[], offset = 0): void {
    let index = this.#lastIndex;
    let term = this.#lastTerm;
    for (let i = offset; i < entries.length; i++) {
      const entry = entries[i]!;
      if (entry.index !== index + 1) invariant(false, `Append of entry ${entry.index} after ${index}`);
      if (entry.term < term) invariant(false, `Append of term ${entry.term} at ${entry.index} after term ${term}`);
      this.#tail.push(entry);
      index++;
      term = entry.term;
    }
    this.#lastIndex = index;
    this.#lastTerm = term;
  }

  /** Cuts off `from` and all after it. What was persisted there counts no more, whatever the disk still says. */
  truncate(from: number): void {
    invariant(from >= this.#firstIndex, `Truncation at ${from} reaches into the compacted log (${this.#firstIndex})`);
    if (from > this.#lastIndex) return;
    const term = this.term(from - 1);
    invariant(term !== undefined, `No term before the truncation at ${from}`);
    if (from > this.#tailFirst) {
      for (let index = from; index <= this.#persisted; index++) this.#cachedBytes -= cost(this.#at(index));
      this.#tail.length = this.#head + (from - this.#tailFirst);
    } else {
      this.#clearTail(from);
    }
    this.#lastIndex = from - 1;
    this.#lastTerm = term;
    this.#persisted = Math.min(this.#persisted, from - 1);
    this.#unstable = Math.min(this.#unstable, from);
  }

  /** Goes on after a snapshot; `keepPersisted` bounds what still counts as being on disk until the snapshot is. */
  reset(index: number, term: number, keepPersisted: number): void {
    this.#clearTail(index + 1);
    this.#firstIndex = index + 1;
    this.#baseTerm = term;
    this.#lastIndex = index;
    this.#lastTerm = term;
    this.#persisted = Math.min(this.#persisted, keepPersisted);
    this.#unstable = index + 1;
  }

  #clearTail(first: number): void {
    this.#tail = [];
    this.#head = 0;
    this.#tailFirst = first;
    this.#cachedBytes = 0;
  }

  #at(index: number): Entry {
    return this.#tail[this.#head + index - this.#tailFirst]!;
  }

  /** Entries for the next Ready to persist; each is given out once. */
  takeUnstable(): readonly Entry[] {
    const entries = this.#tail.slice(this.#head + this.#unstable - this.#tailFirst);
    this.#unstable = this.#lastIndex + 1;
    return entries;
  }

  /** The disk has everything up to `index`, as far as it was not cut off since (see writes.ts). */
  persistTo(index: number): void {
    if (index <= this.#persisted) return;
    if (index >= this.#unstable) invariant(false, `Persisted up to ${index}, handed out ${this.#unstable - 1}`);
    for (let i = Math.max(this.#persisted + 1, this.#tailFirst); i <= index; i++) {
      this.#cachedBytes += cost(this.#at(i));
    }
    this.#persisted = index;
    this.#evict();
  }

  #evict(): void {
    while (this.#cachedBytes > this.#maxCachedBytes && this.#tailFirst <= this.#persisted) this.#dropFirst();
    this.#squeeze();
  }

  #dropFirst(): void {
    this.#cachedBytes -= cost(this.#tail[this.#head]!);
    this.#tail[this.#head] = EVICTED;
    this.#head++;
    this.#tailFirst++;
  }

  #squeeze(): void {
    if (this.#head < SQUEEZE_SLOTS || this.#head * 2 < this.#tail.length) return;
    this.#tail = this.#tail.slice(this.#head);
    this.#head = 0;
  }

  /** The stored log was cut: entries up to and including `index` are gone. */
  compact(index: number): void {
    if (index < this.#firstIndex) return;
    invariant(index <= this.#persisted, `Compaction up to ${index}, but only ${this.#persisted} is persisted`);
    const term = this.term(index) ?? this.#reader.term(index);
    invariant(term !== undefined, `No term for the compacted index ${index}`);
    this.#firstIndex = index + 1;
    this.#baseTerm = term;
    while (this.#tailFirst <= index && this.#head < this.#tail.length) this.#dropFirst();
    this.#tailFirst = Math.max(this.#tailFirst, index + 1);
    this.#squeeze();
  }

  /**
   * Entries from `from` to before `to`, at least one, stopping before `maxBytes` of data is exceeded. May be shorter at the border between disk
   * and memory. Empty only when the disk no longer has `from`.
   */
  slice(from: number, to: number, maxBytes: number): readonly Entry[] {
    if (from < this.#firstIndex || to > this.#lastIndex + 1 || from >= to) {
      invariant(false, `No slice [${from}, ${to}) of a log [${this.#firstIndex}, ${this.#lastIndex}]`);
    }
    if (from < this.#tailFirst) {
      const stored = this.#reader.entries(from, Math.min(to, this.#tailFirst), maxBytes);
      if (stored.length > 0 && stored[0]!.index !== from) {
        invariant(false, `The stored log answered ${from} with entry ${stored[0]!.index}`);
      }
      return stored;
    }
    const start = this.#head + from - this.#tailFirst;
    const end = this.#head + to - this.#tailFirst;
    let bytes = this.#tail[start]!.data.length;
    let stop = start + 1;
    while (stop < end) {
      bytes += this.#tail[stop]!.data.length;
      if (bytes > maxBytes) break;
      stop++;
    }
    return this.#tail.slice(start, stop);
  }

  /**
   * The last index in [low, high] whose term is at most `term`; low - 1 when there is none. Terms never fall along the log, so
   * this is a binary search and a long divergence costs a few reads. Both sides of the conflict hint use it (§5.3, end).
   */
  lastIndexUpToTerm(low: number, high: number, term: number): number {
    let below = low - 1;
    let above = high + 1;
    while (above - below > 1) {
      const middle = below + Math.floor((above - below) / 2);
      if ((this.term(middle) ?? 0) <= term) below = middle;
      else above = middle;
    }
    return below;
  }
}
