/** An invariant that cannot fail proves nothing: each is shown a small world that breaks it, and one that does not. */
import { describe, expect, test } from 'vitest';
import { EMPTY_CONFIGURATION, encodeConfiguration } from '../../src/raft/configuration.ts';
import type {
  Append,
  Configuration,
  Entry,
  IndexedConfiguration,
  Message,
  NodeId,
  Ready,
  RaftStatus,
} from '../../src/raft/types.ts';
import { entry, THREE } from '../raft/solo.ts';
import type { Without } from '../raft/solo.ts';
import { DEFAULT_OPTIONS } from '../sim/cluster.ts';
import { DiskImage } from '../sim/disk.ts';
import { allInvariants } from './index.ts';
import { InvariantViolation } from './world.ts';
import type { NodeView, World, WorldEvent } from './world.ts';

interface Fake {
  id?: NodeId;
  status?: Partial<RaftStatus>;
  log?: readonly Entry[];
  durable?: readonly Entry[];
  term?: number;
  vote?: NodeId | null;
}

function image(entries: readonly Entry[], term: number, vote: NodeId | null): DiskImage {
  const disk = new DiskImage();
  disk.append(entries);
  disk.hardState = { term, vote, commit: 0 };
  return disk;
}

function fake({ id = '1', status = {}, log = [], durable = log, term = 1, vote = null }: Fake): NodeView {
  const lastIndex = log.length;
  return {
    id,
    up: true,
    starts: 1,
    options: { ...DEFAULT_OPTIONS, id, bootEpoch: 1, maxUncommittedBytes: 10, maxInflightMessages: 2 },
    status: {
      id,
      group: 1,
      term,
      vote,
      role: 'follower',
      leader: null,
      commit: 0,
      applied: 0,
      firstIndex: 1,
      lastIndex,
      persistedIndex: lastIndex,
      uncommittedBytes: 0,
      configuration: THREE,
      configurationIndex: 0,
      configurationCommitted: true,
      progress: [],
      ...status,
    },
    log: image(log, term, vote),
    durable: image(durable, term, vote),
    applied: { index: 0, term: 0, hash: 0 },
  };
}

function world(nodes: readonly NodeView[], more: Partial<World> = {}): World {
  const node = (id: NodeId): NodeView => nodes.find((other) => other.id === id) ?? fake({ id });
  return { nodes, node, committed: [], highestCommit: 0, ...more };
}

function ready(more: Partial<Ready>): Ready {
  return {
    seq: 1,
    softState: null,
    hardState: null,
    entries: [],
    snapshot: null,
    configurations: null,
    mustSync: false,
    committed: [],
    messages: [],
    messagesAfterPersist: [],
    readStates: [],
    snapshotRequests: [],
    ...more,
  };
}

/** Runs every invariant over the steps and names those that complain. */
function complaints(steps: readonly (WorldEvent | NodeView)[], inWorld?: World): string[] {
  return allInvariants().flatMap((invariant) => {
    try {
      for (const step of steps) {
        const node = 'type' in step ? step.node : step;
        if ('type' in step) invariant.observe?.(step, inWorld ?? world([node]));
        else invariant.check?.(node, inWorld ?? world([node]));
      }
      return [];
    } catch (error) {
      if (!(error instanceof InvariantViolation)) throw error;
      return [error.invariant];
    }
  });
}

const sent = (node: NodeView, message: Without<Message, 'group'>): WorldEvent => ({
  type: 'sent',
  node,
  message: { group: 1, ...message },
});
const append = (from: NodeId, more: Partial<Append> = {}): Omit<Append, 'group'> => ({
  type: 'Append',
  from,
  to: '9',
  term: 1,
  prevIndex: 0,
  prevTerm: 0,
  commit: 0,
  entries: [],
  ...more,
});
const granted = { type: 'VoteResponse', from: '1', term: 1, preVote: false, granted: true } as const;
const readyOf = (node: NodeView, more: Partial<Ready>): WorldEvent => ({ type: 'ready', node, ready: ready(more) });
const ack = {
  type: 'AppendResponse',
  from: '1',
  to: '2',
  term: 1,
  rejected: false,
  hintIndex: 0,
  hintTerm: 0,
} as const;
const leader = (more: Fake = {}): NodeView => fake({ ...more, status: { role: 'leader', ...more.status } });
const peer = {
  id: '2',
  state: 'replicate',
  match: 0,
  next: 1,
  inflightMessages: 0,
  inflightBytes: 0,
  active: true,
  removed: false,
} as const;

