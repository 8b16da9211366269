/** The experiments, small: that what they compare with is the truth, and that one seed gives one report. */
import { expect, test } from 'vitest';

import { Random } from '../../../src/testing/random.ts';
import { closestBySorting, contactOf } from '../../dht/network.ts';
import { churn } from './churn.ts';
import { dead } from './dead.ts';
import { shareOf, single, tableOf } from './figure.ts';
import { growth } from './growth.ts';
import { liars } from './liars.ts';
import { closestInOrder, inOrder, K, staticNetwork } from './static-network.ts';

test('the closest in an ordered list are those that sorting finds', () => {
  const random = new Random(4);
  const contacts = Array.from({ length: 200 }, (_, i) => contactOf(`ordered ${i}`));
  const sorted = inOrder(contacts);
  for (let i = 0; i < 50; i++) {
    const key = random.bytes(32);
    const count = random.between(0, 220);
    expect(closestInOrder(sorted, key, count)).toEqual(closestBySorting(contacts, key, count));
  }
});

test('in a static network every bucket is full, or holds all there are', () => {
  const network = staticNetwork(100, { seed: 3 });
  const contacts = [...network.nodes.values()].map(({ contact }) => contact);
  for (const { contact, dht } of network.nodes.values()) {
    const { contacts: known, upkeepQueries, pendingRequests, joined } = dht.stats();
    const byPosition = new Map<number, number>();
    for (const other of contacts) {
      if (other === contact) continue;
      const first = contact.id.findIndex((byte, i) => byte !== other.id[i]);
      const position = first * 8 + Math.clz32((contact.id[first] ?? 0) ^ (other.id[first] ?? 0)) - 24;
      byPosition.set(position, (byPosition.get(position) ?? 0) + 1);
    }
    const full = [...byPosition.values()].reduce((sum, size) => sum + Math.min(K, size), 0);
    expect({ known, upkeepQueries, pendingRequests, joined }).toEqual({
      known: full,
      upkeepQueries: 0,
      pendingRequests: 0,
      joined: true,
    });
  }
});

test('one seed gives one report, another seed another', () => {
  const first = churn(1, 20, [2], 1);
  expect(churn(1, 20, [2], 1)).toEqual(first);
  expect(churn(2, 20, [2], 1)).not.toEqual(first);
});

test('a few dead and a few liars hide nobody in a network that knows itself', () => {
  const { gates } = dead(1, 40, 4);
  expect(gates.filter(({ what, holds }) => !holds && what.includes('exact'))).toEqual([]);
  expect(liars(1, 40, 2).gates.filter(({ holds }) => !holds)).toEqual([]);
});

test('a network that grows finds everybody', () => {
  const { rows, gates } = growth(1, [40], 10);
  expect(gates.map(({ holds }) => holds)).toEqual([true, true, true]);
  expect(rows).toMatchObject([{ what: '40 nodes', figures: { 'exact k closest': { value: 1 } } }]);
});

test('a share of few says how little it knows', () => {
  expect(shareOf([true, true, true, true]).low).toBeLessThan(0.6);
  const { value, low, high } = shareOf(Array.from({ length: 1_000 }, (_, i) => i > 0));
  expect(value).toBe(0.999);
  expect(low).toBeGreaterThan(0.993);
  expect(high).toBeLessThan(1);
});

test('a table has ours, and in brackets what was published', () => {
  const rows = [
    { what: 'here', figures: { hops: { value: 1.5, low: 1.4, high: 1.7 }, n: single(3) }, published: { hops: 2 } },
  ];
  expect(tableOf(rows)).toBe('|  | hops | n |\n| --- | --- | --- |\n| here | 1.50 ±0.2000 (2) | 3 |');
});
