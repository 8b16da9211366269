/**
 * Kvorum: one copy of a fact that everybody agrees on, inside your process.
 *
 * @example
 * import { startNode } from 'kvorum';
 *
 * const node = await startNode(); // a cluster of one, in .kvorum/n1
 * try {
 *   await node.put('greeting', 'hello');
 *   const { entry } = await node.get('greeting');
 *   console.log(new TextDecoder().decode(entry?.value));
 * } finally {
 *   await node.close();
 * }
 */
import { clientOver, coreOver, type Client } from './client/client.ts';
import { text } from './client/codec.ts';
import { EmbeddedTransport } from './client/embedded-transport.ts';
import { Neighbours } from './client/neighbours.ts';
import type { ConnectOptions } from './client/options.ts';
import { DhtAnnouncer } from './client/services/dht-announcer.ts';
import { KvorumError } from './errors.ts';
import { startHttp } from './http/server.ts';
import { startIsolated } from './isolate/isolated-node.ts';
import { openNode } from './node/open.ts';
import { realPlatform } from './node/real-platform.ts';
import type { KvorumNode, NodeOptions as Options } from './node/types.ts';

export { ERRORS, KvorumError, type ErrorCode, type KvorumErrorOptions, type Outcome } from './errors.ts';
export type { Condition, KeyEntry, KvEntry } from './kv/types.ts';
export type {
  AnswerHead,
  CallOptions,
  ClusterInfo,
  DeleteAnswer,
  DhtCost,
  DhtGetAnswer,
  DhtLookupAnswer,
  DhtOutcome,
  DhtPeer,
  DhtProvidersAnswer,
  DhtPutAnswer,
  DhtPutOptions,
  DhtQueryOptions,
  DhtRecord,
  DhtReport,
  DhtStep,
  GetAnswer,
  HttpOptions,
  JoinToken,
  JoinTokenOptions,
  Key,
  KvorumNode,
  Limits,
  ListAnswer,
  ListOptions,
  Logger,
  MemberAnswer,
  MemberInfo,
  Members,
  MutationOptions,
  NewMember,
  NodeCard,
  NodeDht,
  OwnDht,
  PutAnswer,
  PutOptions,
  Readiness,
  ReadOptions,
  StoreSettings,
  Timing,
  Value,
  WriteOptions,
  Written,
} from './node/types.ts';
export type {
  AcquireOptions,
  Barriers,
  CampaignOptions,
  Coordination,
  CounterAnswer,
  Counters,
  ElectionInfo,
  Elections,
  HolderOf,
  KeySpan,
  LeaseAnswer,
  LeaseInfo,
  Leases,
  LockAnswer,
  LockHolder,
  LockInfo,
  LockOptions,
  Locks,
  TxnAnswer,
  TxnAnswerStep,
  TxnCompare,
  TxnRequest,
  TxnRequestStep,
  Watch,
  WatchBatch,
  WatchEvent,
  WatchOptions,
} from './node/coordination.ts';
export type { Once } from './machine/types.ts';

/** Of `startNode`. */
export interface NodeOptions extends Options {
  /**
   * Run the node in a worker thread, HTTP API and all: then an application that keeps its event loop busy for longer than the election time-out deposes no leader and
   * loses no lease, it only hears of its own answers later. What is synchronous (`cluster()`, `head()`, `readiness()`) says what the thread said last, at most 100 ms before this thread
   * had time to listen. `registry` cannot be given; that of the node has `metrics()` and `contentType`. Default false.
   */
  readonly isolate?: boolean;
}

/** Of `node.client()`. */
export type EmbeddedClientOptions = Omit<
  ConnectOptions,
  'token' | 'fetch' | 'secret' | 'name' | 'preferLeader' | 'discover'
>;

