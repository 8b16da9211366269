/**
 * Calls on a node as an object: the embedded one, or one at the end of a binary stream, which look the same from here. What they take and give is written down
 * again in `api.ts`, so little is left to do.
 */
import { KvorumError } from '../errors.ts';
import type {
  AcquireRequest,
  Attempt,
  BarrierInfo,
  CampaignRequest,
  ClientTransport,
  ClusterInfo,
  Condition,
  DeleteAnswer,
  DeleteRequest,
  ElectionInfo,
  EnterRequest,
  GetAnswer,
  GetRequest,
  HolderRequest,
  Key,
  KeySpan,
  LeaseAnswer,
  LeaseInfo,
  ListAnswer,
  ListRequest,
  LockInfo,
  MemberInfo,
  Once,
  PutAnswer,
  PutRequest,
  RawBatch,
  RawEvent,
  SeatAnswer,
  SeatRequest,
  Stream,
  TxnAnswer,
  TxnRequest,
  Value,
  WatchRequest,
} from './api.ts';
import { base64url, byteKeyOf, byteKeyOfText, bytesOfBase64, bytesOfByteKey } from './bytes.ts';

interface Call {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Mutation extends Call {
  readonly once?: Once;
}

interface Write extends Mutation {
  readonly condition?: Condition;
  readonly prev?: boolean;
}

interface Seat extends Mutation {
  readonly lease?: string;
  readonly ttlMs?: number;
  readonly waitMs?: number;
  readonly keepPlace?: boolean;
  readonly owner?: unknown;
}

interface NodeWatch {
  /** Everything before it was given, or came before. */
  readonly position: number;
  next(): Promise<IteratorResult<{ readonly revision: number; readonly events: readonly RawEvent[] }>>;
  close(): void;
}

/** The part of a node's interface that a client uses. */
export interface NodeCalls {
  put(key: Key, value: Value, options?: Write & { contentType?: string; lease?: string }): Promise<PutAnswer>;
  get(key: Key, options?: Call & { consistency?: 'linearizable' | 'stale'; revision?: number }): Promise<GetAnswer>;
  delete(key: Key, options?: Write): Promise<DeleteAnswer>;
  deleteRange(range: KeySpan, options?: Mutation): Promise<DeleteAnswer>;
  list(options?: Call & ListRequest): Promise<ListAnswer>;
  /** Checked by the node: what there may be in a list is the same there, but for what is optional. */
  txn(
    request: { if?: readonly unknown[]; then?: readonly unknown[]; else?: readonly unknown[] },
    options?: Mutation,
  ): Promise<TxnAnswer>;
  compact(revision: number, options?: Mutation): Promise<{ readonly compactedRevision: number }>;
  watch(
    options?: Call & {
      key?: Key;
      prefix?: Key;
      start?: Key;
      end?: Key | null;
      from?: number;
      prev?: boolean;
      filter?: 'put' | 'delete';
    },
  ): Promise<NodeWatch>;
  readonly leases: {
    grant(options?: Mutation & { ttlMs?: number; owner?: unknown }): Promise<LeaseAnswer>;
    renew(id: string, options?: Call): Promise<LeaseAnswer>;
    revoke(id: string, options?: Mutation): Promise<unknown>;
    get(id: string, options?: Call): Promise<LeaseInfo>;
    list(options?: Call & { after?: string }): Promise<readonly LeaseInfo[]>;
  };
  readonly locks: {
    acquire(
      name: string,
      options?: Seat & { mode?: 'exclusive' | 'read' | 'write'; permits?: number; delayMs?: number },
    ): Promise<SeatAnswer>;
    renew(name: string, holder: { token: number }, options?: Call): Promise<{ readonly ttlMs: number }>;
    release(name: string, holder: { token: number }, options?: Mutation): Promise<{ readonly released: boolean }>;
    get(name: string, options?: Call): Promise<LockInfo>;
    list(options?: Call & { prefix?: string; after?: string }): Promise<readonly LockInfo[]>;
    break(name: string, options?: Mutation): Promise<{ readonly broken: number }>;
  };
  readonly elections: {
    campaign(name: string, options?: Seat & { value?: string }): Promise<SeatAnswer>;
    proclaim(name: string, said: { token: number; value: string }, options?: Mutation): Promise<unknown>;
    resign(name: string, holder: { token: number }, options?: Mutation): Promise<{ readonly resigned: boolean }>;
    get(name: string, options?: Call): Promise<ElectionInfo>;
    observe(name: string, options?: Call): AsyncIterator<ElectionInfo> & { close(): void };
  };
  readonly barriers: {
    enter(name: string, options: Seat & { parties: number }): Promise<SeatAnswer>;
    get(name: string, options?: Call): Promise<BarrierInfo>;
  };
  readonly members: {
    list(options?: Call): Promise<readonly MemberInfo[]>;
    watch(options?: Call): AsyncIterator<readonly MemberInfo[]> & { close(): void };
  };
  readonly counters: {
    add(name: string, delta?: number, options?: Mutation): Promise<{ readonly value: number }>;
    get(name: string, options?: Call): Promise<{ readonly value: number }>;
    delete(name: string, options?: Mutation): Promise<{ readonly deleted: boolean }>;
  };
}

type Open<T> = { -readonly [K in keyof T]: T[K] };

export abstract class NodeTransport<N extends NodeCalls = NodeCalls> implements ClientTransport {
  abstract readonly endpoint: string;
  abstract readonly servedBy: string | null;
  /** The node, if it is there at once. */
  protected abstract readonly node: N | null;
  /** Waits for it. */
  protected abstract reach(): Promise<N>;
  /** Raft group that revisions are of. */
  protected abstract groupOf(node: N): number;
  abstract cluster(attempt: Attempt): Promise<ClusterInfo>;
  abstract close(): Promise<void>;

