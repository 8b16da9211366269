/**
 * Real nodes, the network between them, and a way out: whatever happens, processes, directories and namespaces go with the
 * run. A paused node is killed by the kernel when the lab dies (setpriv --pdeathsig), the others see the end of their
 * standard input; directories and namespaces that a killed lab left behind are removed by the next one.
 *
 * @example
 * const lab = await startLab({ nodes: 3, seed: 7 });
 * try {
 *   await lab.startAll();
 *   const leader = await lab.agreedLeader();
 *   leader.pause();
 * } finally {
 *   await lab.dispose();
 * }
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync, mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { startArguments } from '../processes/node-process.ts';
import { isMakerDead, ownTag, TAG } from '../processes/owner.ts';
import { Random } from '../../src/testing/random.ts';
import { until } from '../integration/until.ts';
import { RealNode, type OwnEnd } from './lab-node.ts';
import { callNode } from './http-client.ts';
import { commandNow } from './networks/command.ts';
import { findNetwork, makeNetwork, type NetworkChoice } from './networks/choose.ts';
import type { HostNetwork } from './networks/host-network.ts';
import type { Chance, Lab, LabNode } from './types.ts';

const PREFIX = 'kvorum-lab-';
const NAMED = new RegExp(`^${PREFIX}${TAG.source}-`);
const LEADER_TIMEOUT_MS = 60_000;
const VIEW_TIMEOUT_MS = 1000;

export interface LabOptions {
  /** Default 5. */
  readonly nodes?: number;
  readonly seed: number;
  /** Default `auto`. */
  readonly network?: NetworkChoice;
  /** More arguments of every node. */
  readonly args?: readonly string[];
  /** Default: nothing is said. */
  readonly log?: (message: string) => void;
  /** Ends the run from outside. */
  readonly signal?: AbortSignal;
}

/** What a node says of the cluster. */
export interface View {
  readonly name: string;
  readonly leader: string | null;
  readonly term: number;
  readonly revision: number;
}

/** Lays the cluster out; no node runs yet. Rejects when the network asked for does not work here. */
export async function startLab(options: LabOptions): Promise<RunningLab> {
  removeLeftovers();
  const count = options.nodes ?? 5;
  const found = await findNetwork(options.network ?? 'auto');
  const network = await makeNetwork(found, count, options.seed);
  const lab = new RunningLab(options, count, network, found.why);
  network.attach(lab.nodes);
  return lab;
}

export class RunningLab implements Lab {
  readonly directory: string;
  readonly nodes: readonly RealNode[];
  readonly network: HostNetwork;
  /** Why this kind of network. */
  readonly networkReason: string;
  readonly chance: Chance;
  readonly signal: AbortSignal;
  /** Nodes that ended and the lab had not asked them to, in order. */
  readonly ownEnds: OwnEnd[] = [];
  readonly #log: (message: string) => void;
  readonly #controller = new AbortController();
  readonly #atExit = (): void => this.#leave();
  #disposed = false;

