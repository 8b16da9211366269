/** What is wrong with transactions without looking for cycles. Names are Adya's and Elle's. */
import type { Operation } from './history.ts';
import { canonicalText } from './interner.ts';
import type { Read, Txn, TxnHistory } from './txn-history.ts';

export interface Anomaly {
  readonly name: string;
  readonly text: string;
  readonly culprits: readonly Operation[];
}

export function directAnomalies(history: TxnHistory): Anomaly[] {
  const found: Anomaly[] = [];
  for (const txn of history.txns) found.push(...internal(txn));
  for (const read of history.reads) found.push(...wrongElements(history, read));
  found.push(...incompatibleOrders(history), ...reorderedAppends(history), ...lostAppends(history));
  return found;
}

/** A transaction sees its own appends, and otherwise the same list each time. */
function internal(txn: Txn): Anomaly[] {
  if (!txn.isAcknowledged) return [];
  const expected = new Map<string, { list: string[]; isWhole: boolean }>();
  for (const [kind, name, value] of txn.operation.output as readonly (readonly unknown[])[]) {
    const key = canonicalText(name);
    const before = expected.get(key);
    if (kind === 'append') {
      const list = [...(before?.list ?? []), canonicalText(value)];
      expected.set(key, { list, isWhole: before?.isWhole ?? false });
      continue;
    }
    const list = Array.isArray(value) ? value.map(canonicalText) : [];
    if (before !== undefined) {
      const end = before.isWhole ? list : list.slice(Math.max(0, list.length - before.list.length));
      if (end.join() !== before.list.join()) {
        const text = `${txn.text} read ${key} as [${list.join()}], which does not agree with its own steps before`;
        return [{ name: 'internal', text, culprits: [txn.operation] }];
      }
    }
    expected.set(key, { list, isWhole: true });
  }
  return [];
}

function wrongElements(history: TxnHistory, read: Read): Anomaly[] {
  const found: Anomaly[] = [];
  const { txn, key, elements } = read;
  const seen = new Set<string>();
  for (const element of elements) {
    if (seen.has(element)) {
      const text = `${txn.text} read ${element} of ${key} twice`;
      found.push({ name: 'duplicate-elements', text, culprits: [txn.operation] });
      break;
    }
    seen.add(element);
  }
  for (const element of seen) {
    const append = history.appendOf(key, element);
    if (append === undefined) {
      const text = `${txn.text} read ${element} of ${key}, which nobody appended`;
      found.push({ name: 'phantom-element', text, culprits: [txn.operation] });
    } else if (append.txn.state === 'aborted') {
      const text = `${txn.text} read ${element} of ${key}, which was appended by ${append.txn.text}, and that failed`;
      found.push({ name: 'G1a', text: `aborted read: ${text}`, culprits: [txn.operation, append.txn.operation] });
    }
  }
  // What it appended itself stands behind what it saw of others.
  const last = history.appendOf(key, elements[elements.length - read.own - 1]);
  if (last !== undefined && last.txn !== txn && !last.isFinal) {
    const text = `intermediate read: ${txn.text} read ${key} up to ${last.element}, but ${last.txn.text} appended more to it`;
    found.push({ name: 'G1b', text, culprits: [txn.operation, last.txn.operation] });
  }
  return found;
}

/** All lists that were read of a key are beginnings of the longest one. */
function incompatibleOrders(history: TxnHistory): Anomaly[] {
  const found: Anomaly[] = [];
  for (const read of history.reads) {
    const longest = history.longestRead(read.key);
    const differs = read.elements.findIndex((element, at) => element !== longest?.elements[at]);
    if (differs === -1 || longest === undefined) continue;
    const text = `${read.txn.text} and ${longest.txn.text} saw ${read.key} in different orders, from position ${differs} on`;
    found.push({ name: 'incompatible-order', text, culprits: [read.txn.operation, longest.txn.operation] });
  }
  return found;
}

/** A transaction appends to a key in the order of its steps, */
function reorderedAppends(history: TxnHistory): Anomaly[] {
  const found: Anomaly[] = [];
  for (const txn of history.txns) {
    const last = new Map<string, { element: string; at: number }>();
    for (const { key, element } of txn.appends) {
      const at = history.orders.get(key)?.indexOf(element) ?? -1;
      if (at === -1) continue;
      const before = last.get(key);
      if (before !== undefined && at < before.at) {
        const reader = history.longestRead(key)?.txn;
        const text = `${element} stands before ${before.element} in ${key}, but ${txn.text} appended it later`;
        found.push({
          name: 'incompatible-order',
          text,
          culprits: [txn.operation, ...(reader === undefined ? [] : [reader.operation])],
        });
      }
      last.set(key, { element, at });
    }
  }
  return found;
}

/** An acknowledged append that is in no list, although one was read by a transaction that began after it had returned. */
function lostAppends(history: TxnHistory): Anomaly[] {
  const found: Anomaly[] = [];
  const lastRead = new Map<string, Read>();
  for (const read of history.reads) {
    const other = lastRead.get(read.key);
    if (other === undefined || read.txn.operation.call > other.txn.operation.call) lastRead.set(read.key, read);
  }
  for (const [key, appends] of history.appends) {
    const read = lastRead.get(key);
    const seen = new Set(history.orders.get(key));
    if (read === undefined) continue;
    for (const { txn, element } of appends.values()) {
      const returned = txn.operation.return;
      if (seen.has(element) || !txn.isAcknowledged || returned === null || returned >= read.txn.operation.call)
        continue;
      const text = `${element} was appended to ${key} by ${txn.text}, but is not in what ${read.txn.text} read, nor in any other list`;
      found.push({ name: 'lost-append', text, culprits: [txn.operation, read.txn.operation] });
    }
  }
  return found;
}
