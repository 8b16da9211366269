/**
 * A node of one in memory: the KvorumNode interface over sorted arrays, with history, so that everything the HTTP
 * contract says about revisions can be seen without a cluster. Calls can be held, failed and looked at.
 */
import { Registry } from 'prom-client';

import { KvorumError } from '../../src/errors.ts';
import type { ByteKey, Condition, KvEntry } from '../../src/kv/types.ts';
import type {
  MutationOptions,
  TxnAnswer,
  TxnAnswerStep,
  TxnCompare,
  TxnRequest,
  TxnRequestStep,
  Watch,
  WatchOptions,
  Written,
} from '../../src/node/coordination.ts';
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
  PutAnswer,
  PutOptions,
  Readiness,
  ReadOptions,
  Value,
  WriteOptions,
} from '../../src/node/types.ts';
import { FakeCoordination, FakeWatch } from './fake-coordination.ts';
import { FakeDht } from './fake-dht.ts';
import { FakeMembers } from './fake-members.ts';

interface Version {
  readonly revision: number;
  /** Null: deleted. */
  readonly entry: KvEntry | null;
}

export interface Call {
  readonly method: string;
  readonly options: CallOptions;
  /** What came before the options. */
  readonly args: readonly unknown[];
}

export type Script = (...args: readonly unknown[]) => unknown;

