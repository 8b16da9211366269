/** Statements and messages of any content within the limits. */
import * as fc from 'fast-check';
import { LIMITS } from '../../src/gossip/settings.ts';
import type { GossipMessage, Statement } from '../../src/gossip/types.ts';

const memberId = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
const incarnation = fc.oneof(fc.nat(), fc.maxSafeNat());
const signature = fc.uint8Array({ maxLength: LIMITS.signatureBytes });

export const statement: fc.Arbitrary<Statement> = fc.oneof(
  fc.record({
    kind: fc.constant('alive' as const),
    id: memberId,
    peerId: fc.string({ minLength: 1, maxLength: 20 }),
    incarnation,
    name: fc.string({ maxLength: 20 }),
    role: fc.constantFrom('voter' as const, 'learner' as const, 'agent' as const),
    addresses: fc.array(fc.string({ maxLength: 30 }), { maxLength: LIMITS.addresses }),
    http: fc.string({ maxLength: 20 }),
    metadata: fc.uint8Array({ maxLength: 40 }),
    signature,
  }),
  fc.record({ kind: fc.constant('left' as const), id: memberId, incarnation, signature }),
  fc
    .record({
      kind: fc.constantFrom('suspect' as const, 'dead' as const),
      id: memberId,
      incarnation,
      by: memberId,
      signature,
    })
    .filter(({ id, by }) => id !== by),
);

const sequence = fc.nat();
const health = fc.nat({ max: 255 });
const updates = fc.array(statement, { maxLength: 6 });

export const message: fc.Arbitrary<GossipMessage> = fc.oneof(
  fc.record({ type: fc.constantFrom('ping' as const, 'ack' as const), sequence, health, updates }),
  fc.record({ type: fc.constant('pingRequest' as const), sequence, target: memberId, updates }),
  fc.record({ type: fc.constant('nack' as const), sequence }),
  fc.record({ type: fc.constant('gossip' as const), updates }),
  fc.record({
    type: fc.constant('digest' as const),
    clusterId: fc.string({ maxLength: 20 }),
    count: fc.nat(),
    hash: fc.tuple(fc.nat(), fc.nat()),
    updates,
  }),
  fc.record({ type: fc.constant('sync' as const), answer: fc.boolean(), statements: updates }),
);
