/**
 * Whom a member probes and gossips to: some of the others, when there are many. Whoever is spoken to needs a link, and links cost (ADR 0011), so a member that spoke to everybody in turn
 * would be linked with everybody.
 *
 * Each pair is near or not by a hash of both ids, the same for both, with a probability that gives each member about as many neighbours as are wanted: a random graph (Erdős and Rényi
 * 1959), without anything to agree on. A member that comes or goes changes nothing for two others but the probability, a little. With as many wanted as there are others all are near.
 */
import type { MemberTable } from './table.ts';

export class Neighbourhood {
  readonly #table: MemberTable;
  readonly #wanted: number;
  /** Places of the near ones of the active, as of that version of the table. */
  #near: readonly number[] = [];
  #version = -1;

  constructor(table: MemberTable, wanted: number) {
    this.#table = table;
    this.#wanted = wanted;
  }

  /** All are near. */
  get isWhole(): boolean {
    return this.#wanted >= this.#table.activeSize - 1;
  }

  includes(slot: number): boolean {
    return this.#areNear(this.#table.self, slot);
  }

  /** Up to `count` near ones that fit, at random. */
  pick(count: number, fits: (slot: number) => boolean): number[] {
    if (this.isWhole) return this.#table.pick(count, fits);
    return this.#table.draw(count, this.#list().filter(fits));
  }

  /**
   * Near ones that fit, who are to reach `target` for this member: those that are near to it too come first, for they have links to both.
   */
  pickHelpers(count: number, target: number, fits: (slot: number) => boolean): number[] {
    if (this.isWhole) return this.#table.pick(count, fits);
    const fitting = this.#list().filter(fits);
    const near = fitting.filter((slot) => this.#areNear(slot, target));
    const common = this.#table.draw(count, near);
    const rest = fitting.filter((slot) => !common.includes(slot));
    return [...common, ...this.#table.draw(count - common.length, rest)];
  }

  #list(): readonly number[] {
    const { version } = this.#table;
    if (this.#version !== version) {
      this.#version = version;
      this.#near = [...this.#table.active()].filter((slot) => this.includes(slot));
    }
    return this.#near;
  }

  #areNear(left: number, right: number): boolean {
    const table = this.#table;
    return areNear(table.hashAt(left), table.hashAt(right), this.#wanted, table.activeSize - 1);
  }
}

/** Whether two of `others` + 1 members are neighbours, by the hashes of their ids. */
export function areNear(left: number, right: number, wanted: number, others: number): boolean {
  return wanted >= others || hashOfPair(left, right) < (wanted / others) * 2 ** 32;
}

/** 32 bits of which each depends on all of both, whichever comes first. */
function hashOfPair(left: number, right: number): number {
  let hash = mixed(left) ^ mixed(right);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The finalizer of MurmurHash3: ids that differ in their last digit have hashes that are alike. */
function mixed(hash: number): number {
  let bits = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  return bits ^ (bits >>> 16);
}
