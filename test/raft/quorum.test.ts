import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { majorityIndex, quorumIndex, voteResult } from '../../src/raft/quorum.ts';
import type { Configuration } from '../../src/raft/types.ts';

const IDS = ['1', '2', '3', '4', '5', '6', '7', '8', '9'];

function configuration(voters: string[], votersOutgoing: string[] = []): Configuration {
  return { voters, votersOutgoing, learners: [], learnersNext: [], autoLeave: false };
}

/** Slow and obvious: try every value that anybody has, keep the largest that a majority of each set has reached. */
function slowQuorumIndex(sets: string[][], values: Map<string, number>): number {
  let best = 0;
  for (const candidate of values.values()) {
    const reached = sets.every((set) => set.filter((id) => (values.get(id) ?? 0) >= candidate).length * 2 > set.length);
    if (reached && candidate > best) best = candidate;
  }
  return best;
}

/** Slow and obvious: fill in the open votes in every way; won if all end in a majority, lost if none does. */
function slowVoteResult(sets: string[][], votes: Map<string, boolean>): string {
  const open = [...new Set(sets.flat())].filter((id) => !votes.has(id));
  let wins = 0;
  for (let mask = 0; mask < 1 << open.length; mask++) {
    const all = new Map(votes);
    open.forEach((id, bit) => all.set(id, (mask & (1 << bit)) !== 0));
    if (sets.every((set) => set.filter((id) => all.get(id)).length * 2 > set.length)) wins++;
  }
  // With all open votes granted it is won; if even then not, it is lost. If it is won with none of them, it is won.
  if (wins === 0) return 'lost';
  return wins === 1 << open.length ? 'won' : 'pending';
}

const voters = fc.subarray(IDS, { minLength: 1, maxLength: 5 });
const outgoing = fc.subarray(IDS, { minLength: 0, maxLength: 5 });
const values = fc.dictionary(fc.constantFrom(...IDS), fc.nat(6)).map((record) => new Map(Object.entries(record)));
const votes = fc.dictionary(fc.constantFrom(...IDS), fc.boolean()).map((record) => new Map(Object.entries(record)));

describe('quorum', () => {
  test('the index of a quorum is that of a slow twin, joint or not', () => {
    fc.assert(
      fc.property(voters, outgoing, values, (incoming, old, reached) => {
        const sets = old.length > 0 ? [incoming, old] : [incoming];
        const index = quorumIndex(configuration(incoming, old), (id) => reached.get(id) ?? 0);
        expect(index).toBe(slowQuorumIndex(sets, reached));
      }),
      { numRuns: 2000 },
    );
  });

  test('the result of a vote is that of a slow twin, joint or not', () => {
    fc.assert(
      fc.property(voters, outgoing, votes, (incoming, old, cast) => {
        const sets = old.length > 0 ? [incoming, old] : [incoming];
        expect(voteResult(configuration(incoming, old), cast)).toBe(slowVoteResult(sets, cast));
      }),
      { numRuns: 2000 },
    );
  });

  test('two quorums of one configuration always share a voter', () => {
    fc.assert(
      fc.property(voters, outgoing, fc.subarray(IDS), (incoming, old, some) => {
        const inside = new Set(some);
        const others = new Map(IDS.map((id) => [id, !inside.has(id)]));
        const these = new Map(IDS.map((id) => [id, inside.has(id)]));
        const joint = configuration(incoming, old);
        expect(voteResult(joint, these) === 'won' && voteResult(joint, others) === 'won').toBe(false);
      }),
    );
  });

  test.each([
    [[5], 5],
    [[5, 3], 3],
    [[5, 3, 4], 4],
    [[9, 1, 1, 1], 1],
    [[9, 8, 7, 1, 0], 7],
  ])('a majority of %j has reached %i', (reached, index) => {
    const ids = reached.map((_, i) => String(i));
    expect(majorityIndex(ids, (id) => reached[Number(id)]!)).toBe(index);
  });

  test('without voters nothing commits and nobody wins', () => {
    expect(quorumIndex(configuration([]), () => 7)).toBe(0);
    expect(quorumIndex(configuration([]), () => 7, -Infinity)).toBe(-Infinity);
    expect(voteResult(configuration([]), new Map([['1', true]]))).toBe('lost');
  });

  test('learners do not count', () => {
    const withLearner: Configuration = { ...configuration(['1', '2', '3']), learners: ['4'] };
    expect(quorumIndex(withLearner, (id) => (id === '1' || id === '4' ? 9 : 2))).toBe(2);
    expect(
      voteResult(
        withLearner,
        new Map([
          ['1', true],
          ['4', true],
        ]),
      ),
    ).toBe('pending');
  });
});
