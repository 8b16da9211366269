/** Elections: /v1/elections. */
import { Buffer } from 'node:buffer';

import type { CampaignOptions, ElectionInfo } from '../node/coordination.ts';
import { bodyParser } from './body.ts';
import { callOptions, mutationOptions } from './call.ts';
import type { Open } from './call.ts';
import type { Exchange } from './exchange.ts';
import { ACQUIRE_ERRORS, acquireOptions, answerAcquired, nameIn } from './holding.ts';
import { ONCE_ERRORS } from './once.ts';
import { firstOf, ObservationSource } from './observation-source.ts';
import { CAMPAIGN, PROCLAIM, RESIGN } from './requests.ts';
import { JSON_BODY_ERRORS, jsonAnswer, jsonBody, READS, TIMEOUT_QUERY, WRITES, writtenAnswer } from './route.ts';
import type { Route } from './route.ts';

const PREFIX = '/v1/elections/';
const parseCampaign = bodyParser(CAMPAIGN);
const parseProclaim = bodyParser(PROCLAIM);
const parseResign = bodyParser(RESIGN);

function campaign(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const name = nameIn(exchange, PREFIX);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseCampaign, (self, body) => {
    const asked: Open<CampaignOptions> = acquireOptions(body, options);
    if (body.value !== undefined) asked.value = body.value;
    self.settle(self.service.node.elections.campaign(name, asked), answerAcquired);
  });
}

function proclaim(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const name = nameIn(exchange, PREFIX);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseProclaim, (self, body) => {
    self.settle(self.service.node.elections.proclaim(name, body, options), (_, answer) =>
      self.sendWritten(200, '{"proclaimed":true}', answer),
    );
  });
}

function resign(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const name = nameIn(exchange, PREFIX);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseResign, (self, body) => {
    self.settle(self.service.node.elections.resign(name, body, options), (_, answer) =>
      self.sendWritten(200, JSON.stringify({ resigned: answer.resigned }), answer),
    );
  });
}

function getElection(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const election = exchange.service.node.elections.get(nameIn(exchange, PREFIX), callOptions(exchange, timeout));
  exchange.settle(election, (self, info) => self.sendJson(200, electionJson(info)));
}

function electionJson({ name, leader, value, token }: ElectionInfo): string {
  const shown = leader === null ? null : { lease: leader.lease, owner: leader.owner ?? null };
  return JSON.stringify({ name, leader: shown, value, token });
}

// --- observe -----------------------------------------------------------------------------------------------------

function observeElection(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const observation = exchange.service.node.elections.observe(nameIn(exchange, PREFIX), callOptions(exchange, timeout));
  exchange.settle(firstOf(observation), (self, first) =>
    self.stream(new ObservationSource(observation, first, (info) => Buffer.from(`data: ${electionJson(info)}\n\n`))),
  );
}

export const ELECTION_ROUTES: readonly Route[] = [
  {
    ...WRITES,
    operationId: 'campaign',
    method: 'POST',
    path: '/v1/elections/{name}/campaign',
    tag: 'elections',
    summary: 'Stand for election',
    description: 'First come, first served; answers when elected. A client that hangs up does not stand any more.',
    body: jsonBody('CampaignRequest', 'May be {}'),
    answers: { 200: writtenAnswer('LockAnswer', 'Elected') },
    errors: ACQUIRE_ERRORS,
    handle: campaign,
  },
  {
    ...WRITES,
    operationId: 'proclaim',
    method: 'POST',
    path: '/v1/elections/{name}/proclaim',
    tag: 'elections',
    summary: 'Say something as leader',
    description: 'Changes the value that observers see.',
    body: jsonBody('ProclaimRequest', 'Token of the leader, and what it says'),
    answers: { 200: writtenAnswer('ProclaimAnswer', 'Said') },
    errors: ['ERR_LOCK_LOST', 'ERR_QUOTA', ...JSON_BODY_ERRORS, ...ONCE_ERRORS],
    handle: proclaim,
  },
  {
    ...WRITES,
    operationId: 'resign',
    method: 'POST',
    path: '/v1/elections/{name}/resign',
    tag: 'elections',
    summary: 'Resign',
    description: 'Whoever stands first is elected with the same commit. A second time it does nothing.',
    body: jsonBody('ResignRequest', 'Token of the leader'),
    answers: { 200: writtenAnswer('ResignAnswer', 'Not leader any more') },
    errors: [...JSON_BODY_ERRORS, ...ONCE_ERRORS],
    handle: resign,
  },
  {
    ...READS,
    operationId: 'getElection',
    method: 'GET',
    path: '/v1/elections/{name}',
    tag: 'elections',
    summary: 'Who leads?',
    description: 'Linearizable. leader is null when nobody is elected.',
    answers: { 200: jsonAnswer('Election', 'The election') },
    handle: getElection,
  },
  {
    ...READS,
    operationId: 'observeElection',
    method: 'GET',
    path: '/v1/elections/{name}/observe',
    tag: 'elections',
    summary: 'Observe an election',
    description:
      'Server-sent events: what the GET answers, at once and whenever it changes; of several changes in a row perhaps ' +
      'the last only. Heartbeats and errors as in a watch.',
    answers: {
      200: {
        description: 'Events until either side ends it',
        content: [{ type: 'text/event-stream', schema: 'Election' }],
      },
    },
    handle: observeElection,
  },
];
