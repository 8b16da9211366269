/** Counters. */
import type { Core } from './core.ts';
import { runOptions } from './lease.ts';
import type { CallOptions } from './options.ts';

/** A number that everybody may add to. A retry is counted once. */
export class Counter {
  readonly name: string;
  readonly #core: Core;

  constructor(core: Core, name: string) {
    this.#core = core;
    this.name = name;
  }

  /** Gives the sum. `delta`: a safe integer, default 1. Rejects ERR_INVALID_ARGUMENT when the sum would not be one. */
  async add(delta = 1, options: CallOptions = {}): Promise<number> {
    const { name } = this;
    const { value } = await this.#core.caller.run('write', runOptions(options), (transport, attempt) =>
      transport.counterAdd({ name, delta }, attempt),
    );
    return value;
  }

  /** 0 for one that was never added to. */
  async get(options: Omit<CallOptions, 'once'> = {}): Promise<number> {
    const { value } = await this.#core.caller.run('read', runOptions(options), (transport, attempt) =>
      transport.counterGet(this.name, attempt),
    );
    return value;
  }

  /** It is 0 again. False: it was not there. */
  async delete(options: CallOptions = {}): Promise<boolean> {
    const { deleted } = await this.#core.caller.run('write', runOptions(options), (transport, attempt) =>
      transport.counterDelete(this.name, attempt),
    );
    return deleted;
  }
}
