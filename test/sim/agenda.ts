/** What is to happen at which virtual time: a binary heap, first come first served among equals. */
interface Item {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class Agenda {
  now = 0;
  readonly #heap: Item[] = [];
  #order = 0;

  after(delay: number, run: () => void): void {
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
  }

  /** Runs the next item. False when there is none. */
  step(): boolean {
    const heap = this.#heap;
    const next = heap[0];
    const last = heap.pop();
    if (next === undefined || last === undefined) return false;
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
    this.now = next.at;
    next.run();
    return true;
  }
}

function before(a: Item, b: Item): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
