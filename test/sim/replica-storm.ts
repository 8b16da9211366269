/**
 * The shipped replica loop in a storm: real cores, machines, stores, proposals, reads and snapshots of three or five nodes on virtual
 * time, disk and network, with clients that write and read all the while. One seed decides everything.
 *
 * Held against: an acknowledged revision belongs to one write; a read is never older than a write acknowledged before it began; a write
 * that ended with outcome none is never seen; after the storm all replicas are equal, byte for byte, and nothing waits.
 */
import { KvorumError } from '../../src/errors.ts';
import type { MemoryStore } from '../../src/storage/memory-store.ts';
import { MemoryCluster, type MemoryNode } from '../node/memory-cluster.ts';
import { Random } from '../../src/testing/random.ts';

interface Write {
  readonly key: string;
  readonly value: string;
  outcome: 'open' | 'acknowledged' | 'none' | 'unknown';
  revision: number;
  endedAt: number;
}

export interface StormResult {
  readonly writes: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly crashes: number;
  /** Of the whole state, equal on all nodes. */
  readonly digest: string;
}

const CLIENTS = 8;
const KEYS = 3;
const FAULTS = 40;
const CALM_MS = 30_000;

export class ReplicaStorm {
  readonly #random: Random;
  readonly #writes: Write[] = [];
  readonly #byRevision = new Map<number, Write>();
  readonly #disks = new Map<MemoryNode, MemoryStore>();
  /** Their next write fails, if it has not yet. */
  readonly #armed = new Set<MemoryNode>();
  #cluster!: MemoryCluster;
  #lossy: boolean;
  #stopped = false;
  #reads = 0;
  #crashes = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#lossy = this.#random.chance(0.5);
  }

  /** Throws at the first thing that must not be. */
  async run(): Promise<StormResult> {
    const random = this.#random;
    const chance = random.fork();
    this.#cluster = await MemoryCluster.start({
      nodes: random.chance(0.3) ? 5 : 3,
      delayMs: random.chance(0.2) ? 20 : 1,
      writeMs: random.chance(0.3) ? 5 : 0.3,
      limits: {
        logKeepBytes: random.chance(0.7) ? 3000 : 10_000_000,
        maxOverlayBytes: random.chance(0.3) ? 20_000 : 10_000_000,
      },
      // A lost answer to a forwarded write would only be waited for.
      lose: (channel) => this.#lossy && channel !== 'client' && chance.chance(0.02),
    });
    const clients = Promise.all(Array.from({ length: CLIENTS }, () => this.#client(random.fork())));
    // A failure of a client is thrown where it is awaited.
    clients.catch(() => {});
    for (let fault = 0; fault < FAULTS; fault++) {
      await this.#cluster.time.pass(random.float() * 700);
      await this.#fault();
      await this.#buryPoisoned();
    }
    await this.#heal();
    await this.#cluster.time.pass(8000);
    this.#stopped = true;
    await this.#cluster.settle(clients, CALM_MS);
    return this.#judge();
  }

  // Clients.

  async #client(random: Random): Promise<void> {
    const { time, nodes } = this.#cluster;
    while (!this.#stopped) {
      await new Promise<void>((resolve) => {
        time.schedule(random.float() * 20, resolve);
      });
      const node = random.pick(nodes);
      if (!node.running) continue;
      const key = `k${random.between(1, KEYS)}`;
      if (random.chance(0.6)) await this.#write(node, key, random);
      else await this.#read(node, key);
    }
  }

  async #write(node: MemoryNode, key: string, random: Random): Promise<void> {
    const padding = random.chance(0.3) ? ` ${'x'.repeat(random.chance(0.2) ? 60_000 : 800)}` : '';
    const value = `${this.#writes.length}${padding}`;
    const write: Write = { key, value, outcome: 'open', revision: 0, endedAt: Infinity };
    this.#writes.push(write);
    try {
      const result = await node.put(key, value, 200 + random.float() * 3000);
      const { revision } = result;
      const other = this.#byRevision.get(revision);
      if (other !== undefined) throw new Error(`revision ${revision} was acknowledged to ${other.value} and ${value}`);
      this.#byRevision.set(revision, write);
      Object.assign(write, { outcome: 'acknowledged', revision, endedAt: this.#cluster.time.now });
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      write.outcome = error.outcome;
    }
  }

  async #read(node: MemoryNode, key: string): Promise<void> {
    const { time } = this.#cluster;
    const began = time.now;
    const least = this.#writes.reduce(
      (most, write) =>
        write.key === key && write.outcome === 'acknowledged' && write.endedAt < began
          ? Math.max(most, write.revision)
          : most,
      0,
    );
    const { replica } = node;
    const error = await new Promise<KvorumError | null>((done) => replica.read({ deadline: began + 1000, done }));
    // What is read while a snapshot is loading is asked for again by the node's KV service.
    if (error !== null || replica.loading) return;
    this.#reads++;
    const entry = replica.machine.kv.get(key);
    const revision = entry?.modRevision ?? 0;
    if (revision < least) throw new Error(`a stale read of ${key} on n${node.id}: ${revision} after ${least}`);
    if (entry === null) return;
    const value = new TextDecoder().decode(entry.value);
    const write = this.#writes[Number.parseInt(value, 10)];
    if (write?.value !== value) throw new Error(`${key} has a value that nobody wrote: ${value.slice(0, 20)}`);
    if (write.outcome === 'none')
      throw new Error(`a write that ended with outcome none was read: ${value.slice(0, 20)}`);
    const acknowledged = this.#byRevision.get(revision);
    if (acknowledged !== undefined && acknowledged !== write) {
      throw new Error(`revision ${revision} holds ${value.slice(0, 20)} and was acknowledged to another write`);
    }
  }

  // Faults.

  async #fault(): Promise<void> {
    const random = this.#random;
    const { nodes, network, time } = this.#cluster;
    const node = random.pick(nodes);
    const other = random.pick(nodes);
    const dice = random.float();
    if (dice < 0.3) await this.#crash(node, random.pick([0, 0, Infinity, 1, 3]));
    else if (dice < 0.55) await this.#restart(random.between(1, 3));
    else if (dice < 0.65 && node !== other) network.cut(node.address, other.address);
    else if (dice < 0.7 && node !== other) network.cutOneWay(node.address, other.address);
    else if (dice < 0.8) network.healAll();
    else if (dice < 0.9 && node.running) {
      const { disk } = node.store;
      disk.hold();
      time.schedule(random.float() * 2500, () => disk.release());
    } else if (dice < 0.93 && node.running) {
      node.store.disk.failNextWrite(new Error('EIO: i/o error, fsync'));
      this.#armed.add(node);
    } else if (dice < 0.96 && node.leads) node.replica.transferLeadership(null);
    else if (dice >= 0.96) {
      for (const one of nodes) await this.#crash(one, 0);
      await this.#restart(nodes.length);
    }
  }

  async #crash(node: MemoryNode, keepUnsynced: number): Promise<void> {
    if (!node.running) return;
    this.#crashes++;
    this.#armed.delete(node);
    this.#disks.set(node, await node.crash({ keepUnsynced }));
  }

  async #restart(count: number): Promise<void> {
    for (const [node, disk] of [...this.#disks].slice(0, count)) {
      this.#disks.delete(node);
      await node.start(disk);
    }
  }

  /** A node whose disk failed has stopped itself; its process is gone, and may be started again. Any other failure is a bug. */
  async #buryPoisoned(): Promise<void> {
    for (const node of this.#cluster.nodes) {
      const { failure } = node;
      if (failure === null || this.#disks.has(node)) continue;
      if (failure.code !== 'ERR_STORE_POISONED') throw failure;
      this.#armed.delete(node);
      this.#disks.set(node, await node.crash());
    }
  }

  async #heal(): Promise<void> {
    this.#lossy = false;
    this.#cluster.network.healAll();
    await this.#buryPoisoned();
    for (const node of [...this.#armed]) await this.#crash(node, 0);
    await this.#restart(this.#cluster.nodes.length);
    for (const node of this.#cluster.nodes) node.store.disk.release();
  }

  // After the storm.

  async #judge(): Promise<StormResult> {
    const { nodes, time } = this.#cluster;
    const digest = (): string => (nodes[0] as MemoryNode).replica.machine.digest();
    await time.run(
      () => nodes.every(({ replica }) => !replica.loading && replica.machine.digest() === digest()),
      CALM_MS,
    );
    for (const { id, failure, replica } of nodes) {
      if (failure !== null) throw failure;
      const { pendingProposals, pendingReads } = replica;
      if (pendingProposals + pendingReads > 0) {
        throw new Error(`n${id} has ${pendingProposals} writes and ${pendingReads} reads that nobody answered`);
      }
    }
    for (const write of this.#writes) if (write.outcome === 'open') throw new Error(`${write.value} has no outcome`);
    const acknowledged = this.#writes.filter(({ outcome }) => outcome === 'acknowledged');
    for (const { key, revision } of acknowledged) {
      const latest = (nodes[0] as MemoryNode).replica.machine.kv.get(key)?.modRevision ?? 0;
      if (latest < revision) throw new Error(`acknowledged revision ${revision} of ${key} is lost, ${latest} is there`);
    }
    for (const node of nodes) await node.crash();
    return {
      writes: this.#writes.length,
      acknowledged: acknowledged.length,
      reads: this.#reads,
      crashes: this.#crashes,
      digest: digest(),
    };
  }
}
