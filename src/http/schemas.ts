/** The JSON shapes of the API: they validate request bodies and are the components of the OpenAPI document. */
import type { TSchema } from 'typebox';
import { Type } from 'typebox';

import type { ErrorCode } from '../errors.ts';
import { ERRORS } from '../errors.ts';

const count = (description: string) => Type.Integer({ minimum: 0, description });
const revision = (description: string) => Type.Integer({ minimum: 0, description });
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const id = (description: string) => Type.String({ pattern: '^[0-9]+$', description });

const keyFields = {
  key: Type.String({ description: 'The key as text, or its bytes when keyEncoding says so' }),
  keyEncoding: Type.Optional(Type.Literal('base64url', { description: 'Only there when the key is not UTF-8 text' })),
};

const versionFields = {
  createRevision: revision('Revision of the put that made the key'),
  modRevision: revision('Revision of the last put: the number in its ETag'),
  version: count('Puts since the key was made, which is the first'),
  lease: nullable(id('Lease that the key hangs on')),
};

export const Entry = Type.Object(
  {
    ...keyFields,
    value: Type.String({ description: 'As encoding says' }),
    encoding: Type.Enum(['utf8', 'base64'], { description: 'utf8 whenever the value is valid UTF-8' }),
    ...versionFields,
    contentType: Type.String({ description: 'As given with the put, else application/octet-stream' }),
  },
  { description: 'A key with its value' },
);

export const KeyEntry = Type.Object({ ...keyFields, ...versionFields }, { description: 'An entry without its value' });

export const PutAnswer = Type.Object({
  revision: revision('Revision of this write'),
  created: Type.Boolean({ description: 'True when the key did not exist before' }),
  prev: Type.Optional(nullable(Type.Ref('#/components/schemas/Entry'))),
});

export const DeleteAnswer = Type.Object({
  revision: revision('Revision of this deletion; the current one when nothing was deleted'),
  deleted: count('Keys deleted'),
  prev: Type.Optional(nullable(Type.Ref('#/components/schemas/Entry'))),
});

export const ListAnswer = Type.Object({
  revision: revision('Revision that the list is of'),
  entries: Type.Array(Type.Union([Type.Ref('#/components/schemas/Entry'), Type.Ref('#/components/schemas/KeyEntry')])),
  count: count('All keys of the range at that revision, also those on other pages'),
  nextCursor: nullable(Type.String({ description: 'Opaque; null on the last page' })),
});

export const Member = Type.Object({
  id: id('Member id'),
  name: Type.String(),
  peerId: Type.String(),
  role: Type.Enum(['voter', 'learner', 'agent']),
  addresses: Type.Array(Type.String()),
  http: nullable(Type.String({ description: 'Base URL of its HTTP API' })),
  pid: nullable(Type.Integer()),
  health: Type.Enum(['alive', 'unreachable']),
  matchIndex: nullable(Type.Integer()),
  appliedIndex: nullable(Type.Integer()),
});

export const Cluster = Type.Object({
  clusterId: Type.String({ pattern: '^[0-9]*$', description: 'Empty until the node has joined its cluster' }),
  name: Type.String({ description: 'Name of the node that answers' }),
  leader: nullable(Type.String({ description: 'Name of the leader that this node knows' })),
  term: Type.Integer(),
  revision: revision('Last revision that this node has applied'),
  members: Type.Array(Type.Ref('#/components/schemas/Member')),
});

export const TransferRequest = Type.Object(
  {
    to: Type.Optional(
      Type.String({ minLength: 1, description: 'Name of the new leader; default: the most up-to-date voter' }),
    ),
  },
  { additionalProperties: false },
);

export const TransferAnswer = Type.Object({
  leader: nullable(Type.String({ description: 'Name of the leader now' })),
});

export const Problem = Type.Object(
  {
    type: Type.String({ description: 'URI reference to the description of the code' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'For people; may change' }),
    code: Type.Enum(Object.keys(ERRORS) as ErrorCode[], { description: 'Stable' }),
    retryable: Type.Boolean({ description: 'The same request may succeed when it is sent again' }),
    outcome: Type.Enum(['none', 'unknown'], {
      description: 'none: it never took effect and never will; unknown: it may take effect, now or later',
    }),
    requestId: Type.String({ description: 'Echo of X-Request-Id' }),
    option: Type.Optional(Type.String({ description: 'ERR_INVALID_ARGUMENT: the query option at fault' })),
    limit: Type.Optional(Type.Integer({ description: 'ERR_TOO_LARGE: the limit, in bytes' })),
    current: Type.Optional(nullable(Type.Ref('#/components/schemas/Entry'))),
    revision: Type.Optional(revision('ERR_CAS_FAILED, ERR_FUTURE_REVISION: revision of the store')),
    compactRevision: Type.Optional(Type.Integer({ description: 'ERR_COMPACTED: the oldest revision there is' })),
  },
  { description: 'RFC 9457 problem details' },
);

export const SCHEMAS = {
  Entry,
  KeyEntry,
  PutAnswer,
  DeleteAnswer,
  ListAnswer,
  Cluster,
  Member,
  TransferRequest,
  TransferAnswer,
  Problem,
} as const;

export type SchemaName = keyof typeof SCHEMAS;
