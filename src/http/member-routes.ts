/** Who belongs to the cluster: /v1/cluster/members, /v1/cluster/watch, /v1/cluster/tokens. */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';

import { textOfMembers } from '../node/member-service.ts';
import type { JoinTokenOptions, MemberAnswer, MemberInfo, NewMember } from '../node/types.ts';
import { bodyParser } from './body.ts';
import { callOptions } from './call.ts';
import type { Open } from './call.ts';
import type { Exchange } from './exchange.ts';
import { nameIn } from './holding.ts';
import { firstOf, ObservationSource } from './observation-source.ts';
import { ADD_MEMBER, JOIN_TOKEN, NOTHING, REPLACE_MEMBER } from './requests.ts';
import { JSON_BODY_ERRORS, jsonAnswer, jsonBody, READS, TIMEOUT_QUERY } from './route.ts';
import type { Route } from './route.ts';

const PREFIX = '/v1/cluster/members/';
const parseMember = bodyParser(ADD_MEMBER);
const parseReplacement = bodyParser(REPLACE_MEMBER);
const parseToken = bodyParser(JOIN_TOKEN);
const parseNothing = bodyParser(NOTHING);

function listMembers(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const listed = exchange.service.node.members.list(callOptions(exchange, timeout));
  exchange.settle(listed, (self, members) => self.sendJson(200, JSON.stringify({ members })));
}

function watchMembers(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const { 'last-event-id': seen } = exchange.request.headers;
  const refused = exchange.service.streamRefusal();
  if (refused !== null) throw refused;
  const observation = exchange.service.node.members.watch(callOptions(exchange, timeout));
  let isFirst = true;
  const frameOf = (members: readonly MemberInfo[]): Buffer => {
    const id = idOf(members);
    // Whoever comes back, to this node or another, is not told again what it has.
    const isKnown = isFirst && id === seen;
    isFirst = false;
    return isKnown ? AS_KNOWN : Buffer.from(`id: ${id}\ndata: ${JSON.stringify({ members })}\n\n`);
  };
  exchange.settle(firstOf(observation), (self, first) =>
    self.stream(new ObservationSource(observation, first, frameOf)),
  );
}

/** A comment: with it the client knows that the stream stands. */
const AS_KNOWN = Buffer.from(': as you know it\n\n');

/** Of a list, on whatever node: the same for the same members. Opaque to clients. */
function idOf(members: readonly MemberInfo[]): string {
  return createHash('sha256').update(textOfMembers(members)).digest('base64url').slice(0, 22);
}

function addMember(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  exchange.readJson(parseMember, (self, body) => {
    const member: NewMember = body;
    const added = self.service.node.members.add(member, callOptions(self, timeout));
    self.settle(added, (_, answer) => self.sendJson(201, memberJson(answer)));
  });
}

function promoteMember(exchange: Exchange): void {
  changeRole(exchange, 'promote');
}

function demoteMember(exchange: Exchange): void {
  changeRole(exchange, 'demote');
}

function changeRole(exchange: Exchange, change: 'promote' | 'demote'): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const member = nameIn(exchange, PREFIX);
  exchange.readOptionalJson(parseNothing, (self) => {
    const changed = self.service.node.members[change](member, callOptions(self, timeout));
    self.settle(changed, answerMember);
  });
}

function replaceMember(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const member = nameIn(exchange, PREFIX);
  exchange.readJson(parseReplacement, (self, { by }) => {
    const replaced = self.service.node.members.replace(member, by, callOptions(self, timeout));
    self.settle(replaced, answerMember);
  });
}

function removeMember(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const member = nameIn(exchange, PREFIX);
  exchange.settle(exchange.service.node.members.remove(member, callOptions(exchange, timeout)), (self, { removed }) =>
    self.sendJson(200, JSON.stringify({ removed })),
  );
}

function createToken(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  exchange.readJson(parseToken, (self, { ttl, role }) => {
    const options: Open<JoinTokenOptions> = callOptions(self, timeout);
    if (ttl !== undefined) options.ttlMs = ttl;
    if (role !== undefined) options.role = role;
    self.settle(self.service.node.members.createToken(options), (_, { token, expiresMs }) =>
      self.sendJson(201, JSON.stringify({ token, expiresMs })),
    );
  });
}

function answerMember(exchange: Exchange, answer: MemberAnswer): void {
  exchange.sendJson(200, memberJson(answer));
}

function memberJson({ id, name, role }: MemberAnswer): string {
  return JSON.stringify({ id, name, role });
}

/**
 * Without Idempotency-Key: the configuration itself says what is done already, for longer than any key is kept, and doing it again is answered as done.
 */
const CHANGES = { tag: 'cluster', query: TIMEOUT_QUERY, open: false, always: false, mutating: true } as const;

