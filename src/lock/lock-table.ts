/**
 * Locks, read/write locks, semaphores, elections and barriers of one group: granted in log order, first come first served, with fencing tokens.
 *
 * A grant happens at the apply of the entry that made room: a hand-over costs one commit, and nobody but the next in line is woken. The token is the larger
 * of the index of that entry and one more than the largest token that the name ever had, so it grows with every grant, also after a restore or
 * a move to another log (Kleppmann, "How to do distributed locking"; Chubby's sequencers, Burrows, OSDI 2006 §2.4).
 *
 * A name that nobody uses is forgotten. Its floor may be, as long as it is below every index to come; where it is not (several were let in by one
 * entry, or the log is younger than the state), it lives on in one floor that all names have in common.
 *
 * A record for the name, with the one who holds it alone, and one for each who waits or shares: whatever happens writes a few small records,
 * however long the queue is.
 *
 * Pure: time is the state machine's, and comes with each call.
 */
import sortedBTree from 'sorted-btree';
import { invariant } from '../errors.ts';
import { freshRecord, isShared, Lock } from './lock.ts';
import { nameOfSeat, seatKey } from './seat-key.ts';
import type {
  AcquireOperation,
  AcquireResult,
  At,
  Holder,
  LockEffect,
  LockKind,
  LockMode,
  LockRecord,
  LockRecords,
  Seat,
  SeatRecords,
  Waiter,
} from './types.ts';

// The package is CommonJS: its class is the `default` of what Node imports, but what vitest imports is the class itself.
const BTree = sortedBTree.default ?? (sortedBTree as unknown as typeof sortedBTree.default);

const NOBODY: readonly Holder[] = [];

/** Name of the record that keeps the common floor. */
const FLOOR = '';

export class LockTable {
  readonly #records: LockRecords;
  readonly #seats: SeatRecords;
  /** Names in use, in order. */
  readonly #locks = new BTree<string, Lock>(undefined, (left, right) => (left < right ? -1 : left > right ? 1 : 0));
  /** Names that a lease holds or waits for. */
  readonly #byLease = new Map<string, Set<string>>();
  /** No forgotten name had a larger token. */
  #floor = 0;
  #effects: LockEffect[] = [];
  readonly #changed = new Set<string>();

  constructor(records: LockRecords, seats: SeatRecords) {
    this.#records = records;
    this.#seats = seats;
  }

