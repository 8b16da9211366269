/**
 * Which transaction has to come before which, and the cycles in that. Edges, from the earlier to the later one:
 * - ww: it appended the element right before the other one's (Adya's write dependency);
 * - wr: the other one read a list that ends with its element (read dependency);
 * - rw: it read a list without the other one's element (anti-dependency);
 * - rt: it returned before the other one was called (real time).
 *
 * A cycle of ww only is G0; of ww and wr G1c; with one rw G-single; with more G2-item. One that needs rt is named
 * G0-realtime and so on: serializable perhaps, but not strictly.
 */
import { Graph, type Edge } from './graph.ts';
import type { Anomaly } from './txn-anomalies.ts';
import type { Txn, TxnHistory } from './txn-history.ts';

type Kind = 'ww' | 'wr' | 'rw' | 'rt';

interface CycleClass {
  readonly name: string;
  /** The cycle has an edge of this kind, the rest is of these. */
  readonly first: Kind;
  readonly rest: readonly Kind[];
  /** Another edge that the rest must have. */
  readonly through: Kind | null;
}

/** Strongest first. Each is looked for only when none that it could contain was found. */
const CLASSES: readonly CycleClass[] = [
  { name: 'G0', first: 'ww', rest: ['ww'], through: null },
  { name: 'G1c', first: 'wr', rest: ['ww', 'wr'], through: null },
  { name: 'G-single', first: 'rw', rest: ['ww', 'wr'], through: null },
  { name: 'G2-item', first: 'rw', rest: ['ww', 'wr', 'rw'], through: 'rw' },
];

/** Edges of the kind `first` that are tried for the shortest cycle. */
const MAX_STARTS = 200;

export function cycleAnomalies(history: TxnHistory, spend: () => boolean): Anomaly[] {
  const { graph, why } = dependencies(history);
  const found: Anomaly[] = [];
  for (const withTime of [false, true]) {
    for (const { name, first, rest, through } of CLASSES) {
      const kinds = new Set<Kind>([first, ...rest, ...(withTime ? (['rt'] as const) : [])]);
      const path = new Set<Kind>([...rest, ...(withTime ? (['rt'] as const) : [])]);
      const cycle = shortestCycle(graph, history.txns.length, first, kinds, path, through, spend);
      if (cycle === null) continue;
      found.push(anomaly(withTime ? `${name}-realtime` : name, cycle, history, why));
      break;
    }
    if (found.length > 0) break;
  }
  return found;
}

/** Nodes from `txns.length` on are moments, so that real time needs two edges a transaction and not one a pair. */
function dependencies(history: TxnHistory) {
  const { txns, orders } = history;
  const graph = new Graph<Kind>(2 * txns.length);
  const why = new Map<string, string>();
  const add = (from: Txn | undefined, to: Txn | undefined, kind: Kind, reason: string) => {
    if (from === undefined || to === undefined || from === to || from.state !== 'committed' || to.state !== 'committed')
      return;
    graph.add(from.number, to.number, kind);
    const name = `${from.number} ${to.number} ${kind}`;
    if (!why.has(name)) why.set(name, reason);
  };
  // What was acknowledged and is in no list was appended after all that is.
  const unseen = new Map<string, { txn: Txn; element: string }[]>();
  for (const [key, appends] of history.appends) {
    const seen = new Set(orders.get(key));
    const list = [...appends.values()].filter(({ element, txn }) => !seen.has(element) && txn.state === 'committed');
    unseen.set(key, list);
  }
  for (const [key, order] of orders) {
    order.forEach((element, at) => {
      const txn = history.appendOf(key, element)?.txn;
      const next = order[at + 1];
      const reason = (later: string) => `appended ${element} to ${key} before ${later}, by`;
      if (next !== undefined) add(txn, history.appendOf(key, next)?.txn, 'ww', reason(next));
      else for (const later of unseen.get(key) ?? []) add(txn, later.txn, 'ww', reason(later.element));
    });
  }
  for (const { txn, key, elements, own } of history.reads) {
    const order = orders.get(key) ?? [];
    // What it appended itself is not what it saw of others.
    const foreign = elements.length - own;
    const last = elements[foreign - 1];
    if (last !== undefined)
      add(history.appendOf(key, last)?.txn, txn, 'wr', `appended ${last} to ${key}, which was read by`);
    let next = elements.length;
    while (next < order.length && history.appendOf(key, order[next])?.txn === txn) next++;
    const missing = order[next];
    const reason = (later: string) => `read ${key} without ${later} of`;
    if (missing !== undefined) add(txn, history.appendOf(key, missing)?.txn, 'rw', reason(missing));
    else for (const later of unseen.get(key) ?? []) add(txn, later.txn, 'rw', reason(later.element));
  }
  addRealTime(graph, txns);
  return { graph, why };
}

