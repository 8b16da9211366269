/** Whole networks of cores on virtual time. */
import { isDeepStrictEqual } from 'node:util';

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { compareDistance } from '../../src/dht/index.ts';
import type { Contact, DhtId, DhtMessage, DhtTuning, QueryResult } from '../../src/dht/index.ts';
import { closestBySorting, contactOf, keyOf, Network } from './network.ts';
import type { NetworkOptions, SimNode } from './network.ts';

const VALUE = new Uint8Array([1, 2, 3]);
const HOUR_MS = 3_600_000;

/** Nodes that came one after the other, each by way of one that was there. */
function grown(size: number, options: NetworkOptions): { network: Network; nodes: SimNode[] } {
  const network = new Network(options);
  const nodes: SimNode[] = [];
  for (let i = 0; i < size; i++) nodes.push(join(network, nodes, `n${i}`));
  network.runFor(20_000);
  return { network, nodes };
}

function join(network: Network, nodes: readonly SimNode[], peerId: string): SimNode {
  const node = network.add(peerId);
  const alive = nodes.filter(({ isAlive }) => isAlive);
  if (alive.length > 0) network.introduce(node, network.random.pick(alive).contact);
  network.runFor(2_000);
  return node;
}

function closest(nodes: readonly SimNode[], key: DhtId, count: number, except?: SimNode): SimNode[] {
  return nodes
    .filter((node) => node.isAlive && node !== except)
    .toSorted((left, right) => compareDistance(key, left.contact.id, right.contact.id))
    .slice(0, count);
}

/** Tells every node of all others: its buckets take those that they lack. */
function introduceAll(network: Network, nodes: readonly SimNode[]): void {
  for (const node of nodes) {
    network.introduce(node, ...nodes.filter((other) => other !== node).map(({ contact }) => contact));
  }
  network.runFor(20_000);
}

/** Looks a random key up at a random node: true when it is not the k closest that come of it. */
function misses(network: Network, nodes: readonly SimNode[], { k, paths }: { k: number; paths: number }): boolean {
  const node = network.random.pick(nodes);
  const key = network.random.bytes(32);
  const result = network.run(node, (dht, nowMs) => dht.lookup(key, nowMs, { paths }));
  const others = nodes.filter((other) => other !== node).map(({ contact }) => contact);
  expect(result.outcome).toBe('complete');
  const ids = (contacts: readonly Contact[]): string[] => contacts.map(({ peerId }) => peerId);
  return !isDeepStrictEqual(ids(result.closest), ids(closestBySorting(others, key, k)));
}

const get = (network: Network, node: SimNode, key: DhtId): QueryResult =>
  network.run(node, (dht, nowMs) => dht.get(key, nowMs));

const keepers = (nodes: readonly SimNode[], what: 'records' | 'providers'): number =>
  nodes.filter(({ dht, isAlive }) => isAlive && dht.stats()[what] > 0).length;

