/** Requests that never became one: bytes that are no HTTP, heads that are too large, requests that do not arrive. */
import type { Socket } from 'node:net';

import { KvorumError } from '../errors.ts';
import { connectionOf } from './connection.ts';
import { maxHeaderBytes } from './options.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';
import type { Service } from './service.ts';

/** How long a client may take to read the last words, ms. */
const LINGER_MS = 1000;

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Content Too Large',
  431: 'Request Header Fields Too Large',
};

/** What Node's `clientError` says, answered with a problem when the connection can still carry one, and closed. */
export function answerClientError(service: Service, thrown: NodeJS.ErrnoException, socket: Socket): void {
  const connection = connectionOf(socket);
  if (connection.broken) return;
  connection.broken = true;
  if (thrown.code === 'ECONNRESET' || thrown.code === 'EPIPE' || !socket.writable) {
    socket.destroy();
    return;
  }
  const { error, status } = describe(service, thrown);
  const { last, reading } = connection;
  if (reading !== null && !reading.arrived) {
    // The request began well: its own exchange answers, in its turn, and closes, as there is no place to go on from.
    reading.fail(error, ['Connection', 'close']);
    return;
  }
  const say = (): void => sayLastWords(service, error, status, socket);
  // Answers of requests before this one go first, or the client would take these words for one of them.
  if (last === null || last.writableFinished) say();
  else last.once('finish', say);
}

function describe(service: Service, thrown: NodeJS.ErrnoException): { error: KvorumError; status: number } {
  const options = { cause: thrown };
  switch (thrown.code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        error: new KvorumError('ERR_REQUEST_TIMEOUT', 'the request did not arrive in time', options),
        status: 408,
      };
    case 'HPE_HEADER_OVERFLOW': {
      const limit = maxHeaderBytes(service.node.limits);
      const message = `the request's line and headers are larger than ${limit} bytes`;
      return { error: new KvorumError('ERR_TOO_LARGE', message, { ...options, details: { limit } }), status: 431 };
    }
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { error: new KvorumError('ERR_TOO_LARGE', 'the chunk extensions are too large', options), status: 413 };
    case 'HPE_INVALID_URL': {
      const message = 'a character in the request target is not allowed there; it must be percent-encoded';
      return { error: new KvorumError('ERR_INVALID_ARGUMENT', message, options), status: 400 };
    }
    default: {
      const reason = 'reason' in thrown && typeof thrown.reason === 'string' ? thrown.reason : thrown.message;
      return {
        error: new KvorumError('ERR_INVALID_ARGUMENT', `this is not HTTP/1.1: ${reason}`, options),
        status: 400,
      };
    }
  }
}

function sayLastWords(service: Service, error: KvorumError, status: number, socket: Socket): void {
  if (socket.destroyed || !socket.writable) return;
  const requestId = service.requestId(undefined);
  const { json } = problemOf(error, requestId, status);
  const head = service.node.head();
  const lines = [
    `HTTP/1.1 ${status} ${REASONS[status] ?? 'Error'}`,
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(json)}`,
    'X-Content-Type-Options: nosniff',
    `X-Group: ${head.group}`,
    `X-Revision: ${head.revision}`,
    `X-Raft-Term: ${head.term}`,
    `X-Served-By: ${head.servedBy}`,
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ];
  service.metrics.none.record(status, 0);
  socket.end(`${lines.join('\r\n')}\r\n\r\n${json}`);
  // A client that neither reads nor leaves keeps nothing.
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
