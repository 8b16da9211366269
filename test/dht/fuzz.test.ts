/** Frames that no honest peer sends: nothing throws, nothing grows beyond its bound, and what was true stays so. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createDht, parseDhtMessage } from '../../src/dht/index.ts';
import type { Dht, DhtMessage, DhtTuning } from '../../src/dht/index.ts';
import { frame, message } from './messages.ts';
import { contactOf, idOf, keyOf, signatureOf, verify } from './network.ts';

const TUNING = {
  k: 4,
  maxReplacements: 2,
  maxRecords: 5,
  maxStoredBytes: 200,
  maxRecordsPerPeer: 2,
  maxBytesPerPeer: 100,
  maxProvidersPerKey: 2,
  maxQueries: 3,
  maxUpkeepQueries: 1,
  maxPendingRequests: 12,
  maxOwned: 3,
} satisfies Partial<DhtTuning>;

function nodeOf(): Dht {
  const dht = createDht({
    peerId: 'n0',
    clusterId: '7',
    idOf,
    sign: (bytes) => signatureOf('n0', bytes),
    verify,
    random: () => 0.3,
    wallMs: () => 0,
    tuning: TUNING,
  });
  for (let i = 1; i < 6; i++) dht.addContact(contactOf(`n${i}`), 0);
  return dht;
}

function checkBounds(dht: Dht): void {
  const stats = dht.stats();
  // The ids of peers differ in their first bits, so a hundred thousand of them use twenty buckets at most.
  expect(stats.contacts).toBeLessThanOrEqual(TUNING.k * stats.buckets);
  expect(stats.replacements).toBeLessThanOrEqual(TUNING.maxReplacements * stats.buckets);
  for (const count of [stats.records, stats.providers]) expect(count).toBeLessThanOrEqual(TUNING.maxRecords);
  for (const bytes of [stats.recordBytes, stats.providerBytes]) expect(bytes).toBeLessThanOrEqual(200);
  expect(stats.pendingRequests).toBeLessThanOrEqual(TUNING.maxPendingRequests);
  expect(stats.queries).toBeLessThanOrEqual(TUNING.maxQueries);
  expect(stats.upkeepQueries).toBeLessThanOrEqual(TUNING.maxUpkeepQueries + 1);
  expect(stats.owned).toBeLessThanOrEqual(TUNING.maxOwned);
}

type Step =
  | { readonly type: 'message'; readonly from: number; readonly message: DhtMessage }
  | { readonly type: 'answer'; readonly place: number; readonly message: DhtMessage }
  | { readonly type: 'query'; readonly what: number }
  | { readonly type: 'pass'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('message'), from: fc.nat(400), message }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('answer'), place: fc.nat(11), message }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('query'), what: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('pass'), ms: fc.constantFrom(1, 600, 5_000, 4_000_000) }) },
) as fc.Arbitrary<Step>;

describe('a node among peers that send anything', () => {
  it('stays within its bounds, whatever comes in whatever order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const dht = nodeOf();
        let nowMs = 0;
        let open: { readonly peerId: string; readonly rpc: number }[] = [];
        let queries = 0;
        let results = 0;
        for (const one of steps) {
          if (one.type === 'message') dht.receive(contactOf(`m${one.from}`), one.message, nowMs);
          if (one.type === 'answer' && open.length > 0) {
            // From the one that was asked, with the number it was asked with.
            const [to] = open.splice(one.place % open.length, 1);
            if (to !== undefined) dht.receive(contactOf(to.peerId), { ...one.message, rpc: to.rpc }, nowMs);
          }
          if (one.type === 'query' && start(dht, one.what, nowMs)) queries += 1;
          if (one.type === 'pass') dht.tick((nowMs += one.ms));
          for (const effect of dht.takeEffects()) {
            if (effect.type === 'result') results += 1;
            if (effect.type === 'send') open.push({ peerId: effect.to.peerId, rpc: effect.message.rpc });
          }
          open = open.slice(-12);
          checkBounds(dht);
        }
        // Every query comes to its end.
        for (let i = 0; i < 20; i++) dht.tick((nowMs += 10_000));
        for (const effect of dht.takeEffects()) if (effect.type === 'result') results += 1;
        expect([dht.stats().queries, results]).toEqual([0, queries]);
      }),
      { numRuns: 60 },
    );
  });

  it('keeps nothing that is not signed, and believes nothing of it', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 100 }), (messages) => {
        const dht = nodeOf();
        for (const one of messages) dht.receive(contactOf('m1'), one, 0);
        expect(dht.stats()).toMatchObject({ records: 0, providers: 0 });
      }),
    );
  });

  it('looks at no frame that the parser refuses, and survives those that it lets through', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 50 }), (frames) => {
        const dht = nodeOf();
        for (const one of frames) {
          const parsed = parseDhtMessage(one);
          if (parsed !== null) dht.receive(contactOf('m1'), parsed, 0);
        }
        checkBounds(dht);
        dht.tick(10_000_000);
        checkBounds(dht);
      }),
      { numRuns: 200 },
    );
  });

  it('remembers no more of a flood of newcomers than its buckets hold', () => {
    const dht = nodeOf();
    for (let i = 0; i < 20_000; i++) {
      dht.receive(contactOf(`flood ${i}`), { type: 'Ping', rpc: i }, i);
      dht.takeEffects();
    }
    const { contacts, replacements, buckets, pendingRequests } = dht.stats();
    expect(buckets).toBeLessThan(25);
    expect(contacts).toBeLessThanOrEqual(4 * buckets);
    expect(replacements).toBeLessThanOrEqual(2 * buckets);
    expect(pendingRequests).toBeLessThanOrEqual(12);
  });
});

function start(dht: Dht, what: number, nowMs: number): boolean {
  const key = keyOf('a');
  const value = new Uint8Array(10);
  const query = [
    () => dht.lookup(key, nowMs, { paths: 3 }),
    () => dht.get(key, nowMs, { trace: true }),
    () => dht.put({ key, value, seq: 1 }, nowMs),
    () => dht.provide({ key, value }, nowMs),
    () => dht.findProviders(key, nowMs),
  ][what]?.();
  return typeof query === 'number';
}
