/** One number a key, `init` or 0 at first: `add` with input n (default 1), whose output is the sum or null; `read`. */
import type { Operation } from '../history.ts';
import { bad, type Budget, type Finding, type Model } from '../model.ts';
import { checkBySearch, classNumbers } from '../search-model.ts';
import type { Machine } from '../search.ts';
import { operationText } from '../words.ts';

export const counter: Model = { name: 'counter', byKey: true, refuse, check };

function refuse({ op, input, output, return: returned }: Operation): string | null {
  if (op === 'add') {
    if (input !== null && input !== undefined && !Number.isSafeInteger(input)) return 'the input of add is an integer';
    const silent = returned === null || output === null || output === undefined;
    return silent || Number.isSafeInteger(output) ? null : 'the output of add is the sum, an integer, or null';
  }
  if (op !== 'read') return `the model has no operation ${JSON.stringify(op)}`;
  return returned === null || Number.isSafeInteger(output) ? null : 'the output of read is an integer';
}

function check(operations: readonly Operation[], init: unknown, budget: Budget): Finding {
  const start = typeof init === 'number' ? init : 0;
  const telling = operations.filter((operation) => !(operation.op === 'read' && operation.return === null));
  return outOfRange(telling, start) ?? checkBySearch(telling, new CounterMachine(telling, start), budget);
}

/** A read below or above everything that it can have seen: what returned before its call counts, what was called later does not. */
function outOfRange(operations: readonly Operation[], start: number): Finding | null {
  const adds = operations.filter(({ op }) => op === 'add');
  for (const read of operations) {
    const seen = read.output;
    if (read.return === null || typeof seen !== 'number') continue;
    let low = start;
    let high = start;
    for (const add of adds) {
      if (add.call > read.return) break;
      const amount = amountOf(add);
      const isCertain = add === read || (add.return !== null && add.return < read.call);
      if (isCertain || amount < 0) low += amount;
      if (isCertain || amount > 0) high += amount;
    }
    if (seen >= low && seen <= high) continue;
    return bad(`${operationText(read)}, but all that can have been added by then is between ${low} and ${high}`, [
      read,
    ]);
  }
  return null;
}

function amountOf({ input }: Operation): number {
  return typeof input === 'number' ? input : 1;
}

class CounterMachine implements Machine {
  readonly initial: number;
  readonly classes: readonly number[];
  readonly readOnly: readonly boolean[];
  readonly #amounts: readonly number[];
  /** The sum afterwards, null where it is not told. */
  readonly #sums: readonly (number | null)[];
  readonly #states = new Map<number, number>();
  readonly #values: number[] = [];

  constructor(operations: readonly Operation[], start: number) {
    this.#amounts = operations.map((operation) => (operation.op === 'add' ? amountOf(operation) : 0));
    this.#sums = operations.map(({ output, return: returned }) =>
      returned !== null && typeof output === 'number' ? output : null,
    );
    this.classes = classNumbers(operations.map((_, index) => `${this.#amounts[index]} ${this.#sums[index]}`));
    this.readOnly = this.#amounts.map((amount) => amount === 0);
    this.initial = this.#state(start);
  }

  step(state: number, index: number): number {
    const sum = (this.#values[state] ?? 0) + (this.#amounts[index] ?? 0);
    const told = this.#sums[index] ?? null;
    return told === null || told === sum ? this.#state(sum) : -1;
  }

  describe(state: number): string {
    return `the sum ${this.#values[state]}`;
  }

  #state(value: number): number {
    let state = this.#states.get(value);
    if (state === undefined) {
      state = this.#values.push(value) - 1;
      this.#states.set(value, state);
    }
    return state;
  }
}
