/** What cannot be: states and messages that no correct peer and no whole disk brings about. The core stops with a clear word. */
import { describe, expect, test } from 'vitest';
import { createRaft } from '../../src/raft/index.ts';
import type { Entry, InitialState, LogReader } from '../../src/raft/types.ts';
import { DEFAULT_OPTIONS } from '../sim/cluster.ts';
import { entry, Solo, THREE } from './solo.ts';

function reader(terms: readonly number[]): LogReader {
  const stored: Entry[] = terms.map((term, i) => entry(i + 1, term));
  return {
    firstIndex: () => 1,
    lastIndex: () => stored.length,
    term: (index) => (index === 0 ? 0 : stored[index - 1]?.term),
    entries: (from, to) => stored.slice(from - 1, to - 1),
  };
}

function start(terms: readonly number[], initial: Partial<InitialState>, options: object = {}): void {
  const configurations = [{ index: 0, configuration: THREE }];
  const hardState = { term: terms.at(-1) ?? 0, vote: null, commit: 0 };
  const given = { ...DEFAULT_OPTIONS, id: '1', bootEpoch: 1, ...options };
  createRaft(given, reader(terms), { hardState, configurations, appliedIndex: 0, ...initial });
}

describe('options that make no sense', () => {
  const positive = ['electionTicks', 'heartbeatTicks', 'maxAppendBytes', 'maxInflightMessages', 'maxInflightBytes'];
  test.each([...positive, 'maxUncommittedBytes', 'maxApplyBytes'])('%s must be positive', (name) => {
    for (const value of [0, -1, Number.NaN]) {
      expect(() => start([], {}, { [name]: value })).toThrow(`${name} must be positive, is ${value}`);
    }
    expect(() => start([], {}, { electionTicks: 3, heartbeatTicks: 2, [name]: 2.5 })).not.toThrow();
  });

  test('a heartbeat comes more often than an election', () => {
    expect(() => start([], {}, { electionTicks: 5, heartbeatTicks: 5 })).toThrow('less than electionTicks');
    expect(() => start([], {}, { electionTicks: 5, heartbeatTicks: 4 })).not.toThrow();
  });

  test('leases need to know how long a tick is', () => {
    for (const tickMs of [undefined, 0, -1]) {
      expect(() => start([], {}, { leaseReads: true, tickMs })).toThrow('leaseReads needs tickMs');
    }
    expect(() => start([], {}, { leaseReads: true, tickMs: 1 })).not.toThrow();
  });
});

describe('a disk that tells what cannot be', () => {
  test('a log that ends after the stored term', () => {
    expect(() => start([1, 2], { hardState: { term: 1, vote: null, commit: 0 } })).toThrow('after the stored term 1');
  });

  test('a commit index behind the end of the log', () => {
    expect(() => start([1], { hardState: { term: 1, vote: null, commit: 2 } })).toThrow('Commit index 2 is behind');
    expect(() => start([1], { hardState: { term: 1, vote: null, commit: 1 } })).not.toThrow();
  });

  test('an applied index outside the log', () => {
    expect(() => start([1], { appliedIndex: 2 })).toThrow('Applied index 2 is outside');
    expect(() => start([1], { appliedIndex: -1 })).toThrow('Applied index -1 is outside');
    expect(() => start([1], { appliedIndex: 1 })).not.toThrow();
  });

  test('configurations that are not in order', () => {
    const configurations = [3, 3].map((index) => ({ index, configuration: THREE }));
    expect(() => start([1, 1, 1], { configurations })).toThrow('not in the order of their indexes');
  });
});

