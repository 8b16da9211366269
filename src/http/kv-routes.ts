/** Keys and values: /v1/kv. */
import { KvorumError } from '../errors.ts';
import type { KvEntry } from '../kv/types.ts';
import type {
  DeleteAnswer,
  GetAnswer,
  Key,
  ListAnswer,
  ListOptions,
  PutAnswer,
  PutOptions,
  ReadOptions,
  WriteOptions,
} from '../node/types.ts';
import { isId } from './body.ts';
import { mutationOptions } from './call.ts';
import type { Open } from './call.ts';
import { conditionOf, etagOf, hasVersion, satisfiesMatch } from './conditions.ts';
import { asBuffer, DEFAULT_CONTENT_TYPE, entryJson } from './entry-json.ts';
import type { Exchange } from './exchange.ts';
import { keyOfOption } from './key-path.ts';
import { ONCE_ANSWER_HEADERS, ONCE_ERRORS, ONCE_HEADERS, onceOf, REPLAYED } from './once.ts';
import { DEFAULT_TIMEOUT_MS, flag, integer, invalidOption, oneOf, text, TIMEOUT } from './query.ts';
import type { AnswerDoc, Content, Route } from './route.ts';

export const ENTRY_TYPE = 'application/vnd.kvorum.entry+json';

const JSON_TYPE = 'application/json';
const MAX_CONTENT_TYPE_LENGTH = 256;

const keyEncoding = oneOf('How the key (and prefix, start, end) is written', ['utf8', 'base64url']);
const consistency = oneOf('linearizable: never older than any answer before it; stale: what this node has, at once', [
  'linearizable',
  'stale',
]);
const revision = integer('Read as of this revision', 1, Number.MAX_SAFE_INTEGER);
const prev = flag('Give back the entry that was there, null for none');

const GET_QUERY = { consistency, revision, keyEncoding, timeout: TIMEOUT };
const PUT_QUERY = { prev, lease: text('Id of the lease that the key shall hang on'), keyEncoding, timeout: TIMEOUT };
const DELETE_QUERY = { prev, keyEncoding, timeout: TIMEOUT };
const DELETE_RANGE_QUERY = {
  prefix: text('Delete every key that begins so'),
  all: flag('Delete every key there is; instead of prefix'),
  keyEncoding,
  timeout: TIMEOUT,
};
const LIST_QUERY = {
  prefix: text('Only keys that begin so'),
  start: text('First key, inclusive'),
  end: text('Last key, exclusive'),
  limit: integer('Most entries of a page, which has fewer when their values are large', 1, 1000, { default: 100 }),
  cursor: text('nextCursor of the page before; the list stays at the revision of its first page'),
  keysOnly: flag('Leave out values and content types'),
  countOnly: flag('Leave out all entries'),
  revision,
  consistency,
  keyEncoding,
  timeout: TIMEOUT,
};

// --- GET, HEAD ---------------------------------------------------------------------------------------------------

function getKey(exchange: Exchange): void {
  const query = exchange.query(GET_QUERY);
  const key = exchange.key(query.keyEncoding);
  const options: Open<ReadOptions> = {
    timeoutMs: query.timeout ?? DEFAULT_TIMEOUT_MS,
    signal: exchange.signal,
  };
  if (query.consistency !== undefined) options.consistency = query.consistency;
  if (query.revision !== undefined) options.revision = query.revision;
  exchange.settle(exchange.service.node.get(key, options), answerGet);
}

function answerGet(exchange: Exchange, { entry, revision: storeRevision }: GetAnswer): void {
  const { headers } = exchange.request;
  const match = headers['if-match'];
  if (match !== undefined && !satisfiesMatch(match, entry?.modRevision ?? null)) {
    throw new KvorumError('ERR_CAS_FAILED', 'If-Match does not hold', { details: { current: entry } });
  }
  if (entry === null) throw new KvorumError('ERR_KEY_NOT_FOUND', 'there is no such key');
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined && hasVersion(noneMatch, entry.modRevision)) {
    exchange.sendNothing(304, entryHeaders(entry, []), storeRevision);
    return;
  }
  const { accept } = headers;
  if (accept !== undefined && accept.toLowerCase().includes(ENTRY_TYPE)) {
    const body = Buffer.from(entryJson(entry), 'utf8');
    exchange.send(200, entryHeaders(entry, ['Content-Type', ENTRY_TYPE]), storeRevision, body);
    return;
  }
  exchange.sendValue(
    entryHeaders(entry, ['Content-Type', headerSafe(entry.contentType)]),
    storeRevision,
    asBuffer(entry.value),
  );
}

