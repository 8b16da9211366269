/** What clients of one kind do in a storm, and how it is judged. */
import type { Random } from '../../../src/testing/random.ts';
import type { Asking } from '../asking.ts';
import type { LogRules } from '../log-rules.ts';
import type { Observer } from '../observer.ts';
import type { Plan } from '../plan.ts';

export interface Stage {
  readonly asking: Asking;
  readonly observer: Observer;
  readonly plan: Plan;
  /** Clients begin nothing new. */
  stopped: boolean;
}

export interface Workload {
  /** Resolves when all its clients have their last answer. */
  run(): Promise<void>;
  /** When all is calm: what remains to be seen. */
  finish(): Promise<void>;
  /** Throws when clients were told what the log does not say, or what cannot be. */
  judge(rules: LogRules): void;
}

/** Milliseconds between two operations of a client. */
export function thinkMs({ plan }: Stage, dice: Random): number {
  return dice.float() * 2 * plan.coordination.thinkMs;
}

/** The fastest and the slowest of the clocks: what a node counts is between. */
export function clockBounds({ clockRates }: Plan): { readonly fastest: number; readonly slowest: number } {
  return { fastest: Math.max(...clockRates), slowest: Math.min(...clockRates) };
}

export function contradict(told: unknown, is: unknown): never {
  const says = is === undefined || is === null ? 'nothing of it' : typeof is === 'string' ? is : JSON.stringify(is);
  throw new Error(`a client was told\n  ${JSON.stringify(told)}\nbut the log says ${says}`);
}
