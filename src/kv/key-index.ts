/**
 * The ordered index: every key that has a version, a tombstone included, with its newest version.
 *
 * A list of sorted chunks of at most 512 entries ("sorted list of lists"): two binary searches and one short move an insert.
 * Not the library's B+ tree, because the index must count the live keys of a range without walking it (every list answer carries
 * a count), be built at once from sorted entries at a start, and keep one pointer a key.
 */
import { invariant } from '../errors.ts';
import type { KeyVersion } from './key-version.ts';
import type { ByteKey } from './types.ts';

const MAX_CHUNK = 512;
/** A chunk that shrinks below this joins its neighbour, if both fit well into one. */
const MIN_CHUNK = 64;
/** Filled to three quarters when built at once, so that the first inserts do not split every chunk. */
const BUILD_CHUNK = 384;

interface Chunk {
  entries: KeyVersion[];
  /** Entries that are no tombstones. */
  live: number;
}

export class KeyIndex {
  #chunks: Chunk[] = [];
  /** At most the first key of each chunk, and more than the last key of the chunk before. The first chunk takes all that is below the second. */
  #bounds: ByteKey[] = [];
  #size = 0;
  #live = 0;
  // Where the last `find` looked; valid until the index changes its shape.
  #chunkAt = 0;
  #entryAt = 0;
  #soughtKey: ByteKey | null = null;

  /** All keys, those whose newest version is a tombstone included. */
  get size(): number {
    return this.#size;
  }

  get live(): number {
    return this.#live;
  }

