/**
 * Which configurations a search has visited: Lowe's cache, compared in full and not by hash only, because a collision
 * would be a wrong verdict. Flat arrays that double; a group is (head, state, mask), with a chain of sets of used operations.
 */
export class ConfigurationCache {
  readonly #maskWords: number;
  readonly #usedWords: number;
  readonly #groupWords: number;
  readonly #entryWords: number;
  /** Open addressing: number of the group plus one, 0 is free. */
  #table = new Int32Array(1024);
  /** A group: head, state, first entry, mask. */
  #groups = new Int32Array(1024);
  #groupCount = 0;
  /** An entry: the next one (0 none, numbered from 1), used. */
  #entries = new Int32Array(1024);
  #entryCount = 1;

  constructor(maskWords: number, usedWords: number) {
    this.#maskWords = maskWords;
    this.#usedWords = usedWords;
    this.#groupWords = 3 + maskWords;
    this.#entryWords = 1 + usedWords;
  }

  /** False if this configuration, or one with a subset of its used operations, was visited before. */
  visit(head: number, state: number, mask: Int32Array, used: Int32Array): boolean {
    const group = this.#find(head, state, mask);
    const at = group * this.#groupWords + 2;
    const first = this.#groups[at] ?? 0;
    if (first === 0) {
      this.#groups[at] = this.#add(used, 0);
      return true;
    }
    for (let entry = first; entry !== 0; entry = this.#entries[entry * this.#entryWords] ?? 0) {
      if (this.#isSubset(entry, used)) return false;
    }
    this.#groups[at] = this.#add(used, first);
    return true;
  }

  #find(head: number, state: number, mask: Int32Array): number {
    if (this.#groupCount * 2 >= this.#table.length) this.#rehash();
    const limit = this.#table.length - 1;
    let hash = mix(mix(0, head), state);
    for (let word = 0; word < this.#maskWords; word++) hash = mix(hash, mask[word] ?? 0);
    for (let slot = hash & limit; ; slot = (slot + 1) & limit) {
      const found = (this.#table[slot] ?? 0) - 1;
      if (found === -1) {
        const group = this.#groupCount++;
        const at = group * this.#groupWords;
        this.#groups = withRoom(this.#groups, at + this.#groupWords);
        this.#groups[at] = head;
        this.#groups[at + 1] = state;
        this.#groups[at + 2] = 0;
        this.#groups.set(mask, at + 3);
        this.#table[slot] = group + 1;
        return group;
      }
      if (this.#isGroup(found, head, state, mask)) return found;
    }
  }

  #isGroup(group: number, head: number, state: number, mask: Int32Array): boolean {
    const at = group * this.#groupWords;
    if (this.#groups[at] !== head || this.#groups[at + 1] !== state) return false;
    for (let word = 0; word < this.#maskWords; word++) if (this.#groups[at + 3 + word] !== mask[word]) return false;
    return true;
  }

  #isSubset(entry: number, used: Int32Array): boolean {
    const at = entry * this.#entryWords + 1;
    for (let word = 0; word < this.#usedWords; word++) {
      if (((this.#entries[at + word] ?? 0) & ~(used[word] ?? 0)) !== 0) return false;
    }
    return true;
  }

  #add(used: Int32Array, next: number): number {
    const entry = this.#entryCount++;
    const at = entry * this.#entryWords;
    this.#entries = withRoom(this.#entries, at + this.#entryWords);
    this.#entries[at] = next;
    this.#entries.set(used, at + 1);
    return entry;
  }

  #rehash(): void {
    const table = new Int32Array(this.#table.length * 2);
    const limit = table.length - 1;
    for (let group = 0; group < this.#groupCount; group++) {
      const at = group * this.#groupWords;
      let hash = mix(mix(0, this.#groups[at] ?? 0), this.#groups[at + 1] ?? 0);
      for (let word = 0; word < this.#maskWords; word++) hash = mix(hash, this.#groups[at + 3 + word] ?? 0);
      let slot = hash & limit;
      while (table[slot] !== 0) slot = (slot + 1) & limit;
      table[slot] = group + 1;
    }
    this.#table = table;
  }
}

/** A round and the end of MurmurHash3 (Austin Appleby, 32 bits). */
function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  let h = hash ^ k;
  h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  return h ^ (h >>> 13);
}

function withRoom(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  if (length <= array.length) return array;
  const larger = new Int32Array(Math.max(length, array.length * 2));
  larger.set(array);
  return larger;
}