  /** Reads in what the tables have; to be called once, before anything else, when they were not empty. */
  restored(): void {
    for (const [name, record] of this.#records.entries()) {
      if (name === FLOOR) {
        this.#floor = record.floor;
        continue;
      }
      this.#locks.set(name, new Lock(name, record, record));
      for (const { lease } of record.holders) this.#link(lease, name);
    }
    const seats = [...this.#seats.entries()].map(([key, seat]) => ({ name: nameOfSeat(key), seat }));
    for (const { name, seat } of seats.toSorted((left, right) => compareSeats(left.seat, right.seat))) {
      const lock = this.#locks.get(name);
      invariant(lock !== undefined, `somebody waits for the lock ${name} or shares it, and there is no record of it`);
      const { lease, mode, owner, value, ticket, token, since } = seat;
      if (token > 0) lock.share({ token, lease, mode, owner, since, ticket });
      else lock.enqueue({ lease, mode, owner, value, ticket });
      this.#link(lease, name);
    }
  }

  /** Undefined: nobody uses the name. */
  get(name: string): LockRecord | undefined {
    const lock = this.#locks.get(name);
    if (lock === undefined) return undefined;
    return lock.shared.size === 0 ? lock.record : { ...lock.record, holders: lock.holders };
  }

  /** Who waits, first come first. */
  queue(name: string): readonly Waiter[] {
    return this.#locks.get(name)?.queue ?? [];
  }

  /** How many wait. */
  waiting(name: string): number {
    return this.#locks.get(name)?.waiting ?? 0;
  }

  /** Token of the holder; the newest of several, 0 for nobody. */
  token(name: string): number {
    return this.#locks.get(name)?.holders.at(-1)?.token ?? 0;
  }

  /** Names that a lease holds or waits for, in order. */
  namesOf(lease: string): readonly string[] {
    const names = this.#byLease.get(lease);
    return names === undefined ? [] : [...names].toSorted();
  }

  /** Names in use that begin with `prefix`, in order, up to `limit` after `after`. */
  names(prefix: string, after: string | null, limit: number): readonly string[] {
    const names: string[] = [];
    const start = after !== null && after > prefix ? after : prefix;
    let pair = limit > 0 ? this.#locks.getPairOrNextHigher(start) : undefined;
    if (pair !== undefined && pair[0] === after) pair = this.#locks.nextHigherPair(pair[0]);
    for (; pair !== undefined && pair[0].startsWith(prefix); pair = this.#locks.nextHigherPair(pair[0])) {
      names.push(pair[0]);
      if (names.length === limit) break;
    }
    return names;
  }

  /** Names that rest, in order, and until when: a new leader has to wake them. */
  resting(): readonly { readonly name: string; readonly until: number }[] {
    const resting: { name: string; until: number }[] = [];
    for (const [name, { record }] of this.#locks.entries()) {
      if (record.restUntil > 0) resting.push({ name, until: record.restUntil });
    }
    return resting;
  }

  /**
   * The lease has to exist. One that holds the name or waits already gets its token or its place again, but not as a writer what it has as a reader: that is
   * `held`, since it would wait for itself.
   */
  acquire(operation: AcquireOperation, at: At): AcquireResult {
    const { name, kind, lease, mode, limit, delayMs, owner, value } = operation;
    invariant(name !== FLOOR, 'a lock has a name');
    this.#endRest(this.#locks.get(name), at);
    const known = this.#locks.get(name);
    if (known !== undefined && (known.record.kind !== kind || known.record.limit !== limit)) {
      return { status: 'mismatch', kind: known.record.kind, limit: known.record.limit };
    }
    const repeated = known === undefined ? null : askedAgain(known, operation);
    if (repeated !== null) return repeated;

    const lock = known ?? new Lock(name, freshRecord(operation, this.#floor), null);
    const ticket = lock.ticketAt(at.index);
    const position = lock.waiting;
    const free = position === 0 && lock.record.restUntil === 0 && lock.hasRoom(mode);
    const complete = kind === 'barrier' && position + 1 >= limit;
    if (!free && !complete && !operation.wait) return { status: 'held', holder: lock.firstHolder };

    if (known === undefined) this.#locks.set(name, lock);
    if (delayMs > lock.record.delayMs) lock.record = { ...lock.record, delayMs };
    const waiter: Waiter = { lease, mode, owner, value, ticket };
    if (complete) {
      const token = this.#openBarrier(lock, ticket, at);
      this.#store(lock, at);
      return { status: 'granted', token, ticket };
    }
    this.#link(lease, name);
    if (free) {
      const token = this.#grant(lock, waiter, at);
      this.#store(lock, at);
      return { status: 'granted', token, ticket };
    }
    lock.enqueue(waiter);
    this.#seats.set(seatKey(name, ticket), { ...waiter, token: 0, since: 0 });
    this.#store(lock, at);
    return { status: 'queued', ticket, position };
  }

  /** How many that concerned: 0 when the lease or the token holds nothing here, or the name is of another kind. */
  release(
    name: string,
    kind: LockKind,
    holder: { readonly lease: string } | { readonly token: number },
    at: At,
  ): number {
    const lock = this.#locks.get(name);
    if (lock === undefined || lock.record.kind !== kind) return 0;
    const found = 'lease' in holder ? lock.holderOf(holder.lease) : lock.holderBy(holder.token);
    if (found === undefined) return 0;
    this.#take(lock, found);
    this.#settle(lock, at);
    return 1;
  }

  /**
   * A waiter leaves the queue. Its token, if it was let in under this very ticket and still holds it; otherwise null: it is out now, or was
   * before. Nobody holds a barrier, so whoever went through one gets null too.
   */
  cancel(name: string, lease: string, ticket: number, at: At): number | null {
    const lock = this.#locks.get(name);
    if (lock === undefined) return null;
    const waiter = lock.waiterOf(lease);
    if (waiter?.ticket === ticket) {
      this.#drop(lock, waiter);
      this.#settle(lock, at);
      return null;
    }
    const holder = lock.holderOf(lease);
    return holder?.ticket === ticket ? holder.token : null;
  }

  /** An operator takes it from all who hold it, and it rests. Returns how many that were; 0 also when the name is of another kind. */
  break(name: string, kind: LockKind, at: At): number {
    const lock = this.#locks.get(name);
    if (lock === undefined || lock.record.kind !== kind) return 0;
    const { holders } = lock;
    if (holders.length === 0) return 0;
    for (const holder of holders) this.#take(lock, holder);
    this.#rest(lock, at);
    this.#settle(lock, at);
    return holders.length;
  }

  /** Of an election: false when the token is not its leader's. */
  proclaim(name: string, token: number, value: string | null): boolean {
    const lock = this.#locks.get(name);
    if (lock === undefined || lock.record.kind !== 'election' || lock.holderBy(token) === undefined) return false;
    lock.record = { ...lock.record, value };
    this.#write(lock);
    return true;
  }

  /** What it held is free (after the lock's delay, if it did not go of its own will), and its places in queues too. */
  leaseEnded(lease: string, involuntary: boolean, at: At): void {
    this.leasesEnded([lease], involuntary, at);
  }

  /** Those that end by one entry: none of them is let in by the end of another. */
  leasesEnded(leases: readonly string[], involuntary: boolean, at: At): void {
    const left = new Set<Lock>();
    for (const lease of leases) {
      for (const name of this.namesOf(lease)) {
        const lock = this.#locks.get(name);
        invariant(lock !== undefined, `lease ${lease} hangs on the lock ${name}, which there is none of`);
        left.add(lock);
        const waiter = lock.waiterOf(lease);
        if (waiter !== undefined) this.#drop(lock, waiter);
        const holder = lock.holderOf(lease);
        if (holder === undefined) continue;
        this.#take(lock, holder);
        if (involuntary) this.#rest(lock, at);
      }
    }
    for (const lock of left) this.#settle(lock, at);
  }

  /** The rest of a lock is over. When it is not (another loss put it off), it is told again until when it rests. */
  wake(name: string, at: At): void {
    const lock = this.#locks.get(name);
    this.#endRest(lock, at);
    if (lock !== undefined && lock.record.restUntil > 0) {
      this.#effects.push({ type: 'rests', name, until: lock.record.restUntil });
    }
  }

  /**
   * For a state that continues in another log (a restore from a backup, a move to another group): every token from now on is larger than `floor`, which
   * has to be at least the index of the last entry that the state had seen.
   */
  raiseFloor(floor: number): void {
    if (floor <= this.#floor) return;
    this.#floor = floor;
    this.#records.set(FLOOR, {
      kind: 'lock',
      limit: 1,
      floor,
      delayMs: 0,
      restUntil: 0,
      holders: [],
      value: null,
    });
  }

  /** What happened since this was last asked, in order, then which names are different now, each once. To be asked after every batch of entries. */
  takeEffects(): readonly LockEffect[] {
    const effects = this.#effects;
    for (const name of this.#changed) effects.push({ type: 'changed', name });
    if (effects.length > 0) {
      this.#effects = [];
      this.#changed.clear();
    }
    return effects;
  }

  /** Lets in who can be let in, and stores what is left. */
  #settle(lock: Lock, at: At): void {
    const { restUntil } = lock.record;
    if (restUntil > 0 && at.time >= restUntil) lock.record = { ...lock.record, restUntil: 0 };
    if (lock.record.restUntil === 0) {
      for (let next = lock.next; next !== undefined && lock.hasRoom(next.mode); next = lock.next) {
        lock.dequeue(next);
        if (!isShared(lock.record.kind, next.mode)) this.#seats.delete(seatKey(lock.name, next.ticket));
        const token = this.#grant(lock, next, at);
        this.#effects.push({ type: 'granted', name: lock.name, lease: next.lease, token, ticket: next.ticket });
      }
    }
    this.#store(lock, at);
  }

  #grant(lock: Lock, { lease, mode, owner, value, ticket }: Waiter, at: At): number {
    const { name, record } = lock;
    const token = this.#nextToken(lock, at);
    const holder: Holder = { token, lease, mode, owner, since: at.time, ticket };
    const shared = isShared(record.kind, mode);
    if (shared) {
      lock.share(holder);
      this.#seats.set(seatKey(name, ticket), { lease, mode, owner, value, ticket, token, since: at.time });
    }
    lock.record = {
      ...record,
      floor: Math.max(token, ticket),
      holders: shared ? NOBODY : [holder],
      value: record.kind === 'election' ? value : null,
    };
    return token;
  }

  /** All who wait go through, with one token, and so does the one who made them complete. */
  #openBarrier(lock: Lock, ticket: number, at: At): number {
    const token = this.#nextToken(lock, at);
    lock.record = { ...lock.record, floor: Math.max(token, ticket) };
    for (let next = lock.next; next !== undefined; next = lock.next) {
      this.#leaveQueue(lock, next);
      this.#effects.push({ type: 'granted', name: lock.name, lease: next.lease, token, ticket: next.ticket });
    }
    return token;
  }

