/** A set of values as a machine for the search: its states are sets, numbered as they come up. */
import { Interner } from './interner.ts';
import type { Operation } from './history.ts';
import { classNumbers } from './search-model.ts';
import type { Machine } from './search.ts';
import { valueText } from './words.ts';

/** Numbers of an interner, sorted. */
type Elements = readonly number[];

export class SetMachine implements Machine {
  readonly initial: number;
  readonly classes: readonly number[];
  readonly readOnly: readonly boolean[];
  readonly #operations: readonly Operation[];
  readonly #values = new Interner();
  readonly #numbers = new Map<string, number>();
  readonly #states: Elements[] = [];
  /** Of a read the state that it saw, of a write its element. */
  readonly #subject: Int32Array;
  /** Class and state → state: what a write does is worked out once. */
  readonly #steps = new Map<number, number>();
  readonly #classCount: number;

  constructor(operations: readonly Operation[], init: readonly unknown[]) {
    this.#operations = operations;
    this.initial = this.#stateOf(init);
    this.readOnly = operations.map(({ op }) => op === 'read');
    this.#subject = Int32Array.from(operations, ({ op, input, output }) =>
      op === 'read' ? this.#stateOf(output as unknown[]) : this.#values.id(input),
    );
    this.classes = classNumbers(
      operations.map(({ op, output, return: returned }, index) => {
        const told = op !== 'read' && returned !== null ? JSON.stringify(output ?? null) : '';
        return `${op} ${this.#subject[index]} ${told}`;
      }),
    );
    this.#classCount = new Set(this.classes).size;
  }

  step(state: number, index: number): number {
    const subject = this.#subject[index] ?? 0;
    if (this.readOnly[index] === true) return state === subject ? state : -1;
    const at = state * this.#classCount + (this.classes[index] ?? 0);
    let next = this.#steps.get(at);
    if (next === undefined) {
      const operation = this.#operations[index];
      const after = operation === undefined ? null : write(this.#states[state] ?? [], operation, subject);
      next = after === null ? -1 : this.#number(after);
      this.#steps.set(at, next);
    }
    return next;
  }

  describe(state: number): string {
    return valueText((this.#states[state] ?? []).map((element) => this.#values.value(element)));
  }

  #stateOf(values: readonly unknown[]): number {
    return this.#number(values.map((value) => this.#values.id(value)).sort((a, b) => a - b));
  }

  #number(elements: Elements): number {
    const text = elements.join(' ');
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#states.push(elements) - 1;
      this.#numbers.set(text, number);
    }
    return number;
  }
}

/** The elements afterwards, or null if the output says otherwise. */
function write(elements: Elements, { op, output, return: returned }: Operation, element: number): Elements | null {
  const isIn = elements.includes(element);
  const changes = op === 'add' ? !isIn : isIn;
  if (returned !== null && typeof output === 'boolean' && output !== changes) return null;
  if (!changes) return elements;
  if (op === 'remove') return elements.filter((other) => other !== element);
  return [...elements, element].sort((a, b) => a - b);
}
