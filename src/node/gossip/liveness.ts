/**
 * Gossip and the DHT as a node with a replica has them: what it says of itself follows from the configuration, and what it hears is a hint. When the leader is taken for dead and there is no link to
 * it, this node asks the others whether they hear it (a pre-vote). The configuration of Raft is never changed by anything that is heard here.
 */
import type { GossipSettings, MemberEffect, MemberRole } from '../../gossip/index.ts';
import { DEFAULT_SETTINGS } from '../../gossip/index.ts';
import type { Store } from '../../storage/types.ts';
import type { Channel, Peer, Transport } from '../../transport/types.ts';
import type { ClusterMap } from '../cluster-map.ts';
import { Participant } from '../dht/participant.ts';
import type { Environment } from '../env.ts';
import type { Identity } from '../identity.ts';
import type { LinkPool } from '../links.ts';
import type { Replica } from '../replica.ts';
import type { Logger } from '../types.ts';
import { GossipDriver } from './driver.ts';

export interface LivenessOptions {
  readonly env: Environment;
  readonly identity: Identity;
  readonly map: ClusterMap;
  readonly group: number;
  readonly name: string;
  readonly metadata: Uint8Array;
  readonly replica: Replica;
  readonly links: LinkPool;
  readonly transport: Transport;
  readonly store: Store;
  readonly logger: Logger;
  readonly settings: Partial<GossipSettings>;
  /** How others reach this node. */
  readonly address: () => string;
  /** URL of its HTTP API, '' without. */
  readonly http: () => string;
  /** Something was staged for the next commit. */
  readonly staged: () => void;
}

export class Liveness {
  readonly gossip: GossipDriver;
  readonly dht: Participant;
  /** How long an agent is shown after it was taken for dead. */
  readonly shownDeadMs: number;
  readonly #options: LivenessOptions;
  readonly #listeners = new Set<() => void>();
  #cancelLook: (() => void) | null = null;

  constructor(options: LivenessOptions) {
    this.#options = options;
    const { env, identity, map, group, name, metadata, links, transport, store, logger, settings } = options;
    this.shownDeadMs = settings.gossipToTheDeadMs ?? DEFAULT_SETTINGS.gossipToTheDeadMs;
    this.gossip = new GossipDriver({
      env,
      identity,
      clusterId: map.clusterId,
      name,
      role: () => this.#role,
      addresses: () => [options.address()],
      http: options.http,
      metadata,
      links,
      peerIdOf: (id) => transport.peer(id)?.hello.peerId,
      store,
      staged: options.staged,
      logger,
      changed: (effect) => this.#changed(effect),
      settings,
    });
    this.dht = new Participant({
      ...{ env, identity, clusterId: map.clusterId, group, name, links, transport, logger },
      gossip: this.gossip,
      role: () => this.#role,
      address: options.address,
      http: options.http,
      hasReplica: () => this.#isMember,
    });
    this.gossip.subscribe(() => this.changed());
  }

  start(): void {
    const { map, replica } = this.#options;
    const members = [...replica.machine.members, ...map.members];
    const contacts = members.map(({ peerId, name, address }) => ({ peerId, name, addresses: [address] }));
    this.gossip.start(contacts);
    this.dht.start(contacts);
  }

  /** True when it was a frame of gossip or of the DHT. */
  frame(from: string, channel: Channel, bytes: Uint8Array): boolean {
    if (channel === 'ping' || channel === 'gossip') this.gossip.frame(from, bytes);
    else if (channel === 'dht') this.dht.frame(from, bytes);
    else return false;
    return true;
  }

  peerUp(peer: Peer): void {
    this.gossip.reachable(peer.id);
    this.dht.peerUp(peer);
    this.changed();
  }

  /** Calls `listener` when what is known of the members may have changed. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A link came or went, somebody else leads, or the configuration is another. */
  changed(): void {
    this.gossip.refresh();
    this.dht.changed();
    for (const listener of [...this.#listeners]) listener();
  }

  /** Says good-bye. As `GossipDriver.leave`. */
  async leave(timeoutMs: number): Promise<void> {
    await Promise.all([this.dht.leave(timeoutMs), this.gossip.leave(timeoutMs)]);
  }

  close(): void {
    this.#cancelLook?.();
    this.gossip.close();
    this.dht.close();
    this.#listeners.clear();
  }

  /** Of this node, by the configuration in force. One that waits to be let in is a learner. */
  get #role(): MemberRole {
    const { identity, replica } = this.#options;
    return replica.core.status().configuration.voters.includes(identity.id) ? 'voter' : 'learner';
  }

  /** This node is in the configuration in force. */
  get #isMember(): boolean {
    const { identity, replica } = this.#options;
    const { voters, learners } = replica.core.status().configuration;
    return voters.includes(identity.id) || learners.includes(identity.id);
  }

  #changed(effect: MemberEffect): void {
    const { event, id } = effect;
    this.dht.heard(effect);
    if (event !== 'dead') return;
    const { env, replica, transport } = this.#options;
    if (replica.softState.leader === id && transport.peer(id) === undefined) replica.peerLost(id);
    // A while later it is shown no more, if it is an agent.
    this.#cancelLook?.();
    this.#cancelLook = env.after(this.shownDeadMs + 1, () => this.changed());
  }
}
