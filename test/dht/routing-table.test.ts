import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { equalBytes, log2Distance } from '../../src/dht/id.ts';
import { RoutingTable } from '../../src/dht/routing-table.ts';
import { contactAt, flipped, idOfNumber, nearId, numberOf, someId } from './ids.ts';
import { closestBySorting } from './network.ts';

const TUNING = { k: 3, maxReplacements: 2, maxFailures: 2 };

describe('the routing table', () => {
  it('names the closest of all it knows, as sorting everything does', () => {
    const ids = fc.uniqueArray(fc.oneof(someId, nearId), { maxLength: 60, selector: (id) => numberOf(id) });
    fc.assert(
      fc.property(someId, ids, someId, fc.integer({ min: 1, max: 70 }), (self, others, target, count) => {
        // Buckets that hold everybody.
        const table = new RoutingTable(self, { ...TUNING, k: 100 });
        const contacts = others.filter((id) => !equalBytes(id, self)).map((id) => contactAt(id));
        for (const contact of contacts) table.heard(contact, 0);
        expect(table.closest(target, count)).toEqual(closestBySorting(contacts, target, count));
        const asker = contacts[0]?.peerId ?? '';
        const rest = contacts.filter(({ peerId }) => peerId !== asker);
        expect(table.closestFor(target, count, asker)).toEqual(closestBySorting(rest, target, count));
      }),
      { numRuns: 300 },
    );
  });

  it('keeps contacts in buckets of k by the highest bit in which they differ (§2.2)', () => {
    const self = idOfNumber(0);
    const table = new RoutingTable(self, TUNING);
    for (let number = 1; number < 1_024; number++) table.heard(contactAt(idOfNumber(number)), number);
    for (let position = 0; position < 10; position++) {
      const entries = table.bucket(position)?.entries ?? [];
      // 2^position numbers differ first in that bit.
      expect(entries).toHaveLength(Math.min(3, 2 ** position));
      for (const { contact } of entries) expect(log2Distance(self, contact.id)).toBe(position);
    }
    expect(table.bucket(10)).toBeUndefined();
    expect(table.stats()).toEqual({ contacts: 1 + 2 + 8 * 3, failing: 0, replacements: 8 * 2 - 1, buckets: 10 });
  });

  it('tells others of nobody that is silent, and itself of those it gave up when there is nobody else', () => {
    const table = new RoutingTable(idOfNumber(0), TUNING);
    const [one, two, three] = [1, 2, 3].map((number) => contactAt(idOfNumber(number))) as [
      ReturnType<typeof contactAt>,
      ReturnType<typeof contactAt>,
      ReturnType<typeof contactAt>,
    ];
    for (const contact of [one, two, three]) table.heard(contact, 0);
    table.failed(one, 0);
    table.failed(two, 0);
    table.failed(two, 0);
    expect(table.closestFor(idOfNumber(0), 3, '')).toEqual([three]);
    // Up to k, which is three here; who wants more than there are gets no dead ones for it.
    expect(table.closest(idOfNumber(0), 1)).toEqual([three]);
    expect(table.closest(idOfNumber(0), 2)).toEqual([three, one]);
    expect(table.closest(idOfNumber(0), 9)).toEqual([three, one, two]);
    for (const number of [4, 5]) table.heard(contactAt(idOfNumber(number)), 0);
    expect(table.closest(idOfNumber(0), 9)).toEqual([three, ...[4, 5].map((number) => contactAt(idOfNumber(number)))]);
    for (const number of [4, 5]) table.remove(idOfNumber(number), contactAt(idOfNumber(number)).peerId);
    expect(table.hasLive).toBe(true);
    table.failed(three, 0);
    expect(table.hasLive).toBe(false);
    expect(table.isEmpty).toBe(false);
    for (const { id, peerId } of [one, two, three]) table.remove(id, peerId);
    expect(table.isEmpty).toBe(true);
  });

  it('has to refresh those buckets only that a look-up of its own id does not fill (§2.3)', () => {
    const self = idOfNumber(0);
    const table = new RoutingTable(self, TUNING);
    expect(table.farBuckets()).toEqual([]);
    // One in bucket 0, one in bucket 1: fewer than k neighbours.
    table.heard(contactAt(idOfNumber(1)), 0);
    table.heard(contactAt(idOfNumber(2)), 0);
    expect(table.farBuckets()).toEqual([]);
    // The third closest is in bucket 5: from there on.
    table.heard(contactAt(idOfNumber(32)), 0);
    expect(table.farBuckets()[0]).toBe(5);
    expect(table.farBuckets()).toHaveLength(256 - 5);
  });

  it('doubts two a bucket: one that did not answer, and one that was not heard for long', () => {
    const table = new RoutingTable(idOfNumber(0), TUNING);
    for (const [number, nowMs] of [
      [16, 1],
      [17, 2],
      [32, 3],
      [33, 9],
    ] as const) {
      table.heard(contactAt(idOfNumber(number)), nowMs);
    }
    const doubted = (idleMs: number): bigint[] => table.doubtful(idleMs).map(({ contact }) => numberOf(contact.id));
    expect(doubted(0)).toEqual([]);
    expect(doubted(1)).toEqual([16n]);
    expect(doubted(5)).toEqual([16n, 32n]);
    table.failed(contactAt(idOfNumber(33)), 0);
    expect(doubted(1)).toEqual([16n, 33n]);
    expect(doubted(5)).toEqual([16n, 33n, 32n]);
    // Not the same one for ever.
    table.failed(contactAt(idOfNumber(33)), 0);
    table.failed(contactAt(idOfNumber(32)), 0);
    expect(doubted(1)).toEqual([16n, 32n]);
  });

  it('remembers when a bucket was last looked up in', () => {
    const self = idOfNumber(0);
    const table = new RoutingTable(self, TUNING);
    expect(table.lookedUpMs(200)).toBe(-Infinity);
    table.heard(contactAt(flipped(self, 200)), 10);
    expect(table.lookedUpMs(200)).toBe(10);
    table.lookedUp(flipped(self, 200), 99);
    expect(table.lookedUpMs(200)).toBe(99);
    table.lookedUp(flipped(self, 220), 100);
    expect([220, 221].map((position) => table.lookedUpMs(position))).toEqual([100, -Infinity]);
    // Its own id lies in none.
    table.lookedUp(self, 100);
    expect(table.lookedUpMs(200)).toBe(99);
  });
});
