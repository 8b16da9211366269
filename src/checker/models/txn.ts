/**
 * Transactions that append to lists and read them, checked for strict serializability in the manner of Elle (Kingsbury &
 * Alvaro, "Elle: inferring isolation anomalies from experimental observations", VLDB 2020). Nothing is searched: reads
 * of lists tell the order of the versions, the versions tell which transaction has to come before which, and a
 * cycle among those, or with real time, is a proof that there is no serial order.
 *
 * `op` is `txn`; `input` a list of ["append", key, element] and ["r", key, null]; `output` the same with what was read
 * in place of null (null: no such list). Every element is appended to a key once. `key` of the record is not looked at.
 */
import type { Operation } from '../history.ts';
import { bad, OK, type Budget, type Finding, type Model } from '../model.ts';
import { directAnomalies } from '../txn-anomalies.ts';
import { cycleAnomalies } from '../txn-cycles.ts';
import { TxnHistory } from '../txn-history.ts';

export const txn: Model = { name: 'txn', byKey: false, keepsFailed: true, refuse, check };

function refuse({ op, input, output, return: returned, fail }: Operation): string | null {
  if (op !== 'txn') return `the model has no operation ${JSON.stringify(op)}`;
  const wrong = wrongSteps(input);
  if (wrong !== null) return `input: ${wrong}`;
  if (returned === null || fail === true) return null;
  const wrongOutput = wrongSteps(output);
  if (wrongOutput !== null) return `output: ${wrongOutput}`;
  if ((output as unknown[]).length !== (input as unknown[]).length)
    return 'the output has not as many steps as the input';
  for (const [kind, , value] of output as unknown[][]) {
    if (kind === 'r' && value !== null && !Array.isArray(value)) return 'what was read is an array or null';
  }
  return null;
}

function wrongSteps(steps: unknown): string | null {
  if (!Array.isArray(steps)) return 'a transaction is an array of steps';
  for (const step of steps as unknown[]) {
    const isStep = Array.isArray(step) && step.length === 3 && (step[0] === 'append' || step[0] === 'r');
    if (!isStep) return 'a step is ["append", key, element] or ["r", key, null]';
  }
  return null;
}

function check(operations: readonly Operation[], _init: unknown, budget: Budget): Finding {
  const history = new TxnHistory(operations);
  const anomalies = [...directAnomalies(history), ...cycleAnomalies(history, () => budget.spend())];
  const first = anomalies[0];
  if (first === undefined) {
    if (budget.spend()) return OK;
    return {
      verdict: 'unknown',
      reason: 'the budget was used up before all cycles were looked for',
      culprits: [],
      orders: [],
    };
  }
  const counts = new Map<string, number>();
  for (const { name } of anomalies) counts.set(name, (counts.get(name) ?? 0) + 1);
  const others = [...counts].map(([name, count]) => (count === 1 ? name : `${name} (${count} times)`)).join(', ');
  const summary = anomalies.length === 1 ? '' : `; found in all: ${others}`;
  return bad(`${first.name}: ${first.text}${summary}`, first.culprits);
}
