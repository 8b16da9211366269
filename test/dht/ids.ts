/** Ids for tests: many that are alike in most of their bits, so that every corner of a table is reached with a few of them. */
import * as fc from 'fast-check';

import type { Contact, DhtId } from '../../src/dht/index.ts';

export const anyId: fc.Arbitrary<DhtId> = fc.uint8Array({ minLength: 32, maxLength: 32 });

/** Ids that differ in a few bits somewhere. */
export const nearId: fc.Arbitrary<DhtId> = fc
  .array(fc.nat(255), { maxLength: 4 })
  .map((places) => places.reduce<DhtId>((id, place) => flipped(id, place), new Uint8Array(32)));

export const someId: fc.Arbitrary<DhtId> = fc.oneof(anyId, nearId, smallId());

/** The number in the last two bytes. */
export function idOfNumber(number: number): DhtId {
  const id = new Uint8Array(32);
  id[30] = number >>> 8;
  id[31] = number;
  return id;
}

export function numberOf(id: DhtId): bigint {
  return id.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

export function flipped(id: DhtId, position: number): DhtId {
  const made = Uint8Array.from(id);
  const place = 255 - position;
  made[place >>> 3] = (made[place >>> 3] ?? 0) ^ (1 << (7 - (place & 7)));
  return made;
}

export function contactAt(id: DhtId, peerId = `peer ${numberOf(id)}`): Contact {
  return { id, peerId, name: '', addresses: [] };
}

function smallId(): fc.Arbitrary<DhtId> {
  return fc.nat(1_023).map((number) => idOfNumber(number));
}
