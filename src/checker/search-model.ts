/** A model that is checked by the search: what is the same for all of them. */
import type { Operation } from './history.ts';
import { bad, OK, type Budget, type Finding } from './model.ts';
import { search, type Machine } from './search.ts';
import { operationText } from './words.ts';

export function checkBySearch(operations: readonly Operation[], machine: Machine, budget: Budget): Finding {
  const result = search(operations, machine, budget);
  if (result.verdict === 'ok') return OK;
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
