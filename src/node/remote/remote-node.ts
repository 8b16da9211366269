/** The call surface of a node that is elsewhere: the same as of one in this process, without what is only there (`KvorumNode`). */
import { KvorumError } from '../../errors.ts';
import type { KeyEntry, KvEntry } from '../../kv/types.ts';
import type {
  Barriers,
  CounterAnswer,
  Counters,
  ElectionInfo,
  Elections,
  KeySpan,
  LeaseAnswer,
  LeaseInfo,
  Leases,
  LockAnswer,
  LockInfo,
  Locks,
  TxnAnswer,
  TxnRequest,
  Watch,
  WatchOptions,
} from '../coordination.ts';
import type {
  CallOptions,
  ClusterInfo,
  DeleteAnswer,
  DhtGetAnswer,
  DhtLookupAnswer,
  DhtProvidersAnswer,
  DhtPutAnswer,
  DhtRecord,
  GetAnswer,
  JoinToken,
  Key,
  ListAnswer,
  ListOptions,
  MemberAnswer,
  MemberInfo,
  Members,
  MutationOptions,
  NodeDht,
  PutAnswer,
  PutOptions,
  ReadOptions,
  Value,
  WriteOptions,
  Written,
} from '../types.ts';
import { encodeCondition, encodeHolder, encodeOnce, encodeOptions, encodeTarget } from './arguments.ts';
import { decodeEntry, decodePrev } from './entries.ts';
import { malformed, METHOD } from './protocol.ts';
import { RemoteObservation, RemoteWatch } from './remote-streams.ts';
import type { Requester } from './requester.ts';

/** About what a request needs beside its key and value. */
const REQUEST_BYTES = 64;

export class RemoteNode {
  readonly leases: Leases;
  readonly locks: Locks;
  readonly elections: Elections;
  readonly barriers: Barriers;
  readonly counters: Counters;
  readonly members: Members;
  readonly dht: NodeDht;
  readonly #requester: Requester;

  constructor(requester: Requester) {
    this.#requester = requester;
    this.leases = {
      grant: (options) => this.ask<LeaseAnswer>(METHOD.leaseGrant, [], options),
      renew: (id, options) => this.ask<LeaseAnswer>(METHOD.leaseRenew, [id], options),
      revoke: (id, options) => this.ask<Written & { deleted: number }>(METHOD.leaseRevoke, [id], options),
      get: (id, options) => this.ask<LeaseInfo>(METHOD.leaseGet, [id], options),
      list: (options) => this.ask<readonly LeaseInfo[]>(METHOD.leaseList, [], options),
    };
    this.locks = {
      acquire: (name, options) => this.ask<LockAnswer>(METHOD.lockAcquire, [name], options),
      renew: (name, holder, options) =>
        this.ask<{ ttlMs: number }>(METHOD.lockRenew, [name, encodeHolder(holder)], options),
      release: (name, holder, options) =>
        this.ask<Written & { released: boolean }>(METHOD.lockRelease, [name, encodeHolder(holder)], options),
      get: (name, options) => this.ask<LockInfo>(METHOD.lockGet, [name], options),
      list: (options) => this.ask<readonly LockInfo[]>(METHOD.lockList, [], options),
      break: (name, options) => this.ask<Written & { broken: number }>(METHOD.lockBreak, [name], options),
    };
    this.elections = {
      campaign: (name, options) => this.ask<LockAnswer>(METHOD.electionCampaign, [name], options),
      proclaim: (name, { token, value }, options) =>
        this.ask<Written>(METHOD.electionProclaim, [name, token, value], options),
      resign: (name, { token }, options) =>
        this.ask<Written & { resigned: boolean }>(METHOD.electionResign, [name, token], options),
      get: (name, options) => this.ask<ElectionInfo>(METHOD.electionGet, [name], options),
      observe: (name, options) => {
        const observation = new RemoteObservation<ElectionInfo>(requester);
        observation.begin(METHOD.electionObserve, [name], encodeOptions(options), options?.signal);
        return observation;
      },
    };
    this.barriers = {
      enter: (name, options) => this.ask<LockAnswer>(METHOD.barrierEnter, [name], options),
      get: (name, options) =>
        this.ask<{ name: string; parties: number; entered: number }>(METHOD.barrierGet, [name], options),
    };
    this.counters = {
      add: (name, delta = 1, options = {}) => this.ask<CounterAnswer>(METHOD.counterAdd, [name, delta], options),
      get: (name, options) => this.ask<CounterAnswer>(METHOD.counterGet, [name], options),
      delete: (name, options) => this.ask<Written & { deleted: boolean }>(METHOD.counterDelete, [name], options),
    };
    this.members = {
      add: (member, options) => this.ask<MemberAnswer>(METHOD.memberAdd, [member], options),
      promote: (member, options) => this.ask<MemberAnswer>(METHOD.memberPromote, [member], options),
      demote: (member, options) => this.ask<MemberAnswer>(METHOD.memberDemote, [member], options),
      replace: (member, by, options) => this.ask<MemberAnswer>(METHOD.memberReplace, [member, by], options),
      remove: (member, options) => this.ask<{ removed: boolean }>(METHOD.memberRemove, [member], options),
      list: (options) => this.ask<readonly MemberInfo[]>(METHOD.memberList, [], options),
      watch: (options) => {
        const observation = new RemoteObservation<readonly MemberInfo[]>(requester);
        observation.begin(METHOD.memberWatch, [], encodeOptions(options), options?.signal);
        return observation;
      },
      createToken: (options) => this.ask<JoinToken>(METHOD.createToken, [], options),
    };
    this.dht = {
      get: async (key, options) => {
        const answer = await this.ask<DhtGetAnswer>(METHOD.dhtGet, [key], options);
        return { ...answer, record: answer.record === null ? null : copied(answer.record) };
      },
      put: (key, value, options) => this.ask<DhtPutAnswer>(METHOD.dhtPut, [key, value], options),
      providers: async (name, options) => {
        const answer = await this.ask<DhtProvidersAnswer>(METHOD.dhtProviders, [name], options);
        return { ...answer, records: answer.records.map(copied) };
      },
      lookup: (target, options) => this.ask<DhtLookupAnswer>(METHOD.dhtLookup, [encodeTarget(target)], options),
    };
  }

