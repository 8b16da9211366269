/** For operators and their tools: probes, metrics, and the description of the API itself. */
import { createHash } from 'node:crypto';

import { DOCS_STYLE } from './docs-page.ts';
import type { Exchange } from './exchange.ts';
import { flag } from './query.ts';
import type { Route } from './route.ts';

const TEXT = 'text/plain; charset=utf-8';
const PROBE_QUERY = { verbose: flag('Say what was checked; the name alone is enough', true) };

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

function livez(exchange: Exchange): void {
  const { verbose = false } = exchange.query(PROBE_QUERY);
  const { failure } = exchange.service;
  answerProbe(exchange, 'livez', verbose, [
    { name: 'node', ok: failure === null, detail: failure === null ? 'running' : `stopped: ${failure.message}` },
  ]);
}

function readyz(exchange: Exchange): void {
  const { verbose = false } = exchange.query(PROBE_QUERY);
  const { node, failure, admission } = exchange.service;
  const { ready, checks } = node.readiness();
  const own: Check[] = [];
  if (failure !== null) own.push({ name: 'node', ok: false, detail: `stopped: ${failure.message}` });
  if (admission.closing) own.push({ name: 'closing', ok: false, detail: 'this node is closing' });
  if (!ready && checks.every((check) => check.ok)) own.push({ name: 'ready', ok: false, detail: 'not ready' });
  answerProbe(exchange, 'readyz', verbose, [...checks, ...own]);
}

/** 200 or 503, in the manner of Kubernetes' own probes. A failed one always says why. */
function answerProbe(exchange: Exchange, name: string, verbose: boolean, checks: readonly Check[]): void {
  const ok = checks.every((check) => check.ok);
  const lines = checks.map(
    (check) => `[${check.ok ? '+' : '-'}]${check.name} ${check.ok ? 'ok' : 'failed'}: ${check.detail}`,
  );
  const body = ok && !verbose ? 'ok\n' : `${[...lines, `${name} check ${ok ? 'passed' : 'failed'}`].join('\n')}\n`;
  exchange.sendText(ok ? 200 : 503, body, TEXT);
}

function metrics(exchange: Exchange): void {
  exchange.query({});
  const { registry } = exchange.service;
  exchange.settle(registry.metrics(), (self, body) => self.sendText(200, body, registry.contentType));
}

function openapi(exchange: Exchange): void {
  exchange.query({});
  exchange.sendJson(200, exchange.service.documents.openapi);
}

// Its own style sheet is the only thing that the page may load.
const DOCS_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(DOCS_STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

function docs(exchange: Exchange): void {
  exchange.query({});
  const body = Buffer.from(exchange.service.documents.page, 'utf8');
  const headers = ['Content-Type', 'text/html; charset=utf-8', 'Content-Security-Policy', DOCS_POLICY];
  headers.push('X-Content-Type-Options', 'nosniff', 'Referrer-Policy', 'no-referrer', 'X-Frame-Options', 'DENY');
  exchange.send(200, headers, null, body);
}

const COMMON = { tag: 'operations', errors: [], open: true, always: false, mutating: false } as const;

export const OPERATION_ROUTES: readonly Route[] = [
  {
    ...COMMON,
    operationId: 'livez',
    method: 'GET',
    path: '/livez',
    summary: 'Is this process alive?',
    description:
      'Depends on nothing but this node: 200 also without a quorum. 503 once the node has stopped by itself.',
    query: PROBE_QUERY,
    answers: {
      200: { description: 'Alive', content: [{ type: 'text/plain' }] },
      503: { description: 'Stopped by itself; restart it', content: [{ type: 'text/plain' }] },
    },
    always: true,
    handle: livez,
  },
  {
    ...COMMON,
    operationId: 'readyz',
    method: 'GET',
    path: '/readyz',
    summary: 'May clients be sent here?',
    description: 'Ready: knows a leader, is caught up, and is not closing.',
    query: PROBE_QUERY,
    answers: {
      200: { description: 'Ready', content: [{ type: 'text/plain' }] },
      503: { description: 'Not ready, and why', content: [{ type: 'text/plain' }] },
    },
    always: true,
    handle: readyz,
  },
  {
    ...COMMON,
    operationId: 'metrics',
    method: 'GET',
    path: '/metrics',
    summary: 'Metrics for Prometheus',
    description: 'Text exposition format 0.0.4.',
    query: {},
    answers: { 200: { description: 'Metrics', content: [{ type: 'text/plain' }] } },
    open: false,
    always: true,
    handle: metrics,
  },
  {
    ...COMMON,
    operationId: 'openapi',
    method: 'GET',
    path: '/openapi.json',
    summary: 'This description, for programs',
    description: 'OpenAPI 3.1.',
    query: {},
    answers: { 200: { description: 'OpenAPI document', content: [{ type: 'application/json' }] } },
    handle: openapi,
  },
  {
    ...COMMON,
    operationId: 'docs',
    method: 'GET',
    path: '/docs',
    summary: 'This description, for people',
    description: 'One page that loads nothing.',
    query: {},
    answers: { 200: { description: 'HTML page', content: [{ type: 'text/html' }] } },
    handle: docs,
  },
];
