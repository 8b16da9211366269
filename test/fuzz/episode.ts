/**
 * A cluster with an agent, on virtual time, whose own traffic is recorded, damaged and thrown back at its nodes as if a peer had sent it. Nothing may come of it but refusals: no node stops,
 * no handler throws anything but a KvorumError, replicas stay the same, the cluster serves, and what nodes keep of peers stays within its bounds.
 *
 * Not on the channels of Raft from a member: a peer with the secret that lies about the log is beyond what Raft promises. There frames are taken apart only (`decodeMessage`), and
 * from an agent, which has no part in Raft, they are all refused.
 */
import { KvorumError } from '../../src/errors.ts';
import type { Replica } from '../../src/node/replica.ts';
import { clusterIdBytes, decodeMessage } from '../../src/node/wire.ts';
import { Random } from '../../src/testing/random.ts';
import { simCluster, type SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { Channel, TransportHandlers } from '../../src/transport/types.ts';
import { mutate } from './mutate.ts';

export interface EpisodeFigures {
  readonly frames: number;
  /** What was done with them, by what was thrown, or `taken`. */
  readonly outcomes: ReadonlyMap<string, number>;
}

interface Sent {
  readonly from: string;
  readonly to: string;
  readonly channel: Channel;
  readonly bytes: Uint8Array;
}

/** Of one kind: channel and first byte. */
const MAX_OF_A_KIND = 40;
const SECRET = { type: 'secret' } as const;
const AGENT = 'a1';
/** Members that gossip may invent, and the real ones: each statement is signed, and signatures cannot be made. */
const MAX_GOSSIP_MEMBERS = 8;
const MAX_TRIES = 3;

export async function playEpisode(seed: number, frames: number): Promise<EpisodeFigures> {
  const episode = new Episode(seed);
  try {
    await episode.begin();
    await episode.record();
    await episode.attack(frames);
    await episode.judge();
    return { frames, outcomes: episode.outcomes };
  } finally {
    episode.end();
  }
}

class Episode {
  readonly outcomes = new Map<string, number>();
  readonly #random: Random;
  readonly #seed: number;
  readonly #handlers = new Map<string, TransportHandlers>();
  readonly #replicas = new Map<string, Replica>();
  readonly #corpus = new Map<string, Sent[]>();
  #cluster!: SimCluster;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new Random(seed);
  }

  async begin(): Promise<void> {
    this.#cluster = await simCluster({
      seed: this.#seed,
      platform: (node, platform) => ({
        ...platform,
        joined: (joined) => {
          this.#replicas.set(node.name, joined.replica);
          platform.joined?.(joined);
        },
        createTransport: (options) => {
          this.#handlers.set(node.name, options.handlers);
          const frame: TransportHandlers['frame'] = (from, channel, bytes, credential) => {
            this.#note({ from, to: node.name, channel, bytes: bytes.slice() });
            options.handlers.frame(from, channel, bytes, credential);
          };
          return platform.createTransport({ ...options, handlers: { ...options.handlers, frame } });
        },
      }),
    });
  }

  end(): void {
    this.#cluster?.close();
  }

  #note(sent: Sent): void {
    const kind = `${sent.channel} ${sent.bytes[0] ?? 'none'}`;
    const known = this.#corpus.get(kind);
    if (known === undefined) this.#corpus.set(kind, [sent]);
    else if (known.length < MAX_OF_A_KIND) known.push(sent);
    else if (this.#random.chance(0.05)) known[this.#random.between(0, known.length - 1)] = sent;
  }

  /** Some of everything that peers say to each other. */
  async record(): Promise<void> {
    const cluster = this.#cluster;
    const agent = cluster.add(AGENT, { role: 'agent', metadata: { zone: 'a' } });
    void agent.start();
    await cluster.until(() => agent.state === 'running' && agent.node.readiness().ready, 'the agent is served');
    const learner = cluster.add('n4', { role: 'learner' });
    void learner.start();
    await cluster.until(() => learner.state === 'running' && learner.node.readiness().ready, 'n4 is ready');
    for (const { node } of cluster.nodes) {
      await cluster.run(node.put('k', 'v', { once: { key: `once-${node.name}` } }));
      await cluster.run(node.get('k'));
      await cluster.run(node.txn({ if: [], then: [{ put: { key: 'k2', value: 'v' } }], else: [] }));
      await cluster.run(node.list({ prefix: 'k' }));
      const { id } = await cluster.run(node.leases.grant({ ttlMs: 60_000 }));
      await cluster.run(node.leases.renew(id));
      await cluster.run(node.locks.acquire(`lock-${node.name}`));
      await cluster.run(node.counters.add('n', 1));
      await cluster.run(node.members.promote('n1'));
      (await cluster.run(node.watch({ prefix: 'k', from: 1 }))).close();
      await cluster.run(node.delete('k2'));
    }
    const { leader } = cluster;
    await cluster.run(leader!.node.transferLeadership());
    await cluster.advance(3000);
  }

  async attack(frames: number): Promise<void> {
    const cluster = this.#cluster;
    const random = this.#random;
    const clusterBytes = clusterIdBytes(cluster.node('n1').node.cluster().clusterId);
    const kinds = [...this.#corpus.keys()].toSorted();
    const idOf = new Map(cluster.nodes.map(({ node, name }) => [name, (node as unknown as { id: string }).id]));
    for (let i = 0; i < frames; i++) {
      const sent = random.pick(this.#corpus.get(random.pick(kinds)) as Sent[]);
      const other = random.pick(this.#corpus.get(random.pick(kinds)) as Sent[]);
      const bytes = mutate(sent.bytes, other.bytes, random);
      const victim = random.pick(cluster.nodes);
      const isRaft = sent.channel === 'raft' || sent.channel === 'snapshot';
      const sender = random.chance(0.7) ? sent.from : (idOf.get(random.pick(cluster.nodes).name) as string);
      const from = isRaft ? (idOf.get(AGENT) as string) : sender;
      if (sent.channel === 'raft')
        this.#tally('decoding', () => void decodeMessage(bytes, sent.from, '1', clusterBytes));
      const { frame } = this.#handlers.get(victim.name) as TransportHandlers;
      if (victim.state === 'running') this.#tally(sent.channel, () => frame(from, sent.channel, bytes, SECRET));
      if (i % 25 === 24) await cluster.advance(20);
    }
  }

  /** A refusal is a KvorumError, for which the transport closes the link. */
  #tally(what: string, action: () => void): void {
    let outcome = 'taken';
    try {
      action();
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      outcome = error.code;
    }
    const key = `${what} ${outcome}`;
    this.outcomes.set(key, (this.outcomes.get(key) ?? 0) + 1);
  }

  async judge(): Promise<void> {
    const cluster = this.#cluster;
    // Calls that were made up have had their time, and whoever was accused has answered.
    await cluster.advance(20_000);
    for (const node of cluster.nodes) {
      if (node.failure !== null) throw new Error(`${node.name} stopped`, { cause: node.failure });
      await cluster.until(() => node.node.readiness().ready, `${node.name} is ready`);
    }
    const members = cluster.nodes.filter(({ name }) => name !== AGENT);
    for (const { node, name } of cluster.nodes) {
      await this.#called(() => node.put(`after-${name}`, name));
      const { entry } = await this.#called(() => node.get(`after-${name}`));
      if (new TextDecoder().decode(entry?.value) !== name) throw new Error(`${name} does not read what it wrote`);
    }
    await cluster.until(() => this.#agree(members), 'all replicas are the same');
    for (const node of members) await this.#checkBounds(node);
  }

  /** As a client would, again when a link was lost: who spoke in the agent's name has mixed up its session, which ends with its link. */
  async #called<T>(call: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#cluster.run(call());
      } catch (error) {
        if (!KvorumError.is(error, 'ERR_UNAVAILABLE') || tries === MAX_TRIES) throw error;
        await this.#cluster.advance(1000);
      }
    }
  }

  #agree(members: readonly SimNode[]): boolean {
    const machines = members.map(({ name }) => (this.#replicas.get(name) as Replica).machine);
    const [first] = machines;
    if (!machines.every(({ appliedIndex }) => appliedIndex === first?.appliedIndex)) return false;
    if (!machines.every((machine) => machine.digest() === first?.digest())) throw new Error('replicas differ');
    return true;
  }

  async #checkBounds({ node, name }: SimNode): Promise<void> {
    const registry = node.registry as { getMetricsAsJSON(): Promise<{ name: string; values: { value: number }[] }[]> };
    const metrics = await registry.getMetricsAsJSON();
    const sum = (metric: string): number =>
      metrics.find((one) => one.name === metric)?.values.reduce((total, { value }) => total + value, 0) ?? Number.NaN;
    const gossip = sum('kvorum_gossip_members');
    if (!(gossip <= MAX_GOSSIP_MEMBERS)) throw new Error(`${name} knows ${gossip} members by gossip`);
    const links = sum('kvorum_links_on_demand');
    if (!(links <= MAX_GOSSIP_MEMBERS)) throw new Error(`${name} keeps ${links} links on demand`);
  }
}