  /** `put`, `get` and `delete` are not told of an abort: the answer comes anyway, and nobody may be waiting for it. */
  put(key: Key, value: Value, options: PutOptions = {}): Promise<PutAnswer> {
    const { timeoutMs = null, contentType = null, once, lease = null, condition, prev = null, signal } = options;
    const fault = faultOf(key, 'ERR_BAD_KEY') ?? faultOf(value);
    if (fault !== null) return Promise.reject(fault);
    const request = [0, METHOD.put, key, value, timeoutMs, contentType, encodeOnce(once), lease];
    if (condition !== undefined || prev !== null) request.push(encodeCondition(condition), prev);
    const bytes = REQUEST_BYTES + key.length + value.length;
    return this.#requester.longCall(request, bytes, putAnswer, signal);
  }

  get(key: Key, options: ReadOptions = {}): Promise<GetAnswer> {
    const { timeoutMs = null, revision = null, consistency = null, signal } = options;
    const fault = faultOf(key, 'ERR_BAD_KEY');
    if (fault !== null) return Promise.reject(fault);
    const request = [0, METHOD.get, key, timeoutMs, revision, consistency];
    return this.#requester.longCall(request, REQUEST_BYTES + key.length, getAnswer, signal);
  }

  delete(key: Key, options: WriteOptions = {}): Promise<DeleteAnswer> {
    const { timeoutMs = null, once, condition, prev = null, signal } = options;
    const fault = faultOf(key, 'ERR_BAD_KEY');
    if (fault !== null) return Promise.reject(fault);
    const request = [0, METHOD.delete, key, timeoutMs, encodeOnce(once), encodeCondition(condition), prev];
    return this.#requester.longCall(request, REQUEST_BYTES + key.length, deleteAnswer, signal);
  }

  deleteRange(range: KeySpan, options?: MutationOptions): Promise<DeleteAnswer> {
    return this.ask<DeleteAnswer>(METHOD.deleteRange, [range], options);
  }

  list(options?: ListOptions): Promise<ListAnswer> {
    const request = [0, METHOD.list, encodeOptions(options)];
    return this.#requester.longCall(request, REQUEST_BYTES, listAnswer, options?.signal);
  }

