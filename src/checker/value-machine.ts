/**
 * The register with append as a machine over numbers, for the search.
 *
 * All values that can never again equal anything that the history compares with are one state, OTHER: a value is
 * compared by `get` (its output) and by `cas` (its old value). Without append these are the values that are in no such
 * place; with append, those that are not even the beginning of one, because what is appended to them is not either. In
 * OTHER every get and every cas to true is impossible, every cas to false possible, whatever the value is, and append
 * leads back to OTHER. So the machine that knows only OTHER allows the same orders (it is a bisimulation).
 */
import type { Operation } from './history.ts';
import { canonicalText, Interner } from './interner.ts';
import type { Machine } from './search.ts';
import { classNumbers } from './search-model.ts';
import { ValueDemand } from './value-demand.ts';
import { valueText } from './words.ts';

const ABSENT = 0;
const OTHER = 1;

type Kind = 'get' | 'put' | 'cas true' | 'cas false' | 'cas' | 'delete' | 'delete true' | 'delete false' | 'append';

export class ValueMachine implements Machine {
  readonly initial: number;
  readonly classes: readonly number[];
  readonly readOnly: readonly boolean[];
  readonly demand: ValueDemand;
  readonly #kinds: readonly Kind[];
  readonly #first: Int32Array;
  readonly #second: Int32Array;
  readonly #values: Interner;
  readonly #observed: Observed;
  readonly #inputs: Interner;
  /** state * number of inputs + input → state, for append. */
  readonly #appended = new Map<number, number>();

  /** The operations that can matter, and their machine. */
  static of(operations: readonly Operation[], init: unknown): [readonly Operation[], ValueMachine] {
    const machine = new ValueMachine(operations, init);
    const kept = operations.filter((operation, index) => !machine.#isUseless(operation, index));
    return kept.length === operations.length ? [operations, machine] : [kept, new ValueMachine(kept, init)];
  }

  constructor(operations: readonly Operation[], init: unknown) {
    this.#kinds = operations.map(kindOf);
    this.#values = new Interner();
    this.#values.id(null);
    this.#values.reserve();
    this.#observed = new Observed(operations);
    this.#first = new Int32Array(operations.length);
    this.#second = new Int32Array(operations.length);
    const inputs = new Interner();
    operations.forEach(({ input, output }, index) => {
      const kind = this.#kinds[index];
      if (kind === 'get') this.#first[index] = this.#values.id(output);
      else if (kind === 'put') this.#first[index] = this.#stateOf(input);
      else if (kind === 'append') this.#first[index] = inputs.id(input);
      else if (Array.isArray(input)) {
        this.#first[index] = this.#values.id(input[0]);
        this.#second[index] = this.#stateOf(input[1]);
      }
    });
    this.#inputs = inputs;
    this.initial = this.#stateOf(init);
    this.readOnly = this.#kinds.map(
      (kind, index) =>
        kind === 'get' ||
        kind === 'cas false' ||
        kind === 'delete false' ||
        (kind === 'cas true' && this.#first[index] === this.#second[index]),
    );
    this.demand = this.#demand(operations);
    this.classes = classNumbers(
      this.#kinds.map((kind, index) => `${kind} ${this.#first[index]} ${this.#second[index]}`),
    );
  }

  step(state: number, index: number): number {
    const first = this.#first[index] ?? 0;
    switch (this.#kinds[index]) {
      case 'get':
        return state === first ? state : -1;
      case 'put':
        return first;
      case 'cas true':
        return state === first ? (this.#second[index] ?? 0) : -1;
      case 'cas false':
        return state === first ? -1 : state;
      case 'cas':
        return state === first ? (this.#second[index] ?? 0) : state;
      case 'delete':
        return ABSENT;
      case 'delete true':
        return state === ABSENT ? -1 : ABSENT;
      case 'delete false':
        return state === ABSENT ? ABSENT : -1;
      case 'append':
        return this.#append(state, first);
      default:
        return -1;
    }
  }

  describe(state: number): string {
    if (state === ABSENT) return 'no value';
    return state === OTHER ? 'a value that is read by nobody' : `the value ${valueText(this.#values.value(state))}`;
  }

  #append(state: number, input: number): number {
    if (state === OTHER) return OTHER;
    const at = state * this.#inputs.size + input;
    let next = this.#appended.get(at);
    if (next === undefined) {
      const value = this.#values.value(state);
      const more = this.#inputs.value(input) as string;
      // Only a string can be appended to: on another value the operation fails.
      next = value === null ? this.#stateOf(more) : typeof value === 'string' ? this.#stateOf(value + more) : -1;
      this.#appended.set(at, next);
    }
    return next;
  }

  #stateOf(value: unknown): number {
    return value === null || value === undefined || this.#observed.mayBecome(value) ? this.#values.id(value) : OTHER;
  }

  #demand(operations: readonly Operation[]): ValueDemand {
    const count = this.#kinds.length;
    const reads = new Int32Array(count).fill(-1);
    const writes = new Int32Array(count).fill(-1);
    this.#kinds.forEach((kind, index) => {
      const first = this.#first[index] ?? 0;
      if (kind === 'get' || kind === 'cas true') reads[index] = first;
      if (kind === 'delete false') reads[index] = ABSENT;
      if (kind === 'put') writes[index] = first;
      if (kind === 'cas' || kind === 'cas true') writes[index] = this.#second[index] ?? 0;
      if (kind === 'delete' || kind === 'delete true') writes[index] = ABSENT;
    });
    const read = new Set(reads);
    const written = [...new Set(writes)].filter((id) => id !== -1);
    const sources: number[][] = [];
    for (let id = 0; id < this.#values.size; id++) {
      const value = this.#values.value(id);
      const isBuilt = this.#observed.appends && read.has(id) && typeof value === 'string';
      sources.push(isBuilt ? written.filter((from) => from === id || this.#isBeginning(from, value)) : [id]);
    }
    const returnOf = (index: number) => operations[index]?.return ?? Infinity;
    const order = [...operations.keys()].sort((a, b) => returnOf(a) - returnOf(b));
    const leadsTo = (state: number, id: number) => {
      if (state === id || !this.#observed.appends) return state === id;
      const value = this.#values.value(id);
      return typeof value === 'string' && this.#isBeginning(state, value);
    };
    return new ValueDemand(reads, writes, sources, order, leadsTo);
  }

  /** Can appends lead from this state to `value`? An absent value becomes what is appended. */
  #isBeginning(state: number, value: string): boolean {
    if (state === ABSENT) return true;
    const text = state === OTHER ? null : this.#values.value(state);
    return typeof text === 'string' && value.startsWith(text);
  }

  /**
   * A put or cas without an answer that leads to OTHER, in a history without append where nobody says that a cas was
   * refused or that a delete found something. It may be left out of every order: possible in OTHER are puts and deletes
   * only, which are possible in every state and lead to the same one from each, and a cas without an answer, which
   * changes nothing there and can be left out with it.
   */
  #isUseless(operation: Operation, index: number): boolean {
    if (operation.return !== null || this.#observed.appends) return false;
    const kind = this.#kinds[index];
    const target = kind === 'put' ? this.#first[index] : kind === 'cas' ? this.#second[index] : undefined;
    return target === OTHER && !this.#kinds.includes('cas false') && !this.#kinds.includes('delete true');
  }
}

