/** A harness of the conformance suite, and of any test that wants a network in memory: time passes only when it is told to. */
import { MemoryNetwork } from '../../src/transport/memory-transport.ts';
import type { MemoryNetworkOptions } from '../../src/transport/memory-transport.ts';
import { SECRET, testNode } from './conformance.ts';
import type { Harness, NodeOptions, TestNode } from './conformance.ts';

/** Runs tasks in order of time, then of arrival. */
export class ManualClock {
  nowMs = 0;
  #sequence = 0;
  #tasks: { atMs: number; sequence: number; run: () => void }[] = [];

  schedule = (delayMs: number, run: () => void): (() => void) => {
    const task = { atMs: this.nowMs + delayMs, sequence: this.#sequence++, run };
    this.#tasks.push(task);
    return () => {
      this.#tasks = this.#tasks.filter((other) => other !== task);
    };
  };

  /** Runs the next task. False when there is none. */
  step(): boolean {
    let next = this.#tasks[0];
    for (const task of this.#tasks) {
      if (next === undefined || task.atMs < next.atMs || (task.atMs === next.atMs && task.sequence < next.sequence)) {
        next = task;
      }
    }
    if (next === undefined) return false;
    this.#tasks = this.#tasks.filter((task) => task !== next);
    this.nowMs = next.atMs;
    next.run();
    return true;
  }

  /** Runs everything that is due within `ms`. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    while (this.#tasks.some((task) => task.atMs <= untilMs)) this.step();
    this.nowMs = untilMs;
  }
}

export class MemoryHarness implements Harness {
  readonly clock = new ManualClock();
  readonly network: MemoryNetwork;
  readonly #nodes: TestNode[] = [];

  constructor(options: Omit<MemoryNetworkOptions, 'schedule'> = {}) {
    this.network = new MemoryNetwork({ schedule: this.clock.schedule, ...options });
  }

  create(options: NodeOptions): Promise<TestNode> {
    const { name, secret = SECRET, limits = {}, address = 'host:0', like } = options;
    const { credential = () => (secret === null ? null : { secret }), wallTime = () => this.clock.nowMs } = options;
    const number = this.#nodes.length + 1;
    const identity = like === undefined ? { id: String(number), peerId: `peer${number}` } : like.hello;
    const { handlers, node } = testNode(name, identity);
    try {
      const made = node(this.network.createTransport({ address, credential, wallTime, handlers, limits }));
      this.#nodes.push(made);
      return Promise.resolve(made);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  until(condition: () => boolean, what: string): Promise<void> {
    const deadline = this.clock.nowMs + 30_000;
    while (!condition()) {
      if (this.clock.nowMs > deadline) return Promise.reject(new Error(`not reached: ${what}`));
      if (!this.clock.step()) this.clock.nowMs += 10;
    }
    return Promise.resolve();
  }

  pass(ms: number): Promise<void> {
    this.clock.pass(ms);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    for (const node of this.#nodes) await node.transport.close();
  }
}