  /** Nobody is told of an abort while a call is short: its answer comes anyway. */
  protected on<T>(attempt: Attempt, action: (node: N) => Promise<T>): Promise<T> {
    const { node } = this;
    return node === null ? this.#later(attempt, action) : action(node);
  }

  async #later<T>(attempt: Attempt, action: (node: N) => Promise<T>): Promise<T> {
    const node = await this.reach();
    attempt.signal.throwIfAborted();
    return action(node);
  }

  put(request: PutRequest, attempt: Attempt): Promise<PutAnswer> {
    const { key, value, contentType, lease, prev, condition } = request;
    const options: Open<Write> & { contentType: string; lease?: string } = {
      timeoutMs: attempt.timeoutMs,
      contentType,
    };
    if (attempt.once !== null) options.once = attempt.once;
    if (lease !== undefined) options.lease = lease;
    if (prev !== undefined) options.prev = prev;
    if (condition !== undefined) options.condition = condition;
    return this.on(attempt, (node) => node.put(key, value, options));
  }

  get({ key, revision, consistency }: GetRequest, attempt: Attempt): Promise<GetAnswer> {
    const options: { timeoutMs: number; revision?: number; consistency?: 'linearizable' | 'stale' } = {
      timeoutMs: attempt.timeoutMs,
    };
    if (revision !== undefined) options.revision = revision;
    if (consistency !== undefined) options.consistency = consistency;
    return this.on(attempt, (node) => node.get(key, options));
  }

  delete({ key, prev, condition }: DeleteRequest, attempt: Attempt): Promise<DeleteAnswer> {
    const options: Open<Write> = mutation(attempt);
    if (prev !== undefined) options.prev = prev;
    if (condition !== undefined) options.condition = condition;
    return this.on(attempt, (node) => node.delete(key, options));
  }

  deleteRange(span: KeySpan, attempt: Attempt): Promise<DeleteAnswer> {
    return this.on(attempt, (node) => node.deleteRange(span, mutation(attempt)));
  }

  list(request: ListRequest, attempt: Attempt): Promise<ListAnswer> {
    return this.on(attempt, (node) => node.list({ ...request, timeoutMs: attempt.timeoutMs }));
  }

  txn(request: TxnRequest, attempt: Attempt): Promise<TxnAnswer> {
    return this.on(attempt, (node) => node.txn(request, mutation(attempt)));
  }

  compact(revision: number, attempt: Attempt): Promise<{ readonly compactedRevision: number }> {
    return this.on(attempt, (node) => node.compact(revision, mutation(attempt)));
  }

