/** Keys and values in the simplest way: every version of every key for ever. What the log does is applied to it, and compared. */
import type { Compare, Condition, TxnStep } from '../../src/kv/types.ts';

export interface Version {
  readonly revision: number;
  readonly createRevision: number;
  /** 0: deleted. */
  readonly version: number;
  /** null: deleted. */
  readonly value: string | null;
  readonly lease: string | null;
}

export interface NaiveChange {
  readonly key: string;
  readonly now: Version;
  /** Null: there was no such key. */
  readonly before: Version | null;
}

const decoder = new TextDecoder();

export class NaiveStore {
  revision = 0;
  readonly #versions = new Map<string, Version[]>();
  /** By revision, in order of the writes. */
  readonly #changes = new Map<number, NaiveChange[]>();
  /** By lease: keys whose newest version hangs on it. */
  readonly #ofLease = new Map<string, Set<string>>();

  /** The newest that is not newer than `revision`; null when the key was not there. */
  at(key: string, revision: number): Version | null {
    const found = this.#versions.get(key)?.findLast((version) => version.revision <= revision);
    return found === undefined || found.value === null ? null : found;
  }

  get(key: string): Version | null {
    return this.at(key, Infinity);
  }

  changes(revision: number): readonly NaiveChange[] {
    return this.#changes.get(revision) ?? [];
  }

  /** Keys that exist. */
  keys(): string[] {
    return [...this.#versions.keys()].filter((key) => this.get(key) !== null).toSorted();
  }

  keysOf(lease: string): readonly string[] {
    return [...(this.#ofLease.get(lease) ?? [])].toSorted();
  }

  put(key: string, value: Uint8Array, lease: string | null, revision: number): void {
    const before = this.get(key);
    this.#write(key, before, {
      revision,
      createRevision: before?.createRevision ?? revision,
      version: (before?.version ?? 0) + 1,
      value: decoder.decode(value),
      lease,
    });
  }

  /** True: there was something. */
  delete(key: string, revision: number): boolean {
    const before = this.get(key);
    if (before === null) return false;
    this.#write(key, before, { revision, createRevision: 0, version: 0, value: null, lease: null });
    return true;
  }

  /** How many. */
  deleteRange(start: string, end: string | null, revision: number): number {
    const doomed = this.keys().filter((key) => key >= start && (end === null || key < end));
    for (const key of doomed) this.delete(key, revision);
    return doomed.length;
  }

  #write(key: string, before: Version | null, now: Version): void {
    this.revision = now.revision;
    const versions = this.#versions.get(key);
    if (versions === undefined) this.#versions.set(key, [now]);
    else versions.push(now);
    const changes = this.#changes.get(now.revision);
    if (changes === undefined) this.#changes.set(now.revision, [{ key, now, before }]);
    else changes.push({ key, now, before });
    if (before !== null && before.lease !== null) this.#ofLease.get(before.lease)?.delete(key);
    if (now.lease === null) return;
    const keys = this.#ofLease.get(now.lease);
    if (keys === undefined) this.#ofLease.set(now.lease, new Set([key]));
    else keys.add(key);
  }

  meets(condition: Condition | null, key: string): boolean {
    const found = this.get(key);
    switch (condition?.type) {
      case undefined:
        return true;
      case 'absent':
        return found === null;
      case 'exists':
        return found !== null;
      case 'modRevision':
        return found?.revision === condition.revision;
    }
  }

  holds(compare: Compare, tokenOf: (lock: string) => number): boolean {
    if (compare.target === 'token') return ordered(tokenOf(compare.lock), compare.operator, compare.value);
    const found = this.get(compare.key);
    const { operator } = compare;
    switch (compare.target) {
      case 'value':
        if (found === null || found.value === null) return operator === '!=';
        return ordered(found.value, operator, decoder.decode(compare.value));
      case 'lease':
        return ordered(Number(found?.lease ?? 0), operator, Number(compare.value ?? 0));
      case 'version':
        return ordered(found?.version ?? 0, operator, compare.value);
      case 'createRevision':
        return ordered(found?.createRevision ?? 0, operator, compare.value);
      case 'modRevision':
        return ordered(found?.revision ?? 0, operator, compare.value);
    }
  }

  /** One step of a transaction that writes at `revision`; what it gives back, in words that can be compared. */
  step(step: TxnStep, revision: number): unknown {
    switch (step.type) {
      case 'put': {
        const created = this.get(step.key) === null;
        this.put(step.key, step.value, step.lease, revision);
        return { created };
      }
      case 'delete':
        return { deleted: this.delete(step.key, revision) ? 1 : 0 };
      case 'deleteRange':
        return { deleted: this.deleteRange(step.start, step.end, revision) };
      case 'get':
        return { entry: this.get(step.key)?.value ?? null };
      case 'range': {
        const { start, end, limit } = step;
        const keys = this.keys().filter((key) => key >= start && (end === null || key < end));
        return { keys: keys.slice(0, limit), count: keys.length };
      }
    }
  }
}

function ordered<T extends number | string>(a: T, operator: Compare['operator'], b: T): boolean {
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