/** A value is somebody's bytes under somebody's media type: no browser shall guess at it, or run it as this origin. */
function entryHeaders(entry: KvEntry, headers: string[]): string[] {
  headers.push(
    'ETag',
    etagOf(entry.modRevision),
    'X-Create-Revision',
    String(entry.createRevision),
    'X-Version',
    String(entry.version),
    'Cache-Control',
    'no-cache',
    'Vary',
    'Accept',
    'X-Content-Type-Options',
    'nosniff',
    'Content-Security-Policy',
    'sandbox',
  );
  return headers;
}

/** What was put by HTTP is fit for a header; what an embedded program put need not be. */
function headerSafe(contentType: string | null): string {
  return contentType !== null && /^[\t\x20-\x7e\x80-\xff]+$/u.test(contentType) ? contentType : DEFAULT_CONTENT_TYPE;
}

// --- PUT, DELETE -------------------------------------------------------------------------------------------------

function putKey(exchange: Exchange): void {
  const query = exchange.query(PUT_QUERY);
  const key = exchange.key(query.keyEncoding);
  const { headers } = exchange.request;
  const options: Open<PutOptions> = {
    timeoutMs: query.timeout ?? DEFAULT_TIMEOUT_MS,
    signal: exchange.signal,
  };
  const contentType = headers['content-type'];
  if (contentType !== undefined && contentType !== '') {
    if (contentType.length > MAX_CONTENT_TYPE_LENGTH) {
      throw new KvorumError(
        'ERR_INVALID_ARGUMENT',
        `Content-Type is longer than ${MAX_CONTENT_TYPE_LENGTH} characters`,
      );
    }
    options.contentType = contentType;
  }
  if (query.lease !== undefined) {
    if (!isId(query.lease)) {
      throw new KvorumError('ERR_INVALID_ARGUMENT', 'option "lease" must be a lease id', {
        details: { option: 'lease' },
      });
    }
    options.lease = query.lease;
  }
  if (query.prev === true) options.prev = true;
  const once = onceOf(exchange.request);
  if (once !== undefined) options.once = once;
  const condition = conditionOf(headers);
  if (condition !== undefined) options.condition = condition;
  const { node } = exchange.service;
  exchange.readBody(node.limits.maxValueBytes, (self, body) => self.settle(node.put(key, body, options), answerPut));
}

function answerPut(exchange: Exchange, answer: PutAnswer): void {
  const { revision: written, created, prev: before } = answer;
  const headers = ['Content-Type', JSON_TYPE, 'ETag', etagOf(written)];
  if (answer.replayed === true) headers.push(...REPLAYED);
  if (before === undefined) {
    exchange.send(200, headers, written, `{"revision":${written},"created":${created}}`);
    return;
  }
  const json = `{"revision":${written},"created":${created},"prev":${before === null ? 'null' : entryJson(before)}}`;
  exchange.send(200, headers, written, Buffer.from(json, 'utf8'));
}

function deleteKey(exchange: Exchange): void {
  const query = exchange.query(DELETE_QUERY);
  const key = exchange.key(query.keyEncoding);
  const options: Open<WriteOptions> = {
    timeoutMs: query.timeout ?? DEFAULT_TIMEOUT_MS,
    signal: exchange.signal,
  };
  if (query.prev === true) options.prev = true;
  const once = onceOf(exchange.request);
  if (once !== undefined) options.once = once;
  const condition = conditionOf(exchange.request.headers);
  if (condition !== undefined) options.condition = condition;
  exchange.settle(exchange.service.node.delete(key, options), answerDelete);
}

