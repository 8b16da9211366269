/** Digests for comparing replicas: equal state gives equal digests; 64 bits, against accidents and not against forgers. */
import { mix32, xxh32 } from '../kv/checksum.ts';
import type { StateRecord } from './types.ts';

/**
 * Over the stored records themselves, as a scan in key order gives them: finds also what a disk did to one of the replicas. Compare at the same applied position.
 *
 * @example
 * const digest = new StateDigest();
 * await store.state.scan((record) => digest.add(record));
 * digest.value(); // '9ae16a3b2f90404f'
 */
export class StateDigest {
  #low = 0;
  #high = 0;

  add({ key, value }: StateRecord): void {
    const keyHash = hash(key, this.#low);
    this.#low = mix32(keyHash, hash(value, keyHash));
    this.#high = mix32(this.#high ^ hash(value, ~keyHash), this.#low);
  }

  /** Sixteen hexadecimal digits. */
  value(): string {
    return hex(this.#high, this.#low);
  }
}

/** Of bytes and of 32-bit words. */
export function digestOf(bytes: Uint8Array, words: readonly number[]): string {
  let low = hash(bytes, 1);
  let high = hash(bytes, 2);
  for (const word of words) {
    low = mix32(low, word);
    high = mix32(high ^ word, low);
  }
  return hex(high >>> 0, low >>> 0);
}

function hash(bytes: Uint8Array, seed: number): number {
  return xxh32(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length, seed);
}

function hex(high: number, low: number): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}
