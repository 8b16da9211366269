/**
 * What the leader does for the members by itself: a learner that has caught up becomes what it wants to be, and an address that changed is written down. Proposed, and proposed again until it
 * is done; one change at a time, as the core has it.
 */
import type { NodeId } from '../raft/types.ts';
import { planAddress, planKept } from './member-changes.ts';
import type { Membership } from './membership.ts';

export interface MemberKeeperOptions {
  readonly membership: Membership;
  readonly ownId: NodeId;
  /** How others reach this node. */
  readonly ownAddress: () => string;
  /** What a linked peer says of how it is reached; null while it is not linked. */
  readonly addressOf: (id: NodeId) => string | null;
  readonly now: () => number;
}

/** A member that says another thing at each start must not fill the log. */
const ADDRESS_EVERY_MS = 10_000;

export class MemberKeeper {
  readonly #options: MemberKeeperOptions;
  #addressMs = -Infinity;

  constructor(options: MemberKeeperOptions) {
    this.#options = options;
  }

  /** `reign`: the term in which this node leads and knows all that was committed; null otherwise. */
  tick(reign: number | null): void {
    if (reign === null) return;
    const { membership } = this.#options;
    const { state } = membership;
    if (state.configuration.votersOutgoing.length > 0 || state.map.clusterId === null) return;
    const change = planKept(state, (id) => membership.caughtUp(id));
    if (change !== null) {
      membership.propose(change);
      return;
    }
    this.#addresses(state);
  }

  #addresses(state: Membership['state']): void {
    const { membership, ownId, ownAddress, addressOf, now } = this.#options;
    if (now() - this.#addressMs < ADDRESS_EVERY_MS) return;
    for (const { id } of state.map.members) {
      const address = id === ownId ? ownAddress() : addressOf(id);
      if (address === null || address === '') continue;
      const plan = planAddress(state, id, address);
      if (plan.type !== 'change') continue;
      if (membership.propose(plan.change)) this.#addressMs = now();
      return;
    }
  }
}
