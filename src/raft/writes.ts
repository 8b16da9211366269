/**
 * The Readys that were taken and are not yet on disk.
 *
 * Each remembers how far the log on disk will be good once it is written. When the log is cut, that shrinks for all writes
 * under way: one that carried entry 5 of term 1, overwritten since by entry 5 of term 2, proves nothing about entry 5 any more,
 * not even after a third leader has brought the entry of term 1 back (the ABA case: etcd-io/raft
 * `async_storage_writes_append_aba_race`). Only the write that carries the last version does.
 */
import { invariant } from '../errors.ts';
import type { NodeId } from './types.ts';

interface Write {
  readonly seq: number;
  /** The log on disk will be that of the core up to here. */
  lastIndex: number;
  readonly term: number;
  readonly vote: NodeId | null;
  readonly mustSync: boolean;
  /** When it was handed out. */
  readonly tick: number;
}

export class Writes {
  #queue: Write[] = [];
  #seq = 0;
  /** What the disk has. */
  #term: number;
  #vote: NodeId | null;
  #lastIndex = 0;
  #progressTick = 0;

  constructor(term: number, vote: NodeId | null) {
    this.#term = term;
    this.#vote = vote;
  }

  /** The term on disk. */
  get term(): number {
    return this.#term;
  }

  /** The vote on disk, cast in `term`. */
  get vote(): NodeId | null {
    return this.#vote;
  }

  /** The log on disk is good up to here; meaningful after `complete`. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** Registers the next Ready and gives its `seq`. */
  add(lastIndex: number, term: number, vote: NodeId | null, mustSync: boolean, tick: number): number {
    this.#seq++;
    // Nothing to learn from it that the write before does not tell. A disk that stands still must not be waited for by every
    // answered heartbeat: thousands a second, each to be taken off the queue one by one when it goes on.
    const before = this.#queue.at(-1);
    if (!mustSync && before?.lastIndex === lastIndex && before.term === term && before.vote === vote) return this.#seq;
    this.#queue.push({ seq: this.#seq, lastIndex, term, vote, mustSync, tick });
    return this.#seq;
  }

  /** The log was cut after `index`. */
  clip(index: number): void {
    this.#lastIndex = Math.min(this.#lastIndex, index);
    for (const write of this.#queue) write.lastIndex = Math.min(write.lastIndex, index);
  }

  /** The write of `seq` and all before it are on disk. False when that was known. */
  complete(seq: number, tick: number): boolean {
    if (seq > this.#seq) invariant(false, `Ready ${seq} was persisted but never handed out`);
    let done = 0;
    while (done < this.#queue.length && this.#queue[done]!.seq <= seq) {
      const write = this.#queue[done]!;
      this.#term = write.term;
      this.#vote = write.vote;
      this.#lastIndex = write.lastIndex;
      done++;
    }
    if (done === 0) return false;
    this.#queue.splice(0, done);
    this.#progressTick = tick;
    return true;
  }

  /** Ticks for which the disk has had something to sync and has finished nothing. */
  stalledTicks(tick: number): number {
    for (const write of this.#queue) {
      if (write.mustSync) return tick - Math.max(write.tick, this.#progressTick);
    }
    return 0;
  }
}
