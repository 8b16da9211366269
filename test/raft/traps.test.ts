/**
 * What bit others. Each test is named after the public report of the bug, and would go red if this core had it.
 */
import { describe, expect, test } from 'vitest';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Entry, NodeId } from '../../src/raft/types.ts';
import { Cluster, configuration } from '../sim/cluster.ts';
import type { HostOptions } from '../sim/cluster.ts';
import { Random } from '../../src/testing/random.ts';
import { entry, FIVE, Solo, THREE } from './solo.ts';
import type { Said } from './solo.ts';

const bytes = (length: number): Uint8Array[] => [new Uint8Array(length)];

/** A cluster whose nodes have the given logs (terms from index 1) and terms. */
function clusterOf(
  disks: Readonly<Record<NodeId, { log?: readonly number[]; term?: number; commit?: number }>>,
  members = configuration(Object.keys(disks)),
  options: Partial<HostOptions> = {},
): Cluster {
  const cluster = new Cluster();
  for (const [id, { log = [], term, commit = 0 }] of Object.entries(disks)) {
    const dice = new Random(Number(id));
    cluster.add(id, members, { random: () => dice.float(), ...options }, (image) => {
      image.append(log.map((entryTerm, i) => entry(i + 1, entryTerm)));
      image.hardState = { term: term ?? log.at(-1) ?? 0, vote: null, commit };
    });
    cluster.act(id, (host) => host.start());
  }
  return cluster;
}

function ticksUntil(cluster: Cluster, limit: number, reached: () => boolean): number {
  for (let ticks = 0; ticks < limit; ticks++) {
    if (reached()) return ticks;
    cluster.tick();
  }
  throw new Error(`not within ${limit} ticks`);
}

function elect(cluster: Cluster, id: NodeId): void {
  for (const [other, host] of cluster.hosts) if (other !== id && host.up) cluster.tick([other], 9);
  for (let i = 0; i < 60 && cluster.leader()?.id !== id; i++) cluster.tick([id]);
  expect(cluster.leader()?.id).toBe(id);
}

