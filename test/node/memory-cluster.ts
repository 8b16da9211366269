/** Replica loops on virtual time, disk and network: what ships, without a clock, a socket or a file. */
import { KvorumError } from '../../src/errors.ts';
import { createRaft } from '../../src/raft/raft.ts';
import { encodeCommand } from '../../src/machine/command.ts';
import type { CommandResult } from '../../src/machine/types.ts';
import { stageFirstEntry } from '../../src/node/first-entry.ts';
import { decodeAnswers, decodePropose, FRAME } from '../../src/node/forwarding.ts';
import { Loop } from '../../src/node/loop.ts';
import { Replica, type ReplicaLimits } from '../../src/node/replica.ts';
import { openMemoryStore, type CrashOptions, type MemoryStore } from '../../src/storage/memory-store.ts';
import { MemoryNetwork } from '../../src/transport/memory-transport.ts';
import type { Channel, Hello, Transport } from '../../src/transport/types.ts';
import { VirtualTime } from '../../src/testing/virtual-time.ts';

const SECRET = 'a secret that all nodes share';
const CLUSTER = '4711';

export const TEST_RAFT = {
  electionTicks: 100,
  heartbeatTicks: 10,
  maxAppendBytes: 1024 * 1024,
  maxInflightMessages: 256,
  maxInflightBytes: 16 * 1024 * 1024,
  maxUncommittedBytes: 64 * 1024 * 1024,
  maxApplyBytes: 4 * 1024 * 1024,
  maxCachedBytes: 1024 * 1024,
  leaseReads: false,
  crashHintTicks: 5,
};

const TEST_LIMITS: ReplicaLimits = {
  maxPending: 10_000,
  maxUncommittedBytes: 64 * 1024 * 1024,
  maxOverlayBytes: 32 * 1024 * 1024,
  logKeepBytes: 64 * 1024 * 1024,
};

export class MemoryNode {
  readonly id: string;
  readonly cluster: MemoryCluster;
  readonly address: string;
  store!: MemoryStore;
  replica!: Replica;
  loop!: Loop;
  transport!: Transport;
  failure: KvorumError | null = null;
  running = false;
  #epoch = 0;
  #stop: () => void = () => {};

  constructor(cluster: MemoryCluster, id: string) {
    this.cluster = cluster;
    this.id = id;
    this.address = `n${id}:1`;
  }

  async start(store?: MemoryStore): Promise<void> {
    const { time, network, ids, limits } = this.cluster;
    const env = time.process(this.cluster.random);
    const bootEpoch = ++this.#epoch;
    this.store =
      store ??
      (await openMemoryStore({
        schedule: (task) => void time.schedule(this.cluster.writeMs, task),
        now: () => time.now,
      }));
    const group = this.store.group(1);
    if (group.log.lastIndex() === 0) {
      const members = ids.map((id) => ({ id, name: `n${id}`, peerId: `p${id}`, address: `n${id}:1` }));
      stageFirstEntry(group, { clusterId: CLUSTER, members });
      this.store.commit(true, () => {});
    }
    this.failure = null;
    const hello = (): Hello => ({
      clusterId: CLUSTER,
      id: this.id,
      name: `n${this.id}`,
      peerId: `p${this.id}`,
      bootEpoch,
      address: this.address,
      http: '',
      pid: 1,
      protocol: 1,
      extra: {},
    });
    this.transport = network.createTransport({
      address: this.address,
      credential: () => ({ secret: SECRET }),
      wallTime: () => env.wallTime(),
      handlers: {
        hello,
        admit: () => ({ ok: true }),
        peer: (event) => {
          if (event.type === 'down') this.replica.peerDown(event.peer.id);
          if (event.type === 'lost') this.replica.peerLost(event.peer.id);
        },
        frame: (from, channel, frame) => {
          if (channel === 'raft') this.replica.raftFrame(from, frame);
          else if (channel === 'snapshot') this.replica.snapshotFrame(from, frame);
          else if (frame[0] === FRAME.propose) this.replica.proposeFrame(from, decodePropose(frame));
          else if (frame[0] === FRAME.proposeResult) this.replica.resultFrame(from, decodeAnswers(frame));
        },
      },
    });
    this.loop = new Loop({
      env,
      store: this.store,
      tickMs: 10,
      failed: (error) => {
        this.failure = error;
        this.running = false;
      },
    });
    this.replica = await Replica.open({
      env,
      group: 1,
      id: this.id,
      clusterId: CLUSTER,
      bootEpoch,
      store: group,
      raft: TEST_RAFT,
      limits: { ...TEST_LIMITS, ...limits },
      send: (to, channel, parts) => this.transport.send(to, channel, parts),
      wake: () => this.loop.wake(),
      softStateChanged: () => {},
      applied: () => {},
      stateReplaced: () => {},
      configurationChanged: () => {},
      failed: (error) => this.loop.fail(error),
      createCore: createRaft,
    });
    this.loop.add(this.replica);
    this.loop.start();
    for (const id of ids) if (id !== this.id) this.transport.connect(`n${id}:1`);
    this.#stop = () => env.stop();
    this.running = true;
  }

