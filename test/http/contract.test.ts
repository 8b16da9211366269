/** Routes, the OpenAPI document, docs/http-api.md and docs/errors.md tell the same. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';

import { ERRORS, KvorumError } from '../../src/errors.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { API_VERSION, buildApp } from '../../src/http/app.ts';
import { errorsOf, openApiOf } from '../../src/http/openapi.ts';
import type { OpenApiDocument } from '../../src/http/openapi.ts';
import { ROUTES } from '../../src/http/routes.ts';
import { SCHEMAS } from '../../src/http/schemas.ts';
import type { SchemaName } from '../../src/http/schemas.ts';
import { FakeNode } from './fake-node.ts';
import { serve } from './wire.ts';

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
const guide = read('http-api.md');
const errorGuide = read('errors.md');
const document = openApiOf(ROUTES, API_VERSION);

const calls = ROUTES.map(({ method, path }) => `${method} ${path}`).sort();

/** Rows of a markdown table whose first two cells are code or plain words. */
function rows(markdown: string, pattern: RegExp): string[][] {
  return [...markdown.matchAll(pattern)].map((match) => match.slice(1));
}

/** The tables of a section that are headed by the word. */
function tablesOf(section: string, word: string): string {
  const tables = section.matchAll(/^\|.*\|\n(?:\|.*\|\n?)*/gmu);
  return [...tables]
    .map(([table]) => table)
    .filter((table) => table.startsWith(`| ${word} |`))
    .join('');
}

const fieldTable = (section: string): string => tablesOf(section, 'field');
const optionTable = (section: string): string => tablesOf(section, 'option') + tablesOf(section, 'metric');

test('every route is in the application', async () => {
  const app = buildApp(new FakeNode());
  await app.ready();
  for (const { method, path } of ROUTES) {
    expect(app.hasRoute({ method, url: path.replaceAll(/\{(\w+)\}/gu, ':$1') })).toBe(true);
  }
  const count = app.printRoutes({ commonPrefix: false }).matchAll(/\(([A-Z, ]+)\)/gu);
  expect([...count].flatMap(([, methods]) => methods!.split(', '))).toHaveLength(ROUTES.length);
  await app.close();
});

test('every route is in the OpenAPI document, and nothing else', () => {
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(described.sort()).toEqual(calls);
  const ids = ROUTES.map(({ operationId }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test('every route is in the table of docs/http-api.md, and nothing else', () => {
  const table = rows(guide, /^\| `([A-Z]+)` \| `(\/[^`]*)` \|/gmu).map(([method, path]) => `${method} ${path}`);
  expect(table.sort()).toEqual(calls);
});

describe.each(ROUTES.filter(({ method }) => method !== 'HEAD'))('$method $path', (route) => {
  const section = guide.split(/^(?=##)/mu).find((part) => part.startsWith(`### \`${route.method} ${route.path}\``));

  test('has a section that tells of every option', () => {
    expect(section).toBeDefined();
    for (const name of Object.keys(route.query)) expect(section).toContain(`\`${name}\``);
  });

  test('has a section that tells of every field of its body, and of no other', () => {
    const schema = route.body?.schema;
    if (schema === undefined) return;
    const { properties } = SCHEMAS[schema] as unknown as { properties: Record<string, unknown> };
    for (const name of Object.keys(properties)) expect(section).toMatch(new RegExp(`[\`"]${name}[\`"]`, 'u'));
    const told = rows(fieldTable(section!), /^\| ((?:`\w+`(?:, )?)+) \|/gmu).flatMap(([cell]) => cell!.match(/\w+/gu)!);
    expect(told.filter((name) => !Object.hasOwn(properties, name))).toEqual([]);
  });

  test('has no option in that section that it does not take', () => {
    const told = rows(optionTable(section!), /^\| ((?:`\w+`(?:, )?)+) \|/gmu).flatMap(([cell]) =>
      cell!.match(/\w+/gu)!,
    );
    const metrics = told.filter((name) => name.startsWith('kvorum_'));
    expect(told.filter((name) => !metrics.includes(name) && !Object.hasOwn(route.query, name))).toEqual([]);
  });
});

test('every error code is in docs/errors.md with its status, and nothing else', () => {
  const table = rows(errorGuide, /^\| `(ERR_[A-Z_]+)` *\| (\d+) *\| [^|]{10,} \| [^|]{10,} \|$/gmu);
  expect(table.map((cells) => cells.join(' ')).sort()).toEqual(
    Object.entries(ERRORS)
      .map(([code, { status }]) => `${code} ${status}`)
      .sort(),
  );
});

test('every code that is spoken of exists', () => {
  for (const text of [guide, errorGuide, JSON.stringify(document)]) {
    for (const [code] of text.matchAll(/ERR_[A-Z_]+/gu)) expect(Object.keys(ERRORS)).toContain(code);
  }
});

test('the OpenAPI document holds together', () => {
  const text = JSON.stringify(document);
  for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/gu)) {
    expect(Object.keys(document.components.schemas)).toContain(name);
  }
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const operation of Object.values(methods)) {
      const names = operation.parameters.map(({ in: where, name }) => `${where} ${name}`);
      expect(new Set(names).size).toBe(names.length);
      expect(names.filter((name) => name.startsWith('path '))).toEqual(
        [...path.matchAll(/\{(\w+)\}/gu)].map(([, name]) => `path ${name}`),
      );
      expect(operation.responses['200'] ?? operation.responses['201']).toBeDefined();
    }
  }
});

