/** The node or agent in whose process a client runs: it takes part in gossip, so it knows who is well before anybody else tells. */

/** As far as a client uses it. */
export interface Host {
  /** Decimal. */
  readonly id: string;
  /** Answered at once, by what it knows itself. */
  cluster(): { readonly members: readonly { readonly id: string; readonly health: Health }[] };
}

/** `suspect`: it did not answer of late. `unreachable`: it has left, or is taken for dead. */
export type Health = 'alive' | 'suspect' | 'unreachable';

/** Whoever asks with each request does not have all members written down each time. */
const LOOK_EVERY_MS = 50;
/** Of those who are not there any more, the last so many are remembered. */
const MAX_GONE = 1000;

/** How the nodes and agents of a cluster are, by what a host knows. */
export class Neighbours {
  readonly #host: Host;
  readonly #now: () => number;
  #health: ReadonlyMap<string, Health> = new Map();
  #lookedAt = -Infinity;
  /** Who was there and is not: it has left, or was dead for so long that it was forgotten. An instance may name it all the same until its lease ends. */
  readonly #gone = new Set<string>();

  constructor(host: Host, now: () => number) {
    this.#host = host;
    this.#now = now;
  }

  /** Null: nothing is known of it. */
  healthOf(id: string): Health | null {
    if (id === this.#host.id) return 'alive';
    if (this.#now() - this.#lookedAt >= LOOK_EVERY_MS) this.#look();
    return this.#health.get(id) ?? (this.#gone.has(id) ? 'unreachable' : null);
  }

  #look(): void {
    this.#lookedAt = this.#now();
    const before = this.#health;
    this.#health = new Map(this.#host.cluster().members.map(({ id, health }) => [id, health]));
    for (const id of before.keys()) if (!this.#health.has(id)) this.#gone.add(id);
    for (const id of this.#gone) if (this.#health.has(id) || this.#gone.size > MAX_GONE) this.#gone.delete(id);
  }
}
