/** The service registry: /v1/services. An instance is a key on a lease; what is here puts, reads and watches such keys. */
import { createHash } from 'node:crypto';

import { listedAnew } from '../client/listing.ts';
import { Census } from '../client/services/census.ts';
import { encodeRecord, instanceKey, instanceOf, SERVICES_END, servicesAfter } from '../client/services/instance.ts';
import type { InstanceRecord, InstanceStatus, ServiceInstance } from '../client/services/instance.ts';
import { KvorumError } from '../errors.ts';
import type { Condition, KvEntry } from '../kv/types.ts';
import type { LeaseAnswer, MutationOptions } from '../node/coordination.ts';
import type { CallOptions, KvorumNode, PutOptions } from '../node/types.ts';
import { bodyParser, invalidField } from './body.ts';
import { callOptions, mutationOptions } from './call.ts';
import type { Exchange } from './exchange.ts';
import { nameOfSegment } from './name-path.ts';
import { ONCE_ERRORS, onceOf } from './once.ts';
import { flag, integer, oneOf, text, TIMEOUT } from './query.ts';
import { REGISTER, REPORT } from './requests.ts';
import { JSON_BODY_ERRORS, jsonAnswer, jsonBody, READS, TIMEOUT_QUERY, WRITES, writtenAnswer } from './route.ts';
import type { Route } from './route.ts';
import { openServiceSource, pagesOf, rosterOf, serviceJson, storedOf } from './service-feed.ts';

const PREFIX = '/v1/services/';
const CONTENT_TYPE = 'application/json';
const MAX_PAGE = 1000;
/** Whoever writes at the same time wins; then it is looked at again. */
const MAX_TURNS = 5;

const consistency = oneOf('linearizable: never older than any answer before it; stale: what this node has, at once', [
  'linearizable',
  'stale',
]);
const passing = flag('Only instances that are passing');
const LIST_QUERY = {
  after: text('Only services after this one: next of the page before'),
  limit: integer('Most services of a page', 1, MAX_PAGE, { default: MAX_PAGE }),
  consistency,
  timeout: TIMEOUT,
};
const SERVICE_QUERY = { passing, consistency, timeout: TIMEOUT };
const WATCH_QUERY = { passing, timeout: TIMEOUT };

const parseRegister = bodyParser(REGISTER);
const parseReport = bodyParser(REPORT);

interface Names {
  readonly name: string;
  readonly instance: string;
}

function nameOf(exchange: Exchange): string {
  return nameOfSegment(exchange.segment(PREFIX));
}

function namesOf(exchange: Exchange): Names {
  const written = exchange.segment(PREFIX);
  return { name: nameOfSegment(written), instance: nameOfSegment(exchange.segment(`${PREFIX}${written}/`)) };
}

// --- registering -------------------------------------------------------------------------------------------------

function registerInstance(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const names = namesOf(exchange);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseRegister, (self, body) => {
    if (body.lease !== undefined && body.ttl !== undefined) {
      throw invalidField('ttl', 'and "lease" exclude each other: a lease has its own');
    }
    const { address, version = null, weight = 1, metadata = {}, status = 'passing', note = null, node = null } = body;
    const record = { address, version, weight, metadata, status, note, node };
    const registered =
      body.lease === undefined
        ? registerAnew(self.service.node, names, record, body.ttl, options)
        : registerWith(self.service.node, names, record, body.lease, options);
    self.settle(registered, (_, answer) => {
      const { id: lease, ttlMs } = answer;
      self.sendWritten(201, JSON.stringify({ ...names, lease, ttlMs }), answer);
    });
  });
}

/** With a lease that there is: one write, which can be done once. */
async function registerWith(
  node: KvorumNode,
  { name, instance }: Names,
  record: InstanceRecord,
  lease: string,
  options: MutationOptions,
): Promise<LeaseAnswer> {
  const { once: _, ...call } = options;
  const { ttlMs } = await node.leases.renew(lease, call);
  const written = await node.put(instanceKey(name, instance), encodeRecord(record), {
    ...options,
    contentType: CONTENT_TYPE,
    lease,
  });
  return { ...written, id: lease, ttlMs };
}

/**
 * With a lease made for it: two writes, of which the first is the one that is done once. A repetition gets the same lease, and writes only what the first time did not come to: never over
 * what was written since. That the first time came to nothing and that somebody deregistered it since look the same; so then it registers again.
 */
async function registerAnew(
  node: KvorumNode,
  { name, instance }: Names,
  record: InstanceRecord,
  ttlMs: number | undefined,
  options: MutationOptions,
): Promise<LeaseAnswer> {
  const { once, ...call } = options;
  const { address } = record;
  const value = encodeRecord(record);
  const granted = await node.leases.grant({
    ...options,
    // Of the two writes only the grant is compared with that of the first time: it has to tell all that was asked for.
    owner: { service: name, instance, address, ...(once !== undefined && { record: digestOf(value) }) },
    ...(ttlMs !== undefined && { ttlMs }),
  });
  const put = { ...call, contentType: CONTENT_TYPE, lease: granted.id };
  try {
    if (granted.replayed === true) return await completed(node, { name, instance }, value, granted, put);
    const { revision } = await node.put(instanceKey(name, instance), value, put);
    return { ...granted, revision };
  } catch (error) {
    // Its lease was made, whatever became of the rest.
    if (!KvorumError.is(error) || error.outcome === 'unknown') throw error;
    throw new KvorumError(error.code, error.message, { outcome: 'unknown', cause: error, details: error.details });
  }
}