describe('messages that no correct peer sends', () => {
  const append = { type: 'Append', from: '2', term: 1, prevIndex: 0, prevTerm: 0, commit: 0, entries: [] } as const;

  test('an Append whose entries do not follow its previous index', () => {
    const solo = new Solo({ term: 1 });
    expect(() => solo.step({ ...append, entries: [entry(2, 1)] })).toThrow('An Append after 0 starts with entry 2');
  });

  test('an Append with an entry of a later term than its own', () => {
    const solo = new Solo({ term: 1 });
    expect(() => solo.step({ ...append, entries: [entry(1, 2)] })).toThrow('An entry of term 2 came in term 1');
  });

  test('an Append with another entry where one is committed', () => {
    const solo = new Solo({ log: [1, 1], term: 1, commit: 2 });
    const entries = [entry(1, 1), entry(2, 2), entry(3, 2)];
    expect(() => solo.step({ ...append, term: 2, entries })).toThrow('The committed entry 2 is another one');
  });

  test('a commit index beyond the end of the log', () => {
    const solo = new Solo({ log: [1], term: 1 });
    const heartbeat = { type: 'Heartbeat', from: '2', term: 1, round: 1 } as const;
    expect(() => solo.step({ ...heartbeat, commit: 2 })).toThrow('Commit index 2 is beyond the end of the log');
  });

  test('two leaders in one term', () => {
    const solo = new Solo({ term: 1 });
    solo.step(append);
    expect(() => solo.step({ ...append, from: '3' })).toThrow('Two leaders in term 1: 2 and 3');
  });

  test('entries that the leader itself does not have', () => {
    const solo = new Solo();
    solo.lead();
    expect(() => solo.ack('2', 2)).toThrow('Node 2 has entry 2, its leader only 1');
  });

  test('the answer to a round before it is sent', () => {
    const solo = new Solo();
    solo.lead();
    const answer = { type: 'HeartbeatResponse', from: '2', term: solo.status.term } as const;
    const sent = solo.take('Heartbeat').at(-1)?.round ?? 0;
    solo.step({ ...answer, round: sent });
    expect(() => solo.step({ ...answer, round: sent + 1 })).toThrow(`answered round ${sent + 1} before it was sent`);
  });

  test('a snapshot of a later term than its sender', () => {
    const solo = new Solo({ log: [1], term: 1, commit: 1 });
    const snapshot = { index: 3, term: 2, configuration: THREE };
    const install = { type: 'InstallSnapshot', from: '2', term: 1, snapshot } as const;
    expect(() => solo.step(install)).toThrow('A snapshot of term 2 came in term 1');
  });

  test('a message of another group', () => {
    const solo = new Solo({ term: 1 });
    expect(() => solo.host.step({ ...append, group: 2, to: '1' })).toThrow('the core of another group');
  });
});

describe('messages that are not meant for this node', () => {
  test('to the id that was here before, and its own come back, change nothing', () => {
    const solo = new Solo({ term: 1 });
    const before = solo.status;
    const heartbeat = { type: 'Heartbeat', group: 1, term: 5, commit: 0, round: 1 } as const;
    solo.host.step({ ...heartbeat, from: '2', to: '7' });
    solo.host.step({ ...heartbeat, from: '1', to: '1' });
    solo.settle();
    expect(solo.status).toEqual(before);
    expect(solo.take()).toEqual([]);
  });

  test('answers of a node that is no member change nothing', () => {
    const solo = new Solo();
    solo.lead();
    for (const from of ['2', '3']) solo.ack(from, 1);
    solo.propose('x');
    solo.take();
    const { term, commit } = solo.status;
    solo.ack('9', 2);
    solo.step({ type: 'HeartbeatResponse', from: '9', term, round: 0 });
    solo.host.peerUnreachable('9');
    solo.host.snapshotSent('9', 1, true);
    solo.settle();
    expect(solo.status).toMatchObject({ role: 'leader', commit });
    expect(solo.take()).toEqual([]);
  });
});

describe('the shell', () => {
  test('cannot say that what it was not given is on disk', () => {
    const solo = new Solo({ term: 1 });
    expect(() => solo.host.core.persisted(99)).toThrow('Ready 99 was persisted but never handed out');
  });

  test('cannot compact what is not applied, nor ask for a configuration that was compacted', () => {
    const solo = new Solo({ log: [1, 1, 1], term: 1, commit: 2 });
    expect(() => solo.host.core.compacted(3)).toThrow('Compaction up to 3, but only 2 is applied');
    solo.host.core.compacted(2);
    expect(() => solo.host.core.configurationAt(1)).toThrow('The configuration at 1 was compacted');
    expect(solo.host.core.configurationAt(2)).toEqual(THREE);
  });
});
