/**
 * The network that figures are compared in: every bucket of every node holds k contacts, or all there are, drawn at random, and nothing has happened yet. What a
 * network looks like that was left alone for long enough; how one comes to look that grew is another experiment.
 */
import { bitAt, compareBytes, ID_BITS } from '../../../src/dht/id.ts';
import type { Contact, DhtAnswer, DhtId, DhtMessage } from '../../../src/dht/index.ts';
import type { Random } from '../../../src/testing/random.ts';
import { Network } from '../../dht/network.ts';
import type { NetworkOptions, SimNode } from '../../dht/network.ts';

export const K = 20;

export function staticNetwork(size: number, options: NetworkOptions): Network {
  const network = new Network(options);
  const prefix = `s${options.seed}-`;
  const nodes = Array.from({ length: size }, (_, i) => network.add(`${prefix}${i}`));
  const sorted = inOrder(nodes.map(({ contact }) => contact));
  for (const node of nodes) {
    for (const contact of tableOf(node.contact, sorted, network.random)) {
      node.dht.addContact(contact, network.now);
    }
    settle(node);
  }
  return network;
}

/** k random contacts of each range that shares one bit less with the node. */
function tableOf(self: Contact, sorted: readonly Contact[], random: Random): Contact[] {
  const chosen: Contact[] = [];
  let [low, high] = [0, sorted.length];
  for (let position = ID_BITS - 1; high - low > 1; position--) {
    const middle = firstWithBit(sorted, low, high, position);
    const isHigh = bitAt(self.id, position) === 1;
    chosen.push(...(isHigh ? sample(sorted, low, middle, K, random) : sample(sorted, middle, high, K, random)));
    [low, high] = isHigh ? [middle, high] : [low, middle];
  }
  return chosen;
}

/** Of ids that are alike before the position, in order: where those begin that have a 1 there. */
function firstWithBit(sorted: readonly Contact[], low: number, high: number, position: number): number {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (bitAt((sorted[middle] as Contact).id, position) === 1) high = middle;
    else low = middle + 1;
  }
  return low;
}

function sample(sorted: readonly Contact[], low: number, high: number, count: number, random: Random): Contact[] {
  if (high - low <= count) return sorted.slice(low, high);
  const places = new Set<number>();
  while (places.size < count) places.add(random.between(low, high - 1));
  return [...places].map((place) => sorted[place] as Contact);
}

/** The node joins, in its own head: everybody answers at once, and knows nobody. So it begins the experiment with nothing left to do. */
function settle(node: SimNode): void {
  for (let effects = node.dht.takeEffects(); effects.length > 0; effects = node.dht.takeEffects()) {
    for (const effect of effects) {
      if (effect.type === 'send') node.dht.receive(effect.to, emptyAnswer(effect.message), 0);
    }
  }
}

function emptyAnswer(message: DhtMessage): DhtAnswer {
  if (message.type !== 'FindNode') throw new Error(`a node that joins asks for nodes, not ${message.type}`);
  return { type: 'Nodes', rpc: message.rpc, contacts: [] };
}

export function inOrder(contacts: readonly Contact[]): readonly Contact[] {
  return contacts.toSorted((left, right) => compareBytes(left.id, right.id));
}

/** The truth that a search is held against: up to `count` of contacts that are in order, closest to the key first. */
export function closestInOrder(sorted: readonly Contact[], key: DhtId, count: number): Contact[] {
  const found: Contact[] = [];
  const visit = (low: number, high: number, position: number): void => {
    if (low >= high || found.length >= count) return;
    if (high - low === 1 || position < 0) {
      found.push(...sorted.slice(low, high));
      return;
    }
    const middle = firstWithBit(sorted, low, high, position);
    const isHigh = bitAt(key, position) === 1;
    visit(isHigh ? middle : low, isHigh ? high : middle, position - 1);
    visit(isHigh ? low : middle, isHigh ? middle : high, position - 1);
  };
  visit(0, sorted.length, ID_BITS - 1);
  return found.slice(0, count);
}
