/** Who waits for one name, first come first served: looked up by lease, and left from anywhere. */
import { invariant } from '../errors.ts';
import type { Waiter } from './types.ts';

/** Places of those who were let in are given back when there are this many and they are the larger part. */
const MIN_COMPACTION = 32;

export class WaitQueue {
  /** By ticket; those before `#first` are through. */
  #waiters: Waiter[] = [];
  #first = 0;
  readonly #byLease = new Map<string, Waiter>();

  get size(): number {
    return this.#byLease.size;
  }

  get first(): Waiter | undefined {
    return this.#waiters[this.#first];
  }

  get last(): Waiter | undefined {
    return this.#first < this.#waiters.length ? this.#waiters.at(-1) : undefined;
  }

  find(lease: string): Waiter | undefined {
    return this.#byLease.get(lease);
  }

  /** How many stand before it. */
  position(waiter: Waiter): number {
    return this.#placeOf(waiter) - this.#first;
  }

  toArray(): readonly Waiter[] {
    return this.#waiters.slice(this.#first);
  }

  add(waiter: Waiter): void {
    const { last } = this;
    invariant(last === undefined || last.ticket < waiter.ticket, 'who comes later has a larger ticket');
    invariant(!this.#byLease.has(waiter.lease), 'a lease waits once for a name');
    this.#waiters.push(waiter);
    this.#byLease.set(waiter.lease, waiter);
  }

  remove(waiter: Waiter): void {
    const place = this.#placeOf(waiter);
    this.#byLease.delete(waiter.lease);
    if (place > this.#first) {
      this.#waiters.splice(place, 1);
      return;
    }
    this.#first += 1;
    if (this.#first >= MIN_COMPACTION && this.#first * 2 >= this.#waiters.length) {
      this.#waiters = this.#waiters.slice(this.#first);
      this.#first = 0;
    }
  }

  #placeOf({ lease, ticket }: Waiter): number {
    let low = this.#first;
    let high = this.#waiters.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#waiters[middle] as Waiter).ticket < ticket) low = middle + 1;
      else high = middle;
    }
    invariant(this.#waiters[low]?.lease === lease, `lease ${lease} does not wait with ticket ${ticket}`);
    return low;
  }
}