/** What every answer in this test has to be: told of by the document, with its media type and the common headers. */
function expectDescribed(spec: OpenApiDocument, path: string, method: string, status: number, type: string): void {
  const response = spec.paths[path]?.[method.toLowerCase()]?.responses[status];
  expect(response, `${method} ${path} ${status}`).toBeDefined();
  if (status === 304 || method === 'HEAD') return;
  const types = Object.keys(response!.content ?? {});
  expect(types.includes('*/*') || types.includes(type.split(';')[0]!), `${type} in ${types.join()}`).toBe(true);
}

test.each([
  ['/v1/kv/{key}', 'GET', '/v1/kv/a', {}, 200],
  ['/v1/kv/{key}', 'GET', '/v1/kv/a', { accept: 'application/vnd.kvorum.entry+json' }, 200],
  ['/v1/kv/{key}', 'GET', '/v1/kv/a', { 'if-none-match': '"1"' }, 304],
  ['/v1/kv/{key}', 'GET', '/v1/kv/b', {}, 404],
  ['/v1/kv/{key}', 'GET', '/v1/kv/a?x', {}, 400],
  ['/v1/kv/{key}', 'HEAD', '/v1/kv/a', {}, 200],
  ['/v1/kv/{key}', 'PUT', '/v1/kv/a', {}, 200],
  ['/v1/kv/{key}', 'PUT', '/v1/kv/a', { 'if-match': '"9"' }, 412],
  ['/v1/kv/{key}', 'PUT', '/v1/kv/a', { 'content-encoding': 'br' }, 415],
  ['/v1/kv/{key}', 'PUT', '/v1/kv/a?lease=1', {}, 410],
  ['/v1/kv/{key}', 'DELETE', '/v1/kv/a', {}, 200],
  ['/v1/kv', 'GET', '/v1/kv', {}, 200],
  ['/v1/kv', 'DELETE', '/v1/kv?prefix=a', {}, 200],
  ['/v1/cluster', 'GET', '/v1/cluster', {}, 200],
  ['/v1/cluster/transfer-leadership', 'POST', '/v1/cluster/transfer-leadership', {}, 415],
  ['/livez', 'GET', '/livez', {}, 200],
  ['/readyz', 'GET', '/readyz', {}, 200],
  ['/metrics', 'GET', '/metrics', {}, 200],
  ['/openapi.json', 'GET', '/openapi.json', {}, 200],
  ['/docs', 'GET', '/docs', {}, 200],
] as const)('%s is answered as described: %s %s %j → %d', async (path, method, target, headers, status) => {
  const { put, send } = await serve();
  await put('/v1/kv/a', 'x');
  const answer = await send(target, { method, headers, ...(method === 'PUT' && { body: 'y' }) });
  expect(answer.status).toBe(status);
  expectDescribed(document, path, method, status, answer.headers['content-type'] ?? '');
  for (const name of ['x-group', 'x-revision', 'x-raft-term', 'x-served-by', 'x-request-id']) {
    expect(answer.headers[name]).toBeDefined();
  }
});

