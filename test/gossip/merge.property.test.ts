/** It does not matter in which order, how often, and in which company statements come: whoever has heard the same holds the same. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Member, Statement } from '../../src/gossip/types.ts';
import { alive, dead, idOf, incarnationOf, left, Solo, suspect } from './solo.ts';

const MEMBERS = 4;
const COUNTERS = 4;

/** Of members that are known, and accused only of incarnations that they have had. */
const history: fc.Arbitrary<Statement[]> = fc
  .array(
    fc.record({
      kind: fc.constantFrom('alive', 'alive', 'suspect', 'suspect', 'dead', 'left'),
      of: fc.integer({ min: 1, max: MEMBERS }),
      by: fc.integer({ min: 1, max: MEMBERS }),
      counter: fc.nat({ max: COUNTERS - 1 }),
    }),
    { maxLength: 24 },
  )
  .map((drawn) => {
    const statements: Statement[] = [];
    for (const { kind, of, by, counter } of drawn) {
      statements.push(alive(of, counter, { metadata: Uint8Array.of(counter) }));
      if (kind === 'left') statements.push(left(of, counter));
      else if (kind !== 'alive' && of !== by)
        statements.push(kind === 'dead' ? dead(of, by, counter) : suspect(of, by, counter));
    }
    return statements;
  });

/** The same, in another order and with repetitions, in messages of some. */
const retold = history.chain((statements) =>
  fc.record({
    statements: fc.constant(statements),
    order: fc.shuffledSubarray([...statements, ...statements], {
      minLength: 2 * statements.length,
      maxLength: 2 * statements.length,
    }),
    batch: fc.integer({ min: 1, max: 7 }),
  }),
);

function held(solo: Solo): unknown[] {
  const byId = (left: Member, right: Member): number => (left.id < right.id ? -1 : 1);
  return solo.core
    .members()
    .sort(byId)
    .map(({ id, state, incarnation, metadata }) => ({ id, state, incarnation, metadata: [...metadata] }));
}

describe('statements', () => {
  it('in any order, repeated, in any company, give the same table', () => {
    fc.assert(
      fc.property(retold, ({ statements, order, batch }) => {
        const [first, second] = [new Solo(MEMBERS + 1), new Solo(MEMBERS + 1, {}, 2)];
        for (const statement of statements) first.hear(1, statement);
        for (let i = 0; i < order.length; i += batch) second.hear(2, ...order.slice(i, i + batch));
        expect(held(second)).toEqual(held(first));
      }),
    );
  });

  it('the table is what the strongest of them say', () => {
    const rank = { alive: 0, suspect: 1, dead: 2, left: 3 };
    fc.assert(
      fc.property(retold, ({ order }) => {
        const solo = new Solo(MEMBERS + 1);
        solo.hear(1, ...order);
        for (let member = 1; member <= MEMBERS; member++) {
          const said = [alive(member), ...order.filter(({ id }) => id === idOf(member))];
          const strongest = said.reduce((most, one) => {
            const newer = one.incarnation - most.incarnation || rank[one.kind] - rank[most.kind];
            return newer > 0 ? one : most;
          });
          expect(solo.core.member(idOf(member))).toMatchObject({
            state: strongest.kind,
            incarnation: strongest.incarnation,
          });
        }
      }),
    );
  });

  it('what is told twice is passed on and verified once', () => {
    fc.assert(
      fc.property(history, (statements) => {
        const solo = new Solo(MEMBERS + 1);
        for (const statement of statements) solo.hear(1, statement);
        const { verifications } = solo.core.stats();
        solo.takeTold();
        const before = held(solo);
        // Suspicions by others than those that were counted may still confirm: those are heard first.
        for (const statement of statements) solo.hear(2, statement);
        const again = solo.core.stats().verifications;
        for (const statement of statements) solo.hear(3, statement);
        expect(solo.core.stats().verifications).toBe(again);
        expect(again - verifications).toBeLessThanOrEqual(MEMBERS * 2);
        expect(held(solo)).toEqual(before);
        expect(solo.takeTold()).toEqual([]);
      }),
    );
  });

  it('this node refutes whatever is said against it, and ends above it', () => {
    const against = fc.array(
      fc.record({ death: fc.boolean(), by: fc.integer({ min: 1, max: MEMBERS }), counter: fc.nat({ max: 6 }) }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(against, (said) => {
        const solo = new Solo(MEMBERS + 1);
        for (const { death, by, counter } of said) {
          const before = solo.core.incarnation;
          solo.hear(by, death ? dead(0, by, counter) : suspect(0, by, counter));
          // Only what is said of the present incarnation needs an answer.
          expect(solo.core.incarnation).toBe(before === incarnationOf(counter) ? before + 1 : before);
          expect(solo.stateOf(0)).toBe('alive');
        }
      }),
    );
  });
});
