/** The node or agent in whose process a client runs: it takes part in gossip, so it knows who is well before anybody else tells. */
export interface Host {
  /** Decimal. */
  readonly id: string;
  /** How a node or agent is, by its id and by what the host knows itself, answered at once. Null: nothing is known of it. */
  healthOf(id: string): Health | null;
}

/** `suspect`: it did not answer of late. `unreachable`: it has left, or is taken for dead. */
export type Health = 'alive' | 'suspect' | 'unreachable';
