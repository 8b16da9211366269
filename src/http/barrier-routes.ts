/** Barriers: /v1/barriers. */
import { bodyParser } from './body.ts';
import { callOptions, mutationOptions } from './call.ts';
import type { Exchange } from './exchange.ts';
import { ACQUIRE_ERRORS, acquireOptions, answerAcquired, nameIn } from './holding.ts';
import { ENTER } from './requests.ts';
import { jsonAnswer, jsonBody, READS, TIMEOUT_QUERY, WRITES, writtenAnswer } from './route.ts';
import type { Route } from './route.ts';

const PREFIX = '/v1/barriers/';
const parseEnter = bodyParser(ENTER);

function enterBarrier(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const name = nameIn(exchange, PREFIX);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseEnter, (self, body) => {
    const asked = { ...acquireOptions(body, options), parties: body.parties };
    self.settle(self.service.node.barriers.enter(name, asked), answerAcquired);
  });
}

function getBarrier(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const barrier = exchange.service.node.barriers.get(nameIn(exchange, PREFIX), callOptions(exchange, timeout));
  exchange.settle(barrier, (self, { name, parties, entered }) =>
    self.sendJson(200, JSON.stringify({ name, parties, entered })),
  );
}

export const BARRIER_ROUTES: readonly Route[] = [
  {
    ...WRITES,
    operationId: 'enterBarrier',
    method: 'POST',
    path: '/v1/barriers/{name}/enter',
    tag: 'barriers',
    summary: 'Enter a barrier',
    description:
      'Waits until so many parties have entered; then all of them are let in at once, with one token, and it is closed ' +
      'again. Somebody has to wait: without wait only the last party gets in.',
    body: jsonBody('EnterRequest', 'How many are awaited'),
    answers: { 200: writtenAnswer('LockAnswer', 'All are there') },
    errors: ACQUIRE_ERRORS,
    handle: enterBarrier,
  },
  {
    ...READS,
    operationId: 'getBarrier',
    method: 'GET',
    path: '/v1/barriers/{name}',
    tag: 'barriers',
    summary: 'Look at a barrier',
    description: 'How many are awaited, and how many wait.',
    answers: { 200: jsonAnswer('Barrier', 'The barrier') },
    handle: getBarrier,
  },
];
