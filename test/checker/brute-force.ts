/**
 * The checker's twin: tries every order of every subset of the unanswered operations, on plain values, without a cache
 * or a rule. Written only to be obviously right; for histories of up to seven operations.
 */
import type { Operation } from '../../src/checker/index.ts';

/** The state after an operation, or undefined if it cannot happen with its answer. States are plain JSON values. */
export type Step = (state: unknown, operation: Operation) => { state: unknown } | undefined;

export function bruteForce(history: readonly Operation[], init: unknown, step: Step): boolean {
  const happened = history.filter((operation) => operation.fail !== true);
  return attempt(happened, happened, init, step);
}

function attempt(history: readonly Operation[], left: readonly Operation[], state: unknown, step: Step): boolean {
  if (left.every((operation) => operation.return === null)) return true;
  return left.some((next) => {
    // Nothing that is left may have returned before the next one was called.
    if (left.some((other) => other !== next && isBefore(history, other, next))) return false;
    const after = step(state, next);
    if (after === undefined) return false;
    const rest = left.filter((other) => other !== next);
    return attempt(history, rest, after.state, step);
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
  kv: (state, { op, input, output, return: returned }) => {
    const known = returned !== null;
    const same = (a: unknown, b: unknown) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
    switch (op) {
      case 'get':
        return known && !same(state, output) ? undefined : { state };
      case 'put':
        return { state: input };
      case 'append':
        if (typeof state !== 'string' && state !== null) return undefined;
        return { state: `${state ?? ''}${String(input)}` };
      case 'delete':
        return known && typeof output === 'boolean' && output !== (state !== null) ? undefined : { state: null };
      case 'cas': {
        const [old, next] = input as [unknown, unknown];
        const holds = same(state, old);
        if (known && holds !== output) return undefined;
        return { state: holds ? next : state };
      }
      default:
        throw new Error(op);
    }
  },
};
STEPS.register = STEPS.kv as Step;
