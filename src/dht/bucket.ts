/**
 * A k-bucket (§2.2): contacts of one range of distance, the one heard longest ago first. Old contacts are kept as long as they answer, because who has been there for an hour
 * will probably be there for another (§2.2, figure 1), and because nobody can then flush a table by flooding it with newcomers. Those wait in the replacement
 * cache (§4.1).
 */
import { invariant } from '../errors.ts';
import type { Contact } from './types.ts';

export interface Entry {
  contact: Contact;
  heardMs: number;
  /** Unanswered requests in a row. */
  failures: number;
  /** When the last of them ended. */
  failedMs: number;
  /** A ping is on its way that decides whether it stays. */
  pinged: boolean;
}

export type Hearing =
  /** It was here already, and is the most recent now. */
  | 'known'
  | 'added'
  /** There is no room: it is remembered, and comes in when somebody has to go. */
  | 'waiting';

export class Bucket {
  /** Heard longest ago first. */
  readonly entries: Entry[] = [];
  /** Heard longest ago first; none of them is in `entries`. */
  readonly replacements: Entry[] = [];
  /** When something in its range was last looked up. */
  lookedUpMs: number;
  readonly #k: number;
  readonly #maxReplacements: number;
  readonly #maxFailures: number;

  constructor(k: number, maxReplacements: number, maxFailures: number, nowMs: number) {
    this.#k = k;
    this.#maxReplacements = maxReplacements;
    this.#maxFailures = maxFailures;
    this.lookedUpMs = nowMs;
  }

  find(peerId: string): Entry | undefined {
    const at = placeOf(this.entries, peerId);
    return at < 0 ? undefined : this.entries[at];
  }

  heard(contact: Contact, nowMs: number): Hearing {
    const { entries, replacements } = this;
    const at = placeOf(entries, contact.peerId);
    if (at >= 0) {
      const entry = entries[at] as Entry;
      entry.contact = contact;
      entry.heardMs = nowMs;
      entry.failures = 0;
      entry.pinged = false;
      if (at < entries.length - 1) {
        entries.splice(at, 1);
        entries.push(entry);
      }
      return 'known';
    }
    const waiting = placeOf(replacements, contact.peerId);
    if (waiting >= 0) replacements.splice(waiting, 1);
    const entry: Entry = { contact, heardMs: nowMs, failures: 0, failedMs: 0, pinged: false };
    if (entries.length >= this.#k) {
      const stale = entries.findIndex(({ failures }) => failures >= this.#maxFailures);
      if (stale < 0) {
        replacements.push(entry);
        if (replacements.length > this.#maxReplacements) replacements.shift();
        return 'waiting';
      }
      entries.splice(stale, 1);
    }
    entries.push(entry);
    invariant(entries.length <= this.#k, 'a bucket has at most k contacts');
    return 'added';
  }

  /**
   * It did not answer. True: it gave way to the most recent replacement. Without one it stays, as a network that is down is no reason to forget everybody
   * (§4.1).
   */
  failed(peerId: string, nowMs: number): boolean {
    const at = placeOf(this.entries, peerId);
    if (at < 0) {
      const waiting = placeOf(this.replacements, peerId);
      if (waiting >= 0) this.replacements.splice(waiting, 1);
      return false;
    }
    const entry = this.entries[at] as Entry;
    entry.failures += 1;
    entry.failedMs = nowMs;
    entry.pinged = false;
    if (entry.failures < this.#maxFailures || this.replacements.length === 0) return false;
    this.#replace(at);
    return true;
  }

  remove(peerId: string): boolean {
    const waiting = placeOf(this.replacements, peerId);
    if (waiting >= 0) this.replacements.splice(waiting, 1);
    const at = placeOf(this.entries, peerId);
    if (at < 0) return waiting >= 0;
    this.#replace(at);
    return true;
  }

  #replace(at: number): void {
    const { entries } = this;
    entries.splice(at, 1);
    const next = this.replacements.pop();
    if (next === undefined) return;
    // Where its time is: it may have been silent for longer than anybody here, and is then the first to be pinged.
    let place = entries.length;
    while (place > 0 && (entries[place - 1] as Entry).heardMs > next.heardMs) place -= 1;
    entries.splice(place, 0, next);
  }
}

function placeOf(entries: readonly Entry[], peerId: string): number {
  for (let i = entries.length - 1; i >= 0; i--) if ((entries[i] as Entry).contact.peerId === peerId) return i;
  return -1;
}
