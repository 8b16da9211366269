/** Cuts in the network: which links, and a fault that mends just these. */
import type { Chance, Fault, Lab, LabNode } from '../types.ts';

/** A directed link. */
export type Link = readonly [from: LabNode, to: LabNode];

export async function cut(lab: Lab, links: readonly Link[], what: string): Promise<Fault> {
  await Promise.all(links.map(async ([from, to]) => await lab.network.block(from, to)));
  return {
    what,
    heal: async () => {
      await Promise.all(links.map(async ([from, to]) => await lab.network.unblock(from, to)));
    },
  };
}

/** Every link between the two sides, in both directions. */
export function between(left: readonly LabNode[], right: readonly LabNode[]): Link[] {
  return left.flatMap((a) => right.flatMap((b): Link[] => [[a, b], [b, a]])); // prettier-ignore
}

export function shuffled<T>(chance: Chance, items: readonly T[]): T[] {
  const rest = [...items];
  for (let last = rest.length - 1; last > 0; last--) {
    const other = chance.between(0, last);
    const [a, b] = [rest[last], rest[other]];
    if (a === undefined || b === undefined) throw new Error('unreachable: both are in the list');
    [rest[last], rest[other]] = [b, a];
  }
  return rest;
}

/** `n1 n4`, in order. */
export function names(nodes: readonly LabNode[]): string {
  return nodes
    .map(({ name }) => name)
    .sort()
    .join(' ');
}

export function others(lab: Lab, ...nodes: readonly LabNode[]): LabNode[] {
  return lab.nodes.filter((node) => !nodes.includes(node));
}

/** The leader, or anybody when there is none now. */
export async function leaderOrAny(lab: Lab): Promise<LabNode> {
  // The draw is made in any case: a run's later draws do not depend on whether there was a leader.
  const any = lab.chance.pick(lab.nodes);
  return (await lab.leader()) ?? any;
}

/** How many nodes may be gone while a majority is left. */
export function minority(lab: Lab): number {
  return Math.floor((lab.nodes.length - 1) / 2);
}
