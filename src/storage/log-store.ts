/**
 * The Raft log of one group. Entries lie under their index; where a run of entries of one term begins is kept in memory and on disk
 * (a few numbers), so that `term` never reads an entry; what is staged or in flight is served from memory.
 */
import { KvorumError, invariant } from '../errors.ts';
import type { Entry, GroupId, HardState, IndexedConfiguration } from '../raft/types.ts';
import { collect, firstOf } from './engine.ts';
import type { Engine, EngineRecord } from './engine.ts';
import { KIND, groupEnd, groupKey, indexKey, keyIndex } from './keys.ts';
import { corrupt, decodeEntry, decodeNumbers, decodeValue, encodeEntry, encodeNumbers, encodeValue } from './record.ts';
import type { Reclaimer } from './reclaimer.ts';
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

interface StagedEntry {
  readonly entry: Entry;
  /** Number of the batch that it is part of. */
  readonly batch: number;
}

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
  #sizes = new SizeLedger();
  /** Entries from `#stagedFrom` on that are not yet known to be written, by ascending index and batch. */
  #staged: StagedEntry[] = [];
  #stagedFrom = 1;
  #joined = false;
  #metaDirty = false;
  /** Compacted with the batch of that number: entries [first, last] can be deleted once it is written. */
  #dead: { readonly batch: number; readonly first: number; readonly last: number }[] = [];

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
    for (let index = from; index < to; index++) {
      const entry = index >= this.#stagedFrom ? this.#staged[index - this.#stagedFrom]?.entry : undefined;
      const next = entry ?? this.#read(index);
      bytes += next.data.length;
      if (bytes > maxBytes && found.length > 0) break;
      found.push(next);
    }
    return found;
  }

  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    invariant(
      first.index > this.#compactedIndex && first.index <= this.#last + 1,
      `append at ${first.index} does not fit the log [${this.firstIndex()}, ${this.#last}]`,
    );
    const newLast = first.index + entries.length - 1;
    if (first.index <= this.#last) this.#truncate(first.index, newLast);
    if (this.#staged.length === 0) this.#stagedFrom = first.index;
    let index = first.index;
    let term = this.term(index - 1) ?? 0;
    for (const entry of entries) {
      invariant(entry.index === index, `append has entry ${entry.index} where ${index} belongs`);
      invariant(entry.term >= term, `entry ${index} has term ${entry.term} after term ${term}`);
      this.#queue.put(indexKey(KIND.entry, this.#group, index), encodeEntry(entry));
      if (entry.term !== term || this.#runs.length === 0) this.#startRun(index, entry.term);
      term = entry.term;
      this.#sizes.add(index, entry.data.length);
      this.#staged.push({ entry, batch: this.#queue.stagingNumber });
      index++;
    }
    this.#last = newLast;
    this.#touchMeta();
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
    const first = this.firstIndex();
    this.#compactedIndex = index;
    this.#compactedTerm = term;
    this.#sizes.dropThrough(index);
    this.#dropStagedThrough(index);
    while ((this.#runs[1]?.start ?? Infinity) <= index + 1) this.#dropFirstRun();
    if (index === this.#last) while (this.#runs.length > 0) this.#dropFirstRun();
    this.#touchMeta();
    this.#dead.push({ batch: this.#queue.stagingNumber, first, last: index });
  }

  reset(index: number, term: number): void {
    invariant(
      index >= this.#compactedIndex,
      `reset to ${index}, but entries up to ${this.#compactedIndex} are compacted`,
    );
    const first = this.firstIndex();
    const last = this.#last;
    // What lies above may be written anew at any time, so it goes now; what lies below goes when there is time.
    for (let above = Math.max(index + 1, first); above <= last; above++) {
      this.#queue.delete(indexKey(KIND.entry, this.#group, above));
    }
    while (this.#runs.length > 0) this.#dropFirstRun();
    this.#staged = [];
    this.#stagedFrom = index + 1;
    this.#sizes = new SizeLedger();
    this.#compactedIndex = index;
    this.#compactedTerm = term;
    this.#last = index;
    this.#touchMeta();
    this.#dead.push({ batch: this.#queue.stagingNumber, first, last: Math.min(index, last) });
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
    let count = 0;
    while ((this.#staged[count]?.batch ?? Infinity) <= number) count++;
    if (count > 0) {
      this.#staged = count === this.#staged.length ? [] : this.#staged.slice(count);
      this.#stagedFrom += count;
    }
    while ((this.#dead[0]?.batch ?? Infinity) <= number) {
      const dead = this.#dead.shift();
      if (dead !== undefined) this.#reclaimer.addLogRange(this.#group, dead.first, dead.last);
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
    const to = groupEnd(KIND.entry, group);
    // Left by a compaction whose deletions did not get to their end.
    const left = await firstOf(this.#engine, { from: indexKey(KIND.entry, group, 0), to, keysOnly: true });
    if (left !== undefined && keyIndex(left[0]) < first) {
      this.#reclaimer.addLogRange(group, keyIndex(left[0]), first - 1);
    }
    const iterator = this.#engine.iterate({ from: indexKey(KIND.entry, group, first), to, keysOnly: true });
    let expected = first;
    try {
      for (;;) {
        const records: readonly EngineRecord[] = await iterator.next(10_000);
        if (records.length === 0) break;
        for (const [key] of records) {
          const index = keyIndex(key);
          if (index !== expected) {
            throw corrupt(
              `the log of group ${group} has a hole: entry ${expected} is missing, entry ${index} is there`,
            );
          }
          expected++;
        }
      }
    } finally {
      await iterator.close();
    }
    if (expected !== this.#last + 1) {
      throw corrupt(`the log of group ${group} should end at ${this.#last}, but ends at ${expected - 1}`);
    }
    if (this.#last >= first) this.#read(this.#last);
  }

  #read(index: number): Entry {
    const bytes = this.#engine.get(indexKey(KIND.entry, this.#group, index));
    if (bytes === undefined) throw corrupt(`entry ${index} of group ${this.#group} is missing`);
    const entry = this.#decode(index, bytes);
    if (entry.index !== index || entry.term !== this.term(index)) {
      throw corrupt(
        `where entry ${index} (term ${this.term(index)}) of group ${this.#group} belongs, ` +
          `there is entry ${entry.index} (term ${entry.term})`,
      );
    }
    return entry;
  }

  #decode(index: number, bytes: Uint8Array): Entry {
    try {
      return decodeEntry(bytes);
    } catch (error) {
      if (!KvorumError.is(error, 'ERR_CORRUPT')) throw error;
      throw corrupt(`entry ${index} of group ${this.#group} is damaged: ${error.message}`, error);
    }
  }

  /** Cuts the log before `from`. Keys up to `overwritten` are about to be written anew. */
  #truncate(from: number, overwritten: number): void {
    this.#sizes.dropFrom(from, (index) => this.#sizeOf(index));
    for (let index = overwritten + 1; index <= this.#last; index++) {
      this.#queue.delete(indexKey(KIND.entry, this.#group, index));
    }
    for (let run = this.#runs.at(-1); run !== undefined && run.start >= from; run = this.#runs.at(-1)) {
      this.#queue.delete(indexKey(KIND.term, this.#group, run.start));
      this.#runs.pop();
    }
    if (from < this.#stagedFrom) {
      this.#staged = [];
      this.#stagedFrom = from;
    } else {
      this.#staged.length = Math.min(this.#staged.length, from - this.#stagedFrom);
    }
    this.#last = from - 1;
  }

  #sizeOf(index: number): number {
    const staged = index >= this.#stagedFrom ? this.#staged[index - this.#stagedFrom]?.entry : undefined;
    return (staged ?? this.#read(index)).data.length;
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
    let at = this.#runs.length - 1;
    if ((this.#runs[at]?.start ?? 0) <= index) return at;
    let low = 0;
    while (low < at) {
      const middle = (low + at + 1) >> 1;
      if ((this.#runs[middle] as TermRun).start <= index) low = middle;
      else at = middle - 1;
    }
    return low;
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