describe('a network that grew', () => {
  // What the paper's proof needs (§3): every bucket holds its whole range, or k of it. Joining alone leaves gaps where k is tiny: a node that is alone in its half of a range tells
  // the k closest of the other half that it is there, and the rest of that half learn it when they next look something up there.
  it('finds the exact k closest of any key, from anywhere, as sorting all nodes does, where tables are as they should be', () => {
    const settings = fc.record({
      seed: fc.nat(),
      size: fc.integer({ min: 2, max: 40 }),
      k: fc.integer({ min: 1, max: 8 }),
      alpha: fc.integer({ min: 1, max: 4 }),
      paths: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(settings, ({ seed, size, k, alpha, paths }) => {
        const { network, nodes } = grown(size, { seed, tuning: { k, alpha } });
        introduceAll(network, nodes);
        for (let i = 0; i < 5; i++) expect(misses(network, nodes, { k, paths })).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    { k: 2, size: 17, least: 0.95 },
    { k: 8, size: 40, least: 1 },
    { k: 20, size: 60, least: 1 },
  ])('finds the k = $k closest as soon as all $size have come', ({ k, size, least }) => {
    let exact = 0;
    for (let seed = 0; seed < 10; seed++) {
      const { network, nodes } = grown(size, { seed, tuning: { k } });
      for (let i = 0; i < 20; i++) exact += misses(network, nodes, { k, paths: 1 }) ? 0 : 1;
    }
    expect(exact / 200).toBeGreaterThanOrEqual(least);
  });

  it('takes about log n hops and little more than k requests', () => {
    const { network, nodes } = grown(100, { seed: 11 });
    let requests = 0;
    let hops = 0;
    for (let i = 0; i < 100; i++) {
      const { cost } = network.run(network.random.pick(nodes), (dht, nowMs) => dht.lookup(keyOf(`${i}`), nowMs));
      requests += cost.requests;
      hops += cost.hops;
    }
    expect(requests / 100).toBeGreaterThanOrEqual(20);
    expect(requests / 100).toBeLessThan(22.5);
    // log2(100 / 20) = 2.3 is what halving the distance each time would take.
    expect(hops / 100).toBeLessThan(2);
  });

  it('loses messages and finds what it looks for all the same', () => {
    const { network, nodes } = grown(60, { seed: 5, loss: 0.05 });
    let found = 0;
    for (let i = 0; i < 40; i++) {
      const node = network.random.pick(nodes);
      const key = keyOf(`${i}`);
      const result = network.run(node, (dht, nowMs) => dht.lookup(key, nowMs));
      if (result.closest[0] === closest(nodes, key, 1, node)[0]?.contact) found += 1;
    }
    // 10 % of requests or answers are lost, so about that many miss the very closest for once.
    expect(found).toBeGreaterThanOrEqual(30);
  });

  it('heals when all links were down for an hour', () => {
    const { network, nodes } = grown(40, { seed: 8 });
    for (const node of nodes) network.kill(node);
    network.runFor(HOUR_MS);
    for (const node of nodes) network.revive(node);
    network.runFor(120_000);
    for (const node of nodes) expect(node.dht.stats().joined).toBe(true);
    const key = keyOf('after');
    const { closest: found } = network.run(nodes[0] as SimNode, (dht, nowMs) => dht.lookup(key, nowMs));
    expect(found).toEqual(closest(nodes, key, 20, nodes[0]).map(({ contact }) => contact));
  });

  it('refreshes what nothing was looked up in (§2.3)', () => {
    const { network, nodes } = grown(60, { seed: 9, tuning: { refreshIntervalMs: HOUR_MS } });
    const [node] = nodes as [SimNode];
    let asked = 0;
    network.onSend = (from, _to, { type }) => {
      if (from === node.contact && type === 'FindNode') asked += 1;
    };
    network.runFor(HOUR_MS / 2);
    expect(asked).toBe(0);
    network.runFor(HOUR_MS);
    expect(asked).toBeGreaterThan(40);
  });
});

describe('records', () => {
  it('lie at the k closest nodes, and are found from everywhere', () => {
    const { network, nodes } = grown(60, { seed: 1 });
    const [owner, reader] = nodes as [SimNode, SimNode];
    const key = keyOf('a');
    const put = network.run(owner, (dht, nowMs) => dht.put({ key, value: VALUE, seq: 1 }, nowMs));
    expect(put).toMatchObject({ kind: 'put', outcome: 'complete', stored: 20, refused: {} });
    expect(keepers(closest(nodes, key, 20), 'records')).toBe(20);
    expect(keepers(nodes, 'records')).toBe(20);
    expect(get(network, reader, key)).toMatchObject({
      outcome: 'complete',
      records: [{ value: VALUE, seq: 1, peerId: 'n0' }],
    });
    expect(get(network, reader, keyOf('b')).records).toEqual([]);
  });

  it('the newest wins, and whoever kept an old one is mended by who reads', () => {
    const { network, nodes } = grown(40, { seed: 2 });
    const [owner, reader] = nodes as [SimNode, SimNode];
    const key = keyOf('a');
    const put = (seq: number): QueryResult =>
      network.run(owner, (dht, nowMs) => dht.put({ key, value: new Uint8Array([seq]), seq }, nowMs));
    put(1);
    // Half of the keepers miss the second version.
    const away = closest(nodes, key, 10).filter((node) => node !== owner && node !== reader);
    for (const node of away) network.kill(node);
    put(2);
    for (const node of away) network.revive(node);
    const seqs = (): (number | undefined)[] => away.map(({ dht }) => dht.kept('value', key)[0]?.seq);
    expect(seqs()).toEqual(away.map(() => 1));
    expect(get(network, reader, key).records).toMatchObject([{ seq: 2 }]);
    network.runFor(1_000);
    expect(seqs()).toEqual(away.map(() => 2));
  });

  it('an old one is refused by whoever keeps a newer', () => {
    const { network, nodes } = grown(30, { seed: 3 });
    const [owner, other] = nodes as [SimNode, SimNode];
    const key = keyOf('a');
    network.run(owner, (dht, nowMs) => dht.put({ key, value: VALUE, seq: 5 }, nowMs));
    const put = network.run(other, (dht, nowMs) => dht.put({ key, value: VALUE, seq: 4 }, nowMs));
    expect(put.stored).toBe(0);
    expect(put.refused.older).toBeGreaterThanOrEqual(19);
    expect(get(network, other, key).records).toMatchObject([{ seq: 5, peerId: 'n0' }]);
  });

  const LIFE: Partial<DhtTuning> = { recordTtlMs: 2 * HOUR_MS, clockToleranceMs: 1_000 };

  it('expire when their owner is gone (§2.5)', () => {
    const { network, nodes } = grown(40, { seed: 4, tuning: LIFE });
    const [owner, reader] = nodes as [SimNode, SimNode];
    const key = keyOf('a');
    network.run(owner, (dht, nowMs) => dht.put({ key, value: VALUE, seq: 1 }, nowMs));
    network.kill(owner);
    network.runFor(1.9 * HOUR_MS);
    expect(get(network, reader, key).records).toHaveLength(1);
    network.runFor(0.2 * HOUR_MS);
    expect(get(network, reader, key).records).toEqual([]);
    network.runFor(60_000);
    expect(keepers(nodes, 'records')).toBe(0);
  });

  it('live as long as their owner publishes them again, and not once they are withdrawn', () => {
    const { network, nodes } = grown(40, { seed: 5, tuning: LIFE });
    const [owner, reader] = nodes as [SimNode, SimNode];
    const key = keyOf('a');
    network.run(owner, (dht, nowMs) => dht.put({ key, value: VALUE, seq: 1 }, nowMs));
    network.run(owner, (dht, nowMs) => dht.put({ key: keyOf('once'), value: VALUE, seq: 1, republish: false }, nowMs));
    expect(owner.dht.stats().owned).toBe(1);
    network.runFor(7 * HOUR_MS);
    expect(get(network, reader, key).records).toHaveLength(1);
    expect(get(network, reader, keyOf('once')).records).toEqual([]);
    expect(owner.dht.withdraw('value', key)).toBe(true);
    expect(owner.dht.withdraw('value', key)).toBe(false);
    network.runFor(2.1 * HOUR_MS);
    expect(get(network, reader, key).records).toEqual([]);
  });

  it('are handed on by those who keep them, once an interval and not by each of them (§2.5)', () => {
    const tuning = { ...LIFE, recordTtlMs: 24 * HOUR_MS, replicateIntervalMs: HOUR_MS };
    const { network, nodes } = grown(60, { seed: 6, tuning });
    const [owner, reader] = nodes as [SimNode, SimNode];
    const key = keyOf('a');
    network.run(owner, (dht, nowMs) => dht.put({ key, value: VALUE, seq: 1 }, nowMs));
    network.kill(owner);
    let stores = 0;
    network.onSend = (_from, _to, { type }) => {
      if (type === 'Store') stores += 1;
    };
    network.runFor(5 * HOUR_MS);
    // One of twenty does it for all: twenty requests an interval, a few more where two came at once.
    expect(stores).toBeGreaterThanOrEqual(4 * 19);
    expect(stores).toBeLessThan(3 * 5 * 20);
    // So a record outlives those who kept it first, one after the other.
    const first = closest(nodes, key, 20).filter((node) => node !== reader);
    for (const node of first.slice(0, 12)) network.kill(node);
    network.runFor(2 * HOUR_MS);
    for (const node of first.slice(12)) network.kill(node);
    network.runFor(60_000);
    expect(get(network, reader, key).records).toMatchObject([{ seq: 1 }]);
  });

  it('reach a newcomer that is closer, from the closest of those who keep them (§2.5)', () => {
    const { network, nodes } = grown(40, { seed: 7 });
    const key = keyOf('a');
    network.run(nodes[0] as SimNode, (dht, nowMs) => dht.put({ key, value: VALUE, seq: 1 }, nowMs));
    const line = (closest(nodes, key, 20)[19] as SimNode).contact.id;
    const names = Array.from({ length: 400 }, (_, i) => `late${i}`);
    const close = names.filter((name) => compareDistance(key, contactOf(name).id, line) < 0).slice(0, 5);
    const late = close.map((name) => join(network, nodes, name));
    network.runFor(90_000);
    expect(keepers(late, 'records')).toBe(5);
  });
});

describe('providers', () => {
  it('are all found, each with its newest word, until they stop saying so', () => {
    const { network, nodes } = grown(50, { seed: 12, tuning: { providerTtlMs: HOUR_MS / 2 } });
    const key = keyOf('payments');
    const providers = nodes.slice(0, 5);
    for (const node of providers) {
      const value = new TextEncoder().encode(node.contact.peerId);
      const result = network.run(node, (dht, nowMs) => dht.provide({ key, value }, nowMs));
      expect(result).toMatchObject({ kind: 'provide', outcome: 'complete', stored: 20 });
    }
    const found = (): string[] => {
      const { records } = network.run(nodes[20] as SimNode, (dht, nowMs) => dht.findProviders(key, nowMs));
      for (const { value, peerId } of records) expect(new TextDecoder().decode(value)).toBe(peerId);
      return records.map(({ peerId }) => peerId).toSorted();
    };
    expect(found()).toEqual(['n0', 'n1', 'n2', 'n3', 'n4']);
    network.runFor(2 * HOUR_MS);
    expect(found()).toEqual(['n0', 'n1', 'n2', 'n3', 'n4']);
    network.kill(providers[0] as SimNode);
    (providers[1] as SimNode).dht.withdraw('provider', key);
    network.runFor(0.6 * HOUR_MS);
    expect(found()).toEqual(['n2', 'n3', 'n4']);
  });

  it('say so again soon when nobody was there to hear it', () => {
    const { network, nodes } = grown(30, { seed: 14 });
    const key = keyOf('payments');
    const early = network.add('early');
    const alone = network.run(early, (dht, nowMs) => dht.provide({ key, value: VALUE }, nowMs));
    expect(alone).toMatchObject({ outcome: 'alone', stored: 1 });
    network.introduce(early, (nodes[0] as SimNode).contact);
    network.runFor(100_000);
    const { records } = network.run(nodes[1] as SimNode, (dht, nowMs) => dht.findProviders(key, nowMs));
    expect(records).toMatchObject([{ peerId: 'early' }]);
  });

  it('say something new with a higher seq', () => {
    const { network, nodes } = grown(30, { seed: 13 });
    const key = keyOf('payments');
    const [provider, reader] = nodes as [SimNode, SimNode];
    for (const weight of [1, 2]) {
      network.run(provider, (dht, nowMs) => dht.provide({ key, value: new Uint8Array([weight]) }, nowMs));
      network.runFor(1_000);
    }
    const { records } = network.run(reader, (dht, nowMs) => dht.findProviders(key, nowMs));
    expect(records.map(({ value }) => [...value])).toEqual([[2]]);
    expect(provider.dht.stats().owned).toBe(1);
  });
});

describe('disjoint paths', () => {
  it('ask no node twice, on the wire', () => {
    const { network, nodes } = grown(80, { seed: 21 });
    for (let i = 0; i < 20; i++) {
      const node = network.random.pick(nodes);
      const key = keyOf(`${i}`);
      const asked: string[] = [];
      network.onSend = (from, to, message) => {
        if (from === node.contact && message.type === 'FindNode' && message.target === key) asked.push(to.peerId);
      };
      const query = network.run(node, (dht, nowMs) => dht.lookup(key, nowMs, { paths: 4, trace: true })).query;
      const steps = network.steps.filter((step) => step.query === query);
      network.steps.length = 0;
      expect(new Set(asked).size).toBe(asked.length);
      expect(new Set(steps.map(({ path }) => path)).size).toBe(4);
      expect(new Set(steps.map(({ peer }) => peer.peerId)).size).toBe(steps.length);
    }
  });

  it('find the record among peers that lie', () => {
    const { network, nodes } = grown(100, { seed: 22 });
    const key = keyOf('a');
    const liars = nodes.filter((_, i) => i % 5 === 4);
    const names = (target: DhtId): ReturnType<typeof contactOf>[] =>
      closestBySorting(
        liars.map(({ contact }) => contact),
        target,
        20,
      );
    for (const liar of liars) {
      liar.lie = (_from, message): DhtMessage | null => {
        const { rpc } = message;
        if (message.type === 'FindNode') return { type: 'Nodes', rpc, contacts: names(message.target) };
        if (message.type === 'FindRecords') return { type: 'Records', rpc, records: [], contacts: names(message.key) };
        return message.type === 'Store' ? { type: 'Stored', rpc, refused: null } : null;
      };
    }
    const honest = nodes.filter((node) => !liars.includes(node));
    network.run(honest[0] as SimNode, (dht, nowMs) => dht.put({ key, value: VALUE, seq: 1 }, nowMs, { paths: 4 }));
    for (const reader of honest.slice(1, 41)) {
      const result = network.run(reader, (dht, nowMs) => dht.get(key, nowMs, { paths: 4 }));
      expect(result.records).toMatchObject([{ seq: 1 }]);
    }
  });
});

describe('determinism', () => {
  const play = (seed: number): string[] => {
    const { network, nodes } = grown(25, { seed, loss: 0.02 });
    const trace: string[] = [];
    network.onSend = (from, to, message) =>
      trace.push(`${network.now} ${from.peerId} ${to.peerId} ${message.type} ${message.rpc}`);
    const [owner, reader] = nodes as [SimNode, SimNode];
    network.ask(
      owner,
      (dht, nowMs) => dht.put({ key: keyOf('a'), value: VALUE, seq: 1 }, nowMs),
      ({ cost }) => trace.push(JSON.stringify(cost)),
    );
    network.kill(nodes[9] as SimNode);
    network.runFor(60_000);
    const { cost } = network.run(reader, (dht, nowMs) => dht.get(keyOf('a'), nowMs, { paths: 2, trace: true }));
    network.runFor(2 * HOUR_MS);
    trace.push(JSON.stringify(cost), JSON.stringify(network.steps.map(({ peer, ...step }) => [peer.peerId, step])));
    for (const { dht } of nodes) trace.push(JSON.stringify(dht.stats()));
    return trace;
  };

  it('the same seed gives the same messages, results and counts; another seed others', () => {
    const first = play(99);
    expect(first.length).toBeGreaterThan(1_000);
    expect(play(99)).toEqual(first);
    expect(play(100)).not.toEqual(first);
  });
});
