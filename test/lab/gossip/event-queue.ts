/** What happens when, in order of time and, at one time, of being planned. A binary heap in flat arrays: millions of events a second. */
export class EventQueue<T> {
  #times = new Float64Array(1024);
  #orders = new Float64Array(1024);
  readonly #items: (T | undefined)[] = [];
  #size = 0;
  #planned = 0;

  get size(): number {
    return this.#size;
  }

  /** Infinity: nothing is planned. */
  get nextMs(): number {
    return this.#size === 0 ? Infinity : (this.#times[0] as number);
  }

  push(timeMs: number, item: T): void {
    if (this.#size === this.#times.length) {
      this.#times = wider(this.#times);
      this.#orders = wider(this.#orders);
    }
    const order = this.#planned++;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(timeMs, order, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#put(at, timeMs, order, item);
  }

  pop(): T {
    const first = this.#items[0];
    if (this.#size === 0 || first === undefined) throw new Error('the queue is empty');
    const last = --this.#size;
    const [timeMs, order, item] = [this.#times[last] as number, this.#orders[last] as number, this.#items[last] as T];
    this.#items[last] = undefined;
    if (last === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      const right = child + 1;
      if (right < last && this.#isBefore(this.#times[right] as number, this.#orders[right] as number, child))
        child = right;
      if (this.#isBefore(timeMs, order, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, timeMs, order, item);
    return first;
  }

  #isBefore(timeMs: number, order: number, at: number): boolean {
    const other = this.#times[at] as number;
    return timeMs < other || (timeMs === other && order < (this.#orders[at] as number));
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from] as number;
    this.#orders[to] = this.#orders[from] as number;
    this.#items[to] = this.#items[from];
  }

  #put(at: number, timeMs: number, order: number, item: T): void {
    this.#times[at] = timeMs;
    this.#orders[at] = order;
    this.#items[at] = item;
  }
}

function wider(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const copy = new Float64Array(2 * array.length);
  copy.set(array);
  return copy;
}
