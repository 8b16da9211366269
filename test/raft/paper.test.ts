/**
 * The Raft paper's section 5 and the thesis's section 6.4, sentence by sentence. Quotations are from "In Search of an
 * Understandable Consensus Algorithm" (extended version, 2014) and "Consensus: Bridging Theory and Practice" (2014).
 */
import { describe, expect, test } from 'vitest';
import type { Append, NodeId } from '../../src/raft/types.ts';
import { Cluster, configuration } from '../sim/cluster.ts';
import { Random } from '../../src/testing/random.ts';
import { entry, FIVE, Solo, THREE } from './solo.ts';
import type { Said } from './solo.ts';

function append(from: NodeId, term: number, more: Partial<Append> = {}): Said {
  return { type: 'Append', from, term, prevIndex: 0, prevTerm: 0, commit: 0, entries: [], ...more };
}

function leaderOf(role: 'follower' | 'candidate' | 'leader', log: readonly number[] = []): Solo {
  const solo = new Solo({ log });
  if (role === 'candidate') solo.stand();
  if (role === 'leader') solo.lead();
  expect(solo.status.role).toBe(role);
  solo.take();
  return solo;
}

const ROLES = ['follower', 'candidate', 'leader'] as const;

describe('§5.1 Raft basics', () => {
  test.each(ROLES)(
    'if one server’s current term is smaller than the other’s, then it updates its current term to the larger value (%s)',
    (role) => {
      const solo = leaderOf(role);
      solo.step(append('2', 7));
      expect(solo.status).toMatchObject({ term: 7, role: 'follower', leader: '2' });
      expect(solo.host.durable.hardState.term).toBe(7);
    },
  );

  test.each(['candidate', 'leader'] as const)(
    'if a candidate or leader discovers that its term is out of date, it immediately reverts to follower state (%s)',
    (role) => {
      const solo = leaderOf(role);
      solo.step({ type: 'HeartbeatResponse', from: '2', term: 9, round: 0 });
      expect(solo.status).toMatchObject({ term: 9, role: 'follower', leader: null });
    },
  );

  test('if a server receives a request with a stale term number, it rejects the request', () => {
    const solo = new Solo({ log: [5], term: 5 });
    solo.step(append('2', 4, { prevIndex: 1, prevTerm: 5, entries: [entry(2, 4)], commit: 2 }));
    expect(solo.terms).toEqual([5]);
    expect(solo.status).toMatchObject({ commit: 0, leader: null, term: 5 });
    solo.step({ type: 'VoteRequest', from: '2', term: 4, preVote: false, lastIndex: 9, lastTerm: 4, transfer: false });
    expect(solo.status.vote).toBeNull();
    // Whatever it answers, the sender learns the term, and nothing is promised.
    for (const message of solo.take()) {
      expect(message.term).toBe(5);
      if (message.type === 'VoteResponse') expect(message.granted).toBe(false);
      if (message.type === 'AppendResponse') expect(message.rejected).toBe(true);
    }
  });

  test('current terms are exchanged whenever servers communicate: a stale leader’s heartbeat is answered with the term', () => {
    const solo = new Solo({ term: 5 });
    solo.step({ type: 'Heartbeat', from: '2', term: 4, commit: 0, round: 1 });
    expect(solo.take().map(({ term }) => term)).toContain(5);
  });
});

