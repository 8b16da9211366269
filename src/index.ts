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
import { startHttp } from './http/server.ts';
import { Node } from './node/node.ts';
import { realPlatform } from './node/real-platform.ts';
import type { KvorumNode, NodeOptions } from './node/types.ts';

export { ERRORS, KvorumError, type ErrorCode, type KvorumErrorOptions, type Outcome } from './errors.ts';
export type { Condition, KeyEntry, KvEntry } from './kv/types.ts';
export type {
  AnswerHead,
  CallOptions,
  ClusterInfo,
  DeleteAnswer,
  GetAnswer,
  HttpOptions,
  Key,
  KvorumNode,
  Limits,
  ListAnswer,
  ListOptions,
  Logger,
  MemberInfo,
  MutationOptions,
  NodeOptions,
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
export async function startNode(options: NodeOptions = {}): Promise<KvorumNode> {
  const node = await Node.open(options, realPlatform);
  try {
    const { http, logger } = options;
    if (http !== undefined && http !== false) {
      node.serve(await startHttp(node, logger === undefined ? http : { ...http, logger }));
    }
    await node.join();
    return node;
  } catch (error) {
    await node.close({ drainTimeoutMs: 0 });
    throw error;
  }
}
