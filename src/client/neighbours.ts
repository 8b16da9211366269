/** How the nodes and agents of a cluster are, by what the node in this process knows of them. */
import type { Health, Host } from './host.ts';

/** The part of a node's interface that is used here. */
export interface Neighbour {
  readonly id: string;
  cluster(): { readonly members: readonly { readonly id: string; readonly health: Health }[] };
}

/** Whoever asks with each request does not have all members written down each time. */
const LOOK_EVERY_MS = 50;
/** Of those who are not there any more, the last so many are remembered. */
const MAX_GONE = 1000;

export class Neighbours implements Host {
  readonly #node: Neighbour;
  readonly #now: () => number;
  #health: ReadonlyMap<string, Health> = new Map();
  #lookedAt = -Infinity;
  /** Who was there and is not: it has left, or was dead for so long that it was forgotten. An instance may name it all the same until its lease ends. */
  readonly #gone = new Set<string>();

  constructor(node: Neighbour, now: () => number) {
    this.#node = node;
    this.#now = now;
  }

  get id(): string {
    return this.#node.id;
  }

  healthOf(id: string): Health | null {
    if (id === this.id) return 'alive';
    if (this.#now() - this.#lookedAt >= LOOK_EVERY_MS) this.#look();
    return this.#health.get(id) ?? (this.#gone.has(id) ? 'unreachable' : null);
  }

  #look(): void {
    this.#lookedAt = this.#now();
    const before = this.#health;
    this.#health = new Map(this.#node.cluster().members.map(({ id, health }) => [id, health]));
    for (const id of before.keys()) if (!this.#health.has(id)) this.#gone.add(id);
    for (const id of this.#gone) if (this.#health.has(id) || this.#gone.size > MAX_GONE) this.#gone.delete(id);
  }
}
