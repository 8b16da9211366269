/** What follows from a configuration and a change, against a slow twin; and that quorums of consecutive configurations meet. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changed, isJoint, left } from '../../src/raft/change.ts';
import { EMPTY_CONFIGURATION, encodeConfiguration, isVoter, members } from '../../src/raft/configuration.ts';
import { voteResult } from '../../src/raft/quorum.ts';
import type { Configuration, ConfigurationChange, MemberChange, NodeId } from '../../src/raft/types.ts';

const IDS = ['1', '2', '3', '4', '5', '6', '7'];
type Part = MemberChange['to'];

const parts = fc.constantFrom<Part>('voter', 'learner', 'removed');
const change = fc.record(
  {
    changes: fc.uniqueArray(fc.record({ id: fc.constantFrom(...IDS), to: parts }), {
      maxLength: 5,
      selector: ({ id }) => id,
    }),
    context: fc.constantFrom('a', 'b', null, undefined),
  },
  { requiredKeys: ['changes'] },
) as fc.Arbitrary<ConfigurationChange>;
/** Not joint. */
const plain = fc
  .tuple(fc.shuffledSubarray(IDS, { minLength: 2 }), fc.nat(3), fc.option(fc.constant('a'), { nil: undefined }))
  .map(([ids, learnerCount, context]): Configuration => {
    const count = Math.min(learnerCount, ids.length - 1);
    const rest = context === undefined ? {} : { context };
    return { ...EMPTY_CONFIGURATION, voters: ids.slice(count), learners: ids.slice(0, count), ...rest };
  });

/** Slow and obvious: a part for each id, before and after. */
function twin(
  current: Configuration,
  asked: ConfigurationChange,
): { voters: Set<NodeId>; learners: Set<NodeId>; unknown: boolean } {
  const part = new Map<NodeId, Part>();
  for (const id of IDS) {
    part.set(id, current.voters.includes(id) ? 'voter' : current.learners.includes(id) ? 'learner' : 'removed');
  }
  let unknown = false;
  for (const { id, to } of asked.changes) {
    if (to === 'removed' && part.get(id) === 'removed') unknown = true;
    part.set(id, to);
  }
  const these = (wanted: Part): Set<NodeId> => new Set(IDS.filter((id) => part.get(id) === wanted));
  return { voters: these('voter'), learners: these('learner'), unknown };
}

/** Whether some quorum of the one and some of the other have nobody in common. */
function canPart(a: Configuration, b: Configuration): boolean {
  for (let mask = 0; mask < 1 << IDS.length; mask++) {
    const these = new Map(IDS.map((id, bit) => [id, (mask & (1 << bit)) !== 0]));
    const others = new Map(IDS.map((id, bit) => [id, (mask & (1 << bit)) === 0]));
    if (voteResult(a, these) === 'won' && voteResult(b, others) === 'won') return true;
  }
  return false;
}

describe('a change', () => {
  test('leads to what a slow twin says, in one step when the voters stay and in two otherwise', () => {
    fc.assert(
      fc.property(plain, change, (current, asked) => {
        const { voters, learners, unknown } = twin(current, asked);
        const next = changed(current, asked);
        if (unknown || voters.size === 0) {
          expect(next).toBe(unknown ? 'unknownMember' : 'noVoters');
          return;
        }
        if (typeof next === 'string') throw new Error(next);
        const votersChange = voters.size !== current.voters.length || current.voters.some((id) => !voters.has(id));
        expect(isJoint(next)).toBe(votersChange);
        if (isJoint(next)) {
          expect(next).toMatchObject({ votersOutgoing: current.voters, autoLeave: true });
          // In the meantime everybody has one part, and nobody who voted stops.
          for (const id of current.voters) expect(isVoter(next, id)).toBe(true);
          for (const id of next.learners) expect(isVoter(next, id)).toBe(false);
          for (const id of next.learnersNext) expect(isVoter(next, id)).toBe(true);
        }
        const end = isJoint(next) ? left(next) : next;
        expect(new Set(end.voters)).toEqual(voters);
        expect(new Set(end.learners)).toEqual(learners);
        expect(end).toMatchObject({ votersOutgoing: [], learnersNext: [], autoLeave: false });
        expect(members(end).length).toBe(end.voters.length + end.learners.length);
        const context = asked.context === undefined ? current.context : asked.context;
        expect([next.context, end.context]).toEqual([context, context]);
        // The same again changes nothing, to the byte: no removals, which would be of strangers.
        const again = { changes: asked.changes.filter(({ to }) => to !== 'removed') };
        const same = changed(end, again);
        if (typeof same === 'string') throw new Error(same);
        expect(encodeConfiguration(same)).toEqual(encodeConfiguration(end));
      }),
      { numRuns: 3000 },
    );
  });

  test('after another, any quorum of each configuration meets any of itself and of the next', () => {
    fc.assert(
      fc.property(plain, fc.array(change, { minLength: 1, maxLength: 6 }), (first, changes) => {
        const chain = [first];
        for (const asked of changes) {
          const next = changed(chain.at(-1)!, asked);
          if (typeof next === 'string') continue;
          chain.push(next);
          if (isJoint(next)) chain.push(left(next));
        }
        chain.forEach((one, i) => {
          expect(canPart(one, one)).toBe(false);
          const next = chain[i + 1];
          if (next !== undefined) expect(canPart(one, next)).toBe(false);
        });
      }),
      { numRuns: 300 },
    );
  });

  test('that skipped the joint configuration could part: the twin of the proof', () => {
    const of = (...voters: NodeId[]): Configuration => ({ ...EMPTY_CONFIGURATION, voters });
    expect(canPart(of('1', '2', '3'), of('3', '4', '5'))).toBe(true);
  });

  test('names nobody twice', () => {
    const twice = {
      changes: [
        { id: '1', to: 'learner' as const },
        { id: '1', to: 'voter' as const },
      ],
    };
    expect(changed({ ...EMPTY_CONFIGURATION, voters: ['1', '2'] }, twice)).toBe('duplicateMember');
  });

  test('does not begin in a joint configuration, and only that is left', () => {
    const joint = { ...EMPTY_CONFIGURATION, voters: ['1'], votersOutgoing: ['2'] };
    expect(() => changed(joint, { changes: [] })).toThrow('left before the next change');
    expect(() => left({ ...EMPTY_CONFIGURATION, voters: ['1'] })).toThrow('Only a joint configuration is left');
  });
});
