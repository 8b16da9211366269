/** The services of a node before it has joined its cluster: every call is let through once there is something to call, or refused. */
import type { Barriers, Counters, ElectionInfo, Elections, Leases, Locks } from './coordination.ts';

/** How long the caller waits: the time-out of the call, and on top of it that in a queue. */
export interface Patience {
  readonly timeoutMs?: number;
  readonly waitMs?: number;
}

type Serve = <T>(action: (services: Deferred) => Promise<T>, patience?: Patience) => Promise<T>;

export interface Deferred {
  readonly leases: Leases;
  readonly locks: Locks;
  readonly elections: Elections;
  readonly barriers: Barriers;
  readonly counters: Counters;
}

export function deferServices(serve: Serve): Deferred {
  return {
    leases: {
      grant: (options) => serve(({ leases }) => leases.grant(options), options),
      renew: (id, options) => serve(({ leases }) => leases.renew(id, options), options),
      revoke: (id, options) => serve(({ leases }) => leases.revoke(id, options), options),
      get: (id, options) => serve(({ leases }) => leases.get(id, options), options),
      list: (options) => serve(({ leases }) => leases.list(options), options),
    },
    locks: {
      acquire: (name, options) => serve(({ locks }) => locks.acquire(name, options), options),
      renew: (name, holder, options) => serve(({ locks }) => locks.renew(name, holder, options), options),
      release: (name, holder, options) => serve(({ locks }) => locks.release(name, holder, options), options),
      get: (name, options) => serve(({ locks }) => locks.get(name, options), options),
      list: (options) => serve(({ locks }) => locks.list(options), options),
      break: (name, options) => serve(({ locks }) => locks.break(name, options), options),
    },
    elections: {
      campaign: (name, options) => serve(({ elections }) => elections.campaign(name, options), options),
      proclaim: (name, proclamation, options) =>
        serve(({ elections }) => elections.proclaim(name, proclamation, options), options),
      resign: (name, holder, options) => serve(({ elections }) => elections.resign(name, holder, options), options),
      get: (name, options) => serve(({ elections }) => elections.get(name, options), options),
      observe: (name, options) =>
        new DeferredIterator(serve(({ elections }) => Promise.resolve(elections.observe(name, options)))),
    },
    barriers: {
      enter: (name, options) => serve(({ barriers }) => barriers.enter(name, options), options),
      get: (name, options) => serve(({ barriers }) => barriers.get(name, options), options),
    },
    counters: {
      add: (name, delta, options) => serve(({ counters }) => counters.add(name, delta, options), options),
      get: (name, options) => serve(({ counters }) => counters.get(name, options), options),
      delete: (name, options) => serve(({ counters }) => counters.delete(name, options), options),
    },
  };
}

type Closable = AsyncIterableIterator<ElectionInfo> & { close(): void };

class DeferredIterator implements Closable {
  readonly #inner: Promise<Closable>;

  constructor(inner: Promise<Closable>) {
    this.#inner = inner;
    // Who asks for the first value is told; who never asks has nothing to hear.
    inner.catch(() => {});
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<ElectionInfo>> {
    return (await this.#inner).next();
  }

  async return(): Promise<IteratorResult<ElectionInfo>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  close(): void {
    this.#inner.then((inner) => inner.close()).catch(() => {});
  }
}
