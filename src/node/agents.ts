/** Peers without a replica: they gossip and call, and have no part in Raft. */
import type { NodeId } from '../raft/types.ts';
import type { Channel, Hello, Peer } from '../transport/types.ts';

/** What says of itself that it is one. */
export function isAgent(hello: Hello): boolean {
  return hello.extra['role'] === 'agent';
}

/** Keeps agents out of Raft. */
export class AgentGate {
  readonly #peer: (id: NodeId) => Peer | undefined;
  #refused = 0;

  constructor(peer: (id: NodeId) => Peer | undefined) {
    this.#peer = peer;
  }

  /** Frames of agents that were thrown away. */
  get refused(): number {
    return this.#refused;
  }

  has(id: NodeId): boolean {
    const peer = this.#peer(id);
    return peer !== undefined && isAgent(peer.hello);
  }

  /** Whether a frame on this channel may be looked at. */
  passes(from: NodeId, channel: Channel): boolean {
    if (channel !== 'raft' && channel !== 'snapshot') return true;
    if (!this.has(from)) return true;
    this.#refused++;
    return false;
  }
}
