/** The papers, sentence by sentence where they claim something of one member. What they claim of many is in simulation.test.ts and in the lab. */
import { describe, expect, it } from 'vitest';
import type { Ping } from '../../src/gossip/types.ts';
import { alive, dead, idOf, incarnationOf, peerOf, Solo, suspect } from './solo.ts';

const SWIM = { lhaProbe: false, lhaSuspicion: false, buddy: false };

/** The ping that went out last, and to whom. */
function lastPing(solo: Solo): { member: number; ping: Ping } {
  if (solo.lastPing === null) throw new Error('no ping was sent');
  return solo.lastPing;
}

function answer(solo: Solo): void {
  const { member, ping } = lastPing(solo);
  solo.receive(member, { type: 'ack', sequence: ping.sequence, health: 0, updates: [] });
}

/** So many periods in which everybody answers. */
function calm(solo: Solo, periods: number): void {
  for (let i = 0; i < periods; i++) {
    answer(solo);
    solo.run(solo.nowMs + 1000);
  }
}

describe('SWIM §3.1, the failure detector', () => {
  it('"every T time units, a random member is selected and a ping message sent to it"', () => {
    const solo = new Solo(10);
    calm(solo, 4);
    expect(solo.sentOf('ping')).toHaveLength(5);
    expect(solo.takeTold()).toEqual([]);
  });

  it('"if not received within the time-out, k members are selected at random and each sent a ping-req"', () => {
    const solo = new Solo(10);
    const { member, ping } = lastPing(solo);
    solo.run(499);
    expect(solo.sentOf('pingRequest')).toEqual([]);
    solo.run(500);
    const asked = solo.sentOf('pingRequest');
    expect(new Set(asked.map(({ to }) => to)).size).toBe(3);
    expect(asked.map(({ to }) => to)).not.toContain(peerOf(member));
    for (const { message } of asked) expect(message).toMatchObject({ target: idOf(member), sequence: ping.sequence });
  });

  it('"each of these members in turn pings the target and forwards the ack"', () => {
    const solo = new Solo(4);
    answer(solo);
    solo.takeSent();
    solo.receive(1, { type: 'pingRequest', sequence: 77, target: idOf(2), updates: [] });
    const { member, ping } = lastPing(solo);
    expect(member).toBe(2);
    solo.takeSent();
    solo.receive(2, { type: 'ack', sequence: ping.sequence, health: 3, updates: [] });
    expect(solo.sentOf('ack')).toEqual([
      { to: peerOf(1), message: { type: 'ack', sequence: 77, health: 3, updates: [] } },
    ]);
  });

  it.each(['directly', 'through another'])(
    '"at the end of the period, an ack that came %s": nobody is suspected',
    (how) => {
      const solo = new Solo(10);
      const { member, ping } = lastPing(solo);
      solo.run(500);
      const helper = Number(solo.sentOf('pingRequest')[0]?.to.slice(5));
      solo.run(900);
      const from = how === 'directly' ? member : helper;
      solo.receive(from, { type: 'ack', sequence: ping.sequence, health: 0, updates: [] });
      solo.run(1000);
      expect(solo.takeTold()).toEqual([]);
    },
  );

  it('"if it has not received any acks": the target is suspected at the end of the period, not before', () => {
    const solo = new Solo(10);
    const { member } = lastPing(solo);
    solo.run(999);
    expect(solo.takeTold()).toEqual([]);
    solo.run(1000);
    expect(solo.takeTold()).toEqual([`suspect ${member}`]);
  });

  it('an ack of somebody who was not asked is none', () => {
    const solo = new Solo(10);
    const { member, ping } = lastPing(solo);
    solo.run(500);
    const asked = solo.sentOf('pingRequest').map(({ to }) => to);
    const other = [1, 2, 3, 4, 5, 6, 7, 8, 9].find((i) => i !== member && !asked.includes(peerOf(i))) ?? 0;
    solo.receive(other, { type: 'ack', sequence: ping.sequence, health: 0, updates: [] });
    solo.receive(member, { type: 'ack', sequence: ping.sequence + 1, health: 0, updates: [] });
    solo.run(1000);
    expect(solo.takeTold()).toEqual([`suspect ${member}`]);
  });

  it('a ping is answered with its sequence, also to somebody who is not known', () => {
    const solo = new Solo(3);
    solo.takeSent();
    solo.receive(9, { type: 'ping', sequence: 5, health: 0, updates: [] });
    expect(solo.takeSent()).toMatchObject([
      { to: peerOf(9), channel: 'ping', message: { type: 'ack', sequence: 5, health: 0 } },
    ]);
  });
});