// --- bodies ------------------------------------------------------------------------------------------------------

const context = Object.fromEntries(
  Object.entries(SCHEMAS).map(([name, schema]) => [`#/components/schemas/${name}`, schema]),
);

/** Fails the test when `value` is not what the schema of that name says. */
function expectSchema(name: SchemaName, value: unknown): void {
  const [error] = Compile(context, SCHEMAS[name]).Errors(value);
  expect(error === undefined, `${name}: ${JSON.stringify(error)} in ${JSON.stringify(value)}`).toBe(true);
}

const txn = {
  if: [
    { key: 'a', target: 'value', op: '=', value: 'eA==', encoding: 'base64' },
    { key: 'a', target: 'version', op: '=', value: 1 },
  ],
  then: [
    { put: { key: 'a', value: 'x', prev: true, contentType: 'a/b' } },
    { get: { key: 'YQ', keyEncoding: 'base64url' } },
    { get: { key: 'none' } },
  ],
  else: [{ delete: { prefix: 'a' } }, { range: { start: 'a', end: 'b', limit: 1, keysOnly: true } }],
};

const NEW_MEMBER = { name: 'n2', peerId: '12D3KooWTwo', address: '10.0.0.2:7201' };

/** In this order on one node: method, path, target, body, status. */
const CALLS: readonly (readonly [string, string, string, unknown, number])[] = [
  ['PUT', '/v1/kv/{key}', '/v1/kv/a', undefined, 200],
  ['PUT', '/v1/kv/{key}', '/v1/kv/a?prev=true', undefined, 200],
  ['GET', '/v1/kv', '/v1/kv', undefined, 200],
  ['GET', '/v1/kv', '/v1/kv?keysOnly=true', undefined, 200],
  ['POST', '/v1/txn', '/v1/txn', {}, 200],
  ['POST', '/v1/txn', '/v1/txn', { then: txn.then }, 200],
  ['POST', '/v1/txn', '/v1/txn', { if: [{}] }, 400],
  ['POST', '/v1/compact', '/v1/compact', { revision: 1 }, 200],
  ['POST', '/v1/compact', '/v1/compact', { revision: 99 }, 400],
  ['DELETE', '/v1/kv/{key}', '/v1/kv/a?prev=true', undefined, 200],
  ['DELETE', '/v1/kv', '/v1/kv?all=true', undefined, 200],
  ['POST', '/v1/leases', '/v1/leases', { ttl: '15s', owner: { a: 1 } }, 201],
  ['POST', '/v1/leases', '/v1/leases', { ttl: 0 }, 400],
  ['GET', '/v1/leases', '/v1/leases', undefined, 200],
  ['GET', '/v1/leases/{id}', '/v1/leases/41', undefined, 200],
  ['GET', '/v1/leases/{id}', '/v1/leases/7', undefined, 410],
  ['POST', '/v1/leases/{id}/renew', '/v1/leases/41/renew', undefined, 200],
  [
    'POST',
    '/v1/locks/{name}/acquire',
    '/v1/locks/a/acquire',
    { lease: '41', mode: 'write', wait: 0, delay: '1s' },
    200,
  ],
  ['POST', '/v1/locks/{name}/acquire', '/v1/locks/a/acquire', { ttl: 1000, permits: 2, owner: null }, 409],
  ['POST', '/v1/locks/{name}/renew', '/v1/locks/a/renew', { lease: '41' }, 200],
  ['POST', '/v1/locks/{name}/renew', '/v1/locks/a/renew', { token: 7 }, 410],
  ['GET', '/v1/locks/{name}', '/v1/locks/a', undefined, 200],
  ['GET', '/v1/locks', '/v1/locks', undefined, 200],
  ['POST', '/v1/locks/{name}/release', '/v1/locks/a/release', { lease: '41' }, 200],
  ['DELETE', '/v1/locks/{name}', '/v1/locks/a', undefined, 200],
  ['GET', '/v1/elections/{name}', '/v1/elections/e', undefined, 200],
  ['POST', '/v1/elections/{name}/campaign', '/v1/elections/e/campaign', { ttl: '5s', value: 'x', owner: 'me' }, 200],
  ['POST', '/v1/elections/{name}/campaign', '/v1/elections/e/campaign', { wait: '0s' }, 409],
  ['GET', '/v1/elections/{name}', '/v1/elections/e', undefined, 200],
  ['POST', '/v1/elections/{name}/proclaim', '/v1/elections/e/proclaim', { token: 44, value: 'y' }, 200],
  ['POST', '/v1/elections/{name}/proclaim', '/v1/elections/e/proclaim', { token: 7, value: 'y' }, 410],
  ['POST', '/v1/elections/{name}/resign', '/v1/elections/e/resign', { token: 44 }, 200],
  ['POST', '/v1/barriers/{name}/enter', '/v1/barriers/b/enter', { parties: 2 }, 409],
  ['POST', '/v1/barriers/{name}/enter', '/v1/barriers/b/enter', { parties: 1, wait: '1s' }, 200],
  ['GET', '/v1/barriers/{name}', '/v1/barriers/b', undefined, 200],
  ['POST', '/v1/counters/{name}/add', '/v1/counters/c/add', { delta: -2 }, 200],
  ['GET', '/v1/counters/{name}', '/v1/counters/c', undefined, 200],
  ['DELETE', '/v1/counters/{name}', '/v1/counters/c', undefined, 200],
  [
    'PUT',
    '/v1/services/{name}/{instance}',
    '/v1/services/pay/a',
    { address: 'h:1', version: '1', weight: 2, metadata: { zone: 'a' }, status: 'passing', note: 'x', ttl: '5s' },
    201,
  ],
  ['PUT', '/v1/services/{name}/{instance}', '/v1/services/pay/b', { address: 'h:2', lease: '41' }, 201],
  ['PUT', '/v1/services/{name}/{instance}', '/v1/services/pay/c', { address: 'h:2', lease: '7' }, 410],
  ['PUT', '/v1/services/{name}/{instance}', '/v1/services/pay/c', { address: '' }, 400],
  ['GET', '/v1/services', '/v1/services', undefined, 200],
  ['GET', '/v1/services/{name}', '/v1/services/pay?passing=true', undefined, 200],
  ['POST', '/v1/services/{name}/{instance}/report', '/v1/services/pay/b/report', { status: 'critical' }, 200],
  [
    'POST',
    '/v1/services/{name}/{instance}/report',
    '/v1/services/pay/b/report',
    { status: 'warning', note: 'x', lease: '7' },
    410,
  ],
  ['POST', '/v1/services/{name}/{instance}/report', '/v1/services/pay/z/report', { status: 'passing' }, 404],
  ['DELETE', '/v1/services/{name}/{instance}', '/v1/services/pay/b', undefined, 200],
  ['GET', '/v1/services/{name}/watch', '/v1/services/pay/watch?passing=1', undefined, 400],
  ['DELETE', '/v1/leases/{id}', '/v1/leases/41', undefined, 200],
  ['GET', '/v1/watch', '/v1/watch?from=x', undefined, 400],
  ['GET', '/v1/elections/{name}/observe', '/v1/elections/../observe', undefined, 400],
  ['GET', '/v1/cluster', '/v1/cluster', undefined, 200],
  ['POST', '/v1/cluster/transfer-leadership', '/v1/cluster/transfer-leadership', { to: 'n2' }, 200],
  ['GET', '/v1/cluster/members', '/v1/cluster/members', undefined, 200],
  ['POST', '/v1/cluster/members', '/v1/cluster/members', { ...NEW_MEMBER, role: 'voter' }, 201],
  ['POST', '/v1/cluster/members', '/v1/cluster/members', { ...NEW_MEMBER, peerId: 'another' }, 409],
  ['POST', '/v1/cluster/members/{id}/demote', '/v1/cluster/members/n1/demote', undefined, 409],
  ['POST', '/v1/cluster/members/{id}/promote', '/v1/cluster/members/102/promote', undefined, 200],
  ['POST', '/v1/cluster/members/{id}/demote', '/v1/cluster/members/n1/demote', undefined, 200],
  ['POST', '/v1/cluster/members/{id}/replace', '/v1/cluster/members/n2/replace', { by: 'n9' }, 404],
  ['POST', '/v1/cluster/members/{id}/replace', '/v1/cluster/members/n2/replace', { by: 'n1' }, 200],
  ['POST', '/v1/cluster/members', '/v1/cluster/members', { ...NEW_MEMBER, replaces: 'n1' }, 410],
  ['DELETE', '/v1/cluster/members/{id}', '/v1/cluster/members/n1', undefined, 409],
  ['DELETE', '/v1/cluster/members/{id}', '/v1/cluster/members/n9', undefined, 200],
  ['GET', '/v1/cluster', '/v1/cluster', undefined, 200],
  ['POST', '/v1/cluster/tokens', '/v1/cluster/tokens', { ttl: '1h', role: 'agent' }, 201],
  ['POST', '/v1/cluster/tokens', '/v1/cluster/tokens', { ttl: 1 }, 400],
  ['GET', '/v1/dht/values/{key}', '/v1/dht/values/a', undefined, 404],
  ['GET', '/v1/dht/values/{key}', '/v1/dht/values/a?trace=true', undefined, 404],
  ['PUT', '/v1/dht/values/{key}', '/v1/dht/values/a?ttl=10m&trace=true', undefined, 200],
  ['PUT', '/v1/dht/values/{key}', '/v1/dht/values/a?ttl=1', undefined, 400],
  ['GET', '/v1/dht/values/{key}', '/v1/dht/values/a?trace=true&paths=4', undefined, 200],
  ['GET', '/v1/dht/values/{key}', '/v1/dht/values/a?paths=9', undefined, 400],
  ['GET', '/v1/dht/providers/{name}', '/v1/dht/providers/group%2F1', undefined, 200],
  ['GET', '/v1/dht/providers/{name}', '/v1/dht/providers/service%2Fpay', undefined, 404],
  ['GET', '/v1/dht/lookup/{key}', '/v1/dht/lookup/a', undefined, 200],
  ['GET', '/v1/dht/nodes/{id}', '/v1/dht/nodes/102', undefined, 200],
  ['GET', '/v1/dht/nodes/{id}', '/v1/dht/nodes/7', undefined, 404],
];

