/**
 * A node in the DHT: whom it knows there, what it says of itself, and what it finds by it. The same for a member and for an agent.
 */
import type { Registry } from 'prom-client';
import type { MemberEffect, MemberRole } from '../../gossip/index.ts';
import type { NodeId } from '../../raft/types.ts';
import type { Peer, Transport } from '../../transport/types.ts';
import type { Environment } from '../env.ts';
import type { GossipDriver } from '../gossip/driver.ts';
import type { Identity } from '../identity.ts';
import type { LinkPool } from '../links.ts';
import type { Logger } from '../types.ts';
import { decodeCard } from './card.ts';
import { DhtDriver, type Known } from './driver.ts';
import { decodeEnvelope } from './envelope.ts';
import { Hosting } from './hosting.ts';
import { registerDhtMetrics } from './metrics.ts';
import { MovedPeers } from './moved-peers.ts';
import { Presence } from './presence.ts';

export interface ParticipantOptions {
  readonly env: Environment;
  readonly identity: Identity;
  readonly clusterId: string;
  readonly name: string;
  readonly group: number;
  readonly role: () => MemberRole;
  /** How others reach this node. */
  readonly address: () => string;
  /** URL of its HTTP API, '' without. */
  readonly http: () => string;
  /** It has a replica of the group, as a voter or a learner. */
  readonly hasReplica: () => boolean;
  readonly gossip: Pick<GossipDriver, 'member' | 'members' | 'stats'>;
  readonly links: LinkPool;
  readonly transport: Pick<Transport, 'peer' | 'peers'>;
  readonly logger: Logger;
}

/** Of gossip, 0 is best: one is what a single lost answer makes. */
const MAX_HEALTH_SCORE = 1;
/** Of `group/1`. */
const FIND_TIMEOUT_MS = 5000;

export class Participant {
  readonly driver: DhtDriver;
  readonly hosting: Hosting;
  readonly #options: ParticipantOptions;
  readonly #presence: Presence;
  readonly #moved: MovedPeers;

  constructor(options: ParticipantOptions) {
    this.#options = options;
    const { env, identity, clusterId, name, group, gossip, links, transport, logger } = options;
    this.driver = new DhtDriver({
      env,
      identity,
      clusterId,
      links,
      peer: (id) => transport.peer(id),
      addressesOf: (id) => gossip.member(id)?.addresses ?? [],
      isAlive: (id) => gossip.member(id)?.state === 'alive',
    });
    const { driver } = this;
    const isWell = (): boolean => gossip.stats().health <= MAX_HEALTH_SCORE;
    const isAgent = (id: NodeId): boolean => gossip.member(id)?.role === 'agent';
    this.#presence = new Presence({
      env,
      driver,
      logger,
      group,
      provides: options.hasReplica,
      peers: () => driver.stats().contacts,
      isWell,
      card: () => ({
        ...{ id: identity.id, name, role: options.role(), addresses: [options.address()] },
        http: options.http() || null,
      }),
    });
    this.hosting = new Hosting({ env, driver, logger });
    this.#moved = new MovedPeers({
      ...{ env, driver, links, logger },
      isAgent,
      // Replicas need each other. Whoever else reaches nobody may be too slow for it itself, and would dial all the more.
      mayLook: (id) => (options.hasReplica() && !isAgent(id)) || isWell(),
    });
  }

  /** Begins, with those who are known by other means. */
  start(contacts: readonly Known[]): void {
    for (const contact of contacts) this.driver.addContact(contact);
    for (const member of this.#options.gossip.members()) {
      if (member.state === 'alive' && member.addresses.length > 0) this.driver.addContact(member);
    }
    for (const peer of this.#options.transport.peers()) this.peerUp(peer);
    this.#presence.changed();
  }

  /** A link is up. Who is still about to join is no peer yet. */
  peerUp({ id, hello: { clusterId, peerId, name, address } }: Peer): void {
    this.#moved.linked(id);
    if (clusterId !== this.#options.clusterId || address === '') return;
    this.driver.addContact({ peerId, name, addresses: [address] });
  }

  /** Gossip has something new of another member. Who is dead, the DHT finds out by itself. */
  heard({ event, id }: Pick<MemberEffect, 'event' | 'id'>): void {
    const member = this.#options.gossip.member(id);
    if (member === undefined) return;
    if (event === 'left') this.driver.removeContact(member.peerId);
    else if (member.state === 'alive' && member.addresses.length > 0) this.driver.addContact(member);
  }

  frame(from: NodeId, bytes: Uint8Array): void {
    this.driver.frame(from, bytes);
  }

  /** What this node says of itself may be something else by now. */
  changed(): void {
    this.#presence.changed();
  }

  /** A peer does not answer at these addresses. */
  unreached(id: NodeId, tried: readonly string[]): void {
    this.#moved.look(id, tried);
  }

  /** Addresses of nodes with a replica, as they say themselves. Rejects as a query. */
  async findMembers(): Promise<readonly string[]> {
    const { group } = this.#options;
    const { result } = await this.driver.providers(`group/${group}`, { timeoutMs: FIND_TIMEOUT_MS });
    return result.records.flatMap(({ value }) => {
      const envelope = decodeEnvelope(value);
      return envelope === null ? [] : (decodeCard(envelope.body)?.addresses ?? []);
    });
  }

  register(registry: Registry): void {
    registerDhtMetrics(registry, this.driver, this.#moved);
  }

  /** Others are told that there is no replica here any more, nor any service, within that time. It goes on answering until `close`. */
  async leave(timeoutMs: number): Promise<void> {
    await Promise.all([this.#presence.leave(timeoutMs), this.hosting.leave(timeoutMs)]);
  }

  close(): void {
    this.#presence.close();
    this.hosting.close();
    this.driver.close();
  }
}