/** What `startNode` gives: a node, and clients of it. */
export interface EmbeddedNode extends KvorumNode {
  /**
   * The client of `kvorum/client` on this node, without a network in between: sessions that make writes happen once, locks that fence themselves, watches, typed values.
   * Ends with the node, before it, or by its own `close()`.
   *
   * @example
   * const client = node.client();
   * const lock = await client.lock('orders/42', { wait: '5s' });
   */
  client(options?: EmbeddedClientOptions): Client;
}

/**
 * Starts a node, and resolves when it has joined its cluster: a cluster of one at once, a new cluster once every first member is there.
 * With `http` the API is served from the beginning, so that `/livez` and `/readyz` answer while it waits.
 *
 * A library: it handles no signals, never exits the process, and writes nothing unless given a `logger`.
 *
 * Rejects with a KvorumError: ERR_CONFIG (an option is wrong), ERR_ADDRESS_IN_USE, ERR_DATA_DIR_IN_USE, ERR_DATA_DIR_FOREIGN, ERR_DATA_VERSION,
 * ERR_CORRUPT, ERR_BOOTSTRAP_CONFLICT, ERR_MEMBER_REPLACED, ERR_WRONG_SECRET, ERR_WRONG_CLUSTER; or with the signal's reason.
 * Nothing is left open then.
 */
export async function startNode({ isolate = false, ...options }: NodeOptions = {}): Promise<EmbeddedNode> {
  if (typeof isolate !== 'boolean') throw new KvorumError('ERR_CONFIG', 'isolate must be true or false');
  return withClients(isolate ? await startIsolated(options) : await startHere(options));
}

async function startHere(options: Options): Promise<KvorumNode> {
  const node = await openNode(options, realPlatform);
  try {
    const { http, logger } = options;
    if (http !== undefined && http !== false) {
      node.serve(await startHttp(node, logger === undefined ? http : { ...http, logger }));
    }
    await node.join();
    return options.role === 'agent' ? node : withAnnouncer(node);
  } catch (error) {
    await node.close({ drainTimeoutMs: 0 });
    throw error;
  }
}

/** Instances of services that are registered over the network run beside no node: whoever leads tells the DHT of them. */
function withAnnouncer(node: KvorumNode): KvorumNode {
  const core = coreOver([new EmbeddedTransport(node)]);
  core.keep(new DhtAnnouncer(core, () => node.cluster().leader === node.name));
  const closeNode = node.close.bind(node);
  return Object.assign(node, {
    close: async (given?: { drainTimeoutMs?: number }): Promise<void> => {
      try {
        await core.close();
      } finally {
        await closeNode(given);
      }
    },
  });
}

/** Clients give back what they hold before the node is closed, as far as there is time. */
const CLIENTS_TIMEOUT_MS = 1000;

function withClients(node: KvorumNode): EmbeddedNode {
  const clients = new Set<Client>();
  const closeNode = node.close.bind(node);
  const host = new Neighbours(node, () => performance.now());
  let closing: Promise<void> | null = null;
  const close = async (given: { drainTimeoutMs?: number }): Promise<void> => {
    const { drainTimeoutMs = CLIENTS_TIMEOUT_MS } = given;
    await settledWithin(
      [...clients].map((client) => client.close()),
      Math.min(drainTimeoutMs, CLIENTS_TIMEOUT_MS),
    );
    await closeNode(given);
  };
  return Object.assign(node, {
    client: (options: EmbeddedClientOptions = {}): Client => {
      if (closing !== null) throw new KvorumError('ERR_CLOSED', 'the node is closed');
      const transport = new EmbeddedTransport(node, () => clients.delete(client));
      const client: Client = clientOver([transport], text, options, { host });
      clients.add(client);
      return client;
    },
    close: (given: { drainTimeoutMs?: number } = {}): Promise<void> => (closing ??= close(given)),
  });
}

/** What went wrong is the business of whoever closes the client. */
async function settledWithin(promises: readonly Promise<void>[], timeoutMs: number): Promise<void> {
  if (promises.length === 0) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    void Promise.allSettled(promises).then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
