import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { idText } from '../../src/dht/id.ts';
import { compareRecords } from '../../src/dht/record.ts';
import { RecordStore } from '../../src/dht/record-store.ts';
import type { DhtId, RecordKind, SignedRecord, StoreRefusal } from '../../src/dht/index.ts';
import { idOfNumber } from './ids.ts';

const SELF = idOfNumber(0);
const TUNING = {
  maxRecords: 6,
  maxStoredBytes: 20,
  maxRecordsPerPeer: 3,
  maxBytesPerPeer: 10,
  maxProvidersPerKey: 2,
};

function recordOf(key: number, change: Partial<SignedRecord> & { bytes?: number } = {}): SignedRecord {
  const { bytes = 1, ...fields } = change;
  return {
    kind: 'value',
    key: idOfNumber(key),
    value: new Uint8Array(bytes).fill(7),
    seq: 1,
    notAfter: 1_000,
    peerId: 'p',
    signature: new Uint8Array(1),
    ...fields,
  };
}

function offer(store: RecordStore, record: SignedRecord, nowMs = 0): StoreRefusal | null {
  const refused = store.refusal(record, nowMs);
  if (refused === null) store.keep(record, record.notAfter, nowMs + 500);
  return refused;
}

describe('records kept for others', () => {
  it('keeps the newest of a key, whoever signed it', () => {
    const store = new RecordStore('value', SELF, TUNING);
    expect(offer(store, recordOf(1, { seq: 2 }))).toBeNull();
    expect(offer(store, recordOf(1, { seq: 1, peerId: 'q' }))).toBe('older');
    expect(offer(store, recordOf(1, { seq: 3, peerId: 'q' }))).toBeNull();
    expect(store.find(idOfNumber(1), 0)).toMatchObject([{ seq: 3, peerId: 'q' }]);
    expect(store.size).toBe(1);
  });

  it('keeps one a provider, the newest', () => {
    const store = new RecordStore('provider', SELF, TUNING);
    const provider = (peerId: string, seq: number): SignedRecord => recordOf(1, { kind: 'provider', peerId, seq });
    expect(offer(store, provider('p', 2))).toBeNull();
    expect(offer(store, provider('q', 1))).toBeNull();
    expect(offer(store, provider('p', 1))).toBe('older');
    expect(offer(store, provider('p', 3))).toBeNull();
    const kept = store.find(idOfNumber(1), 0).map(({ peerId, seq }) => `${peerId}${seq}`);
    expect(kept.toSorted()).toEqual(['p3', 'q1']);
    expect(offer(store, provider('r', 1))).toBe('full');
  });

  it('lets no signer have more than its share, in records and in bytes', () => {
    const store = new RecordStore('value', SELF, TUNING);
    for (const key of [1, 2, 3]) expect(offer(store, recordOf(key))).toBeNull();
    expect(offer(store, recordOf(4))).toBe('peer-limit');
    expect(offer(store, recordOf(4, { peerId: 'q', bytes: 11 }))).toBe('peer-limit');
    expect(offer(store, recordOf(4, { peerId: 'q', bytes: 10 }))).toBeNull();
    // Its own older record makes room.
    expect(offer(store, recordOf(4, { peerId: 'q', bytes: 9, seq: 2 }))).toBeNull();
    expect(offer(store, recordOf(1, { seq: 2, bytes: 8 }))).toBeNull();
    expect(offer(store, recordOf(2, { seq: 2, bytes: 2 }))).toBe('peer-limit');
  });

  it('gives up what is furthest from it for what is closer, when it is full', () => {
    const store = new RecordStore('value', SELF, TUNING);
    for (const [i, key] of [10, 20, 30, 40, 50, 60].entries()) {
      expect(offer(store, recordOf(key, { peerId: `p${i}` }))).toBeNull();
    }
    expect(offer(store, recordOf(70, { peerId: 'q' }))).toBe('full');
    expect(offer(store, recordOf(35, { peerId: 'q' }))).toBeNull();
    expect(store.find(idOfNumber(60), 0)).toEqual([]);
    expect(store.size).toBe(6);
    // By bytes: one goes, so one has to be enough.
    expect(offer(store, recordOf(5, { peerId: 'r', bytes: 10 }))).toBeNull();
    expect(offer(store, recordOf(6, { peerId: 's', bytes: 10 }))).toBe('full');
  });

  it('forgets what expired, and serves nothing of it before that', () => {
    const store = new RecordStore('value', SELF, TUNING);
    offer(store, recordOf(1, { notAfter: 10 }));
    offer(store, recordOf(2, { notAfter: 20 }));
    expect(store.find(idOfNumber(1), 9)).toHaveLength(1);
    expect(store.find(idOfNumber(1), 10)).toEqual([]);
    expect(store.size).toBe(2);
    // An old one is welcome when the newer is dead.
    expect(store.refusal(recordOf(1, { seq: 0, notAfter: 99 }), 9)).toBe('older');
    expect(store.refusal(recordOf(1, { seq: 0, notAfter: 99 }), 10)).toBeNull();
    store.expire(10);
    expect([store.size, store.bytes]).toEqual([1, 1]);
  });

  it('puts off handing on what somebody else handed on (§2.5)', () => {
    const store = new RecordStore('value', SELF, TUNING);
    offer(store, recordOf(1));
    expect([...store.held()].map(({ replicateMs }) => replicateMs)).toEqual([500]);
    offer(store, recordOf(1), 300);
    expect([...store.held()].map(({ replicateMs }) => replicateMs)).toEqual([800]);
    expect(store.size).toBe(1);
  });

  it.each(['value', 'provider'] as const)('whatever is offered, %s: what it says it has is what it has', (kind) => {
    const offers = fc.array(
      fc.record({
        key: fc.nat(9),
        peer: fc.constantFrom('p', 'q', 'r', 's'),
        seq: fc.nat(3),
        bytes: fc.nat(6),
        lifeMs: fc.integer({ min: 1, max: 40 }),
        expire: fc.boolean(),
      }),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(offers, (steps) => {
        const store = new RecordStore(kind, SELF, TUNING);
        for (const [nowMs, { key, peer, seq, bytes, lifeMs, expire }] of steps.entries()) {
          const record = recordOf(key, { kind, peerId: peer, seq, bytes, notAfter: nowMs + lifeMs });
          const before = store.find(record.key, nowMs).find((kept) => kind === 'value' || kept.peerId === peer);
          const refused = offer(store, record, nowMs);
          const after = store.find(record.key, nowMs).find((kept) => kind === 'value' || kept.peerId === peer);
          if (refused === null) expect(after).toEqual(record);
          else expect(after).toBe(before);
          // Never back to an older one.
          if (before !== undefined && after !== undefined) {
            expect(compareRecords(after, before)).toBeGreaterThanOrEqual(0);
          }
          if (refused === 'older') expect(before).toBeDefined();
          if (expire) store.expire(nowMs);
          checkBounds(store, kind);
        }
        store.expire(1_000);
        expect([store.size, store.bytes]).toEqual([0, 0]);
      }),
    );
  });
});

function checkBounds(store: RecordStore, kind: RecordKind): void {
  const all = [...store.held()].map(({ record }) => record);
  expect(store.size).toBe(all.length);
  expect(store.bytes).toBe(all.reduce((sum, { value }) => sum + value.length, 0));
  expect(all.length).toBeLessThanOrEqual(TUNING.maxRecords);
  expect(store.bytes).toBeLessThanOrEqual(TUNING.maxStoredBytes);
  const slot = ({ key, peerId }: SignedRecord): string => (kind === 'value' ? idText(key) : `${idText(key)} ${peerId}`);
  expect(new Set(all.map(slot)).size).toBe(all.length);
  for (const peer of new Set(all.map(({ peerId }) => peerId))) {
    const own = all.filter(({ peerId }) => peerId === peer);
    expect(own.length).toBeLessThanOrEqual(TUNING.maxRecordsPerPeer);
    expect(own.reduce((sum, { value }) => sum + value.length, 0)).toBeLessThanOrEqual(TUNING.maxBytesPerPeer);
  }
  const shelf = (key: DhtId): number => all.filter((record) => idText(record.key) === idText(key)).length;
  if (kind === 'provider') for (const { key } of all) expect(shelf(key)).toBeLessThanOrEqual(2);
}
