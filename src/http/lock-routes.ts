/** Locks, read/write locks and semaphores: /v1/locks. */
import type { LockInfo, LockOptions, Locks } from '../node/coordination.ts';
import { bodyParser, invalidField } from './body.ts';
import { callOptions, mutationOptions } from './call.ts';
import type { Open } from './call.ts';
import type { Exchange } from './exchange.ts';
import { ACQUIRE_ERRORS, acquireOptions, answerAcquired, holderOf, nameIn } from './holding.ts';
import { ONCE_ERRORS, onceOf } from './once.ts';
import { integer, text, TIMEOUT } from './query.ts';
import { ACQUIRE_LOCK, HOLDER } from './requests.ts';
import { JSON_BODY_ERRORS, jsonAnswer, jsonBody, READS, TIMEOUT_QUERY, WRITES, writtenAnswer } from './route.ts';
import type { Route } from './route.ts';

const PREFIX = '/v1/locks/';
/** What the node gives at once. */
const MAX_PAGE = 1000;
const LIST_QUERY = {
  prefix: text('Only names that begin so'),
  after: text('Only names after this one: next of the page before'),
  limit: integer('Most names of a page', 1, MAX_PAGE, { default: MAX_PAGE }),
  timeout: TIMEOUT,
};

const parseAcquire = bodyParser(ACQUIRE_LOCK);
const parseHolder = bodyParser(HOLDER);

function acquireLock(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const name = nameIn(exchange, PREFIX);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseAcquire, (self, body) => {
    const asked: Open<LockOptions> = acquireOptions(body, options);
    if (body.mode === 'read' && body.permits !== undefined) {
      throw invalidField('mode', 'must not be read with "permits"');
    }
    if (body.mode !== undefined) asked.mode = body.mode;
    if (body.permits !== undefined) asked.permits = body.permits;
    if (body.delay !== undefined) asked.delayMs = body.delay;
    self.settle(self.service.node.locks.acquire(name, asked), answerAcquired);
  });
}

function renewLock(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const name = nameIn(exchange, PREFIX);
  // As with leases: there is nothing to remember.
  onceOf(exchange.request);
  exchange.readJson(parseHolder, (self, body) => {
    self.settle(self.service.node.locks.renew(name, holderOf(body), callOptions(self, timeout)), (_, { ttlMs }) =>
      self.sendJson(200, JSON.stringify({ ttlMs })),
    );
  });
}

function releaseLock(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const name = nameIn(exchange, PREFIX);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseHolder, (self, body) => {
    self.settle(self.service.node.locks.release(name, holderOf(body), options), (_, answer) =>
      self.sendWritten(200, JSON.stringify({ released: answer.released }), answer),
    );
  });
}

function getLock(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const lock = exchange.service.node.locks.get(nameIn(exchange, PREFIX), callOptions(exchange, timeout));
  exchange.settle(lock, (self, info) => self.sendJson(200, JSON.stringify(lockJson(info))));
}

function listLocks(exchange: Exchange): void {
  const { timeout, prefix, after, limit = MAX_PAGE } = exchange.query(LIST_QUERY);
  const options: Open<Parameters<Locks['list']>[0] & object> = callOptions(exchange, timeout);
  if (prefix !== undefined && prefix !== '') options.prefix = prefix;
  if (after !== undefined && after !== '') options.after = after;
  exchange.settle(exchange.service.node.locks.list(options), (self, all) => {
    const locks = all.slice(0, limit);
    const next = locks.length === limit ? (locks.at(-1)?.name ?? null) : null;
    self.sendJson(200, JSON.stringify({ locks: locks.map(lockJson), next }));
  });
}

function lockJson({ name, kind, limit, holders, queue }: LockInfo): object {
  return {
    name,
    kind,
    limit,
    holders: holders.map(({ token, lease, mode, owner = null, since }) => ({ token, lease, mode, owner, since })),
    queue: queue.map(({ lease, mode, owner = null }) => ({ lease, mode, owner })),
  };
}

function breakLock(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const broken = exchange.service.node.locks.break(nameIn(exchange, PREFIX), mutationOptions(exchange, timeout));
  exchange.settle(broken, (self, answer) => self.sendWritten(200, JSON.stringify({ broken: answer.broken }), answer));
}

export const LOCK_ROUTES: readonly Route[] = [
  {
    ...WRITES,
    operationId: 'acquireLock',
    method: 'POST',
    path: '/v1/locks/{name}/acquire',
    tag: 'locks',
    summary: 'Acquire a lock',
    description:
      'First come, first served. With permits it is a semaphore, with mode a read/write lock. The token is larger than ' +
      'that of every earlier holder: give it to whatever the lock protects. A client that hangs up leaves the queue.',
    body: jsonBody('AcquireRequest', 'May be {}'),
    answers: { 200: writtenAnswer('LockAnswer', 'Held') },
    errors: ACQUIRE_ERRORS,
    handle: acquireLock,
  },
  {
    ...WRITES,
    operationId: 'renewLock',
    method: 'POST',
    path: '/v1/locks/{name}/renew',
    tag: 'locks',
    summary: 'Renew a lock',
    description: 'Renews the lease of the holder. Renewing twice is harmless, so nothing is kept.',
    body: jsonBody('HolderRequest', 'The lease or the token of the holder'),
    answers: { 200: jsonAnswer('RenewAnswer', 'Renewed') },
    errors: ['ERR_LOCK_LOST', ...JSON_BODY_ERRORS],
    handle: renewLock,
  },
  {
    ...WRITES,
    operationId: 'releaseLock',
    method: 'POST',
    path: '/v1/locks/{name}/release',
    tag: 'locks',
    summary: 'Release a lock',
    description: 'Whoever waits first has it with the same commit. A second release does nothing.',
    body: jsonBody('HolderRequest', 'The lease or the token of the holder'),
    answers: { 200: writtenAnswer('ReleaseAnswer', 'Not held any more') },
    errors: [...JSON_BODY_ERRORS, ...ONCE_ERRORS],
    handle: releaseLock,
  },
  {
    ...READS,
    operationId: 'getLock',
    method: 'GET',
    path: '/v1/locks/{name}',
    tag: 'locks',
    summary: 'Look at a lock',
    description: 'Who holds it, and who waits. A name that nobody uses has no holders and no queue.',
    answers: { 200: jsonAnswer('Lock', 'The lock') },
    handle: getLock,
  },
  {
    ...READS,
    operationId: 'listLocks',
    method: 'GET',
    path: '/v1/locks',
    tag: 'locks',
    summary: 'List locks',
    description: 'Names in use, in order.',
    query: LIST_QUERY,
    answers: { 200: jsonAnswer('LockList', 'A page') },
    handle: listLocks,
  },
  {
    ...WRITES,
    operationId: 'breakLock',
    method: 'DELETE',
    path: '/v1/locks/{name}',
    tag: 'locks',
    summary: 'Break a lock',
    description: 'For operators: takes it from all who hold it, after which its delay counts. Those who wait stay.',
    answers: { 200: writtenAnswer('BreakAnswer', 'Taken from so many') },
    handle: breakLock,
  },
];
