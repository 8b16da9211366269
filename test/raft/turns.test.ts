/** What a turn of the shell costs in messages and time: batching, prompt commits, retries, hints. */
import { describe, expect, test } from 'vitest';
import { entry, Solo, THREE } from './solo.ts';

function leader(options: object = {}): Solo {
  const solo = new Solo({ options: { random: () => 0, ...options } });
  solo.lead();
  for (const from of ['2', '3']) solo.ack(from, 1);
  solo.take();
  return solo;
}

describe('messages', () => {
  test('what is proposed in one turn leaves in one Append a follower', () => {
    const solo = leader();
    const bytes = new Uint8Array(3);
    for (let i = 0; i < 5; i++) expect(solo.host.propose([bytes, bytes]).status).toBe('accepted');
    solo.settle();
    const appends = solo.take('Append');
    expect(appends.map(({ to, entries }) => [to, entries.length])).toEqual([
      ['2', 10],
      ['3', 10],
    ]);
  });

  test('reads of one turn share a round', () => {
    const solo = leader();
    for (let i = 0; i < 5; i++) solo.host.readIndex();
    solo.settle();
    expect(solo.take('Heartbeat').map(({ round }) => round)).toEqual([1, 1]);
  });

  test('a follower asks once for all reads of a turn, and one answer releases all', () => {
    const solo = new Solo({ term: 1 });
    solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 });
    solo.take();
    let released = 0;
    for (let i = 0; i < 5; i++) solo.host.readIndex((index) => (released += index === 0 ? 1 : 0));
    solo.settle();
    const [request, ...others] = solo.take('ReadIndexRequest');
    expect(others).toEqual([]);
    const { bootEpoch, token } = request!;
    solo.step({ type: 'ReadIndexResponse', from: '2', term: 1, bootEpoch, token, index: 0 });
    expect(released).toBe(5);
  });

  test('a lost question is asked again, and a late answer still counts', () => {
    const solo = new Solo({ term: 1 });
    solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 });
    let released = false;
    solo.host.readIndex((index) => (released = index === 0));
    solo.settle();
    const [first] = solo.take('ReadIndexRequest');
    solo.tick(3);
    expect(solo.take('ReadIndexRequest')).toEqual([first]);
    const { bootEpoch, token } = first!;
    solo.step({ type: 'ReadIndexResponse', from: '2', term: 1, bootEpoch, token, index: 0 });
    expect(released).toBe(true);
  });

  test('an idle follower hears of a commit at once, a busy one twice a tick at most', () => {
    const solo = leader({ heartbeatTicks: 4 });
    solo.tick();
    let notices = 0;
    for (let index = 2; index < 40; index++) {
      solo.propose('x');
      solo.take();
      solo.ack('2', index);
      const sent = solo.take('Append').filter(({ to }) => to === '2');
      if (index === 2) expect(sent).toMatchObject([{ commit: 2, entries: [] }]);
      notices += sent.length;
    }
    expect(notices).toBe(2);
    // What was kept back comes with the next tick, not with the next heartbeat.
    solo.tick();
    expect(solo.take('Append').filter(({ to }) => to === '2')).toMatchObject([{ commit: 39, entries: [] }]);
  });

  test('an answer to a stale message carries the term, and nothing that could be taken for something else', () => {
    const solo = new Solo({ term: 5, log: [5] });
    solo.step({ type: 'Heartbeat', from: '2', term: 4, commit: 1, round: 77 });
    expect(solo.take()).toMatchObject([{ type: 'HeartbeatResponse', term: 5, round: 0 }]);
    solo.step({ type: 'Append', from: '2', term: 4, prevIndex: 1, prevTerm: 4, commit: 1, entries: [] });
    expect(solo.take()).toMatchObject([{ type: 'AppendResponse', term: 5, rejected: true, index: 0 }]);
  });
});

