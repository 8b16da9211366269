/**
 * Committed entries on their way through the state machine: each is handed out once, in order, and no more than
 * `maxBytes` of data are out at a time.
 */
import { invariant } from '../errors.ts';
import type { Entry } from './types.ts';

interface Batch {
  readonly lastIndex: number;
  readonly bytes: number;
}

export class Applying {
  readonly #maxBytes: number;
  #handedOut: number;
  #applied: number;
  #batches: Batch[] = [];
  #bytes = 0;

  constructor(maxBytes: number, applied: number) {
    this.#maxBytes = maxBytes;
    this.#handedOut = applied;
    this.#applied = applied;
  }

  get handedOut(): number {
    return this.#handedOut;
  }

  get applied(): number {
    return this.#applied;
  }

  /** Bytes that may be handed out now; 0 for none. One entry that is larger still passes when nothing is out. */
  get room(): number {
    if (this.#batches.length === 0) return this.#maxBytes;
    return Math.max(0, this.#maxBytes - this.#bytes);
  }

  handOut(entries: readonly Entry[]): void {
    let bytes = 0;
    for (const entry of entries) {
      if (entry.index !== this.#handedOut + 1) {
        invariant(false, `Entry ${entry.index} to apply after ${this.#handedOut}`);
      }
      this.#handedOut = entry.index;
      bytes += entry.data.length;
    }
    this.#batches.push({ lastIndex: this.#handedOut, bytes });
    this.#bytes += bytes;
  }

  done(index: number): void {
    if (index > this.#handedOut) invariant(false, `Applied up to ${index}, handed out ${this.#handedOut}`);
    if (index <= this.#applied) return;
    this.#applied = index;
    let done = 0;
    while (done < this.#batches.length && this.#batches[done]!.lastIndex <= index) {
      this.#bytes -= this.#batches[done]!.bytes;
      done++;
    }
    if (done > 0) this.#batches.splice(0, done);
  }

  /** A snapshot stands for everything up to `index`. */
  skipTo(index: number): void {
    this.#handedOut = index;
    this.#applied = index;
    this.#batches = [];
    this.#bytes = 0;
  }
}
