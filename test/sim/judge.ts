/** Holds what the clients saw against the models of the checker: values key by key, and revisions over all keys. */
import { check } from '../../src/checker/index.ts';
import type { Operation } from '../../src/checker/history.ts';

/** Configurations that the search may visit: far more than these histories have ever needed. */
const MAX_STEPS = 20_000_000;

/** Input of a conditional put: what the client had seen. Revision 0: the key must not exist. */
export interface Compared {
  readonly expected: string | null;
  readonly revision: number;
  readonly value: string;
}

export interface Seen {
  readonly value: string | null;
  readonly modRevision: number;
  /** Of the store. */
  readonly revision: number;
  readonly deleted: boolean;
}

/** Throws when the history is not linearizable, or when that could not be decided. */
export function judge(all: readonly Operation[]): void {
  const history = all.filter(({ fail }) => fail !== true);
  for (const [model, operations] of [
    ['kv', history.map(toKv)],
    ['revisions', history.map(toRevisions)],
  ] as const) {
    const result = check(operations, { model, budget: { maxSteps: MAX_STEPS } });
    if (result.verdict === 'ok') continue;
    const [part] = result.parts;
    const culprits = part?.culprits.map((one) => JSON.stringify(one)).join('\n  ') ?? '';
    const what = part?.key ?? 'all keys';
    throw new Error(`the history of ${what} is ${result.verdict} (${model}): ${result.reason}\n  ${culprits}`);
  }
}

/** A value is written once, so a condition on a revision is one on the value that the client had seen there. */
function toKv(operation: Operation): Operation {
  const { op, input, return: returned } = operation;
  const seen = operation.output as Seen | false | null;
  const { expected, value } = (op === 'cas' ? input : {}) as Compared;
  const asked = op === 'cas' ? { ...operation, input: [expected, value] } : operation;
  if (returned === null || seen === null) return asked;
  if (op === 'cas') return { ...asked, output: seen !== false };
  if (seen === false) return asked;
  if (op === 'get') return { ...asked, output: seen.value };
  return { ...asked, output: op === 'delete' ? seen.deleted : null };
}

function toRevisions(operation: Operation): Operation {
  const { op, input, return: returned } = operation;
  const seen = operation.output as Seen | false | null;
  const { revision, value } = (op === 'cas' ? input : {}) as Compared;
  const asked = op === 'cas' ? { ...operation, op: 'casRevision', input: { revision, value } } : operation;
  if (returned === null || seen === null || seen === false) return asked;
  if (op === 'get') {
    const modRevision = seen.value === null ? null : seen.modRevision;
    return { ...asked, output: { value: seen.value, modRevision, revision: seen.revision } };
  }
  return { ...asked, output: { revision: seen.revision, ...(op === 'delete' && !seen.deleted ? { deleted: 0 } : {}) } };
}
