/** Regressions for seeded defects that no test noticed (test/mutants), each named after one. */
import { describe, expect, test } from 'vitest';
import { configuration } from '../sim/cluster.ts';
import { entry, Solo, THREE } from './solo.ts';

describe('seeded defects', () => {
  test('own-vote-before-disk: a write that was under way before the campaign does not carry the vote', () => {
    const solo = new Solo({ members: configuration(['1']), term: 1, options: { random: () => 0 } });
    const { host } = solo;
    const append = { type: 'Append', group: 1, from: '2', to: '1', term: 2 } as const;
    host.step({ ...append, prevIndex: 0, prevTerm: 0, commit: 0, entries: [entry(1, 2)] });
    // The write of the entry and of term 2 is on its way, not for so long that the disk would count as stalled, when the node stands for election.
    for (let i = 0; i < 5; i++) host.tick();
    host.takeReady();
    for (let i = 0; i < 40 && host.status.role === 'follower'; i++) host.tick();
    expect(host.status).toMatchObject({ role: 'candidate', term: 3, vote: '1' });
    host.persist(1);
    expect(host.status.role).toBe('candidate');
    solo.settle();
    expect(host.status.role).toBe('leader');
  });

  test('snapshot-discards-the-log-behind-it: entries behind a snapshot whose last entry is known are kept', () => {
    const solo = new Solo({ log: [1, 1, 1, 1, 1], term: 1, commit: 1 });
    const snapshot = { index: 3, term: 1, configuration: THREE };
    solo.step({ type: 'InstallSnapshot', from: '2', term: 1, snapshot });
    expect(solo.status).toMatchObject({ firstIndex: 1, lastIndex: 5, persistedIndex: 5, commit: 3, leader: '2' });
    expect(solo.take('AppendResponse')).toMatchObject([{ to: '2', rejected: false, index: 3 }]);
  });

  test('reads-kept-over-leader-change: what the last leader was asked is refused, so that the next one is asked', () => {
    const solo = new Solo({ term: 1 });
    const heartbeat = { type: 'Heartbeat', commit: 0, round: 1 } as const;
    solo.step({ ...heartbeat, from: '2', term: 1 });
    const answers: (number | null)[] = [];
    solo.host.readIndex((index) => answers.push(index));
    solo.settle();
    const asked = solo.take('ReadIndexRequest');
    expect(asked).toMatchObject([{ to: '2' }]);
    solo.step({ ...heartbeat, from: '3', term: 2 });
    expect(answers).toEqual([null]);
    // The answer of the leader before is nobody's any more.
    const { bootEpoch, token } = asked[0]!;
    solo.step({ type: 'ReadIndexResponse', from: '2', term: 2, bootEpoch, token, index: 0 });
    expect(answers).toEqual([null]);
  });

  test('a snapshot that is older than what is committed is acknowledged with what is there', () => {
    const solo = new Solo({ log: [1, 1, 1], term: 1, commit: 3 });
    solo.take();
    const snapshot = { index: 2, term: 1, configuration: THREE };
    solo.step({ type: 'InstallSnapshot', from: '2', term: 1, snapshot });
    expect(solo.take('AppendResponse')).toMatchObject([{ to: '2', rejected: false, index: 3 }]);
    expect(solo.status).toMatchObject({ leader: '2', commit: 3, firstIndex: 1 });
  });

  test('an Append that ends before the commit index is acknowledged with the commit index', () => {
    const solo = new Solo({ log: [1, 1, 1], term: 1, commit: 3 });
    solo.take();
    const append = { type: 'Append', from: '2', term: 1, prevIndex: 0, prevTerm: 0, commit: 3 } as const;
    solo.step({ ...append, entries: [entry(1, 1)] });
    expect(solo.take('AppendResponse')).toMatchObject([{ rejected: false, index: 3 }]);
    expect(solo.terms).toEqual([1, 1, 1]);
  });

  test('a leader that refuses proposals and reads says why', () => {
    const follower = new Solo({ term: 1 });
    expect(follower.host.propose([])).toEqual({ status: 'notLeader', leader: null });
    follower.step({ type: 'Heartbeat', from: '2', term: 1, commit: 0, round: 1 });
    expect(follower.host.propose([])).toEqual({ status: 'notLeader', leader: '2' });
    follower.take();
    const request = { type: 'ReadIndexRequest', from: '3', bootEpoch: 4, token: 9 } as const;
    follower.step({ ...request, term: 1 });
    follower.step({ ...request, term: 0 });
    const refusal = { to: '3', term: 1, bootEpoch: 4, token: 9, index: null };
    expect(follower.take('ReadIndexResponse')).toMatchObject([refusal, refusal]);
  });

  test('a follower that was silent gets no snapshot until it speaks', () => {
    const solo = new Solo({ log: [1, 1, 1, 1], term: 1, commit: 4 });
    solo.lead();
    solo.ack('2', 5);
    expect(solo.status.commit).toBe(5);
    solo.host.flush();
    solo.settle();
    // The next synced write takes the flushed state to the disk with it.
    solo.propose('y');
    solo.ack('2', 6);
    expect(solo.host.compact(5)).toBe(5);
    solo.settle();
    expect(solo.status.progress).toMatchObject([
      { id: '2', state: 'replicate' },
      { id: '3', state: 'probe' },
    ]);
    solo.take();
    // Refused below the first entry: it speaks, so it gets its snapshot, and no Append while that is on its way.
    const refusal = { type: 'AppendResponse', from: '3', rejected: true, index: 4, hintIndex: 0, hintTerm: 0 } as const;
    solo.step({ ...refusal, term: solo.status.term });
    expect(solo.status.progress[1]).toMatchObject({ id: '3', state: 'snapshot' });
    solo.propose('x');
    expect(solo.take('Append').map(({ to }) => to)).toEqual(['2']);
    // It caught up by itself, whatever became of the stream.
    solo.ack('3', 5);
    expect(solo.status.progress[1]).toMatchObject({ state: 'replicate', match: 5, next: 8 });
    expect(solo.take('Append')).toMatchObject([{ to: '3', prevIndex: 5 }]);
  });
});
