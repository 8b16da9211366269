/**
 * The part of a fake node beside keys: leases, locks, elections, barriers and counters with as much memory as the HTTP
 * contract needs to be seen, and no clock. Nobody waits: what is held is refused at once, unless a test scripts it.
 */
import { KvorumError } from '../../src/errors.ts';
import type {
  AcquireOptions,
  Barriers,
  Counters,
  ElectionInfo,
  Elections,
  HolderOf,
  LeaseAnswer,
  LeaseInfo,
  Leases,
  LockAnswer,
  LockHolder,
  LockInfo,
  Locks,
  Watch,
  WatchBatch,
} from '../../src/node/coordination.ts';
import type { CallOptions } from '../../src/node/types.ts';

/** Notes a call, waits for the gate, and gives the scripted answer if there is one. */
export type Enter = (method: string, args: readonly unknown[], options: CallOptions) => Promise<unknown>;

interface Held {
  kind: LockInfo['kind'];
  holders: LockHolder[];
  value: string | null;
}

const NOW = 1_800_000_000_000;

export class FakeCoordination {
  readonly leases: Leases;
  readonly locks: Locks;
  readonly elections: Elections;
  readonly barriers: Barriers;
  readonly counters: Counters;
  readonly observations: FakeObservation[] = [];
  readonly #enter: Enter;
  readonly #revision: () => number;
  readonly #leases = new Map<string, LeaseInfo>();
  readonly #locks = new Map<string, Held>();
  readonly #counters = new Map<string, number>();
  /** Of the log: ids and tokens come from it. */
  #index = 40;

  constructor(enter: Enter, revision: () => number) {
    this.#enter = enter;
    this.#revision = revision;
    this.leases = this.#makeLeases();
    this.locks = this.#makeLocks();
    this.elections = this.#makeElections();
    this.barriers = {
      enter: (name, options) =>
        this.#call('barriers.enter', [name], options, () => {
          if (options.parties === 1) return this.#acquire(name, 'barrier', options);
          throw new KvorumError('ERR_LOCK_HELD', 'not all are there', { details: { entered: 1 } });
        }),
      get: (name, options) => this.#call('barriers.get', [name], options, () => ({ name, parties: 3, entered: 1 })),
    };
    this.counters = this.#makeCounters();
  }

  async #call<T>(method: string, args: unknown[], options: CallOptions | undefined, answer: () => T): Promise<T> {
    const scripted = await this.#enter(method, args, options ?? {});
    return scripted === undefined ? answer() : (scripted as T);
  }

  #grant(ttlMs: number, owner: unknown): LeaseAnswer {
    const id = String(++this.#index);
    this.#leases.set(id, { id, ttlMs, remainingMs: ttlMs, owner, keys: [], locks: [] });
    return { revision: this.#revision(), id, ttlMs };
  }

  #lease(id: string): LeaseInfo {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new KvorumError('ERR_LEASE_NOT_FOUND', `there is no lease ${id}`);
    const locks = [...this.#locks].filter(([, held]) => held.holders.some((holder) => holder.lease === id));
    return { ...lease, locks: locks.map(([name]) => name) };
  }

  #makeLeases(): Leases {
    return {
      grant: (options = {}) =>
        this.#call('leases.grant', [], options, () => this.#grant(options.ttlMs ?? 15_000, options.owner ?? null)),
      renew: (id, options) =>
        this.#call('leases.renew', [id], options, () => ({
          revision: this.#revision(),
          id,
          ttlMs: this.#lease(id).ttlMs,
        })),
      revoke: (id, options) =>
        this.#call('leases.revoke', [id], options, () => {
          this.#lease(id);
          this.#leases.delete(id);
          return { revision: this.#revision(), deleted: 0 };
        }),
      get: (id, options) => this.#call('leases.get', [id], options, () => this.#lease(id)),
      list: (options = {}) =>
        this.#call('leases.list', [], options, () =>
          [...this.#leases.keys()]
            .filter((id) => options.after === undefined || BigInt(id) > BigInt(options.after))
            .map((id) => this.#lease(id)),
        ),
    };
  }

  #acquire(name: string, kind: LockInfo['kind'], options: AcquireOptions): LockAnswer {
    const held = this.#locks.get(name) ?? { kind, holders: [], value: null };
    this.#locks.set(name, held);
    const own = held.holders.find((holder) => holder.lease === options.lease);
    const [other] = held.holders;
    if (own === undefined && other !== undefined) {
      throw new KvorumError('ERR_LOCK_HELD', `"${name}" is held`, { details: { holder: other } });
    }
    const lease = options.lease ?? this.#grant(options.ttlMs ?? 15_000, null).id;
    const { ttlMs } = this.#lease(lease);
    const token = own?.token ?? ++this.#index;
    if (own === undefined) {
      held.holders.push({ token, lease, mode: 'write', owner: options.owner ?? null, since: NOW });
    }
    return { revision: this.#revision(), name, token, lease, ttlMs };
  }

  #release(name: string, who: HolderOf): boolean {
    const holders = this.#locks.get(name)?.holders ?? [];
    const at = holders.findIndex((holder) =>
      'lease' in who ? holder.lease === who.lease : holder.token === who.token,
    );
    if (at === -1) return false;
    holders.splice(at, 1);
    if (holders.length === 0) this.#locks.delete(name);
    return true;
  }

  #holder(name: string, who: HolderOf): LockHolder {
    const holder = this.#locks
      .get(name)
      ?.holders.find(({ lease, token }) => ('lease' in who ? lease === who.lease : token === who.token));
    if (holder === undefined) throw new KvorumError('ERR_LOCK_LOST', `"${name}" is not held so`);
    return holder;
  }

  #info(name: string): LockInfo {
    const { kind, holders } = this.#locks.get(name) ?? { kind: 'lock', holders: [] };
    return { name, kind, limit: 1, holders, queue: [] };
  }

  #makeLocks(): Locks {
    return {
      acquire: (name, options = {}) =>
        this.#call('locks.acquire', [name], options, () => this.#acquire(name, 'lock', options)),
      renew: (name, holder, options) =>
        this.#call('locks.renew', [name, holder], options, () => ({
          ttlMs: this.#lease(this.#holder(name, holder).lease).ttlMs,
        })),
      release: (name, holder, options) =>
        this.#call('locks.release', [name, holder], options, () => ({
          revision: this.#revision(),
          released: this.#release(name, holder),
        })),
      get: (name, options) => this.#call('locks.get', [name], options, () => this.#info(name)),
      list: (options = {}) =>
        this.#call('locks.list', [], options, () =>
          [...this.#locks.keys()]
            .sort()
            .filter((name) => name.startsWith(options.prefix ?? '') && name > (options.after ?? ''))
            .map((name) => this.#info(name)),
        ),
      break: (name, options) =>
        this.#call('locks.break', [name], options, () => {
          const broken = this.#locks.get(name)?.holders.length ?? 0;
          this.#locks.delete(name);
          return { revision: this.#revision(), broken };
        }),
    };
  }

  #election(name: string): ElectionInfo {
    const held = this.#locks.get(name);
    const leader = held?.holders[0];
    if (held === undefined || leader === undefined) return { name, leader: null, value: null, token: null };
    return { name, leader: { lease: leader.lease, owner: leader.owner }, value: held.value, token: leader.token };
  }

  #makeElections(): Elections {
    return {
      campaign: (name, options = {}) =>
        this.#call('elections.campaign', [name], options, () => {
          const answer = this.#acquire(name, 'election', options);
          this.#locks.get(name)!.value = options.value ?? null;
          return answer;
        }),
      proclaim: (name, { token, value }, options) =>
        this.#call('elections.proclaim', [name, { token, value }], options, () => {
          this.#holder(name, { token });
          this.#locks.get(name)!.value = value;
          return { revision: this.#revision() };
        }),
      resign: (name, holder, options) =>
        this.#call('elections.resign', [name, holder], options, () => ({
          revision: this.#revision(),
          resigned: this.#release(name, holder),
        })),
      get: (name, options) => this.#call('elections.get', [name], options, () => this.#election(name)),
      observe: (name, options = {}) => {
        const entered = this.#enter('elections.observe', [name], options);
        const observation = new FakeObservation(entered.then(() => this.#election(name)));
        this.observations.push(observation);
        return observation;
      },
    };
  }

  #makeCounters(): Counters {
    const answer = (name: string) => ({ revision: this.#revision(), name, value: this.#counters.get(name) ?? 0 });
    return {
      add: (name, delta = 1, options = {}) =>
        this.#call('counters.add', [name, delta], options, () => {
          this.#counters.set(name, answer(name).value + delta);
          return answer(name);
        }),
      get: (name, options) => this.#call('counters.get', [name], options, () => answer(name)),
      delete: (name, options) =>
        this.#call('counters.delete', [name], options, () => ({
          revision: this.#revision(),
          deleted: this.#counters.delete(name),
        })),
    };
  }
}

