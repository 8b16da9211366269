/**
 * Who gets the next request. Power of two choices (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001): of two that chance names the one with the lower load, which is
 * nearly as good as asking all, and no herd runs to the one that was idle a moment ago. Load is what is under way there times how long answers take of late, a mean that rises at
 * once and falls slowly ("peak EWMA", as Finagle has it), so that one that becomes slow is noticed with its first slow answer. Outlier ejection after Envoy: who fails again and again is set
 * aside for a while, longer each time, but never more than half of all: when most of them fail it is not they.
 *
 * Synchronous and deterministic: time and chance are handed in. Memory is bounded by the number of instances.
 */
import type { ServiceInstance } from './instance.ts';

export interface BalancerOptions {
  /** An answer of this long ago counts 1/e. Milliseconds. */
  readonly decayMs: number;
  /** A failure counts as an answer that took so long, so that failing fast does not attract. Milliseconds. */
  readonly failureMs: number;
  /** Set aside after so many failures in a row. */
  readonly consecutiveFailures: number;
  /** Set aside when this part of at least `minRequests` recent answers were failures. */
  readonly failureRatio: number;
  readonly minRequests: number;
  /** How long the first time; so much longer each time that follows, up to `maxEjectionMs`. Milliseconds. */
  readonly ejectionMs: number;
  readonly maxEjectionMs: number;
}

export const BALANCER_DEFAULTS: BalancerOptions = {
  decayMs: 10_000,
  failureMs: 1000,
  consecutiveFailures: 5,
  failureRatio: 0.5,
  minRequests: 20,
  ejectionMs: 10_000,
  maxEjectionMs: 300_000,
};

/** Of one that has something under way and has never answered: more than of any that has. */
const UNKNOWN_COST_MS = 1e9;
/** Two that answer in about the same time are chosen between by what is under way. */
const ALIKE = 1.2;
/** No answer takes no time, and 0 is for those that were never heard. */
const MIN_COST_MS = 0.001;

interface Seat {
  instance: ServiceInstance;
  /** Requests without an answer. */
  inflight: number;
  /** Peak EWMA of how long answers took, as of `seenAt`; 0 before the first one. */
  costMs: number;
  seenAt: number;
  failuresInARow: number;
  /** Answers and failures among them, decayed as of `seenAt`. */
  answers: number;
  failures: number;
  /** Set aside until then; -Infinity: never was. */
  asideUntil: number;
  /** Is set aside. */
  aside: boolean;
  /** Times that it was set aside lately. */
  ejections: number;
}

export class Balancer {
  readonly #options: BalancerOptions;
  readonly #random: () => number;
  readonly #seats = new Map<string, Seat>();
  /** Those that may be chosen, and the sums of their weights up to each; null: to be made again. */
  #usable: { readonly seats: readonly Seat[]; readonly sums: readonly number[]; readonly least: number } | null = null;
  #aside = 0;
  /** When the first of those that are set aside comes back. */
  #returnsAt = Infinity;

  /** `random`: uniform in [0, 1). */
  constructor(random: () => number, options: Partial<BalancerOptions> = {}) {
    this.#random = random;
    this.#options = { ...BALANCER_DEFAULTS, ...options };
  }

