/**
 * One path of a look-up: the nodes that it has heard of, closest to the target first, and whom to ask next.
 *
 * It is over when the k closest of those that did not fail have answered (§2.3). Another path's answer counts for a node that both heard of: the node is not asked twice.
 */
import { compareDistance, distanceHead } from './id.ts';
import type { Contact, DhtId, SignedRecord } from './types.ts';

export interface Candidate {
  contact: Contact;
  /** The beginning of its distance from the target. */
  readonly head: number;
  /** How deep it was found first: 1 for one that this node knew. */
  readonly depth: number;
  /** How many of its addresses were known when it was asked last. */
  tried: number;
  /** `slow`: asked, and late. `failed`: at all addresses that are known. */
  state: 'fresh' | 'asked' | 'slow' | 'answered' | 'failed';
  /** Bits of the paths that have heard of it. */
  paths: number;
  /** The record that it had, if it was asked for one. */
  record: SignedRecord | null;
}

/** Nodes of one path: enough for half of them being dead. */
const MAX_CANDIDATES = 200;

export class Path {
  readonly index: number;
  /** Requests that may still be answered soon. */
  inFlight = 0;
  readonly #target: DhtId;
  readonly #k: number;
  /** Closest first. */
  readonly #candidates: Candidate[] = [];

  constructor(index: number, target: DhtId, k: number) {
    this.index = index;
    this.#target = target;
    this.#k = k;
  }

  get candidates(): readonly Candidate[] {
    return this.#candidates;
  }

  /** False: the path knew of it, or it is too far away to matter. */
  add(candidate: Candidate): boolean {
    const bit = 1 << this.index;
    if ((candidate.paths & bit) !== 0) return false;
    const list = this.#candidates;
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(list[middle] as Candidate, candidate) < 0) low = middle + 1;
      else high = middle;
    }
    if (low >= MAX_CANDIDATES) return false;
    candidate.paths |= bit;
    list.splice(low, 0, candidate);
    if (list.length > MAX_CANDIDATES) list.pop();
    return true;
  }

  /**
   * The closest to be asked among the k closest that count; null: there is none now. Those that are late do not count: whoever takes their place is asked already while they run into
   * their time-out, so that one dead node after the other does not add up.
   */
  next(): Candidate | null {
    let counted = 0;
    for (const candidate of this.#candidates) {
      if (candidate.state === 'failed' || candidate.state === 'slow') continue;
      if (candidate.state === 'fresh') return candidate;
      counted += 1;
      if (counted === this.#k) return null;
    }
    return null;
  }

  /** Late ones are waited for: they may be the closest. */
  get isOver(): boolean {
    let counted = 0;
    for (const candidate of this.#candidates) {
      if (candidate.state === 'failed') continue;
      if (candidate.state !== 'answered') return false;
      counted += 1;
      if (counted === this.#k) return true;
    }
    return true;
  }

  #compare(left: Candidate, right: Candidate): number {
    return left.head === right.head
      ? compareDistance(this.#target, left.contact.id, right.contact.id)
      : left.head - right.head;
  }
}

export function candidateOf(target: DhtId, contact: Contact, depth: number): Candidate {
  return {
    contact,
    head: distanceHead(target, contact.id),
    depth,
    tried: 0,
    state: 'fresh',
    paths: 0,
    record: null,
  };
}

/** It did not answer. Another may have named more addresses meanwhile. */
export function fail(candidate: Candidate): void {
  candidate.state = candidate.contact.addresses.length > candidate.tried ? 'fresh' : 'failed';
}
