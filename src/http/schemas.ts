/** The JSON shapes of the API, as the components of the OpenAPI document. Those of requests are made from what parses them. */
import type { TSchema } from 'typebox';
import { Type } from 'typebox';

import { STATUSES } from '../client/services/instance.ts';
import type { ErrorCode } from '../errors.ts';
import { ERRORS } from '../errors.ts';
import type { BodySpec } from './body.ts';
import { schemaOf } from './body.ts';
import {
  ACQUIRE_LOCK,
  ADD,
  ADD_MEMBER,
  CAMPAIGN,
  COMPACT,
  ENTER,
  GRANT,
  HOLDER,
  JOIN_TOKEN,
  PROCLAIM,
  REPLACE_MEMBER,
  REGISTER,
  REPORT,
  RESIGN,
  TRANSFER,
  TXN_DELETE,
  TXN_GET,
  TXN_PUT,
  TXN_RANGE,
} from './requests.ts';
import { MAX_TXN_OPERATIONS } from './txn-json.ts';

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
  health: Type.Enum(['alive', 'suspect', 'unreachable'], {
    description:
      'As this node sees it; suspect: it did not answer of late; unreachable: it has left, or is taken for dead',
  }),
  matchIndex: nullable(Type.Integer()),
  appliedIndex: nullable(Type.Integer()),
  metadata: nullable(
    Type.Record(Type.String(), Type.String(), { description: 'What its owner has it say of itself; null: nothing' }),
  ),
  incarnation: nullable(
    Type.Integer({ description: 'Grows with its starts and when it speaks up; null: not heard of yet' }),
  ),
});

export const MemberList = Type.Object({
  members: Type.Array(Type.Ref('#/components/schemas/Member')),
});

export const Cluster = Type.Object({
  clusterId: Type.String({ pattern: '^[0-9]*$', description: 'Empty until the node has joined its cluster' }),
  name: Type.String({ description: 'Name of the node that answers' }),
  leader: nullable(Type.String({ description: 'Name of the leader that this node knows' })),
  term: Type.Integer(),
  revision: revision('Last revision that this node has applied'),
  members: Type.Array(Type.Ref('#/components/schemas/Member')),
});

export const TransferAnswer = Type.Object({
  leader: nullable(Type.String({ description: 'Name of the leader now' })),
});

export const MemberAnswer = Type.Object({
  id: id('Member id'),
  name: Type.String(),
  role: Type.Enum(['voter', 'learner'], { description: 'What it is now' }),
});

export const RemovedAnswer = Type.Object({
  removed: Type.Boolean({ description: 'False: there was no such member' }),
});

export const JoinToken = Type.Object({
  token: Type.String({ description: 'Whoever has it can join until it expires' }),
  expiresMs: count('Milliseconds since the epoch, by the clock of the node that made it'),
});

// --- transactions ------------------------------------------------------------------------------------------------

const operator = Type.Enum(['=', '!=', '<', '>']);
const strict = { additionalProperties: false };
const of = (name: string, spec: BodySpec, description: string) =>
  Type.Object({ [name]: schemaOf(spec, description) }, strict);

const TxnCompare = Type.Union(
  [
    Type.Object(
      {
        key: Type.String(),
        keyEncoding: Type.Optional(Type.Enum(['utf8', 'base64url'])),
        target: Type.Enum(['version', 'createRevision', 'modRevision']),
        op: operator,
        value: count('Of a missing key: 0'),
      },
      strict,
    ),
    Type.Object(
      {
        key: Type.String(),
        keyEncoding: Type.Optional(Type.Enum(['utf8', 'base64url'])),
        target: Type.Literal('value'),
        op: operator,
        value: Type.String({ description: 'A missing key has none: only != holds' }),
        encoding: Type.Optional(Type.Enum(['utf8', 'base64'])),
      },
      strict,
    ),
    Type.Object(
      {
        key: Type.String(),
        keyEncoding: Type.Optional(Type.Enum(['utf8', 'base64url'])),
        target: Type.Literal('lease'),
        op: operator,
        value: nullable(id('Compared as a number, null as 0')),
      },
      strict,
    ),
    Type.Object(
      {
        lock: Type.String({ description: 'Name of a lock' }),
        target: Type.Literal('token'),
        op: operator,
        value: count('Of a lock that nobody holds: 0'),
      },
      strict,
    ),
  ],
  { description: 'One condition' },
);

