/** The obvious store: all versions of all keys for ever, each question answered by walking everything. */
import { checkTxn } from '../../src/kv/txn.ts';
import type {
  Compare,
  Condition,
  KeyEntry,
  KvEntry,
  RangeQuery,
  TxnContext,
  TxnOperation,
  TxnStep,
} from '../../src/kv/types.ts';

export type ModelOperation =
  | {
      readonly type: 'put';
      readonly key: string;
      readonly value: Uint8Array;
      readonly contentType: string | null;
      readonly lease: string | null;
      readonly prev: boolean;
      readonly condition: Condition | null;
    }
  | { readonly type: 'delete'; readonly key: string; readonly prev: boolean; readonly condition: Condition | null }
  | { readonly type: 'deleteRange'; readonly start: string; readonly end: string | null };

export type Step =
  | ModelOperation
  | ({ readonly type: 'txn' } & TxnOperation)
  /** A lease ends: the keys of it. */
  | { readonly type: 'endLease'; readonly leases: readonly string[] }
  /** `back`: so many revisions before the current one (may be beyond it, or before the first). */
  | { readonly type: 'compact'; readonly back: number }
  | {
      readonly type: 'configure';
      readonly keepRevisions?: number;
      readonly keepMs?: number;
      readonly quotaBytes?: number;
    }
  /** So many milliseconds pass. */
  | { readonly type: 'tick'; readonly ms: number };

/** Leases 1 to 3 exist, 3 with a long way to write it; a lock of length n has token n. */
export const CONTEXT: TxnContext = {
  leaseExists: (id) => id !== '404',
  lockToken: (name) => name.length,
};

interface Write {
  readonly key: string;
  readonly revision: number;
  readonly subOperation: number;
  /** Null: deleted there. */
  readonly entry: KvEntry | null;
  kept: boolean;
}

export interface ModelOptions {
  readonly keepRevisions?: number;
  readonly quotaBytes?: number;
}

export class Model {
  revision = 0;
  compactedRevision = 0;
  #floor = 0;
  #keepRevisions: number;
  #quotaBytes: number;
  readonly #writes: Write[] = [];

  constructor({ keepRevisions = Infinity, quotaBytes = 0 }: ModelOptions = {}) {
    this.#keepRevisions = keepRevisions;
    this.#quotaBytes = quotaBytes;
  }

