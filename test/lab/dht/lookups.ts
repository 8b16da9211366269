/** Look-ups of random keys by random nodes, each held against the truth. */
import type { Contact, QueryOptions, QueryResult } from '../../../src/dht/index.ts';
import { keyOf } from '../../dht/network.ts';
import type { Network, SimNode } from '../../dht/network.ts';
import { mean } from '../statistics.ts';
import { closestInOrder, inOrder, K } from './static-network.ts';

export interface Lookup {
  /** It found exactly the k closest of those who are there. */
  readonly exact: boolean;
  /** It found the closest of those who matter. */
  readonly found: boolean;
  readonly requests: number;
  readonly failures: number;
  readonly hops: number;
  readonly elapsedMs: number;
}

export interface Truth {
  /** Who can answer. */
  readonly present: readonly SimNode[];
  /** Who answers truly; default: the same. */
  readonly honest?: readonly SimNode[];
}

/** All at the same moment, so that none profits from what another taught the network, and the network does not mend itself meanwhile. */
export function lookupsAtOnce(
  network: Network,
  { present, honest = present }: Truth,
  count: number,
  name: string,
  options: QueryOptions = {},
): Lookup[] {
  const all = inOrder(present.map(({ contact }) => contact));
  const good = honest === present ? all : inOrder(honest.map(({ contact }) => contact));
  const over: Lookup[] = [];
  for (let i = 0; i < count; i++) {
    const key = keyOf(`${name} ${i}`);
    const node = network.random.pick(honest);
    network.ask(
      node,
      (dht, nowMs) => dht.lookup(key, nowMs, options),
      (result) => over.push(judged(result, node.contact, all, good)),
    );
  }
  while (over.length < count) network.runFor(1_000);
  return over;
}

export function judged(
  { key, closest, cost }: QueryResult,
  self: Contact,
  present: readonly Contact[],
  honest: readonly Contact[],
): Lookup {
  const { requests, failures, hops, elapsedMs } = cost;
  const names = new Set(closest.map(({ peerId }) => peerId));
  const others = (sorted: readonly Contact[], count: number): Contact[] =>
    closestInOrder(sorted, key, count + 1)
      .filter((contact) => contact !== self)
      .slice(0, count);
  const found = others(honest, 1).every(({ peerId }) => names.has(peerId));
  const exact = others(present, K).every(({ peerId }) => names.has(peerId));
  return { exact, found, requests, failures, hops, elapsedMs };
}

export function share(flags: readonly boolean[]): number {
  return mean(flags.map((flag) => (flag ? 1 : 0)));
}
