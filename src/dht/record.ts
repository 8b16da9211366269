/** Signed records: the bytes that are signed, which of two is newer, and making one. */
import { compareBytes, ID_BYTES } from './id.ts';
import type { SignedRecord } from './types.ts';

/** Begins what is signed, so that the signature of something else can never be one of a record. */
const DOMAIN = 'kvorum-dht-record-1';

const UTF8 = new TextEncoder();
const TWO_32 = 2 ** 32;

export type UnsignedRecord = Omit<SignedRecord, 'signature'>;

/**
 * What is signed. Every part of no fixed length has its length before it, so that no two records have the same bytes.
 *
 * ```
 * 'kvorum-dht-record-1'  kind u8 (1 value, 2 provider)  cluster id  key 32  seq u64  notAfter u64  peer id  value
 * ```
 * Lengths are u32, all numbers are big-endian.
 */
export function recordBytes(clusterId: string, record: UnsignedRecord): Uint8Array {
  const domain = UTF8.encode(DOMAIN);
  const cluster = UTF8.encode(clusterId);
  const peer = UTF8.encode(record.peerId);
  const { value } = record;
  const bytes = new Uint8Array(
    domain.length + 1 + 4 + cluster.length + ID_BYTES + 16 + 4 + peer.length + 4 + value.length,
  );
  const view = new DataView(bytes.buffer);
  let at = 0;
  const add = (part: Uint8Array): void => {
    bytes.set(part, at);
    at += part.length;
  };
  const addSized = (part: Uint8Array): void => {
    view.setUint32(at, part.length);
    at += 4;
    add(part);
  };
  const addCount = (count: number): void => {
    view.setUint32(at, Math.floor(count / TWO_32));
    view.setUint32(at + 4, count % TWO_32);
    at += 8;
  };
  add(domain);
  bytes[at++] = record.kind === 'value' ? 1 : 2;
  addSized(cluster);
  add(record.key);
  addCount(record.seq);
  addCount(record.notAfter);
  addSized(peer);
  addSized(value);
  return bytes;
}

/**
 * Positive: `left` is to be preferred. Highest seq, then the greater value, then the greater peer id; between two that are the same in all of this, the one that
 * lives longer. Every node chooses alike, in whatever order they come.
 */
export function compareRecords(left: SignedRecord, right: SignedRecord): number {
  if (left.seq !== right.seq) return left.seq - right.seq;
  const values = compareBytes(left.value, right.value);
  if (values !== 0) return values;
  if (left.peerId !== right.peerId) return left.peerId > right.peerId ? 1 : -1;
  return left.notAfter - right.notAfter;
}

/** The same but for the signature: what one says, the other does. */
export function sameRecord(left: SignedRecord, right: SignedRecord): boolean {
  return left.kind === right.kind && compareRecords(left, right) === 0 && compareBytes(left.key, right.key) === 0;
}
