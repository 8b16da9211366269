/** Running queries: asks whom their searches want to ask, takes in what comes, stores what is to be stored, and tells the result. */
import { equalBytes, log2Distance } from './id.ts';
import { LIMITS } from './limits.ts';
import { fail } from './path.ts';
import type { Candidate, Path } from './path.ts';
import { Query } from './query.ts';
import type { QueryPlan, UpkeepKind } from './query.ts';
import { compareRecords, sameRecord } from './record.ts';
import type { Pending } from './requests.ts';
import { Search } from './search.ts';
import type { DhtState } from './state.ts';
import type { Contact, DhtAnswer, Outcome, QueryId, QueryKind, QueryStep, SignedRecord } from './types.ts';

const UPKEEP: ReadonlySet<string> = new Set<UpkeepKind>(['join', 'refresh', 'republish', 'replicate']);
/** Contacts asked for beyond what the share of silent nodes makes likely. */
const MARGIN_CONTACTS = 4;
const NOTHING: readonly never[] = Object.freeze([]);

export class Queries {
  readonly #state: DhtState;
  readonly #running = new Map<QueryId, Query>();
  readonly #onOver: (query: Query) => void;
  #lastId = 0;
  #upkeep = 0;
  /** A query could not send for want of room among the requests that wait. */
  #isStarved = false;

  constructor(state: DhtState, onOver: (query: Query) => void) {
    this.#state = state;
    this.#onOver = onOver;
  }

  /** Of callers. */
  get size(): number {
    return this.#running.size - this.#upkeep;
  }

  get upkeepSize(): number {
    return this.#upkeep;
  }

  start(plan: QueryPlan): Query {
    const { table, tuning, nowMs } = this.#state;
    const seeds = table.closest(plan.key, tuning.k * Math.max(2, plan.paths));
    table.lookedUp(plan.key, nowMs);
    const query = new Query(++this.#lastId, plan, new Search(plan.key, tuning.k, plan.paths, seeds), nowMs);
    this.#running.set(query.id, query);
    if (isUpkeep(query)) this.#upkeep += 1;
    const { recordKind } = query;
    if (recordKind !== null) {
      for (const record of this.#state.stores[recordKind].find(plan.key, nowMs)) query.gather(record);
    }
    this.#pump(query);
    return query;
  }

  cancel(id: QueryId): boolean {
    const query = this.#running.get(id);
    if (query === undefined || isUpkeep(query)) return false;
    this.#close(query);
    return true;
  }

  tick(): void {
    const { nowMs, requests } = this.#state;
    for (let slow = requests.takeSlow(nowMs); slow !== null; slow = requests.takeSlow(nowMs)) {
      if (slow.search === null || slow.query === null) continue;
      slow.search.candidate.state = 'slow';
      slow.search.path.inFlight -= 1;
      slow.query.slow += 1;
      if (slow.query.phase === 'searching') this.#pump(slow.query);
    }
    for (const query of [...this.#running.values()]) {
      if (query.deadlineAtMs > nowMs) continue;
      if (query.phase === 'searching') this.#searched(query, 'deadline');
      else this.#finish(query);
    }
  }

  nextMs(): number {
    let next = Infinity;
    for (const { deadlineAtMs } of this.#running.values()) next = Math.min(next, deadlineAtMs);
    return next;
  }

  /** Takes in the answer to a request, which waits no longer. */
  answered(pending: Pending, answer: DhtAnswer): void {
    const { query, search } = pending;
    if (query !== null && query.phase !== 'over') {
      if (search !== null) this.#found(query, search, pending, answer);
      else if (answer.type === 'Stored') this.#stored(query, pending, answer.refused);
    }
    this.#useRoom();
  }

  /** The request got no answer, or none that makes sense. */
  failed(pending: Pending, outcome: 'timeout' | 'failed'): void {
    const { query, search } = pending;
    if (query !== null && query.phase !== 'over') {
      query.failures += 1;
      if (search !== null) {
        fail(search.candidate);
        this.#landed(query, pending);
      }
      this.#trace(query, pending, { outcome, contacts: 0, fresh: 0, records: 0 });
      this.#ended(query, pending);
    }
    this.#useRoom();
  }

  #found(query: Query, search: NonNullable<Pending['search']>, pending: Pending, answer: DhtAnswer): void {
    const { path, candidate, count } = search;
    candidate.state = 'answered';
    query.answers += 1;
    this.#landed(query, pending);
    const named = answer.type === 'Nodes' || answer.type === 'Records' ? answer.contacts : NOTHING;
    const contacts = named.length > count ? named.slice(0, count) : named;
    const records = answer.type === 'Records' ? answer.records : NOTHING;
    const fresh = query.search.learn(path, candidate, contacts, (contact) => this.#state.isGenuine(contact));
    for (const record of records) this.#gather(query, candidate, record);
    this.#trace(query, pending, {
      outcome: 'answered',
      contacts: contacts.length,
      fresh,
      records: records.length,
    });
    this.#ended(query, pending);
  }

  #landed(query: Query, { search, isSlow }: Pending): void {
    if (isSlow) query.slow -= 1;
    else if (search !== null) search.path.inFlight -= 1;
  }

  /** Believes a record only when it is what was asked for, better than what is known, and signed. */
  #gather(query: Query, from: Candidate, record: SignedRecord): void {
    const state = this.#state;
    if (record.kind !== query.recordKind || !equalBytes(record.key, query.plan.key)) {
      state.refuse('wrong-key');
      return;
    }
    const rival = query.rival(record);
    const isNewer = rival === undefined || compareRecords(record, rival) > 0;
    if (!isNewer) {
      if (rival !== undefined && sameRecord(record, rival)) from.record = rival;
      return;
    }
    if (rival === undefined && query.recordCount >= state.tuning.maxProvidersPerKey) {
      state.refuse('full');
      return;
    }
    const disbelief = state.disbelief(record);
    if (disbelief !== null) {
      state.refuse(disbelief);
      return;
    }
    from.record = record;
    query.gather(record);
  }

