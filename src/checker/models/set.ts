/**
 * A set a key, `init` (an array) or empty at first: `add` and `remove` with the element as input, whose output is true
 * (it changed the set), false, or null (not told); `read` with all elements as output, in any order.
 */
import type { Operation } from '../history.ts';
import { canonicalText } from '../interner.ts';
import { exactly, from, levelConflict, type Leveled } from '../levels.ts';
import { bad, OK, type Budget, type Finding, type Model } from '../model.ts';
import { checkBySearch } from '../search-model.ts';
import { SetMachine } from '../set-machine.ts';
import { operationText, valueText } from '../words.ts';

export const set: Model = { name: 'set', byKey: true, refuse, check };

function refuse({ op, output, return: returned }: Operation): string | null {
  if (op === 'read') {
    if (returned !== null && !Array.isArray(output)) return 'the output of read is an array';
    return null;
  }
  if (op !== 'add' && op !== 'remove') return `the model has no operation ${JSON.stringify(op)}`;
  const silent = returned === null || output === null || output === undefined;
  return silent || typeof output === 'boolean' ? null : `the output of ${op} is true, false or null`;
}

function check(operations: readonly Operation[], init: unknown, budget: Budget): Finding {
  const start = Array.isArray(init) ? (init as unknown[]) : [];
  const telling = operations.filter((operation) => !(operation.op === 'read' && operation.return === null));
  const wrong = wrongElement(telling, start);
  if (wrong !== null) return wrong;
  const onlyGrows = telling.every(
    ({ op, output, return: returned }) =>
      op === 'read' || (op === 'add' && (returned === null || typeof output !== 'boolean')),
  );
  if (onlyGrows) return checkGrowing(telling, start);
  return checkBySearch(telling, new SetMachine(telling, start), budget);
}

/** What is wrong with a read on its own: an element twice, or one that nobody added. */
function wrongElement(operations: readonly Operation[], start: readonly unknown[]): Finding | null {
  const added = new Map<string, number>(start.map((value) => [canonicalText(value), -Infinity]));
  for (const { op, input, call } of operations) {
    const text = canonicalText(input);
    if (op === 'add') added.set(text, Math.min(call, added.get(text) ?? call));
  }
  for (const read of operations) {
    if (read.op !== 'read' || read.return === null) continue;
    const texts = new Set<string>();
    for (const value of read.output as unknown[]) {
      const text = canonicalText(value);
      if (texts.has(text)) return bad(`${operationText(read)} saw ${valueText(value)} twice in a set`, [read]);
      texts.add(text);
      const call = added.get(text);
      if (call !== undefined && call <= read.return) continue;
      return bad(`${operationText(read)} saw ${valueText(value)}, which nobody added before it returned`, [read]);
    }
  }
  return null;
}

/**
 * A set that only grows, by adds that tell nothing, needs no search. In an order that is right for the model the reads
 * see growing sets, S1 ⊂ S2 ⊂ …; if two are not comparable there is no such order. The first add of an element that is
 * in S(i) and not in S(i-1) stands between the reads of these two: it has the level 2i, reads of S(i) have 2i + 1. What is in
 * no read and has an answer comes after the last one. Further adds of an element may stand anywhere after the first. Any order by
 * these levels is right. Which of the adds of an element is the first may be chosen, and the one called first is the best choice:
 * where another one of them may stand first, it may too, because what must precede it must precede the others.
 */
function checkGrowing(operations: readonly Operation[], start: readonly unknown[]): Finding {
  const reads = operations
    .filter(({ op }) => op === 'read')
    .map((operation) => ({ operation, elements: new Set((operation.output as unknown[]).map(canonicalText)) }))
    .sort((a, b) => a.elements.size - b.elements.size);
  const levelOf = new Map<string, number>(start.map((value) => [canonicalText(value), -1]));
  const items: Leveled[] = [];
  let step = 0;
  let before: (typeof reads)[number] | undefined;
  for (const read of reads) {
    const smaller = before?.elements ?? new Set(levelOf.keys());
    for (const element of smaller) {
      if (read.elements.has(element)) continue;
      if (before === undefined)
        return bad(`${operationText(read.operation)} misses ${element}, which was there at first`, [read.operation]);
      const reason = `${operationText(before.operation)} and ${operationText(read.operation)} each saw an element that the other one did not see, but the set only grows`;
      return bad(reason, [before.operation, read.operation]);
    }
    if (before === undefined || read.elements.size > before.elements.size) step++;
    for (const element of read.elements) if (!levelOf.has(element)) levelOf.set(element, 2 * step);
    items.push(exactly(read.operation, 2 * step + 1));
    before = read;
  }
  const never = 2 * step + 2;
  const isAdded = new Set<string>(start.map(canonicalText));
  for (const operation of operations) {
    if (operation.op !== 'add') continue;
    const element = canonicalText(operation.input);
    const level = levelOf.get(element);
    if (level === undefined) {
      // Never seen: without an answer it may as well not have happened.
      if (operation.return !== null) items.push(from(operation, never));
    } else if (isAdded.has(element)) {
      if (operation.return !== null) items.push(from(operation, level));
    } else {
      isAdded.add(element);
      items.push(exactly(operation, level));
    }
  }
  const conflict = levelConflict(operations, items);
  if (conflict === null) return OK;
  const { earlier, operation } = conflict;
  const reason = `by what the reads saw, ${operationText(operation)} came before ${operationText(earlier)}, but that one returned before it was called`;
  return bad(reason, [operation, earlier]);
}
