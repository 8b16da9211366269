/** Three servers that are measured: ours or etcd's, by the same means. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { cpuSeconds, diskMiB, residentMiB } from './machine.ts';
import type { LoadResult } from './result.ts';
import { until, type ServerProcess, type Workshop } from './workshop.ts';

export const NODES = 3;
const START_TIMEOUT_MS = 60_000;
const ASK_TIMEOUT_MS = 1000;

/** By which way of theirs users reach ours: HTTP, `kvorum://`, or a node in their own process. */
export type Via = 'http' | 'stream' | 'embedded';

export interface LoadRequest {
  readonly op: 'put' | 'get';
  readonly clients: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly stale: boolean;
  readonly rate: number | null;
  /** Called when the warm-up is over. */
  readonly measuring: () => void;
}

export interface LockRequest {
  /** `own`: a lock for each worker. `same`: one for all. */
  readonly mode: 'own' | 'same';
  readonly workers: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly measuring: () => void;
}

export abstract class Cluster {
  abstract readonly kind: 'kvorum' | 'etcd';
  protected readonly workshop: Workshop;
  protected readonly folder: string;
  readonly #servers: ServerProcess[] = [];

  protected constructor(workshop: Workshop, name: string) {
    this.workshop = workshop;
    this.folder = join(workshop.folder, name);
  }

  /** Starts the process of a node. */
  protected abstract spawn(node: number): ServerProcess;
  /** One linearizable read through this node; true when it answered, with the value when a key is given. */
  abstract read(node: number, key: string | null): Promise<boolean>;
  /** The node that leads, null when none says so. */
  abstract leader(): Promise<number | null>;
  /** Writes keys 0 … count-1, 256 bytes each, as fast as it goes; `which` names them like the load or like the bulk. */
  abstract fill(which: 'load' | 'bulk', count: number): Promise<{ seconds: number }>;
  abstract load(request: LoadRequest): Promise<LoadResult>;
  /** Workers that lock and unlock. */
  abstract lock(request: LockRequest): Promise<LoadResult>;
  /** SIGKILL to the leader; milliseconds until a survivor acknowledges a write, asked all the time. */
  abstract failover(): Promise<{ killed: number; ms: number }>;

  /** The key that `fill('bulk')` gave this number. */
  bulkKey(number: number): string {
    return `key${String(number).padStart(8, '0')}`;
  }

  async start(): Promise<void> {
    for (let node = 0; node < NODES; node++) this.startNode(node);
    await this.healthy();
  }

  startNode(node: number): void {
    this.#servers[node] = this.spawn(node);
  }

  /** Every node answers a linearizable read. Returns when the first and when the last one did, milliseconds from the call. */
  async healthy(key: string | null = null): Promise<{ firstMs: number; allMs: number }> {
    const began = performance.now();
    let firstMs = Number.POSITIVE_INFINITY;
    await Promise.all(
      this.#servers.map(async (server, node) => {
        await until(`${this.kind} node ${node + 1} healthy`, START_TIMEOUT_MS, async () => {
          if (!server.alive) throw new Error(`${this.kind} node ${node + 1} ended: ${server.lastWords()}`);
          return (await this.read(node, key)) ? true : null;
        });
        firstMs = Math.min(firstMs, performance.now() - began);
      }),
    );
    return { firstMs, allMs: performance.now() - began };
  }

  pids(): number[] {
    return this.#servers.map(({ pid }) => pid);
  }

  async killAll(): Promise<void> {
    await Promise.all(this.#servers.map(async (server) => await server.kill()));
  }

  async killNode(node: number): Promise<void> {
    await this.#servers[node]?.kill();
  }

  /** Ends the servers and removes their data. */
  async remove(): Promise<void> {
    await this.killAll();
    rmSync(this.folder, { recursive: true, force: true });
  }

  cpuSeconds(): number | null {
    return this.pids().reduce<number | null>((sum, pid) => {
      const seconds = cpuSeconds(pid);
      return sum === null || seconds === null ? null : sum + seconds;
    }, 0);
  }

  /** Each node's. */
  residentMiB(which: 'VmRSS' | 'VmHWM'): (number | null)[] {
    return this.pids().map((pid) => residentMiB(pid, which));
  }

  /** Each node's. */
  diskMiB(): number[] {
    return Array.from({ length: NODES }, (_, node) => diskMiB(this.dataFolder(node)));
  }

  dataFolder(node: number): string {
    return join(this.folder, `n${node + 1}`);
  }
}

/** A JSON answer with status 200, null for anything else: a server that is not up yet answers in many ways. */
export async function askJson(url: string, body?: object): Promise<unknown> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(ASK_TIMEOUT_MS),
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return response.status === 200 ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

/** The body of a 200 answer, null for anything else. */
export async function askBytes(url: string): Promise<Buffer | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) });
    const bytes = Buffer.from(await response.arrayBuffer());
    return response.status === 200 || response.status === 404 ? bytes : null;
  } catch {
    return null;
  }
}
