/** A node: opens the disk, joins its cluster, runs the replica loop and answers callers. The only shell. */
import { Registry } from 'prom-client';
import { KvorumError } from '../errors.ts';
import type { SoftState } from '../raft/types.ts';
import { openLevelStore } from '../storage/level-store.ts';
import type { Store } from '../storage/types.ts';
import { createLibp2pTransport } from '../transport/libp2p-transport.ts';
import type { Channel, Hello, PeerEvent, Transport, Verdict } from '../transport/types.ts';
import { realEnvironment, type Environment } from './env.ts';
import { openIdentity, type Identity } from './identity.ts';
import { KvService } from './kv-service.ts';
import { Loop } from './loop.ts';
import { describeCluster } from './members.ts';
import { registerMetrics } from './metrics.ts';
import { resolveOptions, type ResolvedOptions } from './options.ts';
import { Replica } from './replica.ts';
import { TransferDesk } from './transfer.ts';
import type {
  AnswerHead,
  CallOptions,
  ClusterInfo,
  DeleteAnswer,
  GetAnswer,
  Key,
  KvorumNode,
  Limits,
  ListAnswer,
  ListOptions,
  NodeOptions,
  PutAnswer,
  PutOptions,
  Readiness,
  ReadOptions,
  Value,
  WriteOptions,
} from './types.ts';
