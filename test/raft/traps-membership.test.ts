/**
 * What bit others when the membership changed: traps 1 to 4, and what surrounds them. Each test is named after the public report of the bug, or
 * the sentence of the thesis. The stories are told whole in testdata/membership_*.txt.
 */
import { describe, expect, test } from 'vitest';
import { isJoint } from '../../src/raft/change.ts';
import { decodeConfiguration, EMPTY_CONFIGURATION, encodeConfiguration } from '../../src/raft/configuration.ts';
import type { Configuration, MemberChange, NodeId, ProposeConfigResult } from '../../src/raft/types.ts';
import { Cluster, configuration } from '../sim/cluster.ts';
import { Solo, THREE } from './solo.ts';
import type { SoloOptions } from './solo.ts';

const to = (part: MemberChange['to'], ...ids: NodeId[]): MemberChange[] => ids.map((id) => ({ id, to: part }));

function change(solo: Solo, ...changes: MemberChange[]): ProposeConfigResult {
  const result = solo.host.proposeConfig({ changes });
  solo.settle();
  return result;
}

/** Node 1, leader of term 1, whose first entry is committed. */
function leading(options: SoloOptions = {}): Solo {
  const solo = new Solo(options);
  solo.lead();
  solo.ack('2', 1);
  solo.ack('3', 1);
  expect(solo.status.commit).toBe(1);
  return solo;
}

/** Configuration entries of its log, from the first. */
function configurationsOf(solo: { readonly host: Solo['host'] }): Configuration[] {
  return solo.host.log.log.filter(({ kind }) => kind === 'config').map(({ data }) => decodeConfiguration(data));
}

const removedOf = (solo: Solo): NodeId[] => solo.status.progress.filter(({ removed }) => removed).map(({ id }) => id);

/** As in the simulator: first members have the configuration as entry 1, newcomers know nothing. */
function clusterOf(voters: readonly NodeId[], newcomers: readonly NodeId[]): Cluster {
  const cluster = new Cluster();
  const first = configuration(voters);
  for (const id of [...voters, ...newcomers]) {
    cluster.add(id, EMPTY_CONFIGURATION, { random: () => (Number(id) * 0.37) % 1 }, (image) => {
      if (newcomers.includes(id)) return;
      image.append([{ index: 1, term: 1, kind: 'config', data: encodeConfiguration(first) }]);
      image.hardState = { term: 1, vote: null, commit: 1 };
      image.configurations = [...image.configurations, { index: 1, configuration: first }];
    });
    cluster.act(id, (host) => host.start());
  }
  for (let i = 0; i < 100 && cluster.leader()?.status.commit !== 2; i++) cluster.tick();
  return cluster;
}

