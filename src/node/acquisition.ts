/**
 * Getting hold of something: a lock, a permit, an election, a way through a barrier. One command asks; who is not let in at once waits here to hear of it,
 * and one more command takes a wait back. So whatever happens to this node, the state machine alone says who holds what.
 */
import { KvorumError } from '../errors.ts';
import type { LockKind, LockMode } from '../lock/types.ts';
import {
  checkLeaseId,
  checkMs,
  checkName,
  checkTimeout,
  checkTtl,
  decodeOwner,
  encodeOwner,
  invalid,
  MAX_TIMEOUT_MS,
  typed,
  type Calls,
  type Done,
} from './calls.ts';
import type { AcquireOptions, LockAnswer } from './coordination.ts';
import type { Fate, LockWaits } from './lock-waits.ts';
import type { Renewals } from './renewals.ts';

export interface Wanted {
  readonly kind: LockKind;
  readonly mode: LockMode;
  readonly limit: number;
  readonly delayMs: number;
  readonly value: string | null;
}

type Ticket = Extract<Done, { readonly type: 'lock' }>;

/** Places that were lost while nobody looked are asked for again so often. */
const MAX_ATTEMPTS = 3;

export class Acquisition {
  readonly #calls: Calls;
  readonly #waits: LockWaits;
  readonly #renewals: Renewals;
  readonly #abandoned: (error: unknown) => void;

  /** `abandoned`: what went wrong while a place was given up that nobody wants any more; it ends with its lease. */
  constructor(calls: Calls, waits: LockWaits, renewals: Renewals, abandoned: (error: unknown) => void) {
    this.#calls = calls;
    this.#waits = waits;
    this.#renewals = renewals;
    this.#abandoned = abandoned;
  }

