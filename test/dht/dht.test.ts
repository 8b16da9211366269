/** The core from outside, with hands: each message is seen, and answered or not. */
import { beforeEach, describe, expect, it } from 'vitest';

import { KvorumError } from '../../src/errors.ts';
import { createDht, recordBytes } from '../../src/dht/index.ts';
import type {
  Contact,
  Dht,
  DhtMessage,
  DhtOptions,
  DhtTuning,
  QueryResult,
  SignedRecord,
} from '../../src/dht/index.ts';
import { contactOf, idOf, keyOf, signatureOf, verify } from './network.ts';
import { takeAll, type Sent } from './effects.ts';

const KEY = keyOf('a');
const VALUE = new Uint8Array([1, 2, 3]);
let wallMs = 1_000_000;

beforeEach(() => {
  wallMs = 1_000_000;
});

function optionsOf(peerId: string, tuning: Partial<DhtTuning> = {}): DhtOptions {
  return {
    peerId,
    clusterId: '7',
    idOf,
    sign: (bytes) => signatureOf(peerId, bytes),
    verify,
    random: () => 0.5,
    wallMs: () => wallMs,
    tuning,
  };
}

/** Contacts of one bucket of the node `self`, the furthest one. */
function farContacts(count: number): Contact[] {
  const far: Contact[] = [];
  for (let i = 0; far.length < count; i++) {
    const contact = contactOf(`far${i}`);
    if (((contact.id[0] ?? 0) ^ (idOf('self')[0] ?? 0)) >= 128) far.push(contact);
  }
  return far;
}

function signed(peerId: string, change: Partial<SignedRecord> = {}, clusterId = '7'): SignedRecord {
  const unsigned = {
    kind: 'value',
    key: KEY,
    value: VALUE,
    seq: 1,
    notAfter: wallMs + 60_000,
    peerId,
    ...change,
  } as const;
  return { ...unsigned, signature: signatureOf(peerId, recordBytes(clusterId, unsigned)) };
}

/** A node that has joined: it knows these, who know nobody. */
function joined(contacts: readonly Contact[], tuning: Partial<DhtTuning> = {}, options: Partial<DhtOptions> = {}): Dht {
  const dht = createDht({ ...optionsOf('self', tuning), ...options });
  for (const contact of contacts) dht.addContact(contact, 0);
  for (let { sent } = takeAll(dht); sent.length > 0; { sent } = takeAll(dht)) {
    for (const { to, message } of sent) dht.receive(to, { type: 'Nodes', rpc: message.rpc, contacts: [] }, 0);
  }
  expect(dht.stats()).toMatchObject({ joined: true, upkeepQueries: 0, pendingRequests: 0 });
  return dht;
}

const ask = (dht: Dht, from: Contact, message: DhtMessage, nowMs = 0): DhtMessage | undefined => {
  dht.receive(from, message, nowMs);
  return takeAll(dht).sent.find(({ to }) => to === from)?.message;
};

describe('answers', () => {
  const peer = contactOf('peer');

  it('a ping, and remembers who sent it', () => {
    const dht = joined([contactOf('b')]);
    expect(ask(dht, peer, { type: 'Ping', rpc: 9 })).toEqual({ type: 'Pong', rpc: 9 });
    expect(dht.closest(peer.id, 1)).toEqual([peer]);
  });

  it('with as many contacts as are wanted, closest first, the asker not among them', () => {
    const contacts = ['b', 'c', 'd', 'e'].map(contactOf);
    const dht = joined(contacts);
    const [asker] = contacts as [Contact];
    const answer = ask(dht, asker, { type: 'FindNode', rpc: 1, target: asker.id, count: 2 });
    expect(answer).toEqual({ type: 'Nodes', rpc: 1, contacts: dht.closest(asker.id, 3).slice(1) });
  });

  it('with the record that it keeps', () => {
    const dht = joined([contactOf('b')]);
    expect(ask(dht, peer, { type: 'FindRecords', rpc: 1, kind: 'value', key: KEY, count: 1 })).toMatchObject({
      records: [],
    });
    const record = signed('owner');
    expect(ask(dht, peer, { type: 'Store', rpc: 2, record })).toEqual({ type: 'Stored', rpc: 2, refused: null });
    expect(ask(dht, peer, { type: 'FindRecords', rpc: 3, kind: 'value', key: KEY, count: 1 })).toMatchObject({
      records: [record],
    });
    expect(ask(dht, peer, { type: 'FindRecords', rpc: 4, kind: 'provider', key: KEY, count: 1 })).toMatchObject({
      records: [],
    });
  });

  it('with some of many providers, others each time', () => {
    let dice = 0;
    const dht = joined([contactOf('b')], { maxProvidersPerAnswer: 3 }, { random: () => dice });
    for (let i = 0; i < 8; i++)
      dht.receive(peer, { type: 'Store', rpc: i, record: signed(`p${i}`, { kind: 'provider' }) }, 0);
    takeAll(dht);
    const seen = new Set<string>();
    for (dice = 0; dice < 1; dice += 0.1) {
      const answer = ask(dht, peer, { type: 'FindRecords', rpc: 1, kind: 'provider', key: KEY, count: 1 });
      if (answer?.type !== 'Records') throw new Error('no answer');
      expect(answer.records).toHaveLength(3);
      for (const { peerId } of answer.records) seen.add(peerId);
    }
    expect(seen.size).toBe(8);
  });
});