  async watch(request: WatchRequest, attempt: Attempt): Promise<Stream<RawBatch>> {
    return this.on(attempt, async (node) => {
      const group = this.groupOf(node);
      const { span, from, after, prev, filter } = request;
      const first = after === null ? from : revisionOf(after, group) + 1;
      // The attempt counts until the watch stands, and no longer.
      const opening = new AbortController();
      const onAbort = (): void => opening.abort(attempt.signal.reason);
      attempt.signal.addEventListener('abort', onAbort, { once: true });
      if (attempt.signal.aborted) onAbort();
      try {
        const watch = await node.watch({
          ...span,
          ...(first !== null && { from: first }),
          ...(prev && { prev }),
          ...(filter !== null && { filter }),
          timeoutMs: attempt.timeoutMs,
          signal: opening.signal,
        });
        return new WatchSource(watch, group);
      } finally {
        attempt.signal.removeEventListener('abort', onAbort);
      }
    });
  }

  leaseGrant(
    { ttlMs, owner }: { readonly ttlMs: number; readonly owner?: unknown },
    attempt: Attempt,
  ): Promise<LeaseAnswer> {
    return this.on(attempt, (node) => node.leases.grant({ ...mutation(attempt), ttlMs, owner }));
  }

  leaseRenew(id: string, attempt: Attempt): Promise<LeaseAnswer> {
    return this.on(attempt, (node) => node.leases.renew(id, call(attempt)));
  }

  async leaseRevoke(id: string, attempt: Attempt): Promise<void> {
    await this.on(attempt, (node) => node.leases.revoke(id, mutation(attempt)));
  }

  leaseGet(id: string, attempt: Attempt): Promise<LeaseInfo> {
    return this.on(attempt, (node) => node.leases.get(id, call(attempt)));
  }

  leaseList(after: string | null, attempt: Attempt): Promise<readonly LeaseInfo[]> {
    return this.on(attempt, (node) => node.leases.list({ ...call(attempt), ...(after !== null && { after }) }));
  }

  lockAcquire(request: AcquireRequest, attempt: Attempt): Promise<SeatAnswer> {
    const { mode, permits, delayMs } = request;
    const options = {
      ...seat(request, attempt),
      ...(mode !== undefined && { mode }),
      ...(permits !== undefined && { permits }),
      ...(delayMs !== undefined && { delayMs }),
    };
    return this.on(attempt, (node) => node.locks.acquire(request.name, options));
  }

  lockRenew({ name, token }: HolderRequest, attempt: Attempt): Promise<{ readonly ttlMs: number }> {
    return this.on(attempt, (node) => node.locks.renew(name, { token }, call(attempt)));
  }

  lockRelease({ name, token }: HolderRequest, attempt: Attempt): Promise<{ readonly released: boolean }> {
    return this.on(attempt, (node) => node.locks.release(name, { token }, mutation(attempt)));
  }

  lockGet(name: string, attempt: Attempt): Promise<LockInfo> {
    return this.on(attempt, (node) => node.locks.get(name, call(attempt)));
  }

  lockList(
    { prefix, after }: { readonly prefix: string; readonly after: string | null },
    attempt: Attempt,
  ): Promise<readonly LockInfo[]> {
    return this.on(attempt, (node) => node.locks.list({ ...call(attempt), prefix, ...(after !== null && { after }) }));
  }

  lockBreak(name: string, attempt: Attempt): Promise<{ readonly broken: number }> {
    return this.on(attempt, (node) => node.locks.break(name, mutation(attempt)));
  }

  electionCampaign(request: CampaignRequest, attempt: Attempt): Promise<SeatAnswer> {
    const { name, value } = request;
    const options = { ...seat(request, attempt), ...(value !== undefined && { value }) };
    return this.on(attempt, (node) => node.elections.campaign(name, options));
  }

  async electionProclaim(
    { name, token, value }: HolderRequest & { readonly value: string },
    attempt: Attempt,
  ): Promise<void> {
    await this.on(attempt, (node) => node.elections.proclaim(name, { token, value }, mutation(attempt)));
  }

  electionResign({ name, token }: HolderRequest, attempt: Attempt): Promise<{ readonly resigned: boolean }> {
    return this.on(attempt, (node) => node.elections.resign(name, { token }, mutation(attempt)));
  }