/** What a repetition has left to do after its lease was made. */
async function completed(
  node: KvorumNode,
  { name, instance }: Names,
  value: string,
  granted: LeaseAnswer,
  put: PutOptions,
): Promise<LeaseAnswer> {
  const key = instanceKey(name, instance);
  const { contentType: _, lease: __, ...call } = put;
  for (let turn = 1; ; turn++) {
    const { entry } = await node.get(key, call);
    if (entry?.lease === granted.id) return granted;
    // What was there before its lease was made is what it was to take the place of.
    if (entry !== null && entry.modRevision > granted.revision) throw lost(name, instance);
    const condition: Condition =
      entry === null ? { type: 'absent' } : { type: 'modRevision', revision: entry.modRevision };
    try {
      const { revision } = await node.put(key, value, { ...put, condition });
      return { ...granted, revision };
    } catch (error) {
      if (!KvorumError.is(error, 'ERR_CAS_FAILED') || turn === MAX_TURNS) throw error;
    }
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

// --- reporting ---------------------------------------------------------------------------------------------------

function reportInstance(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const names = namesOf(exchange);
  // As with renewals: saying it twice is saying it, so there is nothing to remember.
  onceOf(exchange.request);
  exchange.readJson(parseReport, (self, body) => {
    const { status, note = null, lease } = body;
    const changed = report(self.service.node, names, { status, note }, lease, callOptions(self, timeout));
    self.settle(changed, (_, revision) =>
      self.sendJson(200, JSON.stringify({ ...names, status, changed: revision !== null }), revision),
    );
  });
}

/** Its revision; null when it was known, and nothing was written. */
async function report(
  node: KvorumNode,
  { name, instance }: Names,
  said: { readonly status: InstanceStatus; readonly note: string | null },
  lease: string | undefined,
  options: CallOptions,
): Promise<number | null> {
  const key = instanceKey(name, instance);
  for (let turn = 1; ; turn++) {
    const { entry } = await node.get(key, options);
    const current = entry === null ? null : instanceOf(storedOf(entry));
    if (entry === null || current === null) {
      throw new KvorumError('ERR_NOT_FOUND', `service ${JSON.stringify(name)} has no such instance`);
    }
    if (lease !== undefined && entry.lease !== lease) throw lost(name, instance);
    if (current.status === said.status && current.note === said.note) return null;
    try {
      return await write(node, entry, { ...current, ...said }, options);
    } catch (error) {
      // Its lease is looked for first: one that has ended since took the instance with it, and perhaps another has its place.
      if (!KvorumError.is(error, 'ERR_CAS_FAILED') && !KvorumError.is(error, 'ERR_LEASE_NOT_FOUND')) throw error;
      if (turn === MAX_TURNS) throw error;
    }
  }
}

async function write(node: KvorumNode, entry: KvEntry, said: ServiceInstance, options: CallOptions): Promise<number> {
  const { revision } = await node.put(instanceKey(said.name, said.instance), encodeRecord(said), {
    ...options,
    contentType: CONTENT_TYPE,
    condition: { type: 'modRevision', revision: entry.modRevision },
    ...(entry.lease !== null && { lease: entry.lease }),
  });
  return revision;
}

function lost(name: string, instance: string): KvorumError {
  const which = `instance ${JSON.stringify(instance)} of service ${JSON.stringify(name)}`;
  return new KvorumError('ERR_REGISTRATION_LOST', `${which} was registered by another`);
}

function deregisterInstance(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const { name, instance } = namesOf(exchange);
  const deleted = exchange.service.node.delete(instanceKey(name, instance), mutationOptions(exchange, timeout));
  exchange.settle(deleted, (self, answer) =>
    self.sendWritten(200, JSON.stringify({ deregistered: answer.deleted > 0 }), answer),
  );
}

// --- looking -----------------------------------------------------------------------------------------------------

function listServices(exchange: Exchange): void {
  const { after, limit = MAX_PAGE, consistency: asked, timeout } = exchange.query(LIST_QUERY);
  const options = { ...callOptions(exchange, timeout), ...(asked !== undefined && { consistency: asked }) };
  exchange.settle(namesAfter(exchange.service.node, after || null, limit, options), (self, json) =>
    self.sendJson(200, json),
  );
}

async function namesAfter(
  node: KvorumNode,
  after: string | null,
  limit: number,
  options: CallOptions & { readonly consistency?: 'linearizable' | 'stale' },
): Promise<string> {
  return listedAnew(async () => {
    const census = new Census();
    let revision = 0;
    for await (const page of pagesOf(node, { ...options, start: servicesAfter(after), end: SERVICES_END })) {
      ({ revision } = page);
      for (const entry of page.entries) census.count(storedOf(entry as KvEntry));
      // One more than asked for tells that the last one is complete.
      if (census.services.length > limit) break;
    }
    const services = census.services.slice(0, limit);
    const next = census.services.length > limit ? services.at(-1)!.name : null;
    return JSON.stringify({ revision, services, next });
  });
}

function getService(exchange: Exchange): void {
  const { passing: only = false, consistency: asked, timeout } = exchange.query(SERVICE_QUERY);
  const options = { ...callOptions(exchange, timeout), ...(asked !== undefined && { consistency: asked }) };
  exchange.settle(rosterOf(exchange.service.node, nameOf(exchange), options), (self, roster) =>
    self.sendJson(200, serviceJson(roster.view(only))),
  );
}

function watchService(exchange: Exchange): void {
  const { passing: only = false, timeout } = exchange.query(WATCH_QUERY);
  const name = nameOf(exchange);
  const refused = exchange.service.streamRefusal();
  if (refused !== null) throw refused;
  const source = openServiceSource(exchange.service.node, name, only, callOptions(exchange, timeout));
  exchange.settle(source, (self, opened) => self.stream(opened));
}

export const SERVICE_ROUTES: readonly Route[] = [
  {
    ...READS,
    operationId: 'listServices',
    method: 'GET',
    path: '/v1/services',
    tag: 'services',
    summary: 'List services',
    description: 'Services that have an instance, with how many, in the order of their keys.',
    query: LIST_QUERY,
    answers: { 200: jsonAnswer('ServiceList', 'A page') },
    errors: ['ERR_COMPACTED'],
    handle: listServices,
  },
  {
    ...READS,
    operationId: 'getService',
    method: 'GET',
    path: '/v1/services/{name}',
    tag: 'services',
    summary: 'Who offers it?',
    description: 'The instances of a service. A name that nobody registered has none.',
    query: SERVICE_QUERY,
    answers: { 200: jsonAnswer('ServiceView', 'The service') },
    errors: ['ERR_TOO_LARGE', 'ERR_COMPACTED'],
    handle: getService,
  },
  {
    ...READS,
    operationId: 'watchService',
    method: 'GET',
    path: '/v1/services/{name}/watch',
    tag: 'services',
    summary: 'Watch a service',
    description:
      'Server-sent events: what the GET answers, at once and whenever it changes; of several changes in a row perhaps ' +
      'the last only. Goes on at any node, which begins with what is then. Heartbeats and errors as in a watch.',
    query: WATCH_QUERY,
    answers: {
      200: {
        description: 'Events until either side ends it',
        content: [{ type: 'text/event-stream', schema: 'ServiceView' }],
      },
    },
    errors: ['ERR_TOO_LARGE', 'ERR_COMPACTED'],
    handle: watchService,
  },
  {
    ...WRITES,
    operationId: 'registerInstance',
    method: 'PUT',
    path: '/v1/services/{name}/{instance}',
    tag: 'services',
    summary: 'Register an instance',
    description:
      'It is registered until its lease ends: renew that. Whoever is registered under the id loses its place. Without ' +
      'lease one is made for it; a repetition under the same Idempotency-Key gets the same lease, and never writes over ' +
      'what was written since. When it was deregistered since, a repetition registers it again for as long as that ' +
      'lease lives: use a new key for a new registration.',
    body: jsonBody('RegisterRequest', 'What it is'),
    answers: { 201: writtenAnswer('RegisterAnswer', 'Registered') },
    errors: [
      'ERR_LEASE_NOT_FOUND',
      'ERR_REGISTRATION_LOST',
      'ERR_CAS_FAILED',
      'ERR_QUOTA',
      ...JSON_BODY_ERRORS,
      ...ONCE_ERRORS,
    ],
    handle: registerInstance,
  },
  {
    ...WRITES,
    operationId: 'reportInstance',
    method: 'POST',
    path: '/v1/services/{name}/{instance}/report',
    tag: 'services',
    summary: 'Say how an instance is',
    description: 'Written when it is a change. Saying it twice is harmless, so nothing is kept.',
    body: jsonBody('ReportRequest', 'How it is'),
    answers: { 200: jsonAnswer('ReportAnswer', 'Known') },
    errors: ['ERR_NOT_FOUND', 'ERR_REGISTRATION_LOST', 'ERR_CAS_FAILED', 'ERR_QUOTA', ...JSON_BODY_ERRORS],
    handle: reportInstance,
  },
  {
    ...WRITES,
    operationId: 'deregisterInstance',
    method: 'DELETE',
    path: '/v1/services/{name}/{instance}',
    tag: 'services',
    summary: 'Deregister an instance',
    description: 'Whoever registered it. Its lease is left to its time. A second time it does nothing.',
    answers: { 200: writtenAnswer('DeregisterAnswer', 'Not registered any more') },
    handle: deregisterInstance,
  },
];
