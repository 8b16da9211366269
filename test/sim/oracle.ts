/**
 * What the log says happened, for comparison with what clients were told: all entries that were ever applied, through a store so simple that it
 * can be read at a glance. Each answer names the revision that it is of, so each is right or wrong by itself, stale ones too.
 */
import type { Operation } from '../../src/checker/history.ts';
import type { Condition } from '../../src/kv/types.ts';
import { decodeCommand } from '../../src/machine/command.ts';
import type { Entry } from '../../src/raft/types.ts';
import { nameOf, type View } from './history.ts';
import type { Compared } from './judge.ts';

interface Version {
  readonly revision: number;
  /** null: deleted. */
  readonly value: string | null;
}

interface Write {
  /** How often it is in the log. */
  count: number;
  /** Of the last time; null when its condition did not hold. */
  revision: number | null;
}

const decoder = new TextDecoder();

export class Oracle {
  readonly #versions = new Map<string, Version[]>();
  /** By value: each is written once. */
  readonly #writes = new Map<string, Write>();
  #revision = 0;

  /** Entries by index; the first one is not used. */
  constructor(committed: readonly (Entry | undefined)[]) {
    for (let index = 1; index < committed.length; index++) {
      const entry = committed[index];
      if (entry === undefined) throw new Error(`nobody ever applied entry ${index}`);
      if (entry.kind === 'command') this.#apply(entry.data);
    }
  }

  #apply(data: Uint8Array): void {
    const { operation } = decodeCommand(data);
    if (operation.type !== 'put' && operation.type !== 'delete') {
      throw new Error(`no client asks for a ${operation.type}`);
    }
    const { key } = operation;
    const versions = this.#versions.get(key) ?? [];
    this.#versions.set(key, versions);
    const before = versions.at(-1);
    if (operation.type === 'delete') {
      if ((before?.value ?? null) !== null) versions.push({ revision: ++this.#revision, value: null });
      return;
    }
    const value = nameOf(decoder.decode(operation.value));
    const written = holds(operation.condition, before);
    if (written) versions.push({ revision: ++this.#revision, value });
    const count = (this.#writes.get(value)?.count ?? 0) + 1;
    this.#writes.set(value, { count, revision: written ? this.#revision : null });
  }

  /** Throws when the log says otherwise. What became of a write that its client knows nothing of; null for others. */
  check(operation: Operation): string | null {
    const { op, key, output, return: returned, fail } = operation;
    if (op === 'get') {
      if (returned !== null && fail !== true) this.checkView({ key, ...(output as Omit<View, 'key'>) });
      return null;
    }
    if (op === 'delete') {
      if (returned === null || fail === true) return null;
      const { revision, deleted } = output as { revision: number; deleted: boolean };
      const is = this.#at(key, revision);
      if (deleted ? is?.revision !== revision || is.value !== null : (is?.value ?? null) !== null)
        this.#contradict(operation, is);
      return null;
    }
    const value = op === 'cas' ? (operation.input as Compared).value : (operation.input as string);
    const write = this.#writes.get(value);
    if (write !== undefined && write.count > 1) this.#contradict(operation, `it is in the log ${write.count} times`);
    if (fail === true) {
      if (write !== undefined) this.#contradict(operation, 'it is in the log');
      return null;
    }
    if (returned === null) {
      if (write === undefined) return 'a write without an answer was lost';
      return write.revision === null ? null : 'a write without an answer took effect';
    }
    if (write === undefined) this.#contradict(operation, 'it is not in the log');
    const revision = output === false ? null : (output as { revision: number }).revision;
    if (write?.revision !== revision) this.#contradict(operation, write);
    return null;
  }

  checkView(view: View): void {
    const { key, value, modRevision, revision } = view;
    const is = this.#at(key, revision);
    const shown =
      (is?.value ?? null) === null ? { value: null, modRevision: 0 } : { value: is?.value, modRevision: is?.revision };
    if (revision > this.#revision || shown.value !== value || shown.modRevision !== modRevision)
      this.#contradict(view, is);
  }

  #at(key: string, revision: number): Version | undefined {
    return this.#versions.get(key)?.findLast((version) => version.revision <= revision);
  }

  #contradict(told: unknown, is: unknown): never {
    const says = is === undefined ? 'nothing of it' : typeof is === 'string' ? is : JSON.stringify(is);
    throw new Error(`a client was told\n  ${JSON.stringify(told)}\nbut the log says ${says}`);
  }
}

function holds(condition: Condition | null, before: Version | undefined): boolean {
  const there = (before?.value ?? null) !== null;
  switch (condition?.type) {
    case undefined:
      return true;
    case 'absent':
      return !there;
    case 'exists':
      return there;
    case 'modRevision':
      return there && before?.revision === condition.revision;
  }
}
