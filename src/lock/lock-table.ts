/**
 * Locks, read/write locks, semaphores and elections of one group: granted in log order, first come first served, with fencing tokens.
 *
 * A grant happens at the apply of the entry that made room: a hand-over costs one commit, and nobody but the next in line is woken. The token is the larger
 * of the index of that entry and one more than the largest token that the name ever had, so it grows with every grant, also after a restore or
 * a move to another log (Kleppmann, "How to do distributed locking"; Chubby's sequencers, Burrows, OSDI 2006 §2.4).
 *
 * Pure: time is the state machine's, and comes with each call.
 */
import { invariant } from '../errors.ts';
import type {
  AcquireOperation,
  AcquireResult,
  Grant,
  Holder,
  LockRecord,
  LockRecords,
  Waiter,
} from './types.ts';

/** Where and when an entry is applied. */
export interface At {
  readonly index: number;
  /** State-machine time, ms. */
  readonly time: number;
}

export class LockTable {
  readonly #records: LockRecords;
  /** Names that a lease holds or waits for. */
  readonly #byLease = new Map<string, Set<string>>();
  /** Grants of waiters since they were last taken. */
  #grants: Grant[] = [];
  /** Names that began to rest since this was last taken. */
  #resting: string[] = [];

  constructor(records: LockRecords) {
    this.#records = records;
  }

  /** Told of every record when the state is read in. */
  restored(name: string, { holders, queue }: LockRecord): void {
    for (const { lease } of holders) this.#link(lease, name);
    for (const { lease } of queue) this.#link(lease, name);
  }

  inspect(name: string): LockRecord | null {
    return this.#records.get(name) ?? null;
  }

  /** Token of the holder; the newest of several, 0 for nobody. */
  token(name: string): number {
    return this.#records.get(name)?.holders.reduce((newest, { token }) => Math.max(newest, token), 0) ?? 0;
  }

  /** Names that hang on a lease. */
  namesOf(lease: string): readonly string[] {
    return [...(this.#byLease.get(lease) ?? [])].toSorted();
  }

  /** A lease that holds the name already gets its token again. The lease has to exist. */
  acquire(operation: AcquireOperation, at: At): AcquireResult {
    const { name, kind, lease, mode, limit, delayMs, owner, value } = operation;
    const record = this.#records.get(name) ?? fresh(operation);
    if (record.kind !== kind || record.limit !== limit) {
      if (inUse(record)) return { status: 'mismatch', kind: record.kind, limit: record.limit };
    }
    const own = record.holders.find((holder) => holder.lease === lease);
    if (own !== undefined) return { status: 'granted', token: own.token, ticket: at.index };
    const waiting = record.queue.findIndex((waiter) => waiter.lease === lease);
    if (waiting >= 0) {
      const { ticket } = record.queue[waiting] as Waiter;
      return operation.wait
        ? { status: 'queued', ticket, position: waiting }
        : { status: 'held', holder: record.holders[0] ?? null };
    }
    const waiter: Waiter = { lease, mode, owner, value, ticket: at.index };
    const asked: LockRecord = { ...record, kind, limit, delayMs };
    if (asked.queue.length === 0 && at.time >= asked.restUntil && hasRoom(asked, waiter)) {
      const granted = grant(asked, waiter, at);
      this.#store(name, granted.record);
      this.#link(lease, name);
      return { status: 'granted', token: granted.token, ticket: at.index };
    }
    if (!operation.wait) return { status: 'held', holder: record.holders[0] ?? null };
    this.#store(name, { ...asked, queue: [...asked.queue, waiter] });
    this.#link(lease, name);
    return { status: 'queued', ticket: at.index, position: asked.queue.length };
  }

  /** False: the lease or the token holds nothing here. */
  release(name: string, holder: { readonly lease: string } | { readonly token: number }, at: At): boolean {
    const record = this.#records.get(name);
    const found = record === undefined ? undefined : holderOf(record, holder);
    if (record === undefined || found === undefined) return false;
    this.#settle(name, { ...record, holders: record.holders.filter((one) => one !== found) }, at);
    this.#unlink(found.lease, name);
    return true;
  }

  /** A waiter leaves. The token, if it was let in before; null when it is gone now, or was. */
  cancel(name: string, lease: string, ticket: number, at: At): number | null {
    const record = this.#records.get(name);
    if (record === undefined) return null;
    const queue = record.queue.filter((waiter) => waiter.lease !== lease || waiter.ticket !== ticket);
    if (queue.length < record.queue.length) {
      this.#settle(name, { ...record, queue }, at);
      this.#unlink(lease, name);
      return null;
    }
    return record.holders.find((holder) => holder.lease === lease)?.token ?? null;
  }

  /** An operator takes it from all who hold it. Returns how many that were. */
  break(name: string, at: At): number {
    const record = this.#records.get(name);
    if (record === undefined || record.holders.length === 0) return 0;
    this.#settle(name, rested({ ...record, holders: [] }, at), at);
    for (const { lease } of record.holders) this.#unlink(lease, name);
    return record.holders.length;
  }

  /** Of an election: false when the token is not its leader's. */
  proclaim(name: string, token: number, value: string | null): boolean {
    const record = this.#records.get(name);
    if (record === undefined || record.kind !== 'election') return false;
    if (!record.holders.some((holder) => holder.token === token)) return false;
    this.#store(name, { ...record, value });
    return true;
  }

  /** A lease is gone: what it held is free (after the lock's delay, if it did not go of its own will), and its places in queues too. */
  leaseEnded(lease: string, involuntary: boolean, at: At): void {
    for (const name of this.namesOf(lease)) {
      const record = this.#records.get(name);
      invariant(record !== undefined, `lease ${lease} hangs on the lock ${name}, which there is none of`);
      const holders = record.holders.filter((holder) => holder.lease !== lease);
      const lost = holders.length < record.holders.length;
      const left: LockRecord = { ...record, holders, queue: record.queue.filter((waiter) => waiter.lease !== lease) };
      this.#settle(name, lost && involuntary ? rested(left, at) : left, at);
    }
    this.#byLease.delete(lease);
  }

  /** The rest of a lock is over: its time has come, or was put off by another loss. */
  wake(name: string, at: At): void {
    const record = this.#records.get(name);
    if (record !== undefined && record.restUntil > 0 && at.time >= record.restUntil) this.#settle(name, record, at);
  }

  /** Those who waited and were let in since this was last asked. */
  takeGrants(): readonly Grant[] {
    const grants = this.#grants;
    if (grants.length > 0) this.#grants = [];
    return grants;
  }

  /** Locks that began to rest since this was last asked: somebody has to wake them when it is over. */
  takeResting(): readonly string[] {
    const resting = this.#resting;
    if (resting.length > 0) this.#resting = [];
    return resting;
  }

  /** Lets in who can be let in, and stores what is left. */
  #settle(name: string, changed: LockRecord, at: At): void {
    let record = changed.restUntil > 0 && at.time >= changed.restUntil ? { ...changed, restUntil: 0 } : changed;
    for (let next = record.queue[0]; record.restUntil === 0 && next !== undefined; next = record.queue[0]) {
      if (!hasRoom(record, next)) break;
      const granted = grant({ ...record, queue: record.queue.slice(1) }, next, at);
      record = granted.record;
      this.#grants.push({ name, lease: next.lease, token: granted.token, ticket: next.ticket });
    }
    if (record.kind === 'election' && record.holders.length === 0) record = { ...record, value: null };
    if (record.restUntil > 0) this.#resting.push(name);
    this.#store(name, record);
  }

  /** The index of the log grows for ever, so a name that nobody uses need not be remembered: the next grant's token is larger anyway. */
  #store(name: string, record: LockRecord): void {
    if (inUse(record)) this.#records.set(name, record);
    else this.#records.delete(name);
  }

