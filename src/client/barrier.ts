/** Barriers. */
import { KvorumError } from '../errors.ts';
import type { BarrierInfo } from './api.ts';
import type { Core } from './core.ts';
import { runOptions } from './lease.ts';
import type { CallOptions } from './options.ts';
import { passThrough } from './seat.ts';
import type { AcquireOptions } from './seat.ts';

/** A point that all of a number of parties have to reach before any goes on. */
export class Barrier {
  readonly name: string;
  readonly parties: number;
  readonly #core: Core;

  constructor(core: Core, name: string, parties: number) {
    if (!Number.isSafeInteger(parties) || parties < 1) {
      throw new KvorumError('ERR_INVALID_ARGUMENT', 'a barrier is for one party at least', {
        details: { option: 'parties' },
      });
    }
    this.#core = core;
    this.name = name;
    this.parties = parties;
  }

  /**
   * Waits until all parties have entered; all of them get the same token. Default `wait`: for as long as it takes. Rejects ERR_LOCK_HELD when the wait is over.
   */
  async enter({ wait = Infinity, ...options }: AcquireOptions = {}): Promise<{ readonly token: number }> {
    const { name, parties } = this;
    const { token } = await passThrough(
      this.#core,
      name,
      { ...options, wait },
      {
        what: `barrier ${JSON.stringify(name)}`,
        acquire: (transport, request, attempt) => transport.barrierEnter({ ...request, parties }, attempt),
      },
    );
    return { token };
  }

  /** How many are awaited, and how many wait. */
  look(options: CallOptions = {}): Promise<BarrierInfo> {
    return this.#core.caller.run('read', runOptions(options), (transport, attempt) =>
      transport.barrierGet(this.name, attempt),
    );
  }
}