const TxnOperation = Type.Union(
  [
    of('put', TXN_PUT, 'Write a value'),
    of('delete', TXN_DELETE, 'Delete a key, or every key of a span'),
    of('get', TXN_GET, 'Read a key; sees what the operations before it wrote'),
    of('range', TXN_RANGE, 'Read a span of keys; prefix or start must be there'),
  ],
  { description: 'One operation' },
);

export const TxnRequest = Type.Object(
  {
    if: Type.Optional(Type.Array(Type.Ref('#/components/schemas/TxnCompare'), { maxItems: MAX_TXN_OPERATIONS })),
    then: Type.Optional(Type.Array(Type.Ref('#/components/schemas/TxnOperation'), { maxItems: MAX_TXN_OPERATIONS })),
    else: Type.Optional(Type.Array(Type.Ref('#/components/schemas/TxnOperation'), { maxItems: MAX_TXN_OPERATIONS })),
  },
  strict,
);

const entry = Type.Ref('#/components/schemas/Entry');
const entryOrKey = Type.Union([entry, Type.Ref('#/components/schemas/KeyEntry')]);

export const TxnAnswer = Type.Object({
  succeeded: Type.Boolean({ description: 'True when every condition held' }),
  revision: revision('Of what was written; the current one when nothing was'),
  responses: Type.Array(
    Type.Union([
      Type.Object({ put: Type.Object({ prev: Type.Optional(nullable(entry)) }) }),
      Type.Object({ delete: Type.Object({ deleted: count('Keys deleted'), prev: Type.Optional(nullable(entry)) }) }),
      Type.Object({ get: nullable(entry) }),
      Type.Object({
        range: Type.Object({ entries: Type.Array(entryOrKey), count: count('All keys of the span') }),
      }),
    ]),
    { description: 'In the order of the operations' },
  ),
});

export const CompactAnswer = Type.Object({ compactedRevision: revision('The oldest revision that can be read') });

// --- watches -----------------------------------------------------------------------------------------------------

export const WatchEvents = Type.Object(
  {
    revision: revision('Everything up to here was told'),
    events: Type.Optional(
      Type.Array(
        Type.Intersect([
          Type.Object({ type: Type.Enum(['put', 'delete']) }),
          entry,
          Type.Object({ prev: Type.Optional(nullable(entry)) }),
        ]),
      ),
    ),
  },
  { description: 'The data of an event: what one revision changed. Of a progress event: the revision alone' },
);

// --- leases ------------------------------------------------------------------------------------------------------

const lease = id('Lease id');
const ttlMs = count('Time to live, in milliseconds');
const owner = Type.Unknown({ description: 'As given, null for none' });
const token = Type.Integer({ minimum: 1, description: 'Fencing token: larger than that of every earlier holder' });
const next = nullable(Type.String({ description: 'What after is for the next page; null when this is the last' }));

export const LeaseAnswer = Type.Object({ id: lease, ttlMs });

export const Lease = Type.Object({
  id: lease,
  ttlMs,
  remainingMs: count('Until it ends unless it is renewed, as far as this node knows'),
  owner,
  keys: Type.Array(
    Type.Union([Type.String(), Type.Object({ key: Type.String(), keyEncoding: Type.Literal('base64url') })]),
    { description: 'Keys that hang on it, at most 1000, in order; one that is not UTF-8 as an object' },
  ),
  locks: Type.Array(Type.String(), { description: 'Names that it holds or waits for' }),
});

export const LeaseList = Type.Object({ leases: Type.Array(Type.Ref('#/components/schemas/Lease')), next });

// --- locks, elections, barriers, counters ------------------------------------------------------------------------

const name = Type.String();
const mode = Type.Enum(['read', 'write']);

export const LockAnswer = Type.Object({ name, token, lease, ttlMs });

export const RenewAnswer = Type.Object({ ttlMs });

export const ReleaseAnswer = Type.Object({
  released: Type.Boolean({ description: 'False: it held nothing (any more)' }),
});

export const Holder = Type.Object({
  token,
  lease,
  mode,
  owner,
  since: count('Milliseconds since the epoch'),
});

export const Lock = Type.Object({
  name,
  kind: Type.Enum(['lock', 'semaphore', 'election', 'barrier']),
  limit: count('Permits of a semaphore, parties of a barrier, otherwise 1'),
  holders: Type.Array(Type.Ref('#/components/schemas/Holder')),
  queue: Type.Array(Type.Object({ lease, mode, owner }), { description: 'First come, first served' }),
});

export const LockList = Type.Object({ locks: Type.Array(Type.Ref('#/components/schemas/Lock')), next });

export const BreakAnswer = Type.Object({ broken: count('How many held it') });

export const ProclaimAnswer = Type.Object({ proclaimed: Type.Literal(true) });