  /** Whom there is to choose from now. What is known of those that stay is kept; one that was registered anew is a stranger. */
  update(instances: readonly ServiceInstance[], now: number): void {
    const gone = new Set(this.#seats.keys());
    for (const instance of instances) {
      gone.delete(instance.instance);
      const seat = this.#seats.get(instance.instance);
      if (seat !== undefined && isSameLife(seat.instance, instance)) seat.instance = instance;
      else this.#seats.set(instance.instance, seatOf(instance, now));
    }
    for (const id of gone) this.#seats.delete(id);
    this.#settle(now);
  }

  get size(): number {
    return this.#seats.size;
  }

  /** Ids of those that are set aside. */
  aside(now: number): string[] {
    this.#settle(now);
    return [...this.#seats].flatMap(([id, { aside }]) => (aside ? [id] : []));
  }

  /** Requests under way, by what was told. */
  inflight(id: string): number {
    return this.#seats.get(id)?.inflight ?? 0;
  }

  /** Null when there is nobody. `avoid`: left out as long as somebody else is left. */
  next(now: number, avoid?: (instance: ServiceInstance) => boolean): ServiceInstance | null {
    if (now >= this.#returnsAt) this.#settle(now);
    let usable = (this.#usable ??= weighed([...this.#seats.values()].filter(({ aside }) => !aside)));
    if (avoid !== undefined) {
      const kept = usable.seats.filter(({ instance }) => !avoid(instance));
      if (kept.length > 0 && kept.length < usable.seats.length) usable = weighed(kept);
    }
    const { seats, sums, least } = usable;
    if (seats.length === 0) return null;
    const first = drawn(sums, this.#random() * sums.at(-1)!);
    const chosen = seats.length === 1 ? first : this.#better(usable, first, this.#second(sums, first, least), now);
    const seat = seats[chosen]!;
    seat.inflight++;
    return seat.instance;
  }

  succeeded(instance: ServiceInstance, ms: number, now: number): void {
    const seat = this.#answered(instance);
    if (seat === null) return;
    this.#observe(seat, Math.max(MIN_COST_MS, ms), now, false);
    seat.failuresInARow = 0;
  }

  failed(instance: ServiceInstance, now: number): void {
    const seat = this.#answered(instance);
    if (seat === null) return;
    const { consecutiveFailures, failureRatio, minRequests, failureMs } = this.#options;
    this.#observe(seat, failureMs, now, true);
    seat.failuresInARow++;
    const often = seat.answers >= minRequests && seat.failures >= seat.answers * failureRatio;
    if (seat.failuresInARow >= consecutiveFailures || often) this.#eject(seat, now);
  }

  /** It was neither: nothing is learned from it. */
  released(instance: ServiceInstance): void {
    this.#answered(instance);
  }

  /**
   * A second one, that is not the first. An instance of weight w counts as w of weight 1 (the least weight there is being 1), two of which may be drawn: so each gets its part
   * when loads are alike, and with equal weights two different ones are compared each time.
   */
  #second(sums: readonly number[], first: number, least: number): number {
    const below = first === 0 ? 0 : sums[first - 1]!;
    const at = this.#random() * (sums.at(-1)! - least);
    // One of weight 1 of the first is taken out: the first of its part.
    return drawn(sums, at < below ? at : at + least);
  }

  #better({ seats }: { readonly seats: readonly Seat[] }, first: number, second: number, now: number): number {
    if (first === second) return first;
    const [one, other] = [seats[first]!, seats[second]!];
    const costMs = this.#cost(one, now);
    const otherMs = this.#cost(other, now);
    // Small differences say more about who was asked last than about who is faster, and would decide every time.
    const alike = Math.max(costMs, otherMs) <= ALIKE * Math.min(costMs, otherMs);
    return loadOf(other, alike ? costMs : otherMs) < loadOf(one, costMs) ? second : first;
  }

  #cost(seat: Seat, now: number): number {
    if (seat.costMs > 0) return seat.costMs * this.#kept(seat, now);
    return seat.inflight === 0 ? 0 : UNKNOWN_COST_MS;
  }

  /** Which part of what was known then counts now. */
  #kept(seat: Seat, now: number): number {
    return Math.exp(-Math.max(0, now - seat.seenAt) / this.#options.decayMs);
  }

  #answered(instance: ServiceInstance): Seat | null {
    const seat = this.#seats.get(instance.instance);
    // Of a life before this one, or of one that is gone.
    if (seat === undefined || !isSameLife(seat.instance, instance)) return null;
    seat.inflight = Math.max(0, seat.inflight - 1);
    return seat;
  }

  #observe(seat: Seat, ms: number, now: number, failed: boolean): void {
    const kept = this.#kept(seat, now);
    const costMs = seat.costMs * kept;
    seat.costMs = ms > costMs ? ms : costMs + ms * (1 - kept);
    seat.answers = seat.answers * kept + 1;
    seat.failures = seat.failures * kept + (failed ? 1 : 0);
    seat.seenAt = now;
  }

  #eject(seat: Seat, now: number): void {
    if (seat.aside) return;
    this.#settle(now);
    if (this.#aside + 1 > Math.floor(this.#seats.size / 2)) return;
    const { ejectionMs, maxEjectionMs } = this.#options;
    if (now - seat.asideUntil >= maxEjectionMs) seat.ejections = 0;
    seat.ejections++;
    seat.aside = true;
    seat.asideUntil = now + Math.min(maxEjectionMs, ejectionMs * seat.ejections);
    this.#aside++;
    this.#returnsAt = Math.min(this.#returnsAt, seat.asideUntil);
    this.#usable = null;
  }

  /** Those come back whose time is over, and those that are too many. */
  #settle(now: number): void {
    this.#usable = null;
    const aside = [...this.#seats.values()].filter((seat) => seat.aside);
    aside.sort((a, b) => b.asideUntil - a.asideUntil);
    const most = Math.floor(this.#seats.size / 2);
    this.#aside = 0;
    this.#returnsAt = Infinity;
    for (const seat of aside) {
      if (seat.asideUntil > now && this.#aside < most) {
        this.#aside++;
        this.#returnsAt = seat.asideUntil;
      } else {
        comeBack(seat, now);
      }
    }
  }
}

/** Who takes the place of another writes over its key, with a lease of its own. */
function isSameLife(before: ServiceInstance, now: ServiceInstance): boolean {
  return before.createRevision === now.createRevision && before.lease === now.lease;
}

/** What is under way counts by the weight; how long an answer takes does not, which would count the weight twice. */
function loadOf({ inflight, instance: { weight } }: Seat, costMs: number): number {
  return costMs * (1 + inflight / weight);
}

function seatOf(instance: ServiceInstance, now: number): Seat {
  return {
    ...{ instance, inflight: 0, costMs: 0, seenAt: now, failuresInARow: 0, answers: 0, failures: 0 },
    ...{ asideUntil: -Infinity, aside: false, ejections: 0 },
  };
}

/** As one that is not known: it gets one request, and more when that was answered. */
function comeBack(seat: Seat, now: number): void {
  seat.aside = false;
  seat.asideUntil = Math.min(seat.asideUntil, now);
  seat.costMs = 0;
  seat.seenAt = now;
  seat.failuresInARow = 0;
  seat.answers = 0;
  seat.failures = 0;
}

function weighed(seats: readonly Seat[]): { seats: readonly Seat[]; sums: readonly number[]; least: number } {
  let sum = 0;
  let least = Infinity;
  const sums = seats.map(({ instance: { weight } }) => {
    least = Math.min(least, weight);
    return (sum += weight);
  });
  return { seats, sums, least };
}

/** The first whose sum is above `at`. */
function drawn(sums: readonly number[], at: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! > at) high = middle;
    else low = middle + 1;
  }
  return low;
}
