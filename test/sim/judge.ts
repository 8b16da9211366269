/** Holds what the clients saw against the models of the checker. */
import { check } from '../../src/checker/index.ts';
import type { Operation } from '../../src/checker/history.ts';

/** Configurations that the search may visit: far more than these histories have ever needed. */
const MAX_STEPS = 20_000_000;

interface Seen {
  readonly value: string | null;
  readonly modRevision: number;
  readonly revision: number;
  readonly deleted: boolean;
}

/** Throws when the history is not linearizable, or when that could not be decided. */
export function judge(all: readonly Operation[]): void {
  const history = all.filter(({ fail }) => fail !== true);
  const result = check(history.map(toKv), { model: 'kv', budget: { maxSteps: MAX_STEPS } });
  if (result.verdict !== 'ok') {
    const [part] = result.parts;
    const culprits = part?.culprits.map((one) => JSON.stringify(one)).join('\n  ') ?? '';
    throw new Error(
      `the history of ${part?.key ?? 'the clients'} is ${result.verdict}: ${result.reason}\n  ${culprits}`,
    );
  }
  checkRevisions(history);
}

function toKv(operation: Operation): Operation {
  const { op, output, return: returned } = operation;
  if (returned === null) return operation;
  const seen = output as Seen | false;
  if (op === 'get') return { ...operation, output: seen === false ? null : seen.value };
  if (op === 'cas') return { ...operation, output: seen !== false };
  if (op === 'delete') return { ...operation, output: seen === false ? null : seen.deleted };
  return { ...operation, output: null };
}

/**
 * Revisions order all writes of the group: each belongs to one write; a write that began after another had its answer has the higher one;
 * a read says the revision of the value that it shows, and a store revision that is no older than what was acknowledged before it began.
 */
function checkRevisions(history: readonly Operation[]): void {
  const byRevision = new Map<number, Operation>();
  const byValue = new Map<string, number>();
  const answered = history.filter(({ return: returned, output }) => returned !== null && output !== false);
  for (const operation of answered) {
    if (operation.op === 'get') continue;
    const { revision, deleted } = operation.output as Seen;
    if (operation.op === 'delete' && !deleted) continue;
    const other = byRevision.get(revision);
    if (other !== undefined) throw contradiction('one revision for two writes', other, operation);
    byRevision.set(revision, operation);
    const value = operation.op === 'cas' ? (operation.input as [unknown, string])[1] : operation.input;
    if (typeof value === 'string') byValue.set(value, revision);
  }
  for (const operation of answered) {
    if (operation.op !== 'get') continue;
    const { value, modRevision, revision } = operation.output as Seen;
    if (modRevision > revision) throw contradiction('a value from after the read', operation, operation);
    const written = value === null ? undefined : byValue.get(value);
    if (written !== undefined && written !== modRevision) {
      throw contradiction(`a value of revision ${written} shown as of ${modRevision}`, operation, operation);
    }
  }
  // In the order of their calls: nothing that begins after an answer may be older than that answer.
  const byReturn = answered.toSorted((a, b) => (a.return ?? 0) - (b.return ?? 0));
  let newest: Operation | null = null;
  let at = 0;
  for (const operation of answered.toSorted((a, b) => a.call - b.call)) {
    for (let next = byReturn[at]; next !== undefined && (next.return ?? 0) < operation.call; next = byReturn[++at]) {
      if (newest === null || revisionOf(next) > revisionOf(newest)) newest = next;
    }
    if (newest === null) continue;
    const { op } = operation;
    const writes = op !== 'get' && !(op === 'delete' && !(operation.output as Seen).deleted);
    const own = revisionOf(operation);
    if (writes ? own <= revisionOf(newest) : own < revisionOf(newest)) {
      throw contradiction('an older revision after a newer one', newest, operation);
    }
  }
}

function revisionOf(operation: Operation): number {
  return (operation.output as Seen).revision;
}

function contradiction(what: string, a: Operation, b: Operation): Error {
  return new Error(`${what}:\n  ${JSON.stringify(a)}\n  ${JSON.stringify(b)}`);
}
