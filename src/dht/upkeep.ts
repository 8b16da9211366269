/**
 * What keeps a node in the network and records alive: joining and refreshing buckets (§2.3), publishing own records again, handing on those that it keeps, and giving them to
 * newcomers (§2.5). Never more than a few queries at once, in the order of what hurts most when it is late.
 */
import { randomIdAt } from './id.ts';
import type { Publication, Publications } from './publications.ts';
import type { Queries } from './queries.ts';
import type { Query, UpkeepKind } from './query.ts';
import type { Held } from './record-store.ts';
import type { DhtState } from './state.ts';
import type { DhtId, SignedRecord } from './types.ts';

/** Between two attempts to join. */
const JOIN_RETRY_MS = 5_000;
/** Twice as long each time that nobody answered, up to this. */
const MAX_JOIN_RETRY_MS = 300_000;
/** Until what could not be published is published again. */
const PUBLISH_RETRY_MS = 60_000;
/** Records given to newcomers in one round; what is left over reaches them when it is replicated. */
const MAX_HAND_OVERS = 64;

export class Upkeep {
  readonly #state: DhtState;
  readonly #queries: Queries;
  readonly #publications: Publications;
  #isJoined = false;
  #isJoining = false;
  #isPumping = false;
  #joinStartedMs = -Infinity;
  #joinDelayMs = JOIN_RETRY_MS;
  #nextRoundMs: number;
  #selfLookedUpMs = -Infinity;
  /** Positions of buckets to be refreshed. */
  readonly #refresh: number[] = [];
  #publish: Publication[] = [];
  #replicate: Held[] = [];

  constructor(state: DhtState, queries: Queries, publications: Publications) {
    this.#state = state;
    this.#queries = queries;
    this.#publications = publications;
    // Nodes that start together do not work together for ever.
    this.#nextRoundMs = state.tuning.upkeepIntervalMs * (0.5 + 0.5 * state.options.random());
  }

