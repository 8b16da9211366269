/** Statements: which of two counts, the bytes that are signed, and how much room one takes. */
import { invariant } from '../errors.ts';
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
  const writer = new Writer();
  writer.string(DOMAIN);
  writer.string(clusterId);
  writer.byte(KIND[statement.kind]);
  writer.string(statement.id);
  writer.uint64(statement.incarnation);
  if (statement.kind === 'alive') {
    const { peerId, name, role, addresses, http, metadata } = statement;
    writer.string(peerId);
    writer.string(name);
    writer.byte(ROLE[role]);
    writer.byte(addresses.length);
    for (const address of addresses) writer.string(address);
    writer.string(http);
    writer.bytes(metadata);
  } else if (statement.kind !== 'left') writer.string(statement.by);
  return writer.take();
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

/** A frame is read and written many thousand times a second: one buffer serves all of them, and ASCII needs no encoder. */
let scratch = new Uint8Array(4096);

class Writer {
  #at = 0;

  byte(value: number): void {
    this.#need(1);
    scratch[this.#at++] = value;
  }

  uint64(value: number): void {
    const high = Math.floor(value / 2 ** 32);
    this.#need(8);
    for (let shift = 24; shift >= 0; shift -= 8) scratch[this.#at++] = high >>> shift;
    for (let shift = 24; shift >= 0; shift -= 8) scratch[this.#at++] = value >>> shift;
  }

  string(text: string): void {
    const start = this.#at;
    this.#length(text.length);
    this.#need(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) {
        this.#at = start;
        this.bytes(encoder.encode(text));
        return;
      }
      scratch[this.#at++] = code;
    }
  }

  bytes(bytes: Uint8Array): void {
    this.#length(bytes.length);
    this.#need(bytes.length);
    scratch.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  take(): Uint8Array {
    return scratch.slice(0, this.#at);
  }

  #length(length: number): void {
    invariant(length < 2 ** 16, 'A field of a statement is too long');
    this.byte(length >>> 8);
    this.byte(length & 0xff);
  }

  #need(bytes: number): void {
    if (this.#at + bytes <= scratch.length) return;
    const wider = new Uint8Array(2 * (this.#at + bytes));
    wider.set(scratch);
    scratch = wider;
  }
}