describe('1. a joint configuration is left once, whoever leads', () => {
  /** One small step at a time, in a fixed order: a Ready, a write, a packet. False when nothing is left to do. */
  function step(cluster: Cluster): boolean {
    for (const host of cluster.hosts.values()) if (host.up && cluster.process(host.id)) return true;
    for (const queue of cluster.links.values()) {
      const packet = queue.shift();
      if (packet === undefined) continue;
      cluster.deliver(packet);
      return true;
    }
    return false;
  }

  function isWhole(cluster: Cluster): boolean {
    const leader = cluster.leader();
    if (leader === undefined || leader.status.commit !== leader.status.lastIndex) return false;
    const { voters, learners } = leader.status.configuration;
    return [...voters, ...learners].every((id) => cluster.node(id).status.commit === leader.status.commit);
  }

  test.each([
    ['a voter is replaced', to('removed', '3'), to('voter', '4')],
    ['the leader is replaced', to('removed', '1', '2', '3'), to('voter', '4', '5')],
    ['the cluster shrinks to one', to('removed', '2', '3'), []],
    ['a voter becomes a learner', to('learner', '2'), to('voter', '5')],
  ])('etcd#12136, #12582, #14538: the leader falls at any step, and %s', (_, first, second) => {
    let fell = 0;
    for (let at = 0; ; at++) {
      const cluster = clusterOf(['1', '2', '3'], ['4', '5']);
      const leader = cluster.leader()!;
      const result = cluster.act(leader.id, (host) => host.proposeConfig({ changes: [...first, ...second] }));
      expect(result).toMatchObject({ status: 'accepted', joint: true });
      let steps = 0;
      while (steps < at && step(cluster)) steps++;
      if (steps < at) break;
      leader.crash(0);
      cluster.act(leader.id, (host) => host.start());
      for (let ticks = 0; !isWhole(cluster); ticks++) {
        expect(ticks, `whole, after ${at} steps`).toBeLessThan(150);
        cluster.tick();
      }
      fell++;
      const now = cluster.leader()!;
      expect(isJoint(now.status.configuration), `${at} steps`).toBe(false);
      expect(now.status.commit).toBe(now.status.lastIndex);
      const history = configurationsOf({ host: now });
      // All of it, or nothing: the change may be lost with the leader.
      const votersAfter = history.at(-1)!.voters;
      if (history.length === 1) expect(votersAfter).toEqual(['1', '2', '3']);
      else expect(history.map(isJoint)).toEqual([false, true, false]);
    }
    expect(fell).toBeGreaterThan(10);
  });

  test('a limit on what clients send does not hold it up, and it counts', () => {
    const solo = leading({ options: { maxUncommittedBytes: 300 } });
    expect(change(solo, ...to('removed', '3'))).toMatchObject({ status: 'accepted', index: 2, joint: true });
    const joint = solo.status.uncommittedBytes;
    expect(joint).toBe(solo.host.log.entry(2)!.data.length);
    solo.propose('x'.repeat(300 - joint));
    solo.ack('2', 2);
    expect(solo.status).toMatchObject({ commit: 2, lastIndex: 4 });
    expect(solo.status.uncommittedBytes).toBe(300 - joint + solo.host.log.entry(4)!.data.length);
    solo.ack('2', 4);
    expect(solo.status).toMatchObject({ commit: 4, uncommittedBytes: 0, configurationCommitted: true });
  });

  test('etcd: not while somebody takes over, and when that comes to nothing it is made up for', () => {
    const solo = leading();
    change(solo, ...to('removed', '3'));
    expect(solo.host.transfer('2')).toBe(true);
    solo.ack('3', 2);
    solo.ack('2', 2);
    expect(solo.status).toMatchObject({ commit: 2, lastIndex: 2 });
    for (let i = 0; i < 12; i++) {
      solo.tick();
      const round = solo.take('Heartbeat').at(-1)?.round ?? 0;
      for (const from of ['2', '3']) solo.step({ type: 'HeartbeatResponse', from, term: 1, round });
    }
    expect(solo.status).toMatchObject({ role: 'leader', lastIndex: 3, configuration: { voters: ['1', '2'] } });
    expect(configurationsOf(solo).map(isJoint)).toEqual([true, false]);
  });

  test('one that is not said to be left by itself is not', () => {
    const members = configuration(['1', '2', '3'], { votersOutgoing: ['1', '2'] });
    const solo = leading({ members });
    expect(solo.status.lastIndex).toBe(1);
    expect(change(solo, ...to('removed', '3'))).toEqual({ status: 'refused', reason: 'changePending' });
  });
});

