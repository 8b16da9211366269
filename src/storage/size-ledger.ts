/**
 * How many bytes of data a log holds, kept by blocks of indexes instead of by entry: exact while entries are added and cut off
 * at the end, and exact in sum; the share of a block that a compaction splits is estimated. After a restart only the
 * sum is known and is spread evenly.
 */
const BLOCK = 256;

export class SizeLedger {
  #total = 0;
  #first = 0;
  #last = -1;
  /** Number of the block that `#blocks[0]` is. */
  #base = 0;
  #blocks: number[] = [];

  get total(): number {
    return this.#total;
  }

  restore(first: number, last: number, total: number): void {
    const count = last - first + 1;
    let spread = 0;
    for (let start = first; start <= last;) {
      const end = Math.min(last, (Math.floor(start / BLOCK) + 1) * BLOCK - 1);
      const until = Math.round((total * (end - first + 1)) / count);
      this.add(start, until - spread);
      this.#last = end;
      spread = until;
      start = end + 1;
    }
  }

  /** Indexes come in order. */
  add(index: number, bytes: number): void {
    const block = Math.floor(index / BLOCK);
    if (this.#blocks.length === 0) {
      this.#base = block;
      this.#first = index;
    }
    if (block - this.#base === this.#blocks.length) this.#blocks.push(0);
    this.#take(block - this.#base, -bytes);
    this.#last = index;
  }

  /** Forgets indexes up to and including `index`. */
  dropThrough(index: number): void {
    while (this.#blocks.length > 0 && Math.min(this.#last, (this.#base + 1) * BLOCK - 1) <= index) {
      this.#total -= this.#blocks.shift() as number;
      this.#base++;
    }
    if (this.#blocks.length === 0 || index < this.#first) return;
    const start = Math.max(this.#first, this.#base * BLOCK);
    const count = Math.min(this.#last, (this.#base + 1) * BLOCK - 1) - start + 1;
    const dropped = index - start + 1;
    if (dropped > 0) this.#take(0, Math.round(((this.#blocks[0] as number) * dropped) / count));
    this.#first = index + 1;
  }

  /** Forgets indexes from `index` on. `sizeOf` tells the bytes of one of them, and is asked in order. */
  dropFrom(index: number, sizeOf: (index: number) => number): void {
    const block = Math.floor(index / BLOCK);
    while (this.#blocks.length > 0 && this.#base + this.#blocks.length - 1 > block) {
      this.#total -= this.#blocks.pop() as number;
    }
    const end = Math.min(this.#last, (block + 1) * BLOCK - 1);
    if (index <= this.#first) {
      this.#blocks = [];
      this.#total = 0;
    } else {
      for (let i = index; i <= end; i++) this.#take(block - this.#base, sizeOf(i));
    }
    this.#last = index - 1;
  }

  #take(at: number, bytes: number): void {
    const before = this.#blocks[at] as number;
    const after = Math.max(0, before - bytes);
    this.#blocks[at] = after;
    this.#total += after - before;
  }
}