describe('§5.2 Leader election', () => {
  test('when servers start up, they begin as followers', () => {
    expect(new Solo({ term: 3, vote: '1' }).status).toMatchObject({ role: 'follower', leader: null, term: 3 });
  });

  test('a server remains in follower state as long as it receives valid RPCs from a leader', () => {
    const solo = new Solo({ term: 1 });
    for (let i = 0; i < 20; i++) {
      solo.tick(9);
      solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: i });
    }
    expect(solo.status).toMatchObject({ role: 'follower', term: 1, leader: '2' });
    solo.take();
    solo.tick(20);
    expect(solo.take('VoteRequest').length).toBeGreaterThan(0);
  });

  test('leaders send periodic heartbeats to all followers in order to maintain their authority', () => {
    const solo = new Solo({
      members: configuration(['1', '2', '3'], { learners: ['4'] }),
      options: { heartbeatTicks: 3 },
    });
    solo.lead();
    for (const id of ['2', '3', '4']) solo.ack(id, 1);
    solo.take();
    const heard = new Map<NodeId, number>();
    for (let i = 0; i < 9; i++) {
      solo.tick();
      for (const { to } of solo.take('Heartbeat')) heard.set(to, (heard.get(to) ?? 0) + 1);
      for (const from of ['2', '3']) solo.ack(from, 1);
    }
    expect(heard).toEqual(
      new Map([
        ['2', 3],
        ['3', 3],
        ['4', 3],
      ]),
    );
  });

  test('to begin an election, a follower increments its current term, votes for itself and asks all other servers', () => {
    const solo = new Solo({ members: FIVE, log: [1, 2], term: 3 });
    solo.stand();
    expect(solo.status).toMatchObject({ role: 'candidate', term: 4, vote: '1' });
    expect(solo.host.durable.hardState).toMatchObject({ term: 4, vote: '1' });
    const requests = solo.take('VoteRequest').filter(({ preVote }) => !preVote);
    expect(requests.map(({ to }) => to)).toEqual(['2', '3', '4', '5']);
    expect(requests[0]).toMatchObject({ term: 4, lastIndex: 2, lastTerm: 2 });
  });

  const outcomes: [voters: number, grants: number, refusals: number, role: string][] = [
    [1, 0, 0, 'leader'],
    [3, 1, 0, 'leader'],
    [3, 0, 1, 'candidate'],
    [3, 0, 2, 'follower'],
    [3, 1, 1, 'leader'],
    [4, 1, 0, 'candidate'],
    [4, 2, 0, 'leader'],
    [4, 1, 2, 'follower'],
    [5, 2, 2, 'leader'],
    [5, 1, 2, 'candidate'],
    [5, 1, 3, 'follower'],
    [7, 3, 3, 'leader'],
    [7, 2, 3, 'candidate'],
  ];
  test.each(outcomes)(
    'a candidate wins an election if it receives votes from a majority of the servers (%i voters, %i yes, %i no: %s)',
    (voters, grants, refusals, role) => {
      const ids = Array.from({ length: voters }, (_, i) => String(i + 1));
      const solo = new Solo({ members: configuration(ids) });
      solo.stand(ids.slice(1));
      ids.slice(1, 1 + grants).forEach((id) => solo.grant(id));
      ids
        .slice(1 + grants, 1 + grants + refusals)
        .forEach((id) => solo.status.role === 'candidate' && solo.grant(id, false));
      expect(solo.status.role).toBe(role);
    },
  );

  test('votes count once a voter, and for the same term only', () => {
    const solo = new Solo({ members: FIVE });
    solo.stand();
    const { term } = solo.status;
    for (let i = 0; i < 5; i++) solo.grant('2');
    expect(solo.status.role).toBe('candidate');
    solo.step({ type: 'VoteResponse', from: '3', term: term - 1, preVote: false, granted: true });
    solo.step({ type: 'VoteResponse', from: '3', term, preVote: true, granted: true });
    solo.step({ type: 'VoteResponse', from: '9', term, preVote: false, granted: true });
    expect(solo.status.role).toBe('candidate');
    solo.grant('3');
    expect(solo.status.role).toBe('leader');
  });

  test('each server will vote for at most one candidate in a given term, first come, first served', () => {
    const solo = new Solo();
    const ask = (from: NodeId): Said => ({
      type: 'VoteRequest',
      from,
      term: 1,
      preVote: false,
      lastIndex: 0,
      lastTerm: 0,
      transfer: false,
    });
    solo.step(ask('2'));
    solo.step(ask('3'));
    solo.step(ask('2'));
    const answers = solo.take('VoteResponse').map(({ to, granted }) => [to, granted]);
    expect(answers).toEqual([
      ['2', true],
      ['3', false],
      ['2', true],
    ]);
    // Not after a restart either.
    solo.host.crash();
    solo.host.start();
    solo.settle();
    solo.step(ask('3'));
    solo.step(ask('2'));
    expect(solo.take('VoteResponse').map(({ to, granted }) => [to, granted])).toEqual([
      ['3', false],
      ['2', true],
    ]);
  });

  test('once a candidate wins an election it sends messages to all of the other servers to establish its authority', () => {
    const solo = new Solo({ members: FIVE });
    solo.lead(['2', '3', '4', '5']);
    const told = solo.take().filter(({ type }) => type === 'Append' || type === 'Heartbeat');
    expect(new Set(told.map(({ to }) => to))).toEqual(new Set(['2', '3', '4', '5']));
  });

  test.each([0, 1])(
    'a candidate that hears from a leader whose term is at least as large as its own returns to follower state (+%i)',
    (more) => {
      const solo = new Solo();
      solo.stand();
      const { term } = solo.status;
      solo.step(append('3', term + more));
      expect(solo.status).toMatchObject({ role: 'follower', term: term + more, leader: '3' });
    },
  );

  test('if the term in the RPC is smaller than the candidate’s, it rejects the RPC and continues in candidate state', () => {
    const solo = new Solo({ term: 4 });
    solo.stand();
    solo.step(append('3', 4, { entries: [entry(1, 4)] }));
    expect(solo.status).toMatchObject({ role: 'candidate', term: 5, lastIndex: 0 });
  });

  test('when votes are split, each candidate will time out and start a new election', () => {
    const solo = new Solo();
    solo.stand();
    const { term } = solo.status;
    solo.take();
    solo.tick(40);
    // By way of a pre-vote, so without a new term until somebody answers.
    expect(solo.take('VoteRequest').some(({ preVote }) => preVote)).toBe(true);
    solo.stand();
    expect(solo.status.term).toBe(term + 1);
  });

  test('election time-outs are chosen randomly from a fixed interval', () => {
    const random = new Random(1);
    const seen = new Map<number, number>();
    for (let i = 0; i < 500; i++) {
      const solo = new Solo({ term: 1, options: { random: () => random.float() } });
      // Its first time-out after a leader's word.
      solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 });
      let ticks = 0;
      for (; solo.status.role === 'follower'; ticks++) solo.tick();
      seen.set(ticks, (seen.get(ticks) ?? 0) + 1);
    }
    expect(Math.min(...seen.keys())).toBeGreaterThanOrEqual(10);
    expect(Math.max(...seen.keys())).toBeLessThanOrEqual(20);
    expect(seen.size).toBeGreaterThanOrEqual(9);
    for (const count of seen.values()) expect(count).toBeLessThan(120);
  });

  test('randomised time-outs make split votes rare and quickly resolved', () => {
    let slow = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const cluster = new Cluster();
      for (const id of FIVE.voters) {
        const dice = new Random(seed * 10 + Number(id));
        cluster.add(id, FIVE, { random: () => dice.float() }).start();
      }
      let ticks = 0;
      while (cluster.leader() === undefined && ticks < 200) {
        cluster.tick();
        ticks += 1;
      }
      if (ticks > 20) slow += 1;
      expect(ticks).toBeLessThan(100);
    }
    expect(slow).toBeLessThan(60);
  });
});

