/** One running query: its search, what it has gathered, and its result. */
import { compareRecords } from './record.ts';
import type { Search } from './search.ts';
import type {
  Contact,
  DhtId,
  Outcome,
  QueryId,
  QueryKind,
  QueryResult,
  QueryStep,
  RecordKind,
  SignedRecord,
  StoreRefusal,
} from './types.ts';

/** What the core looks up for its own sake; nobody is told the result. */
export type UpkeepKind = 'join' | 'refresh' | 'republish' | 'replicate';

export interface QueryPlan {
  readonly kind: QueryKind | UpkeepKind;
  readonly key: DhtId;
  /** What is stored at the k closest when they are found. */
  readonly record: SignedRecord | null;
  readonly paths: number;
  readonly trace: boolean;
  readonly deadlineMs: number;
  readonly maxRequests: number;
}

export class Query {
  readonly id: QueryId;
  readonly plan: QueryPlan;
  readonly search: Search;
  readonly startedMs: number;
  /** By now it is over, or has at least found whom it stores at. */
  deadlineAtMs: number;
  phase: 'searching' | 'storing' | 'over' = 'searching';
  /** Of the search. */
  outcome: Outcome = 'complete';
  /** Requests of this phase without an answer. */
  waiting = 0;
  requests = 0;
  /** Of the search. */
  answers = 0;
  /** Requests of the search that are late. */
  slow = 0;
  failures = 0;
  /** Whom the record has yet to be sent to. */
  storeAt: Contact[] = [];
  stored = 0;
  readonly refused: Partial<Record<StoreRefusal, number>> = {};
  /** Verified, by provider; of `get`, under the empty name, the newest. */
  readonly #records = new Map<string, SignedRecord>();
  #steps = 0;

  constructor(id: QueryId, plan: QueryPlan, search: Search, nowMs: number) {
    this.id = id;
    this.plan = plan;
    this.search = search;
    this.startedMs = nowMs;
    this.deadlineAtMs = nowMs + plan.deadlineMs;
  }

  /** Which records it asks for; null for one that looks for nodes. */
  get recordKind(): RecordKind | null {
    const { kind } = this.plan;
    return kind === 'get' ? 'value' : kind === 'findProviders' ? 'provider' : null;
  }

  get records(): readonly SignedRecord[] {
    return [...this.#records.values()];
  }

  get recordCount(): number {
    return this.#records.size;
  }

  /** The record that this one would have to be newer than. */
  rival(record: SignedRecord): SignedRecord | undefined {
    return this.#records.get(this.#nameOf(record));
  }

  /** To be called with verified records only. */
  gather(record: SignedRecord): void {
    const rival = this.rival(record);
    if (rival === undefined || compareRecords(record, rival) > 0) this.#records.set(this.#nameOf(record), record);
  }

  step(step: Omit<QueryStep, 'type' | 'query' | 'step'>): QueryStep {
    this.#steps += 1;
    return { type: 'step', query: this.id, step: this.#steps, ...step };
  }

  result(kind: QueryKind, nowMs: number): QueryResult {
    const closest = this.search.closest();
    return {
      type: 'result',
      query: this.id,
      kind,
      key: this.plan.key,
      outcome: this.outcome,
      closest: closest.map(({ contact }) => contact),
      records: this.records,
      stored: this.stored,
      refused: this.refused,
      cost: {
        requests: this.requests,
        failures: this.failures,
        hops: closest[0]?.depth ?? 0,
        elapsedMs: nowMs - this.startedMs,
      },
    };
  }

  #nameOf(record: SignedRecord): string {
    return this.plan.kind === 'get' ? '' : record.peerId;
  }
}
