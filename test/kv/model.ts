/** The obvious store: all versions of all keys for ever, each question answered by walking everything. */
import type { Condition, KeyEntry, KvEntry, RangeQuery } from '../../src/kv/types.ts';

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

export class Model {
  revision = 0;
  /** For each key its writes, oldest first; null: deleted there. */
  readonly #writes = new Map<string, { revision: number; entry: KvEntry | null }[]>();

  getAt(key: string, revision: number): KvEntry | null {
    const writes = this.#writes.get(key) ?? [];
    return writes.findLast((write) => write.revision <= revision)?.entry ?? null;
  }

  get(key: string): KvEntry | null {
    return this.getAt(key, this.revision);
  }

  allAt(revision: number): KvEntry[] {
    const entries: KvEntry[] = [];
    for (const key of [...this.#writes.keys()].toSorted()) {
      const entry = this.getAt(key, revision);
      if (entry !== null) entries.push(entry);
    }
    return entries;
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

  /** How many records are needed to read at every revision from `oldest` on. */
  recordsNeeded(oldest: number): number {
    let records = 0;
    for (const writes of this.#writes.values()) {
      const visible = writes.findLastIndex((write) => write.revision <= oldest);
      records += writes.length - Math.max(visible, 0);
      if (visible >= 0 && writes[visible]?.entry === null) records--;
    }
    return records;
  }

  apply(operation: ModelOperation): object {
    if (operation.type === 'deleteRange') {
      const { start, end } = operation;
      const doomed = this.allAt(this.revision).filter(({ key }) => key >= start && (end === null || key < end));
      if (doomed.length > 0) this.revision++;
      for (const { key } of doomed) this.#write(key, null);
      return { ok: true, revision: this.revision, deleted: doomed.length };
    }
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
      if (current !== null) {
        this.revision++;
        this.#write(key, null);
      }
      return { ok: true, revision: this.revision, deleted: current === null ? 0 : 1, ...prev };
    }
    this.revision++;
    this.#write(key, {
      key,
      value: operation.value,
      createRevision: current?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (current?.version ?? 0) + 1,
      lease: operation.lease,
      contentType: operation.contentType,
    });
    return { ok: true, revision: this.revision, created: current === null, ...prev };
  }

  #write(key: string, entry: KvEntry | null): void {
    const writes = this.#writes.get(key);
    if (writes === undefined) this.#writes.set(key, [{ revision: this.revision, entry }]);
    else writes.push({ revision: this.revision, entry });
  }
}

function withoutValue({ key, createRevision, modRevision, version, lease }: KvEntry): KeyEntry {
  return { key, createRevision, modRevision, version, lease };
}