  /** The process dies at once; the disk keeps what `options` says. */
  async crash(options?: CrashOptions): Promise<MemoryStore> {
    this.running = false;
    this.#stop();
    this.cluster.network.crash(this.address);
    this.loop.stop(new KvorumError('ERR_CLOSED', 'crashed'));
    return this.store.crash(options);
  }

  get leads(): boolean {
    return this.running && this.replica.softState.role === 'leader';
  }

  put(key: string, value: string | Uint8Array, timeoutMs = 4000, prev = false): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      this.replica.propose({
        data: encodeCommand({
          version: 1,
          group: 1,
          time: 0,
          principal: null,
          authRevision: 0,
          once: null,
          operation: {
            type: 'put',
            key,
            value: typeof value === 'string' ? new TextEncoder().encode(value) : value,
            contentType: null,
            lease: null,
            prev,
            condition: null,
          },
        }),
        deadline: this.cluster.time.now + timeoutMs,
        done: (error, result) => {
          if (error !== null) reject(error);
          else resolve(result as CommandResult);
        },
      });
    });
  }

  async get(key: string, timeoutMs = 4000): Promise<string | null> {
    await new Promise<void>((resolve, reject) => {
      this.replica.read({
        deadline: this.cluster.time.now + timeoutMs,
        done: (error) => (error === null ? resolve() : reject(error)),
      });
    });
    return this.stale(key);
  }

  stale(key: string): string | null {
    const entry = this.replica.machine.kv.get(key);
    return entry === null ? null : new TextDecoder().decode(entry.value);
  }
}

export interface MemoryClusterOptions {
  readonly nodes?: number;
  readonly limits?: Partial<ReplicaLimits>;
  readonly writeMs?: number;
  /** One way. */
  readonly delayMs?: number;
  /** True: a frame of this channel is lost. Default: none is. */
  readonly lose?: (channel: Channel) => boolean;
}

export class MemoryCluster {
  readonly time = new VirtualTime();
  readonly network: MemoryNetwork;
  readonly nodes: MemoryNode[] = [];
  readonly ids: string[];
  readonly limits: Partial<ReplicaLimits>;
  readonly writeMs: number;
  #seed = 1;
  readonly random = (): number => {
    // A small linear congruential generator: the same run every time.
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#seed / 2 ** 32;
  };

  private constructor(options: MemoryClusterOptions) {
    this.ids = Array.from({ length: options.nodes ?? 3 }, (_, i) => String(i + 1));
    this.limits = options.limits ?? {};
    this.writeMs = options.writeMs ?? 0.3;
    this.network = new MemoryNetwork({
      schedule: (delayMs, task) => this.time.schedule(delayMs, task),
      random: this.random,
      delayMs: () => options.delayMs ?? 1,
      lose: (_from, _to, channel) => options.lose?.(channel) ?? false,
    });
    for (const id of this.ids) this.nodes.push(new MemoryNode(this, id));
  }

  static async start(options: MemoryClusterOptions = {}): Promise<MemoryCluster> {
    const cluster = new MemoryCluster(options);
    for (const node of cluster.nodes) await node.start();
    return cluster;
  }

  async leader(limitMs = 10_000): Promise<MemoryNode> {
    let leader: MemoryNode | undefined;
    await this.time.run(() => {
      leader = this.nodes.find((node) => node.leads);
      return (
        leader !== undefined &&
        this.nodes.every((node) => !node.running || node.replica.softState.leader === leader?.id)
      );
    }, limitMs);
    return leader as MemoryNode;
  }

  /** Runs until the promise settles, and gives back what it settled with. */
  settle<T>(promise: Promise<T>, limitMs = 10_000): Promise<T> {
    return this.time.settle(promise, limitMs);
  }
}
