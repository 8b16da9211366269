/**
 * What keys of the DHT stand for. A key is the hash of a name, and a name says who may write under it:
 *
 * | name | what | who writes |
 * |---|---|---|
 * | `node/<id>` | value: how a node is reached | that node |
 * | `group/<n>` | providers: nodes that have a replica of the group | each for itself |
 * | `service/<name>` | providers: nodes that host instances of the service | each for itself |
 * | `user/<key>` | value: whatever users put | every node |
 */
import { createHash } from 'node:crypto';
import type { DhtId, RecordKind } from '../../dht/index.ts';

export type DhtName =
  | { readonly space: 'node'; readonly id: string }
  | { readonly space: 'group'; readonly group: number }
  | { readonly space: 'service'; readonly service: string }
  | { readonly space: 'user'; readonly key: string };

/** Bytes of the name of a service, and of a key of users. */
export const MAX_PART_BYTES = 512;

const KINDS: Readonly<Record<DhtName['space'], RecordKind>> = {
  node: 'value',
  group: 'provider',
  service: 'provider',
  user: 'value',
};

const LONE_SURROGATE = /\p{Surrogate}/u;
const encoder = new TextEncoder();

/** Null for what is no name. There is one way to write each. */
export function parseName(text: string): DhtName | null {
  const slash = text.indexOf('/');
  if (slash < 0) return null;
  const part = text.slice(slash + 1);
  switch (text.slice(0, slash)) {
    case 'node':
      return /^(?:0|[1-9]\d{0,19})$/.test(part) ? { space: 'node', id: part } : null;
    case 'group':
      return /^[1-9]\d{0,8}$/.test(part) ? { space: 'group', group: Number(part) } : null;
    case 'service':
      return isPart(part) ? { space: 'service', service: part } : null;
    case 'user':
      return isPart(part) ? { space: 'user', key: part } : null;
    default:
      return null;
  }
}

export function kindOf({ space }: DhtName): RecordKind {
  return KINDS[space];
}

/** Where a name is kept. A peer id has no slash, so no name hashes to where a node is. */
export function keyOf(name: string): DhtId {
  return new Uint8Array(createHash('sha256').update(name, 'utf8').digest());
}

/** The position of a node, which follows from its peer id: nobody chooses it. */
export function dhtIdOf(peerId: string): DhtId {
  return new Uint8Array(createHash('sha256').update(peerId, 'utf8').digest());
}

function isPart(part: string): boolean {
  if (part === '' || part.length > MAX_PART_BYTES || LONE_SURROGATE.test(part)) return false;
  return encoder.encode(part).length <= MAX_PART_BYTES;
}