describe('refuses and counts', () => {
  const peer = contactOf('peer');
  const refusal = (dht: Dht, record: SignedRecord): unknown => {
    const answer = ask(dht, peer, { type: 'Store', rpc: 1, record });
    return answer?.type === 'Stored' ? answer.refused : answer;
  };

  it.each<[string, () => SignedRecord]>([
    ['bad-signature', () => ({ ...signed('owner'), value: new Uint8Array([6]) })],
    ['bad-signature', () => ({ ...signed('owner'), seq: 2 })],
    ['bad-signature', () => ({ ...signed('owner'), notAfter: wallMs + 90_000 })],
    ['bad-signature', () => ({ ...signed('owner'), kind: 'provider' })],
    ['bad-signature', () => ({ ...signed('owner'), key: keyOf('b') })],
    ['bad-signature', () => ({ ...signed('owner'), peerId: 'other' })],
    ['bad-signature', () => signed('owner', {}, '8')],
    ['bad-signature', () => ({ ...signed('owner'), signature: new Uint8Array(0) })],
    ['expired', () => signed('owner', { notAfter: wallMs - 60_000 })],
    ['too-far-ahead', () => signed('owner', { notAfter: wallMs + 49 * 3_600_000 })],
    ['too-large', () => signed('owner', { value: new Uint8Array(4_097) })],
  ])('a record: %s', (reason, make) => {
    const dht = joined([contactOf('b')]);
    expect(refusal(dht, make())).toBe(reason);
    expect(dht.stats()).toMatchObject({ refused: { [reason]: 1 }, records: 0, providers: 0 });
  });

  it('an older record, and one of a signer that has no right to the key', () => {
    const dht = joined([contactOf('b')], {}, { accepts: ({ peerId }) => peerId === 'owner' });
    expect(refusal(dht, signed('owner', { seq: 5 }))).toBeNull();
    expect(refusal(dht, signed('owner', { seq: 4 }))).toBe('older');
    expect(refusal(dht, signed('other', { seq: 9 }))).toBe('not-accepted');
    expect(dht.stats().refused).toEqual({ older: 1, 'not-accepted': 1 });
  });

  it('what costs nothing to see first: no signature is checked for it', () => {
    const dht = joined([contactOf('b')]);
    expect(refusal(dht, signed('owner', { seq: 5 }))).toBeNull();
    expect(dht.stats().signaturesChecked).toBe(1);
    refusal(dht, signed('owner', { seq: 4 }));
    refusal(dht, signed('owner', { notAfter: 0 }));
    // The same once more, as whoever republishes or repairs sends it.
    refusal(dht, signed('owner', { seq: 5 }));
    expect(dht.stats().signaturesChecked).toBe(1);
  });

  it('a message from a place that is not its sender’s', () => {
    const dht = joined([contactOf('b')]);
    dht.receive({ ...peer, id: idOf('elsewhere') }, { type: 'Ping', rpc: 1 }, 0);
    dht.addContact({ ...peer, id: idOf('elsewhere') }, 0);
    expect(takeAll(dht).sent).toEqual([]);
    expect(dht.stats()).toMatchObject({ contacts: 1, refused: { 'forged-contact': 2 } });
  });

  it('a message of its own', () => {
    const dht = joined([contactOf('b')]);
    dht.receive(contactOf('self'), { type: 'Ping', rpc: 1 }, 0);
    dht.addContact(contactOf('self'), 0);
    expect(takeAll(dht).sent).toEqual([]);
    expect(dht.stats()).toMatchObject({ contacts: 1, refused: { own: 1 } });
  });

  it('an answer that nobody waits for, and learns nobody from it', () => {
    const dht = joined([contactOf('b')]);
    dht.lookup(KEY, 0);
    const rpc = takeAll(dht).sent[0]?.message.rpc ?? 0;
    // Somebody else answers in the place of the one that was asked.
    dht.receive(peer, { type: 'Nodes', rpc, contacts: [contactOf('x')] }, 0);
    dht.receive(contactOf('b'), { type: 'Pong', rpc: rpc + 1 }, 0);
    expect(takeAll(dht)).toEqual({ sent: [], results: [], steps: [] });
    expect(dht.stats()).toMatchObject({ contacts: 1, refused: { unsolicited: 2 } });
  });

  it('an answer of another kind: it counts as none', () => {
    const dht = joined([contactOf('b')]);
    dht.lookup(KEY, 0);
    const rpc = takeAll(dht).sent[0]?.message.rpc ?? 0;
    dht.receive(contactOf('b'), { type: 'Pong', rpc }, 0);
    expect(takeAll(dht).results).toMatchObject([{ outcome: 'alone', cost: { failures: 1 } }]);
    expect(dht.stats()).toMatchObject({ failing: 1, refused: { 'wrong-answer': 1 } });
  });

  it('a record under another key than was asked for, a forged one, and believes the newest true one', () => {
    const contacts = ['b', 'c', 'd'].map(contactOf);
    const dht = joined(contacts);
    dht.get(KEY, 0);
    const { sent } = takeAll(dht);
    const answers = [
      [signed('owner', { key: keyOf('other'), seq: 9 }), signed('owner', { kind: 'provider', seq: 9 })],
      [{ ...signed('owner', { seq: 1 }), seq: 8 }, signed('owner', { seq: 3 })],
      [signed('owner', { seq: 2 })],
    ];
    for (const [i, { to, message }] of sent.entries()) {
      dht.receive(to, { type: 'Records', rpc: message.rpc, records: answers[i] ?? [], contacts: [] }, 0);
    }
    const { results } = takeAll(dht);
    expect(results).toMatchObject([{ outcome: 'complete', records: [{ seq: 3 }] }]);
    expect(dht.stats().refused).toEqual({ 'wrong-key': 2, 'bad-signature': 1 });
  });

  it('contacts that are not where their peer ids put them', () => {
    const dht = joined([contactOf('b')]);
    dht.lookup(KEY, 0);
    const rpc = takeAll(dht).sent[0]?.message.rpc ?? 0;
    const forged = { ...contactOf('x'), id: KEY };
    dht.receive(contactOf('b'), { type: 'Nodes', rpc, contacts: [forged, contactOf('self')] }, 0);
    const { sent, results } = takeAll(dht);
    expect(sent).toEqual([]);
    expect(results).toMatchObject([{ outcome: 'complete', closest: [contactOf('b')] }]);
    expect(dht.stats().refused).toEqual({ 'forged-contact': 1 });
  });
});

