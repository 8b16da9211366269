/**
 * A list a key, `init` (an array) or empty at first: `append` with the element as input, whose output is the new length
 * or null; `read` with the whole list as output.
 */
import type { Operation } from '../history.ts';
import { canonicalText } from '../interner.ts';
import { exactly, from, levelConflict, type Leveled } from '../levels.ts';
import { bad, OK, type Budget, type Finding, type Model } from '../model.ts';
import { checkBySearch, classNumbers } from '../search-model.ts';
import type { Machine } from '../search.ts';
import { ValueDemand } from '../value-demand.ts';
import { operationText, valueText } from '../words.ts';

export const appendList: Model = { name: 'append-list', byKey: true, refuse, check };

function refuse({ op, output, return: returned }: Operation): string | null {
  if (op === 'read') return returned === null || Array.isArray(output) ? null : 'the output of read is an array';
  if (op !== 'append') return `the model has no operation ${JSON.stringify(op)}`;
  const silent = returned === null || output === null || output === undefined;
  return silent || Number.isSafeInteger(output) ? null : 'the output of append is the new length or null';
}

function check(operations: readonly Operation[], init: unknown, budget: Budget): Finding {
  const start = Array.isArray(init) ? (init as unknown[]) : [];
  const telling = operations.filter((operation) => !(operation.op === 'read' && operation.return === null));
  const wrong = wrongRead(telling, start);
  if (wrong !== null) return wrong;
  const appended = [...start, ...telling.filter(({ op }) => op === 'append').map(({ input }) => input)];
  const isUnique = new Set(appended.map(canonicalText)).size === appended.length;
  const isSilent = telling.every(
    ({ op, output, return: returned }) => op === 'read' || returned === null || typeof output !== 'number',
  );
  if (isUnique && isSilent) return checkUnique(telling, start.length);
  return checkBySearch(telling, new ListMachine(telling, start), budget);
}

/**
 * What is wrong with reads on their own. Lists only grow at the end, so of two reads one is the beginning of the other,
 * and `init` is the beginning of both; and everything in them was appended by somebody.
 */
function wrongRead(operations: readonly Operation[], start: readonly unknown[]): Finding | null {
  const appended = new Map<string, { call: number; count: number }>();
  const note = (text: string, call: number) => {
    const before = appended.get(text);
    appended.set(text, { call: Math.min(call, before?.call ?? call), count: (before?.count ?? 0) + 1 });
  };
  for (const value of start) note(canonicalText(value), -Infinity);
  for (const { op, input, call } of operations) if (op === 'append') note(canonicalText(input), call);
  let before: { operation: Operation | null; texts: readonly string[] } = {
    operation: null,
    texts: start.map(canonicalText),
  };
  const reads = operations.filter(({ op }) => op === 'read').sort((a, b) => listOf(a).length - listOf(b).length);
  for (const operation of reads) {
    const texts = listOf(operation).map(canonicalText);
    const seen = new Map<string, number>();
    for (const [at, text] of texts.entries()) {
      const { call, count } = appended.get(text) ?? { call: Infinity, count: 0 };
      const times = (seen.get(text) ?? 0) + 1;
      seen.set(text, times);
      if (call <= (operation.return ?? Infinity) && times <= count) continue;
      const wrong =
        times > 1 ? `${times} times, more often than it was appended` : 'which nobody appended before it returned';
      return bad(`${operationText(operation)} saw ${valueText(listOf(operation)[at])}, ${wrong}`, [operation]);
    }
    const differs = before.texts.findIndex((text, at) => text !== texts[at]);
    if (differs !== -1) {
      const other = before.operation === null ? 'the list at first' : operationText(before.operation);
      const reason = `${other} is not the beginning of ${operationText(operation)}: they differ at position ${differs}`;
      return bad(reason, before.operation === null ? [operation] : [before.operation, operation]);
    }
    before = { operation, texts };
  }
  return null;
}

