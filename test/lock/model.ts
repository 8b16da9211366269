import type { AcquireOperation, At, LockKind } from '../../src/lock/types.ts';

interface Seat {
  readonly lease: string;
  readonly reads: boolean;
  inside: boolean;
}

interface Name {
  readonly kind: LockKind;
  readonly limit: number;
  delayMs: number;
  restUntil: number;
  /** As they came. */
  seats: Seat[];
}

/** What somebody is told, without numbers of tickets and tokens. */
export type Told = 'granted' | 'queued' | 'held' | 'mismatch';

/** The rules of locks, told as simply as possible: one row of seats for each name. Knows nothing of tokens and records. */
export class Model {
  readonly names = new Map<string, Name>();
  /** Let in after a wait since this was last emptied. */
  granted: { readonly name: string; readonly lease: string }[] = [];

  acquire(operation: AcquireOperation, { time }: At): Told {
    const { name, kind, limit, lease, delayMs, wait } = operation;
    this.#admit(name, time, true);
    const one = this.names.get(name) ?? { kind, limit, delayMs, restUntil: 0, seats: [] };
    if (one.kind !== kind || one.limit !== limit) return 'mismatch';
    const reads = operation.mode === 'read';
    const own = one.seats.find((seat) => seat.lease === lease);
    if (own !== undefined) {
      if (own.reads && !reads) return 'held';
      if (own.inside) return 'granted';
      return wait ? 'queued' : 'held';
    }
    const seat = { lease, reads, inside: false };
    const left = { ...one, seats: [...one.seats, seat] };
    const enters = mayEnter(left, seat);
    if (!enters && !wait) return 'held';
    left.delayMs = Math.max(left.delayMs, delayMs);
    this.names.set(name, left);
    if (!enters) return 'queued';
    if (kind === 'barrier') {
      this.granted.push(...one.seats.map((other) => ({ name, lease: other.lease })));
      this.names.delete(name);
    }
    seat.inside = true;
    return 'granted';
  }

  release(name: string, kind: LockKind, lease: string, { time }: At): number {
    const one = this.names.get(name);
    if (one?.kind !== kind || !one.seats.some((seat) => seat.inside && seat.lease === lease)) return 0;
    one.seats = one.seats.filter((seat) => seat.lease !== lease);
    this.#admit(name, time);
    return 1;
  }

  cancel(name: string, lease: string, { time }: At): void {
    const one = this.names.get(name);
    const seat = one?.seats.find((other) => other.lease === lease);
    if (one === undefined || seat === undefined || seat.inside) return;
    one.seats = one.seats.filter((other) => other !== seat);
    this.#admit(name, time);
  }

  break(name: string, kind: LockKind, { time }: At): number {
    const one = this.names.get(name);
    const broken = one?.seats.filter(({ inside }) => inside).length ?? 0;
    if (one?.kind !== kind || broken === 0) return 0;
    one.seats = one.seats.filter(({ inside }) => !inside);
    rest(one, time);
    this.#admit(name, time);
    return broken;
  }

  leasesEnded(leases: readonly string[], involuntary: boolean, { time }: At): void {
    for (const [name, one] of this.names) {
      const gone = one.seats.filter(({ lease }) => leases.includes(lease));
      if (gone.length === 0) continue;
      one.seats = one.seats.filter((seat) => !gone.includes(seat));
      if (involuntary && gone.some(({ inside }) => inside)) rest(one, time);
      this.#admit(name, time);
    }
  }

  wake(name: string, { time }: At): void {
    this.#admit(name, time, true);
  }

  /** Leases inside or not, as they came. */
  leases(name: string, inside: boolean): readonly string[] {
    const seats = this.names.get(name)?.seats ?? [];
    return seats.filter((seat) => seat.inside === inside).map(({ lease }) => lease);
  }

  namesOf(lease: string): readonly string[] {
    return [...this.names.keys()]
      .filter((name) => this.names.get(name)?.seats.some((seat) => seat.lease === lease))
      .toSorted();
  }

  #admit(name: string, time: number, afterRest = false): void {
    const one = this.names.get(name);
    if (one === undefined || (afterRest && one.restUntil === 0)) return;
    if (time >= one.restUntil) one.restUntil = 0;
    for (const seat of one.seats) {
      if (seat.inside) continue;
      if (!mayEnter(one, seat)) break;
      seat.inside = true;
      this.granted.push({ name, lease: seat.lease });
    }
    if (one.seats.length === 0 && one.restUntil === 0) this.names.delete(name);
  }
}

/** Whether it is the turn of this one, and there is room. */
function mayEnter({ kind, limit, restUntil, seats }: Name, seat: Seat): boolean {
  if (restUntil > 0) return false;
  if (kind === 'barrier') return seats.length >= limit;
  const before = seats.slice(0, seats.indexOf(seat));
  if (before.some(({ inside }) => !inside)) return false;
  if (kind === 'semaphore') return before.length < limit;
  return before.length === 0 || (seat.reads && before.every(({ reads }) => reads));
}

function rest(one: Name, time: number): void {
  if (one.delayMs > 0) one.restUntil = Math.max(one.restUntil, time + one.delayMs);
}
