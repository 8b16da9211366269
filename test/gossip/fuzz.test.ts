/** Whatever comes in: nothing breaks, nothing grows without bound, nobody who lives is driven out. fast-check prints the seed of what it finds. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/gossip/settings.ts';
import type { GossipMessage, Statement } from '../../src/gossip/types.ts';
import { parseGossipMessage, toWire, type WireValue } from '../../src/gossip/wire.ts';
import { message } from './arbitraries.ts';
import { alive, dead, left, Solo, suspect } from './solo.ts';

const MAX_MEMBERS = 12;

/** Anything that a decoder can give. */
const anything = fc.anything({
  withBigInt: true,
  withTypedArray: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withSparseArray: true,
});

/** A message with a field somewhere replaced by something else. */
const damaged = fc
  .record({ sent: message, path: fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 4 }), by: anything })
  .map(({ sent, path, by }): unknown => {
    const copy = structuredClone(toWire(sent)) as unknown[];
    let at = copy;
    for (const step of path.slice(0, -1)) {
      const next = at[step % Math.max(1, at.length)];
      if (!Array.isArray(next)) break;
      at = next as unknown[];
    }
    at[(path.at(-1) ?? 0) % Math.max(1, at.length)] = by;
    return copy;
  });

/** Real statements of real and invented members, in no sensible order. */
const plausible = fc
  .array(
    fc.record({
      of: fc.nat({ max: 30 }),
      by: fc.nat({ max: 30 }),
      counter: fc.nat({ max: 3 }),
      kind: fc.constantFrom('alive', 'suspect', 'dead', 'left'),
    }),
    { maxLength: 10 },
  )
  .chain((drawn) => {
    const updates = drawn.flatMap(({ of, by, counter, kind }): Statement[] => {
      if (kind === 'alive') return [alive(of, counter)];
      if (kind === 'left') return of === 0 ? [] : [left(of, counter)];
      if (of === by) return [];
      return [kind === 'dead' ? dead(of, by, counter) : suspect(of, by, counter)];
    });
    const sequence = fc.nat({ max: 5 });
    return fc.oneof(
      fc.constant<GossipMessage>({ type: 'gossip', updates }),
      sequence.map((number): GossipMessage => ({ type: 'ping', sequence: number, health: 0, updates })),
      sequence.map((number): GossipMessage => ({ type: 'ack', sequence: number, health: 9, updates })),
      sequence.map((number): GossipMessage => ({ type: 'nack', sequence: number })),
      sequence.map((number): GossipMessage => ({ type: 'pingRequest', sequence: number, target: '1001', updates })),
      fc.boolean().map((answer): GossipMessage => ({ type: 'sync', answer, statements: updates })),
      fc
        .nat()
        .map((hash): GossipMessage => ({ type: 'digest', clusterId: 'test', count: 3, hash: [hash, 1], updates })),
    );
  })
  .map((sent): WireValue => toWire(sent));

describe('fuzzed frames', () => {
  it('are messages within the limits, or are refused', () => {
    fc.assert(
      fc.property(fc.oneof(anything, damaged), (frame) => {
        let refused = false;
        const parsed = parseGossipMessage(frame, () => (refused = true));
        expect(refused).toBe(parsed === null);
        // What was read is written and read again as the same.
        if (parsed !== null) expect(parseGossipMessage(toWire(parsed))).toEqual(parsed);
      }),
      { numRuns: 1500 },
    );
  });

  it('a core that receives them stays whole and within its bounds', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            from: fc.nat({ max: 30 }),
            frame: fc.oneof({ weight: 4, arbitrary: plausible }, damaged, anything),
            waitMs: fc.constantFrom(0, 0, 1, 100, 700, 5000),
          }),
          { maxLength: 60 },
        ),
        (steps) => {
          const solo = new Solo(6, { maxMembers: MAX_MEMBERS, maxRelays: 4 });
          for (const { from, frame, waitMs } of steps) {
            solo.takeSent();
            const parsed = parseGossipMessage(frame, (reason) => solo.core.refuse(reason));
            if (parsed !== null) solo.receive(from, parsed);
            // One message sets off a few at most: one for each of its statements, and an answer in parts.
            expect(solo.takeSent().length).toBeLessThanOrEqual(statementsIn(parsed) + 4);
            solo.run(solo.nowMs + waitMs);
            const { alive: living, suspect: suspects, dead: died, left: gone, queued } = solo.core.stats();
            expect(living + suspects + died + gone).toBeLessThanOrEqual(MAX_MEMBERS);
            expect(queued).toBeLessThanOrEqual(MAX_MEMBERS);
            expect(solo.core.members().length).toBe(living + suspects + died + gone);
            expect(solo.stateOf(0)).toBe('alive');
            for (const { message: sent } of solo.sent) {
              if ('updates' in sent) expect(sent.updates.length).toBeLessThanOrEqual(LIMITS.updates);
              expect(parseGossipMessage(toWire(sent))).toEqual(sent);
            }
            expect(solo.core.nextTickMs()).toBeGreaterThan(solo.nowMs);
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});

function statementsIn(message: GossipMessage | null): number {
  if (message === null) return 0;
  if (message.type === 'sync') return message.statements.length;
  return 'updates' in message ? message.updates.length : 0;
}