  /** Not before. */
  get #joinMs(): number {
    return this.#joinStartedMs + this.#joinDelayMs;
  }

  get isJoined(): boolean {
    return this.#isJoined;
  }

  /** Somebody is known: the first one is the way in. */
  join(): void {
    const { nowMs, table } = this.#state;
    if (this.#isJoined || this.#isJoining || nowMs < this.#joinMs || table.isEmpty) return;
    // A shell that vouches for peers tells of them all: nobody has to be looked for.
    if (this.#state.options.vouches !== undefined && table.hasLive) {
      this.#isJoined = true;
      this.#selfLookedUpMs = nowMs;
      return;
    }
    this.#isJoining = true;
    this.#joinStartedMs = nowMs;
    this.#lookUpSelf('join');
  }

  /** Somebody was reached: no need to wait any longer. */
  reached(): void {
    this.#joinDelayMs = JOIN_RETRY_MS;
    this.join();
  }

  tick(): void {
    const { nowMs, tuning } = this.#state;
    this.join();
    if (nowMs >= this.#nextRoundMs) {
      this.#nextRoundMs = nowMs + tuning.upkeepIntervalMs;
      this.#round();
    }
    this.#pump();
  }

  nextMs(): number {
    if (this.#isJoined || this.#isJoining || this.#state.table.isEmpty) return this.#nextRoundMs;
    return Math.min(this.#nextRoundMs, Math.max(this.#joinMs, 0));
  }

  over(query: Query): void {
    this.#checkPublished(query);
    if (query.plan.kind === 'join') {
      this.#isJoining = false;
      if (query.outcome === 'alone') this.#joinDelayMs = Math.min(2 * this.#joinDelayMs, MAX_JOIN_RETRY_MS);
      else {
        this.#isJoined = true;
        this.#joinDelayMs = JOIN_RETRY_MS;
        for (const position of this.#state.table.farBuckets()) this.#addRefresh(position);
      }
    }
    this.#pump();
  }

  /** What nobody else keeps is published again soon, unless it is because others keep a newer one. */
  #checkPublished({ plan: { kind, key, record }, outcome, stored, refused }: Query): void {
    if (record === null || kind === 'replicate') return;
    const publication = this.#publications.get(record.kind, key);
    const isOut = outcome !== 'alone' && (stored > 0 || refused.older !== undefined);
    if (publication?.seq !== record.seq || isOut) return;
    publication.dueMs = Math.min(publication.dueMs, this.#state.nowMs + PUBLISH_RETRY_MS);
  }

  #round(): void {
    const { nowMs, stores, table, tuning } = this.#state;
    stores.value.expire(nowMs);
    stores.provider.expire(nowMs);
    // Everybody is silent: it is this node that fell out, or everybody did; either way it has to come in again.
    if (this.#isJoined && !table.hasLive && !table.isEmpty) this.#isJoined = false;
    for (const entry of table.doubtful(nowMs - tuning.probeIdleMs)) this.#state.probe(entry);
    if (this.#isJoined) this.#addDueRefreshes();
    this.#publish = [...this.#publications.due(nowMs)];
    this.#replicate = [];
    for (const store of [stores.value, stores.provider]) {
      for (const held of store.held()) if (held.replicateMs <= nowMs) this.#replicate.push(held);
    }
    if (this.#isJoined) this.#handOver(tuning.k);
  }

  #addDueRefreshes(): void {
    const { nowMs, table, tuning } = this.#state;
    const dueMs = nowMs - tuning.refreshIntervalMs;
    if (this.#selfLookedUpMs <= dueMs) this.#lookUpSelf('refresh');
    for (const position of table.farBuckets()) {
      if (table.lookedUpMs(position) <= dueMs) this.#addRefresh(position);
    }
  }

  #addRefresh(position: number): void {
    if (!this.#refresh.includes(position)) this.#refresh.push(position);
  }

  #pump(): void {
    // A query that is over as soon as it starts, because nobody is known, comes back here: a thousand of them are a loop, not a tower.
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#queries.upkeepSize < this.#state.tuning.maxUpkeepQueries) {
      if (!this.#publishNext() && !this.#refreshNext() && !this.#replicateNext()) break;
    }
    this.#isPumping = false;
  }

  #publishNext(): boolean {
    const { nowMs } = this.#state;
    for (let next = this.#publish.shift(); next !== undefined; next = this.#publish.shift()) {
      const { kind, key, ttlMs } = next;
      // Withdrawn, or published anew in the meantime.
      if (this.#publications.get(kind, key) !== next || next.dueMs > nowMs) continue;
      next.dueMs = nowMs + ttlMs / 3;
      this.#start('republish', key, this.signed(next));
      return true;
    }
    return false;
  }

  #refreshNext(): boolean {
    const position = this.#refresh.shift();
    if (position === undefined) return false;
    const { id, options } = this.#state;
    this.#start('refresh', randomIdAt(id, position, options.random), null);
    return true;
  }

  #replicateNext(): boolean {
    const { nowMs, stores, table, tuning } = this.#state;
    for (let next = this.#replicate.shift(); next !== undefined; next = this.#replicate.shift()) {
      const { record } = next;
      // Another did it, or it is no longer kept.
      if (next.replicateMs > nowMs || next.expiresMs <= nowMs || stores[record.kind].rival(record) !== next) continue;
      // One that is no longer among the k closest has done its part with this.
      const isMine = this.#state.isAmong(table.closest(record.key, tuning.k), record.key);
      next.replicateMs = isMine ? nowMs + this.#state.replicateDelayMs() : Infinity;
      this.#start('replicate', record.key, record);
      return true;
    }
    return false;
  }

  /** A newcomer among the k closest to a key gets its record, from the closest of those who keep it: the others know that they need not (§2.5). */
  #handOver(k: number): void {
    const { newcomers, nowMs, stores, table } = this.#state;
    if (newcomers.size === 0) return;
    const fresh = new Set(newcomers.keys());
    newcomers.clear();
    let left = MAX_HAND_OVERS;
    for (const store of [stores.value, stores.provider]) {
      for (const { record, expiresMs } of store.held()) {
        if (expiresMs <= nowMs) continue;
        const closest = table.closest(record.key, k);
        const nearest = closest.find(({ peerId }) => !fresh.has(peerId));
        if (nearest !== undefined && !this.#state.isCloser(record.key, nearest)) continue;
        for (const contact of closest) {
          if (!fresh.has(contact.peerId)) continue;
          if (left === 0 || !this.#queries.handOver(contact, record)) return;
          left -= 1;
        }
      }
    }
  }

  signed({ kind, key, value, seq, ttlMs }: Publication): SignedRecord {
    const { peerId, wallMs } = this.#state.options;
    return this.#state.sign({ kind, key, value, seq, notAfter: Math.floor(wallMs()) + ttlMs, peerId });
  }

  #lookUpSelf(kind: 'join' | 'refresh'): void {
    this.#selfLookedUpMs = this.#state.nowMs;
    this.#start(kind, this.#state.id, null);
  }

  #start(kind: UpkeepKind, key: DhtId, record: SignedRecord | null): void {
    const { queryDeadlineMs, maxRequestsPerQuery } = this.#state.tuning;
    const plan = { kind, key, record, paths: 1, trace: false };
    this.#queries.start({ ...plan, deadlineMs: queryDeadlineMs, maxRequests: maxRequestsPerQuery });
  }
}