  async acquire(given: string, wanted: Wanted, options: AcquireOptions): Promise<LockAnswer> {
    const name = checkName(given);
    const waitMs = checkMs('waitMs', options.waitMs, 0, MAX_TIMEOUT_MS, 0);
    const timeoutMs = checkTimeout(options.timeoutMs);
    const { env } = this.#calls;
    const deadline = env.now() + timeoutMs + waitMs;
    const operation = {
      type: 'lockAcquire',
      name,
      ...wanted,
      lease: options.lease === undefined ? { ttlMs: checkTtl(options.ttlMs) } : checkLeaseId(options.lease),
      owner: encodeOwner(options.owner),
      wait: waitMs > 0,
    } as const;
    const { signal } = options;
    signal?.throwIfAborted();
    const own = options.lease === undefined;
    const { keepPlace = false } = options;
    if (keepPlace && own) throw invalid('keepPlace needs a lease, which keeps the place');
    for (let attempt = 1; ; attempt++) {
      const once = attempt === 1 && options.once !== undefined ? { once: options.once } : {};
      const asked = this.#calls.propose(operation, { timeoutMs: Math.min(timeoutMs, deadline - env.now()), ...once });
      const ticket = typed(
        await this.#unlessAborted(asked, signal, (done) =>
          keepPlace ? Promise.resolve() : this.#undo(name, wanted, own, done),
        ),
        'lock',
      );
      if (ticket.token !== null) return answer(name, ticket, ticket.token);
      const left = keepPlace ? null : wanted.kind;
      const fate = await this.#wait(name, left, ticket, Math.min(waitMs, deadline - env.now()), own, signal);
      if (fate.type === 'granted') return answer(name, ticket, fate.token);
      if (fate.type === 'closed') {
        // A repetition elsewhere goes on waiting at the same place.
        throw new KvorumError('ERR_CLOSED', `the node closed while ${name} was waited for`, { outcome: 'unknown' });
      }
      if (fate.type === 'waited') throw this.#held(name, wanted.kind, keepPlace);
      // A repetition may find that the place of its first attempt was given up when the connection broke.
      if (ticket.replayed === true && attempt < MAX_ATTEMPTS && env.now() < deadline) continue;
      throw new KvorumError('ERR_LEASE_NOT_FOUND', `lease ${ticket.lease} ended while it waited for ${name}`, {
        // Nobody holds a barrier, so who was through long ago cannot be told from who never was.
        outcome: wanted.kind === 'barrier' ? 'unknown' : 'none',
      });
    }
  }

  /** What is decided about the ticket, or that the wait is over; by then it is out of the queue, unless `kind` is null: then it keeps its place. */
  async #wait(
    name: string,
    kind: LockKind | null,
    ticket: Ticket,
    waitMs: number,
    own: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Fate | { readonly type: 'waited' }> {
    const heard = await this.#hear(name, ticket, waitMs, own, signal);
    if (heard !== null) return heard;
    if (kind === null) {
      signal?.throwIfAborted();
      return { type: 'waited' };
    }
    const cancelled = this.#cancel(name, ticket);
    if (signal?.aborted === true) {
      cancelled.then((token) => this.#giveUp(name, token, own, kind)).catch(this.#abandoned);
      signal.throwIfAborted();
    }
    const token = await cancelled;
    if (token !== null) return { type: 'granted', token };
    if (kind !== 'barrier') return { type: 'waited' };
    // Nobody holds a barrier, so the cancellation cannot tell who was through before it; as of here this node has heard.
    await this.#calls.confirm({});
    return this.#waits.early(name, ticket.ticket) ?? { type: 'waited' };
  }

  /** Null: nothing until the time was over or the caller had gone. */
  #hear(
    name: string,
    { ticket, lease, ttlMs }: Ticket,
    waitMs: number,
    own: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Fate | null> {
    const { env } = this.#calls;
    return new Promise((resolve) => {
      const stops: (() => void)[] = [];
      const settle = (fate: Fate | null): void => {
        for (const stop of stops) stop();
        resolve(fate);
      };
      stops.push(this.#waits.wait(name, ticket, settle));
      stops.push(env.after(Math.max(0, waitMs), () => settle(null)));
      if (signal !== undefined) {
        const onAbort = (): void => settle(null);
        signal.addEventListener('abort', onAbort);
        stops.push(() => signal.removeEventListener('abort', onAbort));
      }
      // Nobody but this node knows of a lease that was made for the wait.
      if (own) {
        stops.push(
          env.every(ttlMs / 3, () => {
            // Should it fail for so long that the lease ends, the wait hears of it.
            this.#renewals.renew(lease, ttlMs).catch(this.#abandoned);
          }),
        );
      }
      const { machine } = this.#calls;
      // What was applied before this was asked for is not told again. This node may also be behind: then it will be told.
      const heard = machine.appliedIndex >= ticket || this.#waits.closed;
      const known = heard ? this.#waits.fate(machine.coordinator.locks, name, ticket) : null;
      if (known !== null || signal?.aborted === true) settle(known);
    });
  }

  /** Its token, if it was let in before. */
  async #cancel(name: string, { lease, ticket }: Ticket): Promise<number | null> {
    const result = await this.#calls.propose({ type: 'lockCancel', name, lease, ticket }, {});
    return typed(result, 'lock').token;
  }

  /** The caller had gone before it heard what became of the command. */
  async #undo(name: string, { kind }: Wanted, own: boolean, done: Done): Promise<void> {
    const ticket = typed(done, 'lock');
    if (ticket.token === null) await this.#giveUp(name, await this.#cancel(name, ticket), own, kind);
    else await this.#giveUp(name, ticket.token, own, kind);
  }

  /** A hold on a lease of the caller's is the caller's: it may ask again and gets the same token. One on a lease that nobody knows would last for nothing. */
  async #giveUp(name: string, token: number | null, own: boolean, kind: LockKind): Promise<void> {
    if (token === null || !own) return;
    await this.#calls.propose({ type: 'lockRelease', name, kind, holder: { token } }, {});
  }

  /** Rejects as soon as the caller goes; what comes of the promise then is left to `late`. */
  #unlessAborted<T>(
    promise: Promise<T>,
    signal: AbortSignal | undefined,
    late: (value: T) => Promise<void>,
  ): Promise<T> {
    if (signal === undefined) return promise;
    return new Promise((resolve, reject) => {
      let gone = false;
      const onAbort = (): void => {
        gone = true;
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      promise.then(
        (value) => {
          signal.removeEventListener('abort', onAbort);
          if (gone) late(value).catch(this.#abandoned);
          else resolve(value);
        },
        (error: Error) => {
          signal.removeEventListener('abort', onAbort);
          reject(error);
        },
      );
    });
  }

  #held(name: string, kind: LockKind, stays: boolean): KvorumError {
    const { locks } = this.#calls.machine.coordinator;
    const [holder] = locks.get(name)?.holders ?? [];
    const shown =
      holder === undefined
        ? null
        : {
            token: holder.token,
            lease: holder.lease,
            mode: holder.mode,
            owner: decodeOwner(holder.owner),
            since: holder.since,
          };
    // Who has given up its place was there too.
    const entered = kind === 'barrier' ? { entered: locks.waiting(name) + (stays ? 0 : 1) } : {};
    return new KvorumError('ERR_LOCK_HELD', `${name} was held until the wait was over`, {
      details: { holder: shown, ...entered },
    });
  }
}

function answer(name: string, { revision, lease, ttlMs, replayed }: Ticket, token: number): LockAnswer {
  const more = replayed === true ? ({ replayed } as const) : {};
  return { name, token, lease, ttlMs, revision, ...more };
}
