/**
 * Kademlia (Maymounkov & Mazières, IPTPS 2002) as a pure state machine: messages, ticks and queries go in, effects come out. It knows no network, clock, hash or key pair but what
 * it is handed, so that thousands of nodes run in one process from one seed, and the code that was simulated is the code that ships.
 *
 * @example
 * const dht = createDht({ peerId, clusterId, idOf, sign, verify, random, wallMs });
 * dht.addContact(seed, now());
 * const query = dht.get(key, now());
 * for (const effect of dht.takeEffects()) {        // after every call
 *   if (effect.type === 'send') transport.send(effect.to, encode(effect.message));
 *   else if (effect.type === 'result' && effect.query === query) answer(effect.records[0]);
 * }
 * setTimeout(() => dht.tick(now()), dht.nextTickMs() - now());
 *
 * One room a subject: bucket.ts and routing-table.ts are whom it knows; path.ts, search.ts, query.ts and queries.ts how it looks something up; record.ts and record-store.ts what
 * it keeps; server.ts what it answers; upkeep.ts and publications.ts what it does unasked; requests.ts what it waits for; state.ts holds them together. Sections (§) without a name
 * are the paper's.
 */
import { invariant, KvorumError } from '../errors.ts';
import { ID_BYTES } from './id.ts';
import { Publications } from './publications.ts';
import type { Publication } from './publications.ts';
import { Queries } from './queries.ts';
import { answer } from './server.ts';
import { DhtState } from './state.ts';
import type {
  Contact,
  Dht,
  DhtAnswer,
  DhtEffect,
  DhtId,
  DhtMessage,
  DhtOptions,
  DhtRequest,
  DhtStats,
  ProvideDraft,
  PutDraft,
  QueryId,
  QueryKind,
  QueryOptions,
  RecordKind,
  SignedRecord,
} from './types.ts';
import { Upkeep } from './upkeep.ts';

const ANSWER_TO: Readonly<Record<DhtRequest['type'], DhtAnswer['type']>> = {
  Ping: 'Pong',
  FindNode: 'Nodes',
  FindRecords: 'Records',
  Store: 'Stored',
};

/** @throws KvorumError ERR_CONFIG for options that make no sense. */
export function createDht(options: DhtOptions): Dht {
  return new DhtNode(options);
}

class DhtNode implements Dht {
  readonly #state: DhtState;
  readonly #queries: Queries;
  readonly #publications: Publications;
  readonly #upkeep: Upkeep;

  constructor(options: DhtOptions) {
    this.#state = new DhtState(options);
    invariant(this.id.length === ID_BYTES, `an id has ${ID_BYTES} bytes`);
    this.#queries = new Queries(this.#state, (query) => this.#upkeep.over(query));
    this.#publications = new Publications(this.#state.tuning.maxOwned);
    this.#upkeep = new Upkeep(this.#state, this.#queries, this.#publications);
  }

  get id(): DhtId {
    return this.#state.id;
  }

  tick(nowMs: number): void {
    const { requests, counts } = this.#state;
    this.#state.clock(nowMs);
    const now = this.#state.nowMs;
    for (let pending = requests.takeTimedOut(now); pending !== null; pending = requests.takeTimedOut(now)) {
      counts.timeouts += 1;
      this.#state.failed(pending.to);
      this.#queries.failed(pending, 'timeout');
    }
    this.#queries.tick();
    this.#upkeep.tick();
  }