  /** The newest version of a key, which may be a tombstone. */
  find(key: ByteKey): KeyVersion | undefined {
    this.#chunkAt = this.#chunkOf(key);
    this.#soughtKey = key;
    const chunk = this.#chunks[this.#chunkAt];
    if (chunk === undefined) {
      this.#entryAt = 0;
      return undefined;
    }
    this.#entryAt = lowerBound(chunk.entries, key);
    const found = chunk.entries[this.#entryAt];
    return found !== undefined && found.key === key ? found : undefined;
  }

  /** Puts a version where the `find` of its key, just before, has looked. */
  putFound(version: KeyVersion): void {
    const { key } = version;
    invariant(this.#soughtKey === key, 'a version is put where its key was sought');
    const liveNow = version.version === 0 ? 0 : 1;
    const chunk = this.#chunks[this.#chunkAt];
    if (chunk === undefined) {
      this.#chunks.push({ entries: [version], live: liveNow });
      this.#bounds.push(key);
      this.#size = 1;
      this.#live = liveNow;
      return;
    }
    const { entries } = chunk;
    const found = entries[this.#entryAt];
    if (found !== undefined && found.key === key) {
      const change = liveNow - (found.version === 0 ? 0 : 1);
      entries[this.#entryAt] = version;
      chunk.live += change;
      this.#live += change;
      return;
    }
    this.#soughtKey = null;
    this.#size++;
    this.#live += liveNow;
    if (entries.length < MAX_CHUNK) {
      chunk.live += liveNow;
      if (this.#entryAt === entries.length) entries.push(version);
      else entries.splice(this.#entryAt, 0, version);
      return;
    }
    if (this.#entryAt === entries.length && this.#chunkAt === this.#chunks.length - 1) {
      // Keys that come in order leave full chunks behind.
      this.#chunks.push({ entries: [version], live: liveNow });
      this.#bounds.push(key);
      return;
    }
    entries.splice(this.#entryAt, 0, version);
    const middle = entries.length >> 1;
    const left = makeChunk(entries.slice(0, middle));
    const right = makeChunk(entries.slice(middle));
    this.#chunks.splice(this.#chunkAt, 1, left, right);
    this.#bounds.splice(this.#chunkAt + 1, 0, (right.entries[0] as KeyVersion).key);
  }

  /** Takes a key out. */
  remove(key: ByteKey): void {
    const found = this.find(key);
    const chunk = this.#chunks[this.#chunkAt];
    invariant(found !== undefined && chunk !== undefined, 'a key that is removed from the index is there');
    this.#soughtKey = null;
    chunk.entries.splice(this.#entryAt, 1);
    this.#size--;
    if (found.version !== 0) {
      chunk.live--;
      this.#live--;
    }
    if (chunk.entries.length < MIN_CHUNK) this.#shrink(this.#chunkAt);
  }

  /** Newest versions, tombstones included, of keys ≥ start (> start when `exclusive`) and < end, in key order, until `visit` says false. */
  visit(start: ByteKey, exclusive: boolean, end: ByteKey | null, visit: (version: KeyVersion) => boolean): void {
    for (let at = this.#chunkOf(start), first = true; at < this.#chunks.length; at++, first = false) {
      const { entries } = this.#chunks[at] as Chunk;
      let i = 0;
      if (first) {
        i = lowerBound(entries, start);
        if (exclusive && entries[i]?.key === start) i++;
      }
      for (; i < entries.length; i++) {
        const version = entries[i] as KeyVersion;
        if (end !== null && version.key >= end) return;
        if (!visit(version)) return;
      }
    }
  }

  /** Puts in the place of each newest version in [start, end) what `replace` makes of it, itself for no change. */
  replaceRange(start: ByteKey, end: ByteKey | null, replace: (version: KeyVersion) => KeyVersion): void {
    for (let at = this.#chunkOf(start), first = true; at < this.#chunks.length; at++, first = false) {
      const chunk = this.#chunks[at] as Chunk;
      for (let i = first ? lowerBound(chunk.entries, start) : 0; i < chunk.entries.length; i++) {
        const before = chunk.entries[i] as KeyVersion;
        if (end !== null && before.key >= end) return;
        const after = replace(before);
        const change = (after.version === 0 ? 0 : 1) - (before.version === 0 ? 0 : 1);
        chunk.entries[i] = after;
        chunk.live += change;
        this.#live += change;
      }
    }
  }

  /** Live keys in [start, end), from the counts of whole chunks and a walk over the two at the ends. */
  count(start: ByteKey, end: ByteKey | null): number {
    if (end !== null && end <= start) return 0;
    return (end === null ? this.#live : this.#liveBelow(end)) - this.#liveBelow(start);
  }

  /** Replaces everything: `entries` are newest versions, sorted by key. */
  build(entries: readonly KeyVersion[]): void {
    this.#chunks = [];
    this.#bounds = [];
    this.#soughtKey = null;
    this.#size = entries.length;
    this.#live = 0;
    for (let at = 0; at < entries.length; at += BUILD_CHUNK) {
      const chunk = makeChunk(entries.slice(at, at + BUILD_CHUNK));
      this.#chunks.push(chunk);
      this.#bounds.push((chunk.entries[0] as KeyVersion).key);
      this.#live += chunk.live;
    }
  }

  #liveBelow(key: ByteKey): number {
    const at = this.#chunkOf(key);
    let live = 0;
    for (let i = 0; i < at; i++) live += (this.#chunks[i] as Chunk).live;
    const chunk = this.#chunks[at];
    if (chunk === undefined) return live;
    const until = lowerBound(chunk.entries, key);
    for (let i = 0; i < until; i++) if ((chunk.entries[i] as KeyVersion).version !== 0) live++;
    return live;
  }

  /** The chunk where a key is or belongs: the last one whose bound is not above it. */
  #chunkOf(key: ByteKey): number {
    const bounds = this.#bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((bounds[middle] as ByteKey) <= key) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : low - 1;
  }

  #shrink(at: number): void {
    const chunk = this.#chunks[at] as Chunk;
    if (chunk.entries.length === 0) {
      this.#chunks.splice(at, 1);
      this.#bounds.splice(at, 1);
      return;
    }
    const leftAt = at > 0 ? at - 1 : at;
    const left = this.#chunks[leftAt];
    const right = this.#chunks[leftAt + 1];
    if (left === undefined || right === undefined) return;
    if (left.entries.length + right.entries.length > BUILD_CHUNK) return;
    this.#chunks.splice(leftAt, 2, {
      entries: [...left.entries, ...right.entries],
      live: left.live + right.live,
    });
    this.#bounds.splice(leftAt + 1, 1);
  }
}

function makeChunk(entries: KeyVersion[]): Chunk {
  let live = 0;
  for (const version of entries) if (version.version !== 0) live++;
  return { entries, live };
}

/** The first entry whose key is not below `key`. */
function lowerBound(entries: readonly KeyVersion[], key: ByteKey): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as KeyVersion).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