export class FakeNode implements KvorumNode {
  readonly name = 'n1';
  readonly id = '101';
  readonly clusterId = '7000';
  readonly address = '127.0.0.1:7201';
  readonly url = null;
  readonly registry = new Registry();
  readonly limits: Limits = {
    maxKeyBytes: 4096,
    maxValueBytes: 1024 * 1024,
    maxUncommittedBytes: 64 * 1024 * 1024,
    maxPending: 16_384,
    maxOverlayBytes: 32 * 1024 * 1024,
    logKeepBytes: 64 * 1024 * 1024,
    maxClients: 10_000,
  };
  readonly failed: Promise<Error>;
  /** Every call that was made, in order. */
  readonly calls: Call[] = [];
  /** Calls wait for this before they do anything. */
  gate: Promise<void> | null = null;
  /** Thrown by the next calls, while set. */
  error: unknown = null;
  leader: string | null = 'n1';
  ready = true;
  fail: (error: Error) => void = () => undefined;
  /** Answers of the next calls by method, instead of the fake's own; undefined: the fake's own after all. */
  readonly script = new Map<string, Script>();
  readonly watches: FakeWatch[] = [];
  readonly coordination = new FakeCoordination(
    (method, args, options) => this.#enter(method, options, args),
    () => this.#revision,
  );
  readonly leases = this.coordination.leases;
  readonly locks = this.coordination.locks;
  readonly elections = this.coordination.elections;
  readonly barriers = this.coordination.barriers;
  readonly counters = this.coordination.counters;
  readonly members = new FakeMembers((method, args, options) => this.#enter(method, options, args), {
    id: this.id,
    name: this.name,
    peerId: '12D3KooWFake',
    role: 'voter',
    addresses: [this.address],
    http: null,
    pid: 4711,
    health: 'alive',
    matchIndex: 9,
    appliedIndex: 9,
    metadata: null,
    incarnation: null,
  });
  readonly dht = new FakeDht((method, args, options) => this.#enter(method, options, args));
  #revision = 0;
  #compacted = 0;
  readonly #history = new Map<ByteKey, Version[]>();

  constructor() {
    this.failed = new Promise((resolve) => {
      this.fail = resolve;
    });
  }

  async put(key: Key, value: Value, options: PutOptions = {}): Promise<PutAnswer> {
    const name = this.#key(key);
    const scripted = await this.#enter('put', options, [key, value]);
    if (scripted !== undefined) return scripted as PutAnswer;
    const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value);
    if (bytes.length > this.limits.maxValueBytes) {
      throw new KvorumError('ERR_TOO_LARGE', 'value', { details: { limit: this.limits.maxValueBytes } });
    }
    if (options.lease !== undefined) await this.leases.get(options.lease);
    const before = this.#at(name, this.#revision);
    this.#check(options.condition, before);
    this.#revision++;
    this.#remember(name, {
      key: name,
      value: bytes,
      createRevision: before?.createRevision ?? this.#revision,
      modRevision: this.#revision,
      version: (before?.version ?? 0) + 1,
      lease: options.lease ?? null,
      contentType: options.contentType ?? null,
    });
    const answer = { revision: this.#revision, created: before === null };
    return options.prev === true ? { ...answer, prev: before } : answer;
  }

  async get(key: Key, options: ReadOptions = {}): Promise<GetAnswer> {
    const name = this.#key(key);
    await this.#enter('get', options);
    return { revision: this.#revision, entry: this.#at(name, this.#readable(options.revision)) };
  }

  async delete(key: Key, options: WriteOptions = {}): Promise<DeleteAnswer> {
    const name = this.#key(key);
    const scripted = await this.#enter('delete', options, [key]);
    if (scripted !== undefined) return scripted as DeleteAnswer;
    const before = this.#at(name, this.#revision);
    this.#check(options.condition, before);
    if (before !== null) {
      this.#revision++;
      this.#remember(name, null);
    }
    const answer = { revision: this.#revision, deleted: before === null ? 0 : 1 };
    return options.prev === true ? { ...answer, prev: before } : answer;
  }

  async deleteRange(
    range: { prefix: Key } | { start: Key; end: Key | null },
    options: CallOptions = {},
  ): Promise<DeleteAnswer> {
    const scripted = await this.#enter('deleteRange', options, [range]);
    if (scripted !== undefined) return scripted as DeleteAnswer;
    const inRange =
      'prefix' in range
        ? within(range.prefix, undefined, undefined)
        : within(undefined, range.start, range.end ?? undefined);
    const live = this.#live(this.#revision).filter(({ key }) => inRange(key));
    if (live.length > 0) this.#revision++;
    for (const { key } of live) this.#remember(key, null);
    return { revision: this.#revision, deleted: live.length };
  }

  async list(options: ListOptions = {}): Promise<ListAnswer> {
    await this.#enter('list', options);
    let after = '';
    let at = options.revision;
    if (options.cursor !== undefined) {
      const match = /^(\d+):(.*)$/su.exec(Buffer.from(options.cursor, 'base64url').toString('latin1'));
      if (match === null)
        throw new KvorumError('ERR_INVALID_ARGUMENT', 'bad cursor', { details: { option: 'cursor' } });
      at = Number(match[1]);
      after = match[2]!;
    }
    const revision = this.#readable(at);
    const inRange = within(options.prefix, options.start, options.end);
    const all = this.#live(revision).filter(({ key }) => inRange(key));
    if (options.countOnly === true) return { revision, entries: [], count: all.length, nextCursor: null };
    const rest = all.filter(({ key }) => after === '' || key > after);
    let bytes = 0;
    const full = rest.findIndex(({ value }) => (bytes += value.length) >= 8 * 1024 * 1024);
    const page = rest.slice(0, Math.min(options.limit ?? 100, full === -1 ? rest.length : full + 1));
    const last = page.at(-1);
    const nextCursor =
      rest.length > page.length && last !== undefined
        ? Buffer.from(`${revision}:${last.key}`, 'latin1').toString('base64url')
        : null;
    const bare = ({ value: _value, contentType: _type, ...entry }: KvEntry) => entry;
    return { revision, entries: options.keysOnly === true ? page.map(bare) : page, count: all.length, nextCursor };
  }

  cluster(): ClusterInfo {
    return {
      clusterId: this.clusterId,
      name: this.name,
      leader: this.leader,
      term: 3,
      revision: this.#revision,
      members: this.members.current,
    };
  }

  head(): AnswerHead {
    return { group: 1, revision: this.#revision, term: 3, servedBy: this.name };
  }

  readiness(): Readiness {
    const checks = [
      { name: 'running', ok: true, detail: 'no failure' },
      { name: 'open', ok: true, detail: 'not closing' },
      { name: 'joined', ok: true, detail: `cluster ${this.clusterId}` },
      { name: 'leader', ok: this.ready, detail: this.ready ? `${this.leader} leads` : 'no leader is known' },
      { name: 'caught-up', ok: true, detail: 'applied 9 of 9 known to be committed' },
    ];
    return { ready: this.ready, checks };
  }

  async transferLeadership(to?: string, options: CallOptions = {}): Promise<{ leader: string | null }> {
    await this.#enter('transferLeadership', options);
    if (to !== undefined && to !== 'n1' && to !== 'n2') {
      throw new KvorumError('ERR_NOT_FOUND', `there is no member "${to}"`);
    }
    this.leader = to ?? 'n2';
    return { leader: this.leader };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** History below this revision is gone. */
  forget(revision: number): void {
    this.#compacted = revision;
  }

  async compact(
    revision: number,
    options: MutationOptions = {},
  ): Promise<Written & { readonly compactedRevision: number }> {
    const scripted = await this.#enter('compact', options, [revision]);
    if (scripted !== undefined) return scripted as Written & { compactedRevision: number };
    this.#readable(revision);
    this.forget(revision);
    return { revision: this.#revision, compactedRevision: revision };
  }

  async watch(options: WatchOptions = {}): Promise<Watch> {
    const scripted = await this.#enter('watch', options);
    if (scripted !== undefined) return scripted as Watch;
    if (options.from !== undefined && options.from < this.#compacted) this.#readable(options.from);
    const watch = new FakeWatch(options.from ?? this.#revision + 1);
    this.watches.push(watch);
    return watch;
  }

  async txn(request: TxnRequest, options: MutationOptions = {}): Promise<TxnAnswer> {
    const scripted = await this.#enter('txn', options, [request]);
    if (scripted !== undefined) return scripted as TxnAnswer;
    const succeeded = (request.if ?? []).every((compare) => this.#holds(compare));
    const steps = (succeeded ? request.then : request.else) ?? [];
    if (steps.some((step) => 'put' in step || 'delete' in step)) this.#revision++;
    const responses = steps.map((step) => this.#step(step));
    return { revision: this.#revision, succeeded, responses };
  }

  /** Versions and values, for equality. */
  #holds(compare: TxnCompare): boolean {
    if (!('key' in compare) || compare.operator !== '=') throw new Error('script this');
    const entry = this.#at(bytesOf(compare.key), this.#revision);
    if (compare.target === 'version') return (entry?.version ?? 0) === compare.value;
    if (compare.target !== 'value') throw new Error('script this');
    return entry !== null && Buffer.from(compare.value as string).equals(entry.value);
  }

  #step(step: TxnRequestStep): TxnAnswerStep {
    if ('get' in step) return { get: this.#at(bytesOf(step.get.key), this.#revision) };
    if ('put' in step) {
      const { value, contentType = null, prev } = step.put;
      const key = bytesOf(step.put.key);
      const before = this.#at(key, this.#revision);
      this.#remember(key, {
        key,
        value: Buffer.from(value as string),
        createRevision: before?.createRevision ?? this.#revision,
        modRevision: this.#revision,
        version: (before?.version ?? 0) + 1,
        lease: null,
        contentType,
      });
      return { put: prev === true ? { prev: before } : {} };
    }
    throw new Error('script this');
  }

  /** Holds every call from now on until the function that comes back is called. */
  hold(): () => void {
    let release = (): void => undefined;
    this.gate = new Promise((resolve) => {
      release = () => {
        this.gate = null;
        resolve();
      };
    });
    return () => release();
  }

  async #enter(method: string, options: CallOptions, args: readonly unknown[] = []): Promise<unknown> {
    this.calls.push({ method, options, args });
    if (this.gate !== null) await raceAbort(this.gate, options.signal);
    if (this.error !== null) throw this.error as Error;
    return this.script.get(method)?.(...args, options);
  }

  #key(key: Key): ByteKey {
    const bytes = bytesOf(key);
    if (bytes === '') throw new KvorumError('ERR_BAD_KEY', 'the key is empty');
    const limit = this.limits.maxKeyBytes;
    if (bytes.length > limit) throw new KvorumError('ERR_TOO_LARGE', 'key is too long', { details: { limit } });
    return bytes;
  }

  #check(condition: Condition | undefined, current: KvEntry | null): void {
    if (condition === undefined) return;
    const holds =
      condition.type === 'absent'
        ? current === null
        : current !== null && (condition.type === 'exists' || current.modRevision === condition.revision);
    if (!holds) {
      const details = { current, revision: this.#revision };
      throw new KvorumError('ERR_CAS_FAILED', 'the condition does not hold', { details });
    }
  }

  #readable(revision: number | undefined): number {
    if (revision === undefined) return this.#revision;
    if (revision > this.#revision) throw new KvorumError('ERR_FUTURE_REVISION', `now is ${this.#revision}`);
    if (revision < this.#compacted) {
      throw new KvorumError('ERR_COMPACTED', 'gone', { details: { compactRevision: this.#compacted } });
    }
    return revision;
  }

  #remember(key: ByteKey, entry: KvEntry | null): void {
    const versions = this.#history.get(key) ?? [];
    versions.push({ revision: this.#revision, entry });
    this.#history.set(key, versions);
  }

  #at(key: ByteKey, revision: number): KvEntry | null {
    return this.#history.get(key)?.findLast((version) => version.revision <= revision)?.entry ?? null;
  }

  #live(revision: number): KvEntry[] {
    return [...this.#history.keys()]
      .sort()
      .map((key) => this.#at(key, revision))
      .filter((entry) => entry !== null);
  }
}

function bytesOf(key: Key): ByteKey {
  return Buffer.from(key as string).toString('latin1');
}

function within(prefix: Key | undefined, start: Key | undefined, end: Key | undefined): (key: ByteKey) => boolean {
  const [low, from, to] = [prefix ?? '', start ?? '', end].map((key) => (key === undefined ? undefined : bytesOf(key)));
  return (key) => key.startsWith(low!) && key >= from! && (to === undefined || key < to);
}

function raceAbort(gate: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return gate;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    void gate.then(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
  });
}