/**
 * Where each element is appended once and appends tell nothing, the reads give the order: they are beginnings of the
 * longest one (wrongRead). The append of the element at position p has the level 2p, the read of n elements the level 2n - 1,
 * and what is in no read and has an answer comes after all of them. Any order by these levels is right for the model, and any
 * that is right is ordered by them.
 */
function checkUnique(operations: readonly Operation[], startLength: number): Finding {
  const longest = longestRead(operations);
  const position = new Map(longest.map((value, at) => [canonicalText(value), at]));
  const items: Leveled[] = [];
  const never = 2 * Math.max(longest.length, startLength);
  for (const operation of operations) {
    if (operation.op === 'read') {
      items.push(exactly(operation, 2 * listOf(operation).length - 1));
      continue;
    }
    const at = position.get(canonicalText(operation.input));
    if (at !== undefined) items.push(exactly(operation, 2 * at));
    else if (operation.return !== null) items.push(from(operation, never));
  }
  const conflict = levelConflict(operations, items);
  if (conflict === null) return OK;
  const { earlier, operation } = conflict;
  const reason = `by what the reads saw, ${operationText(operation)} came before ${operationText(earlier)}, but that one returned before it was called`;
  return bad(reason, [operation, earlier]);
}

function longestRead(operations: readonly Operation[]): readonly unknown[] {
  let longest: readonly unknown[] = [];
  for (const operation of operations) {
    if (operation.op === 'read' && listOf(operation).length > longest.length) longest = listOf(operation);
  }
  return longest;
}

function listOf(read: Operation): readonly unknown[] {
  return read.output as readonly unknown[];
}

/**
 * For the search a list is its length. All reads are beginnings of the longest one (wrongRead), and lists never shrink: so in
 * any order that is right the list is a beginning of the longest read as long as it is not longer, and nobody looks at
 * the elements behind.
 */
class ListMachine implements Machine {
  readonly initial: number;
  readonly classes: readonly number[];
  readonly readOnly: readonly boolean[];
  readonly demand: ValueDemand;
  readonly #operations: readonly Operation[];
  readonly #longest: readonly string[];
  readonly #inputs: readonly string[];

  constructor(operations: readonly Operation[], start: readonly unknown[]) {
    this.#operations = operations;
    this.#longest = longestRead(operations).map(canonicalText);
    this.initial = start.length;
    this.readOnly = operations.map(({ op }) => op === 'read');
    this.#inputs = operations.map(({ input }) => canonicalText(input));
    this.classes = classNumbers(
      operations.map((operation, index) => {
        if (operation.op === 'read') return `read ${listOf(operation).length}`;
        return `append ${this.#inputs[index]} ${this.#told(operation)}`;
      }),
    );
    const count = start.length + operations.length + 1;
    const lengths = Int32Array.from(operations, (operation) =>
      operation.op === 'read' ? listOf(operation).length : -1,
    );
    const returnOf = (index: number) => operations[index]?.return ?? Number.MAX_VALUE;
    this.demand = new ValueDemand(
      lengths,
      new Int32Array(operations.length).fill(-1),
      Array.from({ length: count }, (_, length) => [length]),
      [...operations.keys()].sort((a, b) => returnOf(a) - returnOf(b)),
      (state, length) => state <= length,
    );
  }

  step(state: number, index: number): number {
    const operation = this.#operations[index];
    if (operation === undefined) return -1;
    if (operation.op === 'read') return listOf(operation).length === state ? state : -1;
    const wanted = this.#longest[state];
    if (wanted !== undefined && wanted !== this.#inputs[index]) return -1;
    const told = this.#told(operation);
    return told === null || told === state + 1 ? state + 1 : -1;
  }

  describe(state: number): string {
    return `a list of ${state} elements`;
  }

  #told({ output, return: returned }: Operation): number | null {
    return returned !== null && typeof output === 'number' ? output : null;
  }
}