describe('1–4, as far as they need no change of the membership at run time', () => {
  test('etcd#12136: in a joint configuration neither majority alone elects or commits', () => {
    const members = configuration(['1', '2', '3'], { votersOutgoing: ['3', '4', '5'] });
    const solo = new Solo({ members });
    solo.stand(['2', '3']);
    expect(solo.status.role).toBe('preCandidate');
    solo.stand(['4']);
    expect(solo.status.role).toBe('candidate');
    solo.grant('2');
    solo.grant('4');
    expect(solo.status.role).toBe('candidate');
    solo.grant('5');
    expect(solo.status.role).toBe('leader');
    solo.ack('4', 1);
    solo.ack('5', 1);
    expect(solo.status.commit).toBe(0);
    solo.ack('2', 1);
    expect(solo.status.commit).toBe(1);
  });

  test('etcd#12136: in a joint configuration a majority of one half refusing ends the election', () => {
    const members = configuration(['1', '2', '3'], { votersOutgoing: ['3', '4', '5'] });
    const solo = new Solo({ members });
    solo.stand(['2', '3', '4', '5']);
    solo.grant('2');
    solo.grant('4', false);
    expect(solo.status.role).toBe('candidate');
    solo.grant('5', false);
    expect(solo.status.role).toBe('follower');
  });

  test('raft#80, cockroach#105797: a configuration whose entry is cut off is taken back, in memory and on disk', () => {
    const solo = new Solo({ log: [1], term: 1 });
    const wider = configuration(['1', '2', '3', '4', '5']);
    const change: Entry = { index: 2, term: 1, kind: 'config', data: encodeConfiguration(wider) };
    solo.step({ type: 'Append', from: '2', term: 1, prevIndex: 1, prevTerm: 1, commit: 0, entries: [change] });
    // In force when appended, not when committed.
    expect(solo.status).toMatchObject({ configuration: wider, commit: 0 });
    expect(solo.host.durable.configurations.at(-1)).toMatchObject({ index: 2, configuration: wider });
    solo.step({ type: 'Append', from: '3', term: 2, prevIndex: 1, prevTerm: 1, commit: 0, entries: [entry(2, 2)] });
    expect(solo.status.configuration).toEqual(THREE);
    expect(solo.host.durable.configurations).toEqual([{ index: 0, configuration: THREE }]);
    // An election counts by it at once.
    solo.stand(['2']);
    solo.grant('2');
    expect(solo.status.role).toBe('leader');
  });

  test('cockroach#105797: an old configuration is known for as long as the log before it is', () => {
    const solo = new Solo();
    const wider = configuration(['1', '2', '3', '4']);
    const change: Entry = { index: 2, term: 1, kind: 'config', data: encodeConfiguration(wider) };
    const entries = [entry(1, 1), change, entry(3, 1)];
    solo.step({ type: 'Append', from: '2', term: 1, prevIndex: 0, prevTerm: 0, commit: 3, entries });
    expect(solo.host.core.configurationAt(1)).toEqual(THREE);
    expect(solo.host.core.configurationAt(3)).toEqual(wider);
    solo.host.flush();
    solo.host.persist(Infinity);
    solo.host.disk.sync();
    solo.host.compact(1);
    solo.settle();
    expect(solo.host.core.configurationAt(1)).toEqual(THREE);
    solo.host.compact(3);
    solo.settle();
    expect(solo.host.core.configurationAt(3)).toEqual(wider);
    expect(solo.host.disk.written.configurations.map(({ index }) => index)).toEqual([2]);
  });

  test('etcd#10998: a learner that does not know of its promotion votes when asked', () => {
    const solo = new Solo({ id: '3', members: configuration(['1', '2'], { learners: ['3'] }), term: 1 });
    solo.step({ type: 'VoteRequest', from: '1', term: 2, preVote: true, lastIndex: 5, lastTerm: 1, transfer: false });
    solo.step({ type: 'VoteRequest', from: '1', term: 2, preVote: false, lastIndex: 5, lastTerm: 1, transfer: false });
    expect(solo.take('VoteResponse').map(({ granted }) => granted)).toEqual([true, true]);
    expect(solo.host.durable.hardState).toEqual({ term: 2, vote: '1', commit: 0 });
  });

  test('consul#7031: leadership is never handed to a non-voter, and a learner does not obey TimeoutNow', () => {
    const members = configuration(['1', '2'], { learners: ['3'] });
    const solo = new Solo({ members });
    solo.lead(['2']);
    solo.ack('2', 1);
    solo.ack('3', 1);
    expect(solo.host.transfer('3')).toBe(false);
    solo.settle();
    expect(solo.take('TimeoutNow')).toEqual([]);
    // Nor when the learner is the only one that has caught up.
    solo.propose('x');
    solo.ack('3', 2);
    solo.host.transfer(null);
    solo.settle();
    for (const { to } of solo.take('TimeoutNow')) expect(to).toBe('2');
    const learner = new Solo({ id: '3', members, term: 1 });
    learner.step({ type: 'TimeoutNow', from: '1', term: 1 });
    expect(learner.status).toMatchObject({ role: 'follower', term: 1 });
  });

  test('raft.md: a node with an empty configuration answers whoever speaks to it, and never stands', () => {
    const solo = new Solo({ id: '9', members: configuration([]) });
    solo.tick(200);
    expect(solo.take()).toEqual([]);
    solo.step({ type: 'Append', from: '1', term: 3, prevIndex: 0, prevTerm: 0, commit: 0, entries: [entry(1, 3)] });
    expect(solo.take('AppendResponse')).toMatchObject([{ to: '1', rejected: false, index: 1 }]);
    solo.step({ type: 'VoteRequest', from: '2', term: 4, preVote: false, lastIndex: 1, lastTerm: 3, transfer: true });
    expect(solo.take('VoteResponse')).toMatchObject([{ to: '2', granted: true }]);
  });
});

