/**
 * Which values are still to be read while a search goes on, and whether they can come back: a configuration that loses
 * a value for ever that somebody still has to read leads nowhere, and need not be entered. With values that are written once this leaves
 * the search almost no choice (Gibbons & Korach, "Testing shared memories", 1997: then it is a matter of sorting).
 */
export class ValueDemand {
  /** Of each operation the value that it reads or writes, -1 for none. */
  readonly #reads: Int32Array;
  readonly #writes: Int32Array;
  /** Of each value how many operations that are not placed yet read or may write it. */
  readonly #readsLeft: Int32Array;
  readonly #writesLeft: Int32Array;
  /** Of each value those that lead to it: itself, and with append what it begins with. */
  readonly #sources: readonly (readonly number[])[];
  readonly #leadsTo: (state: number, value: number) => boolean;
  /** The reads by return, the place of each in there, which of them are placed, and the first that is not. */
  readonly #order: readonly number[];
  readonly #position: Int32Array;
  readonly #isPlaced: Uint8Array;
  #first = 0;

  /** `order`: indexes of the operations by return. `leadsTo`: can a state become a value without being written over? */
  constructor(
    reads: Int32Array,
    writes: Int32Array,
    sources: readonly (readonly number[])[],
    order: readonly number[],
    leadsTo: (state: number, value: number) => boolean,
  ) {
    this.#reads = reads;
    this.#writes = writes;
    this.#sources = sources;
    this.#leadsTo = leadsTo;
    this.#order = order.filter((index) => reads[index] !== -1);
    this.#position = new Int32Array(reads.length);
    this.#order.forEach((index, position) => (this.#position[index] = position));
    this.#isPlaced = new Uint8Array(reads.length);
    this.#readsLeft = new Int32Array(sources.length);
    this.#writesLeft = new Int32Array(sources.length);
    for (let index = 0; index < reads.length; index++) this.#count(index, 1);
  }

  placed(index: number): void {
    this.#count(index, -1);
    if (this.#reads[index] === -1) return;
    this.#isPlaced[index] = 1;
    if (this.#position[index] === this.#first) this.#first = this.#nextAfter(this.#first);
  }

  unplaced(index: number): void {
    this.#count(index, 1);
    if (this.#reads[index] === -1) return;
    this.#isPlaced[index] = 0;
    this.#first = Math.min(this.#first, this.#position[index] ?? 0);
  }

  /**
   * True: after `index` led from state `from` to another one, `to`, a value that is still to be read does not come back.
   * Looked at are `from` itself and what is read next: that is cheap, and enough to keep a search from going astray.
   */
  loses(from: number, to: number, index: number): boolean {
    // A state that came up during the search only is read by nobody.
    const reads = from >= this.#sources.length ? 0 : (this.#readsLeft[from] ?? 0);
    if (reads > (this.#reads[index] === from ? 1 : 0) && !this.#comesBack(from, to, index)) return true;
    let next = this.#order[this.#first];
    if (next === index) next = this.#order[this.#nextAfter(this.#first)];
    const value = next === undefined ? -1 : (this.#reads[next] ?? -1);
    return value !== -1 && value !== from && !this.#leadsTo(to, value) && !this.#comesBack(value, to, index);
  }

  #comesBack(value: number, to: number, index: number): boolean {
    for (const source of this.#sources[value] ?? []) {
      if (source === to) return true;
      if ((this.#writesLeft[source] ?? 0) > (this.#writes[index] === source ? 1 : 0)) return true;
    }
    return false;
  }

  #nextAfter(position: number): number {
    let next = position + 1;
    while (next < this.#order.length && this.#isPlaced[this.#order[next] ?? 0] === 1) next++;
    return next;
  }

  #count(index: number, change: number): void {
    const read = this.#reads[index] ?? -1;
    const written = this.#writes[index] ?? -1;
    if (read !== -1) this.#readsLeft[read] = (this.#readsLeft[read] ?? 0) + change;
    if (written !== -1) this.#writesLeft[written] = (this.#writesLeft[written] ?? 0) + change;
  }
}
