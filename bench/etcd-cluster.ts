/**
 * etcd with its defaults, driven by Go programs that use its own client: `kv put|get|sget ENDPOINTS CONNECTIONS CLIENTS SECONDS`,
 * `bulk ENDPOINTS N`, `lock own|same ENDPOINTS WORKERS SECONDS` and `failover ENDPOINTS PID PID PID`, each printing a line of JSON. docs/benchmarks.md says what
 * they do; the folder that holds them is the user's to give.
 */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { askJson, Cluster, NODES, type LoadRequest, type LockRequest } from './cluster.ts';
import { etcdVersion } from './machine.ts';
import type { LoadResult } from './result.ts';
import { freeAddresses, type ServerProcess, type Workshop } from './workshop.ts';

const PROGRAMS = ['kv', 'bulk', 'failover', 'lock'] as const;
const BULK = 100;
/** Of 3, 6, 16 and 64 connections for 64 clients, 6 gave the most puts; for gets none stood out. */
const MAX_CONNECTIONS = 6;

/** Why etcd cannot be measured here, null when it can. */
export function whyNoEtcd(programs: string | undefined): string | null {
  if (etcdVersion() === null) return 'etcd is not on PATH';
  if (programs === undefined) return 'no load programs for etcd: --load-program DIR or KVORUM_ETCD_LOAD';
  for (const program of PROGRAMS) {
    if (!isProgram(join(programs, program))) return `no load program ${join(programs, program)}`;
  }
  return null;
}

/** A folder can be "executed" too: that of its sources may have the same name. */
function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

export class EtcdCluster extends Cluster {
  readonly kind = 'etcd';
  readonly #programs: string;
  readonly #clientAddresses: readonly string[];
  readonly #peerAddresses: readonly string[];

  private constructor(workshop: Workshop, name: string, programs: string, addresses: readonly string[]) {
    super(workshop, name);
    this.#programs = programs;
    this.#clientAddresses = addresses.slice(0, NODES);
    this.#peerAddresses = addresses.slice(NODES);
  }

  static async create(workshop: Workshop, name: string, programs: string): Promise<EtcdCluster> {
    const cluster = new EtcdCluster(workshop, name, programs, await freeAddresses(2 * NODES));
    mkdirSync(cluster.folder);
    return cluster;
  }

  protected spawn(node: number): ServerProcess {
    const client = `http://${this.#clientAddresses[node]}`;
    const peer = `http://${this.#peerAddresses[node]}`;
    return this.workshop.start('etcd', [
      ...['--name', `n${node + 1}`, '--data-dir', this.dataFolder(node)],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', this.#peerAddresses.map((address, i) => `n${i + 1}=http://${address}`).join(',')],
    ]);
  }

  async read(node: number, key: string | null): Promise<boolean> {
    const range = { key: base64(key ?? 'health') };
    const answer = (await askJson(`http://${this.#clientAddresses[node]}/v3/kv/range`, range)) as {
      kvs?: { value: string }[];
    } | null;
    return answer !== null && (key === null || answer.kvs?.[0]?.value.length === base64('x'.repeat(256)).length);
  }

  async leader(): Promise<number | null> {
    for (const [node, address] of this.#clientAddresses.entries()) {
      const status = (await askJson(`http://${address}/v3/maintenance/status`, {})) as {
        header: { member_id: string };
        leader: string;
      } | null;
      if (status !== null && status.header.member_id === status.leader) return node;
    }
    return null;
  }

  async fill(which: 'load' | 'bulk', count: number): Promise<{ seconds: number }> {
    if (which === 'bulk') {
      return JSON.parse(await this.#run('bulk', [this.#clientAddresses.join(','), String(count)])) as {
        seconds: number;
      };
    }
    // The keys of the `kv` program, through the JSON gateway: not measured, so any way will do.
    const began = performance.now();
    const value = base64('x'.repeat(256));
    let next = 0;
    await Promise.all(
      Array.from({ length: 8 }, async (_, worker) => {
        for (let from = next; from < count; from = next) {
          next += BULK;
          const success = Array.from({ length: Math.min(BULK, count - from) }, (_, i) => ({
            requestPut: { key: base64(`k${String(from + i).padStart(7, '0')}`), value },
          }));
          const answer = await askJson(`http://${this.#clientAddresses[worker % NODES]}/v3/kv/txn`, { success });
          if (answer === null) throw new Error('etcd refused a transaction');
        }
      }),
    );
    return { seconds: (performance.now() - began) / 1000 };
  }

  async load(request: LoadRequest): Promise<LoadResult> {
    if (request.rate !== null) throw new Error("etcd's load program has a closed loop only");
    const op = request.op === 'get' && request.stale ? 'sget' : request.op;
    const run = async (seconds: number): Promise<LoadResult> => {
      const connections = Math.min(request.clients, MAX_CONNECTIONS);
      const result = JSON.parse(
        await this.#run('kv', [
          ...[op, this.#clientAddresses.join(','), String(connections)],
          ...[String(request.clients), String(seconds)],
        ]),
      ) as { perSecond: number; p50Ms: number; p99Ms: number; p999Ms: number };
      return { ...result, seconds, ops: Math.round(result.perSecond * seconds), errors: {} };
    };
    if (request.warmupSeconds > 0) await run(request.warmupSeconds);
    request.measuring();
    return await run(request.seconds);
  }

  async lock({ mode, workers, seconds, warmupSeconds, measuring }: LockRequest): Promise<LoadResult> {
    const run = async (time: number): Promise<LoadResult> => {
      const args = [mode, this.#clientAddresses.join(','), String(workers), String(time)];
      const { perSecond, p50Ms, p99Ms } = JSON.parse(await this.#run('lock', args)) as LoadResult;
      // The program does not say more.
      return {
        ops: Math.round(perSecond * time),
        seconds: time,
        perSecond,
        p50Ms,
        p99Ms,
        p999Ms: Number.NaN,
        errors: {},
      };
    };
    if (warmupSeconds > 0) await run(warmupSeconds);
    measuring();
    return await run(seconds);
  }

  async failover(): Promise<{ killed: number; ms: number }> {
    const killed = await this.leader();
    if (killed === null) throw new Error('etcd has no leader');
    const pids = this.pids().map(String);
    const { failoverMs } = JSON.parse(await this.#run('failover', [this.#clientAddresses.join(','), ...pids])) as {
      failoverMs: number;
    };
    return { killed, ms: failoverMs };
  }

  async #run(program: (typeof PROGRAMS)[number], args: readonly string[]): Promise<string> {
    return await this.workshop.run(join(this.#programs, program), args);
  }
}
