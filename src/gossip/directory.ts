/** Member ids and their places in flat arrays. Places that nobody claims any more are given away again. */
import { invariant } from '../errors.ts';
import type { MemberDirectory, MemberId } from './types.ts';

export class Directory implements MemberDirectory {
  readonly #slots = new Map<MemberId, number>();
  readonly #ids: MemberId[] = [];
  readonly #hashes: number[] = [];
  readonly #claims: number[] = [];
  readonly #free: number[] = [];

  get end(): number {
    return this.#ids.length;
  }

  claim(id: MemberId): number {
    let slot = this.#slots.get(id);
    if (slot === undefined) {
      slot = this.#free.pop() ?? this.#ids.length;
      this.#slots.set(id, slot);
      this.#ids[slot] = id;
      this.#hashes[slot] = hashOf(id);
      this.#claims[slot] = 0;
    }
    this.#claims[slot] = (this.#claims[slot] ?? 0) + 1;
    return slot;
  }

  release(slot: number): void {
    const claims = (this.#claims[slot] ?? 0) - 1;
    invariant(claims >= 0, 'A place is given back more often than it was claimed');
    this.#claims[slot] = claims;
    if (claims > 0) return;
    this.#slots.delete(this.idAt(slot));
    this.#free.push(slot);
  }

  slotOf(id: MemberId): number | undefined {
    return this.#slots.get(id);
  }

  idAt(slot: number): MemberId {
    const id = this.#ids[slot];
    invariant(id !== undefined, 'No member has this place');
    return id;
  }

  hashAt(slot: number): number {
    return this.#hashes[slot] ?? 0;
  }
}

/** FNV-1a. */
function hashOf(id: MemberId): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
