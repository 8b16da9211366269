/** What went how well when: for the report, and for the question whether a run counts. */

export type Ending = 'ok' | 'fail' | 'unknown';

export interface Second {
  readonly ok: number;
  readonly fail: number;
  readonly unknown: number;
  /** Of those that ended well in this second, sorted. */
  readonly latenciesMs: readonly number[];
}

interface Filling {
  ok: number;
  fail: number;
  unknown: number;
  latenciesMs: number[];
}

export class Timeline {
  readonly #seconds: Filling[] = [];
  readonly errors = new Map<string, number>();

  /** An operation ended `atMs` after the start of the run. */
  add(atMs: number, ending: Ending, latencyMs: number): void {
    const second = Math.max(0, Math.floor(atMs / 1000));
    while (this.#seconds.length <= second) this.#seconds.push({ ok: 0, fail: 0, unknown: 0, latenciesMs: [] });
    const filling = this.#seconds[second];
    if (filling === undefined) throw new Error('unreachable: the list was just made long enough');
    filling[ending]++;
    if (ending === 'ok') filling.latenciesMs.push(latencyMs);
  }

  countError(error: string): void {
    this.errors.set(error, (this.errors.get(error) ?? 0) + 1);
  }

  seconds(): Second[] {
    return this.#seconds.map((second) => ({ ...second, latenciesMs: second.latenciesMs.toSorted((a, b) => a - b) }));
  }

  total(ending: Ending): number {
    return this.#seconds.reduce((sum, second) => sum + second[ending], 0);
  }
}

/** Of sorted numbers; null when there are none. */
export function quantile(sorted: readonly number[], q: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? null;
}
