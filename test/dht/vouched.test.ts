/** A core whose shell knows by other means who is there. */
import { describe, expect, it } from 'vitest';
import { createDht } from '../../src/dht/index.ts';
import type { Contact, Dht, DhtTuning } from '../../src/dht/index.ts';
import { takeAll, type Sent } from './effects.ts';
import { contactOf, idOf, keyOf, signatureOf, verify } from './network.ts';

const KEY = keyOf('a');

function dhtOf(vouches: (peerId: string) => boolean, tuning: Partial<DhtTuning>): Dht {
  return createDht({
    peerId: 'self',
    clusterId: '7',
    idOf,
    sign: (bytes) => signatureOf('self', bytes),
    verify,
    random: () => 0.5,
    wallMs: () => 1_000_000,
    vouches,
    tuning,
  });
}

describe('a node whose shell vouches for others', () => {
  const [there, gone] = ['there', 'gone'].map((name) => contactOf(name)) as [Contact, Contact];
  const tuning = { probeIdleMs: 20_000, upkeepIntervalMs: 10_000 };

  it('has joined as soon as it knows somebody, without a word, and looks itself up when it is time to', () => {
    const dht = dhtOf(() => true, { ...tuning, refreshIntervalMs: 60_000 });
    expect(dht.stats().joined).toBe(false);
    dht.addContact(there, 0);
    expect([dht.stats().joined, takeAll(dht).sent]).toEqual([true, []]);
    let firstMs: number | null = null;
    for (let nowMs = 0; nowMs <= 100_000 && firstMs === null; nowMs += 1000) {
      dht.tick(nowMs);
      if (takeAll(dht).sent.some(({ message }) => message.type === 'FindNode')) firstMs = nowMs;
    }
    expect(firstMs).toBeGreaterThanOrEqual(60_000);
  });

  it('asks nobody whether he is there who is, only those for whom it does not', () => {
    const dht = dhtOf((peerId) => peerId === there.peerId, tuning);
    for (const contact of [there, gone]) dht.addContact(contact, 0);
    const pinged = new Set<string>();
    for (let nowMs = 0; nowMs <= 200_000; nowMs += 1000) {
      dht.tick(nowMs);
      for (const { to, message } of takeAll(dht).sent) if (message.type === 'Ping') pinged.add(to.peerId);
    }
    expect([...pinged]).toEqual([gone.peerId]);
  });

  it('asks one for whom it does all the same when it did not answer', () => {
    const dht = dhtOf(() => true, tuning);
    dht.addContact(there, 0);
    dht.get(KEY, 0);
    const [asked] = takeAll(dht).sent as [Sent];
    dht.requestFailed(asked.message.rpc, 1);
    takeAll(dht);
    expect(dht.stats().failing).toBe(1);
    const pinged: string[] = [];
    for (let nowMs = 1; nowMs <= 30_000; nowMs += 1000) {
      dht.tick(nowMs);
      for (const { to, message } of takeAll(dht).sent) if (message.type === 'Ping') pinged.push(to.peerId);
    }
    expect(pinged).toContain(there.peerId);
  });
});
