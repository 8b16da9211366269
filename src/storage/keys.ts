/**
 * Where things lie in the database. Every key begins with a kind byte, then (but for node-wide kinds) the group as a
 * big-endian u32; numbers are big-endian so that key order is index order.
 *
 * | key                                        | value                                                                 |
 * |--------------------------------------------|-----------------------------------------------------------------------|
 * | `00`                                       | chain record: number of the last batch and the hash of the one before |
 * | `01` name                                  | node record (identity, boot epoch, member map …)                      |
 * | `02` group                                 | hard state: term, vote, commit                                        |
 * | `03` group                                 | configurations that are still needed                                  |
 * | `04` group                                 | log record: compacted index and term, last index, data bytes          |
 * | `05` group                                 | state record: generation in use, applied position                     |
 * | `06` group                                 | snapshot being received: generation, source, index, term              |
 * | `10` group index                           | first index of a run of entries of one term → that term               |
 * | `11` group index count                     | a run of so many entry records, the first of them of that index       |
 * | `20` group generation key                  | record of the replicated state                                        |
 */
import type { GroupId } from '../raft/types.ts';
import { readU32BE, readU64BE, writeU32BE, writeU64BE } from './bytes.ts';

export const KIND = {
  chain: 0x00,
  node: 0x01,
  hardState: 0x02,
  configurations: 0x03,
  logMeta: 0x04,
  stateMeta: 0x05,
  receiving: 0x06,
  term: 0x10,
  entry: 0x11,
  state: 0x20,
} as const;

/** Kinds below this are few and small: all of them are read at open. */
export const FIRST_BULK_KIND = 0x10;

export const CHAIN_KEY: Uint8Array = Uint8Array.of(KIND.chain);

/** Length of what stands before the state machine's own key. */
export const STATE_PREFIX_BYTES = 9;

export interface KeyBounds {
  readonly from: Uint8Array;
  /** Exclusive. */
  readonly to: Uint8Array;
}

export function kindKey(kind: number): Uint8Array {
  return Uint8Array.of(kind);
}

export function groupKey(kind: number, group: GroupId): Uint8Array {
  const key = new Uint8Array(5);
  key[0] = kind;
  writeU32BE(key, 1, group);
  return key;
}

/** A key of kind `term`, or the beginning of one of kind `entry`. */
export function indexKey(kind: number, group: GroupId, index: number): Uint8Array {
  const key = new Uint8Array(13);
  key[0] = kind;
  writeU32BE(key, 1, group);
  writeU64BE(key, 5, index);
  return key;
}

/** Key of an extent: `count` entries, the first of them of `index`. Keys alone tell whether the log has a hole. */
export function extentKey(group: GroupId, index: number, count: number): Uint8Array {
  const key = new Uint8Array(17);
  key[0] = KIND.entry;
  writeU32BE(key, 1, group);
  writeU64BE(key, 5, index);
  writeU32BE(key, 13, count);
  return key;
}

export function keyCount(key: Uint8Array): number {
  return readU32BE(key, 13);
}

export function keyGroup(key: Uint8Array): GroupId {
  return readU32BE(key, 1);
}

export function keyIndex(key: Uint8Array): number {
  return readU64BE(key, 5);
}

/** Key of a state record; without `key`, the beginning of the generation. */
export function stateKey(group: GroupId, generation: number, key?: Uint8Array): Uint8Array {
  const full = new Uint8Array(STATE_PREFIX_BYTES + (key === undefined ? 0 : key.length));
  full[0] = KIND.state;
  writeU32BE(full, 1, group);
  writeU32BE(full, 5, generation);
  if (key !== undefined) full.set(key, STATE_PREFIX_BYTES);
  return full;
}

export function keyGeneration(key: Uint8Array): number {
  return readU32BE(key, 5);
}

export function nodeKey(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const key = new Uint8Array(1 + text.length);
  key[0] = KIND.node;
  key.set(text, 1);
  return key;
}

export function nodeName(key: Uint8Array): string {
  return new TextDecoder().decode(key.subarray(1));
}

/** The first key behind all of `kind` and `group`. */
export function groupEnd(kind: number, group: GroupId): Uint8Array {
  return group === 0xffff_ffff ? kindKey(kind + 1) : groupKey(kind, group + 1);
}

/** The first key behind every key that begins with `key`: the key and a zero byte is the next possible one. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1);
  after.set(key);
  return after;
}

/** Keys of a generation, [from, to) by the state machine's own keys. */
export function stateRange(group: GroupId, generation: number, from?: Uint8Array, to?: Uint8Array): KeyBounds {
  return {
    from: stateKey(group, generation, from),
    to: to === undefined ? stateKey(group, generation + 1) : stateKey(group, generation, to),
  };
}
