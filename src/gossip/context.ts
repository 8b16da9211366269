/** What the parts of one node's gossip share. */
import type { Awareness } from './awareness.ts';
import type { Neighbourhood } from './neighbourhood.ts';
import type { MemberTable } from './table.ts';
import type { Channel, GossipMessage, GossipSettings, PeerId, Refusal, Statement } from './types.ts';

export interface Counters {
  probes: number;
  failedProbes: number;
  refutations: number;
  verifications: number;
  stalls: number;
  readonly refused: Record<Refusal, number>;
}

export interface Context {
  readonly clusterId: string;
  readonly settings: GossipSettings;
  readonly table: MemberTable;
  readonly near: Neighbourhood;
  readonly awareness: Awareness;
  readonly counters: Counters;
  readonly random: () => number;
  send(to: PeerId, channel: Channel, message: GossipMessage): void;
  /** What rides along with the next message, `first` before all else. */
  updates(first?: Statement): readonly Statement[];
  /** This node itself has found that a member does not answer. Nothing happens when the member has spoken up since. */
  suspect(slot: number, incarnation: number, nowMs: number): void;
}
