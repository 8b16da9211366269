/** Which directed links are cut, by whom: a link flows again when the last that cut it has let go. */
import type { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { Random } from '../../src/testing/random.ts';

export type Link = readonly [from: SimNode, to: SimNode];

export class Partitions {
  readonly #cluster: SimCluster;
  readonly #cuts = new Map<string, number>();

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /** Returns what heals it, once. */
  cut(links: readonly Link[]): () => void {
    for (const [from, to] of links) {
      const key = `${from.address} ${to.address}`;
      const count = this.#cuts.get(key) ?? 0;
      this.#cuts.set(key, count + 1);
      if (count === 0) this.#cluster.network.cutOneWay(from.address, to.address);
    }
    let healed = false;
    return () => {
      if (healed) return;
      healed = true;
      for (const [from, to] of links) {
        const key = `${from.address} ${to.address}`;
        const count = (this.#cuts.get(key) ?? 0) - 1;
        this.#cuts.set(key, count);
        if (count === 0) this.#cluster.network.healOneWay(from.address, to.address);
      }
    };
  }
}

function both(a: SimNode, b: SimNode): Link[] {
  return [
    [a, b],
    [b, a],
  ];
}

function between(one: readonly SimNode[], other: readonly SimNode[]): Link[] {
  return one.flatMap((a) => other.flatMap((b) => both(a, b)));
}

function shuffled(nodes: readonly SimNode[], random: Random): SimNode[] {
  const list = [...nodes];
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.between(0, i);
    [list[i], list[j]] = [list[j] as SimNode, list[i] as SimNode];
  }
  return list;
}

export function isolate(nodes: readonly SimNode[], one: SimNode): Link[] {
  return between(
    [one],
    nodes.filter((node) => node !== one),
  );
}

export function halves(nodes: readonly SimNode[], random: Random): Link[] {
  const list = shuffled(nodes, random);
  const half = random.chance(0.5) ? list.length >> 1 : (list.length + 1) >> 1;
  return between(list.slice(0, half), list.slice(half));
}

/** Each sees a majority, and no two the same one. */
export function ring(nodes: readonly SimNode[], random: Random): Link[] {
  const list = shuffled(nodes, random);
  const reach = Math.ceil((list.length / 2 + 1 - 1) / 2);
  const links: Link[] = [];
  list.forEach((a, i) => {
    list.forEach((b, j) => {
      const steps = Math.min(Math.abs(i - j), list.length - Math.abs(i - j));
      if (i < j && steps > reach) links.push(...both(a, b));
    });
  });
  return links;
}

/** Two halves that only one node connects. */
export function bridge(nodes: readonly SimNode[], random: Random): Link[] {
  const [, ...rest] = shuffled(nodes, random);
  const half = rest.length >> 1;
  return between(rest.slice(0, half), rest.slice(half));
}

export function pair(nodes: readonly SimNode[], random: Random): Link[] {
  const [a, b] = shuffled(nodes, random);
  return a === undefined || b === undefined ? [] : both(a, b);
}

/** One node that hears nobody, or that nobody hears. */
export function oneWay(nodes: readonly SimNode[], one: SimNode, random: Random): Link[] {
  const deaf = random.chance(0.5);
  return nodes.filter((node) => node !== one).map((node) => (deaf ? [node, one] : [one, node]));
}