  electionGet(name: string, attempt: Attempt): Promise<ElectionInfo> {
    return this.on(attempt, (node) => node.elections.get(name, call(attempt)));
  }

  electionObserve(
    { name }: { readonly name: string; readonly idleMs: number },
    attempt: Attempt,
  ): Promise<Stream<ElectionInfo>> {
    return this.on(attempt, (node) => Promise.resolve(streamOf(node.elections.observe(name, call(attempt)))));
  }

  members(attempt: Attempt): Promise<readonly MemberInfo[]> {
    return this.on(attempt, (node) => node.members.list(call(attempt)));
  }

  membersWatch(_request: { readonly idleMs: number }, attempt: Attempt): Promise<Stream<readonly MemberInfo[]>> {
    return this.on(attempt, (node) => Promise.resolve(streamOf(node.members.watch(call(attempt)))));
  }

  barrierEnter(request: EnterRequest, attempt: Attempt): Promise<SeatAnswer> {
    const { name, parties } = request;
    return this.on(attempt, (node) => node.barriers.enter(name, { ...seat(request, attempt), parties }));
  }

  barrierGet(name: string, attempt: Attempt): Promise<BarrierInfo> {
    return this.on(attempt, (node) => node.barriers.get(name, call(attempt)));
  }

  counterAdd(
    { name, delta }: { readonly name: string; readonly delta: number },
    attempt: Attempt,
  ): Promise<{ readonly value: number }> {
    return this.on(attempt, (node) => node.counters.add(name, delta, mutation(attempt)));
  }

  counterGet(name: string, attempt: Attempt): Promise<{ readonly value: number }> {
    return this.on(attempt, (node) => node.counters.get(name, call(attempt)));
  }

  counterDelete(name: string, attempt: Attempt): Promise<{ readonly deleted: boolean }> {
    return this.on(attempt, (node) => node.counters.delete(name, mutation(attempt)));
  }
}

function call({ timeoutMs }: Attempt): { timeoutMs: number } {
  return { timeoutMs };
}

function mutation({ timeoutMs, once }: Attempt): { timeoutMs: number; once?: Once } {
  return once === null ? { timeoutMs } : { timeoutMs, once };
}

/** These may stand in a queue: whoever does not wait any more says so. */
function seat({ lease, waitMs, keepPlace, owner }: SeatRequest, attempt: Attempt): Seat {
  return {
    ...mutation(attempt),
    ...(typeof lease === 'string' ? { lease } : { ttlMs: lease.ttlMs }),
    ...(waitMs > 0 && { waitMs }),
    ...(keepPlace && { keepPlace }),
    ...(owner !== undefined && { owner }),
    signal: attempt.signal,
  };
}

/** A watch, with a word before everything else where it begins. */
class WatchSource implements Stream<RawBatch> {
  readonly #watch: NodeWatch;
  readonly #group: number;
  #begun = false;

  constructor(watch: NodeWatch, group: number) {
    this.#watch = watch;
    this.#group = group;
  }

  async next(): Promise<RawBatch | null> {
    if (!this.#begun) {
      this.#begun = true;
      const revision = this.#watch.position - 1;
      return { revision, events: [], position: positionOf(this.#group, revision) };
    }
    const { done, value } = await this.#watch.next();
    if (done === true) return null;
    const { revision, events } = value;
    return { revision, events, position: positionOf(this.#group, revision) };
  }

  close(): void {
    this.#watch.close();
  }
}

/** As the HTTP API writes it, so that a watch can go on by another way than it began. */
export function positionOf(group: number, revision: number): string {
  return base64url(bytesOfByteKey(byteKeyOfText(`${group}.${revision}`)));
}

function revisionOf(position: string, group: number): number {
  const match = /^(\d{1,10})\.(\d{1,15})$/u.exec(byteKeyOf(bytesOfBase64(position)));
  if (match === null || Number(match[1]) !== group) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'this is no position that a watch of this cluster has told');
  }
  return Number(match[2]);
}

function streamOf<T>(observation: AsyncIterator<T> & { close(): void }): Stream<T> {
  return {
    next: async () => {
      const { done, value } = await observation.next();
      return done === true ? null : value;
    },
    close: () => observation.close(),
  };
}