/** Fed by the test. */
export class FakeObservation implements AsyncIterableIterator<ElectionInfo> {
  closed = false;
  readonly #first: Promise<ElectionInfo>;
  #begun = false;
  readonly #queue: (ElectionInfo | Error)[] = [];
  #wake: (() => void) | null = null;

  constructor(first: Promise<ElectionInfo>) {
    this.#first = first;
    first.catch(() => undefined);
  }

  /** What comes next, or how it ends. */
  push(item: ElectionInfo | Error): void {
    this.#queue.push(item);
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<ElectionInfo>> {
    if (!this.#begun) {
      this.#begun = true;
      return { done: false, value: await this.#first };
    }
    while (this.#queue.length === 0) {
      if (this.closed) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const item = this.#queue.shift()!;
    if (item instanceof Error) throw item;
    return { done: false, value: item };
  }

  close(): void {
    this.closed = true;
    this.#wake?.();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Fed by the test, as the node would: batches are shared between all watches that see the same. */
export class FakeWatch implements Watch {
  position: number;
  closed = false;
  polls = 0;
  readonly #batches: WatchBatch[] = [];
  #error: Error | null = null;
  #callback: (() => void) | null = null;

  constructor(position: number) {
    this.position = position;
  }

  push(...batches: WatchBatch[]): void {
    this.#batches.push(...batches);
    this.#changed();
  }

  fail(error: Error): void {
    this.#error = error;
    this.#changed();
  }

  /** Batches that nobody has taken. */
  get waiting(): number {
    return this.#batches.length;
  }

  poll(): WatchBatch | null {
    this.polls++;
    const batch = this.#batches.shift();
    if (batch !== undefined) {
      this.position = batch.revision + 1;
      return batch;
    }
    if (this.#error !== null) throw this.#error;
    return null;
  }

  changed(callback: () => void): void {
    this.#callback = callback;
  }

  close(): void {
    this.closed = true;
  }

  next(): Promise<IteratorResult<WatchBatch>> {
    throw new Error('HTTP polls');
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #changed(): void {
    const callback = this.#callback;
    this.#callback = null;
    callback?.();
  }
}
