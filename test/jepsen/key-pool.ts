/**
 * Which key an operation goes to. A few keys are in use at a time, the first of them most and the last little, so that some
 * live through several faults. A key is left after so many operations, or earlier when many of them have no answer: each of
 * those stays open for ever, and doubles the checker's work.
 */
import type { Chance } from './types.ts';

const MAX_UNKNOWN = 12;

interface KeyInUse {
  readonly name: string;
  operations: number;
  unknown: number;
}

export class KeyPool {
  readonly #prefix: string;
  readonly #operationsPerKey: number;
  readonly #inUse: KeyInUse[];
  #made = 0;

  constructor(prefix: string, operationsPerKey: number, keysAtOnce: number) {
    this.#prefix = prefix;
    this.#operationsPerKey = operationsPerKey;
    this.#inUse = Array.from({ length: keysAtOnce }, () => this.#make());
  }

  /** All keys so far. */
  names(): string[] {
    return Array.from({ length: this.#made }, (_, index) => `${this.#prefix}/${index + 1}`);
  }

  /** A key, which counts as used once more. */
  take(chance: Chance): KeyInUse {
    // The square makes the first keys likelier: with five keys 45 % of all operations go to the first, 11 % to the last.
    const place = Math.floor(chance.float() ** 2 * this.#inUse.length);
    const key = this.#inUse[place];
    if (key === undefined) throw new Error('unreachable: there is always a key');
    key.operations++;
    if (key.operations >= this.#operationsPerKey || key.unknown >= MAX_UNKNOWN) this.#inUse[place] = this.#make();
    return key;
  }

  #make(): KeyInUse {
    return { name: `${this.#prefix}/${++this.#made}`, operations: 0, unknown: 0 };
  }
}
