/**
 * The Raft log of one group. Entries that were appended together lie under one key, an extent, since LevelDB's price is by the record; where each begins is kept
 * in memory. Where a run of entries of one term begins is kept in memory and on disk (a few numbers), so that `term` never reads an entry; what is staged or
 * in flight is served from memory.
 *
 * An extent is never changed: a log that is cut inside one gets the rest of it under a new key, in the batch that deletes the old one. One that
 * is compacted in part stays until all of it is.
 */
import { KvorumError, invariant } from '../errors.ts';
import type { Entry, GroupId, HardState, IndexedConfiguration } from '../raft/types.ts';
import { collect } from './engine.ts';
import type { Engine, EngineRecord } from './engine.ts';
import { KIND, extentKey, groupEnd, groupKey, indexKey, keyCount, keyIndex } from './keys.ts';
import {
  corrupt,
  decodeNumbers,
  decodeRun,
  decodeValue,
  encodeNumbers,
  encodeRun,
  encodeValue,
  lengthInRun,
} from './record.ts';
import type { Extent, Reclaimer } from './reclaimer.ts';
import { SizeLedger } from './size-ledger.ts';
import type { LogStore } from './types.ts';
import type { Participant, WriteQueue } from './write-queue.ts';

const FRESH: HardState = { term: 0, vote: null, commit: 0 };

/** Small records of a group, by kind, as found at open. */
export type GroupRecords = ReadonlyMap<number, Uint8Array>;

interface TermRun {
  readonly start: number;
  readonly term: number;
}

/** Staged entries up to `last` are part of batches up to number `batch`. */
interface StagedMark {
  readonly batch: number;
  last: number;
}

/** What an extent holds at most, unless it is one entry: what is read to get at one of them. */
const MAX_EXTENT_BYTES = 128 * 1024;

export class GroupLog implements LogStore, Participant {
  readonly #engine: Engine;
  readonly #queue: WriteQueue;
  readonly #reclaimer: Reclaimer;
  readonly #group: GroupId;
  #hardState: HardState = FRESH;
  #configurations: readonly IndexedConfiguration[] = [];
  #compactedIndex = 0;
  #compactedTerm = 0;
  #last = 0;
  /** Ascending; the first one may begin before the first index. */
  #runs: TermRun[] = [];
  /** First index of each extent, ascending; each reaches to the next one, the last to `#last`. The first one may begin before the first index. */
  #extents: number[] = [];
  #sizes = new SizeLedger();
  /** Entries from `#stagedFrom` on that are not yet known to be written. */
  #staged: Entry[] = [];
  #stagedFrom = 1;
  /** Ascending by batch and index. */
  #stagedMarks: StagedMark[] = [];
  #joined = false;
  #metaDirty = false;
  /** Compacted with the batch of that number: can be deleted once it is written. */
  #dead: { readonly batch: number; readonly extents: readonly Extent[] }[] = [];

  constructor(engine: Engine, queue: WriteQueue, reclaimer: Reclaimer, group: GroupId) {
    this.#engine = engine;
    this.#queue = queue;
    this.#reclaimer = reclaimer;
    this.#group = group;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  get configurations(): readonly IndexedConfiguration[] {
    return this.#configurations;
  }

  get bytes(): number {
    return this.#sizes.total;
  }

  firstIndex(): number {
    return this.#compactedIndex + 1;
  }

  lastIndex(): number {
    return this.#last;
  }

