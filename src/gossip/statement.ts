/** Statements: which of two counts, the bytes that are signed, and how much room one takes. */
import type { AliveStatement, Details, MemberState, Statement } from './types.ts';

/** Order within one incarnation (SWIM §4.2): what is said by the member itself, that it left, is the last word. */
export const RANK: Readonly<Record<MemberState, number>> = { alive: 0, suspect: 1, dead: 2, left: 3 };

/** Counter of one run of a node, below its boot epoch. */
export const INCARNATIONS_PER_BOOT = 2 ** 20;

/** Signatures of one kind of record are worth nothing as signatures of another. */
const DOMAIN = 'kvorum gossip statement 1';

const KIND: Readonly<Record<Statement['kind'], number>> = { alive: 1, suspect: 2, dead: 3, left: 4 };
const ROLE: Readonly<Record<Details['role'], number>> = { voter: 1, learner: 2, agent: 3 };

const encoder = new TextEncoder();

type Unsigned<T> = T extends Statement ? Omit<T, 'signature'> : never;
export type UnsignedStatement = Unsigned<Statement>;

/**
 * The bytes that are signed: each field with its length before it, so that no two statements have the same. They are computed from what was
 * understood, not from what came over the wire.
 */
export function signedBytes(clusterId: string, statement: UnsignedStatement): Uint8Array {
  const parts: Uint8Array[] = [encoder.encode(DOMAIN), encoder.encode(clusterId), Uint8Array.of(KIND[statement.kind])];
  parts.push(encoder.encode(statement.id), uint64(statement.incarnation));
  if (statement.kind === 'alive') {
    const { peerId, name, role, addresses, http, metadata } = statement;
    parts.push(encoder.encode(peerId), encoder.encode(name), Uint8Array.of(ROLE[role], addresses.length));
    for (const address of addresses) parts.push(encoder.encode(address));
    parts.push(encoder.encode(http), metadata);
  } else if (statement.kind !== 'left') parts.push(encoder.encode(statement.by));
  let length = 0;
  for (const part of parts) length += 2 + part.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes[at] = part.length >>> 8;
    bytes[at + 1] = part.length & 0xff;
    bytes.set(part, at + 2);
    at += 2 + part.length;
  }
  return bytes;
}

/** About what a statement takes in a message: strings and bytes with a header of two, one for the kind, nine for the incarnation. */
export function statementBytes(statement: Statement): number {
  let bytes = 1 + 9 + (2 + statement.id.length) + (2 + statement.signature.length);
  if (statement.kind === 'alive') {
    bytes += 2 + statement.peerId.length + (2 + statement.name.length) + 1 + (2 + statement.http.length);
    for (const address of statement.addresses) bytes += 2 + address.length;
    bytes += 1 + 2 + statement.metadata.length;
  } else if (statement.kind !== 'left') bytes += 2 + statement.by.length;
  return bytes;
}

export function sameDetails(left: AliveStatement, right: AliveStatement): boolean {
  return (
    left.name === right.name &&
    left.role === right.role &&
    left.http === right.http &&
    left.addresses.length === right.addresses.length &&
    left.addresses.every((address, i) => address === right.addresses[i]) &&
    left.metadata.length === right.metadata.length &&
    left.metadata.every((byte, i) => byte === right.metadata[i])
  );
}

function uint64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(value / 2 ** 32));
  view.setUint32(4, value >>> 0);
  return bytes;
}
