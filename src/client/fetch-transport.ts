/** The HTTP API by `fetch`: runs wherever there is one. */
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
  PutAnswer,
  PutRequest,
  RawBatch,
  SeatAnswer,
  SeatRequest,
  Stream,
  TxnAnswer,
  TxnRequest,
  WatchRequest,
} from './api.ts';
import { base64url, byteKeyOf, byteKeyOfText, bytesOfBase64, tidyKey } from './bytes.ts';
import { EventStream } from './event-stream.ts';
import { HttpLink } from './http-link.ts';
import type { HttpLinkOptions, HttpRequest } from './http-link.ts';
import { KvorumError } from '../errors.ts';
import type { ServerSentEvent } from './sse.ts';
import {
  array,
  batchOfJson,
  boolean,
  bytesOf,
  entryOfJson,
  keyJson,
  listed,
  malformed,
  number,
  object,
  prevOf,
  spanJson,
  string,
  stringOrNull,
  txnAnswerStep,
  txnJson,
} from './wire-json.ts';
import type { Json } from './wire-json.ts';

const ENTRY_TYPE = 'application/vnd.kvorum.entry+json';

export class FetchTransport implements ClientTransport {
  readonly #link: HttpLink;

  /** `base`: see `baseUrlOf`. */
  constructor(base: string, options: HttpLinkOptions) {
    this.#link = new HttpLink(base, options);
  }

  get endpoint(): string {
    return this.#link.base;
  }

  get servedBy(): string | null {
    return this.#link.servedBy;
  }