  #of(key: string): Write[] {
    return this.#writes.filter((write) => write.key === key);
  }

  getAt(key: string, revision: number): KvEntry | null {
    return this.#of(key).findLast((write) => write.revision <= revision)?.entry ?? null;
  }

  get(key: string): KvEntry | null {
    return this.getAt(key, this.revision);
  }

  allAt(revision: number): KvEntry[] {
    const entries = new Map<string, KvEntry | null>();
    for (const write of this.#writes) if (write.revision <= revision) entries.set(write.key, write.entry);
    return [...entries.keys()].toSorted().flatMap((key) => entries.get(key) ?? []);
  }

  range(query: RangeQuery, revision: number) {
    const all = this.allAt(revision).filter(({ key }) => key >= query.start && (query.end === null || key < query.end));
    if (query.countOnly) return { revision, entries: [], count: all.length, more: false };
    const left = all.filter(({ key }) => query.after === null || key > query.after);
    const page: KvEntry[] = [];
    let size = 0;
    for (const entry of left) {
      size += entry.key.length + (query.keysOnly ? 0 : entry.value.length);
      if (page.length >= query.limit || (page.length > 0 && size > (query.maxBytes ?? Infinity))) break;
      page.push(entry);
    }
    const entries = query.keysOnly ? page.map(withoutValue) : page;
    return { revision, entries, count: all.length, more: left.length > page.length };
  }

  keysOf(lease: string): string[] {
    return this.allAt(this.revision)
      .filter((entry) => entry.lease === lease)
      .map(({ key }) => key);
  }

  /** What one revision changed, each with what was there before. */
  changes(revision: number) {
    return this.#writes
      .filter((write) => write.revision === revision)
      .map(({ key, entry, subOperation }) => ({
        type: entry === null ? 'delete' : 'put',
        entry: entry ?? deletion(key, revision),
        subOperation,
        prev: this.getAt(key, revision - 1),
      }));
  }

  /** How many records are needed to read at every revision from `oldest` on. */
  recordsNeeded(oldest: number): number {
    let records = 0;
    for (const key of new Set(this.#writes.map((write) => write.key))) {
      const writes = this.#of(key);
      const visible = writes.findLastIndex((write) => write.revision <= oldest);
      records += writes.length - Math.max(visible, 0);
      if (visible >= 0 && writes[visible]?.entry === null) records--;
    }
    return records;
  }

  // Space: which versions are kept. Not by time.

  get recordsKept(): number {
    return this.#writes.filter((write) => write.kept).length;
  }

  get bytes(): number {
    let bytes = 0;
    for (const { key, entry, kept } of this.#writes) if (kept) bytes += key.length + (entry?.value.length ?? 0) + 64;
    return bytes;
  }

  /** The oldest version that is kept and has another one of its key, kept too, before it; and that one. */
  #oldestSuperseding(): [Write, Write] | null {
    const last = new Map<string, Write>();
    for (const write of this.#writes) {
      if (!write.kept) continue;
      const before = last.get(write.key);
      if (before !== undefined) return [write, before];
      last.set(write.key, write);
    }
    return null;
  }

  #drop(most: number, wanted: (oldest: Write) => boolean): void {
    for (let drops = 0; drops < most; drops++) {
      const [write, before] = this.#oldestSuperseding() ?? [];
      if (write === undefined || before === undefined || !wanted(write)) return;
      before.kept = false;
      this.compactedRevision = Math.max(this.compactedRevision, write.revision);
      if (write.entry === null && this.#of(write.key).at(-1) === write) write.kept = false;
    }
  }

  #settle(writes: number): void {
    const due = Math.max(this.#floor, this.revision - this.#keepRevisions);
    const [oldest] = this.#oldestSuperseding() ?? [];
    const backlog = oldest !== undefined && oldest.revision <= this.#floor;
    this.#drop((backlog ? 64 : 8) * Math.min(writes, 128), (write) => write.revision <= due);
    if (this.#quotaBytes > 0) this.#drop(256, () => this.bytes > this.#quotaBytes * 0.9);
  }

  /** The refusal when these bytes do not fit even after dropping. */
  #room(bytes: number): object | null {
    const over = () => bytes > 0 && this.#quotaBytes > 0 && this.bytes + bytes > this.#quotaBytes;
    if (over()) this.#drop(256, over);
    if (!over()) return null;
    return { ...this.#refusal('ERR_QUOTA'), details: { quotaBytes: this.#quotaBytes, bytes: this.bytes } };
  }

  #refusal(code: string) {
    return { ok: false, code, revision: this.revision, message: '' };
  }

  // Writes.

  apply(step: Step): object | null {
    switch (step.type) {
      case 'put':
      case 'delete':
        return this.#single(step);
      case 'deleteRange': {
        const { start, end } = step;
        const doomed = this.allAt(this.revision).filter(({ key }) => key >= start && (end === null || key < end));
        return { ok: true, revision: this.revision, ...this.#deleteAll(doomed) };
      }
      case 'endLease': {
        const doomed = this.allAt(this.revision).filter(({ lease }) => lease !== null && step.leases.includes(lease));
        return this.#deleteAll(doomed);
      }
      case 'txn':
        return this.#txn(step);
      case 'compact':
        return this.#compact(this.revision - step.back);
      case 'configure':
        if (step.quotaBytes !== undefined) this.#quotaBytes = step.quotaBytes;
        if (step.keepRevisions !== undefined) {
          this.#keepRevisions = step.keepRevisions;
          this.#raiseFloor(this.revision - step.keepRevisions);
        }
        return null;
      case 'tick':
        return null;
    }
  }

  #single(operation: Extract<ModelOperation, { type: 'put' | 'delete' }>): object {
    const { key, condition } = operation;
    const current = this.get(key);
    if (condition !== null) {
      const holds =
        condition.type === 'absent'
          ? current === null
          : current !== null && (condition.type === 'exists' || condition.revision === current.modRevision);
      if (!holds) return { ok: false, code: 'ERR_CAS_FAILED', revision: this.revision, current };
    }
    const prev = operation.prev ? { prev: current } : {};
    if (operation.type === 'delete') {
      return { ok: true, revision: this.revision, ...this.#deleteAll(current === null ? [] : [current]), ...prev };
    }
    const refusal = this.#room(key.length + operation.value.length + 64);
    if (refusal !== null) return refusal;
    this.revision++;
    this.#put(operation, 0);
    this.#settle(1);
    return { ok: true, revision: this.revision, created: current === null, ...prev };
  }

  #deleteAll(doomed: readonly KvEntry[]): { deleted: number; revision?: number } {
    if (doomed.length === 0) return { deleted: 0 };
    this.revision++;
    for (const [subOperation, { key }] of doomed.entries()) this.#write(key, null, subOperation);
    this.#settle(1);
    return { deleted: doomed.length, revision: this.revision };
  }

  #compact(revision: number): object {
    if (revision > this.revision) {
      return { ...this.#refusal('ERR_FUTURE_REVISION'), details: { revision: this.revision } };
    }
    if (revision < this.compactedRevision) {
      return { ...this.#refusal('ERR_COMPACTED'), details: { compactRevision: this.compactedRevision } };
    }
    this.#raiseFloor(revision);
    this.#drop(10_000, (write) => write.revision <= revision);
    return { ok: true, type: 'compacted', revision: this.revision, compactedRevision: this.compactedRevision };
  }

  #raiseFloor(revision: number): void {
    this.#floor = Math.max(this.#floor, revision);
    this.compactedRevision = Math.max(this.compactedRevision, revision);
  }

  #txn(operation: TxnOperation): object {
    if (checkTxn(operation) !== null) return { ...this.#refusal('ERR_INVALID_ARGUMENT'), details: {} };
    const succeeded = operation.compare.every((compare) => this.#compare(compare));
    const steps = succeeded ? operation.then : operation.otherwise;
    const puts = steps.filter((step) => step.type === 'put');
    if (puts.some(({ lease }) => lease === '404')) {
      return { ...this.#refusal('ERR_LEASE_NOT_FOUND'), details: { lease: '404' } };
    }
    const refusal = this.#room(puts.reduce((sum, { key, value }) => sum + key.length + value.length + 64, 0));
    if (refusal !== null) return refusal;
    const before = this.#writes.length;
    const revision = this.revision;
    const responses = steps.map((step) => {
      const written = this.#writes.length - before;
      return this.#step(step, revision + 1, written);
    });
    const writes = this.#writes.length - before;
    if (writes > 0) this.#settle(writes);
    return { ok: true, type: 'txn', revision: this.revision, succeeded, responses };
  }

  #step(step: TxnStep, revision: number, written: number): object {
    if (step.type === 'get') return { type: 'get', entry: this.get(step.key) };
    if (step.type === 'range') {
      const query = { ...step, after: null, countOnly: false };
      const { entries, count } = this.range(query, this.revision);
      return { type: 'range', entries, count };
    }
    if (step.type === 'put') {
      const current = this.get(step.key);
      this.revision = revision;
      this.#put(step, written);
      return { type: 'put', created: current === null, ...(step.prev ? { prev: current } : {}) };
    }
    const inStep = (key: string) =>
      step.type === 'delete' ? key === step.key : key >= step.start && (step.end === null || key < step.end);
    const doomed = this.allAt(this.revision).filter(({ key }) => inStep(key));
    for (const [i, { key }] of doomed.entries()) {
      this.revision = revision;
      this.#write(key, null, written + i);
    }
    const prev = step.type === 'delete' && step.prev ? { prev: doomed[0] ?? null } : {};
    return { type: 'delete', deleted: doomed.length, ...prev };
  }

  #compare(compare: Compare): boolean {
    if (compare.target === 'token') return operate(compare.lock.length, compare.operator, compare.value);
    const entry = this.get(compare.key);
    switch (compare.target) {
      case 'value': {
        if (entry === null) return compare.operator === '!=';
        return operate(Buffer.compare(entry.value, compare.value), compare.operator, 0);
      }
      case 'lease':
        return operate(BigInt(entry?.lease ?? 0), compare.operator, BigInt(compare.value ?? 0));
      default:
        return operate(entry?.[compare.target] ?? 0, compare.operator, compare.value);
    }
  }

  #put(put: Pick<KvEntry, 'key' | 'value' | 'lease' | 'contentType'>, subOperation: number): void {
    const { key, value, lease, contentType } = put;
    const current = this.get(key);
    const entry = {
      key,
      value,
      createRevision: current?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (current?.version ?? 0) + 1,
      lease,
      contentType,
    };
    this.#write(key, entry, subOperation);
  }

  #write(key: string, entry: KvEntry | null, subOperation: number): void {
    this.#writes.push({ key, revision: this.revision, subOperation, entry, kept: true });
  }
}

function operate<T extends number | bigint>(a: T, operator: Compare['operator'], b: T): boolean {
  switch (operator) {
    case '=':
      return a === b;
    case '!=':
      return a !== b;
    case '<':
      return a < b;
    case '>':
      return a > b;
  }
}

function deletion(key: string, revision: number): KvEntry {
  const nothing = { createRevision: 0, version: 0, lease: null, contentType: null };
  return { key, value: new Uint8Array(0), modRevision: revision, ...nothing };
}

function withoutValue({ key, createRevision, modRevision, version, lease }: KvEntry): KeyEntry {
  return { key, createRevision, modRevision, version, lease };
}