describe('2. one change at a time, and what is cut off is taken back', () => {
  test('raft#80: neither C_old,new nor C_new has to be committed by halves for the next', () => {
    const solo = leading({ members: { ...THREE, learners: ['4'] } });
    const pending = { status: 'refused', reason: 'changePending' };
    change(solo, ...to('voter', '4'));
    expect(solo.status).toMatchObject({ configurationIndex: 2, configurationCommitted: false });
    expect(change(solo, ...to('removed', '2'))).toEqual(pending);
    solo.ack('2', 2);
    expect(change(solo, ...to('removed', '2'))).toEqual(pending);
    solo.ack('4', 2);
    // C_new is appended.
    expect(solo.status).toMatchObject({ commit: 2, configurationIndex: 3, configurationCommitted: false });
    expect(change(solo, ...to('removed', '2'))).toEqual(pending);
    expect(change(solo)).toEqual(pending);
    expect(solo.status.lastIndex).toBe(3);
    solo.ack('2', 3);
    solo.ack('4', 3);
    expect(solo.status).toMatchObject({ commit: 3, configurationCommitted: true });
    expect(change(solo)).toEqual({ status: 'unchanged' });
    expect(change(solo, ...to('removed', '2'))).toMatchObject({ status: 'accepted', index: 4 });
  });

  test('cockroach#105797: C_new cut off brings C_old,new back, and its cut C_old', () => {
    const solo = leading();
    change(solo, ...to('removed', '3'));
    solo.ack('2', 2);
    expect(solo.status.configuration).toEqual(configuration(['1', '2']));
    // Node 2, with C_old,new only, is elected and has its own first entry there.
    const noop = { index: 3, term: 2, kind: 'noop', data: new Uint8Array(0) } as const;
    solo.step({ type: 'Append', from: '2', term: 2, prevIndex: 2, prevTerm: 1, commit: 2, entries: [noop] });
    const joint = configuration(['1', '2'], { votersOutgoing: ['1', '2', '3'], autoLeave: true });
    expect(solo.status).toMatchObject({ configuration: joint, configurationIndex: 2, configurationCommitted: true });
    expect(solo.host.durable.configurations.at(-1)).toEqual({ index: 2, configuration: joint });
  });
});

describe('3. a fresh leader changes nothing', () => {
  test('redpanda#17675: before an entry of its own term is committed a change is refused, whatever it is', () => {
    const solo = new Solo({ log: [1, 1], commit: 2 });
    solo.lead();
    const early = { status: 'refused', reason: 'termNotCommitted' };
    expect(change(solo, ...to('learner', '4'))).toEqual(early);
    // An entry of an earlier term does not do.
    solo.ack('2', 2);
    expect(change(solo, ...to('removed', '3'))).toEqual(early);
    expect(solo.status.lastIndex).toBe(3);
    solo.ack('2', 3);
    expect(change(solo, ...to('removed', '3'))).toMatchObject({ status: 'accepted' });
  });

  test('Ongaro, raft-dev 2015: two leaders that change one voter each never both commit', () => {
    // S1 of {1,2,3,4} adds 5 and tells nobody; S2 leads the next term and removes 1, without 1; S1 comes back.
    const cluster = clusterOf(['1', '2', '3', '4'], ['5']);
    const first = cluster.leader()!;
    const others = ['1', '2', '3', '4'].filter((id) => id !== first.id);
    cluster.act(first.id, (host) => host.proposeConfig({ changes: to('voter', '5') }));
    while (cluster.process(first.id));
    for (const id of others) cluster.link(first.id, id).length = 0;
    // Only 5 gets it.
    const side = new Set([first.id, '5']);
    cluster.settle((id) => side.has(id));
    for (let i = 0; i < 60; i++) {
      for (const id of others) cluster.act(id, (host) => host.tick());
      cluster.settle((id) => others.includes(id));
    }
    const second = cluster.leader()!;
    expect(others).toContain(second.id);
    cluster.act(second.id, (host) => host.proposeConfig({ changes: to('removed', first.id) }));
    cluster.settle((id) => others.includes(id));
    expect(second.status).toMatchObject({ configuration: { voters: others }, configurationCommitted: true });
    expect(first.status.configuration.voters).toContain('5');
    expect(first.status.configurationCommitted).toBe(false);
    for (let i = 0; i < 60; i++) cluster.tick();
    expect(new Set(cluster.leader()!.status.configuration.voters)).toEqual(new Set(others));
    expect(first.status.configuration.voters).toEqual(others);
  });
});

