/** One name in use: its record, those who share it, those who wait for it. Knows the rules of who may be let in; stores nothing. */
import type { AcquireOperation, Holder, LockKind, LockMode, LockRecord, Waiter } from './types.ts';
import { WaitQueue } from './wait-queue.ts';

const NOBODY: ReadonlyMap<string, Holder> = new Map();
const NO_WAITERS: readonly Waiter[] = [];

export class Lock {
  readonly name: string;
  /** With the one who holds it alone. */
  record: LockRecord;
  /** What lies in the table of records; null: nothing. */
  stored: LockRecord | null;
  // Most names are held by one lease and wanted by nobody else: these are made when they are needed.
  #shared: Map<string, Holder> | null = null;
  #queue: WaitQueue | null = null;

  constructor(name: string, record: LockRecord, stored: LockRecord | null) {
    this.name = name;
    this.record = record;
    this.stored = stored;
  }

  /** Those who share it, in order of their tokens. */
  get shared(): ReadonlyMap<string, Holder> {
    return this.#shared ?? NOBODY;
  }

  get waiting(): number {
    return this.#queue?.size ?? 0;
  }

  get next(): Waiter | undefined {
    return this.#queue?.first;
  }

  get queue(): readonly Waiter[] {
    return this.#queue?.toArray() ?? NO_WAITERS;
  }

  get holding(): number {
    return this.record.holders.length + this.shared.size;
  }

  get holders(): readonly Holder[] {
    return this.shared.size === 0 ? this.record.holders : [...this.shared.values()];
  }

  get firstHolder(): Holder | null {
    const [first = null] = this.shared.size === 0 ? this.record.holders : this.shared.values();
    return first;
  }

  get inUse(): boolean {
    return this.record.restUntil > 0 || this.holding > 0 || this.waiting > 0;
  }

  holderOf(lease: string): Holder | undefined {
    return this.shared.get(lease) ?? this.record.holders.find((holder) => holder.lease === lease);
  }

  holderBy(token: number): Holder | undefined {
    return this.holders.find((holder) => holder.token === token);
  }

  waiterOf(lease: string): Waiter | undefined {
    return this.#queue?.find(lease);
  }

  position(waiter: Waiter): number {
    return this.#queue?.position(waiter) ?? 0;
  }

  /** Nobody is let in past those who wait: see `next`. */
  hasRoom(mode: LockMode): boolean {
    const { kind, limit, holders } = this.record;
    if (kind === 'barrier') return false;
    if (kind === 'semaphore') return this.shared.size < limit;
    return holders.length === 0 && (mode === 'read' || this.shared.size === 0);
  }

  /** Larger than every ticket here. As good as always that is the index as it is. */
  ticketAt(index: number): number {
    let ticket = index;
    const last = this.#queue?.last;
    if (last !== undefined && last.ticket >= ticket) ticket = last.ticket + 1;
    if (index <= this.record.floor) {
      for (const holder of this.holders) if (holder.ticket >= ticket) ticket = holder.ticket + 1;
    }
    return ticket;
  }

  share(holder: Holder): void {
    this.#shared ??= new Map();
    this.#shared.set(holder.lease, holder);
  }

  unshare(lease: string): boolean {
    return this.#shared?.delete(lease) ?? false;
  }

  enqueue(waiter: Waiter): void {
    this.#queue ??= new WaitQueue();
    this.#queue.add(waiter);
  }

  dequeue(waiter: Waiter): void {
    this.#queue?.remove(waiter);
  }
}

export function freshRecord({ kind, limit, delayMs }: AcquireOperation, floor: number): LockRecord {
  return { kind, limit, floor, delayMs, restUntil: 0, holders: [], value: null };
}

/** Whether others may hold the name beside it. */
export function isShared(kind: LockKind, mode: LockMode): boolean {
  return kind === 'semaphore' || mode === 'read';
}
