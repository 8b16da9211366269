/**
 * When which fault: chosen by the seed, one at a time or two of different layers, each for a while and with some peace after
 * it, so that what comes back is seen to work before the next thing breaks.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { WrongUnderFault } from './faults/starting.ts';
import type { ListedNemesis } from './nemeses.ts';
import type { Chance, Fault, Lab } from './types.ts';

export interface FaultRecord {
  readonly nemesis: string;
  readonly what: string;
  /** All in ms since the load began. */
  readonly startMs: number;
  readonly healMs: number;
  readonly healedMs: number;
}

export interface Counted {
  injected: number;
  /** It found nothing to do. */
  passed: number;
}

export interface ScheduleOptions {
  readonly lab: Lab;
  readonly nemeses: readonly ListedNemesis[];
  readonly chance: Chance;
  readonly totalMs: number;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

const MAX_QUIET_MS = 5000;
const MIN_HOLD_MS = 1500;
/** The longest fault is between these: short enough that each nemesis has its turn, if that can be. */
const SHORTEST_MAX_HOLD_MS = 5000;
const LONGEST_MAX_HOLD_MS = 18_000;
const MIN_GAP_MS = 1500;
const MAX_GAP_MS = 4500;
/** Gap, injecting and healing, of a fault. */
const AROUND_MS = 11_500;
const PAIR_CHANCE = 0.5;
/** Turns of a nemesis that finds nothing to do. */
const MAX_TURNS = 4;

export class Schedule {
  readonly faults: FaultRecord[] = [];
  readonly counts = new Map<string, Counted>();
  /** A node did under a fault what it must not do. */
  readonly violations: string[] = [];
  /** Injecting or healing went wrong otherwise. */
  readonly problems: string[] = [];
  readonly #options: ScheduleOptions;
  /** Every nemesis once, in any order, before one comes again. */
  #pending: ListedNemesis[] = [];

  constructor(options: ScheduleOptions) {
    this.#options = options;
    for (const { nemesis } of options.nemeses) this.counts.set(nemesis.name, { injected: 0, passed: 0 });
  }

  /** Ends when the time is over, with nothing at work. */
  async run(): Promise<void> {
    const { chance, totalMs, nowMs, signal } = this.#options;
    const endMs = nowMs() + totalMs;
    const quietMs = Math.min(MAX_QUIET_MS, totalMs / 8);
    await this.#wait(quietMs);
    const turnMs = (totalMs * (1 + PAIR_CHANCE)) / Math.max(1, this.#options.nemeses.length);
    const maxHoldMs = Math.min(LONGEST_MAX_HOLD_MS, Math.max(SHORTEST_MAX_HOLD_MS, 2 * (turnMs - AROUND_MS)));
    while (!signal.aborted && nowMs() + MIN_HOLD_MS + MIN_GAP_MS < endMs && this.#options.nemeses.length > 0) {
      const first = this.#next();
      const second = chance.chance(PAIR_CHANCE) ? this.#next(first) : null;
      const left = Math.max(MIN_HOLD_MS, endMs - nowMs() - MIN_GAP_MS);
      const holdMs = (): number => Math.min(left, chance.between(MIN_HOLD_MS, maxHoldMs));
      const [firstMs, secondMs, laterMs] = [holdMs(), holdMs(), chance.between(0, 3000)];
      await Promise.all([
        this.#once(first, firstMs),
        ...(second === null ? [] : [this.#wait(Math.min(laterMs, left)).then(() => this.#once(second, secondMs))]),
      ]);
      await this.#wait(Math.min(chance.between(MIN_GAP_MS, MAX_GAP_MS), Math.max(0, endMs - nowMs())));
    }
    await this.#wait(endMs - nowMs());
  }

  async #once(listed: ListedNemesis, holdMs: number): Promise<void> {
    const { nemesis } = listed;
    const { lab, nowMs, signal } = this.#options;
    if (signal.aborted) return;
    const startMs = nowMs();
    let fault: Fault | null;
    try {
      fault = await nemesis.inject(lab);
    } catch (error) {
      this.#problem(`${nemesis.name} could not be injected`, error);
      return;
    }
    const count = this.counts.get(nemesis.name);
    if (count !== undefined) count[fault === null ? 'passed' : 'injected']++;
    if (fault === null) {
      // Nothing to do just now: it has another turn.
      if ((count?.passed ?? 0) < MAX_TURNS) this.#pending.push(listed);
      return;
    }
    lab.log(`${nemesis.name}: ${fault.what}`);
    await this.#wait(holdMs);
    const healMs = nowMs();
    try {
      await fault.heal();
      lab.log(`${nemesis.name} over, ${((nowMs() - healMs) / 1000).toFixed(1)} s to heal`);
    } catch (error) {
      this.#problem(`${nemesis.name} (${fault.what}) could not be healed`, error);
    }
    this.faults.push({ ...{ nemesis: nemesis.name, what: fault.what }, ...{ startMs, healMs, healedMs: nowMs() } });
  }

  /** The next of the rest; beside another one only if one of the two is of the network, null when there is none. */
  #next(): ListedNemesis;
  #next(beside: ListedNemesis): ListedNemesis | null;
  #next(beside?: ListedNemesis): ListedNemesis | null {
    const { nemeses, chance } = this.#options;
    if (this.#pending.length === 0) this.#pending = [...nemeses];
    const candidates = this.#pending.filter(
      ({ layer }) => beside === undefined || (layer === 'network') !== (beside.layer === 'network'),
    );
    if (candidates.length === 0) return null;
    const chosen = chance.pick(candidates);
    this.#pending = this.#pending.filter((one) => one !== chosen);
    return chosen;
  }

  #problem(what: string, error: unknown): void {
    const text = `${what}: ${error instanceof Error ? error.message : String(error)}`;
    (error instanceof WrongUnderFault ? this.violations : this.problems).push(text);
    this.#options.lab.log(text);
  }

  /** Less when the run is over. */
  async #wait(ms: number): Promise<void> {
    if (ms > 0) await delay(ms, undefined, { signal: this.#options.signal }).catch(() => undefined);
  }
}