describe('5. reads', () => {
  test('raft#397: answers to heartbeats of an earlier reign confirm nothing in a later one', () => {
    const solo = new Solo();
    solo.lead();
    solo.ack('2', 1);
    solo.take();
    solo.tick(2);
    const old = solo.take('Heartbeat');
    const { term } = solo.status;
    // Deposed, and elected again.
    solo.step({ type: 'Append', from: '3', term: term + 1, prevIndex: 1, prevTerm: term, commit: 1, entries: [] });
    solo.lead();
    solo.ack('2', 2);
    solo.take();
    const served: (number | null)[] = [];
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    const [fresh] = solo.take('Heartbeat');
    for (const { to, round } of old) {
      solo.step({ type: 'HeartbeatResponse', from: to, term, round });
      // Even one that somebody stamped with today's term: rounds go on growing.
      solo.step({ type: 'HeartbeatResponse', from: to, term: solo.status.term, round });
    }
    expect(served).toEqual([]);
    solo.step({ type: 'HeartbeatResponse', from: '3', term: solo.status.term, round: fresh?.round ?? -1 });
    expect(served).toEqual([2]);
  });

  test('raft#397: nor do answers from before a restart, when rounds begin anew', () => {
    const solo = new Solo();
    solo.lead();
    solo.ack('2', 1);
    for (let i = 0; i < 3; i++) {
      solo.tick(2);
      solo.step({ type: 'HeartbeatResponse', from: '2', term: 1, round: i + 1 });
    }
    solo.host.crash();
    solo.host.start();
    solo.settle();
    solo.lead();
    solo.ack('2', 2);
    const served: (number | null)[] = [];
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    for (let round = 0; round < 9; round++) solo.step({ type: 'HeartbeatResponse', from: '2', term: 1, round });
    expect(served).toEqual([]);
  });

  test('etcd#7331: a follower’s question to a fresh leader waits for the first commit of its term', () => {
    const solo = new Solo({ log: [1], term: 1 });
    solo.lead();
    solo.step({ type: 'ReadIndexRequest', from: '3', term: solo.status.term, bootEpoch: 7, token: 1 });
    const beat = (): void => {
      solo.tick(2);
      for (const message of solo.take()) {
        if (message.type === 'ReadIndexResponse') answers.push(message.index);
        if (message.type !== 'Heartbeat') continue;
        solo.step({ type: 'HeartbeatResponse', from: message.to, term: message.term, round: message.round });
      }
      for (const message of solo.take('ReadIndexResponse')) answers.push(message.index);
    };
    const answers: (number | null)[] = [];
    for (let i = 0; i < 5; i++) beat();
    expect(answers).toEqual([]);
    solo.ack('2', 2);
    for (let i = 0; i < 3; i++) beat();
    expect(answers).toEqual([2]);
  });

  test('design, A linearizable read: an answer from before a restart releases nothing', () => {
    const solo = new Solo({ term: 1 });
    const hear = (): void =>
      solo.step({ type: 'Append', from: '2', term: 1, prevIndex: 0, prevTerm: 0, commit: 0, entries: [] });
    hear();
    solo.host.readIndex();
    solo.settle();
    const [before] = solo.take('ReadIndexRequest');
    solo.host.crash();
    solo.host.start();
    solo.settle();
    hear();
    solo.take();
    const served: (number | null)[] = [];
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    const [after] = solo.take('ReadIndexRequest');
    expect(after?.token).toBe(before?.token);
    const answer = { type: 'ReadIndexResponse', from: '2', term: 1, index: 0 } as const;
    solo.step({ ...answer, bootEpoch: before?.bootEpoch ?? -1, token: before?.token ?? -1 });
    expect(served).toEqual([]);
    solo.step({ ...answer, bootEpoch: after?.bootEpoch ?? -1, token: after?.token ?? -1 });
    expect(served).toEqual([0]);
    // And once is enough.
    solo.step({ ...answer, bootEpoch: after?.bootEpoch ?? -1, token: after?.token ?? -1 });
    expect(served).toEqual([0]);
  });

  test('learners’ answers confirm no read', () => {
    const solo = new Solo({ members: configuration(['1', '2', '3'], { learners: ['4', '5'] }) });
    solo.lead(['2', '3']);
    solo.ack('2', 1);
    solo.take();
    const served: (number | null)[] = [];
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    const round = solo.take('Heartbeat')[0]?.round ?? -1;
    for (const from of ['4', '5']) solo.step({ type: 'HeartbeatResponse', from, term: solo.status.term, round });
    expect(served).toEqual([]);
    solo.step({ type: 'HeartbeatResponse', from: '2', term: solo.status.term, round });
    expect(served).toEqual([1]);
  });
});

