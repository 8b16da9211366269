/** Renewals of one node: those of one turn go into one command, whatever the number of leases; the next one gathers while one is on its way. */
import { KvorumError } from '../errors.ts';
import { typed, type Calls } from './calls.ts';
import { outcomeUnknown } from './proposals.ts';

/** Leases in one command. */
const MAX_BATCH = 4096;
/** Callers that wait. */
const MAX_WAITING = 65_536;

interface Caller {
  readonly deadline: number;
  /** Only the first call counts. */
  readonly done: (error: Error | null, ttlMs: number | null) => void;
}

export class Renewals {
  readonly #calls: Calls;
  #next = new Map<string, Caller[]>();
  #waiting = 0;
  #scheduled = false;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** TTL of the lease, or null for one that is gone. Rejects as any write that is proposed. */
  renew(id: string, timeoutMs: number): Promise<number | null> {
    return new Promise((resolve, reject) => {
      if (this.#waiting >= MAX_WAITING) {
        reject(new KvorumError('ERR_OVERLOADED', 'too many renewals are waiting on this node'));
        return;
      }
      this.#waiting++;
      let open = true;
      const caller: Caller = {
        deadline: this.#calls.env.now() + timeoutMs,
        done: (error, ttlMs) => {
          if (!open) return;
          open = false;
          this.#waiting--;
          if (error === null) resolve(ttlMs);
          else reject(error);
        },
      };
      const callers = this.#next.get(id);
      if (callers === undefined) this.#next.set(id, [caller]);
      else callers.push(caller);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#calls.env.endOfTurn(() => {
      this.#scheduled = false;
      const gathered = [...this.#next];
      this.#next = new Map();
      for (let at = 0; at < gathered.length; at += MAX_BATCH) this.#propose(gathered.slice(at, at + MAX_BATCH));
    });
  }

  #propose(batch: readonly (readonly [string, readonly Caller[]])[]): void {
    const { env } = this.#calls;
    const callers = batch.flatMap(([, some]) => some);
    // Who waits longest decides how long the command may take; the others have a clock of their own.
    const deadline = callers.reduce((latest, caller) => Math.max(latest, caller.deadline), 0);
    const stops = callers
      .filter((caller) => caller.deadline < deadline)
      .map((caller) =>
        env.after(Math.max(0, caller.deadline - env.now()), () =>
          caller.done(outcomeUnknown('the renewal was not confirmed in time'), null),
        ),
      );
    this.#calls
      .propose(
        { type: 'leaseRenew', leases: batch.map(([id]) => id) },
        { timeoutMs: Math.max(0, deadline - env.now()) },
      )
      .then((result) => {
        const { ttlMs } = typed(result, 'renewed');
        for (const [place, [, some]] of batch.entries()) {
          for (const caller of some) caller.done(null, ttlMs[place] ?? null);
        }
      })
      .catch((error: Error) => {
        for (const caller of callers) caller.done(error, null);
      })
      .finally(() => {
        for (const stop of stops) stop();
      });
  }
}
