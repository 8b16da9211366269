/** Counters as callers see them. */
import { checkCount, checkName, typed, written, type Calls } from './calls.ts';
import type { CounterAnswer, Counters, MutationOptions, Written } from './coordination.ts';
import type { CallOptions } from './types.ts';

export class CounterService implements Counters {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  async add(given: string, delta = 1, options: MutationOptions = {}): Promise<CounterAnswer> {
    const name = checkName(given);
    checkCount('delta', delta, Number.MIN_SAFE_INTEGER);
    const result = typed(await this.#calls.propose({ type: 'counterAdd', name, delta }, options), 'counter');
    return { ...written(result), name, value: result.value };
  }

  async get(given: string, options: CallOptions = {}): Promise<CounterAnswer> {
    const name = checkName(given);
    await this.#calls.confirm(options);
    const { machine } = this.#calls;
    return { revision: machine.revision, name, value: machine.coordinator.counters.get(name) };
  }

  async delete(given: string, options: MutationOptions = {}): Promise<Written & { readonly deleted: boolean }> {
    const name = checkName(given);
    const result = typed(await this.#calls.propose({ type: 'counterDelete', name }, options), 'count');
    return { ...written(result), deleted: result.count > 0 };
  }
}
