/**
 * One value a key, `init` or absent at first: `get`, `put`, `cas` with input [old, new] and output true or false, and
 * `delete` with output true (there was a value), false (there was none) or null (not told). Absent is null.
 */
import type { Operation } from '../history.ts';
import { bad, type Budget, type Finding, type Model } from '../model.ts';
import { checkBySearch } from '../search-model.ts';
import { ValueMachine } from '../value-machine.ts';
import { wrongRead } from '../wrong-read.ts';

export const register: Model = {
  name: 'register',
  byKey: true,
  refuse: (operation) => refuseValueOperation(operation, false),
  check: checkValues,
};

/** Shared with `kv`, which has `append` too. */
export function refuseValueOperation(
  { op, input, output, return: returned }: Operation,
  appends: boolean,
): string | null {
  const silent = returned === null || output === null || output === undefined;
  switch (op) {
    case 'get':
    case 'put':
      return null;
    case 'cas':
      if (!Array.isArray(input) || input.length !== 2) return 'the input of cas is [old, new]';
      return returned === null || typeof output === 'boolean' ? null : 'the output of cas is true or false';
    case 'delete':
      return silent || typeof output === 'boolean' ? null : 'the output of delete is true, false or null';
    case 'append':
      if (!appends) return 'the model has no append';
      return typeof input === 'string' ? null : 'the input of append is a string';
    default:
      return `the model has no operation ${JSON.stringify(op)}`;
  }
}

export function checkValues(operations: readonly Operation[], init: unknown, budget: Budget): Finding {
  const wrong = wrongRead(operations, init);
  if (wrong !== null) return bad(wrong.reason, wrong.culprits);
  const telling = operations.filter((operation) => !(operation.op === 'get' && operation.return === null));
  return checkBySearch(...ValueMachine.of(telling, init), budget);
}