describe('4. who votes and who leads', () => {
  test('etcd#10998: a promoted learner that does not know it decides an election', () => {
    const members = configuration(['1', '2'], { learners: ['3'] });
    const solo = new Solo({ id: '3', members, log: [1], term: 1 });
    const request = { type: 'VoteRequest', from: '1', term: 2, lastIndex: 2, lastTerm: 1, transfer: false } as const;
    solo.step({ ...request, preVote: true });
    solo.step({ ...request, preVote: false });
    expect(solo.take('VoteResponse').map(({ granted }) => granted)).toEqual([true, true]);
    expect(solo.status.configuration.learners).toEqual(['3']);
  });

  test('a node that knows nothing votes as well: it may be a voter already', () => {
    const solo = new Solo({ id: '4', members: EMPTY_CONFIGURATION });
    const request = { type: 'VoteRequest', from: '1', term: 2, lastIndex: 2, lastTerm: 1, transfer: false } as const;
    solo.step({ ...request, preVote: false });
    expect(solo.take('VoteResponse')).toMatchObject([{ to: '1', granted: true }]);
    solo.tick(50);
    expect(solo.status.role).toBe('follower');
  });

  test('consul#7031: in a joint configuration leadership goes to those that stay, however far they are', () => {
    const solo = leading({ members: configuration(['1', '2', '3', '4']) });
    solo.ack('4', 1);
    change(solo, ...to('learner', '2'), ...to('removed', '3'));
    expect(solo.host.transfer('2')).toBe(false);
    expect(solo.host.transfer('3')).toBe(false);
    solo.ack('2', 2);
    solo.ack('3', 2);
    solo.take();
    expect(solo.host.transfer(null)).toBe(true);
    solo.settle();
    expect(solo.take('TimeoutNow')).toEqual([]);
    solo.ack('4', 2);
    expect(solo.take('TimeoutNow').map((message) => message.to)).toEqual(['4']);
  });

  test('etcd#10864: a voter that a snapshot demotes is a learner, and one that it removes is nothing', () => {
    for (const after of [configuration(['1', '2'], { learners: ['3'] }), configuration(['1', '2'])]) {
      const solo = new Solo({ id: '3', term: 1 });
      solo.host.receiveSnapshot({
        kind: 'snapshot',
        from: '1',
        to: '3',
        term: 1,
        meta: { index: 7, term: 1, configuration: after },
        state: { index: 7, term: 1, hash: 7 },
        starts: 1,
      });
      solo.settle();
      expect(solo.status).toMatchObject({ configuration: after, configurationIndex: 7, configurationCommitted: true });
      solo.tick(50);
      expect(solo.take('VoteRequest')).toEqual([]);
      solo.step({ type: 'TimeoutNow', from: '1', term: 1 });
      expect(solo.status).toMatchObject({ role: 'follower', term: 1 });
    }
  });
});

