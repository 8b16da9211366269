/** What can be said about a transaction before anything is written: whether it is well-formed, and which way it goes. */
import type {
  ByteKey,
  Compare,
  CompareOperator,
  KeyMeta,
  KvEntry,
  TxnContext,
  TxnOperation,
  TxnStep,
} from './types.ts';

/** What comparisons are made with. */
export interface ComparedKeys {
  meta(key: ByteKey): KeyMeta | null;
  get(key: ByteKey): KvEntry | null;
}

const DECIMAL = /^[0-9]+$/;

/**
 * Why a transaction cannot be applied, whatever the state; null when it can. A branch writes a key at most once: put twice, or put and deleted,
 * there would be two writes of one key at one revision. (What is deleted twice is written once.)
 */
export function checkTxn(operation: TxnOperation): string | null {
  for (const compare of operation.compare) {
    if (compare.target === 'lease' && compare.value !== null && !DECIMAL.test(compare.value)) {
      return 'A lease is compared with a decimal number, or null';
    }
  }
  return checkBranch(operation.then) ?? checkBranch(operation.otherwise);
}

function checkBranch(steps: readonly TxnStep[]): string | null {
  const puts = new Set<ByteKey>();
  for (const step of steps) {
    if (step.type === 'range' && !(Number.isSafeInteger(step.limit) && step.limit >= 0)) {
      return 'The limit of a range is a whole number';
    }
    if (step.type !== 'put') continue;
    if (puts.has(step.key)) return 'A transaction puts a key twice';
    puts.add(step.key);
  }
  if (puts.size === 0) return null;
  const sorted = [...puts].sort();
  for (const step of steps) {
    const both =
      step.type === 'delete'
        ? puts.has(step.key)
        : step.type === 'deleteRange' && containsAny(sorted, step.start, step.end);
    if (both) return 'A transaction both puts and deletes a key';
  }
  return null;
}

function containsAny(sorted: readonly ByteKey[], start: ByteKey, end: ByteKey | null): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as ByteKey) < start) low = middle + 1;
    else high = middle;
  }
  const first = sorted[low];
  return first !== undefined && (end === null || first < end);
}

export function compareHolds(compare: Compare, keys: ComparedKeys, context: TxnContext): boolean {
  switch (compare.target) {
    case 'version':
    case 'createRevision':
    case 'modRevision':
      return satisfies((keys.meta(compare.key)?.[compare.target] ?? 0) - compare.value, compare.operator);
    case 'lease':
      return satisfies(compareDecimals(keys.meta(compare.key)?.lease ?? '0', compare.value ?? '0'), compare.operator);
    case 'value': {
      const entry = keys.get(compare.key);
      if (entry === null) return compare.operator === '!=';
      return satisfies(compareBytes(entry.value, compare.value), compare.operator);
    }
    case 'token':
      return satisfies(context.lockToken(compare.lock) - compare.value, compare.operator);
  }
}

function satisfies(difference: number, operator: CompareOperator): boolean {
  switch (operator) {
    case '=':
      return difference === 0;
    case '!=':
      return difference !== 0;
    case '<':
      return difference < 0;
    case '>':
      return difference > 0;
  }
}

/** As numbers, of any length. */
function compareDecimals(a: string, b: string): number {
  const digitsA = a.replace(/^0+/, '');
  const digitsB = b.replace(/^0+/, '');
  if (digitsA.length !== digitsB.length) return digitsA.length - digitsB.length;
  return digitsA === digitsB ? 0 : digitsA < digitsB ? -1 : 1;
}

/** As unsigned bytes; what is a prefix of the other is less. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