describe('SWIM §4.1, dissemination', () => {
  it('"piggybacks on the ping, ping-req and ack messages"', () => {
    const solo = new Solo(10, { retransmitMultiplier: 1000 });
    const news = suspect(5, 6);
    solo.hear(6, news);
    solo.takeSent();
    solo.receive(1, { type: 'ping', sequence: 1, health: 0, updates: [] });
    expect(solo.sentOf('ack')[0]?.message.updates).toEqual([news]);
    solo.receive(1, { type: 'pingRequest', sequence: 2, target: idOf(2), updates: [] });
    expect(lastPing(solo).ping.updates).toEqual([news]);
    solo.run(500);
    for (const { message } of solo.sentOf('pingRequest')) expect(message.updates).toEqual([news]);
  });

  it('each is passed on λ log n times, then no more; what is known is not passed on', () => {
    const solo = new Solo(10);
    const news = alive(5, 1);
    solo.hear(6, news);
    calm(solo, 10);
    const times = solo.sent.filter(({ message }) => 'updates' in message && message.updates.includes(news)).length;
    // 4 · ⌈log10(10 + 1)⌉.
    expect(times).toBe(8);
    solo.takeSent();
    solo.hear(7, alive(5, 1), alive(5, 0));
    calm(solo, 3);
    expect(solo.sent.every(({ message }) => !('updates' in message) || message.updates.length === 0)).toBe(true);
  });

  it('gossip goes to three members every 200 ms while there is something to tell, and not otherwise', () => {
    const solo = new Solo(50, { retransmitMultiplier: 1000 });
    answer(solo);
    solo.run(150);
    expect(solo.sentOf('gossip')).toEqual([]);
    solo.hear(6, alive(5, 1));
    solo.run(199);
    expect(solo.sentOf('gossip')).toEqual([]);
    solo.run(200);
    expect(solo.sentOf('gossip')).toHaveLength(3);
    solo.run(800);
    expect(solo.sentOf('gossip')).toHaveLength(12);
    for (const { to } of solo.sentOf('gossip')) expect(to).not.toBe(peerOf(0));
  });
});

describe('SWIM §4.2, suspicion', () => {
  it('"when a member receives a suspicion of itself, it can start propagating Alive with an incremented incarnation"', () => {
    const solo = new Solo(5);
    solo.hear(2, suspect(0, 3));
    expect(solo.core.incarnation).toBe(incarnationOf(1));
    solo.takeSent();
    solo.receive(2, { type: 'ping', sequence: 1, health: 0, updates: [] });
    const [ack] = solo.sentOf('ack');
    expect(ack?.message.updates).toMatchObject([{ kind: 'alive', id: idOf(0), incarnation: incarnationOf(1) }]);
    expect(solo.core.stats().refutations).toBe(1);
    // Once, though it is said again.
    solo.hear(2, suspect(0, 3), suspect(0, 2), dead(0, 2));
    expect(solo.core.incarnation).toBe(incarnationOf(1));
    solo.hear(2, dead(0, 2, 1));
    expect(solo.core.incarnation).toBe(incarnationOf(2));
    expect(solo.takeTold()).toEqual([]);
  });

  it('"an Alive message with a higher incarnation overrides, one with the same does not"', () => {
    const solo = new Solo(5);
    solo.hear(2, suspect(1, 3));
    solo.hear(2, alive(1, 0));
    expect(solo.stateOf(1)).toBe('suspect');
    solo.hear(2, alive(1, 1));
    expect(solo.stateOf(1)).toBe('alive');
    expect(solo.takeTold()).toEqual(['suspect 1', 'alive-again 1']);
    solo.hear(2, suspect(1, 3));
    expect(solo.stateOf(1)).toBe('alive');
  });

  it('"the incarnation number is changed only by the member itself": nobody can accuse it of one that it has not', () => {
    const solo = new Solo(5);
    solo.hear(2, dead(1, 3, 500), suspect(0, 3, 500));
    expect(solo.stateOf(1)).toBe('alive');
    expect(solo.core.incarnation).toBe(incarnationOf(0));
    // Its own word may be late: then it counts.
    solo.hear(2, alive(1, 500));
    expect(solo.stateOf(1)).toBe('dead');
  });

  it('"if the time-out expires, the member is marked as faulty" and that is disseminated', () => {
    const solo = new Solo(5, { ...SWIM, retransmitMultiplier: 1000 });
    solo.hear(2, suspect(1, 3));
    calm(solo, 3);
    solo.takeTold();
    solo.run(3999);
    expect(solo.stateOf(1)).toBe('suspect');
    answer(solo);
    solo.run(4000);
    expect(solo.takeTold()).toEqual(['dead 1']);
    solo.receive(2, { type: 'ping', sequence: 1, health: 0, updates: [] });
    const ack = solo.sentOf('ack').at(-1)?.message;
    expect(ack?.updates).toMatchObject([{ kind: 'dead', id: idOf(1), by: idOf(0) }]);
  });

  it('a suspect is still probed, a dead member is not', () => {
    const solo = new Solo(3, SWIM);
    solo.hear(2, suspect(1, 2));
    calm(solo, 3);
    expect(new Set(solo.sentOf('ping').map(({ to }) => to))).toEqual(new Set([peerOf(1), peerOf(2)]));
    calm(solo, 2);
    expect(solo.stateOf(1)).toBe('dead');
    solo.takeSent();
    calm(solo, 4);
    expect(new Set(solo.sentOf('ping').map(({ to }) => to))).toEqual(new Set([peerOf(2)]));
  });
});

