/** A node: opens the disk, joins its cluster, runs the replica loop and answers callers. The only shell. */
import { Registry } from 'prom-client';
import { KvorumError } from '../errors.ts';
import type { NodeId, SoftState } from '../raft/types.ts';
import type { Store } from '../storage/types.ts';
import type { Channel, Transport } from '../transport/types.ts';
import type { Environment } from './env.ts';
import { AgentGate, isAgent } from './agents.ts';
import { flushApplied, handOver, until } from './farewell.ts';
import { registerGossipMetrics } from './gossip/metrics.ts';
import { Liveness } from './gossip/liveness.ts';
import { openIdentity, type Identity } from './identity.ts';
import { checkTimeout } from './calls.ts';
import type {
  Barriers,
  Counters,
  Elections,
  Leases,
  Locks,
  TxnAnswer,
  TxnRequest,
  Watch,
  WatchOptions,
} from './coordination.ts';
import { Credentials } from './credentials.ts';
import { deferServices } from './deferred.ts';
import type { OwnDht } from './dht-types.ts';
import { DhtService } from './dht/service.ts';
import { Doorkeeper } from './doorkeeper.ts';
import { Entrance } from './entrance.ts';
import { IndexNotes } from './index-notes.ts';
import { LinkPool } from './links.ts';
import type { Joined } from './joined.ts';
import { Loop } from './loop.ts';
import { MemberDuties } from './member-duties.ts';
import { MemberService } from './member-service.ts';
import type { Members } from './member-types.ts';
import { describeCluster, type MemberSources } from './members.ts';
import { PeerMemory } from './peer-memory.ts';
import { registerMetrics } from './metrics.ts';
import { resolveOptions, type ResolvedOptions } from './options.ts';
import type { Platform } from './platform.ts';
import { raftOptions } from './raft-options.ts';
import { readinessOf } from './readiness.ts';
import { isClient, RemoteServer } from './remote/server.ts';
import { Replica } from './replica.ts';
import { Services } from './services.ts';
import { PeerDispatcher, type Seen } from './peer-dispatcher.ts';
import { Transfer } from './transfer.ts';
import type {
  AnswerHead,
  CallOptions,
  ClusterInfo,
  DeleteAnswer,
  GetAnswer,
  Key,
  KvorumNode,
  Limits,
  ListAnswer,
  ListOptions,
  MutationOptions,
  NodeOptions,
  PutAnswer,
  PutOptions,
  Readiness,
  ReadOptions,
  Value,
  WriteOptions,
  Written,
} from './types.ts';

/** The one group of today; the number is in every key and message, so that there can be more. */
const GROUP = 1;
const NOTE_EVERY_MS = 250;
/** How often the leader looks whether something is to be done for the members. */
const KEEP_MEMBERS_EVERY_MS = 100;
const DRAIN_TIMEOUT_MS = 2000;
/** How long a node that goes waits for others to have heard of it. */
const LEAVE_TIMEOUT_MS = 1000;

/** Something that serves the node, and is closed with it. */
export interface Server {
  readonly url: string;
  stopAccepting(): void;
  close(options: { drainTimeoutMs: number }): Promise<void>;
}

export class Node implements KvorumNode {
  readonly failed: Promise<Error>;
  readonly registry: Registry;
  readonly leases: Leases;
  readonly locks: Locks;
  readonly elections: Elections;
  readonly barriers: Barriers;
  readonly counters: Counters;
  readonly members: Members;
  readonly dht: OwnDht;
  readonly #options: ResolvedOptions;
  readonly #platform: Platform;
  readonly #env: Environment;
  readonly #store: Store;
  readonly #identity: Identity;
  readonly #loop: Loop;
  /** What peers said of themselves when they were last here. */
  readonly #seen = new Map<NodeId, Seen>();
  readonly #credentials: Credentials;
  #entrance!: Entrance;
  #doorkeeper!: Doorkeeper;
  #memory!: PeerMemory;
  #dispatcher!: PeerDispatcher;
  #transport!: Transport;
  #links!: LinkPool;
  readonly #agents = new AgentGate((id) => this.#transport.peer(id));
  #stopBeats: (() => void) | null = null;
  /** Callers that are no members. */
  readonly #remote: RemoteServer;
  #joined: Joined | null = null;
  #server: Server | null = null;
  #failure: KvorumError | null = null;
  /** Aborted when the node closes. */
  readonly #leaving = new AbortController();
  #fail!: (error: Error) => void;
  #closing: Promise<void> | null = null;

