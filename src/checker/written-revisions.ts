/** Writes of a history that know their revision: what the models `revisions` and `watch` share. */
import type { Operation } from './history.ts';

export interface Change {
  readonly key: string;
  readonly type: 'put' | 'delete';
  /** Of a put. */
  readonly value: unknown;
}

export interface RevisedWrite {
  readonly operation: Operation;
  readonly revision: number;
  readonly changes: readonly Change[];
}

/** A whole number from 0 on. */
export function isRevision(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A number, or an object with `revision`; null for anything else. */
export function revisionOf(output: unknown): number | null {
  const value = typeof output === 'object' && output !== null && 'revision' in output ? output.revision : output;
  return isRevision(value) ? value : null;
}

/** What a write changes when it takes effect; none for reads. */
export function changesOf({ op, key, input }: Operation): Change[] {
  switch (op) {
    case 'put':
      return [{ key, type: 'put', value: input }];
    case 'casRevision':
      return [{ key, type: 'put', value: (input as { value: unknown }).value }];
    case 'delete':
      return [{ key, type: 'delete', value: null }];
    case 'batch':
      return (input as { op: 'put' | 'delete'; key: string; value?: unknown }[]).map((step) => ({
        key: step.key,
        type: step.op,
        value: step.op === 'put' ? (step.value ?? null) : null,
      }));
    default:
      return [];
  }
}

/** A write that was acknowledged with its revision; null for one that changed nothing, or is no such write. */
export function revisedWrite(operation: Operation): RevisedWrite | null {
  const { output, return: returned } = operation;
  const changes = changesOf(operation);
  if (returned === null || changes.length === 0 || isWithoutEffect(output)) return null;
  const revision = revisionOf(output);
  return revision === null ? null : { operation, revision, changes };
}

/** A refused condition, or a delete that found nothing. */
export function isWithoutEffect(output: unknown): boolean {
  if (output === false) return true;
  return (
    typeof output === 'object' &&
    output !== null &&
    'deleted' in output &&
    (output.deleted === 0 || output.deleted === false)
  );
}

/** Why this is no write with a revision, in words; null if it is one. */
export function refuseRevisedWrite(operation: Operation): string | null {
  const { op, input, output, return: returned } = operation;
  if (op === 'casRevision') {
    const isPair = typeof input === 'object' && input !== null && 'revision' in input && 'value' in input;
    if (!isPair || !(input.revision === null || isRevision(input.revision))) {
      return 'the input of casRevision is {revision, value}, with revision 0 or null for "there is no such key"';
    }
    if (returned !== null && output === false) return null;
  } else if (op === 'batch') {
    if (!Array.isArray(input) || !input.every(isBatchStep)) {
      return 'the input of batch is an array of {op: "put" or "delete", key, value}';
    }
  } else if (op !== 'put' && op !== 'delete') {
    return `the model has no operation ${JSON.stringify(op)}`;
  }
  if (returned === null || revisionOf(output) !== null) return null;
  return `the output of ${op} is its revision, or an object with it`;
}

function isBatchStep(step: unknown): boolean {
  if (typeof step !== 'object' || step === null || !('op' in step) || !('key' in step)) return false;
  return (step.op === 'put' || step.op === 'delete') && typeof step.key === 'string';
}