describe('5, with leases (thesis §6.4.1; decision 10)', () => {
  const leases = { leaseReads: true, tickMs: 10, random: () => 0 };

  /** A leader whose lease holds. */
  function holder(): Solo {
    const solo = new Solo({ options: leases });
    solo.lead();
    for (const id of ['2', '3']) solo.ack(id, 1);
    extend(solo);
    return solo;
  }

  function extend(solo: Solo): void {
    solo.take();
    solo.tick(2);
    for (const { to, round } of solo.take('Heartbeat')) {
      solo.step({ type: 'HeartbeatResponse', from: to, term: solo.status.term, round });
    }
  }

  /** Whether a read is served without a word to anybody. */
  function servesAlone(solo: Solo): boolean {
    solo.take();
    let served = false;
    solo.host.readIndex((index) => {
      served ||= index !== null;
    });
    solo.settle();
    expect(solo.take('Heartbeat').length > 0).toBe(!served);
    return served;
  }

  const ask = (from: NodeId, term: number, preVote: boolean, transfer = false): Said => ({
    type: 'VoteRequest',
    from,
    term,
    preVote,
    lastIndex: 9,
    lastTerm: 1,
    transfer,
  });
  const grants = (solo: Solo): boolean[] => solo.take('VoteResponse').map(({ granted }) => granted);
  const heartbeat: Said = { type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 };

  test('a lease serves reads alone, and ends by the clock although ticks were missed', () => {
    const solo = holder();
    expect(servesAlone(solo)).toBe(true);
    // A pause: one late tick at most, but the clock knows.
    solo.cluster.now += 100;
    expect(servesAlone(solo)).toBe(false);
  });

  test('a lease ends before anybody who confirmed it may vote for another', () => {
    const solo = holder();
    solo.cluster.now += 80;
    expect(servesAlone(solo)).toBe(false);
  });

  test('no lease holds once TimeoutNow has left, not even when the transfer came to nothing', () => {
    const solo = holder();
    expect(solo.host.transfer('2')).toBe(true);
    solo.settle();
    expect(solo.take('TimeoutNow').length).toBeGreaterThan(0);
    expect(servesAlone(solo)).toBe(false);
    for (let i = 0; i < 10; i++) extend(solo);
    expect(solo.host.propose(bytes(1)).status).toBe('accepted');
    expect(servesAlone(solo)).toBe(false);
  });

  test('who confirmed a lease keeps its promise over a restart', () => {
    const solo = new Solo({ term: 1, options: leases });
    solo.step(heartbeat);
    solo.host.crash();
    solo.host.start();
    solo.settle();
    solo.step(ask('3', 2, true));
    solo.step(ask('3', 2, false));
    expect(grants(solo)).toEqual([false, false]);
    expect(solo.status.term).toBe(1);
    solo.tick(10);
    solo.take();
    solo.step(ask('3', 2, false));
    expect(grants(solo)).toEqual([true]);
  });

  test('a crash hint does not shorten the promise: neither its own election nor a vote', () => {
    const solo = new Solo({ term: 1, options: leases });
    solo.step(heartbeat);
    solo.tick(1);
    solo.host.peerLost('2');
    solo.settle();
    for (let i = 0; i < 8; i++) {
      solo.step(ask('3', 2, true));
      solo.step(ask('3', 2, false));
      expect(grants(solo)).toEqual([false, false]);
      expect(solo.status.role).toBe('follower');
      solo.tick(1);
    }
    // Only the leader itself may release it from that.
    solo.step(ask('3', 2, false, true));
    expect(grants(solo)).toEqual([true]);
  });

  test('without leases the hint works at once', () => {
    const solo = new Solo({ term: 1, options: { random: () => 0 } });
    solo.step(heartbeat);
    solo.step(ask('3', 2, true));
    expect(grants(solo)).toEqual([false]);
    solo.host.peerLost('2');
    solo.settle();
    expect(solo.status.role).toBe('preCandidate');
    solo.step(ask('3', 2, true));
    expect(grants(solo)).toEqual([true]);
  });
});