type Listed = readonly [configuration: Configuration, index: number];
const TWO: Configuration = { ...THREE, voters: ['1', '2'] };
const FOUR: Configuration = { ...THREE, voters: ['1', '2', '3', '4'] };
const JOINT: Configuration = { ...FOUR, votersOutgoing: THREE.voters, autoLeave: true };
const JOINT_TWO: Configuration = { ...TWO, votersOutgoing: THREE.voters, autoLeave: true };
const configEntry = (configuration: Configuration, index: number): Entry => ({
  index,
  term: 1,
  kind: 'config',
  data: encodeConfiguration(configuration),
});
const listed = (...list: Listed[]): IndexedConfiguration[] =>
  list.map(([configuration, index]) => ({ configuration, index }));

/** A node whose log begins with the first configuration writes the others, an entry each. */
function changes(first: Listed, ...others: Listed[]): WorldEvent {
  const entries = others.map(([configuration, index]) => configEntry(configuration, index));
  const node = fake({ log: entries });
  (node.log as DiskImage).configurations = listed(first, ...others);
  return readyOf(node, { entries });
}

describe('every invariant can fail', () => {
  const one = fake({});
  const leaving = fake({ status: { configuration: JOINT_TWO } });
  // An entry that is not in force, and one that is although it was cut off.
  const unlisted = readyOf(fake({ log: [configEntry(FOUR, 1)] }), { entries: [configEntry(FOUR, 1)] });
  (unlisted.node.log as DiskImage).configurations = listed([THREE, 0]);
  const kept = readyOf(fake({ log: [entry(1, 2)] }), { entries: [entry(1, 2)] });
  (kept.node.log as DiskImage).configurations = listed([THREE, 0], [FOUR, 1]);
  const long = [entry(1, 1), entry(2, 1)];
  const cases: [name: string, steps: (WorldEvent | NodeView)[], inWorld?: World][] = [
    ['election safety', [sent(one, append('1')), sent(fake({ id: '2' }), append('2'))]],
    ['elected by a quorum', [leader({ vote: '1' })]],
    [
      'leader append-only',
      [readyOf(leader({ log: long }), { entries: long }), readyOf(leader({ log: long }), { entries: [entry(2, 1)] })],
    ],
    [
      'log matching',
      [
        readyOf(fake({ log: [entry(1, 1)] }), { entries: [entry(1, 1)] }),
        readyOf(fake({ id: '2', log: [entry(1, 1, 'other')] }), { entries: [entry(1, 1, 'other')] }),
      ],
    ],
    [
      'leader completeness',
      [
        { type: 'applied', node: fake({ term: 2, status: { commit: 1 } }), entry: entry(1, 1) },
        readyOf(leader({ term: 3, log: [entry(1, 2)] }), { softState: { role: 'leader', leader: '1' } }),
      ],
      world([], { committed: [undefined, entry(1, 1)] }),
    ],
    [
      'state machine safety',
      [
        { type: 'started', node: one },
        { type: 'applied', node: fake({ status: { commit: 5 } }), entry: entry(2, 1) },
      ],
    ],
    [
      'monotonic commit',
      [fake({ status: { lastIndex: 3, commit: 3 } }), fake({ status: { lastIndex: 3, commit: 2 } })],
    ],
    [
      'vote once',
      [sent(fake({ vote: '2' }), { ...granted, to: '2' }), sent(fake({ vote: '3' }), { ...granted, to: '3' })],
    ],
    ['durable before promised', [sent(fake({ vote: null }), { ...granted, to: '2' })]],
    ['durable before promised', [sent(fake({ log: long, durable: [] }), { ...ack, index: 2 })]],
    ['appends are contiguous', [sent(one, append('1', { prevIndex: 4, entries: [entry(6, 1)] }))]],
    [
      'committed by a quorum',
      [leader({ log: long, status: { commit: 0 } }), leader({ log: long, status: { commit: 2 } })].map((node) => ({
        ...node,
        status: { ...node.status, configuration: { ...THREE, voters: ['1', '2', '3'] } },
      })),
    ],
    ['match is true', [leader({ log: long, status: { progress: [{ ...peer, match: 2, next: 3 }] } })]],
    [
      'reads are linearizable',
      [
        { type: 'readAsked', node: one, token: 1 },
        { type: 'readReleased', node: one, token: 1, index: 3 },
      ],
      world([one], { highestCommit: 4 }),
    ],
    ['uncommitted bytes are bounded', [fake({ status: { uncommittedBytes: 5 } })]],
    ['appends in flight are bounded', [fake({ status: { progress: [{ ...peer, inflightMessages: 3 }] } })]],
    [
      'snapshots move forward',
      [readyOf(fake({ status: { commit: 9 } }), { snapshot: { index: 0, term: 1, configuration: THREE } })],
    ],
    ['acknowledged writes are kept', [{ type: 'acknowledged', node: fake({ log: long }), index: 2, term: 1 }]],
    ['learners are passive', [fake({ id: '7', status: { role: 'preCandidate' } })]],
    ['learners are passive', [fake({ id: '7', status: { role: 'leader' } })]],
    ['learners are passive', [sent(one, { type: 'TimeoutNow', from: '1', to: '7', term: 1 })]],
    ['learners are passive', [sent(leaving, { type: 'TimeoutNow', from: '1', to: '3', term: 1 })]],
    [
      'learners are passive',
      [{ type: 'accepted', node: fake({ id: '7', status: { role: 'leader' } }), firstIndex: 2, count: 1, term: 1 }],
    ],
    ['configurations follow each other', [changes([FOUR, 0], [FOUR, 1])]],
    ['configurations follow each other', [changes([THREE, 0], [FOUR, 1])]],
    ['configurations follow each other', [changes([JOINT, 0], [THREE, 1])]],
    ['configurations follow each other', [changes([JOINT, 0], [JOINT, 1])]],
    ['configurations follow each other', [changes([JOINT, 0], [{ ...FOUR, context: 'x' }, 1])]],
    ['configurations follow each other', [changes([{ ...FOUR, voters: ['1', '2', '4', '5'] }, 0], [JOINT, 1])]],
    ['configurations follow each other', [changes([THREE, 0], [{ ...JOINT, autoLeave: false }, 1])]],
    ['configurations follow each other', [changes([THREE, 0], [{ ...JOINT, learners: ['4'] }, 1])]],
    ['configurations follow each other', [changes([THREE, 0], [{ ...THREE, voters: [] }, 1])]],
    ['configurations follow each other', [changes([THREE, 0], [JOINT, 1], [FOUR, 2])], world([], { highestCommit: 0 })],
    ['configurations follow each other', [unlisted]],
    ['configurations follow each other', [kept]],
  ];
  test.each(cases)('%s', (name, steps, inWorld) => {
    expect(complaints(steps, inWorld)).toContain(name);
  });

  test('all of them are in the table', () => {
    expect(new Set(cases.map(([name]) => name))).toEqual(new Set(allInvariants().map(({ name }) => name)));
  });

  test('and none complains of what is right', () => {
    const follower = fake({ vote: '2', log: [entry(1, 1)] });
    const steps = [
      readyOf(follower, { entries: [entry(1, 1)] }),
      sent(follower, { ...granted, to: '2' }),
      sent(follower, { ...ack, index: 1 }),
      follower,
    ];
    expect(complaints(steps)).toEqual([]);
  });

  test('nor of a change in two steps, nor of one that a node finds that knew nothing', () => {
    const first = world([], { highestCommit: 1 });
    expect(complaints([changes([THREE, 0], [JOINT, 1], [FOUR, 2])], first)).toEqual([]);
    expect(complaints([changes([THREE, 0], [{ ...THREE, learners: ['4'] }, 1])])).toEqual([]);
    expect(complaints([changes([EMPTY_CONFIGURATION, 0], [FOUR, 1])])).toEqual([]);
  });

  test('nor of a node that the newest entry takes out, as long as it does not know that it is committed', () => {
    const status = { role: 'candidate', configurationIndex: 1, configurationCommitted: false } as const;
    const node = fake({ id: '3', status: { ...status, configuration: TWO }, log: [entry(1, 1)] });
    (node.log as DiskImage).configurations = listed([JOINT_TWO, 0], [TWO, 1]);
    expect(complaints([node])).toEqual([]);
    expect(complaints([{ ...node, status: { ...node.status, configurationCommitted: true } }])).toEqual([
      'learners are passive',
    ]);
  });
});
