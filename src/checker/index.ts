/** The public door of the history checker. */
export { check, isModelName, type CheckOptions, type CheckResult, type FailedPart } from './check.ts';
export { drawHistory } from './draw.ts';
export type { Operation } from './history.ts';
export type { Budget, BudgetOptions, Finding, Model, Order, Verdict } from './model.ts';
export { MODELS, type ModelName } from './models.ts';
export { checkRecord, parseHistory, type RecordProblem } from './record.ts';