describe('ping before evict (§2.2)', () => {
  const far = farContacts(8);
  const [first, second, third, newcomer, other] = far as [Contact, Contact, Contact, Contact, Contact];
  const tuning = { k: 3, maxReplacements: 2, maxFailures: 2, requestTimeoutMs: 1_000, pingIdleMs: 5_000 };
  const full = (): Dht => joined([first, second, third], tuning);
  const hear = (dht: Dht, from: Contact, nowMs: number): Sent[] => {
    dht.receive(from, { type: 'Ping', rpc: 1 }, nowMs);
    return takeAll(dht).sent.filter(({ message }) => message.type === 'Ping');
  };
  const known = (dht: Dht): string[] =>
    dht
      .closest(far[0]?.id ?? KEY, 10)
      .map(({ peerId }) => peerId)
      .toSorted();
  const names = (...contacts: Contact[]): string[] => contacts.map(({ peerId }) => peerId).toSorted();

  it('asks the oldest whether it is there, and keeps it when it answers', () => {
    const dht = full();
    const pings = hear(dht, newcomer, 6_000);
    expect(pings).toHaveLength(1);
    const { to, message } = pings[0] as Sent;
    // No second one while that is on its way.
    expect(hear(dht, other, 6_001)).toEqual([]);
    dht.receive(to, { type: 'Pong', rpc: message.rpc }, 6_100);
    expect(known(dht)).toEqual(names(first, second, third));
    // The next in line is another.
    expect(hear(dht, newcomer, 6_200).map((ping) => ping.to.peerId)).not.toContain(to.peerId);
  });

  it('asks none that was heard a moment ago', () => {
    const dht = full();
    expect(hear(dht, newcomer, 4_000)).toEqual([]);
    expect(dht.stats()).toMatchObject({ contacts: 3, replacements: 1 });
  });

  it('evicts the oldest for the newcomer when it is silent twice', () => {
    const dht = full();
    const [ping] = hear(dht, newcomer, 6_000) as [Sent];
    expect(dht.nextTickMs()).toBe(7_000);
    dht.tick(7_000);
    const again = takeAll(dht).sent;
    expect(again).toMatchObject([{ to: ping.to, message: { type: 'Ping' } }]);
    expect(known(dht)).toEqual(names(first, second, third));
    dht.tick(8_000);
    expect(known(dht)).toEqual(names(...[first, second, third].filter((contact) => contact !== ping.to), newcomer));
    expect(dht.stats()).toMatchObject({ evicted: 1, timeouts: 2, failing: 0 });
  });

  it('a failed send is as good as a time-out', () => {
    const dht = full();
    const [ping] = hear(dht, newcomer, 6_000) as [Sent];
    dht.requestFailed(ping.message.rpc, 6_001);
    dht.requestFailed(takeAll(dht).sent[0]?.message.rpc ?? 0, 6_002);
    expect(known(dht)).toContain(newcomer.peerId);
    dht.requestFailed(12_345, 6_003);
    expect(dht.stats()).toMatchObject({ evicted: 1, timeouts: 0 });
  });

  it('asks by and by whether those are there that it did not hear for long', () => {
    const dht = joined([first, second], { ...tuning, probeIdleMs: 100_000, upkeepIntervalMs: 10_000 });
    const pinged: string[] = [];
    for (let nowMs = 0; nowMs <= 130_000; nowMs += 10_000) {
      dht.tick(nowMs);
      for (const { to, message } of takeAll(dht).sent) {
        if (message.type !== 'Ping') continue;
        expect(nowMs).toBeGreaterThanOrEqual(100_000);
        pinged.push(to.peerId);
        dht.receive(to, { type: 'Pong', rpc: message.rpc }, nowMs);
      }
    }
    expect(pinged.toSorted()).toEqual(names(first, second));
  });

  it('forgets one that never answers, but nobody while nobody answers (§4.1)', () => {
    const silence = (answering: readonly Contact[]): string[] => {
      const dht = joined([first, second, third], { ...tuning, probeIdleMs: 20_000, upkeepIntervalMs: 10_000 });
      for (let nowMs = 0; nowMs <= 200_000; nowMs += 1_000) {
        dht.tick(nowMs);
        for (const { to, message } of takeAll(dht).sent) {
          if (answering.includes(to)) dht.receive(to, { type: 'Pong', rpc: message.rpc }, nowMs);
        }
      }
      return known(dht);
    };
    expect(silence([first, third])).toEqual(names(first, third));
    expect(silence([])).toEqual(names(first, second, third));
  });

  it('one that says goodbye makes room at once', () => {
    const dht = full();
    hear(dht, newcomer, 6_000);
    dht.removeContact(second.peerId);
    expect(known(dht)).toEqual(names(first, third, newcomer));
  });
});

