/** A directed graph with kinds of edges, its strongly connected components, and shortest cycles. No recursion. */

export interface Edge<Kind extends string> {
  readonly from: number;
  readonly to: number;
  readonly kind: Kind;
}

export class Graph<Kind extends string> {
  readonly #out: Edge<Kind>[][];
  readonly #seen = new Set<string>();

  constructor(nodes: number) {
    this.#out = Array.from({ length: nodes }, () => []);
  }

  /** Edges to itself and edges that are there already are left out. */
  add(from: number, to: number, kind: Kind): void {
    if (from === to) return;
    const name = `${from} ${to} ${kind}`;
    if (this.#seen.has(name)) return;
    this.#seen.add(name);
    this.#out[from]?.push({ from, to, kind });
  }

  edgesFrom(node: number): readonly Edge<Kind>[] {
    return this.#out[node] ?? [];
  }

  /** Components with more than one node, over edges of these kinds (Tarjan 1972): the number of each node's, -1 for none. */
  components(kinds: ReadonlySet<Kind>): Int32Array {
    const count = this.#out.length;
    const component = new Int32Array(count).fill(-1);
    const order = new Int32Array(count).fill(-1);
    const low = new Int32Array(count);
    const onStack = new Uint8Array(count);
    const stack: number[] = [];
    const path: { node: number; next: number }[] = [];
    let visited = 0;
    let components = 0;
    const enter = (node: number) => {
      order[node] = visited;
      low[node] = visited++;
      onStack[node] = 1;
      stack.push(node);
      path.push({ node, next: 0 });
    };
    for (let root = 0; root < count; root++) {
      if (order[root] !== -1) continue;
      enter(root);
      for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
        const { node } = top;
        const edge = this.#out[node]?.[top.next++];
        if (edge !== undefined) {
          if (!kinds.has(edge.kind)) continue;
          if (order[edge.to] === -1) enter(edge.to);
          else if (onStack[edge.to] === 1) low[node] = Math.min(low[node] ?? 0, order[edge.to] ?? 0);
          continue;
        }
        path.pop();
        const parent = path.at(-1)?.node;
        if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, low[node] ?? 0);
        if (low[node] !== order[node]) continue;
        const from = stack.lastIndexOf(node);
        const members = stack.splice(from);
        for (const member of members) {
          onStack[member] = 0;
          if (members.length > 1) component[member] = components;
        }
        components++;
      }
    }
    return component;
  }

  /**
   * The shortest path over edges of these kinds, within the component of its ends; with `through`, one that has an edge
   * of that kind. Null when there is none, or when `spend` says that it takes too long.
   */
  path(
    from: number,
    to: number,
    kinds: ReadonlySet<Kind>,
    component: Int32Array,
    through: Kind | null,
    spend: () => boolean,
  ): Edge<Kind>[] | null {
    // A place is a node, once before and once after an edge of kind `through`.
    const start = 2 * from + (through === null ? 1 : 0);
    const goal = 2 * to + 1;
    const cameBy = new Map<number, { place: number; edge: Edge<Kind> }>();
    let front = [start];
    while (front.length > 0) {
      const next: number[] = [];
      for (const place of front) {
        for (const edge of this.edgesFrom(place >>> 1)) {
          if (!kinds.has(edge.kind) || component[edge.to] !== component[from]) continue;
          if (!spend()) return null;
          const reached = 2 * edge.to + (edge.kind === through ? 1 : place & 1);
          if (reached === start || cameBy.has(reached)) continue;
          cameBy.set(reached, { place, edge });
          if (reached === goal) return walkBack(cameBy, goal);
          next.push(reached);
        }
      }
      front = next;
    }
    return null;
  }
}

function walkBack<Kind extends string>(
  cameBy: ReadonlyMap<number, { place: number; edge: Edge<Kind> }>,
  goal: number,
): Edge<Kind>[] {
  const edges: Edge<Kind>[] = [];
  for (let step = cameBy.get(goal); step !== undefined; step = cameBy.get(step.place)) edges.push(step.edge);
  return edges.reverse();
}
