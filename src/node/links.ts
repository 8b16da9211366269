/**
 * Whom this node dials, for whatever reason. Some addresses are **kept**: whoever asks for one gives it back, and the last to do so ends it. All others are linked **on demand**: what is to
 * be sent to a peer that there is no link to waits, for a short while and in bounds, while its addresses are dialled. Such a link is not
 * dialled again when it is lost. It is given up when nothing was said on it for a while, and when there are too many, the one used longest ago first: a link that is up costs both sides
 * keep-alives and memory, and one that is needed again a dial.
 */
import type { NodeId } from '../raft/types.ts';
import { isAddress } from '../transport/address.ts';
import type { Channel, Peer, Transport } from '../transport/types.ts';
import type { Environment } from './env.ts';

export interface LinkPoolOptions {
  readonly env: Pick<Environment, 'now' | 'after'>;
  readonly transport: Pick<Transport, 'connect' | 'disconnect' | 'hangUp' | 'peer' | 'send' | 'queuedBytes'>;
  /** Peers that somebody keeps links to: theirs are never given up. */
  readonly isKept: (id: NodeId) => boolean;
  /** Peers that may wait for something on a link without a word: theirs are not given up for being idle. Default: none. */
  readonly mayWait?: (id: NodeId) => boolean;
  /**
   * Nobody answers for this peer at the addresses that were tried: it may have moved. See `redirect`. Not told of one that the DHT alone wanted: whom the DHT names may be made up, and to look
   * for that in the DHT would go on for ever.
   */
  readonly unreached?: (id: NodeId, tried: readonly string[]) => void;
  /** Links on demand. Default 512. */
  readonly maxLinks?: number;
}

/** What waits for a link is old after so long. */
const WAIT_MS = 2000;
/** Who was not reached is not dialled again before. */
const RETRY_MS = 1000;
/**
 * Dials at once, by what is to be sent. News and tables can go to somebody else, or later; a probe that is not sent accuses its target; the DHT would take whoever is not dialled for gone. A process
 * that has too little CPU for its dials must not make more of them.
 */
const MAX_DIALS: Readonly<Partial<Record<Channel, number>>> = { gossip: 8, ping: 16 };
const MAX_DIALS_IN_ALL = 64;
const MAX_WAITING_BYTES = 64 * 1024;
/** Of one peer: it may have several, of which one does. */
const MAX_ADDRESSES = 3;
/**
 * A link on demand is given up when so many looks in a row find that no frame came or went since the one before. Looks are counted and not time, so that a process that stood still does not give up
 * what it has not read yet. Gossip speaks with each of its twenty neighbours every ten seconds or so, once from either side: a link to one of them stays.
 */
const IDLE_LOOKS = 2;
const LOOK_EVERY_MS = 30_000;
const MAX_FAILURES = 1024;
/** Addresses of one peer that are remembered to have failed. */
const MAX_TRIED = 8;
const DEFAULT_MAX_LINKS = 512;
/** Peers whose newer addresses are remembered. */
const MAX_REDIRECTS = 256;

interface Dial {
  readonly addresses: readonly string[];
  readonly waiting: { readonly channel: Channel; readonly parts: readonly Uint8Array[] }[];
  waitingBytes: number;
  readonly cancel: () => void;
}

export class LinkPool {
  readonly #options: LinkPoolOptions;
  readonly #maxLinks: number;
  /** How many want an address to be dialled. */
  readonly #wanted = new Map<string, number>();
  readonly #dials = new Map<NodeId, Dial>();
  /** Links that were made here on demand, and before which look each was used last; the one used longest ago first. */
  readonly #used = new Map<NodeId, number>();
  #looks = 0;
  #cancelLook: (() => void) | null = null;
  /** When somebody was not reached, and where. */
  readonly #failures = new Map<NodeId, { readonly atMs: number; readonly tried: readonly string[] }>();
  /** Where peers are that were not where they were said to be, the longest known first. */
  readonly #redirects = new Map<NodeId, readonly string[]>();
  #closed = false;

  constructor(options: LinkPoolOptions) {
    this.#options = options;
    this.#maxLinks = options.maxLinks ?? DEFAULT_MAX_LINKS;
  }

  /** Links on demand that are up. */
  get size(): number {
    return this.#used.size;
  }