function kindOf({ op, output, return: returned }: Operation): Kind {
  switch (op) {
    case 'get':
    case 'put':
    case 'append':
      return op;
    case 'cas':
      return returned === null ? 'cas' : output === true ? 'cas true' : 'cas false';
    default:
      return returned === null || typeof output !== 'boolean' ? 'delete' : output ? 'delete true' : 'delete false';
  }
}

/** The values that the history compares with. */
class Observed {
  readonly appends: boolean;
  readonly #texts = new Set<string>();
  /** Sorted: the strings that begin with `s` follow each other, from the first that is not smaller than `s`. */
  readonly #strings: readonly string[];

  constructor(operations: readonly Operation[]) {
    this.appends = operations.some(({ op }) => op === 'append');
    const strings = new Set<string>();
    for (const { op, input, output } of operations) {
      const value: unknown = op === 'get' ? output : op === 'cas' && Array.isArray(input) ? input[0] : null;
      if (typeof value === 'string') strings.add(value);
      else this.#texts.add(canonicalText(value));
    }
    this.#strings = [...strings].sort();
    if (!this.appends) for (const value of strings) this.#texts.add(canonicalText(value));
  }

  /** False: neither this value nor, with append, any that begins with it is compared with anything. */
  mayBecome(value: unknown): boolean {
    if (!this.appends) return this.#texts.has(canonicalText(value));
    // To something that is no string nothing can be appended, to OTHER it can: so it keeps its own state.
    if (typeof value !== 'string') return true;
    let low = 0;
    let high = this.#strings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#strings[middle] ?? '') < value) low = middle + 1;
      else high = middle;
    }
    return this.#strings[low]?.startsWith(value) ?? false;
  }
}