  /**
   * Opens the disk and the peer port. Rejects with ERR_CONFIG, ERR_DATA_DIR_IN_USE, ERR_DATA_DIR_FOREIGN, ERR_DATA_VERSION, ERR_CORRUPT or
   * ERR_ADDRESS_IN_USE, and has let go of everything then.
   */
  static async open(given: NodeOptions, platform: Platform): Promise<Node> {
    const options = resolveOptions(given);
    const { logger } = options;
    const store = await platform.openStore({
      directory: options.dataDir,
      log: (message) => logger.warn({ node: options.name }, message),
    });
    try {
      const node = new Node(options, platform, store, await openIdentity(store, () => platform.createKey()));
      await node.#listen();
      return node;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(options: ResolvedOptions, platform: Platform, store: Store, identity: Identity) {
    this.#options = options;
    this.#platform = platform;
    this.#env = platform.env;
    this.#store = store;
    this.#identity = identity;
    this.#credentials = new Credentials(store, options);
    this.registry = options.registry instanceof Registry ? options.registry : new Registry();
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    const deferred = deferServices((action) => this.#serving(({ services }) => action(services)));
    this.leases = deferred.leases;
    this.locks = deferred.locks;
    this.elections = deferred.elections;
    this.barriers = deferred.barriers;
    this.counters = deferred.counters;
    this.members = new MemberService({
      list: () => this.#serving(() => Promise.resolve(this.cluster().members)),
      current: () => this.cluster().members,
      subscribe: (changed) => this.#joined?.liveness.subscribe(changed) ?? (() => undefined),
      closed: this.#leaving.signal,
      call: (operation, timeoutMs, signal) =>
        this.#serving(({ members }) => members.call(operation, timeoutMs, signal)),
      secret: () => this.#credentials.secret,
      clusterId: () => this.clusterId,
      wallTime: () => this.#env.wallTime(),
      random: () => this.#env.random(),
    });
    this.dht = new DhtService((action) => this.#serving(({ liveness }) => action(liveness.dht)));
    this.#remote = new RemoteServer({
      node: this,
      env: this.#env,
      maxClients: options.limits.maxClients,
      send: (to, parts) => this.#transport.send(to, 'client', parts),
      queuedBytes: (to) => this.#transport.queuedBytes(to, 'client'),
      drop: (id, code, message) => this.#transport.drop(id, code, message),
    });
    this.#loop = new Loop({
      env: this.#env,
      store,
      tickMs: options.timing.tickMs,
      failed: (error) => this.#stopped(error),
    });
  }

  get name(): string {
    return this.#options.name;
  }

  get id(): string {
    return this.#identity.id;
  }

  /** '' until the node has joined its cluster. */
  get clusterId(): string {
    return this.#joined?.clusterId ?? '';
  }

  get address(): string {
    return this.#transport.address;
  }

