/**
 * Suspicions and when they run out. A suspicion begins long and gets shorter with each independent confirmation (Lifeguard §IV.B): a member that hears
 * little, because it is itself slow, hears few confirmations and so leaves more time to be proven wrong.
 */
import type { MemberId } from './types.ts';

export interface SuspicionBounds {
  readonly minMs: number;
  readonly maxMs: number;
  /** Confirmations that bring it down to the least; more are not counted (K). */
  readonly expected: number;
}

interface Suspicion extends SuspicionBounds {
  startMs: number;
  deadlineMs: number;
  /** Who said so; the first is no confirmation. */
  readonly by: MemberId[];
}

/** max − (max − min) · ln(c + 1) / ln(K + 1), in whole milliseconds as memberlist computes it. */
export function suspicionMs({ minMs, maxMs, expected }: SuspicionBounds, confirmations: number): number {
  if (expected < 1) return minMs;
  const share = Math.log(confirmations + 1) / Math.log(expected + 1);
  return Math.max(minMs, Math.floor(maxMs - share * (maxMs - minMs)));
}

export class Suspicions {
  readonly #bySlot = new Map<number, Suspicion>();
  /** The first deadline; null: to be looked for. Looking goes over all, so it is done only when the first one went away. */
  #next: number | null = Infinity;

  get size(): number {
    return this.#bySlot.size;
  }

  get nextMs(): number {
    if (this.#next === null) {
      this.#next = Infinity;
      for (const { deadlineMs } of this.#bySlot.values()) if (deadlineMs < this.#next) this.#next = deadlineMs;
    }
    return this.#next;
  }

  start(slot: number, by: MemberId, bounds: SuspicionBounds, nowMs: number): void {
    const deadlineMs = nowMs + suspicionMs(bounds, 0);
    this.delete(slot);
    this.#bySlot.set(slot, { ...bounds, startMs: nowMs, deadlineMs, by: [by] });
    this.#sooner(deadlineMs);
  }

  /** Would it tell anything new? So it is verified only then. */
  isNews(slot: number, by: MemberId): boolean {
    const suspicion = this.#bySlot.get(slot);
    return suspicion !== undefined && suspicion.by.length <= suspicion.expected && !suspicion.by.includes(by);
  }

  confirm(slot: number, by: MemberId): void {
    const suspicion = this.#bySlot.get(slot);
    if (suspicion === undefined || !this.isNews(slot, by)) return;
    suspicion.by.push(by);
    suspicion.deadlineMs = suspicion.startMs + suspicionMs(suspicion, suspicion.by.length - 1);
    this.#sooner(suspicion.deadlineMs);
  }

  delete(slot: number): void {
    const suspicion = this.#bySlot.get(slot);
    if (suspicion === undefined) return;
    this.#bySlot.delete(slot);
    if (suspicion.deadlineMs === this.#next) this.#next = null;
  }

  /** Those that have run out, in the order in which they did. */
  expired(nowMs: number): number[] {
    if (this.nextMs > nowMs) return [];
    return [...this.#bySlot]
      .filter(([, { deadlineMs }]) => deadlineMs <= nowMs)
      .sort(([, left], [, right]) => left.deadlineMs - right.deadlineMs)
      .map(([slot]) => slot);
  }

  /** Time that did not count. */
  postpone(ms: number): void {
    for (const suspicion of this.#bySlot.values()) {
      suspicion.startMs += ms;
      suspicion.deadlineMs += ms;
    }
    this.#next = null;
  }

  #sooner(deadlineMs: number): void {
    if (this.#next !== null && deadlineMs < this.#next) this.#next = deadlineMs;
  }
}
