/**
 * How far back the store can be read: by count, by time, and by demand.
 *
 * Time comes in with the commands, so nothing here looks at a clock. From time to time a mark notes which revision was current; once a mark is older
 * than `keepMs`, everything superseded up to its revision is. The floor is what time and demand have put an end to: reads
 * below it are refused from that moment, and the versions themselves follow a few with every write (history.ts).
 */
import {
  DEFAULT_KEEP_MS,
  DEFAULT_KEEP_REVISIONS,
  DEFAULT_QUOTA_BYTES,
  checkSettings,
  type Mark,
  type SettingsRecord,
  type StoreSettings,
} from './settings.ts';

/** One mark each sixty-fourth of keepMs: history may last that much longer, and there are at most 65 of them. */
const MARKS = 64;

export class Retention {
  #keepRevisions: number;
  #keepMs = 0;
  #quotaBytes = 0;
  #floor = 0;
  #marks: Mark[] = [];
  /** What time and quota are for a state that does not say. Taken over by the first command that could, so that what older versions wrote stays as it is. */
  readonly #initial: StoreSettings;
  #settled = false;
  /** Before this time there is nothing for `tick` to do. Follows from the rest. */
  #nextTime = Number.NEGATIVE_INFINITY;

  constructor(options: Partial<StoreSettings>) {
    checkSettings(options);
    this.#initial = {
      keepRevisions: options.keepRevisions ?? DEFAULT_KEEP_REVISIONS,
      keepMs: options.keepMs ?? DEFAULT_KEEP_MS,
      quotaBytes: options.quotaBytes ?? DEFAULT_QUOTA_BYTES,
    };
    this.#keepRevisions = this.#initial.keepRevisions;
  }

  get keepRevisions(): number {
    return this.#keepRevisions;
  }

  get keepMs(): number {
    return this.#keepMs;
  }

  /** 0: none. */
  get quotaBytes(): number {
    return this.#quotaBytes;
  }

  /** What was superseded at this revision or before is to go, as fast as may be. */
  get floor(): number {
    return this.#floor;
  }

  get record(): SettingsRecord {
    return { keepMs: this.#keepMs, quotaBytes: this.#quotaBytes, floor: this.#floor, marks: this.#marks };
  }

  /** `revision` is current at `time`. True when this changed what is to be stored. */
  tick(time: number, revision: number): boolean {
    return time >= this.#nextTime && this.#pass(time, revision);
  }

  #pass(time: number, revision: number): boolean {
    let changed = this.settle();
    if (this.#keepMs > 0) {
      let expired = 0;
      for (const mark of this.#marks) {
        if (mark.time + this.#keepMs > time) break;
        this.raiseFloor(mark.revision);
        expired++;
      }
      this.#marks.splice(0, expired);
      const last = this.#marks.at(-1);
      // Without a write since the last mark a new one would say nothing.
      const due = last === undefined || last.time + this.#markEvery() <= time;
      const marked = due && revision > (last?.revision ?? this.#floor);
      if (marked) this.#marks.push({ time, revision });
      changed ||= marked || expired > 0;
    }
    this.#plan();
    return changed;
  }

  /** Takes the settings that the state was begun with, if it has none yet. True when it had none. */
  settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#keepMs = this.#initial.keepMs;
    this.#quotaBytes = this.#initial.quotaBytes;
    return true;
  }

  configure(settings: Partial<StoreSettings>, revision: number): void {
    checkSettings(settings);
    this.settle();
    const { keepRevisions, keepMs, quotaBytes } = settings;
    if (quotaBytes !== undefined) this.#quotaBytes = quotaBytes;
    if (keepRevisions !== undefined) {
      this.#keepRevisions = keepRevisions;
      // What is too old by the new number goes like what was compacted, instead of a few versions a write.
      this.raiseFloor(revision - keepRevisions);
    }
    if (keepMs !== undefined) {
      this.#keepMs = keepMs;
      this.#thinMarks();
    }
    this.#plan();
  }

  raiseFloor(revision: number): void {
    if (revision > this.#floor) this.#floor = revision;
  }

  restore(keepRevisions: number, record: SettingsRecord | null): void {
    this.#keepRevisions = keepRevisions;
    if (record === null) return;
    this.#settled = true;
    this.#keepMs = record.keepMs;
    this.#quotaBytes = record.quotaBytes;
    this.#floor = record.floor;
    this.#marks = record.marks.slice();
    this.#plan();
  }

  #markEvery(): number {
    return Math.ceil(this.#keepMs / MARKS);
  }

  /** Marks made for a shorter time lie too close. The later one of two may go: then a little more is kept. */
  #thinMarks(): void {
    const kept: Mark[] = [];
    for (const mark of this.#keepMs === 0 ? [] : this.#marks) {
      const last = kept.at(-1);
      if (last === undefined || last.time + this.#markEvery() <= mark.time) kept.push(mark);
    }
    this.#marks = kept;
  }

  #plan(): void {
    const [oldest] = this.#marks;
    const last = this.#marks.at(-1);
    if (this.#keepMs === 0) this.#nextTime = Number.POSITIVE_INFINITY;
    else if (oldest === undefined || last === undefined) this.#nextTime = Number.NEGATIVE_INFINITY;
    else this.#nextTime = Math.min(oldest.time + this.#keepMs, last.time + this.#markEvery());
  }
}