export const ResignAnswer = Type.Object({
  resigned: Type.Boolean({ description: 'False: it did not lead (any more)' }),
});

export const Election = Type.Object({
  name,
  leader: nullable(Type.Object({ lease, owner })),
  value: nullable(Type.String({ description: 'What the leader stands for' })),
  token: nullable(token),
});

export const Barrier = Type.Object({ name, parties: count('Awaited'), entered: count('Waiting') });

export const Counter = Type.Object({ name, value: Type.Integer() });

// --- services ----------------------------------------------------------------------------------------------------

const instance = Type.String({ description: 'Id of the instance' });
const status = Type.Enum([...STATUSES]);

export const RegisterAnswer = Type.Object({ name, instance, lease, ttlMs: count('Of the lease: renew it before') });

export const ReportAnswer = Type.Object({
  name,
  instance,
  status,
  changed: Type.Boolean({ description: 'False: it was known, and nothing was written' }),
});

export const DeregisterAnswer = Type.Object({
  deregistered: Type.Boolean({ description: 'False: there was none' }),
});

export const ServiceInstance = Type.Object({
  instance,
  address: Type.String({ description: 'Where it is reached' }),
  version: nullable(Type.String()),
  weight: Type.Integer({ minimum: 1, description: 'Its part of the work' }),
  metadata: Type.Object({}, { additionalProperties: true }),
  status,
  note: nullable(Type.String({ description: 'Why it has that status' })),
  node: nullable(Type.String({ description: 'Id of the node or agent in whose process it runs' })),
  lease: nullable(lease),
  createRevision: revision('Of its registration'),
  modRevision: revision('Of what it said last'),
});

export const ServiceView = Type.Object({
  name,
  revision: revision('That the list is of'),
  instances: Type.Array(Type.Ref('#/components/schemas/ServiceInstance'), { description: 'In the order of their ids' }),
});

export const ServiceList = Type.Object({
  revision: revision('That the list is of'),
  services: Type.Array(
    Type.Object({ name, instances: count('All that are registered'), passing: count('Those that are passing') }),
  ),
  next: nullable(Type.String({ description: 'Give it as after for the next page; null at the end' })),
});

// --- the DHT -----------------------------------------------------------------------------------------------------

const position = (description: string) => Type.String({ pattern: '^[0-9a-f]{64}$', description });
const addresses = Type.Array(Type.String({ description: 'HOST:PORT of the peer port' }));
const ms = (description: string) => Type.Number({ minimum: 0, description });

export const DhtPeer = Type.Object({
  id: nullable(id('Of the node; null for a peer id that no node can have')),
  peerId: Type.String({ description: 'libp2p peer id' }),
  name: Type.String(),
  addresses,
  position: position('SHA-256 of its peer id'),
});

export const DhtStep = Type.Object(
  {
    step: Type.Integer({ minimum: 1, description: 'In the order in which requests ended' }),
    path: count('Which of the disjoint paths'),
    peer: Type.Ref('#/components/schemas/DhtPeer'),
    distance: Type.Integer({
      minimum: -1,
      maximum: 255,
      description: 'Highest bit in which it differs from the target',
    }),
    asked: Type.Enum(['Ping', 'FindNode', 'FindRecords', 'Store']),
    outcome: Type.Enum(['answered', 'timeout', 'failed', 'refused']),
    contacts: count('Peers that it named'),
    fresh: count('Of these, peers that the path had not heard of'),
    records: count('Records that came'),
    rttMs: ms('From the request to its end'),
  },
  { description: 'One request' },
);

const searchFields = {
  target: position('SHA-256 of the name that was looked for'),
  outcome: Type.Enum(['complete', 'exhausted', 'deadline', 'alone'], {
    description:
      'complete: the closest have answered; exhausted, deadline: it was given up before; alone: nobody answered',
  }),
  cost: Type.Object({
    requests: count('Sent'),
    failures: count('Of these, without an answer'),
    hops: count('How deep the closest node was found; 0: nobody answered'),
    elapsedMs: ms('Altogether'),
  }),
  closest: Type.Array(Type.Ref('#/components/schemas/DhtPeer'), {
    description: 'Up to 20 that answered, closest first',
  }),
  steps: Type.Optional(Type.Array(Type.Ref('#/components/schemas/DhtStep'), { description: 'With trace' })),
};

export const DhtSearch = Type.Object(searchFields, { description: 'How something was looked for' });

