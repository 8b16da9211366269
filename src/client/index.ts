/**
 * `kvorum/client`: a client for Kvorum that runs wherever there is `fetch` (Node, Deno, Bun, browsers), and loads nothing but itself.
 *
 * @example
 * import { connect, get, put, value } from 'kvorum/client';
 *
 * const client = connect('http://127.0.0.1:7101');
 *
 * await client.put('stock/7', '3');
 * const { succeeded } = await client.txn({ if: [value('stock/7').is('3')], then: [put('stock/7', '2')], else: [get('stock/7')] });
 *
 * const lock = await client.lock('orders/42', { wait: '5s' });
 * try {
 *   lock.guard();
 * } finally {
 *   await lock.release();
 * }
 * await client.close();
 */
export { connect } from './connect.ts';
export { Client } from './client.ts';
export type { DeleteResult, Page, PutResult } from './client.ts';
export type {
  CallOptions,
  ConnectOptions,
  ListOptions,
  PutOptions,
  ReadOptions,
  SpanOptions,
  WriteCondition,
  WriteOptions,
} from './options.ts';
export { bytes, json, text } from './codec.ts';
export type { Codec, SchemaInput, SchemaIssue, SchemaOutput, SchemaResult, StandardSchema } from './codec.ts';
export type { Duration } from './duration.ts';
export type { Entry, KeyEntry } from './entry.ts';
export {
  createRevision,
  del,
  delPrefix,
  exists,
  get,
  lease,
  missing,
  modRevision,
  put,
  range,
  token,
  value,
  version,
} from './txn.ts';
export type {
  DeleteOperation,
  DeletePrefixOperation,
  DeleteResponse,
  GetOperation,
  GetResponse,
  Guard,
  NumberGuards,
  Operation,
  PutOperation,
  PutResponse,
  RangeOperation,
  RangeResponse,
  ResponseOf,
  ResponsesOf,
  Transaction,
  TransactionResult,
} from './txn.ts';
export type { DeleteEvent, PutEvent, ResyncBatch, Watch, WatchBatch, WatchOptions } from './watch.ts';
export type { Subscription } from './subscription.ts';
export type { Lease, LeaseOptions } from './lease.ts';
export type { AcquireOptions, Hold } from './seat.ts';
export type { Lock, LockOptions, Locks, SemaphoreOptions } from './lock.ts';
export type { CampaignOptions, Election, ObserveOptions, Term } from './election.ts';
export type { Barrier } from './barrier.ts';
export type { Counter } from './counter.ts';
export type { Members } from './members.ts';
export type { ServiceListOptions, Services, ServiceWatchOptions } from './services/services.ts';
export type { RegisterOptions, Registration } from './services/registration.ts';
export type { Checker, CheckTiming, HealthCheck } from './services/check.ts';
export type { EjectionOptions, HealthHint, Picker, PickOptions } from './services/picker.ts';
export type { InstanceStatus, ServiceInstance, ServiceView } from './services/instance.ts';
export type { ServiceSummary } from './services/census.ts';
export type {
  BarrierInfo,
  ClusterInfo,
  Consistency,
  ElectionInfo,
  Key,
  LeaseInfo,
  LockInfo,
  LockMode,
  MemberInfo,
} from './api.ts';
export type { BackoffOptions } from './backoff.ts';
export type { ClientEnvironment } from './environment.ts';
export type { Fetch } from './http-link.ts';
// One error class and one table of codes for the whole of Kvorum.
export { ERRORS, KvorumError } from '../errors.ts';
export type { ErrorCode, Outcome } from '../errors.ts';