function deleteRange(exchange: Exchange): void {
  const query = exchange.query(DELETE_RANGE_QUERY);
  const { prefix = '', all = false } = query;
  if (conditionOf(exchange.request.headers) !== undefined) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'a range cannot be deleted under a condition');
  }
  if (prefix === '' && !all) throw invalidOption('prefix', 'is missing or empty; to delete every key, say all=true');
  if (prefix !== '' && all) throw invalidOption('all', 'and "prefix" exclude each other');
  const range = { prefix: keyOfOption(prefix, query.keyEncoding) };
  exchange.settle(exchange.service.node.deleteRange(range, mutationOptions(exchange, query.timeout)), answerDelete);
}

function answerDelete(exchange: Exchange, answer: DeleteAnswer): void {
  const { revision: written, deleted, prev: before } = answer;
  const previous = before === undefined ? '' : `,"prev":${before === null ? 'null' : entryJson(before)}`;
  exchange.sendWritten(200, `{"revision":${written},"deleted":${deleted}${previous}}`, answer);
}

// --- list --------------------------------------------------------------------------------------------------------

function listKeys(exchange: Exchange): void {
  const query = exchange.query(LIST_QUERY);
  const options: Open<ListOptions> = {
    timeoutMs: query.timeout ?? DEFAULT_TIMEOUT_MS,
    signal: exchange.signal,
  };
  if (query.cursor !== undefined && query.revision !== undefined) {
    throw invalidOption('revision', 'and "cursor" exclude each other: a cursor has its revision');
  }
  // Empty is the same as absent, so that a script may write prefix=$PREFIX.
  const key = (name: 'prefix' | 'start' | 'end'): Key | undefined =>
    query[name] === undefined || query[name] === '' ? undefined : keyOfOption(query[name], query.keyEncoding);
  const [prefix, start, end] = [key('prefix'), key('start'), key('end')];
  if (prefix !== undefined && (start !== undefined || end !== undefined)) {
    throw invalidOption('prefix', 'excludes "start" and "end"');
  }
  if (prefix !== undefined) options.prefix = prefix;
  if (start !== undefined) options.start = start;
  if (end !== undefined) options.end = end;
  if (query.cursor !== undefined && query.cursor !== '') options.cursor = query.cursor;
  if (query.keysOnly === true) options.keysOnly = true;
  if (query.countOnly === true) options.countOnly = true;
  if (query.revision !== undefined) options.revision = query.revision;
  if (query.consistency !== undefined) options.consistency = query.consistency;
  if (query.limit !== undefined) options.limit = query.limit;
  exchange.settle(exchange.service.node.list(options), answerList);
}

function answerList(exchange: Exchange, { revision: at, entries, count, nextCursor }: ListAnswer): void {
  const list = entries.map(entryJson).join(',');
  const json = `{"revision":${at},"entries":[${list}],"count":${count},"nextCursor":${JSON.stringify(nextCursor)}}`;
  exchange.sendJson(200, json, at);
}

// --- the rows ----------------------------------------------------------------------------------------------------

const READ_HEADERS = {
  Accept: `${ENTRY_TYPE} asks for the entry as JSON instead of the bare value`,
  'If-None-Match': 'ETag that the client has: 304 when it is still right',
  'If-Match': 'ETag, or *: 412 when it is another',
};

const WRITE_HEADERS = {
  'If-Match': 'Only when the key is there with this ETag ("7"), or there at all (*)',
  'If-None-Match': 'Only when the key is not there (*)',
  ...ONCE_HEADERS,
};

const ENTRY_ANSWER_HEADERS = {
  ETag: 'modRevision in quotes',
  'X-Create-Revision': 'createRevision',
  'X-Version': 'version',
};

const VALUE: readonly Content[] = [{ type: '*/*' }, { type: ENTRY_TYPE, schema: 'Entry' }];
const GONE: AnswerDoc = {
  description: 'Gone',
  content: [{ type: JSON_TYPE, schema: 'DeleteAnswer' }],
  headers: ONCE_ANSWER_HEADERS,
};
const NOT_MODIFIED: AnswerDoc = { description: 'The client has this version', headers: ENTRY_ANSWER_HEADERS };

