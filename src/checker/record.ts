/** Reading and checking the record itself: JSON lines, and what every history has to keep to. */
import { KvorumError } from '../errors.ts';
import type { Operation } from './history.ts';

/** Stable names of what can be wrong with a record, in `details.problem` of the ERR_INVALID_ARGUMENT. */
export type RecordProblem =
  | 'not-json'
  | 'not-an-object'
  | 'missing-member'
  | 'wrong-type'
  | 'returned-before-call'
  | 'overlapping-client'
  | 'not-of-model';

const MEMBERS = ['client', 'op', 'key', 'input', 'output', 'call', 'return'] as const;

/** `details` are `problem` and, where known, `line` (from 1) or `index` (from 0). */
export function recordError(
  problem: RecordProblem,
  message: string,
  at: { line?: number; index?: number },
): KvorumError {
  const place = at.line === undefined ? `operation ${at.index}` : `line ${at.line}`;
  return new KvorumError('ERR_INVALID_ARGUMENT', `${place}: ${message}`, { details: { problem, ...at } });
}

/**
 * A history from JSON lines, one operation a line; empty lines are skipped. Throws ERR_INVALID_ARGUMENT with the line.
 *
 * @example
 * const history = parseHistory('{"client":1,"op":"put","key":"a","input":5,"output":null,"call":10,"return":20}\\n');
 */
export function parseHistory(text: string): Operation[] {
  const history: Operation[] = [];
  const lines: number[] = [];
  let line = 0;
  for (const source of text.split('\n')) {
    line++;
    if (source.trim() === '') continue;
    history.push(parseLine(source, line));
    lines.push(line);
  }
  checkRecord(history, (index) => ({ line: lines[index] ?? 0 }));
  return history;
}

function parseLine(source: string, line: number): Operation {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    throw recordError('not-json', error instanceof Error ? error.message : String(error), { line });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw recordError('not-an-object', 'an operation is a JSON object', { line });
  }
  for (const member of MEMBERS) {
    if (!Object.hasOwn(value, member)) throw recordError('missing-member', `"${member}" is missing`, { line });
  }
  return value as Operation;
}

/**
 * Throws ERR_INVALID_ARGUMENT unless types are right, nothing returned before it was called, and no client called
 * before its last operation returned, except when that one never did or failed for certain.
 */
export function checkRecord(
  history: readonly Operation[],
  placeOf: (index: number) => { line?: number; index?: number } = (index) => ({ index }),
): void {
  const byClient = new Map<string, number[]>();
  history.forEach((operation, index) => {
    const wrong = wrongType(operation);
    if (wrong !== null) throw recordError('wrong-type', wrong, placeOf(index));
    if (operation.return !== null && operation.return < operation.call) {
      const message = `returned at ${operation.return}, before it was called at ${operation.call}`;
      throw recordError('returned-before-call', message, placeOf(index));
    }
    // A failed operation has no return in many recordings, and no place in any order.
    if (operation.return === null) return;
    const client = `${typeof operation.client} ${operation.client}`;
    const own = byClient.get(client);
    if (own === undefined) byClient.set(client, [index]);
    else own.push(index);
  });
  for (const own of byClient.values()) {
    const ordered = own.toSorted((a, b) => byTime(history[a], history[b]));
    for (let at = 1; at < ordered.length; at++) {
      const before = history[ordered[at - 1] ?? 0];
      const after = history[ordered[at] ?? 0];
      if (before === undefined || after === undefined || before.return === null || before.return <= after.call)
        continue;
      const message = `client ${after.client} called at ${after.call}, before its operation of ${before.call} returned at ${before.return}`;
      throw recordError('overlapping-client', message, placeOf(ordered[at] ?? 0));
    }
  }
}

function byTime(a: Operation | undefined, b: Operation | undefined): number {
  if (a === undefined || b === undefined) return 0;
  return a.call - b.call || (a.return ?? Infinity) - (b.return ?? Infinity);
}

function wrongType(operation: Operation): string | null {
  const { client, op, key, call, return: returned, fail } = operation;
  if (typeof client !== 'number' && typeof client !== 'string') return '"client" is a number or a string';
  if (typeof op !== 'string') return '"op" is a string';
  if (typeof key !== 'string') return '"key" is a string';
  if (typeof call !== 'number' || !Number.isFinite(call)) return '"call" is a finite number';
  if (returned !== null && (typeof returned !== 'number' || !Number.isFinite(returned))) {
    return '"return" is a finite number, or null for no answer';
  }
  if (fail !== undefined && typeof fail !== 'boolean') return '"fail" is true or false';
  return null;
}
