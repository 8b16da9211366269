/**
 * Tells the DHT of instances that nobody else tells of: those that say no node, as they were registered over the network. The leader does, so that one node tells of each, and all of them are found by way
 * of any peer. A hint, as all that the DHT says: the registry is what counts.
 */
import { bytes } from '../codec.ts';
import type { Core } from '../core.ts';
import { listedAnew, listPages } from '../listing.ts';
import { openWatch } from '../watch.ts';
import { encodeRecord, instanceOf, namesOfKey, SERVICES_PREFIX } from './instance.ts';
import type { StoredInstance } from './instance.ts';
import { storedOf } from './roll-call.ts';

/** How often it is looked whether this node leads, and how soon after what failed. */
const LOOK_MS = 1000;
/** What found no room is looked at again, so long after something has gone. */
const ANEW_MS = 60_000;
/** As many as a node hosts. */
const MAX_SERVICES = 256;
/** Of one service: a record has room for some forty that say little. */
const MAX_INSTANCES = 64;

export class DhtAnnouncer {
  readonly #core: Core;
  readonly #leads: () => boolean;
  /** By service, the keys of those instances that are told of. */
  readonly #told = new Map<string, Set<string>>();
  #cancel: () => void = () => undefined;
  /** Of what follows the registry while this node leads. */
  #reign: AbortController | null = null;
  /** What there is was last listed. */
  #listedMs = 0;
  /** Since then, something found no room, and something has gone. */
  #isFull = false;
  #hasRoom = false;

  /** `leads`: this node does, by what it knows. */
  constructor(core: Core, leads: () => boolean) {
    this.#core = core;
    this.#leads = leads;
    this.#lookLater();
  }

  /** Says no more. What is told of is told of until the node goes. */
  // oxlint-disable-next-line typescript/require-await -- as whatever is closed with a client
  async close(): Promise<void> {
    this.#cancel();
    this.#cancel = () => undefined;
    this.#reign?.abort();
    this.#reign = null;
    this.#core.forget(this);
  }

  #lookLater(): void {
    const look = (): void => {
      this.#lookLater();
      this.#look();
    };
    this.#cancel = this.#core.caller.environment.after(LOOK_MS, look, true);
  }

  #look(): void {
    if (!this.#leads()) {
      if (this.#reign === null && this.#told.size === 0) return;
      this.#reign?.abort();
      this.#reign = null;
      this.#keepOnly(new Set());
      return;
    }
    if (this.#isFull && this.#hasRoom && this.#core.now() - this.#listedMs >= ANEW_MS) {
      this.#reign?.abort();
      this.#reign = null;
    }
    if (this.#reign !== null) return;
    const reign = new AbortController();
    this.#reign = reign;
    void this.#follow(reign.signal).then(() => {
      // Whatever ended it, the next look begins anew.
      if (this.#reign === reign) this.#reign = null;
    });
  }

  /** Never rejects. */
  async #follow(signal: AbortSignal): Promise<void> {
    try {
      const revision = await this.#list(signal);
      // A watch costs the leader something with each write: not where there are no services. Then it is listed again with the next look.
      if (revision === null) return;
      const from = revision + 1;
      for await (const batch of openWatch(this.#core, bytes, { prefix: SERVICES_PREFIX, from, resync: true, signal })) {
        if (signal.aborted) return;
        if (batch.resync) {
          this.#isListed();
          this.#keepOnly(this.#hear(batch.entries));
          continue;
        }
        for (const event of batch.events) {
          if (event.type === 'put') this.#hear([event]);
          else this.#put(event.key, null);
        }
      }
    } catch {
      // This node cannot list just now. What was told of is told of until it can, or does not lead.
    }
  }

  /** Its revision; null: there is nothing. */
  async #list(signal: AbortSignal): Promise<number | null> {
    return listedAnew(async () => {
      this.#isListed();
      const there = new Set<string>();
      let revision: number | null = null;
      // A page at a time: there may be far more than is told of.
      for await (const page of listPages(this.#core, { prefix: SERVICES_PREFIX }, { signal }, 'stale')) {
        if (signal.aborted) break;
        if (page.entries.length > 0) ({ revision } = page);
        for (const key of this.#hear(page.entries.map(storedOf))) there.add(key);
      }
      if (!signal.aborted) this.#keepOnly(there);
      return revision;
    });
  }

  #isListed(): void {
    this.#listedMs = this.#core.now();
    this.#isFull = false;
    this.#hasRoom = false;
  }

  /** Gives back the keys of those that are told of. */
  #hear(entries: readonly StoredInstance[]): Set<string> {
    const told = new Set<string>();
    for (const entry of entries) {
      const instance = instanceOf(entry);
      // Whose node tells of it, if it still runs.
      const said = instance === null || instance.node !== null ? null : encodeRecord(instance);
      if (this.#put(entry.key, said)) told.add(entry.key);
    }
    return told;
  }

  #keepOnly(keys: ReadonlySet<string>): void {
    for (const told of [...this.#told.values()]) {
      for (const key of [...told]) if (!keys.has(key)) this.#put(key, null);
    }
  }

  /** True: it is told of. */
  #put(key: string, said: string | null): boolean {
    const names = namesOfKey(key);
    if (names === null) return false;
    const { name, instance } = names;
    const told = this.#told.get(name) ?? new Set<string>();
    if (said === null) {
      if (!told.delete(key)) return false;
      if (told.size === 0) this.#told.delete(name);
      this.#hasRoom = true;
    } else {
      const isFull = told.size >= MAX_INSTANCES || (told.size === 0 && this.#told.size >= MAX_SERVICES);
      if (isFull && !told.has(key)) {
        this.#isFull = true;
        return false;
      }
      this.#told.set(name, told.add(key));
    }
    this.#core.announce(name, instance, said);
    return said !== null;
  }
}