export const MEMBER_ROUTES: readonly Route[] = [
  {
    ...READS,
    operationId: 'listMembers',
    method: 'GET',
    path: '/v1/cluster/members',
    tag: 'cluster',
    summary: 'Who is there',
    description:
      'Voters and learners by the configuration, agents by gossip, each with its health as this node sees it. Answered by the node itself: also without a quorum.',
    answers: { 200: jsonAnswer('MemberList', 'The members') },
    handle: listMembers,
  },
  {
    ...READS,
    operationId: 'watchMembers',
    method: 'GET',
    path: '/v1/cluster/watch',
    tag: 'cluster',
    summary: 'Watch the members',
    description:
      'Server-sent events: what GET /v1/cluster/members answers, at once and whenever it changes; of several changes in a ' +
      'row perhaps the last only, and none for how far members are in the log. Heartbeats and errors as in a watch.',
    headers: {
      'Last-Event-ID': 'id of the last event that came: when the list is the same still, it is not told again',
    },
    answers: {
      200: {
        description: 'Events until either side ends it',
        content: [{ type: 'text/event-stream', schema: 'MemberList' }],
      },
    },
    handle: watchMembers,
  },
  {
    ...CHANGES,
    operationId: 'addMember',
    method: 'POST',
    path: '/v1/cluster/members',
    summary: 'Add a member',
    description:
      'It begins as a learner, which gets the log and has no vote. Unless it is to stay one, the leader makes it a voter by itself once it has caught up. ' +
      'A member that is one already is answered as it is. A node that is started to join does this by itself.',
    body: jsonBody('AddMemberRequest', 'Who it is, and where'),
    answers: { 201: jsonAnswer('MemberAnswer', 'It is a member') },
    errors: [
      'ERR_MEMBER_EXISTS',
      'ERR_MEMBERSHIP_BUSY',
      'ERR_MEMBER_REMOVED',
      'ERR_NOT_FOUND',
      'ERR_LAST_VOTER',
      ...JSON_BODY_ERRORS,
    ],
    handle: addMember,
  },
  {
    ...CHANGES,
    operationId: 'promoteMember',
    method: 'POST',
    path: '/v1/cluster/members/{id}/promote',
    summary: 'Make a learner a voter',
    description: 'Waits, as long as timeout allows, until it has caught up. One that is a voter already is no error.',
    answers: { 200: jsonAnswer('MemberAnswer', 'It is a voter') },
    errors: ['ERR_NOT_FOUND', 'ERR_NOT_CAUGHT_UP', 'ERR_MEMBERSHIP_BUSY', ...JSON_BODY_ERRORS],
    handle: promoteMember,
  },
  {
    ...CHANGES,
    operationId: 'demoteMember',
    method: 'POST',
    path: '/v1/cluster/members/{id}/demote',
    summary: 'Make a voter a learner',
    description: 'It keeps the log and serves reads. A leader hands over first. One that is a learner is no error.',
    answers: { 200: jsonAnswer('MemberAnswer', 'It is a learner') },
    errors: ['ERR_NOT_FOUND', 'ERR_LAST_VOTER', 'ERR_MEMBERSHIP_BUSY', ...JSON_BODY_ERRORS],
    handle: demoteMember,
  },
  {
    ...CHANGES,
    operationId: 'replaceMember',
    method: 'POST',
    path: '/v1/cluster/members/{id}/replace',
    summary: 'Let another take the place of a member',
    description:
      'One joint change (Raft thesis, §4.3): there is no moment at which the cluster has a voter less. Waits, as long as timeout allows, until the other has caught up.',
    body: jsonBody('ReplaceMemberRequest', 'By whom'),
    answers: { 200: jsonAnswer('MemberAnswer', 'Who has the place now') },
    errors: ['ERR_NOT_FOUND', 'ERR_NOT_CAUGHT_UP', 'ERR_LAST_VOTER', 'ERR_MEMBERSHIP_BUSY', ...JSON_BODY_ERRORS],
    handle: replaceMember,
  },
  {
    ...CHANGES,
    operationId: 'removeMember',
    method: 'DELETE',
    path: '/v1/cluster/members/{id}',
    summary: 'Remove a member',
    description: 'Its identity never comes back; its name is free. One that is not there is no error.',
    answers: { 200: jsonAnswer('RemovedAnswer', 'It is no member') },
    errors: ['ERR_LAST_VOTER', 'ERR_MEMBERSHIP_BUSY'],
    handle: removeMember,
  },
  {
    ...CHANGES,
    operationId: 'createJoinToken',
    method: 'POST',
    path: '/v1/cluster/tokens',
    summary: 'Make a join token',
    description:
      'Lets nodes join in place of the cluster secret, until it expires. Made by the node that is asked, and kept nowhere: it cannot be taken back.',
    body: jsonBody('JoinTokenRequest', 'May be {}'),
    answers: { 201: jsonAnswer('JoinToken', 'The token') },
    errors: ['ERR_FORBIDDEN', ...JSON_BODY_ERRORS],
    handle: createToken,
  },
];