describe('Lifeguard §IV.A, local health aware probe', () => {
  it('a probe that nobody answers and no nack comes back: worse by each missing nack; each success: better by one', () => {
    const solo = new Solo(10);
    solo.run(1000);
    expect(solo.core.stats().health).toBe(3);
    answer(solo);
    expect(solo.core.stats().health).toBe(2);
  });

  it('nacks from all that were asked: it is not this node that is cut off', () => {
    const solo = new Solo(10);
    const { ping } = lastPing(solo);
    solo.run(500);
    for (const { to } of solo.sentOf('pingRequest')) {
      solo.receive(Number(to.slice(5)), { type: 'nack', sequence: ping.sequence });
      solo.receive(Number(to.slice(5)), { type: 'nack', sequence: ping.sequence });
    }
    solo.run(1000);
    expect(solo.core.stats()).toMatchObject({ health: 0, failedProbes: 1, suspect: 1 });
  });

  it('with nobody to ask, the failure itself counts', () => {
    const solo = new Solo(2);
    solo.run(1000);
    expect(solo.core.stats().health).toBe(1);
  });

  it('having to refute a suspicion makes it worse by one', () => {
    const solo = new Solo(5);
    solo.hear(2, suspect(0, 3));
    expect(solo.core.stats().health).toBe(1);
  });

  it('"both the probe interval and the time-out are scaled"', () => {
    const solo = new Solo(10);
    answer(solo);
    solo.core.reportHealth(2);
    solo.run(999);
    solo.takeSent();
    // This one begins at health 2: its time-out is 1.5 s, its period 3 s.
    solo.run(2499);
    expect(solo.sentOf('ping')).toHaveLength(1);
    expect(solo.sentOf('pingRequest')).toEqual([]);
    solo.run(2500);
    expect(solo.sentOf('pingRequest')).toHaveLength(3);
    solo.run(3999);
    expect(solo.takeTold()).toEqual([]);
    solo.run(4000);
    expect(solo.takeTold()).toHaveLength(1);
  });

  it('a member asked to ping says after 80 % of the time-out that it heard nothing, and still forwards a late ack', () => {
    const solo = new Solo(4);
    answer(solo);
    solo.receive(1, { type: 'pingRequest', sequence: 77, target: idOf(2), updates: [] });
    const { ping } = lastPing(solo);
    solo.run(399);
    expect(solo.sentOf('nack')).toEqual([]);
    solo.run(400);
    expect(solo.sentOf('nack')).toEqual([{ to: peerOf(1), message: { type: 'nack', sequence: 77 } }]);
    solo.receive(2, { type: 'ack', sequence: ping.sequence, health: 0, updates: [] });
    expect(solo.sentOf('ack')).toHaveLength(1);
  });

  it('switched off there are no nacks, and nothing is scaled', () => {
    const solo = new Solo(4, SWIM);
    answer(solo);
    solo.receive(1, { type: 'pingRequest', sequence: 77, target: idOf(2), updates: [] });
    solo.core.reportHealth(5);
    solo.run(900);
    expect(solo.sentOf('nack')).toEqual([]);
    expect(solo.core.stats().health).toBe(0);
  });
});

