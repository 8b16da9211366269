/**
 * Reads of a register that are wrong on their own, found before any search, with a reason that needs no picture:
 * of a value that nobody wrote (or only later), and of one that was certainly overwritten before the read began.
 */
import type { Operation } from './history.ts';
import { canonicalText } from './interner.ts';
import { operationText, valueText } from './words.ts';

export interface WrongRead {
  readonly reason: string;
  readonly culprits: readonly Operation[];
}

interface Write {
  readonly operation: Operation | null;
  readonly call: number;
  readonly return: number;
}

export function wrongRead(operations: readonly Operation[], init: unknown): WrongRead | null {
  const writes = new Map<string, Write[]>();
  const built = operations.some(({ op }) => op === 'append') ? new BuiltValues(operations, init) : null;
  const add = (value: unknown, write: Write) => {
    const text = canonicalText(value);
    const list = writes.get(text);
    if (list === undefined) writes.set(text, [write]);
    else list.push(write);
  };
  add(init, { operation: null, call: -Infinity, return: -Infinity });
  const certain: Write[] = [];
  for (const operation of operations) {
    const value = writtenValue(operation);
    if (value === undefined) continue;
    const write = { operation, call: operation.call, return: operation.return ?? Infinity };
    add(value, write);
    if (isCertain(operation)) certain.push(write);
  }
  const overwrites = new Overwrites(certain);
  for (const operation of operations) {
    const value = seenValue(operation);
    if (value === undefined || operation.return === null) continue;
    const writers = writes.get(canonicalText(value)) ?? [];
    const earlier = writers.filter(({ call }) => call <= (operation.return ?? 0));
    if (earlier.length === 0) {
      if (built?.isPossible(value, operation.return)) continue;
      const reason = `${operationText(operation)} saw ${valueText(value)}, which nobody wrote before it returned`;
      return { reason, culprits: [operation, ...writers.flatMap((write) => write.operation ?? [])] };
    }
    // An append may lead to a value that others wrote, or away from one: then only the search can tell.
    if (built !== null) continue;
    const between = earlier.map((write) => overwrites.between(write.return, operation.call));
    const last = between[0];
    if (last === undefined || last === null || between.includes(null)) continue;
    const reason = `${operationText(operation)} saw ${valueText(value)}, which was overwritten before the read began: ${operationText(last)} came after everybody who wrote it`;
    return { reason, culprits: [operation, last] };
  }
  return null;
}

/** The value that an operation leaves behind if it has an effect; undefined for none. */
function writtenValue({ op, input, output, return: returned }: Operation): unknown {
  if (op === 'put') return input ?? null;
  if (op === 'delete') return null;
  if (op === 'cas' && Array.isArray(input) && (returned === null || output === true))
    return (input[1] as unknown) ?? null;
  return undefined;
}

function isCertain({ op, return: returned }: Operation): boolean {
  return returned !== null && (op === 'put' || op === 'delete' || op === 'cas');
}

/** The value that an operation found, undefined if it does not tell. */
function seenValue({ op, input, output, return: returned }: Operation): unknown {
  if (returned === null) return undefined;
  if (op === 'get') return output ?? null;
  if (op === 'cas' && output === true && Array.isArray(input)) return (input[0] as unknown) ?? null;
  return op === 'delete' && output === false ? null : undefined;
}

/** Writes with an answer by call, with the earliest return of each and all that follow. */
class Overwrites {
  readonly #byCall: readonly Write[];
  readonly #earliest: Write[];

  constructor(writes: readonly Write[]) {
    this.#byCall = writes.toSorted((a, b) => a.call - b.call);
    this.#earliest = [...this.#byCall];
    for (let at = this.#earliest.length - 2; at >= 0; at--) {
      const next = this.#earliest[at + 1];
      const own = this.#earliest[at];
      if (next !== undefined && own !== undefined && next.return < own.return) this.#earliest[at] = next;
    }
  }

  /** A write that was called after `from` and returned before `until`. */
  between(from: number, until: number): Operation | null {
    let low = 0;
    let high = this.#byCall.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#byCall[middle]?.call ?? 0) <= from) low = middle + 1;
      else high = middle;
    }
    const write = this.#earliest[low];
    return write !== undefined && write.return < until ? write.operation : null;
  }
}

/** Could a value be a written one followed by appended ones? Their order and number are not looked at. */
class BuiltValues {
  /** When each was first called. */
  readonly #starts = new Map<string, number>();
  readonly #inputs = new Map<string, number>();
  readonly #lengths: readonly number[];

  constructor(operations: readonly Operation[], init: unknown) {
    const note = (map: Map<string, number>, text: string, call: number) =>
      map.set(text, Math.min(call, map.get(text) ?? call));
    if (typeof init === 'string') note(this.#starts, init, -Infinity);
    if (init === null || init === undefined) note(this.#starts, '', -Infinity);
    for (const operation of operations) {
      const written = writtenValue(operation);
      if (typeof written === 'string') note(this.#starts, written, operation.call);
      // After a delete the first append begins the value.
      if (written === null) note(this.#starts, '', operation.call);
      if (operation.op === 'append' && typeof operation.input === 'string') {
        note(this.#inputs, operation.input, operation.call);
      }
    }
    this.#lengths = [...new Set([...this.#inputs.keys()].map((input) => input.length))];
  }

  isPossible(value: unknown, until: number): boolean {
    if (typeof value !== 'string') return false;
    const reachable = new Uint8Array(value.length + 1);
    for (const [start, call] of this.#starts) {
      if (call <= until && value.startsWith(start)) reachable[start.length] = 1;
    }
    for (let at = 0; at < value.length; at++) {
      if (reachable[at] === 0) continue;
      for (const length of this.#lengths) {
        const call = this.#inputs.get(value.slice(at, at + length));
        if (call !== undefined && call <= until) reachable[at + length] = 1;
      }
    }
    return reachable[value.length] === 1;
  }
}
