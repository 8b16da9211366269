/**
 * A node in a thread of its own, as the thread that started it sees it: the interface of a node, over a MessagePort. An application that keeps its event loop busy
 * keeps its own calls waiting, and nothing else: heartbeats, elections, the lease clock, peers and the HTTP API are in the other thread.
 */
import { Worker } from 'node:worker_threads';
import { KvorumError } from '../errors.ts';
import { METHOD } from '../node/remote/protocol.ts';
import { RemoteNode } from '../node/remote/remote-node.ts';
import { Requester } from '../node/remote/requester.ts';
import type { AnswerHead, ClusterInfo, KvorumNode, Limits, NodeOptions, Readiness } from '../node/types.ts';
import { errorOf, joined, type FromWorker, type State, type ToWorker, type WorkerData } from './messages.ts';

type Started = Extract<FromWorker, { type: 'started' }>;

/** A thread that does not end so long after its node was to be closed is ended. */
const END_GRACE_MS = 5000;
const DRAIN_TIMEOUT_MS = 2000;

/** Metrics as text: what the registry in the other thread says. */
export interface RemoteMetrics {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/** Rejects as `startNode`; ERR_CONFIG for options that cannot go to another thread. */
export async function startIsolated({ logger, registry, signal, ...options }: NodeOptions): Promise<KvorumNode> {
  if (registry !== undefined) {
    throw new KvorumError('ERR_CONFIG', 'registry cannot be used with isolate: the metrics are in another thread');
  }
  signal?.throwIfAborted();
  const workerData: WorkerData = { options, log: logger !== undefined };
  let worker: Worker;
  try {
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
    worker = new Worker(new URL(file, import.meta.url), { workerData, name: `kvorum ${options.name ?? 'n1'}` });
  } catch (cause) {
    throw new KvorumError('ERR_CONFIG', `the node cannot be started in a thread: ${String(cause)}`, { cause });
  }
  const requester = new Requester({
    send: (parts) => {
      const frame = joined(parts);
      worker.postMessage(frame, [frame.buffer]);
      return true;
    },
    state: (answer) => node?.took(answer[2] as State),
  });
  let node: IsolatedNode | null = null;
  const onAbort = (): void => worker.postMessage({ type: 'abort' } satisfies ToWorker);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await new Promise<KvorumNode>((resolve, reject) => {
      let failure: KvorumError | null = null;
      const stopped = (error: KvorumError): void => {
        failure ??= error;
        requester.close(new KvorumError('ERR_CLOSED', `the node has stopped: ${error.message}`, { cause: error }));
        if (node === null) reject(error);
        else node.stopped(error);
      };
      worker.on('message', (message: FromWorker) => {
        if (message instanceof Uint8Array) {
          requester.frame(message);
          return;
        }
        switch (message.type) {
          case 'started':
            node = new IsolatedNode(worker, requester, message);
            resolve(node);
            return;
          case 'refused':
            reject(signal?.aborted === true ? (signal.reason as Error) : errorOf(message.error));
            return;
          case 'failed':
            node?.stopped(errorOf(message.error));
            return;
          case 'log':
            logger?.[message.level](message.fields, message.message);
        }
      });
      worker.on('error', (error: unknown) => {
        const text = error instanceof Error ? error.message : String(error);
        stopped(new KvorumError('ERR_INTERNAL', `the thread of the node died: ${text}`, { cause: error }));
      });
      worker.on('exit', (code) => {
        if (node?.closing !== true) stopped(new KvorumError('ERR_INTERNAL', `the thread of the node ended (${code})`));
        else requester.close(new KvorumError('ERR_CLOSED', 'the node is closed'));
      });
    });
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

class IsolatedNode implements KvorumNode {
  readonly name: string;
  readonly id: string;
  readonly clusterId: string;
  readonly address: string;
  readonly url: string | null;
  readonly limits: Limits;
  readonly registry: RemoteMetrics;
  readonly failed: Promise<Error>;
  readonly leases: KvorumNode['leases'];
  readonly locks: KvorumNode['locks'];
  readonly elections: KvorumNode['elections'];
  readonly barriers: KvorumNode['barriers'];
  readonly counters: KvorumNode['counters'];
  readonly members: KvorumNode['members'];
  readonly dht: KvorumNode['dht'];
  readonly put: KvorumNode['put'];
  readonly get: KvorumNode['get'];
  readonly delete: KvorumNode['delete'];
  readonly deleteRange: KvorumNode['deleteRange'];
  readonly list: KvorumNode['list'];
  readonly txn: KvorumNode['txn'];
  readonly watch: KvorumNode['watch'];
  readonly compact: KvorumNode['compact'];
  readonly transferLeadership: KvorumNode['transferLeadership'];
  readonly #worker: Worker;
  readonly #requester: Requester;
  readonly #group: number;
  #state: State;
  #fail!: (error: Error) => void;
  #failure: KvorumError | null = null;
  #closing: Promise<void> | null = null;

  constructor(worker: Worker, requester: Requester, started: Started) {
    this.#worker = worker;
    this.#requester = requester;
    const { name, id, clusterId, address, url, limits, head, state, metricsType } = started;
    this.name = name;
    this.id = id;
    this.clusterId = clusterId;
    this.address = address;
    this.url = url;
    this.limits = limits;
    this.#group = head.group;
    this.#state = state;
    requester.maxInflight = limits.maxPending;
    requester.revision = Math.max(requester.revision, head.revision);
    requester.term = Math.max(requester.term, head.term);
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    const remote = new RemoteNode(requester);
    this.registry = {
      contentType: metricsType,
      metrics: () => remote.ask<string>(METHOD.metrics, []),
    };
    this.leases = remote.leases;
    this.locks = remote.locks;
    this.elections = remote.elections;
    this.barriers = remote.barriers;
    this.counters = remote.counters;
    this.members = remote.members;
    this.dht = {
      ...remote.dht,
      host: async (service, instance, said) =>
        void (await remote.ask<null>(METHOD.dhtHost, said === null ? [service, instance] : [service, instance, said])),
    };
    this.put = remote.put.bind(remote);
    this.get = remote.get.bind(remote);
    this.delete = remote.delete.bind(remote);
    this.deleteRange = remote.deleteRange.bind(remote);
    this.list = remote.list.bind(remote);
    this.txn = remote.txn.bind(remote);
    this.watch = remote.watch.bind(remote);
    this.compact = remote.compact.bind(remote);
    this.transferLeadership = remote.transferLeadership.bind(remote);
  }

  /** As the other thread said last: at most 100 ms old, and older by as long as this thread was busy. */
  cluster(): ClusterInfo {
    return this.#state.cluster;
  }

  /** As of the last word from the other thread: never older than what came with the last answer. */
  head(): AnswerHead {
    const { revision, term } = this.#requester;
    return { group: this.#group, revision, term, servedBy: this.name };
  }

  /** As `cluster()`; what this thread knows by itself it says at once. */
  readiness(): Readiness {
    const { checks } = this.#state.readiness;
    const own = [
      { name: 'thread', ok: this.#failure === null, detail: this.#failure?.message ?? 'the thread of the node runs' },
      { name: 'closing', ok: this.#closing === null, detail: this.#closing === null ? 'no' : 'the node is closing' },
    ];
    const all = [...own, ...checks];
    return { ready: all.every(({ ok }) => ok), checks: all };
  }

  get closing(): boolean {
    return this.#closing !== null;
  }

  took(state: State): void {
    this.#state = state;
  }

  stopped(error: KvorumError): void {
    this.#failure ??= error;
    this.#fail(error);
  }

  close(options: { drainTimeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.drainTimeoutMs ?? DRAIN_TIMEOUT_MS);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(drainTimeoutMs: number): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      if (this.#worker.threadId === -1) resolve();
      else this.#worker.once('exit', () => resolve());
    });
    const timer = setTimeout(() => void this.#worker.terminate(), drainTimeoutMs + END_GRACE_MS);
    try {
      await this.#requester.call([0, METHOD.close, drainTimeoutMs], 16, () => null);
    } catch (error) {
      // A thread that is gone is closed; what else went wrong while it closed is told.
      if (!KvorumError.is(error, 'ERR_CLOSED')) throw error;
    } finally {
      await ended;
      clearTimeout(timer);
    }
  }
}
