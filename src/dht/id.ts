/**
 * Ids and their distance: `d(x, y) = x ⊕ y`, as a number (§2.1). It is symmetric, obeys the triangle inequality, and for one x and distance there is exactly one y,
 * so all look-ups of a key come together on the same way.
 */
import { invariant } from '../errors.ts';
import type { DhtId } from './types.ts';

export const ID_BYTES = 32;
export const ID_BITS = 256;

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left === right) return true;
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

/** As numbers of one length, or as words in a dictionary. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const shared = Math.min(left.length, right.length);
  for (let i = 0; i < shared; i++) {
    const difference = (left[i] as number) - (right[i] as number);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Negative: `left` is closer to `target` than `right`. 0: they are the same. */
export function compareDistance(target: DhtId, left: DhtId, right: DhtId): number {
  for (let i = 0; i < ID_BYTES; i++) {
    const l = left[i] as number;
    const r = right[i] as number;
    if (l !== r) {
      const t = target[i] as number;
      return (l ^ t) - (r ^ t);
    }
  }
  return 0;
}

/** ⌊log2⌋ of the distance: the position of the highest bit in which they differ, 255 for the first. -1: they are the same. */
export function log2Distance(left: DhtId, right: DhtId): number {
  for (let i = 0; i < ID_BYTES; i++) {
    const difference = (left[i] as number) ^ (right[i] as number);
    if (difference !== 0) return ID_BITS - 1 - i * 8 - (Math.clz32(difference) - 24);
  }
  return -1;
}

/** The bit of a position, 255 for the first, as 0 or 1. */
export function bitAt(id: DhtId, position: number): number {
  const place = ID_BITS - 1 - position;
  return ((id[place >>> 3] as number) >>> (7 - (place & 7))) & 1;
}

/** The first six bytes of the distance, as a number: enough to order all but the closest neighbours. */
export function distanceHead(target: DhtId, id: DhtId): number {
  const high =
    (((target[0] as number) ^ (id[0] as number)) << 16) |
    (((target[1] as number) ^ (id[1] as number)) << 8) |
    ((target[2] as number) ^ (id[2] as number));
  const low =
    (((target[3] as number) ^ (id[3] as number)) << 16) |
    (((target[4] as number) ^ (id[4] as number)) << 8) |
    ((target[5] as number) ^ (id[5] as number));
  return high * 2 ** 24 + low;
}

/** A uniform id whose distance from `id` has its highest bit at `position`: one of that bucket. */
export function randomIdAt(id: DhtId, position: number, random: () => number): DhtId {
  invariant(position >= 0 && position < ID_BITS, `there is no bit ${position} in an id`);
  const made = Uint8Array.from(id);
  const place = ID_BITS - 1 - position;
  const byte = place >>> 3;
  const below = (1 << (7 - (place & 7))) - 1;
  made[byte] = ((id[byte] as number) & ~below) | (Math.floor(random() * 256) & below);
  made[byte] ^= below + 1;
  for (let i = byte + 1; i < ID_BYTES; i++) made[i] = Math.floor(random() * 256);
  return made;
}

/** An id as a key of a Map: a string of its bytes. */
export function idText(id: DhtId): string {
  return String.fromCharCode(...id);
}
