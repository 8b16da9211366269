import { LockTable } from '../../src/lock/lock-table.ts';
import type { AcquireOperation, AcquireResult, At, LockEffect, LockRecord, Seat } from '../../src/lock/types.ts';
import type { RecordsOf } from '../../src/kv/types.ts';

/** Records in memory that counts writes, and gives entries in an order that nobody should rely on. */
export class MemoryRecords<T> implements RecordsOf<T> {
  readonly #records = new Map<string, string>();
  writes = 0;
  /** Of the largest record ever set, as JSON. */
  largest = 0;

  get size(): number {
    return this.#records.size;
  }

  get(name: string): T | undefined {
    const text = this.#records.get(name);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  set(name: string, record: T): void {
    this.writes += 1;
    // As text, so that what is changed later without being set again is seen to be missing.
    const text = JSON.stringify(record);
    this.#records.set(name, text);
    this.largest = Math.max(this.largest, text.length);
  }

  delete(name: string): void {
    this.writes += 1;
    this.#records.delete(name);
  }

  entries(): Iterable<readonly [string, T]> {
    return [...this.#records].toReversed().map(([name, text]) => [name, JSON.parse(text) as T] as const);
  }

  /** Everything, in order. */
  dump(): readonly (readonly [string, string])[] {
    return [...this.#records].toSorted(([left], [right]) => (left < right ? -1 : 1));
  }
}

/** A table over records in memory, with a log index and a clock that move by themselves or are set. */
export class Harness {
  readonly records = new MemoryRecords<LockRecord>();
  readonly seats = new MemoryRecords<Seat>();
  table = new LockTable(this.records, this.seats);
  index = 100;
  time = 1_000_000;

  /** Of the next entry. */
  next(): At {
    this.index += 1;
    return { index: this.index, time: this.time };
  }

  pass(ms: number): void {
    this.time += ms;
  }

  restart(): void {
    this.table = new LockTable(this.records, this.seats);
    this.table.restored();
  }

  acquire(name: string, lease: string, options: Partial<AcquireOperation> = {}): AcquireResult {
    return this.table.acquire(operationOf(name, lease, options), this.next());
  }

  /** Token of one who has to be let in at once. */
  hold(name: string, lease: string, options: Partial<AcquireOperation> = {}): number {
    const result = this.acquire(name, lease, { wait: false, ...options });
    if (result.status !== 'granted') throw new Error(`${lease} was not let in: ${result.status}`);
    return result.token;
  }

  /** Ticket of one who has to wait. */
  wait(name: string, lease: string, options: Partial<AcquireOperation> = {}): number {
    const result = this.acquire(name, lease, options);
    if (result.status !== 'queued') throw new Error(`${lease} does not wait: ${result.status}`);
    return result.ticket;
  }

  release(name: string, lease: string, kind: LockRecord['kind'] = 'lock'): number {
    return this.table.release(name, kind, { lease }, this.next());
  }

  end(lease: string, how: 'lost' | 'revoked' = 'lost'): void {
    this.table.leaseEnded(lease, how === 'lost', this.next());
  }

  holders(name: string): readonly string[] {
    return this.table.get(name)?.holders.map(({ lease }) => lease) ?? [];
  }

  queue(name: string): readonly string[] {
    return this.table.queue(name).map(({ lease }) => lease);
  }

  effects<T extends LockEffect['type']>(type: T): readonly Extract<LockEffect, { type: T }>[] {
    return this.table
      .takeEffects()
      .filter((effect): effect is Extract<LockEffect, { type: T }> => effect.type === type);
  }

  get writes(): number {
    return this.records.writes + this.seats.writes;
  }
}

export function operationOf(name: string, lease: string, options: Partial<AcquireOperation> = {}): AcquireOperation {
  return {
    name,
    kind: 'lock',
    lease,
    mode: 'write',
    limit: 1,
    delayMs: 0,
    owner: null,
    value: null,
    wait: true,
    ...options,
  };
}
