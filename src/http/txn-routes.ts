/** Transactions and compaction: /v1/txn, /v1/compact. */
import type { TxnAnswer } from '../node/coordination.ts';
import { bodyParser } from './body.ts';
import { mutationOptions } from './call.ts';
import type { Exchange } from './exchange.ts';
import { ONCE_ERRORS } from './once.ts';
import { maxTxnBytes } from './options.ts';
import { COMPACT } from './requests.ts';
import { JSON_BODY_ERRORS, jsonBody, TIMEOUT_QUERY, WRITES, writtenAnswer } from './route.ts';
import type { Route } from './route.ts';
import { parseTxn, txnAnswerJson } from './txn-json.ts';

const parseCompact = bodyParser(COMPACT);

function txn(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const options = mutationOptions(exchange, timeout);
  const { node } = exchange.service;
  exchange.readJson(
    parseTxn,
    (self, request) => self.settle(node.txn(request, options), answerTxn),
    maxTxnBytes(node.limits),
  );
}

function answerTxn(exchange: Exchange, answer: TxnAnswer): void {
  exchange.sendWritten(200, txnAnswerJson(answer), answer);
}

function compact(exchange: Exchange): void {
  const { timeout } = exchange.query(TIMEOUT_QUERY);
  const options = mutationOptions(exchange, timeout);
  exchange.readJson(parseCompact, (self, { revision }) => {
    self.settle(self.service.node.compact(revision, options), (_, answer) =>
      self.sendWritten(200, `{"compactedRevision":${answer.compactedRevision}}`, answer),
    );
  });
}

export const TXN_ROUTES: readonly Route[] = [
  {
    ...WRITES,
    operationId: 'txn',
    method: 'POST',
    path: '/v1/txn',
    tag: 'keys',
    summary: 'A transaction',
    description:
      'When every condition of if holds, what then says, otherwise what else says, all of it at one revision. At most ' +
      '128 conditions, and 128 operations a branch.',
    body: jsonBody('TxnRequest', 'Conditions, and what to do'),
    answers: { 200: writtenAnswer('TxnAnswer', 'Done, one way or the other') },
    errors: ['ERR_BAD_KEY', 'ERR_LEASE_NOT_FOUND', 'ERR_QUOTA', ...JSON_BODY_ERRORS, ...ONCE_ERRORS],
    handle: txn,
  },
  {
    ...WRITES,
    operationId: 'compact',
    method: 'POST',
    path: '/v1/compact',
    tag: 'keys',
    summary: 'Forget history',
    description: 'The given revision stays readable; what is older is gone, and answers 410.',
    body: jsonBody('CompactRequest', 'The revision'),
    answers: { 200: writtenAnswer('CompactAnswer', 'Forgotten') },
    errors: ['ERR_FUTURE_REVISION', 'ERR_COMPACTED', ...JSON_BODY_ERRORS, ...ONCE_ERRORS],
    handle: compact,
  },
];
