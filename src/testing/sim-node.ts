/** One node of a simulated cluster: the whole node that ships, in a process, on a disk and at an address that can be done anything to. */
import { KvorumError } from '../errors.ts';
import type { Agent } from '../node/agent/agent.ts';
import type { Node } from '../node/node.ts';
import { openNode } from '../node/open.ts';
import type { Platform } from '../node/platform.ts';
import type { KvorumNode, NodeOptions } from '../node/types.ts';
import { createRaft } from '../raft/raft.ts';
import { MemoryDisk, openMemoryStore, type CrashOptions } from '../storage/memory-store.ts';
import type { MemoryNetwork } from '../transport/memory-transport.ts';
import type { Random } from './random.ts';
import { seededKey } from './seeded-key.ts';
import type { VirtualProcess, VirtualTime } from './virtual-time.ts';

export interface SimNodeSpec {
  readonly name: string;
  readonly time: VirtualTime;
  readonly network: MemoryNetwork;
  readonly random: Random;
  readonly options: NodeOptions;
  /** How fast its clock runs. Default 1. */
  readonly clockRate?: number;
  /** Milliseconds that its next write takes. */
  readonly writeMs: () => number;
  /** Looks on, or exchanges a part. Default: the platform as it is. */
  readonly platform?: (node: SimNode, platform: Platform) => Platform;
  /** Its process has ended, however it did. */
  readonly ended?: (node: SimNode) => void;
}

export type SimNodeState =
  /** No process. */
  | 'down'
  /** The process runs, and waits for its cluster. */
  | 'starting'
  /** It has joined its cluster. */
  | 'running'
  /** It stopped itself, or could not start; `failure` says why. */
  | 'failed';

export class SimNode {
  readonly name: string;
  readonly address: string;
  /** What it reads and writes; another one after a crash. */
  disk: MemoryDisk;
  state: SimNodeState = 'down';
  /** Why it stopped itself or could not start, since its last start. */
  failure: Error | null = null;
  /** Counts the starts. */
  starts = 0;
  /** What it is started with the next time. */
  options: NodeOptions;
  readonly #spec: SimNodeSpec;
  #process: VirtualProcess | null = null;
  #node: Node | Agent | null = null;
  #wallJumpMs = 0;
  /** Calls that a crash ends. */
  readonly #calls = new Set<(error: Error) => void>();

  constructor(spec: SimNodeSpec) {
    this.#spec = spec;
    this.name = spec.name;
    this.options = spec.options;
    this.address = `${spec.name}:1`;
    this.disk = this.#newDisk();
  }

  get paused(): boolean {
    return this.#process?.paused ?? false;
  }

  /** A process is there, though it may be paused. */
  get alive(): boolean {
    return this.state === 'starting' || this.state === 'running';
  }

  /** Throws while there is no process. */
  get node(): KvorumNode {
    if (this.#node === null || !this.alive) throw new KvorumError('ERR_CLOSED', `${this.name} does not run`);
    return this.#node;
  }

  /** Starts its process on its disk. Resolves when it has joined its cluster, failed, or crashed meanwhile; look at `state`. */
  async start(): Promise<void> {
    if (this.alive) throw new Error(`${this.name} runs already`);
    const process = this.#spec.time.process(
      () => this.#spec.random.float(),
      this.#spec.clockRate === undefined ? {} : { rate: this.#spec.clockRate },
    );
    process.jump(this.#wallJumpMs);
    this.#process = process;
    this.state = 'starting';
    this.failure = null;
    this.starts++;
    const failed = (error: unknown): void => {
      if (this.#process === process) this.#failed(error instanceof Error ? error : new Error(String(error)));
    };
    try {
      const node = await openNode(this.options, this.#platform(process));
      if (process.stopped) return;
      this.#node = node;
      void node.failed.then(failed);
      await node.join();
      if (!process.stopped && this.state === 'starting') this.state = 'running';
    } catch (error) {
      failed(error);
    }
  }

  /** The process dies at once, in the middle of whatever it does; the disk keeps what `options` says. */
  crash(options: CrashOptions = {}): void {
    if (!this.alive) return;
    this.#end('down', options);
    this.#endCalls(new KvorumError('ERR_CLOSED', `${this.name} crashed`, { outcome: 'unknown' }));
  }

  /** Hands over and stops, as on SIGTERM. */
  async close(): Promise<void> {
    const process = this.#process;
    await this.#node?.close();
    if (process === null || this.#process !== process) return;
    process.stop();
    this.#process = null;
    this.#node = null;
    if (this.alive) this.state = 'down';
    this.#spec.ended?.(this);
    this.#endCalls(new KvorumError('ERR_CLOSED', `${this.name} was closed`, { outcome: 'unknown' }));
  }

  /** Its process stands still; what happens to it waits. */
  pause(): void {
    this.#process?.pause();
  }

  resume(): void {
    this.#process?.resume();
  }

  /** Its wall clock is set forward, or back with a negative number, now and for all later starts. */
  jumpClock(ms: number): void {
    this.#wallJumpMs += ms;
    this.#process?.jump(ms);
  }

  /** Its data directory is emptied. Only while there is no process. */
  wipe(): void {
    if (this.alive) throw new Error(`${this.name} runs`);
    this.disk = this.#newDisk();
  }

  /**
   * Runs a call of a client on this node, as over a connection: a paused node takes it when it goes on, and one that crashes breaks it off
   * with ERR_CLOSED, outcome unknown.
   */
  call<T>(action: (node: KvorumNode) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const process = this.#process;
      if (process === null || !this.alive) {
        reject(new KvorumError('ERR_CLOSED', `${this.name} does not run`));
        return;
      }
      const end = (): void => void this.#calls.delete(reject);
      this.#calls.add(reject);
      const begin = (): void => {
        if (this.#node === null) {
          end();
          reject(new KvorumError('ERR_NO_LEADER', `${this.name} is starting`));
          return;
        }
        action(this.#node).finally(end).then(resolve, reject);
      };
      // On a connection of its own: what peers sent earlier may be read later.
      process.enter(begin, { apart: true });
    });
  }

  #platform(process: VirtualProcess): Platform {
    const { network, random } = this.#spec;
    const platform: Platform = {
      env: process,
      pid: this.starts,
      openStore: () => openMemoryStore({ disk: this.disk }),
      createTransport: async ({ listen, credential, wallTime, handlers }) =>
        network.createTransport({ address: listen, credential, wallTime, handlers, process }),
      createKey: () => Promise.resolve(seededKey(random.bytes(32))),
      createCore: createRaft,
    };
    return this.#spec.platform?.(this, platform) ?? platform;
  }

  /** What the process leaves when it stops itself: it ends, and its machine goes on. */
  #failed(error: Error): void {
    this.failure = error;
    this.#end('failed', { keepUnsynced: Infinity });
    this.#endCalls(new KvorumError('ERR_CLOSED', `${this.name} stopped: ${error.message}`, { outcome: 'unknown' }));
  }

  #end(state: 'down' | 'failed', options: CrashOptions): void {
    this.#process?.stop();
    this.#process = null;
    this.#node = null;
    this.state = state;
    this.#spec.network.crash(this.address);
    this.disk = this.disk.crash(options);
    this.#spec.ended?.(this);
  }

  #endCalls(error: Error): void {
    for (const reject of [...this.#calls]) reject(error);
    this.#calls.clear();
  }

  #newDisk(): MemoryDisk {
    const { time, writeMs } = this.#spec;
    return new MemoryDisk({
      schedule: (task) => void this.#process?.schedule(writeMs(), task),
      now: () => time.now,
    });
  }
}