describe('§5.3 Log replication', () => {
  test('the leader appends the command to its log, then issues AppendEntries RPCs in parallel to each of the others', () => {
    const solo = new Solo({ members: FIVE });
    solo.lead();
    for (const id of ['2', '3', '4', '5']) solo.ack(id, 1);
    solo.take();
    solo.propose('x');
    expect(solo.host.log.entry(2)).toMatchObject({ term: 1, kind: 'command' });
    const sent = solo.take('Append');
    expect(sent.map(({ to }) => to)).toEqual(['2', '3', '4', '5']);
    expect(sent[0]).toMatchObject({ prevIndex: 1, prevTerm: 1, commit: 1 });
    expect(sent[0]?.entries).toHaveLength(1);
  });

  test('when the entry has been safely replicated, the leader applies it and returns the result to the client', () => {
    const solo = new Solo();
    solo.lead();
    solo.ack('2', 1);
    const outcomes: string[] = [];
    solo.host.propose([new Uint8Array(1)], (outcome) => outcomes.push(outcome));
    solo.settle();
    expect(outcomes).toEqual([]);
    solo.ack('2', 2);
    expect(outcomes).toEqual(['acknowledged']);
    expect(solo.host.applied.index).toBe(2);
  });

  test('if network packets are lost, the leader retries AppendEntries RPCs indefinitely, even after it has responded', () => {
    const solo = new Solo();
    solo.lead();
    solo.ack('2', 1);
    solo.propose('x');
    solo.ack('2', 2);
    expect(solo.status.commit).toBe(2);
    for (let round = 1; round <= 30; round++) {
      solo.take();
      solo.tick(4);
      const sent = solo.take();
      for (const message of sent) {
        // Node 3 answers heartbeats; every Append to it is lost.
        if (message.type === 'Heartbeat') {
          solo.step({ type: 'HeartbeatResponse', from: message.to, term: 1, round: message.round });
        }
      }
      solo.tick(4);
      expect([...sent, ...solo.take()].some(({ type, to }) => type === 'Append' && to === '3')).toBe(true);
    }
  });

  const commits: [voters: number, acks: number, committed: boolean][] = [
    [1, 0, true],
    [2, 0, false],
    [2, 1, true],
    [3, 0, false],
    [3, 1, true],
    [4, 1, false],
    [4, 2, true],
    [5, 1, false],
    [5, 2, true],
    [7, 2, false],
    [7, 3, true],
  ];
  test.each(commits)(
    'an entry is committed once the leader has replicated it on a majority of the servers (%i voters, %i others: %s)',
    (voters, acks, committed) => {
      const ids = Array.from({ length: voters }, (_, i) => String(i + 1));
      const solo = new Solo({ members: configuration(ids) });
      solo.lead(ids.slice(1));
      for (const id of ids.slice(1)) solo.ack(id, 1);
      solo.propose('x');
      for (const id of ids.slice(1, 1 + acks)) solo.ack(id, 2);
      expect(solo.status.commit).toBe(committed ? 2 : 1);
    },
  );

  test('this also commits all preceding entries in the leader’s log, including entries created by previous leaders', () => {
    const solo = new Solo({ log: [1, 2, 2], term: 2 });
    solo.lead();
    solo.ack('2', 3);
    expect(solo.status.commit).toBe(0);
    solo.ack('2', 4);
    expect(solo.status.commit).toBe(4);
    expect(solo.host.applied.index).toBe(4);
  });

  test('the leader includes the highest committed index in future AppendEntries RPCs (including heartbeats)', () => {
    const solo = new Solo();
    solo.lead();
    solo.ack('2', 1);
    solo.ack('3', 1);
    solo.take();
    solo.propose('x');
    expect(solo.take('Append').map(({ commit }) => commit)).toEqual([1, 1]);
    solo.ack('2', 2);
    solo.tick(2);
    // Never beyond what the follower is known to have: 3 has acknowledged 1.
    const told = solo.take();
    expect(told.some((message) => message.to === '2' && 'commit' in message && message.commit === 2)).toBe(true);
    for (const message of told) {
      if (message.type === 'Heartbeat' && message.to === '3') expect(message.commit).toBeLessThanOrEqual(1);
    }
  });

  test('once a follower learns that a log entry is committed, it applies the entry (in log order)', () => {
    const solo = new Solo();
    solo.step(append('2', 1, { entries: [entry(1, 1), entry(2, 1), entry(3, 1)], commit: 0 }));
    expect(solo.host.applied.index).toBe(0);
    solo.step(append('2', 1, { prevIndex: 3, prevTerm: 1, commit: 2 }));
    expect(solo.host.applied.index).toBe(2);
    solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 3, round: 1 });
    expect(solo.host.applied.index).toBe(3);
  });

  const checks: [log: number[], prevIndex: number, prevTerm: number, accepted: boolean][] = [
    [[], 0, 0, true],
    [[], 1, 1, false],
    [[1, 2], 0, 0, true],
    [[1, 2], 1, 1, true],
    [[1, 2], 2, 2, true],
    [[1, 2], 2, 1, false],
    [[1, 2], 2, 3, false],
    [[1, 2], 3, 2, false],
  ];
  test.each(checks)(
    'if the follower does not find an entry with the preceding index and term, it refuses the new entries (%j, %i/%i: %s)',
    (log, prevIndex, prevTerm, accepted) => {
      const solo = new Solo({ log, term: 3 });
      solo.step(append('2', 3, { prevIndex, prevTerm, entries: [entry(prevIndex + 1, 3)] }));
      const answer = solo.take('AppendResponse')[0];
      expect(answer?.rejected).toBe(!accepted);
      if (accepted) {
        expect(answer?.index).toBe(prevIndex + 1);
        expect(solo.terms).toEqual([...log.slice(0, prevIndex), 3]);
      } else {
        expect(answer?.index).toBe(prevIndex);
        expect(answer?.hintIndex).toBeLessThanOrEqual(Math.min(prevIndex, log.length));
        expect(answer?.hintTerm).toBe(log[(answer?.hintIndex ?? 0) - 1] ?? 0);
        expect(solo.terms).toEqual(log);
      }
    },
  );

  test('the leader finds the latest entry where the two logs agree and removes all that follows (figure 7, each case)', () => {
    const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    const followers = [
      [1, 1, 1, 4, 4, 5, 5, 6, 6],
      [1, 1, 1, 4],
      [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
      [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
      [1, 1, 1, 4, 4, 4, 4],
      [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for (const log of followers) {
      const cluster = new Cluster();
      const disk = (id: NodeId, terms: readonly number[], term: number): void => {
        cluster.add(id, THREE, {}, (image) => {
          image.append(terms.map((entryTerm, i) => entry(i + 1, entryTerm)));
          image.hardState = { term, vote: null, commit: 0 };
        });
      };
      disk('1', leader, 7);
      disk('2', log, 7);
      disk('3', [], 7);
      for (const id of THREE.voters) cluster.act(id, (host) => host.start());
      cluster.tick(['1'], 25);
      expect(cluster.leader()?.id).toBe('1');
      cluster.tick(['1'], 4);
      expect(cluster.node('2').log.log).toEqual(cluster.node('1').log.log);
      expect(cluster.node('2').log.lastIndex()).toBe(11);
    }
  });

  test('the protocol can be optimised to reduce the number of rejected RPCs: one for each conflicting term', () => {
    const solo = new Solo({ log: [1, 1, ...Array.from({ length: 100 }, () => 5)], term: 6 });
    solo.lead();
    // Node 2 shares two entries, then has 200 of term 4.
    const other = [1, 1, ...Array.from({ length: 200 }, () => 4)];
    const two = new Solo({ id: '2', log: other, term: 6 });
    let refusals = 0;
    for (let i = 0; i < 50 && two.terms.length !== 103; i++) {
      for (const message of solo.take()) if (message.to === '2') two.step(message);
      for (const message of two.take()) {
        if (message.type === 'AppendResponse' && message.rejected) refusals += 1;
        solo.step(message);
      }
    }
    expect(two.terms).toEqual(solo.terms);
    expect(refusals).toBeLessThanOrEqual(2);
  });

  test('if a follower has not the entry and its log is shorter, one refusal shows where it ends', () => {
    const solo = new Solo({ log: [1, 1, 1], term: 2 });
    solo.step(append('2', 2, { prevIndex: 50, prevTerm: 2, entries: [entry(51, 2)] }));
    expect(solo.take('AppendResponse')[0]).toMatchObject({ rejected: true, index: 50, hintIndex: 3, hintTerm: 1 });
  });
});

describe('§5.4 Safety', () => {
  const logs: [mine: number[], lastTerm: number, lastIndex: number, granted: boolean][] = [
    [[], 0, 0, true],
    [[1], 1, 1, true],
    [[1], 1, 2, true],
    [[1, 1], 1, 1, false],
    [[1, 1], 2, 1, true],
    [[1, 2], 1, 9, false],
    [[1, 2], 2, 2, true],
    [[1, 2], 3, 1, true],
  ];
  test.each(logs.flatMap((row) => [[...row, true] as const, [...row, false] as const]))(
    '§5.4.1 the voter denies its vote if its own log is more up-to-date than that of the candidate (%j, %i/%i: %s; pre-vote %s)',
    (mine, lastTerm, lastIndex, granted, preVote) => {
      const solo = new Solo({ log: mine, term: 3 });
      solo.step({ type: 'VoteRequest', from: '2', term: 4, preVote, lastIndex, lastTerm, transfer: false });
      expect(solo.take('VoteResponse')[0]).toMatchObject({ granted, preVote });
      expect(solo.status.vote).toBe(granted && !preVote ? '2' : null);
      expect(solo.status.term).toBe(preVote ? 3 : 4);
    },
  );

  test('§5.4.2 only log entries from the leader’s current term are committed by counting replicas', () => {
    const solo = new Solo({ members: FIVE, log: [1, 2], term: 3 });
    solo.lead();
    for (const id of ['2', '3', '4', '5']) solo.ack(id, 2);
    expect(solo.status.commit).toBe(0);
    solo.ack('2', 3);
    expect(solo.status.commit).toBe(0);
    solo.ack('3', 3);
    expect(solo.status.commit).toBe(3);
  });
});

describe('§5.5 Follower and candidate crashes', () => {
  test('AppendEntries that include log entries already present are ignored: Raft RPCs are idempotent', () => {
    const solo = new Solo();
    const entries = [entry(1, 1), entry(2, 1), entry(3, 1)];
    const message = append('2', 1, { entries });
    solo.step(message);
    const kept = [...solo.host.log.log];
    solo.step(message);
    // A late, shorter one takes nothing away.
    solo.step(append('2', 1, { entries: entries.slice(0, 1) }));
    solo.step(append('2', 1, { prevIndex: 1, prevTerm: 1 }));
    expect(solo.host.log.log).toEqual(kept);
    expect(solo.status.lastIndex).toBe(3);
    expect(solo.take('AppendResponse').map(({ rejected, index }) => [rejected, index])).toEqual([
      [false, 3],
      [false, 3],
      [false, 1],
      [false, 1],
    ]);
  });

  test('figure 2: a conflicting entry and all that follow it are deleted, those before it stay', () => {
    const solo = new Solo({ log: [1, 1, 2, 2, 2], term: 2 });
    solo.step(append('2', 3, { prevIndex: 1, prevTerm: 1, entries: [entry(2, 1), entry(3, 3)] }));
    expect(solo.terms).toEqual([1, 1, 3]);
  });

  test('figure 2: the commit index becomes min(leaderCommit, index of last new entry)', () => {
    const solo = new Solo({ log: [1, 1, 1, 1], term: 1 });
    // Entries 3 and 4 may be anybody's: this leader has vouched for two only.
    solo.step(append('2', 2, { prevIndex: 1, prevTerm: 1, entries: [entry(2, 1)], commit: 4 }));
    expect(solo.status.commit).toBe(2);
    solo.step(append('2', 2, { prevIndex: 2, prevTerm: 1, commit: 4 }));
    expect(solo.status.commit).toBe(2);
    solo.step(append('2', 2, { prevIndex: 2, prevTerm: 1, commit: 1 }));
    expect(solo.status.commit).toBe(2);
  });

  test('figure 2: term, vote and log are on stable storage before an answer', () => {
    const solo = new Solo();
    const { host } = solo;
    host.step({ group: 1, to: '1', ...append('2', 1, { entries: [entry(1, 1)] }) });
    while (host.takeReady() !== null);
    expect(solo.take('AppendResponse')).toEqual([]);
    solo.settle();
    expect(solo.take('AppendResponse')).toHaveLength(1);
    const ask: Said = {
      type: 'VoteRequest',
      from: '3',
      term: 2,
      preVote: false,
      lastIndex: 9,
      lastTerm: 1,
      transfer: true,
    };
    host.step({ group: 1, to: '1', ...ask });
    while (host.takeReady() !== null);
    expect(solo.take('VoteResponse')).toEqual([]);
    solo.settle();
    expect(solo.take('VoteResponse')).toMatchObject([{ granted: true }]);
  });
});

describe('thesis §6.4 Processing read-only queries', () => {
  /** A leader whose first entry is committed. */
  function reader(members = THREE): Solo {
    const solo = new Solo({ members });
    solo.lead();
    for (const id of members.voters.slice(1)) solo.ack(id, 1);
    solo.take();
    return solo;
  }

  function answer(solo: Solo, from: NodeId, round: number): void {
    solo.step({ type: 'HeartbeatResponse', from, term: solo.status.term, round });
  }

  test('1. if the leader has not yet marked an entry from its current term committed, it waits until it has done so', () => {
    const solo = new Solo({ log: [1, 1], term: 1 });
    solo.lead();
    const served: (number | null)[] = [];
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    for (let i = 0; i < 5; i++) {
      solo.tick(2);
      for (const { to, round } of solo.take('Heartbeat')) answer(solo, to, round);
    }
    expect(served).toEqual([]);
    solo.ack('2', 3);
    solo.tick(2);
    for (const { to, round } of solo.take('Heartbeat')) answer(solo, to, round);
    expect(served).toEqual([3]);
  });

  test('2. the leader saves its current commit index as the read index: later writes do not delay the read', () => {
    const solo = reader();
    const served: (number | null)[] = [];
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    const [heartbeat] = solo.take('Heartbeat');
    solo.propose('later');
    solo.ack('2', 2);
    answer(solo, '2', heartbeat?.round ?? -1);
    expect(served).toEqual([1]);
  });

  test('3. it issues a new round of heartbeats and waits for acknowledgements from a majority of the cluster', () => {
    const solo = reader(FIVE);
    const served: (number | null)[] = [];
    // A round that left before the read was asked proves nothing about it.
    solo.tick(2);
    const before = solo.take('Heartbeat');
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    for (const { to, round } of before) answer(solo, to, round);
    expect(served).toEqual([]);
    const rounds = solo.take('Heartbeat');
    expect(new Set(rounds.map(({ to }) => to))).toEqual(new Set(['2', '3', '4', '5']));
    answer(solo, '2', rounds[0]?.round ?? -1);
    answer(solo, '2', rounds[0]?.round ?? -1);
    expect(served).toEqual([]);
    answer(solo, '3', rounds[0]?.round ?? -1);
    expect(served).toEqual([1]);
  });

  test('4. the leader waits for its state machine to advance at least as far as the read index', () => {
    const solo = reader();
    const { host } = solo;
    solo.propose('x');
    const served: (number | null)[] = [];
    // Committed, handed out, not applied.
    const message = { group: 1, to: '1', from: '2', term: solo.status.term } as const;
    host.step({ ...message, type: 'AppendResponse', rejected: false, index: 2, hintIndex: 0, hintTerm: 0 });
    while (host.takeReady() !== null);
    host.readIndex((index) => served.push(index));
    while (host.takeReady() !== null);
    const round = solo.take('Heartbeat')[0]?.round ?? -1;
    host.step({ ...message, type: 'HeartbeatResponse', round });
    while (host.takeReady() !== null);
    expect(host.applied.index).toBe(1);
    expect(served).toEqual([]);
    host.apply();
    expect(served).toEqual([2]);
  });

  test('a single round of heartbeats serves any number of queries that have accumulated', () => {
    const solo = reader();
    const served: (number | null)[] = [];
    for (let i = 0; i < 100; i++) solo.host.readIndex((index) => served.push(index));
    solo.settle();
    const rounds = solo.take('Heartbeat');
    expect(rounds).toHaveLength(2);
    answer(solo, '2', rounds[0]?.round ?? -1);
    expect(served).toHaveLength(100);
  });

  test('followers can help offload the processing: the follower asks the leader for a current read index', () => {
    const solo = new Solo({ term: 1 });
    solo.step(append('2', 1, { entries: [entry(1, 1)], commit: 1 }));
    solo.take();
    const served: (number | null)[] = [];
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    const request = solo.take('ReadIndexRequest')[0];
    expect(request).toMatchObject({ to: '2', bootEpoch: 1 });
    const { bootEpoch, token } = request ?? { bootEpoch: -1, token: -1 };
    solo.step({ type: 'ReadIndexResponse', from: '2', term: 1, bootEpoch, token, index: 2 });
    expect(served).toEqual([]);
    solo.step(append('2', 1, { prevIndex: 1, prevTerm: 1, entries: [entry(2, 1)], commit: 2 }));
    expect(served).toEqual([2]);
  });

  test('a leader that was superseded serves nothing', () => {
    const solo = reader();
    const served: (number | null)[] = [];
    solo.host.readIndex((index) => served.push(index));
    solo.settle();
    const round = solo.take('Heartbeat')[0]?.round ?? -1;
    solo.step({ type: 'HeartbeatResponse', from: '2', term: solo.status.term + 1, round });
    answer(solo, '3', round);
    expect(served).toEqual([null]);
  });
});
