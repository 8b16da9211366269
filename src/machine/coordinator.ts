/**
 * Leases, and what hangs on them: keys, locks, the results of sessions. One place, because a lease that ends takes all of these with it, in the same entry.
 */
import type { KvorumError } from '../errors.ts';
import { LeaseTable } from '../kv/leases.ts';
import { OnceTable } from '../kv/once.ts';
import type { KvStore } from '../kv/store.ts';
import type { Refusal, RecordView } from '../kv/types.ts';
import { CounterTable } from '../lock/counter-table.ts';
import { LockTable } from '../lock/lock-table.ts';
import type { At, Holder } from '../lock/types.ts';
import { MAX_COUNTERS, MAX_LEASES, MAX_LOCK_RECORDS, MAX_QUEUE } from './limits.ts';
import type { RecordTable } from './record-table.ts';
import {
  counterRecords,
  leaseRecords,
  lockRecords,
  restoreOnce,
  StoredOnceRecords,
  TABLES,
  seatRecords,
} from './tables.ts';
import type { CommandResult, Effect, LockAcquire, Operation } from './types.ts';

type OperationOf<T extends Operation['type']> = Extract<Operation, { type: T }>;

const NONE: readonly Effect[] = [];

export class Coordinator {
  readonly leases: LeaseTable;
  readonly locks: LockTable;
  readonly counters: CounterTable;
  readonly once: OnceTable;
  readonly #kv: KvStore;
  readonly #tables: ReadonlyMap<number, RecordTable<never>>;
  readonly #leaseRecords: { readonly size: number };
  readonly #lockRecords: { readonly size: number };
  readonly #seatRecords: { readonly size: number };
  readonly #counterRecords: { readonly size: number };
  #effects: Effect[] = [];

