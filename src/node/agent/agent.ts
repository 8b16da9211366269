/**
 * A peer without a replica, embedded in a service: it knows the members and is known to them (gossip), and has every call served by one that has the log. No vote, no log, and unless it is
 * given a data directory no disk: then every start is a new identity, and the one before it is forgotten.
 */
import { Registry } from 'prom-client';
import { KvorumError } from '../../errors.ts';
import { openMemoryStore } from '../../storage/memory-store.ts';
import type { MemberEffect } from '../../gossip/index.ts';
import type { Store } from '../../storage/types.ts';
import { PROTOCOL_VERSION } from '../../transport/limits.ts';
import type { Channel, Hello, PeerCredential, PeerEvent, Transport } from '../../transport/types.ts';
import { isAgent } from '../agents.ts';
import { loadClusterMap, type ClusterMap } from '../cluster-map.ts';
import { Credentials } from '../credentials.ts';
import type { OwnDht } from '../dht-types.ts';
import { Participant } from '../dht/participant.ts';
import { DhtService } from '../dht/service.ts';
import { dropStranger, isOfAnother, keepLinksOf } from '../entrance.ts';
import type { Environment } from '../env.ts';
import { GossipDriver } from '../gossip/driver.ts';
import { registerGossipMetrics } from '../gossip/metrics.ts';
import { commit, openIdentity, type Identity } from '../identity.ts';
import { loadContacts } from '../join-records.ts';
import { Joining } from '../joining.ts';
import { LinkPool } from '../links.ts';
import { textOfMembers } from '../member-service.ts';
import type { MemberInfo, Members } from '../member-types.ts';
import { Observation } from '../observation.ts';
import { resolveOptions, type ResolvedOptions } from '../options.ts';
import type { Platform } from '../platform.ts';
import type { RemoteNode } from '../remote/remote-node.ts';
import type { Server } from '../node.ts';
import type { AnswerHead, ClusterInfo, KvorumNode, Limits, NodeOptions, Readiness } from '../types.ts';
import { judgePeer, type AgentStanding } from './admission.ts';
import { MemberCalls } from './member-calls.ts';
import { AgentView } from './view.ts';
import { Upstream } from './upstream.ts';

const GROUP = 1;
const LEAVE_TIMEOUT_MS = 1000;

/** What exists once it is part of a cluster. */
interface Joined {
  readonly clusterId: string;
  readonly gossip: GossipDriver;
  readonly dht: Participant;
  readonly view: AgentView;
}

export class Agent extends MemberCalls implements KvorumNode {
  readonly failed: Promise<Error>;
  readonly registry: Registry;
  readonly members: Members;
  readonly dht: OwnDht;
  readonly #options: ResolvedOptions;
  readonly #platform: Platform;
  readonly #env: Environment;
  readonly #store: Store;
  readonly #identity: Identity;
  readonly #process: string;
  readonly #upstream: Upstream;
  #transport!: Transport;
  #links!: LinkPool;
  #joining: Joining | null = null;
  readonly #credentials: Credentials;
  #joined: Joined | null = null;
  #map: ClusterMap | null;
  #server: Server | null = null;
  #failure: KvorumError | null = null;
  #fail!: (error: Error) => void;
  #closing: Promise<void> | null = null;
  /** Ends what is watched. */
  readonly #closed = new AbortController();