  #stored(query: Query, pending: Pending, refused: Extract<DhtAnswer, { type: 'Stored' }>['refused']): void {
    if (refused === null) query.stored += 1;
    else query.refused[refused] = (query.refused[refused] ?? 0) + 1;
    const outcome = refused === null ? 'answered' : 'refused';
    this.#trace(query, pending, { outcome, contacts: 0, fresh: 0, records: 0 });
    this.#ended(query, pending);
  }

  #ended(query: Query, pending: Pending): void {
    // One that was still on its way when the search was over belongs to nobody's count.
    if ((pending.search !== null) === (query.phase === 'searching')) query.waiting -= 1;
    this.#pump(query);
  }

  #pump(query: Query): void {
    if (query.phase === 'searching') this.#pumpSearch(query);
    if (query.phase === 'storing') this.#pumpStores(query);
  }

  #pumpSearch(query: Query): void {
    const { search, plan } = query;
    let isStarved = false;
    for (const path of search.paths) {
      while (path.inFlight < this.#state.tuning.alpha && query.requests < plan.maxRequests) {
        const candidate = path.next();
        if (candidate === null) break;
        if (this.#state.requests.isFull) {
          isStarved = true;
          break;
        }
        this.#ask(query, path, candidate);
      }
    }
    if (search.isOver) this.#searched(query, 'complete');
    else if (isStarved) this.#isStarved = true;
    else if (query.waiting === 0) this.#searched(query, 'exhausted');
  }

  #ask(query: Query, path: Path, candidate: Candidate): void {
    const { recordKind: kind, plan } = query;
    const asked = kind === null ? 'FindNode' : 'FindRecords';
    candidate.state = 'asked';
    candidate.tried = candidate.contact.addresses.length;
    path.inFlight += 1;
    query.waiting += 1;
    query.requests += 1;
    const count = this.#wanted(query);
    const { rpc } = this.#state.request(candidate.contact, asked, query, { path, candidate, count });
    this.#state.emit({
      type: 'send',
      to: candidate.contact,
      message:
        kind === null
          ? { type: 'FindNode', rpc, target: plan.key, count }
          : { type: 'FindRecords', rpc, kind, key: plan.key, count },
    });
  }

  /**
   * k contacts, and more where nodes do not answer: those near a key know the same neighbours, so if each names its k closest, and a third of them are dead, nobody names the
   * kth that lives. Costs bytes, and no request.
   */
  #wanted({ answers, failures, slow }: Query): number {
    const { k } = this.#state.tuning;
    const silent = failures + slow;
    if (silent === 0) return k;
    return Math.min(LIMITS.contacts, k + MARGIN_CONTACTS + Math.ceil((2 * k * silent) / (answers + 1)));
  }

  #searched(query: Query, outcome: Outcome): void {
    const state = this.#state;
    const closest = query.search.closest();
    query.outcome = closest.length === 0 ? 'alone' : outcome;
    const { record } = query.plan;
    if (record === null) {
      if (outcome === 'complete' && query.plan.kind === 'get') this.#repair(query, closest);
      this.#finish(query);
      return;
    }
    query.phase = 'storing';
    query.waiting = 0;
    query.storeAt = closest.map(({ contact }) => contact);
    // The search may have used up the time: storing has its own.
    query.deadlineAtMs = Math.max(query.deadlineAtMs, state.nowMs + state.tuning.requestTimeoutMs);
    if (state.isAmong(query.storeAt, record.key)) {
      // It is one of the k itself.
      if (query.storeAt.length === state.tuning.k) query.storeAt.pop();
      if (state.keep(record) === null) query.stored += 1;
    }
    this.#pump(query);
  }

  #pumpStores(query: Query): void {
    const { record } = query.plan;
    while (record !== null && query.storeAt.length > 0) {
      if (this.#state.requests.isFull) {
        this.#isStarved = true;
        return;
      }
      const to = query.storeAt.shift() as Contact;
      query.waiting += 1;
      query.requests += 1;
      this.#store(to, record, query);
    }
    if (query.waiting === 0) this.#finish(query);
  }

  /**
   * Who should have the newest record and does not, gets it. In place of caching along the path (§2.3), which would spread copies that nobody renews: a record that is read
   * often is whole, and nobody serves an old one for the sake of a hop or two.
   */
  #repair(query: Query, closest: readonly Candidate[]): void {
    const [newest] = query.records;
    if (newest === undefined) return;
    for (const { record, contact } of closest) {
      if (record !== null && compareRecords(record, newest) >= 0) continue;
      if (this.#state.requests.isFull) return;
      this.#store(contact, newest, null);
    }
  }

  /** For the upkeep: hands a record to one node, whatever comes of it. False: no room. */
  handOver(to: Contact, record: SignedRecord): boolean {
    if (this.#state.requests.isFull) return false;
    this.#store(to, record, null);
    return true;
  }

  #store(to: Contact, record: SignedRecord, query: Query | null): void {
    const { rpc } = this.#state.request(to, 'Store', query, null);
    this.#state.emit({ type: 'send', to, message: { type: 'Store', rpc, record } });
  }

  #finish(query: Query): void {
    this.#close(query);
    const { kind } = query.plan;
    if (!isUpkeepKind(kind)) this.#state.emit(query.result(kind, this.#state.nowMs));
    this.#onOver(query);
  }

  #close(query: Query): void {
    query.phase = 'over';
    this.#running.delete(query.id);
    if (isUpkeep(query)) this.#upkeep -= 1;
  }

  #useRoom(): void {
    if (!this.#isStarved || this.#state.requests.isFull) return;
    this.#isStarved = false;
    for (const query of [...this.#running.values()]) if (query.phase !== 'over') this.#pump(query);
  }

  #trace(
    query: Query,
    { search, to, asked, sentMs }: Pending,
    what: Pick<QueryStep, 'outcome' | 'contacts' | 'fresh' | 'records'>,
  ): void {
    if (!query.plan.trace) return;
    const { nowMs } = this.#state;
    const distance = log2Distance(to.id, query.plan.key);
    const path = search?.path.index ?? 0;
    this.#state.emit(query.step({ path, peer: to, distance, asked, rttMs: nowMs - sentMs, ...what }));
  }
}

function isUpkeepKind(kind: QueryKind | UpkeepKind): kind is UpkeepKind {
  return UPKEEP.has(kind);
}

function isUpkeep(query: Query): boolean {
  return isUpkeepKind(query.plan.kind);
}