describe('6. disks (the crash at every step is in crash.test.ts)', () => {
  test('etcd#14370: a single node acknowledges nothing before its sync', () => {
    const solo = new Solo({ members: configuration(['1']) });
    solo.lead([]);
    expect(solo.status.commit).toBe(1);
    const outcomes: string[] = [];
    solo.host.propose([new Uint8Array(3)], (outcome) => outcomes.push(outcome));
    while (solo.host.takeReady() !== null);
    solo.host.apply();
    expect(solo.status).toMatchObject({ commit: 1, lastIndex: 2, persistedIndex: 1 });
    expect(outcomes).toEqual([]);
    solo.settle();
    expect(outcomes).toEqual(['acknowledged']);
  });

  test('raft#8: the end of an overwritten write acknowledges nothing, not even when the old entry came back', () => {
    const solo = new Solo({ members: FIVE });
    const { host } = solo;
    const leader = (from: NodeId, term: number, entries: Entry[]): void => {
      host.step({ type: 'Append', group: 1, from, to: '1', term, prevIndex: 0, prevTerm: 0, commit: 0, entries });
      while (host.takeReady() !== null);
    };
    // Entry 1 of term 1, then of term 2, then of term 1 again by a leader of term 3 that had it.
    leader('2', 1, [entry(1, 1)]);
    leader('3', 2, [entry(1, 2)]);
    leader('4', 3, [entry(1, 1), entry(2, 3)]);
    const writes = host.disk.queue.length;
    expect(writes).toBeGreaterThanOrEqual(3);
    for (let i = 0; i < writes - 1; i++) {
      host.persist();
      for (const answer of solo.take('AppendResponse')) {
        expect([answer.to, answer.term]).not.toEqual(['4', 3]);
        const { index } = answer;
        if (!answer.rejected && index > 0) expect(host.disk.durable.term(index)).toBe(answer.term);
      }
      expect(solo.status.persistedIndex).toBe(0);
    }
    host.persist();
    expect(solo.status.persistedIndex).toBe(2);
    expect(solo.take('AppendResponse').at(-1)).toMatchObject({ to: '4', rejected: false, index: 2 });
  });

  test('raft#8: what is committed meanwhile is applied from the new entries, not from what the old write left', () => {
    const solo = new Solo({ options: { maxCachedBytes: 0 } });
    const { host } = solo;
    const step = (from: NodeId, term: number, entries: Entry[], commit: number): void =>
      host.step({ type: 'Append', group: 1, from, to: '1', term, prevIndex: 0, prevTerm: 0, commit, entries });
    step('2', 1, [entry(1, 1, 'old'), entry(2, 1, 'old')], 0);
    while (host.takeReady() !== null);
    step('3', 2, [entry(1, 2, 'new'), entry(2, 2, 'new')], 2);
    while (host.takeReady() !== null);
    host.persist();
    host.apply();
    expect(host.applied.index).toBe(0);
    solo.settle();
    expect(host.applied).toMatchObject({ index: 2, term: 2 });
  });

  test('§5.3: an acknowledgement of an earlier reign counts for nothing: its entry may be gone', () => {
    const solo = new Solo();
    solo.lead();
    solo.propose('x', 'y');
    const { term } = solo.status;
    // Deposed by 3, which overwrites what 2 was about to acknowledge; then elected again.
    solo.step({
      type: 'Append',
      from: '3',
      term: term + 1,
      prevIndex: 0,
      prevTerm: 0,
      commit: 0,
      entries: [entry(1, 2)],
    });
    solo.lead();
    const { lastIndex } = solo.status;
    const late = { type: 'AppendResponse', from: '2', rejected: false, hintIndex: 0, hintTerm: 0 } as const;
    for (let index = 1; index <= lastIndex; index++) solo.step({ ...late, term, index });
    expect(solo.status.commit).toBe(0);
    expect(solo.status.progress[0]).toMatchObject({ id: '2', match: 0 });
  });

  test('a candidate asks for votes only when its own is on disk', () => {
    const solo = new Solo();
    const { host } = solo;
    while (solo.status.role === 'follower') solo.tick();
    solo.take();
    const { term } = solo.status;
    host.step({ type: 'VoteResponse', group: 1, from: '2', to: '1', term: term + 1, preVote: true, granted: true });
    while (host.takeReady() !== null);
    expect(solo.status).toMatchObject({ role: 'candidate', term: term + 1 });
    expect(solo.take('VoteRequest')).toEqual([]);
    // Nor is it elected by others alone.
    for (const from of ['2', '3']) {
      host.step({ type: 'VoteResponse', group: 1, from, to: '1', term: term + 1, preVote: false, granted: true });
    }
    expect(solo.status.role).toBe('candidate');
    solo.settle();
    expect(solo.status.role).toBe('leader');
  });
});