describe('the leader’s books', () => {
  test('thesis §4.2.2: a leader that is not in C_new does not count itself, for no entry after it', () => {
    const solo = leading();
    change(solo, ...to('removed', '1'));
    solo.ack('2', 2);
    solo.ack('3', 2);
    solo.propose('x');
    solo.ack('2', 4);
    expect(solo.status).toMatchObject({ role: 'leader', commit: 2, persistedIndex: 4 });
    solo.ack('3', 3);
    expect(solo.status).toMatchObject({ role: 'leader', commit: 3 });
    // Node 2 has everything: it takes over.
    expect(solo.take('TimeoutNow').map((message) => message.to)).toEqual(['2']);
    expect(solo.host.propose([new Uint8Array(1)])).toEqual({ status: 'refused', reason: 'transferring' });
  });

  test('nor for check-quorum, nor for reads', () => {
    const solo = leading();
    change(solo, ...to('removed', '1'));
    solo.ack('2', 2);
    solo.ack('3', 2);
    solo.take();
    const token = solo.host.readIndex();
    solo.settle();
    const round = solo.take('Heartbeat').at(-1)!.round;
    solo.step({ type: 'HeartbeatResponse', from: '2', term: 1, round });
    expect(solo.host.reads.has(token)).toBe(true);
    solo.step({ type: 'HeartbeatResponse', from: '3', term: 1, round });
    expect(solo.host.reads.has(token)).toBe(false);
    // Only node 2 is heard from now on: one of two.
    for (let i = 0; i < 10; i++) {
      solo.tick();
      solo.step({ type: 'HeartbeatResponse', from: '2', term: 1, round });
    }
    expect(solo.status.role).toBe('follower');
  });

  test('it steps down at once when none of the others is heard any more', () => {
    const solo = leading();
    change(solo, ...to('removed', '1'));
    solo.ack('2', 2);
    solo.ack('3', 2);
    solo.ack('2', 3);
    solo.tick(9);
    expect(solo.status).toMatchObject({ role: 'leader', commit: 2 });
    solo.step({ type: 'HeartbeatResponse', from: '3', term: 1, round: 0 });
    solo.tick(1);
    expect(solo.status.role).toBe('follower');
  });

  test('C_new may commit at once what C_old,new did not', () => {
    const solo = leading();
    change(solo, ...to('voter', '4', '5'), ...to('removed', '2', '3'));
    solo.propose('x');
    // {1,4,5} have entry 3; of {1,2,3} only node 1 has, until node 2 gets entry 2.
    solo.ack('4', 3);
    expect(solo.status.commit).toBe(1);
    // Before anything else happens: the write of C_new would make up for it.
    const ack = {
      type: 'AppendResponse',
      group: 1,
      to: '1',
      term: 1,
      rejected: false,
      hintIndex: 0,
      hintTerm: 0,
    } as const;
    solo.host.step({ ...ack, from: '2', index: 2 });
    expect(solo.status).toMatchObject({ commit: 3, configurationIndex: 4, configurationCommitted: false });
  });

  test('and release the reads that it confirms', () => {
    const solo = leading();
    change(solo, ...to('voter', '4', '5'), ...to('removed', '2', '3'));
    solo.take();
    const token = solo.host.readIndex();
    solo.settle();
    const round = solo.take('Heartbeat').at(-1)!.round;
    solo.step({ type: 'HeartbeatResponse', from: '4', term: 1, round });
    solo.ack('4', 2);
    expect(solo.host.reads.has(token)).toBe(true);
    solo.ack('2', 2);
    expect(solo.host.reads.has(token)).toBe(false);
  });

  test('check-quorum begins anew: those that have just begun to count cannot have been heard', () => {
    const solo = leading({ members: configuration(['1']), options: { electionTicks: 10 } });
    solo.tick(100);
    change(solo, ...to('voter', '2'));
    solo.tick(9);
    expect(solo.status.role).toBe('leader');
    solo.tick(1);
    expect(solo.status.role).toBe('follower');
  });

  test('etcd: a new member is followed, from the probe on', () => {
    const solo = leading();
    solo.take();
    change(solo, ...to('learner', '4'));
    expect(solo.status.progress.map(({ id }) => id)).toEqual(['2', '3', '4']);
    const appends = solo.take('Append').filter((message) => message.to === '4');
    expect(appends).toMatchObject([{ prevIndex: 1, entries: [{ index: 2, kind: 'config' }] }]);
  });

  test('a removed member is followed until it has answered for the commit', () => {
    const solo = leading();
    change(solo, ...to('removed', '3'));
    solo.ack('2', 2);
    expect(removedOf(solo)).toEqual(['3']);
    solo.ack('2', 3);
    solo.ack('3', 3);
    solo.take();
    // It has the entry. That it is committed it is told by the next heartbeat.
    solo.tick(2);
    expect(removedOf(solo)).toEqual(['3']);
    const told = solo.take('Heartbeat').findLast((message) => message.to === '3')!;
    expect(told.commit).toBe(3);
    solo.step({ type: 'HeartbeatResponse', from: '3', term: 1, round: told.round });
    solo.tick(1);
    expect(removedOf(solo)).toEqual([]);
    solo.take();
    solo.propose('x');
    expect(new Set(solo.take('Append').map((message) => message.to))).toEqual(new Set(['2']));
  });

  test('a removed member that is silent is followed until two election time-outs after the commit', () => {
    const solo = leading();
    change(solo, ...to('removed', '3'));
    solo.ack('2', 2);
    const tick = (count: number): void => {
      for (let i = 0; i < count; i++) {
        solo.tick();
        solo.step({ type: 'HeartbeatResponse', from: '2', term: 1, round: 0 });
      }
    };
    tick(30);
    expect(removedOf(solo)).toEqual(['3']);
    solo.ack('2', 3);
    tick(20);
    expect(removedOf(solo)).toEqual(['3']);
    tick(1);
    expect(removedOf(solo)).toEqual([]);
  });

  test('one that is added again before that is a member', () => {
    const solo = leading();
    change(solo, ...to('removed', '3'));
    solo.ack('2', 2);
    solo.ack('2', 3);
    solo.ack('3', 3);
    expect(change(solo, ...to('learner', '3'))).toMatchObject({ status: 'accepted', joint: false });
    expect(removedOf(solo)).toEqual([]);
    expect(solo.status.progress.find(({ id }) => id === '3')).toMatchObject({ match: 3, removed: false });
    solo.ack('2', 4);
    for (let i = 0; i < 40; i++) {
      solo.tick();
      const round = solo.take('Heartbeat').at(-1)?.round ?? 0;
      for (const from of ['2', '3']) solo.step({ type: 'HeartbeatResponse', from, term: 1, round });
    }
    expect(solo.status.progress.map(({ id }) => id)).toEqual(['2', '3']);
  });

  test('the next leader tells a removed member what the one before could not', () => {
    const joint = configuration(['1', '2'], { votersOutgoing: ['1', '2', '3'], autoLeave: true });
    const solo = new Solo({ log: [1], term: 1 });
    const entries = [joint, configuration(['1', '2'])].map((one, i) => ({
      index: 2 + i,
      term: 1,
      kind: 'config' as const,
      data: encodeConfiguration(one),
    }));
    solo.step({ type: 'Append', from: '2', term: 1, prevIndex: 1, prevTerm: 1, commit: 3, entries });
    solo.lead(['2']);
    expect(removedOf(solo)).toEqual(['3']);
    expect(new Set(solo.take('Append').map((message) => message.to))).toEqual(new Set(['2', '3']));
  });

  test('thesis §4.2.3: a removed node that does not know asks in vain, and its term moves nobody', () => {
    const solo = leading();
    change(solo, ...to('removed', '3'));
    solo.ack('2', 2);
    solo.ack('2', 3);
    solo.take();
    const request = { type: 'VoteRequest', from: '3', term: 9, lastIndex: 1, lastTerm: 1, transfer: false } as const;
    for (const preVote of [true, false]) solo.step({ ...request, preVote });
    expect(solo.take('VoteResponse').map(({ granted, term }) => ({ granted, term }))).toEqual([
      { granted: false, term: 1 },
      { granted: false, term: 1 },
    ]);
    expect(solo.status).toMatchObject({ role: 'leader', term: 1 });
  });

  test('thesis §4.2.2: a node that its newest entry takes out stands until it knows that to be committed', () => {
    const entry = { index: 2, term: 1, kind: 'config', data: encodeConfiguration(configuration(['2', '3'])) } as const;
    const append = { type: 'Append', from: '2', term: 1, prevIndex: 1, prevTerm: 1, entries: [entry] } as const;
    const solo = new Solo({ log: [1], term: 1 });
    solo.step({ ...append, commit: 1 });
    solo.stand(['2']);
    expect(solo.status.role).toBe('preCandidate');
    solo.stand(['3']);
    solo.grant('2');
    // Two of {2,3}: its own vote is not one.
    expect(solo.status.role).toBe('candidate');
    solo.grant('3');
    expect(solo.status.role).toBe('leader');
    const other = new Solo({ log: [1], term: 1 });
    other.step({ ...append, commit: 2 });
    other.tick(50);
    expect(other.take('VoteRequest')).toEqual([]);
  });

  test('nobody but the leader proposes', () => {
    const solo = new Solo({ term: 1 });
    expect(change(solo, ...to('removed', '3'))).toEqual({ status: 'notLeader', leader: null });
    solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 });
    expect(change(solo, ...to('removed', '3'))).toEqual({ status: 'notLeader', leader: '2' });
    expect(solo.host.log.lastIndex()).toBe(0);
  });
});
