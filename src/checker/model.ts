/** What a model is to the checker, and what it finds. */
import type { Operation } from './history.ts';

/** `unknown`: the budget was used up before there was an answer. It counts as not passed. */
export type Verdict = 'ok' | 'bad' | 'unknown';

/** An order that was found for some of the operations, and the state that it ends in. */
export interface Order {
  readonly operations: readonly Operation[];
  readonly state: string;
}

export interface Finding {
  readonly verdict: Verdict;
  /** A sentence for people; null when ok. */
  readonly reason: string | null;
  /** The operations that could not be placed, or that contradict each other. */
  readonly culprits: readonly Operation[];
  /** The longest orders that were found before the search was stuck; empty when the contradiction was seen without one. */
  readonly orders: readonly Order[];
}

export const OK: Finding = { verdict: 'ok', reason: null, culprits: [], orders: [] };

export function bad(reason: string, culprits: readonly Operation[], orders: readonly Order[] = []): Finding {
  return { verdict: 'bad', reason, culprits, orders };
}

export interface Model {
  readonly name: string;
  /**
   * Operations with different keys do not affect each other: each key is checked alone. Linearizability is local
   * (Herlihy & Wing 1990, §3.3), so a history is linearizable exactly if it is for every key.
   */
  readonly byKey: boolean;
  /** True: `check` gets operations that failed for certain too, because nobody may have seen them. Default false. */
  readonly keepsFailed?: boolean;
  /** Why this is not an operation of the model, in words; null if it is one. */
  refuse(operation: Operation): string | null;
  /** `operations` are in order of call; none of them was refused, and none failed for certain unless `keepsFailed`. */
  check(operations: readonly Operation[], init: unknown, budget: Budget): Finding;
}

export interface BudgetOptions {
  /** Configurations that a search may visit, all parts together. Default 10,000,000, which is a few hundred MB at worst. */
  readonly maxSteps?: number;
  /** Asked now and then; true ends the search with `unknown`. The checker has no clock of its own. Default: never. */
  readonly expired?: () => boolean;
}

const DEFAULT_MAX_STEPS = 10_000_000;
const STEPS_BETWEEN_QUESTIONS = 1024;

/** Counts the steps of a whole check, all parts together. */
export class Budget {
  steps = 0;
  #spent = false;
  #nextQuestion = STEPS_BETWEEN_QUESTIONS;
  readonly #maxSteps: number;
  readonly #expired: () => boolean;

  constructor(options: BudgetOptions = {}) {
    this.#maxSteps = options.maxSteps ?? DEFAULT_MAX_STEPS;
    this.#expired = options.expired ?? (() => false);
  }

  /** A budget of its own for what is not part of the verdict, ended by the same question. */
  aside(maxSteps: number): Budget {
    return new Budget({ maxSteps, expired: this.#expired });
  }

  /** One step more; false when it may not be taken. */
  spend(): boolean {
    if (this.#spent || this.steps >= this.#maxSteps) {
      this.#spent = true;
      return false;
    }
    if (++this.steps >= this.#nextQuestion) {
      this.#nextQuestion = this.steps + STEPS_BETWEEN_QUESTIONS;
      this.#spent = this.#expired();
    }
    return !this.#spent;
  }
}