  constructor(options: LabOptions, count: number, network: HostNetwork, networkReason: string) {
    this.network = network;
    this.networkReason = networkReason;
    this.chance = new Random(options.seed);
    this.#log = options.log ?? (() => undefined);
    this.signal =
      options.signal === undefined
        ? this.#controller.signal
        : AbortSignal.any([this.#controller.signal, options.signal]);
    this.directory = mkdtempSync(path.join(os.tmpdir(), `${PREFIX}${ownTag()}-`));
    process.on('exit', this.#atExit);
    const logs = path.join(this.directory, 'logs');
    mkdirSync(logs);
    const secretFile = path.join(this.directory, 'secret');
    writeFileSync(secretFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
    const names = Array.from({ length: count }, (_, index) => `n${index + 1}`);
    const places = network.places;
    const members = names.map((name, index) => `${name}=${places[index]?.advertised ?? ''}`).join(',');
    const guard = canDieWithParent() ? ['setpriv', '--pdeathsig', 'KILL'] : [];
    this.nodes = names.map((name, index) => {
      const place = places[index];
      if (place === undefined) throw new Error(`the network has no place for ${name}`);
      // One level down, so that a fault can mount a file system over the node's directory and nothing else is in the data.
      const dataDir = path.join(this.directory, name, 'data');
      mkdirSync(path.dirname(dataDir));
      const args = startArguments({ name, dataDir, http: place.http, members, secretFile });
      return new RealNode(
        {
          ...{ name, dataDir, http: place.http, logFile: path.join(logs, `${name}.log`) },
          peerAddress: place.advertised,
          args: [...args, '--listen', place.listen, ...(options.args ?? [])],
          wrap: [...guard, ...place.wrap],
        },
        () => this.nodes.filter((node) => node.name !== name),
        {
          started: (node) => network.started(node),
          ended: (node) => network.ended(node),
          endedByItself: (end) => {
            this.ownEnds.push(end);
            this.log(`${end.node} ended by itself: ${end.how}${end.expected ? ', as it should' : ''}`);
          },
        },
      );
    });
  }

  /** Starts every node that does not run; resolves when all serve. */
  async startAll(): Promise<void> {
    for (const node of this.nodes) if (!node.alive) node.start();
    await Promise.all(this.nodes.map(async (node) => await node.ready()));
  }

  async leader(): Promise<RealNode | null> {
    const views = await this.views();
    for (const { term, leader } of views) {
      if (leader === null) continue;
      const agreed = views.filter((view) => view.term === term && view.leader === leader);
      if (agreed.length > this.nodes.length / 2) return this.node(leader);
    }
    return null;
  }

  /** Waits for one. Rejects after a minute without. */
  async agreedLeader(): Promise<RealNode> {
    return await until(async () => await this.leader(), {
      ...{ timeoutMs: LEADER_TIMEOUT_MS, what: 'a leader that a majority agrees on', pollMs: 50 },
      explain: () => this.logTails(),
    });
  }

  /** Of every node that answers within a second. */
  async views(): Promise<View[]> {
    const awake = this.nodes.filter((node) => node.alive && !node.paused);
    const views = await Promise.all(awake.map(async (node) => await viewOf(node)));
    return views.filter((view) => view !== null);
  }

  node(name: string): RealNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  }

  log(message: string): void {
    this.#log(message);
  }

  logTails(): string {
    return this.nodes.map((node) => node.logTail()).join('\n');
  }

  /** Tells everything that listens to `signal` that it is over. */
  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  /** Kills the nodes and removes everything. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.abort(new Error('the lab is closed'));
    await Promise.all(this.nodes.map(async (node) => await node.kill('SIGKILL')));
    await this.network.close();
    this.#leave();
    process.off('exit', this.#atExit);
  }

  #leave(): void {
    for (const node of this.nodes) if (node.alive) process.kill(node.pid, 'SIGKILL');
    this.network.closeNow();
    removeDirectory(this.directory);
  }
}

async function viewOf(node: LabNode): Promise<View | null> {
  try {
    const answer = await callNode(node.url, { method: 'GET', path: '/v1/cluster', deadlineMs: VIEW_TIMEOUT_MS });
    return answer.type === 'answer' && answer.status === 200 ? (JSON.parse(answer.body.toString()) as View) : null;
  } catch {
    return null;
  }
}

let diesWithParent: boolean | null = null;

/** Linux with util-linux: the kernel kills the child, paused or not, when this process is gone. */
function canDieWithParent(): boolean {
  diesWithParent ??= commandNow('setpriv', ['--pdeathsig', 'KILL', 'true']);
  return diesWithParent;
}

function removeLeftovers(): void {
  for (const name of readdirSync(os.tmpdir())) {
    const [, pid, start] = NAMED.exec(name) ?? [];
    if (pid !== undefined && isMakerDead(`${pid}-${start}`)) removeDirectory(path.join(os.tmpdir(), name));
  }
}

/** Also what a fault mounted in it. */
function removeDirectory(directory: string): void {
  for (const mountPoint of mountsBelow(directory)) commandNow('umount', ['-l', mountPoint]);
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
}

/** Innermost first. */
function mountsBelow(directory: string): string[] {
  let mounts: string;
  try {
    mounts = readFileSync('/proc/self/mounts', 'utf8');
  } catch {
    return [];
  }
  return mounts
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((mountPoint) => mountPoint.startsWith(`${directory}/`))
    .reverse();
}
