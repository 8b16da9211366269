/** The OpenAPI 3.1 document, made from the route rows. */
import { ERRORS } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { MAX_NAME_BYTES } from './name-path.ts';
import { PROBLEM_TYPE } from './problem.ts';
import type { AnswerDoc, Content, Route } from './route.ts';
import { SCHEMAS } from './schemas.ts';

interface Response {
  description: string;
  headers?: Record<string, object>;
  content?: Record<string, object>;
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required: boolean;
  description: string;
  schema: object;
}

export interface Operation {
  operationId: string;
  tags: string[];
  summary: string;
  description: string;
  parameters: Parameter[];
  requestBody?: { description: string; required: boolean; content: Record<string, object> };
  responses: Record<string, Response>;
  security: Record<string, string[]>[];
}

export interface OpenApiDocument {
  openapi: '3.1.1';
  info: { title: string; version: string; description: string };
  servers: { url: string }[];
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object>; securitySchemes: Record<string, object> };
}

/** Errors that any call may meet; probes and documents, which answer without the cluster, meet fewer. */
const COMMON_ERRORS: readonly ErrorCode[] = ['ERR_INVALID_ARGUMENT', 'ERR_METHOD_NOT_ALLOWED', 'ERR_INTERNAL'];
const SHED_ERRORS: readonly ErrorCode[] = ['ERR_OVERLOADED', 'ERR_CLOSED'];
const CLUSTER_ERRORS: readonly ErrorCode[] = ['ERR_NO_LEADER', 'ERR_TIMEOUT'];

const ANSWER_HEADERS: Readonly<Record<string, string>> = {
  'X-Group': 'Raft group that answered',
  'X-Revision': 'Revision of the store that the answer is of',
  'X-Raft-Term': 'Raft term',
  'X-Served-By': 'Name of the node that answered',
  'X-Request-Id': 'Echo of the request, or a new one',
};

const REQUEST_HEADERS: Readonly<Record<string, string>> = {
  'X-Request-Id': 'Echoed when it is 1 to 128 printable ASCII characters without spaces',
};

/** Every error code that the document tells of for a route. */
export function errorsOf(route: Route): ErrorCode[] {
  const codes = [...COMMON_ERRORS, ...route.errors];
  if (!route.open) codes.push('ERR_UNAUTHENTICATED');
  if (!route.always) codes.push(...SHED_ERRORS);
  if (route.path.startsWith('/v1/')) codes.push(...(route.operationId === 'getCluster' ? [] : CLUSTER_ERRORS));
  return [...new Set(codes)];
}

export function openApiOf(routes: readonly Route[], version: string): OpenApiDocument {
  const paths: OpenApiDocument['paths'] = {};
  for (const route of routes) {
    (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Kvorum',
      version,
      description:
        'A replicated key-value store on Raft. Every node answers everything; a follower forwards to the leader itself. ' +
        'Errors are RFC 9457 problem details with a stable code.',
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'keys', description: 'Keys and values are bytes, ordered as unsigned bytes.' },
      { name: 'watches', description: 'Changes as server-sent events, from any revision that is still kept.' },
      { name: 'leases', description: 'A time to live that somebody has to renew, and what hangs on it.' },
      { name: 'locks', description: 'Locks, read/write locks and semaphores, with fencing tokens.' },
      { name: 'elections', description: 'One leader, and what it stands for.' },
      { name: 'barriers', description: 'Nobody goes on until all are there.' },
      { name: 'counters', description: 'Numbers to add to.' },
      { name: 'services', description: 'Who offers what, where, and whether it is well.' },
      { name: 'cluster', description: 'Members and leadership.' },
      { name: 'dht', description: 'Where things are, as a hint: without a leader and without a quorum.' },
      { name: 'operations', description: 'Probes, metrics and documents.' },
    ],
    paths,
    components: {
      schemas: { ...SCHEMAS },
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'When the node was given a token' } },
    },
  };
}

function operationOf(route: Route): Operation {
  const operation: Operation = {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    description: route.description,
    parameters: [...pathParameters(route), ...queryParameters(route), ...headerParameters(route)],
    responses: { ...answers(route), ...problems(route) },
    security: route.open ? [] : [{}, { bearer: [] }],
  };
  if (route.body !== undefined) {
    const { description, ...content } = route.body;
    operation.requestBody = { description, required: content.schema !== undefined, content: contentOf([content]) };
  }
  return operation;
}

const PATH_PARAMETERS: Readonly<Record<string, Omit<Parameter, 'name' | 'in' | 'required'>>> = {
  key: {
    description:
      'Percent-encoded UTF-8; slashes may stand as they are. Keys that are not UTF-8, begin with "/", or have "//" or ' +
      '"." and ".." segments: base64url, with keyEncoding=base64url.',
    schema: { type: 'string', minLength: 1 },
  },
  name: {
    description: 'One segment of percent-encoded UTF-8, at most 512 bytes when decoded; "/" is %2F. Not "." or "..".',
    schema: { type: 'string', minLength: 1, maxLength: MAX_NAME_BYTES },
  },
  instance: {
    description: 'Id of an instance, written as a name is',
    schema: { type: 'string', minLength: 1, maxLength: MAX_NAME_BYTES },
  },
  id: { description: 'Id of a lease', schema: { type: 'string', pattern: '^[0-9]{1,20}$' } },
  // Of a tag, before those of all.
  'cluster id': {
    description: 'Id or name of a member',
    schema: { type: 'string', minLength: 1, maxLength: MAX_NAME_BYTES },
  },
};

function pathParameters(route: Route): Parameter[] {
  return [...route.path.matchAll(/\{(\w+)\}/gu)].map(([, name]) => ({
    name: name!,
    in: 'path',
    required: true,
    ...(PATH_PARAMETERS[`${route.tag} ${name!}`] ?? PATH_PARAMETERS[name!]!),
  }));
}

function queryParameters(route: Route): Parameter[] {
  return Object.entries(route.query).map(([name, { description, schema }]) => ({
    name,
    in: 'query',
    required: false,
    description,
    schema,
  }));
}

function headerParameters(route: Route): Parameter[] {
  return Object.entries({ ...route.headers, ...REQUEST_HEADERS }).map(([name, description]) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  }));
}

function answers(route: Route): Record<string, Response> {
  return Object.fromEntries(Object.entries(route.answers).map(([status, doc]) => [status, responseOf(doc)] as const));
}

function responseOf({ description, content, headers }: AnswerDoc): Response {
  const response: Response = { description, headers: headerDocs({ ...headers, ...ANSWER_HEADERS }) };
  if (content !== undefined) response.content = contentOf(content);
  return response;
}

/** One response a status; a status with several codes lists them. */
function problems(route: Route): Record<string, Response> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of errorsOf(route)) {
    const { status } = ERRORS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const responses: Record<string, Response> = {};
  for (const [status, codes] of byStatus) {
    // A probe answers 503 in its own words.
    if (status in route.answers) continue;
    responses[status] = {
      description: codes.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join(' · '),
      headers: headerDocs(ANSWER_HEADERS),
      content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
    };
  }
  return responses;
}

function headerDocs(headers: Readonly<Record<string, string>>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }] as const),
  );
}

function contentOf(content: readonly Content[]): Record<string, object> {
  return Object.fromEntries(
    content.map(({ type, schema }) => {
      return [type, schema === undefined ? {} : { schema: { $ref: `#/components/schemas/${schema}` } }] as const;
    }),
  );
}
