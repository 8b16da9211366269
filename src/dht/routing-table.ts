/**
 * Whom this node knows: one k-bucket for each position of the highest bit in which a contact differs from this node (§2.2). The tree of §2.4 without its relaxed splitting
 * holds the same contacts.
 */
import { Bucket } from './bucket.ts';
import type { Entry, Hearing } from './bucket.ts';
import { bitAt, compareDistance, ID_BITS, log2Distance } from './id.ts';
import type { Contact, DhtId, DhtTuning } from './types.ts';

type TableTuning = Pick<DhtTuning, 'k' | 'maxReplacements' | 'maxFailures'>;

export interface TableStats {
  readonly contacts: number;
  readonly failing: number;
  readonly replacements: number;
  readonly buckets: number;
}

export class RoutingTable {
  readonly #self: DhtId;
  readonly #tuning: TableTuning;
  readonly #buckets: (Bucket | undefined)[] = Array.from({ length: ID_BITS });
  /** No bucket below this has ever been used. */
  #lowest = ID_BITS;

  constructor(self: DhtId, tuning: TableTuning) {
    this.#self = self;
    this.#tuning = tuning;
  }

  /** A contact that this node had a message from, or that the shell vouches for. Not to be called with this node's own. */
  heard(contact: Contact, nowMs: number): Hearing {
    return this.#bucketAt(log2Distance(this.#self, contact.id), nowMs).heard(contact, nowMs);
  }

  /** True: it gave way to another. */
  failed(contact: Contact, nowMs: number): boolean {
    return this.#buckets[log2Distance(this.#self, contact.id)]?.failed(contact.peerId, nowMs) ?? false;
  }

  remove(id: DhtId, peerId: string): boolean {
    return this.#buckets[log2Distance(this.#self, id)]?.remove(peerId) ?? false;
  }

  /** The bucket that is, or would be, the contact's. */
  bucketOf(id: DhtId): Bucket | undefined {
    return this.#buckets[log2Distance(this.#self, id)];
  }

  bucket(position: number): Bucket | undefined {
    return this.#buckets[position];
  }

  find(id: DhtId, peerId: string): Entry | undefined {
    return this.bucketOf(id)?.find(peerId);
  }

