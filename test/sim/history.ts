/** What the clients of a simulation saw, in the words of the checker. */
import type { Operation } from '../../src/checker/history.ts';

/** An operation that has begun; it ends once. */
export interface Open {
  ok(output: unknown): void;
  /** It certainly did not happen. */
  fail(): void;
}

/** A key as it was at a revision of the store, which need not have been the newest. */
export interface View {
  readonly key: string;
  /** null: it was not there. */
  readonly value: string | null;
  readonly modRevision: number;
  readonly revision: number;
}

export class History {
  readonly views: View[] = [];
  readonly #operations: (Operation & { output: unknown; return: number | null; fail?: boolean })[] = [];
  /** Counts calls and returns: an order that all clients share, finer than time. */
  #at = 0;

  get operations(): readonly Operation[] {
    return this.#operations;
  }

  call(client: string, op: string, key: string, input: unknown): Open {
    const operation: Operation & { output: unknown; return: number | null; fail?: boolean } = {
      client,
      op,
      key,
      input,
      output: null,
      call: ++this.#at,
      return: null,
    };
    this.#operations.push(operation);
    return {
      ok: (output) => {
        operation.output = output;
        operation.return = ++this.#at;
      },
      fail: () => {
        operation.fail = true;
        operation.return = ++this.#at;
      },
    };
  }
}

/** Values differ in their first word; the rest only weighs. */
export function nameOf(value: string): string {
  return value.split(' ', 1)[0] ?? '';
}