  /** How others reach this node: what the initial cluster says, since the address listened on may be a wildcard. */
  get #advertised(): string {
    const { advertise, initialCluster } = this.#options;
    if (advertise !== null) return advertise;
    const given = initialCluster[this.name];
    return given === undefined || given.endsWith(':0') ? this.address : given;
  }

  get url(): string | null {
    return this.#server?.url ?? null;
  }

  get limits(): Limits {
    return this.#options.limits;
  }

  // Callers.

  put(key: Key, value: Value, options?: PutOptions): Promise<PutAnswer> {
    return this.#serving(({ services }) => services.kv.put(key, value, options));
  }

  get(key: Key, options?: ReadOptions): Promise<GetAnswer> {
    return this.#serving(({ services }) => services.kv.get(key, options));
  }

  delete(key: Key, options?: WriteOptions): Promise<DeleteAnswer> {
    return this.#serving(({ services }) => services.kv.delete(key, options));
  }

  deleteRange(
    range: { prefix: Key } | { start: Key; end: Key | null },
    options?: MutationOptions,
  ): Promise<DeleteAnswer> {
    return this.#serving(({ services }) => services.kv.deleteRange(range, options));
  }

  list(options?: ListOptions): Promise<ListAnswer> {
    return this.#serving(({ services }) => services.kv.list(options));
  }

  txn(request: TxnRequest, options?: MutationOptions): Promise<TxnAnswer> {
    return this.#serving(({ services }) => services.txn(request, options));
  }

  watch(options?: WatchOptions): Promise<Watch> {
    return this.#serving(({ services }) => services.watch(options));
  }

  compact(revision: number, options?: MutationOptions): Promise<Written & { readonly compactedRevision: number }> {
    return this.#serving(({ services }) => services.compact(revision, options));
  }

  transferLeadership(to?: string, options: CallOptions = {}): Promise<{ leader: string | null }> {
    return this.#serving(async ({ replica, transfer }) => {
      const { members } = replica.machine;
      const member = members.find(({ id, name }) => id === to || name === to);
      if (to !== undefined && member === undefined) {
        throw new KvorumError('ERR_NOT_FOUND', `there is no member ${JSON.stringify(to)}`);
      }
      const leader = await transfer.transfer(member?.id ?? null, checkTimeout(options.timeoutMs));
      return { leader: members.find(({ id }) => id === leader)?.name ?? null };
    });
  }

  /** An error is always a rejection, never thrown: callers have one way to look at. */
  async #serving<T>(action: (joined: Joined) => Promise<T>): Promise<T> {
    if (this.#closing !== null || this.#failure !== null) {
      const options = this.#failure === null ? {} : { cause: this.#failure };
      throw new KvorumError('ERR_CLOSED', 'the node is closed', options);
    }
    if (this.#joined === null) throw new KvorumError('ERR_NO_LEADER', 'the node has not joined its cluster yet');
    return action(this.#joined);
  }

  cluster(): ClusterInfo {
    const sources = this.#sources();
    if (sources !== null) return describeCluster(sources);
    return { clusterId: '', name: this.name, leader: null, term: 0, revision: 0, members: [] };
  }

  /** All that tells of the members; null until this node is one. */
  #sources(): MemberSources | null {
    if (this.#joined === null) return null;
    const { clusterId, replica, liveness } = this.#joined;
    const { id, name, address, url: http } = this;
    const from = { transport: this.#transport, lastSeen: this.#seen, nowMs: this.#env.now(), pid: this.#platform.pid };
    return { id, name, address, http, clusterId, replica, liveness, ...from };
  }

  head(): AnswerHead {
    const replica = this.#joined?.replica;
    return {
      group: GROUP,
      revision: replica?.machine.revision ?? 0,
      term: replica?.term ?? 0,
      servedBy: this.name,
    };
  }

  readiness(): Readiness {
    return readinessOf({
      failure: this.#failure,
      closing: this.#closing !== null,
      joining: this.#entrance.joining !== null,
      clusterId: this.clusterId,
      replica: this.#joined?.replica ?? null,
    });
  }

  // Coming up.

  async #listen(): Promise<void> {
    const { name, listen, logger } = this.#options;
    this.#entrance = new Entrance({
      options: this.#options,
      store: this.#store,
      group: GROUP,
      identity: this.#identity,
      env: this.#env,
      credentials: this.#credentials,
    });
    this.#memory = new PeerMemory(this.#store.node);
    this.#doorkeeper = new Doorkeeper({
      name,
      identity: this.#identity,
      process: `${this.#platform.pid} ${this.#env.wallTime()} ${this.#env.now()}`,
      pid: this.#platform.pid,
      groups: new Map([[GROUP, this.#store.group(GROUP)]]),
      bootstrap: this.#entrance.bootstrap,
      joining: this.#entrance.joining,
      memory: this.#memory,
      address: () => this.#advertised,
      http: () => this.url ?? '',
      members: () => this.#joined?.replica.machine.memberMap ?? null,
      judgeCaller: (hello) => this.#remote.judge(hello),
    });
    this.#dispatcher = new PeerDispatcher({
      name,
      logger,
      entrance: this.#entrance,
      agents: this.#agents,
      remote: this.#remote,
      seen: this.#seen,
      transport: () => this.#transport,
      links: () => this.#links,
      joined: () => this.#joined,
      hasFailed: () => this.#failure !== null,
      fail: (error) => this.#loop.fail(error),
    });
    this.#transport = await this.#platform.createTransport({
      privateKey: this.#identity.privateKey,
      listen,
      credential: () => this.#credentials.current(),
      wallTime: () => this.#env.wallTime(),
      logger,
      handlers: {
        hello: () => this.#doorkeeper.hello(),
        admit: (hello, credential) => this.#doorkeeper.admit(hello, credential),
        frame: (from, channel, frame, credential) => this.#dispatcher.frame(from, channel, frame, credential),
        peer: (event) => this.#dispatcher.peer(event),
        dialled: (address, id) => this.#entrance.dialled(address, id),
        // They come and go.
        transient: (hello) => isClient(hello) || isAgent(hello),
      },
    });
    this.#links = new LinkPool({
      env: this.#env,
      transport: this.#transport,
      isKept: (id) => this.#joined?.members.keeps(id) ?? true,
      // It calls over the link that there is, whoever made it.
      mayWait: (id) => this.#agents.has(id),
      unreached: (id, tried) => this.#joined?.liveness.dht.unreached(id, tried),
    });
    const { peerId, bootEpoch } = this.#identity;
    logger.info({ node: name, peerId, bootEpoch, address: this.address }, 'listening for peers');
  }

  /**
   * Joins the cluster: waits for every first member at the first start. Rejects as `Bootstrap.run`, or with the signal's reason; the node is
   * to be closed then.
   */
  async join(): Promise<void> {
    const { limits, logger, name } = this.#options;
    const map = await this.#entrance.enter(this.#transport);
    const env = this.#env;
    const store = this.#store.group(GROUP);
    const send = (to: string, channel: Channel, parts: readonly Uint8Array[]): boolean =>
      this.#transport.send(to, channel, parts);
    const replica = await Replica.open({
      env,
      group: GROUP,
      id: this.#identity.id,
      clusterId: map.clusterId,
      bootEpoch: this.#identity.bootEpoch,
      store,
      raft: raftOptions(this.#options.timing, limits),
      limits,
      send,
      wake: () => this.#loop.wake(),
      softStateChanged: (state) => this.#softStateChanged(state),
      applied: (effects, now) => this.#joined?.services.applied(effects, now),
      stateReplaced: () => this.#joined?.services.stateReplaced(),
      configurationChanged: () => {
        this.#joined?.members.configurationChanged();
        this.#joined?.liveness.changed();
      },
      failed: (error) => this.#loop.fail(error),
      createCore: this.#platform.createCore,
    });
    this.#loop.add(replica);
    this.#joined = {
      clusterId: map.clusterId,
      replica,
      services: new Services({
        replica,
        env,
        limits,
        store: this.#options.store,
        warn: (error, message) => logger.warn({ node: name, err: error }, message),
      }),
      transfer: new Transfer({ env, replica, bootEpoch: this.#identity.bootEpoch, send }),
      members: new MemberDuties({
        env,
        map,
        identity: this.#identity,
        replica,
        store: this.#store,
        transport: this.#transport,
        links: this.#links,
        electionTimeoutMs: this.#options.timing.electionTimeoutMs,
        secret: () => this.#credentials.secret,
        ownAddress: () => this.#advertised,
        staged: () => this.#commitLater(),
        forget: (id) => {
          this.#doorkeeper.forget(id);
          this.#seen.delete(id);
        },
        removed: (error) => {
          if (this.#closing === null) this.#loop.fail(error);
        },
      }),
      liveness: new Liveness({
        env,
        identity: this.#identity,
        map,
        group: GROUP,
        name,
        metadata: this.#options.metadata,
        replica,
        links: this.#links,
        transport: this.#transport,
        store: this.#store,
        logger,
        settings: this.#options.gossip,
        address: () => this.#advertised,
        http: () => this.url ?? '',
        staged: () => this.#commitLater(),
      }),
      notes: new IndexNotes({ replica, memory: this.#memory, send }),
    };
    const { liveness, members, notes, services } = this.#joined;
    members.configurationChanged();
    this.#platform.joined?.(this.#joined);
    registerMetrics(this.registry, {
      replica,
      services,
      store: this.#store,
      transport: this.#transport,
      remote: this.#remote,
    });
    registerGossipMetrics(this.registry, liveness.gossip, { links: this.#links, agents: this.#agents });
    liveness.dht.register(this.registry);
    this.#loop.start();
    liveness.start();
    const stopNoting = env.every(NOTE_EVERY_MS, () => {
      if (this.#failure === null && notes.tick(env.now())) this.#commitLater();
    });
    const stopKeeping = env.every(KEEP_MEMBERS_EVERY_MS, () => {
      if (this.#failure === null) members.tick();
    });
    this.#stopBeats = () => {
      stopNoting();
      stopKeeping();
    };
    logger.info({ node: name, id: this.id, cluster: map.clusterId, address: this.address }, 'joined the cluster');
  }

  /** Serves the node until it is closed, and tells peers where. Given before `join`, so that probes are answered while it waits. */
  serve(server: Server): void {
    this.#server = server;
  }

  #commitLater(): void {
    // What a turn that failed has staged is not to come to the disk by another's hand.
    if (this.#failure !== null) return;
    this.#store.commit(false, (error) => {
      if (error !== null) this.#loop.fail(error);
    });
  }

  #softStateChanged({ role, leader }: SoftState): void {
    const { logger, name } = this.#options;
    const members = this.#joined?.replica.machine.members ?? [];
    logger.info(
      { node: name, role, leader: members.find(({ id }) => id === leader)?.name ?? leader },
      leader === null ? 'no leader is known' : 'a leader is known',
    );
    this.#joined?.liveness.changed();
  }

  // Going down.

  /** The loop has stopped by itself: nothing is acknowledged any more. */
  #stopped(error: KvorumError): void {
    this.#failure = error;
    this.#options.logger.error(
      { node: this.name, code: error.code, err: error },
      `the node has stopped: ${error.message}`,
    );
    this.#joined?.members.close(
      new KvorumError('ERR_CLOSED', `the node has stopped: ${error.message}`, { cause: error }),
    );
    // Its links would go on to say that it is alive.
    void this.#joined?.liveness.leave(LEAVE_TIMEOUT_MS);
    this.#fail(error);
  }

  close({ drainTimeoutMs = DRAIN_TIMEOUT_MS }: { drainTimeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(drainTimeoutMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(drainTimeoutMs: number): Promise<void> {
    const deadline = this.#env.now() + drainTimeoutMs;
    const left = (): number => Math.max(0, deadline - this.#env.now());
    const server = this.#server;
    server?.stopAccepting();
    // Whoever watches goes on elsewhere.
    this.#joined?.services.close();
    this.#leaving.abort();
    this.#joined?.members.close(new KvorumError('ERR_CLOSED', 'the node is closed'));
    const env = this.#env;
    const warn = (error: unknown, message: string): void =>
      this.#options.logger.warn({ node: this.name, err: error }, message);
    const joined = this.#joined;
    const leaving = joined?.liveness.leave(Math.min(LEAVE_TIMEOUT_MS, left()));
    if (joined !== null && this.#failure === null) {
      const { replica, transfer } = joined;
      await handOver(replica, transfer, Math.min(left(), this.#options.timing.electionTimeoutMs), warn);
      await until(env, () => replica.idle || this.#failure !== null, left());
    }
    try {
      await server?.close({ drainTimeoutMs: left() });
      await leaving;
    } finally {
      // Whatever the server had to say: port and directory are free when this ends.
      this.#stopBeats?.();
      joined?.liveness.close();
      this.#links.close();
      this.#loop.stop(new KvorumError('ERR_CLOSED', 'the node is closed'));
      if (joined !== null && this.#failure === null) await flushApplied(this.#store, GROUP, warn);
      this.#remote.close();
      await this.#transport.close();
      await this.#store.close();
    }
  }
}