describe('lost messages', () => {
  test('a probe that was lost is sent again after a heartbeat interval, not with every answered round', () => {
    const solo = new Solo({ options: { random: () => 0 } });
    solo.lead();
    solo.take();
    const { term } = solo.status;
    const toTwo = (): number => solo.take('Append').filter(({ to }) => to === '2').length;
    solo.tick(2);
    const beat = solo.take('Heartbeat')[0]!;
    solo.step({ type: 'HeartbeatResponse', from: '2', term, round: beat.round });
    expect(toTwo()).toBe(1);
    // Duplicates and further answers in the same interval change nothing.
    for (let i = 0; i < 5; i++) solo.step({ type: 'HeartbeatResponse', from: '2', term, round: beat.round });
    expect(toTwo()).toBe(0);
  });

  test('a pipeline that lost everything, its window full, is found out by the heartbeats', () => {
    const solo = leader({ maxInflightMessages: 2 });
    for (let i = 0; i < 4; i++) solo.propose('x');
    expect(solo.take('Append').filter(({ to }) => to === '2')).toHaveLength(2);
    solo.tick(2);
    const [beat] = solo.take('Heartbeat');
    solo.step({ type: 'HeartbeatResponse', from: '2', term: solo.status.term, round: beat!.round });
    expect(solo.take('Append').filter(({ to }) => to === '2')).toMatchObject([{ prevIndex: 3, entries: [] }]);
    const { term } = solo.status;
    solo.step({
      type: 'AppendResponse',
      from: '2',
      term,
      rejected: true,
      index: 3,
      hintIndex: 1,
      hintTerm: 1,
    });
    const again = solo.take('Append').filter(({ to }) => to === '2');
    expect(again).toMatchObject([{ prevIndex: 1 }]);
    expect(again[0]?.entries[0]?.index).toBe(2);
  });

  test('a late answer does not ask for a second snapshot while the first is being taken in', () => {
    const solo = new Solo({ options: { random: () => 0 } });
    solo.lead();
    for (const index of [2, 3, 4]) {
      solo.propose('x');
      solo.ack('3', index);
    }
    solo.host.flush();
    solo.settle();
    solo.host.disk.sync();
    expect(solo.host.compact(4)).toBe(4);
    const { term } = solo.status;
    const rejected = { type: 'AppendResponse', from: '2', term, rejected: true, hintIndex: 0, hintTerm: 0 } as const;
    solo.step({ ...rejected, index: 0 });
    const two = (): unknown => solo.status.progress.find(({ id }) => id === '2');
    expect(two()).toMatchObject({ state: 'snapshot' });
    solo.host.snapshotSent('2', 4, true);
    expect(two()).toMatchObject({ state: 'probe', next: 5 });
    solo.ack('2', 0);
    expect(two()).toMatchObject({ state: 'probe', next: 5 });
    solo.ack('2', 4);
    expect(two()).toMatchObject({ state: 'replicate', match: 4 });
  });
});

describe('the disk', () => {
  test('a write under way says nothing about the snapshot that replaces its log meanwhile', () => {
    const solo = new Solo({ log: [1], term: 1, commit: 1 });
    const { host } = solo;
    const append = { type: 'Append', group: 1, from: '2', to: '1' } as const;
    const entries = [entry(2, 1), entry(3, 1), entry(4, 1), entry(5, 1)];
    host.step({ ...append, term: 1, prevIndex: 1, prevTerm: 1, commit: 1, entries });
    host.takeReady();
    const meta = { index: 3, term: 2, configuration: THREE };
    const state = { index: 3, term: 2, hash: 5 };
    host.receiveSnapshot({ kind: 'snapshot', from: '3', to: '1', term: 2, meta, state, starts: 1 });
    host.takeReady();
    solo.take();
    // The first write ends: entries 2 to 5 are on disk, and are nobody's log any more.
    host.persist();
    expect(host.status).toMatchObject({ persistedIndex: 1, lastIndex: 3, commit: 3 });
    expect(solo.take().filter(({ term }) => term === 2)).toEqual([]);
    solo.settle();
    expect(host.status).toMatchObject({ persistedIndex: 3, applied: 3 });
    expect(solo.take('AppendResponse')).toMatchObject([{ to: '3', term: 2, index: 3 }]);
  });
});

describe('elections', () => {
  test('who does not win tries again sooner than a follower would, then ever later, up to the ordinary time-out', () => {
    const solo = new Solo({ options: { electionTicks: 40, random: () => 0 } });
    const waits: number[] = [];
    for (let ticks = 0; waits.length < 7; ticks++) {
      solo.tick();
      if (solo.take('VoteRequest').length === 0) continue;
      waits.push(ticks);
      ticks = 0;
    }
    // The first is a follower's patience.
    expect(waits.map((wait) => Math.ceil(wait / 10) * 10)).toEqual([40, 10, 20, 40, 40, 40, 40]);
  });

  test('whoever has just granted a vote does not disturb with the pre-vote of its own hint', () => {
    const solo = new Solo({ term: 1, options: { random: () => 0.5, crashHintTicks: 5 } });
    solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 });
    solo.host.peerLost('2');
    solo.settle();
    const ask = { type: 'VoteRequest', from: '3', term: 2, lastIndex: 0, lastTerm: 0, transfer: false } as const;
    solo.step({ ...ask, preVote: true });
    solo.tick(4);
    expect(solo.status.role).toBe('follower');
    solo.step({ ...ask, preVote: false });
    expect(solo.status.vote).toBe('3');
    solo.tick(9);
    expect(solo.status).toMatchObject({ role: 'follower', term: 2 });
  });

  test('a heartbeat takes a hint back', () => {
    const solo = new Solo({ term: 1, options: { random: () => 0.5, crashHintTicks: 5 } });
    solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 });
    solo.host.peerLost('2');
    solo.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 2 });
    solo.tick(8);
    expect(solo.status).toMatchObject({ role: 'follower', leader: '2' });
  });
});
