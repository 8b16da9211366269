/** How operations and values are named to people. */
import type { Operation } from './history.ts';

const MAX_VALUE_CHARACTERS = 120;

/** JSON, shortened in the middle when it is long. */
export function valueText(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  if (text.length <= MAX_VALUE_CHARACTERS) return text;
  const half = Math.floor(MAX_VALUE_CHARACTERS / 2) - 2;
  return `${text.slice(0, half)} … ${text.slice(-half)}`;
}

/** `put 5`, `get → 5`, `cas [1,2] → false`, `append "x" → ?`. */
export function actionText(operation: Operation): string {
  const input = operation.input === null || operation.input === undefined ? '' : ` ${valueText(operation.input)}`;
  if (operation.return === null) return `${operation.op}${input} → ?`;
  const silent = operation.output === null || operation.output === undefined;
  const output =
    silent && operation.op !== 'get' && operation.op !== 'read' ? '' : ` → ${valueText(operation.output ?? null)}`;
  return `${operation.op}${input}${output}`;
}

/** `get → 5 by client 3 on key "a" from 10 to 20`. */
export function operationText(operation: Operation): string {
  const until = operation.return === null ? ', never answered' : ` to ${operation.return}`;
  return `${actionText(operation)} by client ${operation.client} on key ${valueText(operation.key)} from ${operation.call}${until}`;
}
