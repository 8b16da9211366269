/**
 * What the log says happened, for comparison with what clients were told. Each answer names the revision that it is of, so each is right or wrong by itself,
 * stale ones too.
 */
import type { Operation } from '../../src/checker/history.ts';
import { nameOf, type View } from './history.ts';
import type { Compared } from './judge.ts';
import type { LogRules } from './log-rules.ts';

interface Write {
  /** How often it is in the log. */
  count: number;
  /** Of the last time; null when its condition did not hold. */
  revision: number | null;
}

const decoder = new TextDecoder();

export class Oracle {
  /** By value: each is written once. */
  readonly #writes = new Map<string, Write>();
  readonly #rules: LogRules;

  constructor(rules: LogRules) {
    this.#rules = rules;
    for (const step of rules.steps) {
      const operation = step?.command.operation;
      if (step === undefined || operation?.type !== 'put') continue;
      const value = nameOf(decoder.decode(operation.value));
      const count = (this.#writes.get(value)?.count ?? 0) + 1;
      this.#writes.set(value, { count, revision: step.result.ok ? step.result.revision : null });
    }
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
      const is = this.#rules.store.at(key, revision);
      const changed = this.#rules.store
        .changes(revision)
        .some((change) => change.key === key && change.now.value === null);
      if (is !== null || (deleted && !changed)) this.#contradict(operation, is);
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
    const is = this.#rules.store.at(key, revision);
    const shown =
      is === null || is.value === null
        ? { value: null, modRevision: 0 }
        : { value: nameOf(is.value), modRevision: is.revision };
    if (revision > this.#rules.store.revision || shown.value !== value || shown.modRevision !== modRevision)
      this.#contradict(view, is);
  }

  #contradict(told: unknown, is: unknown): never {
    const says = is === undefined || is === null ? 'nothing of it' : typeof is === 'string' ? is : JSON.stringify(is);
    throw new Error(`a client was told\n  ${JSON.stringify(told)}\nbut the log says ${says}`);
  }
}
