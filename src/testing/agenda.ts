/** What is to happen at which virtual time: a binary heap, first come first served among equals. */
export interface Item {
  readonly at: number;
  readonly order: number;
  /** null: cancelled. */
  run: (() => void) | null;
}

export class Agenda {
  now = 0;
  readonly #heap: Item[] = [];
  #order = 0;

  after(delay: number, run: () => void): Item {
    const heap = this.#heap;
    const item: Item = { at: this.now + delay, order: this.#order++, run };
    let i = heap.length;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Item;
      if (!before(item, above)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = item;
    return item;
  }

  /** When the next item is due; Infinity when there is none. */
  get nextAt(): number {
    for (let next = this.#heap[0]; next !== undefined; next = this.#heap[0]) {
      if (next.run !== null) return next.at;
      this.#take();
    }
    return Infinity;
  }

  /** Runs the next item. False when there is none. */
  step(): boolean {
    if (this.nextAt === Infinity) return false;
    const { at, run } = this.#take();
    this.now = at;
    run?.();
    return true;
  }

  #take(): Item {
    const heap = this.#heap;
    const next = heap[0] as Item;
    const last = heap.pop() as Item;
    if (heap.length > 0) {
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && before(heap[child + 1] as Item, heap[child] as Item)) child += 1;
        if (before(last, heap[child] as Item)) break;
        heap[i] = heap[child] as Item;
        i = child;
      }
      heap[i] = last;
    }
    return next;
  }
}

function before(a: Item, b: Item): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
