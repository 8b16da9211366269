/**
 * A whole cluster in one process, without a clock, a socket or a file: the nodes that ship, on virtual time, disk and network. One seed
 * decides everything, so that what happened once happens again.
 */
import { clientOver, type Client } from '../client/client.ts';
import { text } from '../client/codec.ts';
import type { ConnectOptions } from '../client/options.ts';
import type { Platform } from '../node/platform.ts';
import type { GossipTiming, Limits, NodeOptions, StoreSettings, Timing } from '../node/types.ts';
import { MemoryNetwork, type MemoryNetworkOptions } from '../transport/memory-transport.ts';
import { Random } from './random.ts';
import { SimNode } from './sim-node.ts';
import { SimTransport } from './sim-transport.ts';
import { VirtualTime } from './virtual-time.ts';

export interface SimClusterOptions {
  /** Decides all chance: time-outs, delays, keys. Default 1. */
  readonly seed?: number;
  /** Default 3; they are called n1, n2, … */
  readonly nodes?: number;
  readonly timing?: Partial<Timing>;
  readonly limits?: Partial<Limits>;
  /** How nodes watch each other. */
  readonly gossip?: Partial<GossipTiming>;
  /** How much is kept and stored. */
  readonly store?: Partial<StoreSettings>;
  /** How a frame travels. Default: 0.5 to 1.5 ms one way, none is lost. */
  readonly network?: Partial<Pick<MemoryNetworkOptions, 'delayMs' | 'lose'>>;
  /** How long a disk write of a node takes. Default 0.3 ms. */
  readonly writeMs?: (name: string) => number;
  /** How fast the clock of a node runs. Default 1. */
  readonly clockRate?: (name: string) => number;
  /** Looks on, or exchanges a part of what a node stands on. */
  readonly platform?: (node: SimNode, platform: Platform) => Platform;
  /** The process of a node has ended, however it did. */
  readonly ended?: (node: SimNode) => void;
}

/** Of `client()`. */
export type SimClientOptions = Omit<ConnectOptions, 'token' | 'fetch' | 'secret' | 'name' | 'environment' | 'discover'>;

/** Of a node that joins: as what, and in whose place. */
export type SimJoinOptions = Pick<NodeOptions, 'role' | 'replaces' | 'joinToken' | 'metadata'>;

const SECRET = 'a secret that all simulated nodes share';

/** Virtual milliseconds within which a cluster must come up, and a promise given to `run` must settle. */
const LIMIT_MS = 60_000;

export class SimCluster {
  readonly time = new VirtualTime();
  readonly network: MemoryNetwork;
  readonly nodes: SimNode[];
  readonly random: Random;
  readonly #options: SimClusterOptions;

  /** All nodes are down. */
  constructor(options: SimClusterOptions = {}) {
    const { seed = 1, nodes = 3, network } = options;
    this.#options = options;
    this.random = new Random(seed);
    const delays = this.random.fork();
    const redials = this.random.fork();
    this.network = new MemoryNetwork({
      schedule: (delayMs, task) => this.time.schedule(delayMs, task),
      random: () => redials.float(),
      delayMs: network?.delayMs ?? (() => 0.5 + delays.float()),
      ...(network?.lose === undefined ? {} : { lose: network.lose }),
    });
    const names = Array.from({ length: nodes }, (_, i) => `n${i + 1}`);
    const initialCluster = Object.fromEntries(names.map((name) => [name, `${name}:1`]));
    this.nodes = names.map((name) => this.#make(name, { initialCluster }));
  }

  #make(name: string, given: Partial<NodeOptions>): SimNode {
    const { timing, gossip, limits, store, writeMs, clockRate, platform, ended } = this.#options;
    const rate = clockRate?.(name);
    return new SimNode({
      name,
      time: this.time,
      network: this.network,
      random: this.random.fork(),
      options: {
        name,
        listen: `${name}:1`,
        secret: SECRET,
        ...(timing === undefined ? {} : { timing }),
        ...(gossip === undefined ? {} : { gossip }),
        ...(limits === undefined ? {} : { limits }),
        ...(store === undefined ? {} : { store }),
        ...given,
      },
      writeMs: () => writeMs?.(name) ?? 0.3,
      ...(rate === undefined ? {} : { clockRate: rate }),
      ...(platform === undefined ? {} : { platform }),
      ...(ended === undefined ? {} : { ended }),
    });
  }

