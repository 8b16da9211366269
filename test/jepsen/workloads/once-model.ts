/**
 * Increments that carry an id each, so that one that was made twice cannot be taken for two.
 * - `add` with a number that nobody else adds as input, output the sum or null; `read` gives the sum: the model `counter`.
 * - `append` with an id that nobody else appends; `read` gives all ids: the model `append-list`.
 *
 * Both models imply that in the end the counter is what was acknowledged and some of what has no answer; that is counted here
 * once more, in few words, because it is what users ask.
 */
import { MODELS, type Finding, type Model, type Operation } from '../../../src/checker/index.ts';

const { counter, 'append-list': appendList } = MODELS;

export const once: Model = {
  name: 'once',
  byKey: true,
  refuse: (operation) => (isList(operation) ? appendList : counter).refuse(operation),
  check: (operations, init, budget) => {
    const wrong = wrongTally(operations);
    if (wrong !== null) return wrong;
    return (operations.some(isList) ? appendList : counter).check(operations, init, budget);
  },
};

export interface Tally {
  readonly acknowledged: number;
  readonly unknown: number;
  /** Of the unknown ones, those that were made; null when nobody has read in the end. */
  readonly made: number | null;
}

/** Of one key, by the read that was called last. */
export function tallyOf(operations: readonly Operation[]): Tally {
  const isWrite = ({ op, fail }: Operation): boolean => op !== 'read' && fail !== true;
  const acknowledged = operations.filter((operation) => isWrite(operation) && operation.return !== null);
  const unknown = operations.filter((operation) => isWrite(operation) && operation.return === null);
  const last = lastRead(operations);
  return {
    acknowledged: acknowledged.length,
    unknown: unknown.length,
    made: last && madeOf(last, acknowledged, unknown),
  };
}

function madeOf(
  { output }: Operation,
  acknowledged: readonly Operation[],
  unknown: readonly Operation[],
): number | null {
  if (Array.isArray(output)) return output.length - acknowledged.length;
  const amount = ({ input }: Operation): number => Number(input);
  const rest = Number(output) - acknowledged.reduce((sum, operation) => sum + amount(operation), 0);
  return subset(rest, unknown.map(amount));
}

/** How many of these come to the sum; -1 when none do. Few are asked for: keys with many unknown operations are left. */
function subset(sum: number, amounts: readonly number[]): number {
  const [first, ...rest] = amounts;
  if (sum === 0) return 0;
  if (first === undefined || sum < 0) return -1;
  const without = subset(sum, rest);
  if (without >= 0) return without;
  const others = subset(sum - first, rest);
  return others < 0 ? -1 : others + 1;
}

function wrongTally(operations: readonly Operation[]): Finding | null {
  const last = lastRead(operations);
  // What was still under way when it was read may or may not be in it.
  if (last === null || operations.some((one) => one.op !== 'read' && one.return !== null && one.return >= last.call)) {
    return null;
  }
  const { acknowledged, unknown, made } = tallyOf(operations);
  if (made === null || (made >= 0 && made <= unknown)) return null;
  const reason = `in the end it is ${JSON.stringify(last.output)}, which is not what was acknowledged (${acknowledged}) and some of what was not answered (${unknown})`;
  return { verdict: 'bad', reason, culprits: [last], orders: [] };
}

function lastRead(operations: readonly Operation[]): Operation | null {
  const reads = operations.filter(({ op, return: returned }) => op === 'read' && returned !== null);
  return reads.reduce<Operation | null>((last, read) => (last === null || read.call > last.call ? read : last), null);
}

function isList({ op, output }: Operation): boolean {
  return op === 'append' || (op === 'read' && Array.isArray(output));
}
