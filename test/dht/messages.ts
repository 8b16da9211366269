/** Messages for tests: well-formed ones, and frames that no honest peer sends. */
import * as fc from 'fast-check';

import type { Contact, DhtMessage, SignedRecord } from '../../src/dht/index.ts';
import { someId } from './ids.ts';
import { idOf, keyOf, signatureOf } from './network.ts';

const KEYS = ['a', 'b', 'c'].map(keyOf);
const PEERS = ['n0', 'n1', 'n2', 'm0', 'm1', 'm2', 'm3'];

const id = fc.oneof(someId, fc.constantFrom(...KEYS), fc.constantFrom(...PEERS.map(idOf)));
const peerId = fc.oneof(fc.constantFrom(...PEERS), fc.string({ minLength: 1, maxLength: 20 }));
const rpc = fc.oneof(fc.nat(40), fc.nat(2 ** 32 - 1));
const count = fc.integer({ min: 1, max: 64 });
const kind = fc.constantFrom('value', 'provider');

export const contact: fc.Arbitrary<Contact> = fc.oneof(
  fc.record({ id, peerId, name: fc.constant('x'), addresses: fc.array(fc.constant('h:1'), { maxLength: 8 }) }),
  // One that is where its peer id puts it.
  peerId.map((peer) => ({ id: idOf(peer), peerId: peer, name: 'y', addresses: ['h:2'] })),
);

export const record: fc.Arbitrary<SignedRecord> = fc.record({
  kind,
  key: id,
  value: fc.uint8Array({ maxLength: 64 }),
  seq: fc.oneof(fc.nat(3), fc.maxSafeNat()),
  notAfter: fc.oneof(fc.integer({ min: 0, max: 10_000_000 }), fc.maxSafeNat()),
  peerId,
  signature: fc.oneof(fc.uint8Array({ maxLength: 256 }), fc.constant(signatureOf('n0', new Uint8Array(0)))),
});

const contacts = fc.array(contact, { maxLength: 64 });

export const message: fc.Arbitrary<DhtMessage> = fc.oneof(
  fc.record({ type: fc.constantFrom('Ping', 'Pong'), rpc }),
  fc.record({ type: fc.constant('FindNode'), rpc, target: id, count }),
  fc.record({ type: fc.constant('FindRecords'), rpc, kind, key: id, count }),
  fc.record({ type: fc.constant('Store'), rpc, record }),
  fc.record({ type: fc.constant('Nodes'), rpc, contacts }),
  fc.record({ type: fc.constant('Records'), rpc, contacts, records: fc.array(record, { maxLength: 32 }) }),
  fc.record({ type: fc.constant('Stored'), rpc, refused: fc.constantFrom(null, 'full', 'older') }),
) as fc.Arbitrary<DhtMessage>;

/** A message in which something was exchanged for something else, or no message at all. */
export const frame: fc.Arbitrary<unknown> = fc.oneof(
  fc.anything({ withBigInt: true, withTypedArray: true, withNullPrototype: true, withMap: true }),
  fc.tuple(message, fc.nat(9), fc.anything({ withTypedArray: true })).map(([given, place, junk]) => {
    const fields: Record<string, unknown> = { ...given };
    const names = Object.keys(fields);
    fields[names[place % names.length] ?? 'type'] = junk;
    return fields;
  }),
  message,
);
