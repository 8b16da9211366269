/** What an agent is asked and only a member can answer: each call is that of a node, and waits no longer than its caller does. */
import type {
  Barriers,
  Counters,
  Elections,
  Leases,
  Locks,
  TxnAnswer,
  TxnRequest,
  Watch,
  WatchOptions,
} from '../coordination.ts';
import { checkMs, checkTimeout, MAX_TIMEOUT_MS } from '../calls.ts';
import { deferServices, type Patience } from '../deferred.ts';
import type { Members } from '../member-types.ts';
import type { RemoteNode } from '../remote/remote-node.ts';
import type {
  CallOptions,
  DeleteAnswer,
  GetAnswer,
  Key,
  ListAnswer,
  ListOptions,
  MutationOptions,
  PutAnswer,
  PutOptions,
  ReadOptions,
  Value,
  WriteOptions,
  Written,
} from '../types.ts';

export abstract class MemberCalls {
  readonly leases: Leases;
  readonly locks: Locks;
  readonly elections: Elections;
  readonly barriers: Barriers;
  readonly counters: Counters;
  /** Who belongs to the cluster the agent says by itself. */
  protected readonly memberChanges: Omit<Members, 'list' | 'watch'>;

  constructor() {
    const deferred = deferServices((action, patience) => this.#timed(patience, action));
    this.leases = deferred.leases;
    this.locks = deferred.locks;
    this.elections = deferred.elections;
    this.barriers = deferred.barriers;
    this.counters = deferred.counters;
    this.memberChanges = {
      add: (member, call) => this.#timed(call, ({ members }) => members.add(member, call)),
      promote: (member, call) => this.#timed(call, ({ members }) => members.promote(member, call)),
      demote: (member, call) => this.#timed(call, ({ members }) => members.demote(member, call)),
      replace: (member, by, call) => this.#timed(call, ({ members }) => members.replace(member, by, call)),
      remove: (member, call) => this.#timed(call, ({ members }) => members.remove(member, call)),
      createToken: (call) => this.#timed(call, ({ members }) => members.createToken(call)),
    };
  }

  /** Rejects, and never throws, not later than a moment after `timeoutMs`, though no member answers at all. `late`: for what comes after that. */
  protected abstract askMember<T>(
    action: (node: RemoteNode) => Promise<T>,
    timeoutMs: number,
    late?: (result: T) => void,
  ): Promise<T>;

  put(key: Key, value: Value, options?: PutOptions): Promise<PutAnswer> {
    return this.#timed(options, (node) => node.put(key, value, options));
  }

  get(key: Key, options?: ReadOptions): Promise<GetAnswer> {
    return this.#timed(options, (node) => node.get(key, options));
  }

  delete(key: Key, options?: WriteOptions): Promise<DeleteAnswer> {
    return this.#timed(options, (node) => node.delete(key, options));
  }

  deleteRange(
    range: { prefix: Key } | { start: Key; end: Key | null },
    options?: MutationOptions,
  ): Promise<DeleteAnswer> {
    return this.#timed(options, (node) => node.deleteRange(range, options));
  }

  list(options?: ListOptions): Promise<ListAnswer> {
    return this.#timed(options, (node) => node.list(options));
  }

  txn(request: TxnRequest, options?: MutationOptions): Promise<TxnAnswer> {
    return this.#timed(options, (node) => node.txn(request, options));
  }

  watch(options?: WatchOptions): Promise<Watch> {
    return this.#timed(
      options,
      (node) => node.watch(options),
      (watch) => watch.close(),
    );
  }

  compact(revision: number, options?: MutationOptions): Promise<Written & { readonly compactedRevision: number }> {
    return this.#timed(options, (node) => node.compact(revision, options));
  }

  transferLeadership(to?: string, options?: CallOptions): Promise<{ leader: string | null }> {
    return this.#timed(options, (node) => node.transferLeadership(to, options));
  }

  async #timed<T>(
    patience: Patience | undefined,
    action: (node: RemoteNode) => Promise<T>,
    late?: (result: T) => void,
  ): Promise<T> {
    return await this.askMember(action, patienceMs(patience), late);
  }
}

/** Throws as the member would. */
function patienceMs({ timeoutMs, waitMs }: Patience = {}): number {
  return checkTimeout(timeoutMs) + checkMs('waitMs', waitMs, 0, MAX_TIMEOUT_MS, 0);
}