function addRealTime(graph: Graph<Kind>, txns: readonly Txn[]): void {
  const count = txns.length;
  const committed = txns.filter(({ state }) => state === 'committed');
  const returned = committed
    .filter(({ isAcknowledged }) => isAcknowledged)
    .sort((a, b) => (a.operation.return ?? 0) - (b.operation.return ?? 0));
  const called = committed.toSorted((a, b) => a.operation.call - b.operation.call);
  const lastOfClient = new Map<string | number, Txn>();
  let moment = -1;
  for (const txn of called) {
    for (let next = returned[moment + 1]; next !== undefined; next = returned[moment + 1]) {
      if ((next.operation.return ?? 0) >= txn.operation.call) break;
      moment++;
      graph.add(next.number, count + moment, 'rt');
      if (moment > 0) graph.add(count + moment - 1, count + moment, 'rt');
    }
    if (moment >= 0) graph.add(count + moment, txn.number, 'rt');
    // One client does one thing after the other, also when its clock stands still.
    const last = lastOfClient.get(txn.operation.client);
    if (last !== undefined && last.operation.return === txn.operation.call) graph.add(last.number, txn.number, 'rt');
    lastOfClient.set(txn.operation.client, txn);
  }
}

function shortestCycle(
  graph: Graph<Kind>,
  txns: number,
  first: Kind,
  kinds: ReadonlySet<Kind>,
  rest: ReadonlySet<Kind>,
  through: Kind | null,
  spend: () => boolean,
): Edge<Kind>[] | null {
  const component = graph.components(kinds);
  let shortest: Edge<Kind>[] | null = null;
  let starts = 0;
  for (let node = 0; node < txns && starts < MAX_STARTS; node++) {
    if (component[node] === -1) continue;
    for (const edge of graph.edgesFrom(node)) {
      if (edge.kind !== first || component[edge.to] !== component[node]) continue;
      // Only cycles found count: with a bound on all, the one cycle there is could be missed.
      const path = graph.path(edge.to, node, rest, component, through, spend);
      if (path === null) continue;
      starts++;
      if (shortest === null || path.length + 1 < shortest.length) shortest = [edge, ...path];
    }
  }
  return shortest;
}

function anomaly(
  name: string,
  cycle: readonly Edge<Kind>[],
  history: TxnHistory,
  why: ReadonlyMap<string, string>,
): Anomaly {
  const txns = cycle.map(({ from }) => history.txns[from]).filter((txn) => txn !== undefined);
  const names = new Map(txns.map((txn, at) => [txn, `T${at + 1}`]));
  const sentences = txns.map((txn, at) => {
    const next = txns[(at + 1) % txns.length] ?? txn;
    const edge = cycle.find(({ from }) => from === txn.number);
    const reason =
      edge === undefined || edge.kind === 'rt' ? undefined : why.get(`${txn.number} ${next.number} ${edge.kind}`);
    return `${names.get(txn)} ${reason ?? 'returned before the call of'} ${names.get(next)}`;
  });
  const legend = txns.map((txn) => `${names.get(txn)} is ${txn.text}`).join(', ');
  return { name, text: `${sentences.join(', ')}. ${legend}`, culprits: txns.map(({ operation }) => operation) };
}
