/**
 * What the leader knows about one follower (etcd-io/raft `tracker/progress.go`).
 *
 * - `probe`: where the logs part is not known. One Append at a time, then wait for the answer.
 * - `replicate`: they match; Appends are sent ahead of the answers, `next` grows with what is sent.
 * - `snapshot`: what the follower needs is compacted; nothing is sent until the stream ends.
 */
import { invariant } from '../errors.ts';
import type { NodeId, ProgressStatus } from './types.ts';

/** Appends sent and not yet acknowledged: a ring of (last index, data bytes). */
export class Inflights {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  #lastIndexes: number[] = [];
  #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** No more may be sent. The Append that reaches the limit in bytes may exceed it, so that a large one is not stuck for ever. */
  get full(): boolean {
    return this.#count >= this.#maxMessages || this.#bytes >= this.#maxBytes;
  }

  add(lastIndex: number, bytes: number): void {
    invariant(!this.full, 'An Append was sent although the window is full');
    if (this.#count === this.#lastIndexes.length) this.#grow();
    const slot = (this.#start + this.#count) % this.#lastIndexes.length;
    this.#lastIndexes[slot] = lastIndex;
    this.#sizes[slot] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  #grow(): void {
    const capacity = this.#lastIndexes.length;
    const larger = Math.min(this.#maxMessages, Math.max(8, capacity * 2));
    const lastIndexes = Array.from<number>({ length: larger }).fill(0);
    const sizes = Array.from<number>({ length: larger }).fill(0);
    for (let i = 0; i < this.#count; i++) {
      lastIndexes[i] = this.#lastIndexes[(this.#start + i) % capacity]!;
      sizes[i] = this.#sizes[(this.#start + i) % capacity]!;
    }
    this.#lastIndexes = lastIndexes;
    this.#sizes = sizes;
    this.#start = 0;
  }

  /** Everything up to `index` arrived. */
  freeTo(index: number): void {
    while (this.#count > 0 && this.#lastIndexes[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!;
      this.#start = (this.#start + 1) % this.#lastIndexes.length;
      this.#count--;
    }
  }

  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}

export class Progress {
  readonly id: NodeId;
  readonly inflights: Inflights;
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  /** Known to be on the follower's disk and equal to the leader's log. */
  match = 0;
  /** Index of the next entry to send. */
  next: number;
  /** Probe: an Append is out, wait for its answer (or for a heartbeat's, if it was lost). */
  paused = false;
  /** Replicate: send an Append although there is nothing new, to find out whether something was lost. */
  checkDue = false;
  /** The highest commit index told to the follower. */
  sentCommit = 0;
  /** Appends sent in this tick only to tell the commit index. */
  commitNotices = 0;
  /** Tick of the last message of this term; -Infinity for none. */
  heardTick = -Infinity;
  /** Since when an answer to an Append is awaited. */
  awaitingTick = 0;
  /** The newest heartbeat round that was answered. */
  ackedRound = 0;
  /** Index of the configuration that it is no member of any more; 0 for a member. */
  removedIndex = 0;
  /** The heartbeat round that told it that this configuration is committed; Infinity before. */
  #farewellRound = Infinity;
  /** When it is given up, although it did not answer; Infinity before the commit. */
  #farewellEnds = Infinity;

  constructor(id: NodeId, next: number, maxInflightMessages: number, maxInflightBytes: number) {
    this.id = id;
    this.next = next;
    this.inflights = new Inflights(maxInflightMessages, maxInflightBytes);
  }

  #become(state: Progress['state']): void {
    this.state = state;
    this.paused = false;
    this.checkDue = false;
    this.inflights.reset();
  }

  /** `next` moves back to behind what is known to match. */
  becomeProbe(): void {
    this.#become('probe');
    this.next = this.match + 1;
  }

  becomeReplicate(): void {
    this.#become('replicate');
    this.next = this.match + 1;
  }

  becomeSnapshot(): void {
    this.#become('snapshot');
  }

  /**
   * The stream of a snapshot ended. After a success the follower has everything up to `index`, if it could install it; after
   * a failure nothing changed. Either way it is left alone until it speaks.
   */
  snapshotEnded(index: number, ok: boolean): void {
    this.becomeProbe();
    if (ok) this.next = Math.max(this.next, index + 1);
    this.paused = true;
  }

  /** An Append of `count` entries ending in `lastIndex` (or an empty one) is on its way. */
  sent(count: number, lastIndex: number, bytes: number, tick: number): void {
    this.checkDue = false;
    if (this.state === 'probe') {
      this.paused = true;
      this.awaitingTick = tick;
      return;
    }
    invariant(this.state === 'replicate', 'An Append was sent while a snapshot is');
    if (count === 0) return;
    if (this.inflights.count === 0) this.awaitingTick = tick;
    this.next = lastIndex + 1;
    this.inflights.add(lastIndex, bytes);
  }

  /** The follower has everything up to `index`. False when that is no news. */
  advanceTo(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    return true;
  }

  /**
   * The follower refused an Append after `rejected`; it could match at `guess` at best. False when the answer is older than
   * what is known by now.
   */
  backTo(rejected: number, guess: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.becomeProbe();
      return true;
    }
    if (this.state === 'snapshot' || this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, guess + 1), this.match + 1);
    this.paused = false;
    return true;
  }

  /** A member, as of now or still. */
  joined(): void {
    this.removedIndex = 0;
    this.#farewellRound = Infinity;
    this.#farewellEnds = Infinity;
  }

  /** Heartbeat `round` tells it that everything up to `commit` is committed, and on its disk. */
  saidFarewell(commit: number, round: number): void {
    if (this.removedIndex === 0 || commit < this.removedIndex) return;
    this.#farewellRound = Math.min(this.#farewellRound, round);
  }

  /**
   * Nothing is owed any more to a member that was removed: it has the entry that removed it and knows that it is committed, or
   * `patienceTicks` have passed since the commit. It may be down for good, which is why one removes it.
   */
  partsNow(commit: number, tick: number, patienceTicks: number): boolean {
    if (this.removedIndex === 0 || commit < this.removedIndex) return false;
    this.#farewellEnds = Math.min(this.#farewellEnds, tick + patienceTicks);
    return this.ackedRound >= this.#farewellRound || tick >= this.#farewellEnds;
  }

  status(active: boolean): ProgressStatus {
    return {
      id: this.id,
      state: this.state,
      match: this.match,
      next: this.next,
      inflightMessages: this.inflights.count,
      inflightBytes: this.inflights.bytes,
      active,
      removed: this.removedIndex > 0,
    };
  }
}
