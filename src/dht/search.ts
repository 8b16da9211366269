/**
 * The search for the k closest nodes: one path, or several that share no node they ask (S/Kademlia §4.4). A liar can lead astray the path that asked it, and no other: a path hears of
 * nodes from those that it asked itself, and each node is asked once, by the path that came first.
 */
import { compareDistance, equalBytes } from './id.ts';
import { LIMITS } from './limits.ts';
import { candidateOf, Path } from './path.ts';
import type { Candidate } from './path.ts';
import type { Contact, DhtId } from './types.ts';

/** Nodes that one search has heard of: more than honest answers to all its requests would name. */
const MAX_KNOWN = 8_192;

/** Addresses of a node that are taken from one who names it. */
const ADDRESSES_OF_ONE = 2;

export class Search {
  readonly target: DhtId;
  readonly paths: readonly Path[];
  readonly #k: number;
  readonly #known = new Map<string, Candidate>();

  /** `seeds` are dealt out to the paths in turn, closest first. */
  constructor(target: DhtId, k: number, paths: number, seeds: readonly Contact[]) {
    this.target = target;
    this.#k = k;
    this.paths = Array.from({ length: paths }, (_, index) => new Path(index, target, k));
    for (const [place, contact] of seeds.entries()) {
      const candidate = candidateOf(target, contact, 1);
      this.#known.set(contact.peerId, candidate);
      (this.paths[place % paths] as Path).add(candidate);
    }
  }

  get isOver(): boolean {
    return this.paths.every((path) => path.isOver);
  }

  /**
   * Contacts that a node of the path answered with. `isGenuine` is asked once for each that is new to the search. How many the path had not heard of.
   */
  learn(path: Path, from: Candidate, contacts: readonly Contact[], isGenuine: (contact: Contact) => boolean): number {
    let fresh = 0;
    for (const contact of contacts) {
      const known = this.#known.get(contact.peerId);
      if (known !== undefined) {
        if (known.state !== 'answered' && known.contact !== contact) mergeAddresses(known, contact);
        if (path.add(known)) fresh += 1;
        continue;
      }
      if (this.#known.size >= MAX_KNOWN || !isGenuine(contact)) continue;
      const candidate = candidateOf(this.target, withAddresses(contact, []), from.depth + 1);
      this.#known.set(contact.peerId, candidate);
      if (path.add(candidate)) fresh += 1;
    }
    return fresh;
  }

  /** Up to k that answered, closest first. */
  closest(): Candidate[] {
    const answered: Candidate[] = [];
    for (const candidate of this.#known.values()) if (candidate.state === 'answered') answered.push(candidate);
    answered.sort((left, right) => compareDistance(this.target, left.contact.id, right.contact.id));
    if (answered.length > this.#k) answered.length = this.#k;
    return answered;
  }
}

/** Of two who name one node with other addresses, one may be lying: the shell gets to try both, and tries again when the first were of no use. */
function mergeAddresses(candidate: Candidate, other: Contact): void {
  const { contact } = candidate;
  if (!equalBytes(contact.id, other.id)) return;
  const more = withAddresses(other, contact.addresses).addresses;
  const room = LIMITS.addresses - contact.addresses.length;
  if (more.length === 0 || room <= 0) return;
  candidate.contact = { ...contact, addresses: [...contact.addresses, ...more.slice(0, room)] };
  if (candidate.state === 'failed') candidate.state = 'fresh';
}

/** Some that are not among `known`: whoever names a node fills not all the room that there is for its addresses. */
function withAddresses(contact: Contact, known: readonly string[]): Contact {
  const addresses = contact.addresses.filter((address) => !known.includes(address));
  if (addresses.length <= ADDRESSES_OF_ONE && addresses.length === contact.addresses.length) return contact;
  return { ...contact, addresses: addresses.slice(0, ADDRESSES_OF_ONE) };
}
