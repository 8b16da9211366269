/** Counters: /v1/counters. */
import type { CounterAnswer } from '../node/coordination.ts';
import { bodyParser } from './body.ts';
import { callOptions, mutationOptions } from './call.ts';
import type { Exchange } from './exchange.ts';
import { nameIn } from './holding.ts';
import { ONCE_ERRORS } from './once.ts';
import { ADD } from './requests.ts';
import { JSON_BODY_ERRORS, jsonAnswer, jsonBody, READS, TIMEOUT_QUERY, WRITES, writtenAnswer } from './route.ts';
import type { Route } from './route.ts';

const PREFIX = '/v1/counters/';
const parseAdd = bodyParser(ADD);

function getCounter(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const counter = exchange.service.node.counters.get(nameIn(exchange, PREFIX), callOptions(exchange, timeout));
  exchange.settle(counter, answerCounter);
}

function addToCounter(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const name = nameIn(exchange, PREFIX);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseAdd, (self, { delta = 1 }) => {
    self.settle(self.service.node.counters.add(name, delta, options), answerCounter);
  });
}

function answerCounter(exchange: Exchange, answer: CounterAnswer): void {
  const { name, value } = answer;
  exchange.sendWritten(200, JSON.stringify({ name, value }), answer);
}

function deleteCounter(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const gone = exchange.service.node.counters.delete(nameIn(exchange, PREFIX), mutationOptions(exchange, timeout));
  exchange.settle(gone, (self, answer) => self.sendWritten(200, JSON.stringify({ deleted: answer.deleted }), answer));
}

export const COUNTER_ROUTES: readonly Route[] = [
  {
    ...READS,
    operationId: 'getCounter',
    method: 'GET',
    path: '/v1/counters/{name}',
    tag: 'counters',
    summary: 'Read a counter',
    description: 'Linearizable. One that was never added to is 0.',
    answers: { 200: jsonAnswer('Counter', 'The counter') },
    handle: getCounter,
  },
  {
    ...WRITES,
    operationId: 'addToCounter',
    method: 'POST',
    path: '/v1/counters/{name}/add',
    tag: 'counters',
    summary: 'Add to a counter',
    description: 'Gives the sum. A retry counts twice unless it is sent with the same Idempotency-Key.',
    body: jsonBody('AddRequest', 'May be {}, which adds 1'),
    answers: { 200: writtenAnswer('Counter', 'The counter as it is then') },
    errors: ['ERR_QUOTA', ...JSON_BODY_ERRORS, ...ONCE_ERRORS],
    handle: addToCounter,
  },
  {
    ...WRITES,
    operationId: 'deleteCounter',
    method: 'DELETE',
    path: '/v1/counters/{name}',
    tag: 'counters',
    summary: 'Delete a counter',
    description: 'It is 0 again. One that is not there is no error.',
    answers: { 200: writtenAnswer('DeletedAnswer', 'Gone') },
    handle: deleteCounter,
  },
];
