/** The DHT: /v1/dht. Answered by the node itself with the help of its peers: it needs no leader and no quorum. */
import { isUtf8 } from 'node:buffer';

import { Type } from 'typebox';

import { KvorumError } from '../errors.ts';
import { MAX_BODY_BYTES } from '../node/dht/envelope.ts';
import type { DhtPutOptions, DhtQueryOptions, DhtRecord, DhtReport } from '../node/types.ts';
import { callOptions } from './call.ts';
import type { Open } from './call.ts';
import { parseDuration } from './duration.ts';
import { asBuffer } from './entry-json.ts';
import type { Exchange } from './exchange.ts';
import { nameIn } from './holding.ts';
import { flag, integer, TIMEOUT } from './query.ts';
import type { Option } from './query.ts';
import { jsonAnswer, READS } from './route.ts';
import type { Route } from './route.ts';

const MIN_TTL_MS = 1000;
const MAX_TTL_MS = 48 * 3_600_000;

const SEARCH_QUERY = {
  paths: integer('Disjoint paths: more cost more requests, and outwit more peers that lie', 1, 8, { default: 1 }),
  trace: flag('Tell of every request'),
  timeout: TIMEOUT,
};

const TTL: Option<number> = {
  schema: Type.String({ default: '24h', examples: ['10m', '24h'] }),
  description: 'How long the value is kept, 1s to 48h: put it again before',
  parse(value) {
    const ms = parseDuration(value);
    if (ms === null || ms < MIN_TTL_MS || ms > MAX_TTL_MS) throw new Error('must be a duration from 1s to 48h');
    return ms;
  },
};

const PUT_QUERY = { ttl: TTL, ...SEARCH_QUERY };

interface Search {
  readonly paths?: number;
  readonly trace?: boolean;
  readonly timeout?: number;
}

function searchOptions(exchange: Exchange, { paths, trace, timeout }: Search): Open<DhtQueryOptions> {
  const options: Open<DhtQueryOptions> = callOptions(exchange, timeout);
  if (paths !== undefined) options.paths = paths;
  if (trace !== undefined) options.trace = trace;
  return options;
}

function getValue(exchange: Exchange): void {
  const options = searchOptions(exchange, exchange.query(SEARCH_QUERY));
  const key = nameIn(exchange, '/v1/dht/values/');
  exchange.settle(exchange.service.node.dht.get(key, options), (self, { record, ...report }) => {
    if (record === null) throw notFound('a value under this key', report);
    answer(self, { key, ...recordJson(record), ...reportJson(report) });
  });
}

function putValue(exchange: Exchange): void {
  const query = exchange.query(PUT_QUERY);
  const options: Open<DhtPutOptions> = searchOptions(exchange, query);
  if (query.ttl !== undefined) options.ttlMs = query.ttl;
  const key = nameIn(exchange, '/v1/dht/values/');
  exchange.readBody(MAX_BODY_BYTES, (self, body) =>
    self.settle(self.service.node.dht.put(key, body, options), (_, { seq, stored, refused, ...report }) =>
      answer(self, { key, seq, stored, refused, ...reportJson(report) }),
    ),
  );
}

function getProviders(exchange: Exchange): void {
  const options = searchOptions(exchange, exchange.query(SEARCH_QUERY));
  const name = nameIn(exchange, '/v1/dht/providers/');
  exchange.settle(exchange.service.node.dht.providers(name, options), (self, { records, ...report }) => {
    if (records.length === 0) throw notFound('a provider of this name', report);
    answer(self, { name, providers: records.map(recordJson), ...reportJson(report) });
  });
}

function lookUpKey(exchange: Exchange): void {
  const options = searchOptions(exchange, exchange.query(SEARCH_QUERY));
  const key = nameIn(exchange, '/v1/dht/lookup/');
  exchange.settle(exchange.service.node.dht.lookup(key, options), (self, report) =>
    answer(self, { key, ...reportJson(report) }),
  );
}

function lookUpNode(exchange: Exchange): void {
  const options = searchOptions(exchange, exchange.query(SEARCH_QUERY));
  const id = nameIn(exchange, '/v1/dht/nodes/');
  exchange.settle(exchange.service.node.dht.lookup({ node: id }, options), (self, { node, ...report }) => {
    if (node === null) throw notFound('anything of this node', report);
    answer(self, { node, ...reportJson(report) });
  });
}

