/**
 * The chain: the first operation of every batch overwrites one record with the batch's number and a hash of the chain record before it.
 * A batch that went missing between two others is noticed by whoever reads them in order (the scanner of the write-ahead
 * files, before LevelDB opens them), and one that went missing at the end by comparing what the scanner saw last with what
 * LevelDB has after opening.
 */
import { crc32 } from 'node:zlib';
import { decodeNumbers, encodeNumbers } from './record.ts';

export interface ChainLink {
  /** Batches since the database was made, counted from 1. */
  readonly number: number;
  /** Hash of the chain record before this one; 0 for the first. */
  readonly previous: number;
  /** A random number of the process that wrote it: two copies of a directory that were both written to differ. */
  readonly nonce: number;
  /** Hash of this record. */
  readonly hash: number;
  readonly bytes: Uint8Array;
}

export function nextLink(before: ChainLink | null, nonce: number): ChainLink {
  const number = (before?.number ?? 0) + 1;
  const previous = before?.hash ?? 0;
  const bytes = encodeNumbers(number, previous, nonce);
  return { number, previous, nonce, hash: crc32(bytes), bytes };
}

export function decodeLink(bytes: Uint8Array): ChainLink {
  const [number, previous, nonce] = decodeNumbers(bytes, 3, 'the chain record') as [number, number, number];
  return { number, previous, nonce, hash: crc32(bytes), bytes };
}

export function follows(link: ChainLink, before: ChainLink): boolean {
  return link.number === before.number + 1 && link.previous === before.hash;
}
