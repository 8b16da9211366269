/** Requests that wait for an answer. All have the same time-out, so the order in which they were sent is the order in which they end. */
import { invariant } from '../errors.ts';
import type { Candidate, Path } from './path.ts';
import type { Query } from './query.ts';
import type { Contact, DhtRequest, DhtTuning } from './types.ts';

/** Places of requests that ended are given back when there are this many and they are the larger part. */
const MIN_COMPACTION = 32;

export interface Pending {
  readonly rpc: number;
  readonly to: Contact;
  readonly asked: DhtRequest['type'];
  readonly sentMs: number;
  /** Null: nobody waits for it but the routing table. */
  readonly query: Query | null;
  /** Where the answer leads on; null for Ping and Store. */
  readonly search: {
    readonly path: Path;
    readonly candidate: Candidate;
    /** Contacts that were asked for. */
    readonly count: number;
  } | null;
  /** It no longer counts among the α of its path. */
  isSlow: boolean;
}

export class Requests {
  readonly #tuning: Pick<DhtTuning, 'requestTimeoutMs' | 'slowAfterMs' | 'maxPendingRequests'>;
  readonly #pending = new Map<number, Pending>();
  /** Requests of searches in the order in which they become slow; those before `#nextSlow` are through. */
  #searching: Pending[] = [];
  #nextSlow = 0;
  #rpc: number;

  /** `firstRpc`: a random one, so that an answer from before a restart is nobody's. */
  constructor(tuning: Pick<DhtTuning, 'requestTimeoutMs' | 'slowAfterMs' | 'maxPendingRequests'>, firstRpc: number) {
    this.#tuning = tuning;
    this.#rpc = firstRpc;
  }

  get size(): number {
    return this.#pending.size;
  }

  get isFull(): boolean {
    return this.#pending.size >= this.#tuning.maxPendingRequests;
  }

  add(to: Contact, asked: DhtRequest['type'], query: Query | null, search: Pending['search'], nowMs: number): Pending {
    invariant(!this.isFull, 'too many requests wait for an answer');
    const rpc = this.#takeRpc();
    const pending: Pending = { rpc, to, asked, sentMs: nowMs, query, search, isSlow: false };
    this.#pending.set(rpc, pending);
    if (search !== null) this.#searching.push(pending);
    return pending;
  }

  get(rpc: number): Pending | undefined {
    return this.#pending.get(rpc);
  }

  remove(pending: Pending): void {
    this.#pending.delete(pending.rpc);
  }

  /** The next whose time is over, and taken off. */
  takeTimedOut(nowMs: number): Pending | null {
    for (const pending of this.#pending.values()) {
      if (pending.sentMs + this.#tuning.requestTimeoutMs > nowMs) return null;
      this.#pending.delete(pending.rpc);
      return pending;
    }
    return null;
  }

  /** The next that has become slow, marked. */
  takeSlow(nowMs: number): Pending | null {
    const next = this.#nextSearching();
    if (next === null || next.sentMs + this.#tuning.slowAfterMs > nowMs) return null;
    this.#nextSlow += 1;
    next.isSlow = true;
    return next;
  }

  nextMs(): number {
    let next = Infinity;
    for (const { sentMs } of this.#pending.values()) {
      next = sentMs + this.#tuning.requestTimeoutMs;
      break;
    }
    const searching = this.#nextSearching();
    return searching === null ? next : Math.min(next, searching.sentMs + this.#tuning.slowAfterMs);
  }

  /** A number that no waiting request has. */
  #takeRpc(): number {
    do this.#rpc = (this.#rpc + 1) % 2 ** 32;
    while (this.#pending.has(this.#rpc));
    return this.#rpc;
  }

  #nextSearching(): Pending | null {
    const list = this.#searching;
    let found: Pending | null = null;
    for (; this.#nextSlow < list.length; this.#nextSlow++) {
      const pending = list[this.#nextSlow] as Pending;
      if (this.#pending.get(pending.rpc) !== pending) continue;
      found = pending;
      break;
    }
    if (this.#nextSlow >= MIN_COMPACTION && this.#nextSlow * 2 >= list.length) {
      this.#searching = list.slice(this.#nextSlow);
      this.#nextSlow = 0;
    }
    return found;
  }
}