  /** Opens the peer port. Rejects as a node does, and has let go of everything then. */
  static async open(given: NodeOptions, platform: Platform): Promise<Agent> {
    const options = resolveOptions(given);
    const { env } = platform;
    const store =
      given.dataDir === undefined
        ? await openMemoryStore({ schedule: (task) => void env.after(0, task), now: () => env.now() })
        : await platform.openStore({
            directory: options.dataDir,
            log: (message) => options.logger.warn({ node: options.name }, message),
          });
    try {
      const identity = await openIdentity(store, () => platform.createKey());
      const agent = new Agent(options, platform, store, identity);
      await agent.#listen();
      return agent;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(options: ResolvedOptions, platform: Platform, store: Store, identity: Identity) {
    super();
    this.#options = options;
    this.#platform = platform;
    this.#env = platform.env;
    this.#store = store;
    this.#identity = identity;
    this.#credentials = new Credentials(store, options);
    this.#map = loadClusterMap(store);
    this.#process = `${platform.pid} ${platform.env.wallTime()} ${platform.env.now()}`;
    this.registry = options.registry instanceof Registry ? options.registry : new Registry();
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    this.#upstream = new Upstream({
      send: (to, parts) => this.#transport.send(to, 'client', parts),
      isWell: (id) => (this.#joined?.gossip.member(id)?.state ?? 'alive') === 'alive',
      now: () => platform.env.now(),
      after: (delayMs, task) => platform.env.after(delayMs, task),
      random: () => platform.env.random(),
      soon: (task) => platform.env.soon(task),
    });
    // Its own, not a member's: an agent is a peer there.
    this.dht = new DhtService((action) => this.#whileJoined(({ dht }) => action(dht)));
    this.members = {
      ...this.memberChanges,
      list: async ({ signal } = {}) => {
        signal?.throwIfAborted();
        return await this.#whileJoined(() => this.cluster().members);
      },
      watch: ({ signal } = {}) =>
        new Observation<readonly MemberInfo[]>({
          begin: async () => void (await this.members.list()),
          read: () => this.cluster().members,
          text: textOfMembers,
          subscribe: (changed) => this.#joined?.view.subscribe(changed) ?? ((): void => undefined),
          signals: signal === undefined ? [this.#closed.signal] : [signal, this.#closed.signal],
        }),
    };
  }

  get name(): string {
    return this.#options.name;
  }

  get id(): string {
    return this.#identity.id;
  }

  /** '' until it has joined. */
  get clusterId(): string {
    return this.#joined?.clusterId ?? '';
  }

  get address(): string {
    return this.#transport.address;
  }

  get #advertised(): string {
    return this.#options.advertise ?? this.address;
  }

  get url(): string | null {
    return this.#server?.url ?? null;
  }

  get limits(): Limits {
    return this.#options.limits;
  }

  // Callers.

  /** As the member that serves this agent said last, less than three seconds ago; without one, as gossip tells. */
  cluster(): ClusterInfo {
    const { name } = this;
    if (this.#joined === null) return { clusterId: '', name, leader: null, term: 0, revision: 0, members: [] };
    return this.#joined.view.cluster();
  }

  head(): AnswerHead {
    const { revision, term } = this.#upstream;
    return { group: GROUP, revision, term, servedBy: this.name };
  }

  readiness(): Readiness {
    const { size, name } = this.#upstream;
    const checks = [
      { name: 'running', ok: this.#failure === null, detail: this.#failure?.message ?? 'no failure' },
      { name: 'open', ok: this.#closing === null, detail: this.#closing === null ? 'not closing' : 'it is closing' },
      {
        name: 'joined',
        ok: this.#joined !== null,
        detail: this.#joined === null ? 'waiting to join' : `cluster ${this.clusterId}`,
      },
      { name: 'member', ok: size > 0, detail: size > 0 ? `${name} serves it` : 'no member can be reached' },
    ];
    return { ready: checks.every(({ ok }) => ok), checks };
  }

  protected askMember<T>(
    action: (node: RemoteNode) => Promise<T>,
    timeoutMs: number,
    late?: (result: T) => void,
  ): Promise<T> {
    return this.#whileJoined(() => this.#upstream.ask(action, timeoutMs, late));
  }

  async #whileJoined<T>(action: (joined: Joined) => T | Promise<T>): Promise<T> {
    if (this.#closing !== null || this.#failure !== null) throw new KvorumError('ERR_CLOSED', 'the agent is closed');
    if (this.#joined === null) throw new KvorumError('ERR_NO_LEADER', 'the agent has not joined its cluster yet');
    return await action(this.#joined);
  }

  // Coming up.

  async #listen(): Promise<void> {
    const { name, listen, join, logger, replaces } = this.#options;
    if (replaces !== null) throw new KvorumError('ERR_CONFIG', 'an agent takes nobody’s place: it has none');
    if (this.#map === null) {
      this.#credentials.assertAny();
      this.#joining = new Joining({
        store: this.#store,
        env: this.#env,
        name,
        bootEpoch: this.#identity.bootEpoch,
        addresses: join ?? [],
        role: 'agent',
        replaces: null,
        log: (message) => logger.info({ node: name }, message),
      });
    }
    this.#transport = await this.#platform.createTransport({
      privateKey: this.#identity.privateKey,
      listen,
      credential: () => this.#credentials.current(),
      wallTime: () => this.#env.wallTime(),
      logger,
      handlers: {
        hello: () => this.#hello(),
        admit: (hello, credential) => judgePeer(this.#standing, hello, credential),
        frame: (from, channel, frame, credential) => this.#frame(from, channel, frame, credential),
        peer: (event) => this.#peer(event),
        dialled: (address, id) => this.#joining?.dialled(address, id),
        // Agents come and go, like this one.
        transient: isAgent,
      },
    });
    this.#links = new LinkPool({
      env: this.#env,
      transport: this.#transport,
      isKept: (id) => this.#joined?.view.isMember(id) ?? true,
      unreached: (id, tried) => this.#joined?.dht.unreached(id, tried),
    });
  }

  /** Rejects as `Joining.run`, or with the signal's reason; it is to be closed then. */
  async join(): Promise<void> {
    const { logger, name, signal, metadata, gossip: settings } = this.#options;
    const env = this.#env;
    if (this.#joining !== null) {
      this.#map = await this.#joining.run(this.#transport, { signal });
      keepLinksOf(this.#transport, this.#map.clusterId);
    }
    const map = this.#map as ClusterMap;
    const gossip = new GossipDriver({
      env,
      identity: this.#identity,
      clusterId: map.clusterId,
      name,
      role: () => 'agent',
      addresses: () => [this.#advertised],
      http: () => this.url ?? '',
      metadata,
      links: this.#links,
      peerIdOf: (id) => this.#transport.peer(id)?.hello.peerId,
      store: this.#store,
      staged: () => this.#commitLater(),
      logger,
      settings,
      changed: (effect) => {
        this.#heard(effect);
        dht.heard(effect);
      },
    });
    const dht = new Participant({
      ...{ env, name, logger, gossip, identity: this.#identity, clusterId: map.clusterId, group: GROUP },
      ...{ links: this.#links, transport: this.#transport },
      role: () => 'agent',
      address: () => this.#advertised,
      http: () => this.url ?? '',
      hasReplica: () => false,
    });
    const view = new AgentView({
      env,
      clusterId: map.clusterId,
      name,
      gossip,
      links: this.#links,
      upstream: this.#upstream,
      contacts: [...loadContacts(this.#store), ...map.members.map(({ address }) => address)],
      findMembers: () => dht.findMembers(),
      logger,
    });
    this.#joined = { clusterId: map.clusterId, gossip, dht, view };
    for (const peer of this.#transport.peers()) if (!isAgent(peer.hello)) this.#upstream.up(peer);
    registerGossipMetrics(this.registry, gossip, { links: this.#links });
    dht.register(this.registry);
    view.start();
    const linked = this.#transport.peers().map(({ hello }) => ({ peerId: hello.peerId, addresses: [hello.address] }));
    const members = map.members.map(({ peerId, name: member, address }) => ({
      ...{ peerId, name: member, addresses: [address] },
    }));
    gossip.start([...linked, ...members]);
    dht.start(members);
    logger.info({ node: name, id: this.id, cluster: map.clusterId, address: this.address }, 'joined as an agent');
  }

  /**
   * Who is dead answers nobody: what it was asked is not waited for, though its link may stand. That goes too, for should the member be alive after all, it would answer on it to what was asked
   * before.
   */
  #heard({ event, id }: MemberEffect): void {
    if (event === 'dead' && this.#upstream.has(id)) {
      this.#upstream.down(id);
      this.#transport.hangUp(id);
    }
    // It may have been forgotten meanwhile, and come anew.
    const peer = event === 'alive-again' || event === 'up' ? this.#transport.peer(id) : undefined;
    if (peer !== undefined && !isAgent(peer.hello) && !this.#upstream.has(id)) this.#upstream.up(peer);
  }

  /** Serves the agent until it is closed. */
  serve(server: Server): void {
    this.#server = server;
  }

  // Peers.

  get #standing(): AgentStanding {
    return { clusterId: this.#map?.clusterId ?? null, joining: this.#joining };
  }

  #hello(): Hello {
    const clusterId = this.#map?.clusterId ?? null;
    return {
      clusterId,
      id: this.#identity.id,
      name: this.name,
      peerId: this.#identity.peerId,
      bootEpoch: this.#identity.bootEpoch,
      address: this.#advertised,
      http: this.url ?? '',
      pid: this.#platform.pid,
      protocol: PROTOCOL_VERSION,
      extra: { role: 'agent', process: this.#process, ...(clusterId === null ? { join: 'agent' } : {}) },
    };
  }

  #frame(from: string, channel: Channel, frame: Uint8Array, credential: PeerCredential): void {
    // Who has no more than a ticket has nothing to ask here, whatever cluster it says that it is of: an agent lets nobody in.
    if (credential.type === 'token') return this.#transport.hangUpTokenLinks(from);
    if (this.#joining?.frame(from, channel, frame) === true) return;
    const joined = this.#joined;
    if (joined === null || this.#failure !== null) return;
    this.#links.heard(from);
    switch (channel) {
      case 'ping':
      case 'gossip':
        return joined.gossip.frame(from, frame);
      case 'dht':
        return joined.dht.frame(from, frame);
      case 'client':
        return this.#upstream.frame(from, frame);
      default:
        throw new KvorumError('ERR_INVALID_ARGUMENT', `an agent does not speak on the ${channel} channel`);
    }
  }

  #peer(event: PeerEvent): void {
    const { logger, name } = this.#options;
    this.#joining?.peer(event);
    if (event.type === 'refused') {
      logger.warn({ node: name, address: event.address, code: event.code, by: event.by }, event.message);
      return;
    }
    const { peer } = event;
    const clusterId = this.#map?.clusterId ?? null;
    if (event.type === 'up' && isOfAnother(peer.hello, clusterId)) {
      dropStranger(this.#transport, peer.id, peer.hello, clusterId);
    } else if (event.type === 'up') {
      if (this.#joined !== null && !isAgent(peer.hello)) this.#upstream.up(peer);
      this.#links.up(peer);
      this.#joined?.gossip.reachable(peer.id);
      this.#joined?.dht.peerUp(peer);
    } else if (event.type === 'down') {
      this.#upstream.down(peer.id);
      this.#links.down(peer.id);
    }
  }

  #commitLater(): void {
    this.#store.commit(false, (error) => {
      if (error === null || this.#failure !== null || this.#closing !== null) return;
      this.#failure = KvorumError.is(error)
        ? error
        : new KvorumError('ERR_STORE_POISONED', error.message, { cause: error });
      this.#fail(this.#failure);
    });
  }

  // Going down.

  close({ drainTimeoutMs = 2000 }: { drainTimeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(drainTimeoutMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(drainTimeoutMs: number): Promise<void> {
    const deadline = this.#env.now() + drainTimeoutMs;
    const left = (): number => Math.max(0, deadline - this.#env.now());
    this.#server?.stopAccepting();
    this.#closed.abort();
    const leavingMs = Math.min(LEAVE_TIMEOUT_MS, left());
    const leaving = Promise.all([this.#joined?.dht.leave(leavingMs), this.#joined?.gossip.leave(leavingMs)]);
    try {
      await this.#server?.close({ drainTimeoutMs: left() });
      await leaving;
    } finally {
      this.#joined?.view.close();
      this.#joined?.gossip.close();
      this.#joined?.dht.close();
      this.#upstream.close(new KvorumError('ERR_CLOSED', 'the agent is closed'));
      this.#links.close();
      await this.#transport.close();
      await this.#closeStore();
    }
  }

  async #closeStore(): Promise<void> {
    try {
      // What it was about to remember of the others.
      if (this.#failure === null) await commit(this.#store);
    } catch (error) {
      const { logger, name } = this.#options;
      logger.warn({ node: name, error: String(error) }, 'what the agent knew of the others could not be kept');
    } finally {
      await this.#store.close();
    }
  }
}