describe('7. pre-vote dead ends', () => {
  test('etcd#8243, openraft#1796: a longer log at a lower term against a shorter one at a higher term elects somebody', () => {
    const shapes = [
      { '1': { log: [1, 1, 2, 2], term: 2 }, '2': { log: [1, 1], term: 9 } },
      { '1': { log: [1, 1], term: 2 }, '2': { log: [1, 1, 1], term: 9 } },
      { '1': { log: [5], term: 5 }, '2': { log: [1, 1, 1, 1], term: 6 } },
      { '1': { log: [1, 1, 1, 1], term: 1 }, '2': { log: [], term: 50 } },
    ];
    for (const disks of shapes) {
      // Node 3 exists and is dead.
      const cluster = clusterOf({ ...disks, '3': {} });
      cluster.node('3').crash();
      const ticks = ticksUntil(cluster, 300, () => cluster.leader() !== undefined);
      expect(ticks).toBeLessThan(150);
      cluster.tick(['1', '2'], 5);
      expect(cluster.node('1').log.log).toEqual(cluster.node('2').log.log);
    }
  });

  test('etcd#8243: a candidate of a higher term that cannot win is pulled back into the cluster', () => {
    const cluster = clusterOf({ '1': {}, '2': {}, '3': {} });
    elect(cluster, '1');
    cluster.act('1', (host) => void host.propose(bytes(1)));
    cluster.settle();
    // Node 3 lost its term to a lonely election before pre-vote was there: simply ahead by its hard state.
    cluster.node('3').crash();
    cluster.node('3').disk.prepare((image) => {
      image.hardState = { term: 40, vote: '3', commit: 0 };
    });
    cluster.act('3', (host) => host.start());
    ticksUntil(cluster, 300, () => {
      const leader = cluster.leader();
      return leader !== undefined && leader.status.term >= 40 && cluster.node('3').status.leader === leader.id;
    });
  });

  test('openraft#1220: to see a higher vote is not to grant it', () => {
    const solo = new Solo({ log: [1, 2], term: 2 });
    solo.step({ type: 'VoteRequest', from: '2', term: 3, preVote: false, lastIndex: 1, lastTerm: 1, transfer: false });
    expect(solo.host.durable.hardState).toMatchObject({ term: 3, vote: null });
    solo.step({ type: 'VoteRequest', from: '3', term: 3, preVote: false, lastIndex: 2, lastTerm: 2, transfer: false });
    expect(solo.take('VoteResponse').map(({ to, granted }) => [to, granted])).toEqual([
      ['2', false],
      ['3', true],
    ]);
  });

  test('openraft#1220: a refused candidate does not hold up those that can win', () => {
    const solo = new Solo({ log: [1, 2], term: 2 });
    // One that cannot win asks again and again; this node's own patience must run out all the same.
    for (let i = 0; i < 30 && solo.status.role === 'follower'; i++) {
      const term = solo.status.term + 1;
      solo.step({ type: 'VoteRequest', from: '2', term, preVote: false, lastIndex: 1, lastTerm: 1, transfer: false });
      solo.tick();
    }
    expect(solo.status.role).not.toBe('follower');
  });

  test('pre-votes change nothing: not the term, not the vote, not the timer of a leader’s follower', () => {
    const solo = new Solo({ log: [1], term: 1 });
    for (let i = 0; i < 50; i++) {
      solo.step({ type: 'VoteRequest', from: '2', term: 2, preVote: true, lastIndex: 1, lastTerm: 1, transfer: false });
    }
    expect(solo.status).toMatchObject({ term: 1, vote: null, role: 'follower' });
    expect(solo.take('VoteResponse').every(({ granted, term }) => granted && term === 2)).toBe(true);
  });
});

describe('8. quorum lost while clients retry', () => {
  test('etcd#10167: bytes held stay bounded, and come back to zero', () => {
    const cluster = clusterOf({ '1': {}, '2': {}, '3': {} }, THREE, { maxUncommittedBytes: 10_000 });
    elect(cluster, '1');
    cluster.node('2').crash();
    cluster.node('3').crash();
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      cluster.act('1', (host) => {
        if (host.propose(bytes(100)).status !== 'accepted') refused += 1;
      });
      if (i % 200 === 0) cluster.tick(['1']);
    }
    expect(refused).toBe(900);
    expect(cluster.node('1').status.uncommittedBytes).toBe(10_000);
    cluster.act('2', (host) => host.start());
    ticksUntil(cluster, 200, () => {
      const leader = cluster.leader();
      return leader !== undefined && leader.status.commit === leader.status.lastIndex;
    });
    for (const id of ['1', '2']) expect(cluster.node(id).status.uncommittedBytes).toBe(0);
  });

  test('cockroach#90314, raft#11: entries that a new leader inherits are counted or not, but never below zero or for ever', () => {
    const solo = new Solo({ log: [1, 1, 1, 1], term: 1, options: { maxUncommittedBytes: 50 } });
    solo.lead();
    expect(solo.status.uncommittedBytes).toBeGreaterThanOrEqual(0);
    solo.ack('2', 5);
    expect(solo.status).toMatchObject({ commit: 5, uncommittedBytes: 0 });
    expect(solo.host.propose(bytes(50)).status).toBe('accepted');
    expect(solo.host.propose(bytes(1)).status).toBe('refused');
    solo.settle();
    solo.ack('2', 6);
    expect(solo.status.uncommittedBytes).toBe(0);
  });

  test('a refused proposal leaves no trace', () => {
    const solo = new Solo({ options: { maxUncommittedBytes: 10 } });
    solo.lead();
    solo.propose('0123456789');
    const before = solo.status;
    solo.take();
    expect(solo.host.propose(bytes(1))).toEqual({ status: 'refused', reason: 'uncommittedBytes' });
    solo.settle();
    expect(solo.status).toEqual(before);
    expect(solo.take()).toEqual([]);
  });

  test('reads at a leader without a quorum are bounded and end with its office', () => {
    const solo = new Solo();
    solo.lead();
    solo.ack('2', 1);
    const served: (number | null)[] = [];
    for (let i = 0; i < 1000; i++) {
      solo.host.readIndex((index) => served.push(index));
      if (i % 10 === 0) solo.settle();
    }
    // However many turns read, rounds under way are few.
    expect(solo.take('Heartbeat').length).toBeLessThan(50);
    solo.tick(25);
    expect(solo.status.role).not.toBe('leader');
    expect(served).toEqual(Array.from({ length: 1000 }, () => null));
  });
});