  #link(lease: string, name: string): void {
    const names = this.#byLease.get(lease);
    if (names === undefined) this.#byLease.set(lease, new Set([name]));
    else names.add(name);
  }

  #unlink(lease: string, name: string): void {
    const names = this.#byLease.get(lease);
    names?.delete(name);
    if (names?.size === 0) this.#byLease.delete(lease);
  }
}

function fresh({ kind, limit, delayMs }: AcquireOperation): LockRecord {
  return { kind, limit, floor: 0, delayMs, restUntil: 0, holders: [], queue: [], value: null };
}

function inUse({ holders, queue, restUntil }: LockRecord): boolean {
  return holders.length > 0 || queue.length > 0 || restUntil > 0;
}

function hasRoom({ kind, limit, holders }: LockRecord, { mode }: Waiter): boolean {
  if (kind === 'semaphore') return holders.length < limit;
  return holders.length === 0 || (mode === 'read' && holders.every((holder) => holder.mode === 'read'));
}

function grant(record: LockRecord, waiter: Waiter, at: At): { readonly record: LockRecord; readonly token: number } {
  const token = Math.max(at.index, record.floor + 1);
  const { lease, mode, owner } = waiter;
  const holder: Holder = { token, lease, mode, owner, since: at.time };
  const value = record.kind === 'election' ? waiter.value : null;
  return { record: { ...record, floor: token, holders: [...record.holders, holder], value, restUntil: 0 }, token };
}

function holderOf(
  { holders }: LockRecord,
  wanted: { readonly lease: string } | { readonly token: number },
): Holder | undefined {
  return holders.find((holder) => ('lease' in wanted ? holder.lease === wanted.lease : holder.token === wanted.token));
}

/** After an involuntary loss: whoever lost it may not know yet. */
function rested(record: LockRecord, { time }: At): LockRecord {
  return record.delayMs === 0 ? record : { ...record, restUntil: Math.max(record.restUntil, time + record.delayMs) };
}