describe('a node that nobody answers', () => {
  /** How often it tried to join in ten minutes. */
  function joins(everyMs: number): number {
    const dht = createDht(optionsOf('self'));
    dht.addContact(contactOf('b'), 0);
    let times = 0;
    for (let nowMs = 0; nowMs <= 600_000; nowMs += 100) {
      if (nowMs % everyMs === 0) dht.addContact(contactOf('b'), nowMs);
      dht.tick(nowMs);
      const { sent } = takeAll(dht);
      for (const { message } of sent) {
        if (message.type === 'FindNode') times += 1;
        dht.requestFailed(message.rpc, nowMs);
      }
    }
    return times;
  }

  it('tries less and less to join, and not too often though somebody is reached all the time', () => {
    expect(joins(Infinity)).toBeLessThanOrEqual(8);
    expect(joins(Infinity)).toBeGreaterThan(3);
    expect(joins(1000)).toBeLessThanOrEqual(121);
    expect(joins(1000)).toBeGreaterThan(100);
  });
});

describe('queries', () => {
  const contacts = Array.from({ length: 30 }, (_, i) => contactOf(`c${i}`));

  it('keep α requests in flight, and let another go for one that is late', () => {
    const dht = joined(contacts, { alpha: 3, slowAfterMs: 500 });
    dht.lookup(KEY, 1_000);
    const { sent } = takeAll(dht);
    expect(sent.map(({ to }) => to)).toEqual(dht.closest(KEY, 3));
    const [first] = sent as [Sent];
    dht.receive(first.to, { type: 'Nodes', rpc: first.message.rpc, contacts: [] }, 1_100);
    expect(takeAll(dht).sent).toHaveLength(1);
    expect(dht.nextTickMs()).toBe(1_500);
    dht.tick(1_499);
    expect(takeAll(dht).sent).toHaveLength(0);
    dht.tick(1_500);
    expect(takeAll(dht).sent).toHaveLength(2);
  });

  it('ask whoever would take the place of a late one, and wait for it all the same', () => {
    const dht = joined(contacts, { k: 2, alpha: 2, slowAfterMs: 500, requestTimeoutMs: 2_000 });
    const [closest, ...others] = dht.closest(KEY, 3);
    dht.lookup(KEY, 0);
    const answerAll = (nowMs: number, except?: Contact): Sent[] => {
      const { sent } = takeAll(dht);
      for (const { to, message } of sent) {
        if (to !== except) dht.receive(to, { type: 'Nodes', rpc: message.rpc, contacts: [] }, nowMs);
      }
      return sent;
    };
    const late = answerAll(100, closest).find(({ to }) => to === closest) as Sent;
    dht.tick(500);
    expect(answerAll(600).map(({ to }) => to)).toEqual([others[1]]);
    expect(takeAll(dht).results).toEqual([]);
    // It is late, and the closest.
    dht.receive(late.to, { type: 'Nodes', rpc: late.message.rpc, contacts: [] }, 1_900);
    expect(takeAll(dht).results).toMatchObject([{ outcome: 'complete', closest: [closest, others[0]] }]);
  });

  it('want more contacts when nodes are silent', () => {
    const dht = joined(contacts, { alpha: 1, requestTimeoutMs: 400, slowAfterMs: 400 });
    dht.lookup(KEY, 0);
    const counts: number[] = [];
    for (let nowMs = 0; nowMs < 1_200; nowMs += 400) {
      dht.tick(nowMs);
      for (const { message } of takeAll(dht).sent) if (message.type === 'FindNode') counts.push(message.count);
    }
    expect(counts[0]).toBe(20);
    for (const count of counts.slice(1)) expect(count).toBe(64);
  });

  it('end when the k closest have answered, with what they cost', () => {
    const dht = joined(contacts, { k: 4, alpha: 2 });
    const query = dht.lookup(KEY, 10);
    let nowMs = 10;
    const results: QueryResult[] = [];
    for (let taken = takeAll(dht); results.length === 0; taken = takeAll(dht)) {
      results.push(...taken.results);
      nowMs += 5;
      for (const { to, message } of taken.sent)
        dht.receive(to, { type: 'Nodes', rpc: message.rpc, contacts: [] }, nowMs);
    }
    expect(results).toMatchObject([
      { query, kind: 'lookup', key: KEY, outcome: 'complete', cost: { requests: 4, failures: 0, hops: 1 } },
    ]);
    expect(results[0]?.closest).toEqual(dht.closest(KEY, 4));
    expect(dht.stats().queries).toBe(0);
  });

  it('know that they are alone', () => {
    const dht = createDht(optionsOf('self'));
    dht.lookup(KEY, 0);
    dht.put({ key: KEY, value: VALUE, seq: 1 }, 0);
    dht.get(KEY, 0);
    expect(takeAll(dht).results).toMatchObject([
      { kind: 'lookup', outcome: 'alone', closest: [] },
      // It is one of the k closest itself.
      { kind: 'put', outcome: 'alone', stored: 1 },
      { kind: 'get', outcome: 'alone', records: [{ value: VALUE }] },
    ]);
  });

  it('send no more requests than they may', () => {
    const dht = joined(contacts, { requestTimeoutMs: 100 });
    dht.lookup(KEY, 0, { maxRequests: 7 });
    let requests = 0;
    let results: QueryResult[] = [];
    for (let nowMs = 0; results.length === 0 && nowMs < 5_000; nowMs += 100) {
      dht.tick(nowMs);
      const taken = takeAll(dht);
      requests += taken.sent.filter(({ message }) => message.type === 'FindNode').length;
      ({ results } = taken);
    }
    expect(requests).toBe(7);
    expect(results).toMatchObject([{ outcome: 'alone', cost: { requests: 7, failures: 7 } }]);
  });

  it('say what they found when their requests are used up', () => {
    const dht = joined(contacts);
    dht.lookup(KEY, 0, { maxRequests: 2 });
    for (const { to, message } of takeAll(dht).sent)
      dht.receive(to, { type: 'Nodes', rpc: message.rpc, contacts: [] }, 0);
    expect(takeAll(dht).results).toMatchObject([{ outcome: 'exhausted', closest: dht.closest(KEY, 2) }]);
  });

  it('end at their deadline, with what they found', () => {
    const dht = joined(contacts, { requestTimeoutMs: 10_000 });
    dht.lookup(KEY, 0, { deadlineMs: 300 });
    const [first] = takeAll(dht).sent as [Sent];
    dht.receive(first.to, { type: 'Nodes', rpc: first.message.rpc, contacts: [] }, 10);
    expect(dht.nextTickMs()).toBe(300);
    dht.tick(300);
    expect(takeAll(dht).results).toMatchObject([
      { outcome: 'deadline', closest: [first.to], cost: { elapsedMs: 300 } },
    ]);
  });

  it('that end as they begin do not pile up', () => {
    const dht = createDht(optionsOf('self', { maxOwned: 10_000, providerTtlMs: 90_000 }));
    for (let i = 0; i < 10_000; i++) dht.provide({ key: keyOf(`${i}`), value: VALUE }, 0);
    expect(takeAll(dht).results).toHaveLength(10_000);
    // All of them are due, and nobody is there.
    dht.tick(100_000);
    expect(dht.stats()).toMatchObject({ owned: 10_000, upkeepQueries: 0 });
  });

  it('are silent once they are cancelled', () => {
    const dht = joined(contacts);
    const query = dht.lookup(KEY, 0) ?? 0;
    const { sent } = takeAll(dht);
    expect(dht.cancel(query)).toBe(true);
    expect(dht.cancel(query)).toBe(false);
    for (const { to, message } of sent) dht.receive(to, { type: 'Nodes', rpc: message.rpc, contacts: [] }, 0);
    dht.tick(10_000);
    expect(takeAll(dht)).toEqual({ sent: [], results: [], steps: [] });
    expect(dht.stats()).toMatchObject({ queries: 0, pendingRequests: 0 });
  });

  it('are refused beyond their number', () => {
    const dht = joined(contacts, { maxQueries: 2 });
    expect([dht.lookup(KEY, 0), dht.get(KEY, 0)]).not.toContain(null);
    expect(dht.findProviders(KEY, 0)).toBeNull();
    expect(dht.put({ key: KEY, value: VALUE, seq: 1 }, 0)).toBeNull();
    expect(dht.stats()).toMatchObject({ queries: 2, owned: 1, refused: { overloaded: 2 } });
  });

  it('of which one is to be published again publish it when there is room', () => {
    const dht = joined(contacts, { maxQueries: 1 });
    const lookup = dht.lookup(KEY, 0);
    expect(dht.put({ key: KEY, value: VALUE, seq: 1 }, 0)).toBeNull();
    expect(dht.put({ key: keyOf('once'), value: VALUE, seq: 1, republish: false }, 0)).toBeNull();
    expect(dht.stats().owned).toBe(1);
    expect(dht.cancel(lookup!)).toBe(true);
    takeAll(dht);
    dht.tick(60_000);
    expect(takeAll(dht).sent.map(({ message }) => message.type)).toContain('FindNode');
  });

  it('wait for room when too many requests have no answer', () => {
    const dht = joined(contacts, { maxPendingRequests: 4 });
    const queries = [dht.lookup(KEY, 0), dht.lookup(keyOf('b'), 0), dht.lookup(keyOf('c'), 0)];
    const over = new Set<number>();
    for (let isQuiet = false; !isQuiet;) {
      const { sent, results } = takeAll(dht);
      isQuiet = sent.length === 0;
      for (const { query, outcome } of results) if (outcome === 'complete') over.add(query);
      for (const { to, message } of sent) {
        expect(dht.stats().pendingRequests).toBeLessThanOrEqual(4);
        dht.receive(to, { type: 'Nodes', rpc: message.rpc, contacts: [] }, 0);
      }
    }
    expect(over).toEqual(new Set(queries));
  });

  it('tell each step when they are traced', () => {
    const dht = joined(contacts.slice(0, 3), { alpha: 2, requestTimeoutMs: 100, slowAfterMs: 100 });
    const query = dht.get(KEY, 1_000, { trace: true });
    const [first, second] = takeAll(dht).sent as [Sent, Sent];
    const more = [contactOf('x'), first.to, contactOf('self')];
    dht.receive(first.to, { type: 'Records', rpc: first.message.rpc, records: [signed('o')], contacts: more }, 1_030);
    expect(takeAll(dht).steps).toEqual([
      {
        type: 'step',
        query,
        step: 1,
        path: 0,
        peer: first.to,
        distance: 255 - Math.clz32((first.to.id[0] ?? 0) ^ (KEY[0] ?? 0)) + 24,
        asked: 'FindRecords',
        outcome: 'answered',
        contacts: 3,
        fresh: 1,
        records: 1,
        rttMs: 30,
      },
    ]);
    dht.tick(1_100);
    expect(takeAll(dht).steps).toMatchObject([{ step: 2, peer: second.to, outcome: 'timeout', rttMs: 100 }]);
  });

  it('of which nobody is told while they are the core’s own', () => {
    const dht = createDht(optionsOf('self'));
    dht.addContact(contactOf('b'), 0);
    const { sent } = takeAll(dht);
    expect(sent).toMatchObject([{ message: { type: 'FindNode', target: idOf('self') } }]);
    expect(dht.cancel(1)).toBe(false);
    expect(dht.stats()).toMatchObject({ queries: 0, upkeepQueries: 1, joined: false });
    dht.receive(contactOf('b'), { type: 'Nodes', rpc: sent[0]?.message.rpc ?? 0, contacts: [] }, 5);
    expect(takeAll(dht).results).toEqual([]);
    expect(dht.stats().joined).toBe(true);
  });
});

