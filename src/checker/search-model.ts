/** A model that is checked by the search: what is the same for all of them. */
import type { Operation } from './history.ts';
import { bad, OK, type Budget, type Finding } from './model.ts';
import { search, type Machine, type SearchResult } from './search.ts';
import { operationText } from './words.ts';

/** Steps for a better explanation of a verdict that is certain already. */
const MAX_EXPLANATION_STEPS = 200_000;

export function checkBySearch(operations: readonly Operation[], machine: Machine, budget: Budget): Finding {
  const verdict = search(operations, machine, budget);
  if (verdict.verdict === 'ok') return OK;
  const result = verdict.verdict === 'bad' ? explained(verdict, operations, machine, budget) : verdict;
  const orders = result.orders.map((order) => ({
    operations: pick(operations, order.operations),
    state: machine.describe(order.state),
  }));
  if (result.verdict === 'unknown') {
    const reason = 'the budget was used up before an order was found, or it was certain that there is none';
    return { verdict: 'unknown', reason, culprits: [], orders };
  }
  const culprits = result.stuckAt === null ? [] : pick(operations, [result.stuckAt]);
  const culprit = culprits.map(operationText).join('');
  const states = [...new Set(orders.map((order) => order.state))].join(' or ');
  return bad(
    `no order of the operations has a place for ${culprit}; the longest ones end with ${states}`,
    culprits,
    orders,
  );
}

/**
 * A search that does not enter what leads nowhere is stuck before that, at an operation that is not to blame. One that
 * does enter it, if it comes to an end, gets as far as any order can.
 */
function explained(
  first: SearchResult,
  operations: readonly Operation[],
  machine: Machine,
  budget: Budget,
): SearchResult {
  if (machine.demand === undefined) return first;
  const second = search(operations, machine, budget.aside(MAX_EXPLANATION_STEPS), { useDemand: false });
  return second.verdict === 'bad' ? second : first;
}

function pick(operations: readonly Operation[], indexes: readonly number[]): Operation[] {
  return indexes.flatMap((index) => operations[index] ?? []);
}

/** Numbers for texts, in order of appearance: classes of operations. */
export function classNumbers(names: readonly string[]): number[] {
  const numbers = new Map<string, number>();
  return names.map((name) => {
    const number = numbers.get(name) ?? numbers.size;
    numbers.set(name, number);
    return number;
  });
}