test('requests and answers are what their schemas say', async () => {
  const { send } = await serve();
  for (const [method, path, target, body, status] of CALLS) {
    const route = ROUTES.find((row) => row.method === method && row.path === path)!;
    if (body !== undefined && status !== 400) expectSchema(route.body!.schema!, body);
    const answer = await send(target, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    expect(answer.status, `${method} ${target}: ${answer.text}`).toBe(status);
    expectDescribed(document, path, method, status, answer.headers['content-type'] ?? '');
    expectSchema(status >= 400 ? 'Problem' : route.answers[status]!.content![0]!.schema!, answer.json);
    if (status >= 400) expect(errorsOf(route)).toContain(answer.json['code']);
  }
  expectSchema('TxnRequest', txn);
  const called = new Set(CALLS.map(([method, path]) => `${method} ${path}`));
  const json = ROUTES.filter(({ answers }) => (answers[200] ?? answers[201])!.content?.[0]?.schema !== undefined);
  const streams = [
    'GET /v1/watch',
    'GET /v1/elections/{name}/observe',
    'GET /v1/services/{name}/watch',
    'GET /v1/cluster/watch',
  ];
  for (const { method, path } of json) expect([...called, ...streams]).toContain(`${method} ${path}`);
});

test('the data of streams is what the schemas say', async () => {
  const { node, listen } = await serve();
  const observed = await listen('/v1/elections/e/observe');
  await observed.until(({ data }) => data.length === 1);
  expectSchema('Election', observed.data[0]);
  const members = await listen('/v1/cluster/watch');
  await members.until(({ data }) => data.length === 1);
  expectSchema('MemberList', members.data[0]);
  const stream = await listen('/v1/watch?from=1&prev=true');
  const entry = {
    key: 'a',
    value: Buffer.from('x'),
    createRevision: 1,
    modRevision: 1,
    version: 1,
    lease: null,
    contentType: null,
  };
  node.watches[0]!.push({ revision: 1, events: [{ type: 'put', entry, prev: null }] });
  node.watches[0]!.fail(new KvorumError('ERR_COMPACTED', 'gone', { details: { compactRevision: 7 } }));
  await stream.until(({ ended }) => ended);
  const [begin, event, error] = stream.events.map(({ data }) => JSON.parse(data!) as unknown);
  expectSchema('WatchEvents', begin);
  expectSchema('WatchEvents', event);
  expectSchema('Problem', error);
  const service = await listen('/v1/services/pay/watch');
  await service.until(({ data }) => data.length === 1);
  expectSchema('ServiceView', service.data[0]);
  for (const path of ['/v1/watch', '/v1/elections/{name}/observe', '/v1/services/{name}/watch', '/v1/cluster/watch']) {
    expectDescribed(document, path, 'GET', 200, stream.response.headers['content-type']!);
  }
});

test('every error that the document tells of has the status of its code', () => {
  for (const methods of Object.values(document.paths)) {
    for (const { responses } of Object.values(methods)) {
      for (const [status, { description }] of Object.entries(responses)) {
        for (const [code] of description.matchAll(/ERR_[A-Z_]+/gu)) {
          expect(ERRORS[code as ErrorCode].status).toBe(Number(status));
        }
      }
    }
  }
});

describe('the examples of docs/http-api.md', async () => {
  const run = promisify(execFile);
  const curl = await run('curl', ['--version']).then(
    () => true,
    () => false,
  );
  if (!curl) console.warn('there is no curl here: the examples of docs/http-api.md are not run');

  test.runIf(curl)(
    'give what they say, in their order',
    async () => {
      const { server } = await serve();
      const blocks = [...guide.matchAll(/^```console\n(.*?)^```$/gmsu)].map(([, block]) => block!);
      const examples = blocks.flatMap((block) => block.split(/^\$ /mu).slice(1));
      expect(examples.length).toBeGreaterThan(10);
      for (const example of examples) {
        const [command, ...output] = example.split('\n');
        const local = command!.replaceAll('http://127.0.0.1:7101', server.url).replace(/^curl /u, 'curl -s ');
        const { stdout } = await run('sh', ['-c', local]);
        const shown = stdout.replaceAll('\r', '').replace(/^Date: .*$/mu, 'Date: Thu, 01 Jan 1970 00:00:00 GMT');
        expect(shown.trim(), command).toBe(output.join('\n').trim());
      }
    },
    60_000,
  );
});
