/**
 * Is there an order of these operations that keeps real time and that the machine allows? The search of Wing & Gong
 * (1993) with the cache of Lowe ("Testing for linearizability", 2017), without recursion.
 *
 * Operations with an answer are numbered by return. A configuration is
 * - `head`, the first of them that is not placed yet: everything before it is placed, so what may come next are the
 *   operations called before `head` returned;
 * - `mask`, which of those are placed. Each has a slot, free again when it returns, so there are never more slots than
 *   operations open at once;
 * - `used`, which operations without an answer are placed. They may be, but need not be;
 * - the state of the machine.
 *
 * Four rules keep the number of configurations small. Each is sound: it never loses the last order there is.
 * 1. An operation with an answer that never changes the state is placed as soon as it is possible, without alternatives.
 *    In any order from here it can be moved to the front: the states that the others see stay as they are.
 * 2. An operation without an answer is placed only where it changes the state; elsewhere it can as well be left out.
 * 3. Of the possible operations of one class (the same effect in every state), only the one that returns first is tried.
 *    In any order from here that begins with another of the class the two can change places: both have been called,
 *    and what must follow the one that returns later must follow the other one too.
 * 4. A configuration is left when the same (head, mask, state) was visited with a subset of its used operations: whatever
 *    can be done from here could be done from there.
 * Besides, what the machine's `demand` says leads nowhere is not entered.
 */
import type { Operation } from './history.ts';
import type { Budget } from './model.ts';
import { ConfigurationCache } from './configuration-cache.ts';
import type { ValueDemand } from './value-demand.ts';

/** A sequential specification over small numbers. */
export interface Machine {
  readonly initial: number;
  /**
   * The state after operation `index`, or -1 if it cannot happen in `state` with the answer that it got. Deterministic.
   * An operation without an answer happens with whatever answer fits.
   */
  step(state: number, index: number): number;
  /** Operations with the same number do the same in every state. */
  readonly classes: readonly number[];
  /** True: wherever the operation is possible, it leaves the state as it is. */
  readonly readOnly: readonly boolean[];
  /** What is still to be read; told of every operation that is placed or taken back. Default: every value may be lost. */
  readonly demand?: ValueDemand;
  describe(state: number): string;
}

export interface SearchResult {
  readonly verdict: 'ok' | 'bad' | 'unknown';
  /** Index of the operation whose return could not be passed, when bad. */
  readonly stuckAt: number | null;
  /** The longest orders found when bad, or one whole order when ok; indexes. */
  readonly orders: readonly { readonly operations: readonly number[]; readonly state: number }[];
}

const MAX_ORDERS = 4;

export interface SearchOptions {
  /** False: what leads nowhere by the machine's `demand` is entered all the same. Default true. */
  readonly useDemand?: boolean;
}

export function search(
  operations: readonly Operation[],
  machine: Machine,
  budget: Budget,
  options: SearchOptions = {},
): SearchResult {
  return new Search(operations, machine, budget, options.useDemand ?? true).run();
}

class Search {
  readonly #machine: Machine;
  readonly #demand: ValueDemand | undefined;
  readonly #budget: Budget;
  /** Indexes of the operations with an answer by return, and of those without one by call. */
  readonly #known: readonly number[];
  readonly #open: readonly number[];
  /** Of each known one: its slot, and the known one of the same client that has to come first although the times are equal. */
  readonly #slot: Int32Array;
  readonly #after: Int32Array;
  /** Candidates while `head` is h: #active[#activeFrom[h]] up to #active[#activeFrom[h + 1]], by return. */
  readonly #active: Int32Array;
  readonly #activeFrom: Int32Array;
  /** How many of the open ones have been called when `head` returns. */
  readonly #openCalled: Int32Array;
  /** Open operations by class, each class by call. Rule 3 uses them in that order. */
  readonly #openClasses: readonly (readonly number[])[];
  readonly #classOfKnown: Int32Array;
  readonly #classOfOpen: Int32Array;
  readonly #openClassNumber: Int32Array;
  readonly #seen: Int32Array;
  #stamp = 0;

  #head = 0;
  #state: number;
  readonly #mask: Int32Array;
  readonly #used: Int32Array;
  readonly #usedOfClass: Int32Array;
  readonly #cache: ConfigurationCache;

