/**
 * Real nodes for the integration tests: `kvorum start` processes on loopback, in a directory of their own, on ports that
 * nobody else uses. Everything ends with the test: on its normal way, when it fails, and when its process dies (each node
 * has a pipe from here as standard input and stops when that ends).
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

import { NodeProcess as Process, startArguments, type NodeSpec } from '../processes/node-process.ts';
import { freePorts } from '../processes/ports.ts';
import { Api } from './api.ts';
import { report } from './report.ts';
import { until } from './until.ts';

export { freePorts };

export interface ClusterOptions {
  /** Default 3. */
  readonly nodes?: number;
  /** More arguments of every node. */
  readonly args?: readonly string[];
  /** Words before the node's own: a wrapper such as `nice`. By the node's name and the cluster's directory. */
  readonly wrap?: (name: string, directory: string) => readonly string[];
}

export class NodeProcess extends Process {
  readonly api = new Api(() => this.url);
  readonly httpPort: number;
  readonly peerPort: number;

  constructor(spec: NodeSpec & { readonly peerPort: number }) {
    super(spec);
    this.httpPort = Number(new URL(this.url).port);
    this.peerPort = spec.peerPort;
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.api.close();
  }

  override async destroy(): Promise<void> {
    await super.destroy();
    this.api.close();
  }
}

export class Cluster {
  readonly directory: string;
  readonly nodes: readonly NodeProcess[];
  readonly secretFile: string;

  private constructor(directory: string, secretFile: string, nodes: readonly NodeProcess[]) {
    this.directory = directory;
    this.secretFile = secretFile;
    this.nodes = nodes;
  }

  /** Lays a cluster out without starting it. It is removed when the test is over. */
  static async prepare(options: ClusterOptions = {}): Promise<Cluster> {
    const count = options.nodes ?? 3;
    const directory = await mkdtemp(path.join(os.tmpdir(), 'kvorum-test-'));
    const secretFile = path.join(directory, 'secret');
    await writeFile(secretFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
    const names = Array.from({ length: count }, (_, index) => `n${index + 1}`);
    const ports = await freePorts(2 * count);
    const members = names.map((name, index) => `${name}=127.0.0.1:${ports[index] ?? 0}`).join(',');
    const nodes = names.map((name, index) => {
      const dataDir = path.join(directory, name);
      const http = `127.0.0.1:${ports[count + index] ?? 0}`;
      return new NodeProcess({
        ...{ name, dataDir, http, logFile: path.join(directory, `${name}.log`), peerPort: ports[index] ?? 0 },
        args: [...startArguments({ name, dataDir, http, members, secretFile }), ...(options.args ?? [])],
        wrap: options.wrap?.(name, directory) ?? [],
      });
    });
    const cluster = new Cluster(directory, secretFile, nodes);
    onTestFinished(async ({ task }) => {
      if (task.result?.state === 'fail') report(cluster.logTails());
      await cluster.destroy();
    });
    return cluster;
  }

  /** A running cluster, every node of it ready. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = await Cluster.prepare(options);
    await cluster.startAll();
    return cluster;
  }

  node(name: string): NodeProcess {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  }

  async startAll(): Promise<void> {
    const asleep = this.nodes.filter((node) => !node.alive);
    for (const node of asleep) node.start();
    await Promise.all(asleep.map(async (node) => await node.ready()));
  }

  async killAll(): Promise<void> {
    const living = this.nodes.filter((node) => node.alive);
    await Promise.all(living.map(async (node) => await node.kill('SIGKILL')));
  }

  /** The node that leads, as it says itself and a majority agrees. */
  async leader(): Promise<NodeProcess> {
    return await until(
      async () => {
        const living = this.nodes.filter((node) => node.alive);
        const views = await Promise.allSettled(living.map(async (node) => await node.api.cluster()));
        const seen = views.filter((view) => view.status === 'fulfilled').map(({ value }) => value);
        const term = Math.max(...seen.map((view) => view.term));
        const agreed = seen.filter((view) => view.term === term && view.leader !== null);
        const own = agreed.find((view) => view.leader === view.name);
        return own !== undefined && agreed.length > this.nodes.length / 2 ? this.node(own.name) : null;
      },
      { timeoutMs: 15_000, what: 'a leader that a majority agrees on', explain: () => this.logTails() },
    );
  }

  async followers(): Promise<NodeProcess[]> {
    const leader = await this.leader();
    return this.nodes.filter((node) => node !== leader && node.alive);
  }

  logTails(): string {
    return this.nodes.map((node) => node.logTail()).join('\n');
  }

  async destroy(): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => await node.destroy()));
    await rm(this.directory, { recursive: true, force: true });
  }
}
