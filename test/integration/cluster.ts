/**
 * Real nodes for the integration tests: `kvorum start` processes on loopback, in a directory of their own, on ports that
 * nobody else uses. Everything ends with the test: on its normal way, when it fails, and when its process dies (each node
 * has a pipe from here as standard input and stops when that ends).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

import { cleanEnvironment, ENTRY } from '../cmd/cli.ts';
import { Api } from './api.ts';
import { report } from './report.ts';
import { until } from './until.ts';

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;

/** Below the range that the system takes for outgoing connections, so that a port is still free after a restart. */
const FIRST_PORT = 15_000;
const PORTS = 15_000;

export interface ClusterOptions {
  /** Default 3. */
  readonly nodes?: number;
  /** More arguments of every node. */
  readonly args?: readonly string[];
  /** Words before the node's own: a wrapper such as `nice`. By the node's name and the cluster's directory. */
  readonly wrap?: (name: string, directory: string) => readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface ReadyLine {
  readonly url: string;
  readonly address: string;
  readonly pid: number;
  readonly clusterId: string;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class NodeProcess {
  readonly name: string;
  readonly dataDir: string;
  readonly api: Api;
  readonly httpPort: number;
  readonly peerPort: number;
  readonly #args: readonly string[];
  readonly #wrap: readonly string[];
  readonly #logFile: string;
  #child: ChildProcess | null = null;
  #exit: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  #ready: Promise<ReadyLine> = Promise.reject(new Error('not started'));

  constructor(spec: {
    name: string;
    directory: string;
    httpPort: number;
    peerPort: number;
    args: readonly string[];
    wrap: readonly string[];
  }) {
    this.name = spec.name;
    this.dataDir = path.join(spec.directory, spec.name);
    this.httpPort = spec.httpPort;
    this.peerPort = spec.peerPort;
    this.api = new Api(() => this.url);
    this.#args = spec.args;
    this.#wrap = spec.wrap;
    this.#logFile = path.join(spec.directory, `${spec.name}.log`);
    this.#ready.catch(() => undefined);
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  get alive(): boolean {
    return this.#child !== null;
  }

  /** Resolves when the process ends. */
  get exited(): Promise<Exit> {
    return this.#exit;
  }

  /** Starts the process; `ready()` tells when it serves. */
  start(moreArgs: readonly string[] = []): void {
    if (this.#child !== null) throw new Error(`${this.name} runs already`);
    const log = openSync(this.#logFile, 'a');
    const command = [...this.#wrap, process.execPath, ENTRY, 'start', ...this.#args, ...moreArgs];
    const child = spawn(command[0] ?? '', command.slice(1), { stdio: ['pipe', 'pipe', log], env: cleanEnvironment() });
    closeSync(log);
    this.#child = child;
    running.add(child);
    child.stdin?.on('error', () => undefined);
    this.#exit = new Promise((resolve) => {
      const ended = (exit: Exit): void => {
        running.delete(child);
        if (this.#child === child) this.#child = null;
        resolve(exit);
      };
      child.once('exit', (code, signal) => ended({ code, signal }));
      child.once('error', () => ended({ code: null, signal: null }));
    });
    this.#ready = new Promise((resolve, reject) => {
      let text = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        const end = text.indexOf('\n');
        if (end >= 0) resolve(JSON.parse(text.slice(0, end)) as ReadyLine);
      });
      void this.#exit.then(({ code, signal }) => {
        reject(new Error(`${this.name} ended (${code ?? signal}) before it was ready\n${this.logTail()}`));
      });
    });
    this.#ready.catch(() => undefined);
  }

  /** Resolves once the node has said that it knows a leader and is caught up. */
  async ready(): Promise<ReadyLine> {
    const failed = new Promise<never>((_, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${this.name} was not ready within ${READY_TIMEOUT_MS} ms\n${this.logTail()}`));
      }, READY_TIMEOUT_MS);
      timer.unref();
    });
    return await Promise.race([this.#ready, failed]);
  }

  async restart(moreArgs: readonly string[] = []): Promise<void> {
    this.start(moreArgs);
    await this.ready();
  }

  /** Sends the signal; for SIGKILL and SIGTERM resolves when the process is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#child?.kill(signal);
    return await this.#exit;
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Everything that was logged, over all restarts. */
  logs(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  logTail(lines = 20): string {
    return `--- ${this.name} ---\n${this.logs().trimEnd().split('\n').slice(-lines).join('\n')}`;
  }

  /** Resident memory, bytes. Linux only. */
  residentBytes(): number {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(match?.[1]) * 1024;
  }

  /** Stops it gracefully, by force if that does not work. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child !== null) {
      child.kill('SIGCONT');
      child.stdin?.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await this.#exit;
      clearTimeout(timer);
    }
    this.api.close();
  }

  /** At the end of a test nobody needs a hand-over. */
  async destroy(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exit;
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
    const peers = names.map((name, index) => `${name}=127.0.0.1:${ports[index] ?? 0}`).join(',');
    const nodes = names.map((name, index) => {
      const httpPort = ports[count + index] ?? 0;
      const args = [
        ['--name', name, '--data-dir', path.join(directory, name)],
        ['--initial-cluster', peers, '--secret-file', secretFile],
        ['--http', `127.0.0.1:${httpPort}`],
        ['--log-format', 'json', '--output', 'json', '--stop-on-stdin-end'],
        options.args ?? [],
      ].flat();
      return new NodeProcess({
        name,
        directory,
        httpPort,
        peerPort: ports[index] ?? 0,
        args,
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

/** Ports of loopback on which nobody listens now. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  let port = FIRST_PORT + Math.trunc(Math.random() * PORTS);
  while (found.length < count) {
    port = port + 1 < FIRST_PORT + PORTS ? port + 1 : FIRST_PORT;
    if (await isFree(port)) found.push(port);
  }
  return found;
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