  constructor(view: RecordView, kv: KvStore) {
    this.#kv = kv;
    const leases = leaseRecords(view);
    const locks = lockRecords(view);
    const seats = seatRecords(view);
    const counters = counterRecords(view);
    this.#leaseRecords = leases;
    this.#lockRecords = locks;
    this.#seatRecords = seats;
    this.#counterRecords = counters;
    this.leases = new LeaseTable(leases);
    this.locks = new LockTable(locks, seats);
    this.counters = new CounterTable(counters);
    this.once = new OnceTable(new StoredOnceRecords(view));
    this.#tables = new Map<number, RecordTable<never>>(
      Object.entries({
        [TABLES.leases]: leases,
        [TABLES.locks]: locks,
        [TABLES.seats]: seats,
        [TABLES.counters]: counters,
      }).map(([prefix, table]) => [Number(prefix), table as unknown as RecordTable<never>]),
    );
  }

  get leaseCount(): number {
    return this.#leaseRecords.size;
  }

  /** Of everything here: replicas at the same position have it in common. */
  get digest(): readonly number[] {
    return [...[...this.#tables.values()].flatMap((table) => table.digest), this.once.digest];
  }

  /** False: the record is of none of these tables. */
  restore(key: Uint8Array, value: Uint8Array): boolean {
    if (key[0] === TABLES.once) {
      restoreOnce(key, value, this.once);
      return true;
    }
    const table = this.#tables.get(key[0] as number);
    table?.restore(key, value);
    return table !== undefined;
  }

  restored(): void {
    this.locks.restored();
    this.once.restored();
  }

  /** What was set off since this was last asked. */
  takeEffects(): readonly Effect[] {
    const effects = this.#effects;
    // Never what is written to afterwards.
    if (effects.length === 0) return NONE;
    this.#effects = [];
    return effects;
  }

  // Leases.

  grant({ ttlMs, owner }: OperationOf<'leaseGrant'>, at: At): CommandResult {
    if (this.leaseCount >= MAX_LEASES) return this.#tooManyLeases();
    const id = this.#grant(ttlMs, owner, false, at);
    return { ok: true, type: 'lease', revision: this.#kv.revision, id, ttlMs };
  }

  #grant(ttlMs: number, owner: string | null, ofLock: boolean, { index }: At): string {
    const lease = this.leases.grant(String(index), { ttlMs, owner, ofLock });
    this.#effects.push({ type: 'leaseAlive', lease });
    return lease.id;
  }

  renew({ leases }: OperationOf<'leaseRenew'>): CommandResult {
    const ttlMs = leases.map((id) => this.#renew(id));
    return { ok: true, type: 'renewed', revision: this.#kv.revision, ttlMs };
  }

  #renew(id: string): number | null {
    const lease = this.leases.renew(id);
    if (lease === null) return null;
    this.#effects.push({ type: 'leaseAlive', lease });
    return lease.ttlMs;
  }

  revoke({ lease }: OperationOf<'leaseRevoke'>, at: At): CommandResult {
    if (!this.leases.has(lease)) return this.noLease(lease);
    return this.#end([lease], false, at);
  }

  /** Only what the leader of the entry's own term says counts: an older one's clock tells nothing about renewals that it did not see. */
  expire({ term, leases }: OperationOf<'leaseExpire'>, entryTerm: number, at: At): CommandResult {
    if (term !== entryTerm) return this.#end([], true, at);
    const due = new Set<string>();
    for (const { lease, counter } of leases) if (this.leases.expires(lease, counter)) due.add(lease);
    return this.#end([...due], true, at);
  }

  checkpoint({ term, leases }: OperationOf<'leaseCheckpoint'>, entryTerm: number): CommandResult {
    let count = 0;
    if (term === entryTerm) {
      for (const { lease, counter, remainingMs } of leases) {
        const changed = this.leases.checkpoint(lease, counter, remainingMs);
        if (changed === null) continue;
        count++;
        this.#effects.push({ type: 'leaseAlive', lease: changed });
      }
    }
    return { ok: true, type: 'count', revision: this.#kv.revision, count };
  }

  /** With everything that hangs on them; their keys go at one revision. */
  #end(ids: readonly string[], involuntary: boolean, at: At): CommandResult {
    const keys = new Set<string>();
    for (const id of ids) for (const key of this.#kv.keysOf(id)) keys.add(key);
    const deleted = keys.size === 0 ? 0 : this.#kv.deleteKeys([...keys].toSorted());
    for (const id of ids) {
      this.leases.end(id);
      this.once.sessionEnded(id);
      this.#effects.push({ type: 'leaseEnded', id });
    }
    this.locks.leasesEnded(ids, involuntary, at);
    return { ok: true, type: 'ended', revision: this.#kv.revision, leases: ids.length, deleted };
  }

  /** A lease that was made for one lock has nothing else to live for; unless its owner has got hold of more with it. */
  #endOfLock(id: string, at: At): void {
    if (this.leases.get(id)?.ofLock === true && this.locks.namesOf(id).length === 0) this.#end([id], false, at);
  }

  // Locks.

  acquire(operation: LockAcquire, at: At): CommandResult {
    const { name, kind, lease: given } = operation;
    const own = typeof given !== 'string';
    const lease = own ? String(at.index) : given;
    const ttlMs = own ? given.ttlMs : this.leases.get(given)?.ttlMs;
    if (ttlMs === undefined) return this.noLease(lease);
    if (own && this.leaseCount >= MAX_LEASES) return this.#tooManyLeases();
    const full = this.#fullFor(operation);
    // Who has it, or a place in the queue, takes nothing more.
    if (full !== null && !this.locks.namesOf(lease).includes(name)) return this.#refuse('ERR_OVERLOADED', full);
    const result = this.locks.acquire({ ...operation, lease }, at);
    switch (result.status) {
      case 'mismatch':
        return this.#refuse('ERR_INVALID_ARGUMENT', `${name} is in use as a ${result.kind} of ${result.limit}`);
      case 'held':
        return this.#refuse('ERR_LOCK_HELD', `${name} is held`, {
          ...(kind === 'barrier' ? { entered: this.locks.waiting(name) } : {}),
          holder: holderDetails(result.holder),
        });
      case 'granted':
      case 'queued': {
        if (own) this.#grant(ttlMs, operation.owner, true, at);
        const token = result.status === 'granted' ? result.token : null;
        // Nobody holds a barrier: those who are through need no lease for it.
        if (kind === 'barrier' && token !== null) this.#endOfLock(lease, at);
        return {
          ok: true,
          type: 'lock',
          revision: this.#kv.revision,
          token,
          ticket: result.ticket,
          lease,
          ttlMs,
        };
      }
    }
  }

  #fullFor({ name, wait }: LockAcquire): string | null {
    if (wait && this.locks.waiting(name) >= MAX_QUEUE) return `${MAX_QUEUE} are waiting for ${name} already`;
    const records = this.#lockRecords.size + this.#seatRecords.size;
    return records >= MAX_LOCK_RECORDS ? `there are ${MAX_LOCK_RECORDS} locks and places in queues already` : null;
  }

  release({ name, kind, holder }: OperationOf<'lockRelease'>, at: At): CommandResult {
    const record = this.locks.get(name);
    const held = record?.holders.find((one) =>
      'lease' in holder ? one.lease === holder.lease : one.token === holder.token,
    );
    const used = kind === 'lock' && record?.kind === 'semaphore' ? 'semaphore' : kind;
    const count = this.locks.release(name, used, holder, at);
    if (held !== undefined && count > 0) this.#endOfLock(held.lease, at);
    return this.#count(count);
  }

  cancel({ name, lease, ticket }: OperationOf<'lockCancel'>, at: At): CommandResult {
    const token = this.locks.cancel(name, lease, ticket, at);
    const ttlMs = this.leases.get(lease)?.ttlMs ?? 0;
    if (token === null) this.#endOfLock(lease, at);
    return { ok: true, type: 'lock', revision: this.#kv.revision, token, ticket, lease, ttlMs };
  }

  break({ name }: OperationOf<'lockBreak'>, at: At): CommandResult {
    const record = this.locks.get(name);
    const count = record === undefined ? 0 : this.locks.break(name, record.kind, at);
    // Its holder learns of it with the next renewal.
    if (count > 0) for (const { lease } of record?.holders ?? []) this.#endOfLock(lease, at);
    return this.#count(count);
  }

  wake({ names }: OperationOf<'lockWake'>, at: At): CommandResult {
    for (const name of names) this.locks.wake(name, at);
    return this.#count(names.length);
  }

  proclaim({ name, token, value }: OperationOf<'electionProclaim'>): CommandResult {
    return this.#count(this.locks.proclaim(name, token, value) ? 1 : 0);
  }

  /**
   * After each command: what the locks have set off. Who waited and is let in has the whole TTL from now, if the lease was made for this lock: it was
   * not told of it yet, so it could not renew it.
   */
  settle(at: At): void {
    for (let some = this.locks.takeEffects(); some.length > 0; some = this.locks.takeEffects()) {
      for (const effect of some) {
        this.#effects.push({ type: 'lock', effect });
        if (effect.type !== 'granted' || this.leases.get(effect.lease)?.ofLock !== true) continue;
        // Nobody holds a barrier that opened.
        if (this.locks.namesOf(effect.lease).length === 0) this.#endOfLock(effect.lease, at);
        else this.#renew(effect.lease);
      }
    }
  }

  // Counters.

  add({ name, delta }: OperationOf<'counterAdd'>): CommandResult {
    if (this.#counterRecords.size >= MAX_COUNTERS && !this.counters.has(name)) {
      return this.#refuse('ERR_OVERLOADED', `there are ${MAX_COUNTERS} counters already`);
    }
    const value = this.counters.add(name, delta);
    if (value !== null) return { ok: true, type: 'counter', revision: this.#kv.revision, value };
    return this.#refuse(
      'ERR_INVALID_ARGUMENT',
      `${name} is ${this.counters.get(name)}: with ${delta} it would leave the range of safe integers`,
    );
  }

  deleteCounter({ name }: OperationOf<'counterDelete'>): CommandResult {
    return this.#count(this.counters.delete(name) ? 1 : 0);
  }

  noLease(id: string): Refusal {
    return this.#refuse('ERR_LEASE_NOT_FOUND', `there is no lease ${id} (any more)`);
  }

  #tooManyLeases(): Refusal {
    return this.#refuse('ERR_OVERLOADED', `there are ${MAX_LEASES} leases already`);
  }

  #count(count: number): CommandResult {
    return { ok: true, type: 'count', revision: this.#kv.revision, count };
  }

  #refuse(code: KvorumError['code'], message: string, details?: Readonly<Record<string, unknown>>): Refusal {
    const refusal = { ok: false, code, revision: this.#kv.revision, message } as const;
    return details === undefined ? refusal : { ...refusal, details };
  }
}

/** `owner` as the text that it is stored as. */
function holderDetails(holder: Holder | null): Readonly<Record<string, unknown>> | null {
  if (holder === null) return null;
  const { token, lease, mode, owner, since } = holder;
  return { token, lease, mode, owner, since };
}