const getRow: Route = {
  operationId: 'getKey',
  method: 'GET',
  path: '/v1/kv/{key}',
  tag: 'keys',
  summary: 'Read a value',
  description:
    'The value, byte for byte, under the Content-Type of its put. Linearizable unless asked otherwise; any node answers.',
  query: GET_QUERY,
  headers: READ_HEADERS,
  answers: {
    200: { description: 'The value', content: VALUE, headers: ENTRY_ANSWER_HEADERS },
    304: NOT_MODIFIED,
  },
  errors: [
    'ERR_BAD_KEY',
    'ERR_KEY_NOT_FOUND',
    'ERR_FUTURE_REVISION',
    'ERR_COMPACTED',
    'ERR_CAS_FAILED',
    'ERR_TOO_LARGE',
  ],
  open: false,
  always: false,
  mutating: false,
  handle: getKey,
};

export const KV_ROUTES: readonly Route[] = [
  getRow,
  {
    ...getRow,
    operationId: 'headKey',
    method: 'HEAD',
    summary: 'Read what is known about a value',
    description: 'The headers of the GET.',
    answers: { 200: { description: 'There is such a key', headers: ENTRY_ANSWER_HEADERS }, 304: NOT_MODIFIED },
  },
  {
    operationId: 'putKey',
    method: 'PUT',
    path: '/v1/kv/{key}',
    tag: 'keys',
    summary: 'Write a value',
    description:
      'The body is the value, byte for byte, whatever its Content-Type, which is kept and comes back with the value. ' +
      'An empty body is an empty value.',
    query: PUT_QUERY,
    headers: WRITE_HEADERS,
    body: { type: '*/*', description: 'The value' },
    answers: {
      200: {
        description: 'Written, and safe on the disks of a majority',
        content: [{ type: JSON_TYPE, schema: 'PutAnswer' }],
        headers: { ETag: 'The new modRevision in quotes', ...ONCE_ANSWER_HEADERS },
      },
    },
    errors: [
      'ERR_BAD_KEY',
      'ERR_REQUEST_TIMEOUT',
      'ERR_LEASE_NOT_FOUND',
      'ERR_CAS_FAILED',
      'ERR_TOO_LARGE',
      'ERR_UNSUPPORTED_MEDIA_TYPE',
      'ERR_QUOTA',
      ...ONCE_ERRORS,
    ],
    open: false,
    always: false,
    mutating: true,
    handle: putKey,
  },
  {
    operationId: 'deleteKey',
    method: 'DELETE',
    path: '/v1/kv/{key}',
    tag: 'keys',
    summary: 'Delete a key',
    description: 'A key that is not there is no error: deleted is 0, and no revision is used.',
    query: DELETE_QUERY,
    headers: WRITE_HEADERS,
    answers: { 200: GONE },
    errors: ['ERR_BAD_KEY', 'ERR_CAS_FAILED', 'ERR_TOO_LARGE', ...ONCE_ERRORS],
    open: false,
    always: false,
    mutating: true,
    handle: deleteKey,
  },
  {
    operationId: 'listKeys',
    method: 'GET',
    path: '/v1/kv',
    tag: 'keys',
    summary: 'List keys',
    description:
      'Entries in the order of their keys, as unsigned bytes. A cursor goes on at the revision of the first page.',
    query: LIST_QUERY,
    answers: { 200: { description: 'A page', content: [{ type: JSON_TYPE, schema: 'ListAnswer' }] } },
    errors: ['ERR_BAD_KEY', 'ERR_FUTURE_REVISION', 'ERR_COMPACTED', 'ERR_TOO_LARGE'],
    open: false,
    always: false,
    mutating: false,
    handle: listKeys,
  },
  {
    operationId: 'deleteRange',
    method: 'DELETE',
    path: '/v1/kv',
    tag: 'keys',
    summary: 'Delete a range of keys',
    description: 'Every key with the prefix, in one revision. Everything: all=true.',
    query: DELETE_RANGE_QUERY,
    headers: ONCE_HEADERS,
    answers: { 200: GONE },
    errors: ['ERR_BAD_KEY', 'ERR_TOO_LARGE', ...ONCE_ERRORS],
    open: false,
    always: false,
    mutating: true,
    handle: deleteRange,
  },
];
