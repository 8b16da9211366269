/** Short ways to write a history by hand. */
import { check, type CheckResult, type ModelName, type Operation } from '../../src/checker/index.ts';

/** One operation from `call` to `returned`; null: no answer. */
export function did(
  client: number | string,
  [call, returned]: readonly [number, number | null],
  op: string,
  input: unknown = null,
  output: unknown = null,
  key = 'k',
): Operation {
  return { client, op, key, input, output, call, return: returned };
}

export function failed(operation: Operation): Operation {
  return { ...operation, output: null, return: null, fail: true };
}

/** `ok`, or the verdict and why: so that a test that fails says it. */
export function verdictOf(model: ModelName, history: readonly Operation[], init: unknown = null): string {
  const result: CheckResult = check(history, { model, init });
  return result.verdict === 'ok' ? 'ok' : `${result.verdict}: ${result.reason}`;
}