  // The stack, one element a placed operation: which one (known k: k; open o: known.length + o), and what was before.
  #depth = 0;
  readonly #placed: Int32Array;
  readonly #stateBefore: Int32Array;
  readonly #headBefore: Int32Array;
  /** Where to go on in the candidates of the configuration below; -1: placed by rule 1, there is no alternative. */
  readonly #cursor: Int32Array;

  // The longest order so far. Only what changed since it was last copied is copied again: `#low` is the deepest common part.
  #bestHead = -1;
  #low = 0;
  #bestDepth = 0;
  #bestState = 0;
  readonly #best: Int32Array;
  #deadEnds: { operations: Int32Array; state: number }[] = [];

  constructor(operations: readonly Operation[], machine: Machine, budget: Budget, useDemand: boolean) {
    this.#machine = machine;
    this.#demand = useDemand ? machine.demand : undefined;
    this.#budget = budget;
    this.#state = machine.initial;
    const indexes = operations.map((_, index) => index);
    const returnOf = (index: number) => operations[index]?.return ?? Infinity;
    const callOf = (index: number) => operations[index]?.call ?? 0;
    const known = indexes
      .filter((index) => returnOf(index) < Infinity)
      .sort((a, b) => returnOf(a) - returnOf(b) || a - b);
    const open = indexes.filter((index) => returnOf(index) === Infinity).sort((a, b) => callOf(a) - callOf(b) || a - b);
    this.#known = known;
    this.#open = open;
    const count = known.length;

    // One sweep over time. Equal times count as overlapping: calls come before returns.
    this.#slot = new Int32Array(count);
    this.#after = new Int32Array(count).fill(-1);
    this.#activeFrom = new Int32Array(count + 1);
    this.#openCalled = new Int32Array(count);
    const byCall = known.map((_, k) => k).sort((a, b) => callOf(known[a] ?? 0) - callOf(known[b] ?? 0) || a - b);
    const active: number[] = [];
    const free: number[] = [];
    const lastOfClient = new Map<number | string, number>();
    const hasFollower = new Uint8Array(count);
    let slots = 0;
    let called = 0;
    let openCalled = 0;
    let current: number[] = [];
    for (let head = 0; head < count; head++) {
      const time = returnOf(known[head] ?? 0);
      for (; called < count && callOf(known[byCall[called] ?? 0] ?? 0) <= time; called++) {
        const k = byCall[called] ?? 0;
        this.#slot[k] = free.pop() ?? slots++;
        const client = operations[known[k] ?? 0]?.client ?? '';
        const last = lastOfClient.get(client);
        // The times say that both overlap, but one client does one thing after the other.
        if (last !== undefined && last < k && returnOf(known[last] ?? 0) === callOf(known[k] ?? 0)) {
          this.#after[k] = last;
          hasFollower[last] = 1;
        }
        lastOfClient.set(client, k);
        current.push(k);
      }
      for (; openCalled < open.length && callOf(open[openCalled] ?? 0) <= time; openCalled++);
      this.#openCalled[head] = openCalled;
      current.sort((a, b) => a - b);
      this.#activeFrom[head] = active.length;
      for (const k of current) active.push(k);
      current = current.filter((k) => k !== head);
      free.push(this.#slot[head] ?? 0);
    }
    this.#activeFrom[count] = active.length;
    this.#active = Int32Array.from(active);

    // Rule 3 needs that nothing but real time orders two operations: one with a follower at the same time is in a class of its own.
    let classes = 0;
    for (const number of machine.classes) classes = Math.max(classes, number + 1);
    this.#classOfKnown = new Int32Array(count);
    for (let k = 0; k < count; k++) {
      this.#classOfKnown[k] = hasFollower[k] === 1 ? classes++ : (machine.classes[known[k] ?? 0] ?? 0);
    }
    const openClasses: number[][] = [];
    const numberOfClass = new Map<number, number>();
    this.#openClassNumber = new Int32Array(open.length);
    this.#classOfOpen = new Int32Array(open.length);
    open.forEach((index, o) => {
      const name = machine.classes[index] ?? 0;
      let number = numberOfClass.get(name);
      if (number === undefined) {
        number = openClasses.length;
        numberOfClass.set(name, number);
        openClasses.push([]);
      }
      openClasses[number]?.push(o);
      this.#openClassNumber[o] = number;
      this.#classOfOpen[o] = name;
    });
    this.#openClasses = openClasses;
    this.#usedOfClass = new Int32Array(openClasses.length);
    this.#seen = new Int32Array(classes);

    this.#mask = new Int32Array(Math.max(1, (slots + 31) >>> 5));
    this.#used = new Int32Array((open.length + 31) >>> 5);
    this.#cache = new ConfigurationCache(this.#mask.length, this.#used.length);
    const depth = count + open.length + 1;
    this.#placed = new Int32Array(depth);
    this.#stateBefore = new Int32Array(depth);
    this.#headBefore = new Int32Array(depth);
    this.#cursor = new Int32Array(depth);
    this.#best = new Int32Array(depth);
  }

  run(): SearchResult {
    const count = this.#known.length;
    let cursor = -1;
    for (;;) {
      if (cursor === -1) {
        this.#placeReads();
        if (this.#head === count) {
          const order = { operations: this.#indexes(this.#placed, this.#depth), state: this.#state };
          return { verdict: 'ok', stuckAt: null, orders: [order] };
        }
        if (!this.#budget.spend()) return { verdict: 'unknown', stuckAt: null, orders: this.#bestOrders() };
        if (this.#cache.visit(this.#head, this.#state, this.#mask, this.#used)) {
          cursor = 0;
        } else {
          cursor = this.#backtrack();
          if (cursor === -1) break;
        }
      }
      if (this.#placeNext(cursor)) {
        cursor = -1;
      } else {
        if (cursor === 0) this.#deadEnd();
        cursor = this.#backtrack();
        if (cursor === -1) break;
      }
    }
    return { verdict: 'bad', stuckAt: this.#known[this.#bestHead] ?? null, orders: this.#bestOrders() };
  }

  /** Rule 1. */
  #placeReads(): void {
    const count = this.#known.length;
    let from = 0;
    while (this.#head < count) {
      let found = -1;
      const end = this.#activeFrom[this.#head + 1] ?? 0;
      for (let at = (this.#activeFrom[this.#head] ?? 0) + from; at < end; at++) {
        const k = this.#active[at] ?? 0;
        const index = this.#known[k] ?? 0;
        if (this.#machine.readOnly[index] !== true || !this.#mayComeNext(k)) continue;
        if (this.#machine.step(this.#state, index) !== -1) {
          found = k;
          from = at - (this.#activeFrom[this.#head] ?? 0);
          break;
        }
      }
      if (found === -1) break;
      const head = this.#head;
      this.#place(found, this.#state, -1);
      // The state is the same, so what was not possible before is not possible now. What waited for this operation
      // returns later and stands behind it; only another head brings new candidates.
      if (this.#head !== head) from = 0;
    }
    if (this.#head > this.#bestHead) {
      this.#bestHead = this.#head;
      this.#best.set(this.#placed.subarray(this.#low, this.#depth), this.#low);
      this.#low = this.#depth;
      this.#bestDepth = this.#depth;
      this.#bestState = this.#state;
      this.#deadEnds = [];
    }
  }

  /** Places the first candidate from `cursor` on; false when none is possible. */
  #placeNext(cursor: number): boolean {
    const stamp = ++this.#stamp;
    const from = this.#activeFrom[this.#head] ?? 0;
    const end = this.#activeFrom[this.#head + 1] ?? 0;
    let position = 0;
    for (let at = from; at < end; at++, position++) {
      const k = this.#active[at] ?? 0;
      if (!this.#mayComeNext(k)) continue;
      const name = this.#classOfKnown[k] ?? 0;
      if (this.#seen[name] === stamp) continue;
      this.#seen[name] = stamp;
      if (position < cursor) continue;
      const index = this.#known[k] ?? 0;
      const state = this.#machine.step(this.#state, index);
      if (state === -1) continue;
      if (state !== this.#state && this.#demand?.loses(this.#state, state, index) === true) continue;
      this.#place(k, state, position + 1);
      return true;
    }
    const called = this.#openCalled[this.#head] ?? 0;
    for (let c = 0; c < this.#openClasses.length; c++, position++) {
      if (position < cursor) continue;
      const members = this.#openClasses[c];
      const o = members?.[this.#usedOfClass[c] ?? 0];
      if (o === undefined || o >= called) continue;
      if (this.#seen[this.#classOfOpen[o] ?? 0] === stamp) continue;
      const index = this.#open[o] ?? 0;
      const state = this.#machine.step(this.#state, index);
      if (state === -1 || state === this.#state) continue;
      if (this.#demand?.loses(this.#state, state, index) === true) continue;
      this.#place(this.#known.length + o, state, position + 1);
      return true;
    }
    return false;
  }

  #mayComeNext(k: number): boolean {
    if (this.#isPlaced(k)) return false;
    const after = this.#after[k] ?? -1;
    return after === -1 || after < this.#head || this.#isPlaced(after);
  }

  #isPlaced(k: number): boolean {
    const slot = this.#slot[k] ?? 0;
    return (((this.#mask[slot >>> 5] ?? 0) >>> (slot & 31)) & 1) === 1;
  }

  #flip(k: number): void {
    const slot = this.#slot[k] ?? 0;
    this.#mask[slot >>> 5] = (this.#mask[slot >>> 5] ?? 0) ^ (1 << (slot & 31));
  }

  #place(operation: number, state: number, cursor: number): void {
    const depth = this.#depth++;
    this.#placed[depth] = operation;
    this.#stateBefore[depth] = this.#state;
    this.#headBefore[depth] = this.#head;
    this.#cursor[depth] = cursor;
    this.#state = state;
    const count = this.#known.length;
    this.#demand?.placed(this.#indexOf(operation));
    if (operation >= count) {
      const o = operation - count;
      this.#used[o >>> 5] = (this.#used[o >>> 5] ?? 0) | (1 << (o & 31));
      const c = this.#openClassNumber[o] ?? 0;
      this.#usedOfClass[c] = (this.#usedOfClass[c] ?? 0) + 1;
      return;
    }
    this.#flip(operation);
    for (; this.#head < count && this.#isPlaced(this.#head); this.#head++) this.#flip(this.#head);
  }

  #unplace(): void {
    const depth = --this.#depth;
    if (depth < this.#low) this.#low = depth;
    const operation = this.#placed[depth] ?? 0;
    const headBefore = this.#headBefore[depth] ?? 0;
    this.#state = this.#stateBefore[depth] ?? 0;
    const count = this.#known.length;
    this.#demand?.unplaced(this.#indexOf(operation));
    if (operation >= count) {
      const o = operation - count;
      this.#used[o >>> 5] = (this.#used[o >>> 5] ?? 0) & ~(1 << (o & 31));
      const c = this.#openClassNumber[o] ?? 0;
      this.#usedOfClass[c] = (this.#usedOfClass[c] ?? 0) - 1;
      return;
    }
    while (this.#head > headBefore) this.#flip(--this.#head);
    this.#flip(operation);
  }

  /** Back to the last configuration that has candidates left: where to go on there, or -1 when there is none. */
  #backtrack(): number {
    while (this.#depth > 0) {
      this.#unplace();
      const cursor = this.#cursor[this.#depth] ?? -1;
      if (cursor !== -1) return cursor;
    }
    return -1;
  }

  #deadEnd(): void {
    if (this.#head !== this.#bestHead || this.#deadEnds.length >= MAX_ORDERS) return;
    if (this.#deadEnds.some((end) => end.state === this.#state)) return;
    this.#deadEnds.push({ operations: this.#placed.slice(0, this.#depth), state: this.#state });
  }

  #bestOrders(): SearchResult['orders'] {
    const ends =
      this.#deadEnds.length > 0
        ? this.#deadEnds
        : [{ operations: this.#best.subarray(0, this.#bestDepth), state: this.#bestState }];
    return ends
      .map(({ operations, state }) => ({ operations: this.#indexes(operations, operations.length), state }))
      .sort((a, b) => b.operations.length - a.operations.length);
  }

  #indexOf(operation: number): number {
    const count = this.#known.length;
    return (operation < count ? this.#known[operation] : this.#open[operation - count]) ?? 0;
  }

  #indexes(placed: Int32Array, depth: number): number[] {
    return Array.from(placed.subarray(0, depth), (operation) => this.#indexOf(operation));
  }
}
