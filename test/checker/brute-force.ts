/**
 * The checker's twin: tries every order of every subset of the unanswered operations, on plain values, without a cache
 * or a rule. Written only to be obviously right; for histories of up to seven operations.
 */
import type { Operation } from '../../src/checker/index.ts';
import { sorted } from './random.ts';

/** The states that an operation can lead to; none if it cannot happen with its answer. States are plain JSON values. */
export type Step = (state: unknown, operation: Operation) => unknown[];

export function bruteForce(history: readonly Operation[], init: unknown, step: Step): boolean {
  const happened = history.filter((operation) => operation.fail !== true);
  return attempt(happened, happened, init, step);
}

function attempt(history: readonly Operation[], left: readonly Operation[], state: unknown, step: Step): boolean {
  if (left.every((operation) => operation.return === null)) return true;
  return left.some((next) => {
    // Nothing that is left may have returned before the next one was called.
    if (left.some((other) => other !== next && isBefore(history, other, next))) return false;
    const rest = left.filter((other) => other !== next);
    return step(state, next).some((after) => attempt(history, rest, after, step));
  });
}

function isBefore(history: readonly Operation[], a: Operation, b: Operation): boolean {
  if (a.return === null) return false;
  if (a.return < b.call) return true;
  // One client does one thing after the other, also when its clock stands still. If both took no time, the order of
  // the record counts. Unanswered operations are not held to it.
  if (a.client !== b.client || a.return !== b.call || b.return === null) return false;
  return a.call < b.call || a.return < b.return || history.indexOf(a) < history.indexOf(b);
}

/** What the models do, said again in the plainest way. */
export const STEPS: Record<string, Step> = {
  kv: stepValue,
  register: stepValue,
  counter: (state, { op, input, output, return: returned }) => {
    const sum = (state as number) + (op === 'add' ? (input as number) : 0);
    return returned === null || output === null || output === sum ? [sum] : [];
  },
  set: (state, { op, input, output, return: returned }) => {
    const before = state as unknown[];
    if (op === 'read') return returned === null || same(before, sorted(output as unknown[])) ? [state] : [];
    const isIn = before.includes(input);
    const changes = op === 'add' ? !isIn : isIn;
    if (returned !== null && output !== null && output !== changes) return [];
    const without = before.filter((element) => element !== input);
    return [op === 'add' ? sorted([...without, input]) : without];
  },
  'append-list': (state, { op, input, output, return: returned }) => {
    const before = state as unknown[];
    if (op === 'read') return returned === null || same(before, output) ? [state] : [];
    if (returned !== null && output !== null && output !== before.length + 1) return [];
    return [[...before, input]];
  },
  lock: (state, operation) => {
    const before = state as LockState;
    // Expiry: at any time the holder may be gone.
    const holders = before.holder === 0 ? [0] : [before.holder, 0];
    return holders.flatMap((holder) => stepLock({ ...before, holder }, operation));
  },
  txn: (state, { input, output, return: returned }) => {
    const lists = structuredClone(state) as Record<string, unknown[]>;
    for (const [at, [kind, key, element]] of (input as [string, string, unknown][]).entries()) {
      const list = (lists[key] ??= []);
      const answer = (output as [string, string, unknown[] | null][] | null)?.[at]?.[2] ?? [];
      if (kind === 'append') list.push(element);
      else if (returned !== null && !same(list, answer)) return [];
    }
    return [lists];
  },
  revisions: (state, { op, key, input, output }) => {
    const { revision, keys } = state as Store;
    const current = keys[key];
    if (op === 'get') {
      const { value, modRevision, revision: told = null } = (output ?? { value: null, modRevision: null }) as Found;
      const isSeen = same(current?.value, value) && (current?.modRevision ?? null) === modRevision;
      if (!isSeen) return [];
      // Others may write other keys: the store may be further than what the history wrote.
      if (told === null || told === revision) return [state];
      return told > revision ? [{ revision: told, keys }] : [];
    }
    if (op === 'casRevision') {
      const wanted = (input as { revision: number }).revision;
      const holds = (current?.modRevision ?? 0) === wanted;
      if (output === false) return holds ? [] : [state];
      if (!holds) return [];
    }
    const own = (output as { revision: number }).revision;
    if (op === 'delete' && (output as { deleted?: number }).deleted === 0) {
      if (current !== undefined || own < revision) return [];
      return [{ revision: own, keys }];
    }
    if (own <= revision) return [];
    const value = op === 'casRevision' ? (input as { value: unknown }).value : input;
    const { [key]: _, ...others } = keys;
    if (op !== 'delete') return [{ revision: own, keys: { ...others, [key]: { value, modRevision: own } } }];
    return [{ revision: own, keys: others }];
  },
};

interface LockState {
  holder: number;
  newest: number;
  accepted: number;
  /** All tokens that were granted. */
  tokens: number[];
}

interface Store {
  revision: number;
  keys: Record<string, { value: unknown; modRevision: number }>;
}

interface Found {
  value: unknown;
  modRevision: number | null;
  revision?: number;
}

const TOKENS = [1, 2, 3, 4, 5, 6];

function stepLock(state: LockState, { op, input, output, return: returned }: Operation): LockState[] {
  const { holder, newest, accepted, tokens } = state;
  const known = returned !== null;
  switch (op) {
    case 'acquire': {
      if (known && output === null) return [state];
      if (holder !== 0) return [];
      const granted = (known ? [output as number] : TOKENS).filter((token) => token > newest);
      return granted.map((token) => ({ holder: token, newest: token, accepted, tokens: [...tokens, token] }));
    }
    case 'release':
      if (known && output !== (holder === input)) return [];
      return [{ ...state, holder: holder === input ? 0 : holder }];
    case 'query':
      return !known || output === (holder === 0 ? null : holder) ? [state] : [];
    case 'write':
      if (known && output === false) return [state];
      if ((input as number) < accepted || !tokens.includes(input as number)) return known ? [] : [state];
      return [{ ...state, accepted: input as number }];
    default:
      throw new Error(op);
  }
}

function stepValue(state: unknown, { op, input, output, return: returned }: Operation): unknown[] {
  const known = returned !== null;
  switch (op) {
    case 'get':
      return known && !same(state, output) ? [] : [state];
    case 'put':
      return [input];
    case 'append':
      return typeof state === 'string' || state === null ? [`${state ?? ''}${String(input)}`] : [];
    case 'delete':
      return known && typeof output === 'boolean' && output !== (state !== null) ? [] : [null];
    case 'cas': {
      const [old, next] = input as [unknown, unknown];
      const holds = same(state, old);
      return known && holds !== output ? [] : [holds ? next : state];
    }
    default:
      throw new Error(op);
  }
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}