const dhtRecordFields = {
  value: Type.String({ description: 'As encoding says' }),
  encoding: Type.Enum(['utf8', 'base64'], { description: 'utf8 whenever the value is valid UTF-8' }),
  seq: count('The highest wins'),
  notAfterMs: count('Until when it is kept; ms since 1970'),
  node: id('Who signed it'),
  peerId: Type.String({ description: 'Its peer id' }),
};

export const DhtValue = Type.Object({ key: Type.String(), ...dhtRecordFields, ...searchFields });

export const DhtPutAnswer = Type.Object({
  key: Type.String(),
  seq: count('Of the value'),
  stored: count('Nodes that keep it. 0: a newer one came first'),
  refused: Type.Object({}, { additionalProperties: true, description: 'Why others do not, and how many of each' }),
  ...searchFields,
});

export const DhtProviders = Type.Object({
  name: Type.String(),
  providers: Type.Array(Type.Object(dhtRecordFields)),
  ...searchFields,
});

export const DhtLookup = Type.Object({ key: Type.String(), ...searchFields });

export const DhtNode = Type.Object({
  node: Type.Object({
    id: id('Member id'),
    name: Type.String(),
    role: Type.Enum(['voter', 'learner', 'agent']),
    addresses,
    http: nullable(Type.String({ description: 'URL of its HTTP API' })),
  }),
  ...searchFields,
});

export const DeletedAnswer = Type.Object({ deleted: Type.Boolean({ description: 'False: there was none' }) });

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
    field: Type.Optional(
      Type.String({ description: 'ERR_INVALID_ARGUMENT, ERR_BAD_KEY: the field of the body at fault' }),
    ),
    header: Type.Optional(Type.String({ description: 'ERR_INVALID_ARGUMENT: the header at fault' })),
    holder: Type.Optional(nullable(Type.Ref('#/components/schemas/Holder'))),
    entered: Type.Optional(count('ERR_LOCK_HELD of a barrier: how many have entered')),
    limit: Type.Optional(Type.Integer({ description: 'ERR_TOO_LARGE: the limit, in bytes' })),
    current: Type.Optional(nullable(Type.Ref('#/components/schemas/Entry'))),
    revision: Type.Optional(revision('ERR_CAS_FAILED, ERR_FUTURE_REVISION: revision of the store')),
    compactRevision: Type.Optional(Type.Integer({ description: 'ERR_COMPACTED: the oldest revision there is' })),
    search: Type.Optional(Type.Ref('#/components/schemas/DhtSearch')),
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
  TransferRequest: schemaOf(TRANSFER, 'To whom'),
  TransferAnswer,
  AddMemberRequest: schemaOf(ADD_MEMBER, 'A new member'),
  MemberAnswer,
  MemberList,
  ReplaceMemberRequest: schemaOf(REPLACE_MEMBER, 'Who takes the place'),
  RemovedAnswer,
  JoinTokenRequest: schemaOf(JOIN_TOKEN, 'What the token is for'),
  JoinToken,
  TxnRequest,
  TxnCompare,
  TxnOperation,
  TxnAnswer,
  CompactRequest: schemaOf(COMPACT, 'What to forget'),
  CompactAnswer,
  WatchEvents,
  GrantRequest: schemaOf(GRANT, 'A new lease'),
  LeaseAnswer,
  Lease,
  LeaseList,
  AcquireRequest: schemaOf(ACQUIRE_LOCK, 'Who wants what, and for how long'),
  HolderRequest: schemaOf(HOLDER, 'Either of the two'),
  LockAnswer,
  RenewAnswer,
  ReleaseAnswer,
  Holder,
  Lock,
  LockList,
  BreakAnswer,
  CampaignRequest: schemaOf(CAMPAIGN, 'Who stands for what'),
  ProclaimRequest: schemaOf(PROCLAIM, 'What the leader says'),
  ProclaimAnswer,
  ResignRequest: schemaOf(RESIGN, 'Who resigns'),
  ResignAnswer,
  Election,
  EnterRequest: schemaOf(ENTER, 'How many are awaited'),
  Barrier,
  AddRequest: schemaOf(ADD, 'How much'),
  Counter,
  DeletedAnswer,
  RegisterRequest: schemaOf(REGISTER, 'What it is'),
  RegisterAnswer,
  ReportRequest: schemaOf(REPORT, 'How it is'),
  ReportAnswer,
  DeregisterAnswer,
  ServiceInstance,
  ServiceView,
  ServiceList,
  DhtPeer,
  DhtStep,
  DhtSearch,
  DhtValue,
  DhtPutAnswer,
  DhtProviders,
  DhtLookup,
  DhtNode,
  Problem,
} as const;

export type SchemaName = keyof typeof SCHEMAS;