describe('what cannot be', () => {
  it.each<[string, Partial<DhtTuning>]>([
    ['no contacts', { k: 0 }],
    ['more contacts than a message holds', { k: 65 }],
    ['half a request', { alpha: 1.5 }],
    ['no time', { requestTimeoutMs: Number.NaN }],
    ['records that outlive the limit', { recordTtlMs: 10, maxTtlMs: 5 }],
  ])('%s', (_, tuning) => {
    const make = (): unknown => createDht(optionsOf('self', tuning));
    expect(make).toThrow(expect.toSatisfy((error: unknown) => KvorumError.is(error, 'ERR_CONFIG')));
  });

  it('drafts and keys that make no sense', () => {
    const dht = createDht(optionsOf('self'));
    const code = (action: () => unknown): string => {
      try {
        action();
      } catch (error) {
        if (KvorumError.is(error)) return error.code;
      }
      return 'none';
    };
    expect(code(() => dht.lookup(new Uint8Array(31), 0))).toBe('ERR_BAD_KEY');
    expect(code(() => dht.put({ key: new Uint8Array(3), value: VALUE, seq: 1 }, 0))).toBe('ERR_BAD_KEY');
    expect(code(() => dht.put({ key: KEY, value: new Uint8Array(4_097), seq: 1 }, 0))).toBe('ERR_TOO_LARGE');
    expect(code(() => dht.put({ key: KEY, value: VALUE, seq: -1 }, 0))).toBe('ERR_INVALID_ARGUMENT');
    expect(code(() => dht.put({ key: KEY, value: VALUE, seq: 1, ttlMs: 1e12 }, 0))).toBe('ERR_INVALID_ARGUMENT');
    expect(dht.stats().owned).toBe(0);
  });

  it('a clock that goes back', () => {
    const dht = joined([contactOf('b')]);
    dht.tick(50_000);
    dht.lookup(KEY, 10);
    takeAll(dht);
    dht.tick(51_000);
    expect(dht.stats().timeouts).toBe(0);
    dht.tick(52_000);
    expect(dht.stats().timeouts).toBe(1);
  });
});