  async put({ key, value, contentType, lease, prev, condition }: PutRequest, attempt: Attempt): Promise<PutAnswer> {
    const answer = await this.#link.call(
      {
        method: 'PUT',
        path: keyPath(key, { lease, prev }),
        headers: { 'content-type': contentType, ...conditionHeaders(condition) },
        body: value,
      },
      attempt,
    );
    return { revision: number(answer, 'revision'), created: boolean(answer, 'created'), ...prevOf(answer) };
  }

  async get({ key, revision, consistency }: GetRequest, attempt: Attempt): Promise<GetAnswer> {
    const request: HttpRequest = {
      method: 'GET',
      path: keyPath(key, { revision, consistency }),
      headers: { accept: ENTRY_TYPE },
    };
    try {
      return { entry: entryOfJson(await this.#link.call(request, attempt)) };
    } catch (error) {
      if (KvorumError.is(error, 'ERR_KEY_NOT_FOUND')) return { entry: null };
      throw error;
    }
  }

  async delete({ key, prev, condition }: DeleteRequest, attempt: Attempt): Promise<DeleteAnswer> {
    return deleteAnswer(
      await this.#link.call(
        { method: 'DELETE', path: keyPath(key, { prev }), headers: conditionHeaders(condition) },
        attempt,
      ),
    );
  }

  async deleteRange(span: KeySpan, attempt: Attempt): Promise<DeleteAnswer> {
    if ('prefix' in span) {
      const query = span.prefix.length === 0 ? { all: true } : spanJson(span);
      return deleteAnswer(await this.#link.call({ method: 'DELETE', path: `/v1/kv${queryOf(query)}` }, attempt));
    }
    // The call of its own takes a prefix only.
    const { revision, responses } = await this.txn({ if: [], then: [{ delete: span }], else: [] }, attempt);
    const [first] = responses;
    if (first === undefined || !('delete' in first)) throw malformed('a deletion without its answer');
    return { revision, deleted: first.delete.deleted };
  }

  async list(request: ListRequest, attempt: Attempt): Promise<ListAnswer> {
    const { prefix, start, end, ...options } = request;
    const span = prefix === undefined ? boundsJson(start, end) : spanJson({ prefix });
    const answer = await this.#link.call({ method: 'GET', path: `/v1/kv${queryOf({ ...span, ...options })}` }, attempt);
    return {
      revision: number(answer, 'revision'),
      entries: array(answer, 'entries').map(listed),
      count: number(answer, 'count'),
      nextCursor: stringOrNull(answer, 'nextCursor'),
    };
  }

  async txn(request: TxnRequest, attempt: Attempt): Promise<TxnAnswer> {
    const answer = await this.#post('/v1/txn', txnJson(request), attempt);
    return {
      revision: number(answer, 'revision'),
      succeeded: boolean(answer, 'succeeded'),
      responses: array(answer, 'responses').map(txnAnswerStep),
    };
  }

  async compact(revision: number, attempt: Attempt): Promise<{ readonly compactedRevision: number }> {
    const answer = await this.#post('/v1/compact', { revision }, attempt);
    return { compactedRevision: number(answer, 'compactedRevision') };
  }

  watch(request: WatchRequest, attempt: Attempt): Promise<Stream<RawBatch>> {
    const { span, from, after, prev, filter, idleMs } = request;
    const keys =
      'key' in span ? keyJson('key', span.key) : 'prefix' in span ? spanJson(span) : boundsJson(span.start, span.end);
    const query = { ...keys, from: from ?? undefined, prev: prev || undefined, filter: filter ?? undefined };
    return this.#stream(`/v1/watch${queryOf(query)}`, after, idleMs, attempt, ({ event, data, id }) => {
      const json = jsonOf(data);
      const position = id === '' ? null : id;
      return event === 'progress'
        ? { revision: number(json, 'revision'), events: [], position }
        : batchOfJson(json, position);
    });
  }

  async leaseGrant(
    { ttlMs, owner }: { readonly ttlMs: number; readonly owner?: unknown },
    attempt: Attempt,
  ): Promise<LeaseAnswer> {
    return leaseAnswer(await this.#post('/v1/leases', { ttl: ttlMs, owner }, attempt));
  }

  async leaseRenew(id: string, attempt: Attempt): Promise<LeaseAnswer> {
    return leaseAnswer(await this.#post(`${leasePath(id)}/renew`, {}, attempt));
  }

  async leaseRevoke(id: string, attempt: Attempt): Promise<void> {
    await this.#link.call({ method: 'DELETE', path: leasePath(id) }, attempt);
  }

  async leaseGet(id: string, attempt: Attempt): Promise<LeaseInfo> {
    return leaseInfo(await this.#get(leasePath(id), attempt));
  }

  async leaseList(after: string | null, attempt: Attempt): Promise<readonly LeaseInfo[]> {
    const answer = await this.#get(`/v1/leases${queryOf({ after: after ?? undefined })}`, attempt);
    return array(answer, 'leases').map((lease) => leaseInfo(object(lease, 'a lease')));
  }

  async lockAcquire(request: AcquireRequest, attempt: Attempt): Promise<SeatAnswer> {
    const { mode, permits, delayMs } = request;
    const body = { ...seatJson(request), mode, permits, delay: delayMs };
    return seatAnswer(await this.#post(`${lockPath(request.name)}/acquire`, body, attempt));
  }

  async lockRenew({ name, token }: HolderRequest, attempt: Attempt): Promise<{ readonly ttlMs: number }> {
    return { ttlMs: number(await this.#post(`${lockPath(name)}/renew`, { token }, attempt), 'ttlMs') };
  }

  async lockRelease({ name, token }: HolderRequest, attempt: Attempt): Promise<{ readonly released: boolean }> {
    return { released: boolean(await this.#post(`${lockPath(name)}/release`, { token }, attempt), 'released') };
  }

  async lockGet(name: string, attempt: Attempt): Promise<LockInfo> {
    return lockInfo(await this.#get(lockPath(name), attempt));
  }

  async lockList(
    { prefix, after }: { readonly prefix: string; readonly after: string | null },
    attempt: Attempt,
  ): Promise<readonly LockInfo[]> {
    const query = queryOf({ prefix: prefix === '' ? undefined : prefix, after: after ?? undefined });
    const answer = await this.#get(`/v1/locks${query}`, attempt);
    return array(answer, 'locks').map((lock) => lockInfo(object(lock, 'a lock')));
  }

  async lockBreak(name: string, attempt: Attempt): Promise<{ readonly broken: number }> {
    return { broken: number(await this.#link.call({ method: 'DELETE', path: lockPath(name) }, attempt), 'broken') };
  }

  async electionCampaign(request: CampaignRequest, attempt: Attempt): Promise<SeatAnswer> {
    const body = { ...seatJson(request), value: request.value };
    return seatAnswer(await this.#post(`${electionPath(request.name)}/campaign`, body, attempt));
  }

  async electionProclaim(
    { name, token, value }: HolderRequest & { readonly value: string },
    attempt: Attempt,
  ): Promise<void> {
    await this.#post(`${electionPath(name)}/proclaim`, { token, value }, attempt);
  }

  async electionResign({ name, token }: HolderRequest, attempt: Attempt): Promise<{ readonly resigned: boolean }> {
    return { resigned: boolean(await this.#post(`${electionPath(name)}/resign`, { token }, attempt), 'resigned') };
  }

  async electionGet(name: string, attempt: Attempt): Promise<ElectionInfo> {
    return electionInfo(await this.#get(electionPath(name), attempt));
  }

  electionObserve(
    { name, idleMs }: { readonly name: string; readonly idleMs: number },
    attempt: Attempt,
  ): Promise<Stream<ElectionInfo>> {
    return this.#stream(`${electionPath(name)}/observe`, null, idleMs, attempt, ({ data }) =>
      electionInfo(jsonOf(data)),
    );
  }

  async barrierEnter(request: EnterRequest, attempt: Attempt): Promise<SeatAnswer> {
    const body = { ...seatJson(request), parties: request.parties };
    return seatAnswer(await this.#post(`${barrierPath(request.name)}/enter`, body, attempt));
  }

  async barrierGet(name: string, attempt: Attempt): Promise<BarrierInfo> {
    const answer = await this.#get(barrierPath(name), attempt);
    return { name: string(answer, 'name'), parties: number(answer, 'parties'), entered: number(answer, 'entered') };
  }

  async counterAdd(
    { name, delta }: { readonly name: string; readonly delta: number },
    attempt: Attempt,
  ): Promise<{ readonly value: number }> {
    return { value: number(await this.#post(`${counterPath(name)}/add`, { delta }, attempt), 'value') };
  }

  async counterGet(name: string, attempt: Attempt): Promise<{ readonly value: number }> {
    return { value: number(await this.#get(counterPath(name), attempt), 'value') };
  }

  async counterDelete(name: string, attempt: Attempt): Promise<{ readonly deleted: boolean }> {
    const answer = await this.#link.call({ method: 'DELETE', path: counterPath(name) }, attempt);
    return { deleted: boolean(answer, 'deleted') };
  }

  async cluster(attempt: Attempt): Promise<ClusterInfo> {
    const answer = await this.#get('/v1/cluster', attempt);
    array(answer, 'members');
    string(answer, 'clusterId');
    return answer as unknown as ClusterInfo;
  }

  async members(attempt: Attempt): Promise<readonly MemberInfo[]> {
    return memberList(await this.#get('/v1/cluster/members', attempt));
  }

  membersWatch({ idleMs }: { readonly idleMs: number }, attempt: Attempt): Promise<Stream<readonly MemberInfo[]>> {
    return this.#stream('/v1/cluster/watch', null, idleMs, attempt, ({ data }) => memberList(jsonOf(data)));
  }

  /** Connections belong to `fetch`. */
  async close(): Promise<void> {}

  #get(path: string, attempt: Attempt): Promise<Json> {
    return this.#link.call({ method: 'GET', path }, attempt);
  }

  #post(path: string, json: Json, attempt: Attempt): Promise<Json> {
    return this.#link.call({ method: 'POST', path, json }, attempt);
  }

  async #stream<T>(
    path: string,
    after: string | null,
    idleMs: number,
    attempt: Attempt,
    parse: (event: ServerSentEvent) => T,
  ): Promise<Stream<T>> {
    // The request lives as long as the stream, the attempt only until there is one.
    const request = new AbortController();
    const abort = (): void => request.abort();
    attempt.signal.addEventListener('abort', abort, { once: true });
    try {
      const headers = { accept: 'text/event-stream', ...(after !== null && { 'last-event-id': after }) };
      const { body } = await this.#link.send({ method: 'GET', path, headers }, attempt, request.signal);
      if (body === null) throw malformed('a stream without a body');
      const { environment } = this.#link;
      return new EventStream<T>(body, { endpoint: this.endpoint, environment, idleMs, abort, parse });
    } finally {
      attempt.signal.removeEventListener('abort', abort);
    }
  }
}

// --- requests ----------------------------------------------------------------------------------------------------

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** Empty when nothing is asked. */
function queryOf(query: Query): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parts.push(`${name}=${encodeURIComponent(String(value))}`);
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/**
 * A path that no URL parser or proxy on the way will tidy up: where one could (`.` and `..`, a leading slash, `//`), and for what is not UTF-8, the key goes as
 * base64url.
 */
function keyPath(key: Key, query: Query): string {
  if (key.length === 0) throw new KvorumError('ERR_BAD_KEY', 'the key is empty');
  const tidy = tidyKey(key);
  if (typeof tidy === 'string' && !/^\/|\/\/|(?:^|\/)\.{1,2}(?:\/|$)/u.test(tidy)) {
    bytesOf(tidy); // Throws for text that has no UTF-8 form.
    return `/v1/kv/${tidy.split('/').map(encodeURIComponent).join('/')}${queryOf(query)}`;
  }
  return `/v1/kv/${base64url(bytesOf(tidy))}${queryOf({ keyEncoding: 'base64url', ...query })}`;
}

function boundsJson(start: Key | undefined, end: Key | null | undefined): Query {
  if (start === undefined && (end === undefined || end === null)) return {};
  return spanJson({ start: start ?? '', end: end ?? null });
}

/** One segment. The API has no way to write a name that is one or two dots. */
function segment(name: string): string {
  if (name === '' || name === '.' || name === '..') {
    throw new KvorumError('ERR_INVALID_ARGUMENT', `a name must not be ${JSON.stringify(name)}`);
  }
  bytesOf(name);
  return encodeURIComponent(name);
}

const leasePath = (id: string): string => `/v1/leases/${segment(id)}`;
const lockPath = (name: string): string => `/v1/locks/${segment(name)}`;
const electionPath = (name: string): string => `/v1/elections/${segment(name)}`;
const barrierPath = (name: string): string => `/v1/barriers/${segment(name)}`;
const counterPath = (name: string): string => `/v1/counters/${segment(name)}`;

function conditionHeaders(condition: Condition | undefined): Readonly<Record<string, string>> {
  if (condition === undefined) return {};
  if (condition.type === 'absent') return { 'if-none-match': '*' };
  return { 'if-match': condition.type === 'exists' ? '*' : `"${condition.revision}"` };
}

function seatJson({ lease, waitMs, keepPlace, owner }: SeatRequest): Json {
  const wait = waitMs === 0 ? undefined : waitMs;
  if (typeof lease !== 'string') return { ttl: lease.ttlMs, wait, owner };
  return { lease, wait, keepPlace: keepPlace ? true : undefined, owner };
}

// --- answers -----------------------------------------------------------------------------------------------------

function jsonOf(data: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    // SyntaxError, as for any other answer.
    throw malformed('an event that is not JSON');
  }
  return object(value, 'an event');
}

function deleteAnswer(answer: Json): DeleteAnswer {
  return { revision: number(answer, 'revision'), deleted: number(answer, 'deleted'), ...prevOf(answer) };
}

function leaseAnswer(answer: Json): LeaseAnswer {
  return { id: string(answer, 'id'), ttlMs: number(answer, 'ttlMs') };
}

function seatAnswer(answer: Json): SeatAnswer {
  return {
    name: string(answer, 'name'),
    token: number(answer, 'token'),
    lease: string(answer, 'lease'),
    ttlMs: number(answer, 'ttlMs'),
  };
}

function leaseInfo(json: Json): LeaseInfo {
  return {
    id: string(json, 'id'),
    ttlMs: number(json, 'ttlMs'),
    remainingMs: number(json, 'remainingMs'),
    owner: json['owner'] ?? null,
    keys: array(json, 'keys').map((key) =>
      typeof key === 'string' ? byteKeyOfText(key) : byteKeyOf(bytesOfBase64(string(object(key, 'a key'), 'key'))),
    ),
    locks: array(json, 'locks') as readonly string[],
  };
}

function lockInfo(json: Json): LockInfo {
  string(json, 'name');
  array(json, 'holders');
  array(json, 'queue');
  return json as unknown as LockInfo;
}

function memberList(json: Json): readonly MemberInfo[] {
  return array(json, 'members').map((member) => {
    const fields = object(member, 'a member');
    for (const name of ['id', 'name', 'role', 'health']) string(fields, name);
    array(fields, 'addresses');
    return fields as unknown as MemberInfo;
  });
}

function electionInfo(json: Json): ElectionInfo {
  const { leader } = json;
  const shown = leader === null || leader === undefined ? null : object(leader, 'leader');
  return {
    name: string(json, 'name'),
    leader: shown === null ? null : { lease: string(shown, 'lease'), owner: shown['owner'] ?? null },
    value: stringOrNull(json, 'value'),
    token: json['token'] === null || json['token'] === undefined ? null : number(json, 'token'),
  };
}
