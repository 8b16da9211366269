/**
 * Peers that were admitted and lie: they name only each other, or contacts that do not exist and were made to lie close to what is looked up; they say that they keep a record and drop it, or
 * keep the first version for ever and serve that.
 *
 * Identities are cheap to make, so a liar has a large store of them to choose made-up contacts from; but none of them was admitted, so nobody answers for them.
 */
import { idText } from '../../../src/dht/id.ts';
import type { Contact, DhtId, DhtMessage, QueryResult, SignedRecord } from '../../../src/dht/index.ts';
import { contactOf, keyOf } from '../../dht/network.ts';
import type { Network, SimNode } from '../../dht/network.ts';
import { closestInOrder, inOrder, staticNetwork } from './static-network.ts';

export type Lie =
  /** Names only other liars. */
  | 'collude'
  /** Names contacts that do not exist. */
  | 'make up'
  /** Half and half. */
  | 'both';

export interface LiarsOptions {
  readonly size: number;
  readonly share: number;
  readonly lie: Lie;
  readonly paths: number;
  readonly queries: number;
  readonly seed: number;
}

export interface LiarsFigures {
  /** Look-ups that found the closest honest node, and those that found exactly the k closest of all. */
  readonly found: number;
  readonly exact: number;
  /** Gets that returned the newest record. */
  readonly newest: number;
  /** Gets that returned an old one as if it were the newest. */
  readonly stale: number;
  /** A look-up, mean. */
  readonly requests: number;
  readonly failures: number;
  readonly elapsedMs: number;
}

/** Identities that a liar has made in advance: twenty for each node there is. */
const MADE_UP_PER_NODE = 20;
const K = 20;
const madeUp = new Map<number, readonly Contact[]>();

export function liars(options: LiarsOptions): LiarsFigures {
  const { size, share, queries, seed, paths } = options;
  const network = staticNetwork(size, { seed });
  const nodes = [...network.nodes.values()];
  const dishonest = new Set<SimNode>();
  while (dishonest.size < Math.round(size * share)) dishonest.add(network.random.pick(nodes));
  const honest = nodes.filter((node) => !dishonest.has(node));
  const named = namesOf(options.lie, inOrder([...dishonest].map(({ contact }) => contact)), madeUpContacts(size));
  for (const node of dishonest) becomeLiar(node, named);

  const lookups = findNodes(network, honest, nodes, queries, paths);
  const gets = readRecords(network, honest, queries, paths, seed);
  return { ...lookups, ...gets };
}

function findNodes(
  network: Network,
  honest: readonly SimNode[],
  nodes: readonly SimNode[],
  queries: number,
  paths: number,
): Omit<LiarsFigures, 'newest' | 'stale'> {
  const all = inOrder(nodes.map(({ contact }) => contact));
  const good = inOrder(honest.map(({ contact }) => contact));
  const sum = { found: 0, exact: 0, requests: 0, failures: 0, elapsedMs: 0 };
  let over = 0;
  for (let i = 0; i < queries; i++) {
    const key = keyOf(`look-up ${i}`);
    const node = network.random.pick(honest);
    network.ask(
      node,
      (dht, nowMs) => dht.lookup(key, nowMs, { paths }),
      ({ closest, cost }) => {
        over += 1;
        const others = (sorted: readonly Contact[]): Contact[] =>
          closestInOrder(sorted, key, K + 1).filter((contact) => contact !== node.contact);
        const names = new Set(closest.map(({ peerId }) => peerId));
        if (names.has(others(good)[0]?.peerId ?? '')) sum.found += 1;
        if (
          others(all)
            .slice(0, K)
            .every(({ peerId }) => names.has(peerId))
        )
          sum.exact += 1;
        sum.requests += cost.requests;
        sum.failures += cost.failures;
        sum.elapsedMs += cost.elapsedMs;
      },
    );
  }
  while (over < queries) network.runFor(1_000);
  return {
    found: sum.found / queries,
    exact: sum.exact / queries,
    requests: sum.requests / queries,
    failures: sum.failures / queries,
    elapsedMs: sum.elapsedMs / queries,
  };
}

/** Each record is put in two versions by its owner, and read by somebody else. */
function readRecords(
  network: Network,
  honest: readonly SimNode[],
  queries: number,
  paths: number,
  seed: number,
): Pick<LiarsFigures, 'newest' | 'stale'> {
  const sum = { newest: 0, stale: 0 };
  let over = 0;
  for (let i = 0; i < queries; i++) {
    const key = keyOf(`record ${seed} ${i}`);
    const owner = network.random.pick(honest);
    const reader = network.random.pick(honest);
    const put = (seq: number, then: (result: QueryResult) => void): void => {
      const draft = { key, value: new Uint8Array([seq]), seq, republish: false };
      network.ask(owner, (dht, nowMs) => dht.put(draft, nowMs, { paths }), then);
    };
    put(1, () =>
      put(2, () =>
        network.ask(
          reader,
          (dht, nowMs) => dht.get(key, nowMs, { paths }),
          ({ records }) => {
            over += 1;
            if (records[0]?.seq === 2) sum.newest += 1;
            if (records[0]?.seq === 1) sum.stale += 1;
          },
        ),
      ),
    );
  }
  while (over < queries) network.runFor(1_000);
  return { newest: sum.newest / queries, stale: sum.stale / queries };
}

type Namer = (key: DhtId, count: number) => readonly Contact[];

function namesOf(lie: Lie, friends: readonly Contact[], invented: readonly Contact[]): Namer {
  switch (lie) {
    case 'collude':
      return (key, count) => closestInOrder(friends, key, count);
    case 'make up':
      return (key, count) => closestInOrder(invented, key, count);
    case 'both':
      return (key, count) => [
        ...closestInOrder(invented, key, Math.ceil(count / 2)),
        ...closestInOrder(friends, key, Math.floor(count / 2)),
      ];
  }
}

function becomeLiar(node: SimNode, named: Namer): void {
  const first = new Map<string, SignedRecord>();
  node.lie = (_from, message): DhtMessage | null => {
    const { rpc } = message;
    switch (message.type) {
      case 'FindNode':
        return { type: 'Nodes', rpc, contacts: named(message.target, message.count) };
      case 'FindRecords': {
        const old = first.get(idText(message.key));
        const contacts = named(message.key, message.count);
        return { type: 'Records', rpc, records: old === undefined ? [] : [old], contacts };
      }
      case 'Store': {
        const text = idText(message.record.key);
        if (!first.has(text)) first.set(text, message.record);
        return { type: 'Stored', rpc, refused: null };
      }
      default:
        return null;
    }
  };
}

function madeUpContacts(size: number): readonly Contact[] {
  const known = madeUp.get(size);
  if (known !== undefined) return known;
  const made = inOrder(Array.from({ length: size * MADE_UP_PER_NODE }, (_, i) => contactOf(`nobody-${i}`)));
  madeUp.set(size, made);
  return made;
}