  /** Dials the address until `release`, which is owed for every call. */
  keep(address: string): void {
    // One that nobody can dial must do no harm to who has it from others.
    if (this.#closed || !isAddress(address)) return;
    const count = this.#wanted.get(address) ?? 0;
    this.#wanted.set(address, count + 1);
    if (count === 0) this.#options.transport.connect(address);
  }

  release(address: string): void {
    const count = this.#wanted.get(address);
    if (count === undefined) return;
    if (count > 1) {
      this.#wanted.set(address, count - 1);
      return;
    }
    this.#wanted.delete(address);
    this.#options.transport.disconnect(address);
  }

  /** False: it was dropped, because a queue is full, or nobody knows where the peer is. */
  send(to: NodeId, channel: Channel, parts: readonly Uint8Array[], addresses: () => readonly string[]): boolean {
    const { transport } = this.#options;
    if (this.#closed) return false;
    if (transport.peer(to) !== undefined) {
      this.#use(to);
      return transport.send(to, channel, parts);
    }
    const dial = this.#dials.get(to) ?? this.#dial(to, channel, addresses);
    if (dial === null) return false;
    let bytes = 0;
    for (const part of parts) bytes += part.byteLength;
    if (dial.waitingBytes + bytes > MAX_WAITING_BYTES) return false;
    dial.waitingBytes += bytes;
    dial.waiting.push({ channel, parts });
    return true;
  }

  /**
   * Somebody else says where this peer is: it is dialled there at once, and there first from now on, until nobody answers there. False: it was not dialled, because it is linked, or
   * being dialled.
   */
  redirect(to: NodeId, addresses: readonly string[]): boolean {
    if (this.#closed || this.#options.transport.peer(to) !== undefined || this.#dials.has(to)) return false;
    this.#redirects.delete(to);
    this.#redirects.set(to, addresses);
    if (this.#redirects.size > MAX_REDIRECTS) {
      const [oldest] = this.#redirects.keys();
      if (oldest !== undefined) this.#redirects.delete(oldest);
    }
    this.#failures.delete(to);
    return this.#dial(to, null, () => []) !== null;
  }

  queuedBytes(to: NodeId, channel: Channel): number {
    return this.#options.transport.queuedBytes(to, channel);
  }

  /** A peer is linked: what waited leaves. `dialled`: by this node. */
  up({ id, dialled }: Pick<Peer, 'id' | 'dialled'>): void {
    this.#failures.delete(id);
    const dial = this.#end(id);
    if (this.#closed) return;
    // Also one that nobody here waits for any more, or that was found where another was looked for.
    if (dialled || dial !== undefined) {
      this.#used.set(id, 0);
      this.#use(id);
    }
    if (dial === undefined) return;
    for (const { channel, parts } of dial.waiting) this.#options.transport.send(id, channel, parts);
  }

  /** A frame came on the link of this peer. */
  heard(id: NodeId): void {
    if (this.#used.has(id)) this.#use(id);
  }

  down(id: NodeId): void {
    this.#used.delete(id);
  }

  /** Nobody needs a link to this peer any more; one that is up stays until it is idle. */
  drop(id: NodeId): void {
    this.#end(id);
  }

  isLinked(id: NodeId): boolean {
    return this.#options.transport.peer(id) !== undefined;
  }

  close(): void {
    this.#closed = true;
    this.#cancelLook?.();
    this.#used.clear();
    for (const id of [...this.#dials.keys()]) this.#end(id);
    for (const address of this.#wanted.keys()) this.#options.transport.disconnect(address);
    this.#wanted.clear();
  }

  #dial(to: NodeId, channel: Channel | null, addressesOf: () => readonly string[]): Dial | null {
    const { env } = this.#options;
    const most = (channel !== null && MAX_DIALS[channel]) || MAX_DIALS_IN_ALL;
    if (this.#dials.size >= most) return null;
    const failed = this.#failures.get(to);
    const known = [...new Set([...(this.#redirects.get(to) ?? []), ...addressesOf()])].filter(isAddress);
    // Where it was not found is tried last, and not so soon.
    const fresh = failed === undefined ? known : known.filter((address) => !failed.tried.includes(address));
    const isSoon = failed !== undefined && env.now() - failed.atMs < RETRY_MS;
    const again = isSoon ? [] : known.filter((address) => !fresh.includes(address));
    const addresses = [...fresh, ...again].slice(0, MAX_ADDRESSES);
    if (addresses.length === 0) return null;
    const cancel = env.after(WAIT_MS, () => this.#unreached(to));
    const dial: Dial = { addresses, waiting: [], waitingBytes: 0, cancel };
    this.#dials.set(to, dial);
    for (const address of addresses) this.keep(address);
    return dial;
  }

  #unreached(id: NodeId): void {
    const { addresses: tried = [], waiting = [] } = this.#end(id) ?? {};
    this.#redirects.delete(id);
    const before = this.#failures.get(id)?.tried ?? [];
    this.#failures.delete(id);
    const all = [...before.filter((address) => !tried.includes(address)), ...tried].slice(-MAX_TRIED);
    this.#failures.set(id, { atMs: this.#options.env.now(), tried: all });
    if (this.#failures.size > MAX_FAILURES) {
      const [oldest] = this.#failures.keys();
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    if (waiting.some(({ channel }) => channel !== 'dht')) this.#options.unreached?.(id, tried);
  }

  #end(id: NodeId): Dial | undefined {
    const dial = this.#dials.get(id);
    if (dial === undefined) return undefined;
    this.#dials.delete(id);
    dial.cancel();
    // The link stays; it is not dialled again by itself.
    for (const address of dial.addresses) this.release(address);
    return dial;
  }

  /** Of the links that were made here: those of others who dialled this node are theirs, and may serve them. */
  #use(id: NodeId): void {
    if (!this.#used.delete(id) || this.#options.isKept(id)) return;
    this.#used.set(id, this.#looks);
    if (this.#used.size > this.#maxLinks) this.#giveUpOldest();
    this.#lookLater();
  }

  #lookLater(): void {
    if (this.#cancelLook !== null || this.#used.size === 0) return;
    this.#cancelLook = this.#options.env.after(LOOK_EVERY_MS, () => {
      this.#cancelLook = null;
      this.#looks++;
      for (const [id, lastLook] of this.#used) {
        if (this.#looks - lastLook <= IDLE_LOOKS) break;
        if (this.#options.mayWait?.(id) !== true) this.#giveUp(id);
      }
      this.#lookLater();
    });
  }

  #giveUpOldest(): void {
    const [oldest] = this.#used.keys();
    if (oldest !== undefined) this.#giveUp(oldest);
  }

  #giveUp(id: NodeId): void {
    this.#used.delete(id);
    if (!this.#options.isKept(id)) this.#options.transport.hangUp(id);
  }
}