  txn(request: TxnRequest, options?: MutationOptions): Promise<TxnAnswer> {
    return this.ask<TxnAnswer>(METHOD.txn, [request], options);
  }

  async watch(options: WatchOptions = {}): Promise<Watch> {
    return new RemoteWatch(this.#requester).open(encodeOptions(options), options.signal);
  }

  compact(revision: number, options?: MutationOptions): Promise<Written & { readonly compactedRevision: number }> {
    return this.ask(METHOD.compact, [revision], options);
  }

  transferLeadership(to?: string, options?: CallOptions): Promise<{ leader: string | null }> {
    return this.ask(METHOD.transferLeadership, [to ?? null], options);
  }

  /** As of the answer. */
  clusterInfo(options?: CallOptions): Promise<ClusterInfo> {
    return this.ask<ClusterInfo>(METHOD.cluster, [], options);
  }

  /** Any method whose answer is one value. */
  async ask<T>(method: number, positional: readonly unknown[], options?: CallOptions): Promise<T> {
    for (const argument of positional) {
      const fault = faultOf(argument);
      if (fault !== null) throw fault;
    }
    const request = [0, method, ...positional, encodeOptions(options)];
    return this.#requester.longCall(request, sizeOf(positional), (answer) => answer[2] as T, options?.signal);
  }
}

/** What was unpacked is a view of the frame that it came in. */
function copied(record: DhtRecord): DhtRecord {
  return { ...record, value: new Uint8Array(record.value) };
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Text that has no UTF-8 form would arrive as another one. */
function faultOf(given: unknown, code: 'ERR_BAD_KEY' | 'ERR_INVALID_ARGUMENT' = 'ERR_INVALID_ARGUMENT') {
  if (typeof given !== 'string' || !LONE_SURROGATE.test(given)) return null;
  return new KvorumError(code, 'the text has a lone surrogate, which UTF-8 cannot write');
}

/** About what arguments need. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length + 5;
  if (typeof value !== 'object' || value === null) return 9;
  let bytes = REQUEST_BYTES;
  for (const field of Object.values(value) as unknown[]) bytes += sizeOf(field);
  return bytes;
}

function putAnswer([, , revision, created, replayed, prev]: readonly unknown[], frameBytes: number): PutAnswer {
  if (typeof revision !== 'number') throw malformed('answer');
  const answer = { revision, created: created === true };
  return completed(answer, replayed, decodePrev(prev, frameBytes));
}

function deleteAnswer([, , revision, deleted, replayed, prev]: readonly unknown[], frameBytes: number): DeleteAnswer {
  if (typeof revision !== 'number' || typeof deleted !== 'number') throw malformed('answer');
  return completed({ revision, deleted }, replayed, decodePrev(prev, frameBytes));
}

function completed<T extends Written>(
  answer: T,
  replayed: unknown,
  prev: KvEntry | null | undefined,
): T & { replayed?: true; prev?: KvEntry | null } {
  if (replayed !== true && prev === undefined) return answer;
  return { ...answer, ...(replayed === true && { replayed: true }), ...(prev !== undefined && { prev }) };
}

function getAnswer([, , revision, entry]: readonly unknown[], frameBytes: number): GetAnswer {
  if (typeof revision !== 'number') throw malformed('answer');
  return { revision, entry: entry === undefined || entry === null ? null : decodeEntry(entry, frameBytes) };
}

function listAnswer(answer: readonly unknown[], frameBytes: number): ListAnswer {
  const list = answer[2];
  if (!Array.isArray(list) || !Array.isArray(list[3])) throw malformed('answer');
  const [revision, count, nextCursor, entries] = list as [number, number, string | null, unknown[]];
  return { revision, count, nextCursor, entries: entries.map((entry) => decodeListed(entry, frameBytes)) };
}

function decodeListed(fields: unknown, frameBytes: number): KvEntry | KeyEntry {
  if (!Array.isArray(fields)) throw malformed('entry');
  if (fields.length > 5) return decodeEntry(fields, frameBytes);
  const [key, createRevision, modRevision, version, lease] = fields as [string, number, number, number, string | null];
  return { key, createRevision, modRevision, version, lease };
}
