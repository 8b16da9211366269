/**
 * The fastify application: routes from the rows, and a skin around each of them.
 *
 * Keys live in paths, and everything between a client and a handler likes to tidy paths up. So the router never sees a
 * key: `rewriteUrl` hands it `/v1/kv/:key` for all of them, and the exchange reads the key from the target as it was
 * sent. The query is split off there as well, since options are parsed by their declarations (query.ts), and bodies are
 * left alone (a body is a value, not JSON). What remains of fastify on the hot path is its routing.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import fastify from 'fastify';
import type { FastifyInstance, HTTPMethods } from 'fastify';

import { KvorumError } from '../errors.ts';
import type { KvorumNode } from '../node/types.ts';
import { answerClientError } from './client-error.ts';
import { connectionOf } from './connection.ts';
import { docsPageOf } from './docs-page.ts';
import { Exchange } from './exchange.ts';
import { KEY_PREFIX } from './key-path.ts';
import { openApiOf } from './openapi.ts';
import { maxHeaderBytes } from './options.ts';
import type { ServeOptions } from './options.ts';
import type { Route } from './route.ts';
import { ROUTES } from './routes.ts';
import { Service } from './service.ts';
import type { Documents } from './service.ts';

type RoutedRequest = IncomingMessage & { originalUrl?: string };

/** Version of the contract, as the OpenAPI document states it. */
export const API_VERSION = '1.0.0';

const WITH_BODY: readonly HTTPMethods[] = ['PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS'];
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*/iu;

/** An application that serves `node`: for `inject()`, or to listen with. `startHttp` does the latter. */
export function buildApp(node: KvorumNode, options: ServeOptions = {}): FastifyInstance {
  return createApp(node, options).app;
}

export function createApp(node: KvorumNode, options: ServeOptions): { app: FastifyInstance; service: Service } {
  const service = new Service(node, options, documents());
  const app = fastify({
    logger: false,
    requestIdHeader: false,
    genReqId: () => '',
    exposeHeadRoutes: false,
    // A draining node answers with a problem, as at any other time.
    return503OnClosing: false,
    rewriteUrl,
    // Names are measured by those who know their limit, and say so.
    routerOptions: { maxParamLength: maxHeaderBytes(node.limits) },
    // A client that neither sends nor reads for longer than any call can take is gone.
    connectionTimeout: 150_000,
    keepAliveTimeout: options.keepAliveTimeoutMs ?? 72_000,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    http: {
      maxHeaderSize: maxHeaderBytes(node.limits),
      headersTimeout: Math.min(options.headersTimeoutMs ?? 10_000, options.requestTimeoutMs ?? 30_000),
      connectionsCheckingInterval: options.timeoutCheckMs ?? 1000,
      // Checked by the exchange, which answers with a problem.
      requireHostHeader: false,
      noDelay: true,
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket) => answerClientError(service, error, socket),
    frameworkErrors: (_error, request, reply) => {
      // The router alone comes here, with a path whose escapes it cannot decode.
      const { exchange } = open(service, NOT_FOUND, request.raw, reply.raw);
      exchange.fail(new KvorumError('ERR_INVALID_ARGUMENT', 'the path is not percent-encoded UTF-8'));
    },
  });

  // Bodies are read by the exchange: to fastify no method has one.
  for (const method of WITH_BODY) app.addHttpMethod(method, { hasBody: false, overrideExisting: true });

  for (const route of ROUTES) {
    const metrics = service.metrics.of(route);
    app.route({
      method: route.method,
      url: route.path.replaceAll(/\{(\w+)\}/gu, ':$1'),
      handler: (request, reply) => {
        const exchange = new Exchange(service, route.mutating, metrics, request.raw, reply.raw);
        try {
          if (exchange.admit(route.open, route.always)) route.handle(exchange);
        } catch (error) {
          exchange.fail(error);
        }
      },
    });
  }
  app.setNotFoundHandler((request, reply) => answerNoRoute(service, request.raw, reply.raw));
  app.addHook('onClose', (_app, done) => {
    service.close();
    done();
  });
  watchConnections(app, service);
  return { app, service };
}

/** What the router gets to see. */
function rewriteUrl(request: RoutedRequest): string {
  let target = request.url ?? '/';
  if (target.charCodeAt(0) !== 0x2f) {
    // RFC 9112 §3.2.2: a server takes the absolute form as well, which proxies send.
    target = target.replace(ABSOLUTE_FORM, '');
    if (!target.startsWith('/')) target = `/${target}`;
    request.originalUrl = target;
  }
  if (target.startsWith(KEY_PREFIX)) return '/v1/kv/:key';
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}

const NOT_FOUND = { open: true, always: false, mutating: false };

function open(
  service: Service,
  route: Pick<Route, 'open' | 'always' | 'mutating'>,
  request: IncomingMessage,
  response: ServerResponse,
): { exchange: Exchange; admitted: boolean } {
  const exchange = new Exchange(service, route.mutating, service.metrics.none, request, response);
  return { exchange, admitted: exchange.admit(route.open, route.always) };
}

/** 404, or 405 with Allow when another method would have been right, or the answer to a CORS preflight. */
function answerNoRoute(service: Service, request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? '/';
  const methods: string[] = ROUTES.filter((route) => PATTERNS.get(route.path)!.test(path)).map(({ method }) => method);
  const preflight =
    request.method === 'OPTIONS' && service.cors !== null && 'access-control-request-method' in request.headers;
  // A browser sends no credentials with a preflight.
  const route = { ...NOT_FOUND, open: preflight || !path.startsWith('/v1/') };
  const { exchange, admitted } = open(service, route, request, response);
  if (!admitted) return;
  if (methods.length === 0) {
    exchange.fail(new KvorumError('ERR_NOT_FOUND', 'there is no such resource; /docs lists what there is'));
    return;
  }
  const allow = methods.join(', ');
  if (preflight) {
    exchange.sendNothing(204, service.preflightHeaders(allow));
    return;
  }
  const error = new KvorumError('ERR_METHOD_NOT_ALLOWED', `this resource takes ${allow}`, {
    details: { allow: methods },
  });
  exchange.fail(error, ['Allow', allow]);
}

/** Paths as the router sees them: a key is one segment by now, like every other parameter. */
const PATTERNS: ReadonlyMap<string, RegExp> = new Map(
  ROUTES.map(({ path }) => [
    path,
    new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/gu, '[^/]*')}$`, 'u'),
  ]),
);

function watchConnections(app: FastifyInstance, service: Service): void {
  const { server } = app;
  server.maxConnections = service.options.maxConnections ?? 10_000;
  server.on('connection', (socket: Socket) => {
    connectionOf(socket);
    service.connections++;
    socket.once('close', () => service.connections--);
  });
  server.on('drop', () => service.metrics.shed('connections'));
  // A value that is too large is refused before it is sent; everybody else may go on.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const length = Number(request.headers['content-length'] ?? 0);
    if (length <= service.node.limits.maxValueBytes) response.writeContinue();
    server.emit('request', request, response);
  });
  // Any other expectation is not ours to meet, and no reason to refuse (RFC 9110 §10.1.1 leaves it open).
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    server.emit('request', request, response);
  });
}

function documents(): Documents {
  let openapi: string | null = null;
  let page: string | null = null;
  return {
    get openapi() {
      return (openapi ??= JSON.stringify(openApiOf(ROUTES, API_VERSION)));
    },
    get page() {
      return (page ??= docsPageOf(openApiOf(ROUTES, API_VERSION)));
    },
  };
}