  #nextToken({ record }: Lock, { index }: At): number {
    return Math.max(index, record.floor + 1, this.#floor + 1);
  }

  /** A hold ends. */
  #take(lock: Lock, { lease, ticket }: Holder): void {
    const { name, record } = lock;
    if (lock.unshare(lease)) this.#seats.delete(seatKey(name, ticket));
    else lock.record = { ...record, holders: NOBODY, value: null };
    this.#unlink(lease, name);
  }

  /** A wait ends without a grant. */
  #drop(lock: Lock, waiter: Waiter): void {
    this.#leaveQueue(lock, waiter);
    this.#effects.push({ type: 'dropped', name: lock.name, lease: waiter.lease, ticket: waiter.ticket });
  }

  #leaveQueue(lock: Lock, waiter: Waiter): void {
    lock.dequeue(waiter);
    this.#seats.delete(seatKey(lock.name, waiter.ticket));
    this.#unlink(waiter.lease, lock.name);
  }

  /** After an involuntary loss: whoever lost it may not know yet. */
  #rest(lock: Lock, { time }: At): void {
    const until = time + lock.record.delayMs;
    if (lock.record.delayMs === 0 || until <= lock.record.restUntil) return;
    lock.record = { ...lock.record, restUntil: until };
    this.#effects.push({ type: 'rests', name: lock.name, until });
  }

  #endRest(lock: Lock | undefined, at: At): void {
    if (lock === undefined || lock.record.restUntil === 0 || at.time < lock.record.restUntil) return;
    this.#settle(lock, at);
  }

  #store(lock: Lock, { index }: At): void {
    if (lock.inUse) {
      this.#write(lock);
      return;
    }
    const { name, record } = lock;
    this.#changed.add(name);
    this.#locks.delete(name);
    if (lock.stored !== null) this.#records.delete(name);
    if (record.floor >= index) this.raiseFloor(record.floor);
  }

  #write(lock: Lock): void {
    const { name, record } = lock;
    this.#changed.add(name);
    if (lock.stored === record) return;
    this.#records.set(name, record);
    lock.stored = record;
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

/** What a lease is told that has the name or a place in its queue already. */
function askedAgain(lock: Lock, { lease, mode, wait }: AcquireOperation): AcquireResult | null {
  const holder = lock.holderOf(lease);
  if (holder !== undefined) {
    return covers(holder.mode, mode)
      ? { status: 'granted', token: holder.token, ticket: holder.ticket }
      : { status: 'held', holder };
  }
  const waiter = lock.waiterOf(lease);
  if (waiter === undefined) return null;
  return wait && covers(waiter.mode, mode)
    ? { status: 'queued', ticket: waiter.ticket, position: lock.position(waiter) }
    : { status: 'held', holder: lock.firstHolder };
}

function covers(has: LockMode, wanted: LockMode): boolean {
  return has === 'write' || wanted === 'read';
}

/** Those who wait by their tickets, those who were let in by their tokens. */
function compareSeats(left: Seat, right: Seat): number {
  return left.token - right.token || left.ticket - right.ticket;
}
