/** Leases: /v1/leases. */
import type { LeaseAnswer, LeaseInfo, Leases } from '../node/coordination.ts';
import { bodyParser, isId } from './body.ts';
import { callOptions, mutationOptions } from './call.ts';
import type { Open } from './call.ts';
import { keyValue } from './entry-json.ts';
import type { Exchange } from './exchange.ts';
import { idOfSegment } from './name-path.ts';
import { ONCE_ERRORS, onceOf } from './once.ts';
import { integer, invalidOption, text, TIMEOUT } from './query.ts';
import { GRANT, NOTHING } from './requests.ts';
import { JSON_BODY_ERRORS, jsonAnswer, jsonBody, READS, TIMEOUT_QUERY, WRITES, writtenAnswer } from './route.ts';
import type { Route } from './route.ts';

const PREFIX = '/v1/leases/';
/** What the node gives at once. */
const MAX_PAGE = 1000;
const LIST_QUERY = {
  after: text('Only leases after this id: next of the page before'),
  limit: integer('Most leases of a page', 1, MAX_PAGE, { default: MAX_PAGE }),
  timeout: TIMEOUT,
};

const parseGrant = bodyParser(GRANT);
const parseNothing = bodyParser(NOTHING);

function idOf(exchange: Exchange): string {
  return idOfSegment(exchange.segment(PREFIX));
}

function grantLease(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const options: Open<Parameters<Leases['grant']>[0] & object> = mutationOptions(exchange, timeout);
  exchange.readJson(parseGrant, (self, body) => {
    if (body.ttl !== undefined) options.ttlMs = body.ttl;
    if ('owner' in body) options.owner = body.owner;
    self.settle(self.service.node.leases.grant(options), (_, answer) =>
      self.sendWritten(201, leaseAnswerJson(answer), answer),
    );
  });
}

function renewLease(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const id = idOf(exchange);
  // Renewing twice is renewing: there is nothing to remember, but what cannot be meant is refused all the same.
  onceOf(exchange.request);
  exchange.readOptionalJson(parseNothing, (self) => {
    self.settle(self.service.node.leases.renew(id, callOptions(self, timeout)), (_, answer) =>
      self.sendWritten(200, leaseAnswerJson(answer), answer),
    );
  });
}

function leaseAnswerJson({ id, ttlMs }: LeaseAnswer): string {
  return JSON.stringify({ id, ttlMs });
}

function revokeLease(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const revoked = exchange.service.node.leases.revoke(idOf(exchange), mutationOptions(exchange, timeout));
  exchange.settle(revoked, (self, answer) => {
    self.sendWritten(200, JSON.stringify({ revision: answer.revision, deleted: answer.deleted }), answer);
  });
}

function getLease(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  exchange.settle(exchange.service.node.leases.get(idOf(exchange), callOptions(exchange, timeout)), (self, lease) =>
    self.sendJson(200, JSON.stringify(leaseJson(lease))),
  );
}

function listLeases(exchange: Exchange): void {
  const { timeout, after, limit = MAX_PAGE } = exchange.query(LIST_QUERY);
  const options: Open<Parameters<Leases['list']>[0] & object> = callOptions(exchange, timeout);
  if (after !== undefined && after !== '') {
    if (!isId(after)) throw invalidOption('after', 'must be a lease id');
    options.after = after;
  }
  exchange.settle(exchange.service.node.leases.list(options), (self, all) => {
    const leases = all.slice(0, limit);
    const next = leases.length === limit ? (leases.at(-1)?.id ?? null) : null;
    self.sendJson(200, JSON.stringify({ leases: leases.map(leaseJson), next }));
  });
}

function leaseJson({ id, ttlMs, remainingMs, owner = null, keys, locks }: LeaseInfo): object {
  return { id, ttlMs, remainingMs, owner, keys: keys.map(keyValue), locks };
}

export const LEASE_ROUTES: readonly Route[] = [
  {
    ...WRITES,
    operationId: 'grantLease',
    method: 'POST',
    path: '/v1/leases',
    tag: 'leases',
    summary: 'Make a lease',
    description: 'It ends unless it is renewed within its time to live, and everything that hangs on it goes with it.',
    body: jsonBody('GrantRequest', 'May be {}'),
    answers: { 201: writtenAnswer('LeaseAnswer', 'There it is') },
    errors: [...JSON_BODY_ERRORS, 'ERR_QUOTA', ...ONCE_ERRORS],
    handle: grantLease,
  },
  {
    ...READS,
    operationId: 'listLeases',
    method: 'GET',
    path: '/v1/leases',
    tag: 'leases',
    summary: 'List leases',
    description: 'In the order of their ids.',
    query: LIST_QUERY,
    answers: { 200: jsonAnswer('LeaseList', 'A page') },
    handle: listLeases,
  },
  {
    ...READS,
    operationId: 'getLease',
    method: 'GET',
    path: '/v1/leases/{id}',
    tag: 'leases',
    summary: 'Look at a lease',
    description: 'How long it has, who made it, and what hangs on it (at most 1000 keys).',
    answers: { 200: jsonAnswer('Lease', 'The lease') },
    errors: ['ERR_LEASE_NOT_FOUND'],
    handle: getLease,
  },
  {
    ...WRITES,
    operationId: 'renewLease',
    method: 'POST',
    path: '/v1/leases/{id}/renew',
    tag: 'leases',
    summary: 'Renew a lease',
    description: 'It has its whole time to live again. Takes no body. Renewing twice is harmless, so nothing is kept.',
    answers: { 200: jsonAnswer('LeaseAnswer', 'Renewed') },
    errors: ['ERR_LEASE_NOT_FOUND', ...JSON_BODY_ERRORS],
    handle: renewLease,
  },
  {
    ...WRITES,
    operationId: 'revokeLease',
    method: 'DELETE',
    path: '/v1/leases/{id}',
    tag: 'leases',
    summary: 'End a lease',
    description: 'What hangs on it goes at once: keys are deleted in one revision, locks are released.',
    answers: { 200: writtenAnswer('DeleteAnswer', 'Ended, with so many keys') },
    errors: ['ERR_LEASE_NOT_FOUND', ...ONCE_ERRORS],
    handle: revokeLease,
  },
];
