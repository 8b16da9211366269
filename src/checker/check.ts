/** Checks a history against a model: drops what cannot matter, divides, searches or applies the model's rules, reports. */
import { KvorumError } from '../errors.ts';
import type { Operation } from './history.ts';
import { Budget, type BudgetOptions, type Model, type Order, type Verdict } from './model.ts';
import { MODELS, type ModelName } from './models.ts';
import { checkRecord, recordError } from './record.ts';

export interface CheckOptions {
  /** A name of MODELS, or a model of your own. */
  readonly model: ModelName | Model;
  /** The value at first, of every key; what it may be is the model's. Default null: nothing is there. */
  readonly init?: unknown;
  readonly budget?: BudgetOptions;
}

/** A part that is not ok: one key, or the whole history for models that cannot be divided. */
export interface FailedPart {
  /** null: the whole history. */
  readonly key: string | null;
  readonly verdict: Exclude<Verdict, 'ok'>;
  readonly reason: string;
  /** All operations of the part that count, by call. */
  readonly operations: readonly Operation[];
  /** Those that could not be placed, or that contradict each other. */
  readonly culprits: readonly Operation[];
  /** The longest orders that were found, at most four that end in different states. */
  readonly orders: readonly Order[];
}

export interface CheckResult {
  /** `bad` if a part is bad, else `unknown` if one is. Only `ok` has passed. */
  readonly verdict: Verdict;
  readonly model: string;
  /** Of the first failed part; null when ok. */
  readonly reason: string | null;
  /** Operations in the history. */
  readonly operations: number;
  /** Configurations that were visited. */
  readonly steps: number;
  /** Bad ones first. */
  readonly parts: readonly FailedPart[];
}

/**
 * Throws ERR_INVALID_ARGUMENT when the history or the options are malformed (`details.problem`, see RecordProblem).
 *
 * @example
 * const result = check(history, { model: 'kv', budget: { maxSteps: 1_000_000 } });
 * if (result.verdict !== 'ok') throw new Error(result.reason ?? result.verdict);
 */
export function check(history: readonly Operation[], options: CheckOptions): CheckResult {
  const model = typeof options.model === 'string' ? modelNamed(options.model) : options.model;
  checkRecord(history);
  const budget = new Budget(options.budget);
  const parts: FailedPart[] = [];
  for (const [key, operations] of divide(history, model)) {
    const finding = model.check(operations, options.init ?? null, budget);
    if (finding.verdict === 'ok') continue;
    const { verdict, culprits, orders } = finding;
    parts.push({ key, verdict, reason: finding.reason ?? verdict, operations, culprits, orders });
  }
  parts.sort((a, b) => Number(a.verdict === 'unknown') - Number(b.verdict === 'unknown'));
  return {
    verdict: parts[0]?.verdict ?? 'ok',
    model: model.name,
    reason: parts[0]?.reason ?? null,
    operations: history.length,
    steps: budget.steps,
    parts,
  };
}

export function isModelName(name: string): name is ModelName {
  return Object.hasOwn(MODELS, name);
}

function modelNamed(name: string): Model {
  if (isModelName(name)) return MODELS[name];
  throw new KvorumError(
    'ERR_INVALID_ARGUMENT',
    `there is no model ${name}; there are ${Object.keys(MODELS).join(', ')}`,
  );
}

/** Smallest part first: what is cheap to refute is refuted before the budget is gone. */
function divide(history: readonly Operation[], model: Model): [string | null, Operation[]][] {
  const parts = new Map<string | null, Operation[]>();
  history.forEach((operation, index) => {
    const refusal = model.refuse(operation);
    if (refusal !== null) throw recordError('not-of-model', `${refusal} (model ${model.name})`, { index });
    // It certainly did not happen.
    if (operation.fail === true && !model.keepsFailed) return;
    const key = model.byKey ? operation.key : null;
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [operation]);
    else part.push(operation);
  });
  for (const part of parts.values()) part.sort((a, b) => a.call - b.call);
  return [...parts].sort(([, a], [, b]) => a.length - b.length);
}
