/** How many instances each service has. */
import { instanceOf } from './instance.ts';
import type { StoredInstance } from './instance.ts';
import { isPassing } from './roster.ts';

export interface ServiceSummary {
  readonly name: string;
  /** All that are registered. */
  readonly instances: number;
  readonly passing: number;
}

export class Census {
  readonly #services: { name: string; instances: number; passing: number }[] = [];

  /** Entries come in the order of their keys, so those of one service come one after the other. */
  count(entry: StoredInstance): void {
    const instance = instanceOf(entry);
    if (instance === null) return;
    let last = this.#services.at(-1);
    if (last?.name !== instance.name) {
      last = { name: instance.name, instances: 0, passing: 0 };
      this.#services.push(last);
    }
    last.instances++;
    if (isPassing(instance)) last.passing++;
  }

  get services(): readonly ServiceSummary[] {
    return this.#services;
  }
}