function answer(exchange: Exchange, body: object): void {
  exchange.sendJson(200, JSON.stringify(body));
}

/** Without the steps that nobody asked for. */
function reportJson({ target, outcome, cost, closest, steps }: DhtReport): object {
  return { target, outcome, cost, closest, ...(steps !== null && { steps }) };
}

function recordJson({ value, seq, notAfterMs, id: node, peerId }: DhtRecord): object {
  const bytes = asBuffer(value);
  const isText = isUtf8(bytes);
  return {
    ...{ value: bytes.toString(isText ? 'utf8' : 'base64'), encoding: isText ? 'utf8' : 'base64' },
    ...{ seq, notAfterMs, node, peerId },
  };
}

/** How it was looked for says how much that is worth: there is no proof of absence. */
function notFound(what: string, report: DhtReport): KvorumError {
  const { requests } = report.cost;
  const asked =
    requests === 0
      ? 'this node has not, and knows nobody to ask'
      : `none of those asked has, in ${requests} ${requests === 1 ? 'request' : 'requests'}`;
  return new KvorumError('ERR_NOT_FOUND', `${asked}: ${what}`, { details: { search: reportJson(report) } });
}

const SEARCHES = { ...READS, tag: 'dht', query: SEARCH_QUERY, errors: ['ERR_NOT_FOUND', 'ERR_OVERLOADED'] } as const;

export const DHT_ROUTES: readonly Route[] = [
  {
    ...SEARCHES,
    operationId: 'getDhtValue',
    method: 'GET',
    path: '/v1/dht/values/{key}',
    summary: 'The newest value under a key of the DHT',
    description: 'A hint: what was put, by whom, and until when it is kept. No key of /v1/kv is found here.',
    answers: { 200: jsonAnswer('DhtValue', 'The value, and how it was found') },
    handle: getValue,
  },
  {
    ...SEARCHES,
    operationId: 'putDhtValue',
    method: 'PUT',
    path: '/v1/dht/values/{key}',
    summary: 'Put a value into the DHT',
    description:
      'Signed by the node that is asked, and kept by the 20 that are closest to the key. It takes the place of the one that is there; of two at the same time one is left. Doing it again does no harm.',
    query: PUT_QUERY,
    body: { type: 'application/octet-stream', description: 'The value, byte for byte, at most 4,096 of them' },
    answers: { 200: jsonAnswer('DhtPutAnswer', 'It is kept, unless a newer one is') },
    errors: [
      'ERR_TOO_LARGE',
      'ERR_UNSUPPORTED_MEDIA_TYPE',
      'ERR_REQUEST_TIMEOUT',
      'ERR_OVERLOADED',
      'ERR_QUOTA',
      'ERR_TIMEOUT',
    ],
    mutating: true,
    handle: putValue,
  },
  {
    ...SEARCHES,
    operationId: 'getDhtProviders',
    method: 'GET',
    path: '/v1/dht/providers/{name}',
    summary: 'Who provides something',
    description: 'group/1: nodes that have a replica. service/NAME: nodes that host instances of a service.',
    answers: { 200: jsonAnswer('DhtProviders', 'Those who say so, each signed') },
    handle: getProviders,
  },
  {
    ...SEARCHES,
    operationId: 'lookUpDhtKey',
    method: 'GET',
    path: '/v1/dht/lookup/{key}',
    summary: 'The nodes closest to a key',
    description: 'They keep what is put under it. A node that is one of them itself is not in its own answer.',
    answers: { 200: jsonAnswer('DhtLookup', 'The nodes, and how they were found') },
    errors: ['ERR_OVERLOADED'],
    handle: lookUpKey,
  },
  {
    ...SEARCHES,
    operationId: 'lookUpDhtNode',
    method: 'GET',
    path: '/v1/dht/nodes/{id}',
    summary: 'Where a node is',
    description:
      'What a member or an agent says of itself, wherever it has moved to. Signed by it: nobody else can write that.',
    answers: { 200: jsonAnswer('DhtNode', 'The node, and how it was found') },
    handle: lookUpNode,
  },
];
