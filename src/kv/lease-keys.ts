import type { ByteKey } from './types.ts';

/** Which keys hang on which lease now. In memory only, and only for leases that have keys. */
export class LeaseKeys {
  readonly #keys = new Map<string, Set<ByteKey>>();

  /** The key's newest version had the lease `before` and has `after`. */
  move(key: ByteKey, before: string | null, after: string | null): void {
    if (before === after) return;
    if (before !== null) {
      const keys = this.#keys.get(before);
      if (keys !== undefined && keys.delete(key) && keys.size === 0) this.#keys.delete(before);
    }
    if (after !== null) {
      const keys = this.#keys.get(after);
      if (keys === undefined) this.#keys.set(after, new Set([key]));
      else keys.add(key);
    }
  }

  /** In key order, whatever the order in which they came. */
  of(lease: string): readonly ByteKey[] {
    const keys = this.#keys.get(lease);
    return keys === undefined ? [] : sortedKeys(keys);
  }

  countOf(lease: string): number {
    return this.#keys.get(lease)?.size ?? 0;
  }
}

/** Each key once, in order of its bytes. */
export function sortedKeys(keys: Iterable<ByteKey>): ByteKey[] {
  // Byte strings: the default order, by character code, is that of the bytes.
  return [...new Set(keys)].sort();
}