  term(index: number): number | undefined {
    if (index < this.#compactedIndex || index > this.#last) return undefined;
    if (index === this.#compactedIndex) return this.#compactedTerm;
    return this.#runs[this.#runAt(index)]?.term;
  }

  entries(from: number, to: number, maxBytes: number): Entry[] {
    invariant(
      from > this.#compactedIndex && to <= this.#last + 1,
      `entries [${from}, ${to}) are outside the log [${this.firstIndex()}, ${this.#last}]`,
    );
    const found: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to;) {
      for (const entry of this.#next(index, to)) {
        bytes += entry.data.length;
        if (bytes > maxBytes && found.length > 0) return found;
        found.push(entry);
        index++;
      }
    }
    return found;
  }

  /** At least one entry from `index` on, and none from `to` on. */
  #next(index: number, to: number): readonly Entry[] {
    const staged = index >= this.#stagedFrom ? this.#staged[index - this.#stagedFrom] : undefined;
    return staged === undefined ? this.#read(index, to) : [staged];
  }

  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    invariant(
      first.index > this.#compactedIndex && first.index <= this.#last + 1,
      `append at ${first.index} does not fit the log [${this.firstIndex()}, ${this.#last}]`,
    );
    const newLast = first.index + entries.length - 1;
    if (first.index <= this.#last) this.#truncate(first.index);
    if (this.#staged.length === 0) this.#stagedFrom = first.index;
    let index = first.index;
    let term = this.term(index - 1) ?? 0;
    for (const entry of entries) {
      if (entry.index !== index) invariant(false, `append has entry ${entry.index} where ${index} belongs`);
      if (entry.term < term) invariant(false, `entry ${index} has term ${entry.term} after term ${term}`);
      if (entry.term !== term || this.#runs.length === 0) this.#startRun(index, entry.term);
      term = entry.term;
      this.#sizes.add(index, entry.data.length);
      this.#staged.push(entry);
      index++;
    }
    this.#putExtents(entries);
    this.#stagedMarks.push({ batch: this.#queue.stagingNumber, last: newLast });
    this.#last = newLast;
    this.#touchMeta();
  }

  #putExtents(entries: readonly Entry[]): void {
    let from = 0;
    let bytes = 0;
    for (let at = 0; at < entries.length; at++) {
      const length = lengthInRun(entries[at] as Entry);
      if (at > from && bytes + length > MAX_EXTENT_BYTES) {
        this.#putExtent(entries.slice(from, at));
        from = at;
        bytes = 0;
      }
      bytes += length;
    }
    // The array itself: what was encoded for the followers, or came from the leader, is used again.
    this.#putExtent(from === 0 ? entries : entries.slice(from));
  }

  #putExtent(entries: readonly Entry[]): void {
    const { index } = entries[0] as Entry;
    this.#queue.put(extentKey(this.#group, index, entries.length), encodeRun(entries));
    this.#extents.push(index);
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
    const key = groupKey(KIND.hardState, this.#group);
    this.#queue.put(key, encodeValue([hardState.term, hardState.vote, hardState.commit]));
  }

  setConfigurations(configurations: readonly IndexedConfiguration[]): void {
    this.#configurations = configurations;
    this.#queue.put(groupKey(KIND.configurations, this.#group), encodeValue(configurations));
  }

  compact(index: number): void {
    if (index <= this.#compactedIndex) return;
    const term = this.term(index);
    invariant(term !== undefined, `compaction at ${index} is beyond the log [${this.firstIndex()}, ${this.#last}]`);
    // The mark goes first, in this batch; the entries follow in later ones, so that a crash in between leaves only garbage.
    this.#compactedIndex = index;
    this.#compactedTerm = term;
    this.#sizes.dropThrough(index);
    this.#dropStagedThrough(index);
    while ((this.#runs[1]?.start ?? Infinity) <= index + 1) this.#dropFirstRun();
    if (index === this.#last) while (this.#runs.length > 0) this.#dropFirstRun();
    this.#touchMeta();
    const dead: Extent[] = [];
    for (let at = 0; at < this.#extents.length && this.#extentEnd(at) <= index; at++) dead.push(this.#extent(at));
    this.#extents.splice(0, dead.length);
    this.#dead.push({ batch: this.#queue.stagingNumber, extents: dead });
  }

  reset(index: number, term: number): void {
    invariant(
      index >= this.#compactedIndex,
      `reset to ${index}, but entries up to ${this.#compactedIndex} are compacted`,
    );
    // What lies above may be written anew at any time, so it goes now; what lies below goes when there is time.
    const dead: Extent[] = [];
    for (let at = 0; at < this.#extents.length; at++) {
      if (this.#extentEnd(at) <= index) dead.push(this.#extent(at));
      else this.#deleteExtent(this.#extent(at));
    }
    this.#extents = [];
    while (this.#runs.length > 0) this.#dropFirstRun();
    this.#staged = [];
    this.#stagedFrom = index + 1;
    this.#stagedMarks = [];
    this.#sizes = new SizeLedger();
    this.#compactedIndex = index;
    this.#compactedTerm = term;
    this.#last = index;
    this.#touchMeta();
    this.#dead.push({ batch: this.#queue.stagingNumber, extents: dead });
  }

  beforeWrite(): void {
    this.#joined = false;
    if (!this.#metaDirty) return;
    this.#metaDirty = false;
    this.#queue.put(
      groupKey(KIND.logMeta, this.#group),
      encodeNumbers(this.#compactedIndex, this.#compactedTerm, this.#last, this.#sizes.total),
    );
  }

  written(number: number): void {
    while ((this.#stagedMarks[0]?.batch ?? Infinity) <= number) {
      const mark = this.#stagedMarks.shift();
      if (mark !== undefined) this.#dropStagedThrough(mark.last);
    }
    while ((this.#dead[0]?.batch ?? Infinity) <= number) {
      const dead = this.#dead.shift();
      if (dead !== undefined) this.#reclaimer.addExtents(this.#group, dead.extents);
    }
  }

  /** Reads what is on disk for this group and checks it: the log must reach from first to last without a hole. */
  async load(records: GroupRecords): Promise<void> {
    const group = this.#group;
    const hardState = records.get(KIND.hardState);
    if (hardState !== undefined) {
      const [term, vote, commit] = decodeValue(hardState, `the hard state of group ${group}`) as [
        number,
        string,
        number,
      ];
      this.#hardState = { term, vote, commit };
    }
    const configurations = records.get(KIND.configurations);
    if (configurations !== undefined) {
      const what = `the list of configurations of group ${group}`;
      this.#configurations = decodeValue(configurations, what) as readonly IndexedConfiguration[];
    }
    const meta = records.get(KIND.logMeta);
    let bytes = 0;
    if (meta !== undefined) {
      const numbers = decodeNumbers(meta, 4, `the log record of group ${group}`);
      [this.#compactedIndex, this.#compactedTerm, this.#last, bytes] = numbers as [number, number, number, number];
    }
    this.#stagedFrom = this.#last + 1;
    this.#sizes.restore(this.firstIndex(), this.#last, bytes);
    await this.#loadRuns();
    await this.#checkEntries();
    if (this.#hardState.commit > this.#last) {
      throw corrupt(
        `the log of group ${group} ends at ${this.#last}, but entries up to ${this.#hardState.commit} were committed`,
      );
    }
  }

  async #loadRuns(): Promise<void> {
    const group = this.#group;
    const range = { from: indexKey(KIND.term, group, 0), to: groupEnd(KIND.term, group) };
    for (const [key, value] of await collect(this.#engine, range)) {
      const [term] = decodeNumbers(value, 1, `a term record of group ${group}`) as [number];
      this.#runs.push({ start: keyIndex(key), term });
    }
    const start = this.#runs[0]?.start ?? Infinity;
    if (this.#last > this.#compactedIndex ? start > this.firstIndex() : this.#runs.length > 0) {
      throw corrupt(`the terms of the log of group ${group} do not cover it`);
    }
    if ((this.#runs.at(-1)?.start ?? 0) > this.#last)
      throw corrupt(`the log of group ${group} has terms beyond its end`);
  }

  async #checkEntries(): Promise<void> {
    const group = this.#group;
    const first = this.firstIndex();
    const range = { from: indexKey(KIND.entry, group, 0), to: groupEnd(KIND.entry, group), keysOnly: true };
    const iterator = this.#engine.iterate(range);
    // Left by a compaction whose deletions did not get to their end.
    const left: Extent[] = [];
    let expected = first;
    try {
      for (;;) {
        const records: readonly EngineRecord[] = await iterator.next(10_000);
        if (records.length === 0) break;
        for (const [key] of records) {
          const extent = { index: keyIndex(key), count: keyCount(key) };
          const end = extent.index + extent.count;
          if (end <= first) {
            left.push(extent);
            continue;
          }
          // The first one may have been compacted in part.
          if (extent.index !== expected && (this.#extents.length > 0 || extent.index > first)) {
            throw corrupt(
              `the log of group ${group} has a hole: entry ${expected} is missing, entry ${extent.index} is there`,
            );
          }
          this.#extents.push(extent.index);
          expected = end;
        }
      }
    } finally {
      await iterator.close();
    }
    if (expected !== this.#last + 1) {
      throw corrupt(`the log of group ${group} should end at ${this.#last}, but ends at ${expected - 1}`);
    }
    this.#reclaimer.addExtents(group, left);
    if (this.#last >= first) this.#read(this.#last, this.#last + 1);
  }

  /** Entries from `index` to the end of its extent, or to before `to`, from the disk. */
  #read(index: number, to: number): Entry[] {
    const group = this.#group;
    const at = lastUpTo(this.#extents.length, (position) => (this.#extents[position] as number) <= index);
    const extent = this.#extent(at);
    const bytes = this.#engine.get(extentKey(group, extent.index, extent.count));
    if (bytes === undefined) throw corrupt(`entry ${index} of group ${group} is missing`);
    const entries = this.#decode(index, bytes, index - extent.index, Math.min(to, this.#extentEnd(at) + 1) - index);
    for (const [i, entry] of entries.entries()) {
      const belongs = index + i;
      if (entry.index === belongs && entry.term === this.term(belongs)) continue;
      throw corrupt(
        `where entry ${belongs} (term ${this.term(belongs)}) of group ${group} belongs, ` +
          `there is entry ${entry.index} (term ${entry.term})`,
      );
    }
    return entries;
  }

  #decode(index: number, bytes: Uint8Array, skip: number, count: number): Entry[] {
    try {
      return decodeRun(bytes, skip, count, () => new KvorumError('ERR_CORRUPT', 'its records are cut off'));
    } catch (error) {
      if (!KvorumError.is(error, 'ERR_CORRUPT')) throw error;
      const which = count === 1 ? `entry ${index}` : `one of the entries ${index} to ${index + count - 1}`;
      throw corrupt(`${which} of group ${this.#group} is damaged: ${error.message}`, error);
    }
  }

  /** Last index of the extent at this position. */
  #extentEnd(at: number): number {
    return (this.#extents[at + 1] ?? this.#last + 1) - 1;
  }

  #extent(at: number): Extent {
    const index = this.#extents[at] as number;
    return { index, count: this.#extentEnd(at) - index + 1 };
  }

  #deleteExtent({ index, count }: Extent): void {
    this.#queue.delete(extentKey(this.#group, index, count));
  }

  /** Cuts the log before `from`. */
  #truncate(from: number): void {
    this.#sizes.dropFrom(from, this.#sizesFrom(from));
    const rewritten = this.#cutExtents(from);
    for (let run = this.#runs.at(-1); run !== undefined && run.start >= from; run = this.#runs.at(-1)) {
      this.#queue.delete(indexKey(KIND.term, this.#group, run.start));
      this.#runs.pop();
    }
    const stagedFrom = from - rewritten.length;
    if (this.#staged.length === 0 || stagedFrom < this.#stagedFrom) {
      this.#staged = [];
      this.#stagedFrom = stagedFrom;
    } else {
      this.#staged.length = Math.min(this.#staged.length, stagedFrom - this.#stagedFrom);
    }
    for (const mark of this.#stagedMarks) mark.last = Math.min(mark.last, stagedFrom - 1);
    if (rewritten.length > 0) {
      for (const entry of rewritten) this.#staged.push(entry);
      this.#stagedMarks.push({ batch: this.#queue.stagingNumber, last: from - 1 });
    }
  }

  /** Gives back what lies before `from` under a new key: on the disk that is only with the batch that is now being staged. */
  #cutExtents(from: number): readonly Entry[] {
    let rewritten: readonly Entry[] = [];
    while (this.#last >= from) {
      const extent = this.#extent(this.#extents.length - 1);
      const keptFrom = Math.max(extent.index, this.firstIndex());
      if (keptFrom < from) rewritten = this.entries(keptFrom, from, Infinity);
      this.#deleteExtent(extent);
      this.#extents.pop();
      this.#last = Math.max(extent.index, from) - 1;
    }
    if (rewritten.length > 0) this.#putExtent(rewritten);
    return rewritten;
  }

  /** Tells the bytes of entries, asked for in order from `from` on: an extent is read once, not for each of its entries. */
  #sizesFrom(from: number): (index: number) => number {
    let run: readonly Entry[] = [];
    let start = from;
    return (index) => {
      if (index - start >= run.length) {
        run = this.#next(index, this.#last + 1);
        start = index;
      }
      return (run[index - start] as Entry).data.length;
    };
  }

  #startRun(start: number, term: number): void {
    this.#runs.push({ start, term });
    this.#queue.put(indexKey(KIND.term, this.#group, start), encodeNumbers(term));
  }

  #dropFirstRun(): void {
    const run = this.#runs.shift();
    if (run !== undefined) this.#queue.delete(indexKey(KIND.term, this.#group, run.start));
  }

  /** Position of the run that covers `index`: nearly always the last one. */
  #runAt(index: number): number {
    return lastUpTo(this.#runs.length, (at) => (this.#runs[at] as TermRun).start <= index);
  }

  #dropStagedThrough(index: number): void {
    const count = Math.min(this.#staged.length, index + 1 - this.#stagedFrom);
    if (count <= 0) return;
    this.#staged = this.#staged.slice(count);
    this.#stagedFrom += count;
  }

  #touchMeta(): void {
    this.#metaDirty = true;
    if (this.#joined) return;
    this.#joined = true;
    this.#queue.join(this);
  }
}

/** The last of so many positions for which `holds`, as it does for all before it; the first when it holds for none. */
function lastUpTo(count: number, holds: (at: number) => boolean): number {
  let high = count - 1;
  if (high < 0 || holds(high)) return high;
  let low = 0;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