  /**
   * Up to `count` contacts, closest to the target first. Those that did not answer their last request come after the others, and only where there are fewer than k: when a network
   * comes back, they are the way into it.
   */
  closest(target: DhtId, count: number): Contact[] {
    const found = this.#collect(target, count, false, null);
    const missing = Math.min(count, this.#tuning.k) - found.length;
    return missing > 0 ? found.concat(this.#collect(target, missing, true, null)) : found;
  }

  /** The same for somebody else: nobody is told of itself, nor of a contact that did not answer its last request. */
  closestFor(target: DhtId, count: number, asker: string): Contact[] {
    return this.#collect(target, count, false, asker);
  }

  /**
   * Who is to be asked whether it is there: of each bucket one that did not answer, those first that failed less often, and the one heard longest ago of the others, if that was
   * before `idleMs`.
   */
  doubtful(idleMs: number): Entry[] {
    const doubtful: Entry[] = [];
    for (let position = this.#lowest; position < ID_BITS; position++) {
      let failing: Entry | undefined;
      let oldest: Entry | undefined;
      for (const entry of this.#buckets[position]?.entries ?? []) {
        if (entry.failures === 0) oldest ??= entry;
        else if (failing === undefined || entry.failures < failing.failures) failing = entry;
      }
      if (failing !== undefined) doubtful.push(failing);
      if (oldest !== undefined && oldest.heardMs <= idleMs) doubtful.push(oldest);
    }
    return doubtful;
  }

  /** A look-up passes through here: what is looked up need not be refreshed. */
  lookedUp(target: DhtId, nowMs: number): void {
    const position = log2Distance(this.#self, target);
    // Also in a range where nobody is: it would be looked up again and again.
    if (position >= this.#lowest) this.#bucketAt(position, nowMs).lookedUpMs = nowMs;
  }

  /**
   * Buckets to be refreshed when a node joins (§2.3: all that are further away than its closest neighbour), furthest last. Those closer than the bucket of the kth neighbour need
   * none: the look-up of the own id finds everybody there is.
   */
  farBuckets(): readonly number[] {
    const far: number[] = [];
    let closer = 0;
    for (let position = this.#lowest; position < ID_BITS; position++) {
      closer += this.#buckets[position]?.entries.length ?? 0;
      if (closer >= this.#tuning.k) far.push(position);
    }
    return far;
  }

  /** When a bucket was last looked up in; -Infinity for one that was never used. */
  lookedUpMs(position: number): number {
    return this.#buckets[position]?.lookedUpMs ?? -Infinity;
  }

  /** There is somebody who answered the last request, or was not asked yet. */
  get hasLive(): boolean {
    for (let position = ID_BITS - 1; position >= this.#lowest; position--) {
      const entries = this.#buckets[position]?.entries;
      if (entries !== undefined && entries.some(({ failures }) => failures === 0)) return true;
    }
    return false;
  }

  get isEmpty(): boolean {
    for (let position = ID_BITS - 1; position >= this.#lowest; position--) {
      if ((this.#buckets[position]?.entries.length ?? 0) > 0) return false;
    }
    return true;
  }

  stats(): TableStats {
    let contacts = 0;
    let failing = 0;
    let replacements = 0;
    let buckets = 0;
    for (let position = this.#lowest; position < ID_BITS; position++) {
      const bucket = this.#buckets[position];
      if (bucket === undefined || bucket.entries.length === 0) continue;
      buckets += 1;
      contacts += bucket.entries.length;
      replacements += bucket.replacements.length;
      for (const { failures } of bucket.entries) if (failures > 0) failing += 1;
    }
    return { contacts, failing, replacements, buckets };
  }

  #bucketAt(position: number, nowMs: number): Bucket {
    const known = this.#buckets[position];
    if (known !== undefined) return known;
    const { k, maxReplacements, maxFailures } = this.#tuning;
    const bucket = new Bucket(k, maxReplacements, maxFailures, nowMs);
    this.#buckets[position] = bucket;
    if (position < this.#lowest) this.#lowest = position;
    return bucket;
  }

  /**
   * Whole buckets can be put in order of their distance from any target, so that only within one there is something to sort. Let d be the distance of this node and the
   * target, and t the position of its highest bit. Bucket t shares more with the target than any other. A bucket below t differs from this node in its own bit, so its
   * distance from the target is d with that bit turned: those whose bit in d is 1 come closer than this node, the highest first; those whose bit is 0 go away from it, the lowest
   * first. Above t, distance grows with the position.
   */
  #collect(target: DhtId, count: number, isFailing: boolean, without: string | null): Contact[] {
    const found: Contact[] = [];
    const take = (position: number): boolean => {
      const bucket = this.#buckets[position];
      if (bucket === undefined) return false;
      const from = found.length;
      for (const { contact, failures } of bucket.entries) {
        if (failures > 0 !== isFailing || contact.peerId === without) continue;
        let at = found.length;
        found.push(contact);
        for (; at > from && compareDistance(target, contact.id, (found[at - 1] as Contact).id) < 0; at--) {
          found[at] = found[at - 1] as Contact;
        }
        found[at] = contact;
      }
      return found.length >= count;
    };
    const full = this.#inOrder(target, take);
    if (full) found.length = count;
    return found;
  }

  /** Positions of buckets, closest to the target first, until `take` has enough. */
  #inOrder(target: DhtId, take: (position: number) => boolean): boolean {
    const top = log2Distance(this.#self, target);
    if (top >= 0 && take(top)) return true;
    for (let position = top - 1; position >= this.#lowest; position--) {
      if (bitAt(this.#self, position) !== bitAt(target, position) && take(position)) return true;
    }
    for (let position = this.#lowest; position < top; position++) {
      if (bitAt(this.#self, position) === bitAt(target, position) && take(position)) return true;
    }
    for (let position = Math.max(top + 1, this.#lowest); position < ID_BITS; position++) {
      if (take(position)) return true;
    }
    return false;
  }
}