describe('9. positions', () => {
  test('openraft#1795: a learner joins a leader whose log is compacted to its end', () => {
    const members = configuration(['1'], { learners: ['2'] });
    const cluster = clusterOf({ '1': {} }, members);
    cluster.add('2', members);
    elect(cluster, '1');
    for (let i = 0; i < 5; i++) cluster.act('1', (host) => void host.propose(bytes(3)));
    cluster.settle();
    cluster.act('1', (host) => {
      host.flush();
      host.persist(Infinity);
      host.disk.sync();
      host.compact(6);
    });
    expect(cluster.node('1').status).toMatchObject({ firstIndex: 7, lastIndex: 6 });
    cluster.act('2', (host) => host.start());
    ticksUntil(cluster, 100, () => cluster.node('2').applied.index === 6);
    cluster.act('1', (host) => void host.propose(bytes(3)));
    cluster.tick(['1'], 3);
    expect(cluster.node('2').applied).toEqual(cluster.node('1').applied);
  });

  test('openraft#1828, databend#7294: an old snapshot never replaces newer state', () => {
    const solo = new Solo();
    const entries = Array.from({ length: 6 }, (_, i) => entry(i + 1, 1));
    solo.step({ type: 'Append', from: '2', term: 1, prevIndex: 0, prevTerm: 0, commit: 5, entries });
    // The second time the log before is compacted, so that it cannot vouch for itself any more.
    for (const [round, index] of [1, 3, 5, 1, 3, 5].entries()) {
      if (round === 3) {
        solo.host.flush();
        solo.host.persist(Infinity);
        solo.host.disk.sync();
        expect(solo.host.compact(5)).toBe(5);
        solo.settle();
      }
      const meta = { index, term: 1, configuration: configuration(['7']) };
      const state = { index, term: 1, hash: 0 };
      solo.host.receiveSnapshot({ kind: 'snapshot', from: '2', to: '1', term: 1, meta, state, starts: 1 });
      solo.settle();
      expect(solo.status).toMatchObject({ commit: 5, lastIndex: 6, configuration: THREE });
      expect(solo.host.applied.index).toBe(5);
      // The sender is told how far this node is.
      expect(solo.take('AppendResponse').at(-1)).toMatchObject({ rejected: false });
    }
  });

  test('raft §7: a snapshot that the log already contains keeps the entries after it', () => {
    const solo = new Solo();
    const entries = Array.from({ length: 6 }, (_, i) => entry(i + 1, 1));
    solo.step({ type: 'Append', from: '2', term: 1, prevIndex: 0, prevTerm: 0, commit: 2, entries });
    const meta = { index: 4, term: 1, configuration: THREE };
    const state = { index: 4, term: 1, hash: 0 };
    solo.host.receiveSnapshot({ kind: 'snapshot', from: '2', to: '1', term: 1, meta, state, starts: 1 });
    solo.settle();
    // Either way is sound for entries of a live leader; what must not happen is a gap, or a lower commit.
    expect(solo.status.commit).toBeGreaterThanOrEqual(4);
    expect(solo.host.applied.index).toBeGreaterThanOrEqual(4);
    const next = solo.status.lastIndex;
    expect(next === 4 || next === 6).toBe(true);
  });

  test('raft §7: a snapshot that contradicts the log replaces it', () => {
    const solo = new Solo({ log: [1, 1, 1, 1, 1], term: 1, commit: 1 });
    const meta = { index: 3, term: 2, configuration: FIVE };
    const state = { index: 3, term: 2, hash: 5 };
    solo.host.receiveSnapshot({ kind: 'snapshot', from: '2', to: '1', term: 2, meta, state, starts: 1 });
    solo.settle();
    expect(solo.status).toMatchObject({ firstIndex: 4, lastIndex: 3, commit: 3, configuration: FIVE, term: 2 });
    expect(solo.host.applied).toEqual(state);
    expect(solo.take('AppendResponse')).toMatchObject([{ to: '2', rejected: false, index: 3 }]);
    solo.step({ type: 'Append', from: '2', term: 2, prevIndex: 3, prevTerm: 2, commit: 4, entries: [entry(4, 2)] });
    expect(solo.host.applied.index).toBe(4);
  });

  test('a snapshot that an earlier leader began is good for what it holds, and makes nobody a leader', () => {
    const solo = new Solo({ term: 5 });
    const meta = { index: 9, term: 4, configuration: THREE };
    const state = { index: 9, term: 4, hash: 0 };
    solo.host.receiveSnapshot({ kind: 'snapshot', from: '2', to: '1', term: 4, meta, state, starts: 1 });
    solo.settle();
    // Committed is committed, whoever sends it.
    expect(solo.status).toMatchObject({ lastIndex: 9, commit: 9, leader: null, term: 5 });
    expect(solo.host.applied).toEqual(state);
    for (const answer of solo.take()) expect(answer.term).toBe(5);
  });

  test('appends that reach below a compacted log are taken from where it begins', () => {
    const solo = new Solo();
    const entries = Array.from({ length: 5 }, (_, i) => entry(i + 1, 1));
    solo.step({ type: 'Append', from: '2', term: 1, prevIndex: 0, prevTerm: 0, commit: 4, entries });
    solo.host.flush();
    solo.host.persist(Infinity);
    solo.host.disk.sync();
    expect(solo.host.compact(4)).toBe(4);
    solo.take();
    // A late copy of the first Append, and one that begins inside the compacted part and goes on after the end.
    solo.step({ type: 'Append', from: '2', term: 1, prevIndex: 0, prevTerm: 0, commit: 4, entries });
    solo.step({
      type: 'Append',
      from: '2',
      term: 1,
      prevIndex: 2,
      prevTerm: 1,
      commit: 4,
      entries: [entry(3, 1), entry(4, 1), entry(5, 1), entry(6, 1)],
    });
    for (const answer of solo.take('AppendResponse')) {
      if (answer.rejected) expect(answer.hintIndex).toBeGreaterThanOrEqual(4);
      else expect(answer.index).toBeLessThanOrEqual(6);
    }
    expect(solo.status.commit).toBe(4);
    expect(solo.status.lastIndex).toBeGreaterThanOrEqual(5);
  });
});

