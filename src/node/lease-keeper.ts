/**
 * What a leader does by the clock: ends leases that nobody renewed, writes down what is left of long ones, and ends the rest of locks. Runs on every node, so
 * that one that is elected knows what there is; proposes only on the leader.
 */
import { KvorumError } from '../errors.ts';
import type { Effect } from '../machine/types.ts';
import type { Calls } from './calls.ts';
import { Lessor, type Expiry } from './lessor.ts';
import type { StateClock } from './state-clock.ts';

export const KEEPER_EVERY_MS = 100;
const CHECKPOINT_EVERY_MS = 5000;
/** A tick that is so late says that this process stood still, and what came meanwhile is still to be read. */
const STALLED_MS = 500;
const PROPOSAL_TIMEOUT_MS = 4000;

export interface LeaseKeeperOptions {
  readonly calls: Calls;
  /** What this node would stamp an entry with. */
  readonly clock: StateClock;
  /** This node's reign: its term, once an entry of it is applied here; null when it does not lead. */
  readonly reign: () => number | null;
  /** What could not be proposed: said in the log, and tried again. */
  readonly failed: (error: unknown) => void;
}

export class LeaseKeeper {
  readonly lessor = new Lessor();
  readonly #options: LeaseKeeperOptions;
  readonly #resting = new Map<string, number>();
  #wakingUntil = 0;
  #reign: number | null = null;
  #lastTick: number;
  #lastCheckpoint = 0;
  #checkpointing = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#lastTick = options.calls.env.now();
    this.stateReplaced();
  }

  /** All there is, from now: at a start, and when a snapshot has taken the place of the state. */
  stateReplaced(): void {
    const { coordinator } = this.#options.calls.machine;
    this.lessor.reset(coordinator.leases.all(), this.#options.calls.env.now());
    this.#resting.clear();
    for (const { name, until } of coordinator.locks.resting()) this.#resting.set(name, until);
  }

  effect(effect: Effect, now: number): void {
    switch (effect.type) {
      case 'leaseAlive':
        this.lessor.alive(effect.lease, now);
        return;
      case 'leaseEnded':
        this.lessor.ended(effect.id);
        return;
      case 'lock':
        if (effect.effect.type === 'rests') this.#resting.set(effect.effect.name, effect.effect.until);
        else if (effect.effect.type === 'changed') this.#noteChange(effect.effect.name);
    }
  }

  /** Whoever leads has woken it, or somebody has come who found its time over. */
  #noteChange(name: string): void {
    if (!this.#resting.has(name)) return;
    const { locks } = this.#options.calls.machine.coordinator;
    if ((locks.get(name)?.restUntil ?? 0) === 0) this.#resting.delete(name);
  }

  /** Names that rest, as far as is known here. */
  get resting(): number {
    return this.#resting.size;
  }

  tick(): void {
    const { calls } = this.#options;
    const now = calls.env.now();
    const late = now - this.#lastTick - KEEPER_EVERY_MS;
    this.#lastTick = now;
    if (late > STALLED_MS) this.lessor.extend(late);
    const term = this.#options.reign();
    if (term !== this.#reign) {
      this.#reign = term;
      // Who led before may have acknowledged renewals that this node applied long ago, and may have been heard less recently than it seems.
      if (term !== null) this.lessor.reset(calls.machine.coordinator.leases.all(), now);
    }
    if (term === null) return;
    this.#expire(term, now);
    this.#wakeResting(now);
    if (now - this.#lastCheckpoint >= CHECKPOINT_EVERY_MS && !this.#checkpointing) this.#checkpoint(term, now);
  }

  #expire(term: number, now: number): void {
    const due = this.lessor.due(now);
    if (due.length === 0) return;
    this.#options.calls
      .propose({ type: 'leaseExpire', term, leases: due }, { timeoutMs: PROPOSAL_TIMEOUT_MS })
      // One that was renewed meanwhile lives on, and was told as alive; one that is still there by the same count was refused.
      .then(() => this.lessor.notEnded(due))
      .catch((error: unknown) => this.#notEnded(due, error));
  }

  #notEnded(due: readonly Expiry[], error: unknown): void {
    this.lessor.notEnded(due);
    this.#failed(error);
  }

  #wakeResting(now: number): void {
    const { calls } = this.#options;
    if (this.#resting.size === 0 || now < this.#wakingUntil) return;
    // By the clock that this leader stamps its entries with: they are over when it is applied.
    const time = this.#options.clock.now();
    const names = [...this.#resting].filter(([, until]) => until <= time).map(([name]) => name);
    if (names.length === 0) return;
    this.#wakingUntil = now + PROPOSAL_TIMEOUT_MS;
    for (const name of names) this.#resting.delete(name);
    calls
      .propose({ type: 'lockWake', names }, { timeoutMs: PROPOSAL_TIMEOUT_MS })
      .catch((error: unknown) => {
        for (const name of names) this.#resting.set(name, this.#resting.get(name) ?? 0);
        this.#failed(error);
      })
      .finally(() => {
        this.#wakingUntil = 0;
      });
  }

  #checkpoint(term: number, now: number): void {
    this.#lastCheckpoint = now;
    const leases = this.lessor.checkpoints(now);
    if (leases.length === 0) return;
    this.#checkpointing = true;
    this.#options.calls
      .propose({ type: 'leaseCheckpoint', term, leases }, { timeoutMs: PROPOSAL_TIMEOUT_MS })
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#checkpointing = false;
      });
  }

  #failed(error: unknown): void {
    // Without a leader, or on the way out, nothing can be proposed: the next leader counts by itself.
    if (KvorumError.is(error, 'ERR_CLOSED')) return;
    this.#options.failed(error);
  }
}