describe('Lifeguard §IV.B, local health aware suspicion', () => {
  const settings = { suspicionMultiplier: 5, suspicionMaxMultiplier: 6, updateBytes: 5000 };

  it('the suspicion lasts β times as long without confirmations, and α after K independent ones', () => {
    for (const [confirmations, untilMs] of [
      [0, 30_000],
      [1, 17_500],
      [2, 10_187],
      [3, 5000],
      [4, 5000],
    ] as const) {
      const solo = new Solo(10, settings);
      solo.hear(2, suspect(1, 2));
      for (let by = 3; by < 3 + confirmations; by++) solo.hear(2, suspect(1, by), suspect(1, by));
      const periods = Math.floor(untilMs / 1000) - 1;
      calm(solo, periods);
      answer(solo);
      solo.run(untilMs - 1);
      expect([confirmations, solo.stateOf(1)]).toEqual([confirmations, 'suspect']);
      solo.run(untilMs);
      expect([confirmations, solo.stateOf(1)]).toEqual([confirmations, 'dead']);
    }
  });

  it('"the first K independent suspicions are re-gossiped", more are neither passed on nor verified', () => {
    const solo = new Solo(10, settings);
    const confirmations = [2, 3, 4, 5, 6].map((by) => suspect(1, by));
    for (const confirmation of confirmations) {
      solo.hear(2, confirmation);
      solo.takeSent();
      solo.receive(9, { type: 'ping', sequence: 1, health: 0, updates: [] });
      const [ack] = solo.sentOf('ack');
      expect(ack?.message.updates).toEqual([confirmations.indexOf(confirmation) < 4 ? confirmation : confirmations[3]]);
    }
    expect(solo.core.stats().verifications).toBe(4);
  });

  it("this node's own failed probe confirms a suspicion that it has heard of", () => {
    const solo = new Solo(10, settings);
    const { member } = lastPing(solo);
    const by = member === 1 ? 2 : 1;
    solo.hear(by, suspect(member, by));
    solo.run(1000);
    solo.takeSent();
    solo.receive(9, { type: 'ping', sequence: 1, health: 0, updates: [] });
    expect(solo.sentOf('ack')[0]?.message.updates).toMatchObject([{ kind: 'suspect', id: idOf(member), by: idOf(0) }]);
  });

  it('with too few members to confirm anything it is α alone', () => {
    const solo = new Solo(3, settings);
    solo.hear(2, suspect(1, 2));
    calm(solo, 4);
    solo.run(4999);
    expect(solo.stateOf(1)).toBe('suspect');
    solo.run(5000);
    expect(solo.stateOf(1)).toBe('dead');
  });

  it('switched off it is α alone, and confirmations are not passed on', () => {
    const solo = new Solo(10, { ...settings, lhaSuspicion: false });
    solo.hear(2, suspect(1, 2));
    solo.hear(2, suspect(1, 3));
    expect(solo.core.stats().verifications).toBe(1);
    calm(solo, 4);
    solo.run(5000);
    expect(solo.stateOf(1)).toBe('dead');
  });
});

describe('Lifeguard §IV.C, buddy system', () => {
  it.each([true, false])('a ping to a suspect tells it first of all that it is suspected: %s', (buddy) => {
    const solo = new Solo(3, { buddy, updateBytes: 120, retransmitMultiplier: 0.1 });
    const accusation = suspect(1, 2);
    solo.hear(2, accusation);
    calm(solo, 2);
    const pings = solo.sentOf('ping').filter(({ to }) => to === peerOf(1));
    expect(pings.at(-1)?.message.updates.includes(accusation)).toBe(buddy);
    for (const { to, message } of solo.sentOf('ping')) {
      if (to === peerOf(2)) expect(message.updates).not.toContain(accusation);
    }
  });
});
