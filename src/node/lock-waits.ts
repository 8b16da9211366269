/**
 * Those who wait on this node to be let in. Whether somebody is, the state machine alone decides; here it is only heard of, as entries
 * are applied, and after anything else that changes the state at once.
 */
import type { LockTable } from '../lock/lock-table.ts';
import type { LockEffect } from '../lock/types.ts';

export type Fate =
  | { readonly type: 'granted'; readonly token: number }
  | { readonly type: 'gone' }
  /** The node closes: the place is kept by its lease. */
  | { readonly type: 'closed' };

/** Grants that nobody waited for here when they were applied: the answer that tells of the ticket may still be on its way. */
const MAX_EARLY = 10_000;

export class LockWaits {
  readonly #waits = new Map<string, { name: string; ticket: number; settle: (fate: Fate) => void }>();
  #closed = false;
  readonly #early = new Map<string, Fate>();
  readonly #observers = new Map<string, Set<() => void>>();

  get size(): number {
    return this.#waits.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Calls back once, and not before this returns. The returned function takes it back. */
  wait(name: string, ticket: number, settle: (fate: Fate) => void): () => void {
    const id = idOf(name, ticket);
    this.#waits.set(id, { name, ticket, settle });
    return () => void this.#waits.delete(id);
  }

  /** Calls back whenever something about the name may have changed, until the returned function is called. */
  observe(name: string, changed: () => void): () => void {
    let observers = this.#observers.get(name);
    if (observers === undefined) this.#observers.set(name, (observers = new Set()));
    observers.add(changed);
    return () => {
      observers.delete(changed);
      if (observers.size === 0 && this.#observers.get(name) === observers) this.#observers.delete(name);
    };
  }

  effect(effect: LockEffect): void {
    switch (effect.type) {
      case 'granted':
        this.#settle(effect.name, effect.ticket, { type: 'granted', token: effect.token });
        return;
      case 'dropped':
        this.#settle(effect.name, effect.ticket, { type: 'gone' });
        return;
      case 'changed':
        for (const changed of this.#observers.get(effect.name) ?? []) changed();
        return;
      case 'rests':
    }
  }

  #settle(name: string, ticket: number, fate: Fate): void {
    const id = idOf(name, ticket);
    const wait = this.#waits.get(id);
    if (wait === undefined) {
      this.#early.set(id, fate);
      if (this.#early.size > MAX_EARLY) this.#early.delete(this.#early.keys().next().value as string);
      return;
    }
    this.#waits.delete(id);
    wait.settle(fate);
  }

  /** A grant that was heard of here when nobody waited for it; null for none. */
  early(name: string, ticket: number): Fate | null {
    const fate = this.#early.get(idOf(name, ticket));
    return fate?.type === 'granted' ? fate : null;
  }

  /** Null: it stands in the queue. Only where the entry of the ticket is applied. */
  fate(locks: LockTable, name: string, ticket: number): Fate | null {
    // The answer that tells of the ticket may have come while the node drains: nobody would end that wait.
    if (this.#closed) return { type: 'closed' };
    return this.#early.get(idOf(name, ticket)) ?? fateOf(locks, name, ticket);
  }

  /** Nobody hears of anything on this node any more. */
  close(): void {
    this.#closed = true;
    const waits = [...this.#waits.values()];
    this.#waits.clear();
    for (const { settle } of waits) settle({ type: 'closed' });
  }

  /** The state is another one (a snapshot): whoever is not in the queue any more learns it here. */
  stateReplaced(locks: LockTable): void {
    this.#early.clear();
    for (const { name, ticket } of this.#waits.values()) {
      const fate = fateOf(locks, name, ticket);
      if (fate !== null) this.#settle(name, ticket, fate);
    }
    for (const observers of this.#observers.values()) for (const changed of observers) changed();
  }
}

function fateOf(locks: LockTable, name: string, ticket: number): Fate | null {
  const holder = locks.get(name)?.holders.find((one) => one.ticket === ticket);
  if (holder !== undefined) return { type: 'granted', token: holder.token };
  return locks.queue(name).some((waiter) => waiter.ticket === ticket) ? null : { type: 'gone' };
}

function idOf(name: string, ticket: number): string {
  return `${name}\0${ticket}`;
}
