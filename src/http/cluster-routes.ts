/** The cluster: /v1/cluster. */
import { bodyParser } from './body.ts';
import type { Exchange } from './exchange.ts';
import { DEFAULT_TIMEOUT_MS, TIMEOUT } from './query.ts';
import { TRANSFER } from './requests.ts';
import type { Route } from './route.ts';

const QUERY = { timeout: TIMEOUT };
const transferRequest = bodyParser(TRANSFER);

function getCluster(exchange: Exchange): void {
  exchange.query(QUERY);
  const cluster = exchange.service.node.cluster();
  exchange.sendJson(200, JSON.stringify(cluster), cluster.revision);
}

function transferLeadership(exchange: Exchange): void {
  const { timeout = DEFAULT_TIMEOUT_MS } = exchange.query(QUERY);
  exchange.readJson(transferRequest, (self, { to }) => {
    const done = self.service.node.transferLeadership(to, { timeoutMs: timeout, signal: self.signal });
    self.settle(done, (_, { leader }) => self.sendJson(200, JSON.stringify({ leader })));
  });
}

export const CLUSTER_ROUTES: readonly Route[] = [
  {
    operationId: 'getCluster',
    method: 'GET',
    path: '/v1/cluster',
    tag: 'cluster',
    summary: 'Members and leader',
    description: 'What this node knows, answered by itself: also without a quorum.',
    query: QUERY,
    answers: { 200: { description: 'The cluster', content: [{ type: 'application/json', schema: 'Cluster' }] } },
    errors: [],
    open: false,
    always: false,
    mutating: false,
    handle: getCluster,
  },
  {
    operationId: 'transferLeadership',
    method: 'POST',
    path: '/v1/cluster/transfer-leadership',
    tag: 'cluster',
    summary: 'Hand leadership over',
    description: 'To the named member, or to the most up-to-date one. Writes go on as soon as the new leader is there.',
    query: QUERY,
    body: { type: 'application/json', schema: 'TransferRequest', description: 'May be {}' },
    answers: { 200: { description: 'Done', content: [{ type: 'application/json', schema: 'TransferAnswer' }] } },
    errors: ['ERR_NOT_FOUND', 'ERR_REQUEST_TIMEOUT', 'ERR_TOO_LARGE', 'ERR_UNSUPPORTED_MEDIA_TYPE'],
    open: false,
    always: false,
    mutating: true,
    handle: transferLeadership,
  },
];