describe('10. a frozen disk', () => {
  test('hashicorp/raft#503: a leader whose disk hangs gives up its office although all followers answer', () => {
    const cluster = clusterOf({ '1': {}, '2': {}, '3': {} });
    elect(cluster, '1');
    const { term } = cluster.node('1').status;
    // From now on nothing that node 1 writes ends.
    const frozen = cluster.node('1');
    let ticks = 0;
    for (; frozen.status.role === 'leader' && ticks < 100; ticks++) {
      cluster.now += 10;
      cluster.act('1', (host) => {
        host.tick();
        if (ticks === 0) host.propose(bytes(3));
        while (host.takeReady() !== null);
      });
      cluster.settle((id) => id !== '1');
      for (const [key, queue] of cluster.links) {
        if (key.includes('1')) for (const packet of queue.splice(0)) cluster.deliver(packet);
      }
    }
    expect(ticks).toBeLessThan(40);
    // And somebody else takes over.
    for (let i = 0; i < 60 && cluster.leader() === undefined; i++) {
      cluster.tick(['2', '3'], 1, false);
      cluster.settle((id) => id !== '1');
    }
    expect(cluster.leader()?.id).not.toBe('1');
    expect(cluster.leader()?.status.term).toBeGreaterThan(term);
  });

  test('etcd#15247: an idle leader with nothing to write is not suspected', () => {
    const cluster = clusterOf({ '1': {}, '2': {}, '3': {} });
    elect(cluster, '1');
    const { term } = cluster.node('1').status;
    cluster.tick(undefined, 200);
    expect(cluster.leader()).toMatchObject({ id: '1' });
    expect(cluster.node('1').status.term).toBe(term);
  });
});

describe('11. figure 8', () => {
  test('an old-term entry on a majority is not counted as committed', () => {
    const solo = new Solo({ members: FIVE, log: [1, 2], term: 3, commit: 1 });
    solo.lead();
    expect(solo.status.term).toBe(4);
    solo.ack('2', 2);
    solo.ack('3', 2);
    solo.ack('4', 2);
    expect(solo.status.commit).toBe(1);
  });

  test('and a leader elected later may replace it', () => {
    const cluster = clusterOf(
      {
        '1': { log: [1, 2, 4], term: 4, commit: 1 },
        '2': { log: [1, 2], term: 4, commit: 1 },
        '3': { log: [1, 2], term: 4, commit: 1 },
        '4': { log: [1], term: 4, commit: 1 },
        '5': { log: [1, 3], term: 4, commit: 1 },
      },
      FIVE,
    );
    cluster.node('1').crash();
    elect(cluster, '5');
    for (const id of ['2', '3', '4', '5']) expect(cluster.node(id).log.term(2)).toBe(3);
    cluster.act('1', (host) => host.start());
    ticksUntil(cluster, 100, () => cluster.node('1').log.term(2) === 3);
  });
});