  nextTickMs(): number {
    return Math.min(this.#state.requests.nextMs(), this.#queries.nextMs(), this.#upkeep.nextMs());
  }

  receive(from: Contact, message: DhtMessage, nowMs: number): void {
    this.#state.clock(nowMs);
    if (from.peerId === this.#state.options.peerId) {
      this.#state.refuse('own');
      return;
    }
    if (!this.#state.isGenuine(from)) return;
    switch (message.type) {
      case 'Ping':
      case 'FindNode':
      case 'FindRecords':
      case 'Store':
        this.#state.counts.answersSent += 1;
        this.#state.emit({ type: 'send', to: from, message: answer(this.#state, from, message) });
        this.#state.heard(from);
        break;
      default:
        this.#answered(from, message);
    }
    this.#upkeep.join();
  }

  requestFailed(rpc: number, nowMs: number): void {
    this.#state.clock(nowMs);
    const pending = this.#state.requests.get(rpc);
    if (pending === undefined) return;
    this.#state.requests.remove(pending);
    this.#state.failed(pending.to);
    this.#queries.failed(pending, 'failed');
  }

  addContact(contact: Contact, nowMs: number): void {
    this.#state.clock(nowMs);
    if (!this.#state.isGenuine(contact)) return;
    this.#state.heard(contact);
    this.#upkeep.reached();
  }

  removeContact(peerId: string): void {
    this.#state.newcomers.delete(peerId);
    this.#state.table.remove(this.#state.options.idOf(peerId), peerId);
  }

  lookup(key: DhtId, nowMs: number, options: QueryOptions = {}): QueryId | null {
    return this.#start('lookup', key, null, nowMs, options);
  }

  get(key: DhtId, nowMs: number, options: QueryOptions = {}): QueryId | null {
    return this.#start('get', key, null, nowMs, options);
  }

  findProviders(key: DhtId, nowMs: number, options: QueryOptions = {}): QueryId | null {
    return this.#start('findProviders', key, null, nowMs, options);
  }

  put(draft: PutDraft, nowMs: number, options: QueryOptions = {}): QueryId | null {
    const ttlMs = draft.ttlMs ?? this.#state.tuning.recordTtlMs;
    return this.#publish('put', { ...draft, kind: 'value', ttlMs }, draft.republish ?? true, nowMs, options);
  }

  provide(draft: ProvideDraft, nowMs: number, options: QueryOptions = {}): QueryId | null {
    const ttlMs = draft.ttlMs ?? this.#state.tuning.providerTtlMs;
    checkKey(draft.key);
    // Also where the wall clock went back, what it says now is newer than what it said before.
    const before = this.#publications.get('provider', draft.key)?.seq ?? -1;
    const seq = draft.seq ?? Math.max(Math.floor(this.#state.options.wallMs()), before + 1);
    const publication = { ...draft, kind: 'provider', ttlMs, seq } as const;
    return this.#publish('provide', publication, draft.republish ?? true, nowMs, options);
  }

  withdraw(kind: RecordKind, key: DhtId): boolean {
    return this.#publications.delete(kind, key);
  }

  cancel(query: QueryId): boolean {
    return this.#queries.cancel(query);
  }

  takeEffects(): readonly DhtEffect[] {
    return this.#state.takeEffects();
  }

  closest(key: DhtId, count: number): readonly Contact[] {
    checkKey(key);
    return this.#state.table.closest(key, count);
  }

  kept(kind: RecordKind, key: DhtId): readonly SignedRecord[] {
    checkKey(key);
    return this.#state.stores[kind].find(key, this.#state.nowMs);
  }

  stats(): DhtStats {
    const { table, stores, requests, counts, refused } = this.#state;
    return {
      joined: this.#upkeep.isJoined,
      ...table.stats(),
      records: stores.value.size,
      recordBytes: stores.value.bytes,
      providers: stores.provider.size,
      providerBytes: stores.provider.bytes,
      owned: this.#publications.size,
      queries: this.#queries.size,
      upkeepQueries: this.#queries.upkeepSize,
      pendingRequests: requests.size,
      ...counts,
      refused: { ...refused },
    };
  }

  #answered(from: Contact, message: DhtAnswer): void {
    const { requests, counts } = this.#state;
    const pending = requests.get(message.rpc);
    if (pending === undefined || pending.to.peerId !== from.peerId) {
      this.#state.refuse('unsolicited');
      return;
    }
    requests.remove(pending);
    if (message.type !== ANSWER_TO[pending.asked]) {
      this.#state.refuse('wrong-answer');
      this.#state.failed(from);
      this.#queries.failed(pending, 'failed');
      return;
    }
    counts.answersReceived += 1;
    this.#state.answeredMs = this.#state.nowMs;
    this.#state.heard(from);
    this.#queries.answered(pending, message);
  }

  #publish(
    kind: 'put' | 'provide',
    draft: Omit<Publication, 'dueMs'>,
    republish: boolean,
    nowMs: number,
    options: QueryOptions,
  ): QueryId | null {
    const { tuning } = this.#state;
    checkKey(draft.key);
    this.#state.clock(nowMs);
    if (draft.value.length > tuning.maxRecordBytes) {
      throw new KvorumError('ERR_TOO_LARGE', `A record of the DHT has at most ${tuning.maxRecordBytes} bytes`);
    }
    if (!Number.isSafeInteger(draft.seq) || draft.seq < 0) {
      throw new KvorumError('ERR_INVALID_ARGUMENT', `seq must be a whole number of at least 0, is ${draft.seq}`);
    }
    if (!Number.isSafeInteger(draft.ttlMs) || draft.ttlMs < 1 || draft.ttlMs > tuning.maxTtlMs) {
      throw new KvorumError('ERR_INVALID_ARGUMENT', `ttlMs must be from 1 to ${tuning.maxTtlMs}, is ${draft.ttlMs}`);
    }
    const { key, seq, ttlMs } = draft;
    const copies = { key: Uint8Array.from(key), value: Uint8Array.from(draft.value) };
    const publication: Publication = { kind: draft.kind, ...copies, seq, ttlMs, dueMs: this.#state.nowMs + ttlMs / 3 };
    const isKept = !republish || this.#publications.set(publication);
    if (!isKept || this.#queries.size >= tuning.maxQueries) {
      // What is to be published again is published by upkeep as soon as there is room.
      publication.dueMs = this.#state.nowMs;
      this.#state.refuse('overloaded');
      return null;
    }
    if (!republish) this.#publications.delete(draft.kind, key);
    return this.#start(kind, publication.key, this.#upkeep.signed(publication), nowMs, options);
  }

  #start(
    kind: QueryKind,
    key: DhtId,
    record: SignedRecord | null,
    nowMs: number,
    options: QueryOptions,
  ): QueryId | null {
    const { tuning } = this.#state;
    const { trace = false, deadlineMs = tuning.queryDeadlineMs } = options;
    checkKey(key);
    this.#state.clock(nowMs);
    if (this.#queries.size >= tuning.maxQueries) {
      this.#state.refuse('overloaded');
      return null;
    }
    const paths = Math.min(Math.max(1, Math.floor(options.paths ?? 1)), tuning.maxPaths);
    const maxRequests = Math.min(options.maxRequests ?? tuning.maxRequestsPerQuery, tuning.maxRequestsPerQuery);
    return this.#queries.start({ kind, key, record, paths, trace, deadlineMs, maxRequests }).id;
  }
}

function checkKey(key: DhtId): void {
  if (!(key instanceof Uint8Array) || key.length !== ID_BYTES) {
    throw new KvorumError('ERR_BAD_KEY', `A key of the DHT has ${ID_BYTES} bytes`);
  }
}
