/** Counts refusals by code, and reports each (address, code, message) once until it changes. */
import { MAX_REFUSALS_REMEMBERED } from './limits.ts';
import type { PeerEvent } from './types.ts';

export type Refusal = Omit<Extract<PeerEvent, { type: 'refused' }>, 'type'>;

export class Refusals {
  readonly #report: (event: PeerEvent) => void;
  readonly #counts = new Map<string, number>();
  readonly #last = new Map<string, string>();

  constructor(report: (event: PeerEvent) => void) {
    this.#report = report;
  }

  /** `direction`: who dialled. What we tell a peer and what it tells us are remembered apart. */
  add(direction: 'in' | 'out', refusal: Refusal): void {
    const { address, code, message } = refusal;
    this.count(code);
    const key = `${direction} ${address}`;
    const reason = `${code} ${message}`;
    if (this.#last.get(key) === reason) return;
    this.#last.delete(key);
    this.#last.set(key, reason);
    if (this.#last.size > MAX_REFUSALS_REMEMBERED) {
      const oldest = this.#last.keys().next().value;
      if (oldest !== undefined) this.#last.delete(oldest);
    }
    this.#report({ type: 'refused', ...refusal });
  }

  count(code: string): void {
    // Codes come from outside too: what is not in the map any more is counted together.
    const counted = this.#counts.has(code) || this.#counts.size < 100 ? code : 'ERR_UNKNOWN';
    this.#counts.set(counted, (this.#counts.get(counted) ?? 0) + 1);
  }

  /** The address was admitted: a later refusal is news again. */
  clear(direction: 'in' | 'out', address: string): void {
    this.#last.delete(`${direction} ${address}`);
  }

  counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