  /**
   * One more node, which is down: when it is started it joins the cluster by any of the nodes that there are. `replaces`: the name of the member whose place it takes. A name that was there
   * before is a new node on an empty disk, whose predecessor must be down.
   */
  add(name: string, options: SimJoinOptions = {}): SimNode {
    const before = this.nodes.findIndex((node) => node.name === name);
    if (before >= 0 && this.nodes[before]!.alive) throw new Error(`${name} runs`);
    const join = this.nodes.filter((_, i) => i !== before).map(({ address }) => address);
    const node = this.#make(name, { join, ...options });
    if (options.joinToken !== undefined) {
      // It has the ticket in the place of the secret.
      const { secret: _, ...rest } = node.options;
      node.options = rest;
    }
    if (before >= 0) this.nodes[before] = node;
    else this.nodes.push(node);
    return node;
  }

  /** Virtual milliseconds since the beginning. */
  get now(): number {
    return this.time.now;
  }

  node(name: string): SimNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  }

  /** The node that leads, as it says itself; of several, the one of the highest term. */
  get leader(): SimNode | null {
    let best: SimNode | null = null;
    let highest = -1;
    for (const node of this.nodes) {
      if (node.state !== 'running') continue;
      const { leader, term } = node.node.cluster();
      if (leader === node.name && term > highest) {
        best = node;
        highest = term;
      }
    }
    return best;
  }

  /** Starts all nodes that are down, and moves time until each is ready. */
  async start(): Promise<void> {
    const started = this.nodes.filter((node) => !node.alive);
    for (const node of started) void node.start();
    await this.until(
      () =>
        started.every((node) => {
          if (node.failure !== null) throw node.failure;
          return node.state === 'running' && node.node.readiness().ready;
        }),
      'all nodes are ready',
    );
  }

  /**
   * A client of the cluster, as services have it (`kvorum/client`), on virtual time: fails over between the nodes, repeats what is safe, keeps its leases and fences its locks. Give what
   * it promises to `run`, and its `close()` too.
   *
   * @example
   * const client = cluster.client();
   * const lock = await cluster.run(client.lock('orders/42', { wait: '5s' }));
   */
  client(options: SimClientOptions = {}): Client {
    const dice = this.random.fork();
    const environment = {
      now: () => this.time.now,
      random: () => dice.float(),
      after: (delayMs: number, task: () => void) => this.time.schedule(delayMs, task),
    };
    const transports = this.nodes.map((node) => new SimTransport(node));
    return clientOver(transports, text, { ...options, environment });
  }

  /** Moves time on. */
  async advance(ms: number): Promise<void> {
    await this.time.pass(ms);
  }

  /** Moves time on until the promise settles, at most `limitMs`, and gives back what it settled with. */
  run<T>(promise: Promise<T>, limitMs = LIMIT_MS): Promise<T> {
    return this.time.settle(promise, limitMs);
  }

  /** Moves time on until the condition holds; throws, naming `what`, when that takes longer than `limitMs`. */
  async until(condition: () => boolean, what: string, limitMs = LIMIT_MS): Promise<void> {
    try {
      await this.time.run(condition, limitMs);
    } catch (cause) {
      throw new Error(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }

  /** Nothing passes between nodes of different sides. Nodes that no side names keep all their links. */
  partition(...sides: readonly (readonly string[])[]): void {
    for (const one of sides) {
      for (const other of sides) {
        if (one === other) continue;
        for (const a of one) for (const b of other) this.network.cut(this.node(a).address, this.node(b).address);
      }
    }
  }

  /** Ends all processes. Calls that are open reject with ERR_CLOSED. */
  close(): void {
    for (const node of this.nodes) node.crash();
  }

  /** Mends all links. */
  heal(): void {
    this.network.healAll();
  }
}

/** A cluster that has come up: every node is ready. Rejects when a node could not start, with its error. */
export async function simCluster(options: SimClusterOptions = {}): Promise<SimCluster> {
  const cluster = new SimCluster(options);
  await cluster.start();
  return cluster;
}
