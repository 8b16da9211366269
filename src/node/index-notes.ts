/**
 * What members have acknowledged is remembered on every node, so that an old copy of one's disk is known when it comes back. The leader sees what followers have; what the leader's own
 * disk has it tells them.
 */
import type { NodeId } from '../raft/types.ts';
import type { Channel } from '../transport/types.ts';
import { encodeStored, type StoredFrame } from './forwarding.ts';
import type { PeerMemory } from './peer-memory.ts';
import type { Replica } from './replica.ts';

export interface IndexNotesOptions {
  readonly replica: Replica;
  readonly memory: PeerMemory;
  readonly send: (to: NodeId, channel: Channel, parts: readonly Uint8Array[]) => boolean;
}

export class IndexNotes {
  readonly #options: IndexNotesOptions;
  /** What each peer was told of this node's own log, over the link that it has now. */
  readonly #told = new Map<NodeId, number>();

  constructor(options: IndexNotesOptions) {
    this.#options = options;
  }

  /** Another link to the peer, or none: what was on its way may be lost, and is told again. */
  linkChanged(peer: NodeId): void {
    this.#told.delete(peer);
  }

  /** Now and then. True when something was staged for the next commit. */
  tick(now: number): boolean {
    const { replica, memory, send } = this.#options;
    const { group } = replica;
    if (replica.softState.role === 'leader') {
      const { progress, commit, persistedIndex } = replica.core.status();
      for (const { id, match } of progress) memory.noteIndex(id, group, Math.min(match, commit));
      // Nobody counts what the leader itself has: it says so, or an old copy of its disk would pass for it later.
      const stored = Math.min(persistedIndex, commit);
      for (const { id } of progress) {
        if (stored <= (this.#told.get(id) ?? 0)) continue;
        if (send(id, 'client', encodeStored({ group, index: stored }))) this.#told.set(id, stored);
      }
    }
    return memory.stage(now);
  }

  /** A leader's word of its own disk. */
  stored(from: NodeId, { group, index }: StoredFrame): void {
    const { replica, memory } = this.#options;
    if (group !== replica.group || !replica.machine.members.some(({ id }) => id === from)) return;
    // Only what is known to be committed can never be cut off again.
    memory.noteIndex(from, group, Math.min(index, replica.core.status().commit));
  }
}
