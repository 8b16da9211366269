/**
 * All that a member does about members: has them changed, lets others in, keeps links to those that there are, does what the leader owes them, and stops when it was removed itself.
 */
import type { KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import type { RemovedMember } from '../machine/types.ts';
import type { Store } from '../storage/types.ts';
import type { Transport } from '../transport/types.ts';
import type { ClusterMap } from './cluster-map.ts';
import type { Environment } from './env.ts';
import type { Identity } from './identity.ts';
import { JoinDesk } from './join-desk.ts';
import type { LinkPool } from './links.ts';
import { wasRemoved } from './member-changes.ts';
import type { MemberChanged, MemberOperation } from './member-frames.ts';
import { MemberKeeper } from './member-keeper.ts';
import { Membership } from './membership.ts';
import type { Replica } from './replica.ts';
import { Roster } from './roster.ts';

export interface MemberDutiesOptions {
  readonly env: Environment;
  readonly map: ClusterMap;
  readonly identity: Identity;
  readonly replica: Replica;
  readonly store: Store;
  readonly transport: Transport;
  readonly links: LinkPool;
  readonly electionTimeoutMs: number;
  secret(): string | null;
  /** How others reach this node. */
  ownAddress(): string;
  /** Something was staged for the next commit. */
  staged(): void;
  /** This identity was removed for good. */
  forget(id: NodeId): void;
  /** This node was removed, and has said what it had to say. */
  removed(error: KvorumError): void;
}

/** A member that was removed goes on for so long, so that what it has answered leaves, and a leader until it has handed over. */
const LINGER_MS = 500;
const LOOK_EVERY_MS = 50;

export class MemberDuties {
  readonly #options: MemberDutiesOptions;
  readonly #membership: Membership;
  readonly #desk: JoinDesk;
  readonly #roster: Roster;
  readonly #keeper: MemberKeeper;
  /** Ends the wait of a removed member; null while it is one. */
  #stopParting: (() => void) | null = null;

  constructor(options: MemberDutiesOptions) {
    this.#options = options;
    const { env, identity, links, map, replica, store, transport } = options;
    const { id: ownId, bootEpoch } = identity;
    this.#membership = new Membership({
      env,
      replica,
      bootEpoch,
      send: (to, channel, parts) => transport.send(to, channel, parts),
    });
    this.#desk = new JoinDesk({
      map,
      membership: this.#membership,
      secret: () => options.secret(),
      peer: (id) => transport.peer(id),
      wallTime: () => env.wallTime(),
      send: (to, parts) => transport.send(to, 'client', parts),
    });
    this.#roster = new Roster({
      env,
      store,
      transport,
      links,
      ownId,
      first: map.members.filter(({ id }) => id !== ownId).map(({ address }) => address),
      electionTimeoutMs: options.electionTimeoutMs,
      staged: () => options.staged(),
    });
    this.#keeper = new MemberKeeper({
      membership: this.#membership,
      ownId,
      ownAddress: () => options.ownAddress(),
      addressOf: (id) => transport.peer(id)?.address ?? null,
      now: () => env.now(),
    });
  }

  call(operation: MemberOperation, timeoutMs: number, signal?: AbortSignal): Promise<MemberChanged> {
    return this.#membership.call(operation, timeoutMs, signal);
  }

  /** Links to this peer are kept. */
  keeps(id: NodeId): boolean {
    return this.#roster.has(id);
  }

  /** Now and then. */
  tick(): void {
    const { replica } = this.#options;
    if (!replica.loading) this.#keeper.tick(replica.reign);
  }

  /** Another configuration is in force, or was applied: whom to dial, whom to leave, and whether this node still belongs here. */
  configurationChanged(): void {
    const { identity, replica } = this.#options;
    const { memberMap } = replica.machine;
    this.#roster.update(this.#membership.state.map, memberMap);
    for (const { id } of memberMap.removed) this.#options.forget(id);
    const removed = memberMap.removed.find(({ id }) => id === identity.id);
    if (removed !== undefined) this.#part(removed);
  }

  /** True when the frame was about members. Throws for one that is malformed. */
  frame(from: NodeId, bytes: Uint8Array): boolean {
    return this.#membership.frame(from, bytes) || this.#desk.frame(from, bytes);
  }

  peerDown(peer: NodeId): void {
    this.#membership.peerDown(peer);
  }

  close(error: KvorumError): void {
    this.#stopParting?.();
    this.#roster.close();
    this.#membership.close(error);
  }

  #part(removed: RemovedMember): void {
    if (this.#stopParting !== null) return;
    const { env, electionTimeoutMs, replica } = this.#options;
    const since = env.now();
    const stop = env.every(LOOK_EVERY_MS, () => {
      const waited = env.now() - since;
      // A leader that goes too early leaves its followers to wait for a time-out.
      const handsOver = replica.softState.role === 'leader' && waited < 2 * electionTimeoutMs;
      if (handsOver || waited < LINGER_MS) return;
      stop();
      this.#options.removed(wasRemoved(removed));
    });
    this.#stopParting = stop;
  }
}
