/** Lease reads (thesis §6.4.1): what the leader may count on, and what every other node must keep for it. */
import { describe, expect, test } from 'vitest';
import { createRaft } from '../../src/raft/index.ts';
import { DEFAULT_OPTIONS } from '../sim/cluster.ts';
import { Solo } from './solo.ts';

const LEASE = { leaseReads: true, random: () => 0 };
/** (electionTicks - 2) · tickMs · 0.9 */
const LEASE_MS = 72;

/** A leader whose first entry is committed; nothing has confirmed its lease yet. */
function leader(): Solo {
  const solo = new Solo({ options: LEASE });
  solo.lead();
  solo.ack('2', 1);
  solo.take();
  return solo;
}

/** The rounds sent since the last look. */
function rounds(solo: Solo): number[] {
  return [...new Set(solo.take('Heartbeat').map(({ round }) => round))];
}

function answer(solo: Solo, from: string, round: number): void {
  solo.step({ type: 'HeartbeatResponse', from, term: solo.status.term, round });
}

/** Whether a read is answered without anything being sent for it. */
function readsAlone(solo: Solo): boolean {
  let index: number | null = null;
  solo.take();
  solo.host.readIndex((released) => {
    index = released;
  });
  solo.settle();
  const sent = solo.take('Heartbeat').length;
  return index !== null && sent === 0;
}

/** Sends a round and has a quorum answer it at once. */
function renew(solo: Solo): void {
  solo.take();
  solo.tick(solo.host.options.heartbeatTicks);
  answer(solo, '2', Math.max(...rounds(solo)));
}

describe('the leader', () => {
  test('has no lease before a quorum answers', () => {
    expect(readsAlone(leader())).toBe(false);
  });

  test('reads alone while the lease lasts, and not a moment longer', () => {
    const solo = leader();
    renew(solo);
    expect(readsAlone(solo)).toBe(true);
    solo.cluster.now += LEASE_MS - 1;
    expect(readsAlone(solo)).toBe(true);
    solo.cluster.now += 1;
    expect(readsAlone(solo)).toBe(false);
  });

  test('counts from when the round was sent, not from when it was answered', () => {
    const solo = leader();
    solo.tick(2);
    const [round] = rounds(solo);
    solo.cluster.now += LEASE_MS;
    answer(solo, '2', round!);
    expect(readsAlone(solo)).toBe(false);
  });

  test('gains nothing from an answer to an earlier round', () => {
    const solo = leader();
    renew(solo);
    const old = Math.max(...rounds(solo), 1);
    solo.tick(6);
    solo.cluster.now += LEASE_MS;
    answer(solo, '2', old);
    answer(solo, '3', old);
    expect(readsAlone(solo)).toBe(false);
  });

  test('has no lease in the term after TimeoutNow has left, not even when the transfer was given up', () => {
    const solo = leader();
    renew(solo);
    expect(solo.host.transfer('2')).toBe(true);
    solo.settle();
    expect(solo.take('TimeoutNow')).toHaveLength(1);
    expect(readsAlone(solo)).toBe(false);
    for (let i = 0; i < 15; i++) {
      solo.tick();
      for (const round of rounds(solo)) answer(solo, '3', round);
    }
    solo.propose('the transfer is over');
    renew(solo);
    expect(readsAlone(solo)).toBe(false);
  });

  test('has none while it does not know the time', () => {
    const reader = { firstIndex: () => 1, lastIndex: () => 0, term: () => 0, entries: () => [] };
    const alone = { voters: ['1'], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    const raft = createRaft({ ...DEFAULT_OPTIONS, ...LEASE, id: '1', bootEpoch: 1 }, reader, {
      hardState: { term: 0, vote: null, commit: 0 },
      configurations: [{ index: 0, configuration: alone }],
      appliedIndex: 0,
    });
    for (let i = 0; i < 30; i++) {
      raft.tick();
      while (raft.hasReady()) raft.persisted(raft.ready().seq);
    }
    expect(raft.status().role).toBe('leader');
    raft.readIndex(1);
    // Through a round of its own, which a single voter confirms by itself: in the Ready, not in the call.
    expect(raft.ready().readStates).toEqual([{ token: 1, index: 1 }]);
  });

  test('cannot be asked for without the length of a tick', () => {
    const { tickMs: _, ...options } = DEFAULT_OPTIONS;
    const reader = { firstIndex: () => 1, lastIndex: () => 0, term: () => 0, entries: () => [] };
    const initial = { hardState: { term: 0, vote: null, commit: 0 }, configurations: [], appliedIndex: 0 };
    const make = (): unknown => createRaft({ ...options, leaseReads: true, id: '1', bootEpoch: 1 }, reader, initial);
    expect(make).toThrow('tickMs');
  });
});

describe('everybody else', () => {
  function hearing(options: object = LEASE): Solo {
    const solo = new Solo({ options, term: 1, log: [1] });
    solo.tick(10);
    solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 });
    solo.take();
    return solo;
  }

  function asksFor(solo: Solo, term: number, transfer = false): boolean {
    solo.take();
    solo.step({ type: 'VoteRequest', from: '3', term, preVote: false, lastIndex: 9, lastTerm: 1, transfer });
    return solo.take('VoteResponse').some(({ granted }) => granted);
  }

  test('a crash hint frees the vote where there are no leases', () => {
    const solo = hearing({ random: () => 0.9 });
    expect(asksFor(solo, 2)).toBe(false);
    solo.host.peerLost('2');
    expect(solo.status.leader).toBeNull();
    expect(asksFor(solo, 2)).toBe(true);
  });

  test('a crash hint does not free it where there are, before time does', () => {
    const solo = hearing({ ...LEASE, random: () => 0.9 });
    solo.host.peerLost('2');
    expect(solo.status.leader).toBeNull();
    solo.tick(9);
    expect(asksFor(solo, 2)).toBe(false);
    expect(solo.status.term).toBe(1);
    solo.tick(1);
    expect(asksFor(solo, 2)).toBe(true);
  });

  test('a crash hint makes this node itself stand no sooner than time allows, and sooner than without it', () => {
    const solo = hearing({ ...LEASE, random: () => 0.5 });
    solo.tick(4);
    solo.host.peerLost('2');
    solo.tick(6);
    expect(solo.status.role).toBe('follower');
    solo.tick(3);
    expect(solo.status.role).toBe('preCandidate');
  });

  test('a later term, learned from elsewhere, does not free the vote', () => {
    const solo = hearing();
    solo.step({ type: 'ReadIndexRequest', from: '3', term: 5, bootEpoch: 1, token: 1 });
    expect(solo.status).toMatchObject({ term: 5, leader: null });
    expect(asksFor(solo, 5)).toBe(false);
    solo.tick(10);
    expect(asksFor(solo, 6)).toBe(true);
  });

  test('a transfer does: the leader gave up its lease for it', () => {
    expect(asksFor(hearing(), 2, true)).toBe(true);
  });

  test('a restart does not: the promise may have been given before it', () => {
    const solo = new Solo({ options: { ...LEASE, random: () => 0.9 }, term: 1, log: [1] });
    expect(asksFor(solo, 2)).toBe(false);
    solo.tick(10);
    expect(asksFor(solo, 2)).toBe(true);
  });

  test('a node that was never started before promised nothing', () => {
    expect(asksFor(new Solo({ options: LEASE }), 1)).toBe(true);
  });
});
