/** The bodies of commands: each operation as a msgpack array, whose shape its kind number stands for, for ever. Keys travel as bytes. */
import { KvorumError } from '../errors.ts';
import { keyToBytes } from '../kv/keys.ts';
import type { Compare, CompareOperator, Condition, TxnStep } from '../kv/types.ts';
import type { LockKind, LockMode } from '../lock/types.ts';
import { Fields } from './fields.ts';
import type { HolderRef, Operation } from './types.ts';

/**
 * Kind numbers are fixed for ever; a kind is proposed only when the cluster's feature level is at least that which introduced it, because
 * a node that does not know a kind cannot go on.
 */
export const COMMAND_KINDS = {
  put: { kind: 1, featureLevel: 1 },
  delete: { kind: 2, featureLevel: 1 },
  deleteRange: { kind: 3, featureLevel: 1 },
  txn: { kind: 4, featureLevel: 2 },
  compact: { kind: 5, featureLevel: 2 },
  leaseGrant: { kind: 6, featureLevel: 2 },
  leaseRenew: { kind: 7, featureLevel: 2 },
  leaseRevoke: { kind: 8, featureLevel: 2 },
  leaseExpire: { kind: 9, featureLevel: 2 },
  leaseCheckpoint: { kind: 10, featureLevel: 2 },
  lockAcquire: { kind: 11, featureLevel: 2 },
  lockRelease: { kind: 12, featureLevel: 2 },
  lockCancel: { kind: 13, featureLevel: 2 },
  lockBreak: { kind: 14, featureLevel: 2 },
  lockWake: { kind: 15, featureLevel: 2 },
  electionProclaim: { kind: 16, featureLevel: 2 },
  counterAdd: { kind: 17, featureLevel: 2 },
  counterDelete: { kind: 18, featureLevel: 2 },
  settings: { kind: 19, featureLevel: 2 },
} as const satisfies Record<Operation['type'], { kind: number; featureLevel: number }>;

const TYPES = new Map<number, Operation['type']>(
  Object.entries(COMMAND_KINDS).map(([type, { kind }]) => [kind, type as Operation['type']]),
);

export function operationType(kind: number): Operation['type'] | undefined {
  return TYPES.get(kind);
}

const LOCK_KINDS: readonly LockKind[] = ['lock', 'semaphore', 'election', 'barrier'];
const LOCK_MODES: readonly LockMode[] = ['read', 'write'];
const OPERATORS: readonly CompareOperator[] = ['=', '!=', '<', '>'];

export function encodeOperation(operation: Operation): unknown[] {
  switch (operation.type) {
    case 'put':
      return [
        keyToBytes(operation.key),
        operation.value,
        operation.contentType,
        operation.lease,
        operation.prev,
        encodeCondition(operation.condition),
      ];
    case 'delete':
      return [keyToBytes(operation.key), operation.prev, encodeCondition(operation.condition)];
    case 'deleteRange':
      return [keyToBytes(operation.start), endToBytes(operation.end)];
    case 'txn':
      return [
        operation.compare.map(encodeCompare),
        operation.then.map(encodeStep),
        operation.otherwise.map(encodeStep),
      ];
    case 'compact':
      return [operation.revision];
    case 'leaseGrant':
      return [operation.ttlMs, operation.owner];
    case 'leaseRenew':
      return [operation.leases];
    case 'leaseRevoke':
      return [operation.lease];
    case 'leaseExpire':
      return [operation.term, operation.leases.map(({ lease, counter }) => [lease, counter])];
    case 'leaseCheckpoint':
      return [operation.term, operation.leases.map(({ lease, counter, remainingMs }) => [lease, counter, remainingMs])];
    case 'lockAcquire':
      return [
        operation.name,
        operation.kind,
        typeof operation.lease === 'string' ? operation.lease : operation.lease.ttlMs,
        operation.mode,
        operation.limit,
        operation.delayMs,
        operation.owner,
        operation.value,
        operation.wait,
      ];
    case 'lockRelease':
      return [operation.name, operation.kind, encodeHolder(operation.holder)];
    case 'lockCancel':
      return [operation.name, operation.lease, operation.ticket];
    case 'lockBreak':
      return [operation.name];
    case 'lockWake':
      return [operation.names];
    case 'electionProclaim':
      return [operation.name, operation.token, operation.value];
    case 'counterAdd':
      return [operation.name, operation.delta];
    case 'counterDelete':
      return [operation.name];
    case 'settings':
      return [operation.keepRevisions, operation.keepMs, operation.quotaBytes];
  }
}

/** Throws ERR_INVARIANT for a body that is not of this type. */
export function decodeOperation(type: Operation['type'], body: unknown): Operation {
  const fields = (arity: number): Fields => new Fields('A command', body, arity);
  switch (type) {
    case 'put': {
      const f = fields(6);
      return {
        type,
        key: f.key(),
        value: f.bytes('value'),
        contentType: f.textOrNull('contentType'),
        lease: f.textOrNull('lease'),
        prev: f.bool('prev'),
        condition: decodeCondition(f.any()),
      };
    }
    case 'delete': {
      const f = fields(3);
      return { type, key: f.key(), prev: f.bool('prev'), condition: decodeCondition(f.any()) };
    }
    case 'deleteRange': {
      const f = fields(2);
      return { type, start: f.key(), end: f.keyOrNull() };
    }
    case 'txn': {
      const f = fields(3);
      return {
        type,
        compare: f.list('compare', decodeCompare),
        then: f.list('then', decodeStep),
        otherwise: f.list('otherwise', decodeStep),
      };
    }
    case 'compact':
      return { type, revision: fields(1).count('revision') };
    case 'leaseGrant': {
      const f = fields(2);
      return { type, ttlMs: f.count('ttlMs'), owner: f.textOrNull('owner') };
    }
    case 'leaseRenew':
      return { type, leases: fields(1).list('leases', text) };
    case 'leaseRevoke':
      return { type, lease: fields(1).text('lease') };
    case 'leaseExpire': {
      const f = fields(2);
      return {
        type,
        term: f.count('term'),
        leases: f.list('leases', (value) => {
          const lease = new Fields('A command', value, 2);
          return { lease: lease.text('lease'), counter: lease.count('counter') };
        }),
      };
    }
    case 'leaseCheckpoint': {
      const f = fields(2);
      return {
        type,
        term: f.count('term'),
        leases: f.list('leases', (value) => {
          const lease = new Fields('A command', value, 3);
          return {
            lease: lease.text('lease'),
            counter: lease.count('counter'),
            remainingMs: lease.count('remainingMs'),
          };
        }),
      };
    }
    case 'lockAcquire': {
      const f = fields(9);
      return {
        type,
        name: f.text('name'),
        kind: f.oneOf('kind', LOCK_KINDS),
        lease: decodeLease(f),
        mode: f.oneOf('mode', LOCK_MODES),
        limit: f.count('limit'),
        delayMs: f.count('delayMs'),
        owner: f.textOrNull('owner'),
        value: f.textOrNull('value'),
        wait: f.bool('wait'),
      };
    }
    case 'lockRelease': {
      const f = fields(3);
      return { type, name: f.text('name'), kind: f.oneOf('kind', LOCK_KINDS), holder: decodeHolder(f) };
    }
    case 'lockCancel': {
      const f = fields(3);
      return { type, name: f.text('name'), lease: f.text('lease'), ticket: f.count('ticket') };
    }
    case 'lockBreak':
      return { type, name: fields(1).text('name') };
    case 'lockWake':
      return { type, names: fields(1).list('names', text) };
    case 'electionProclaim': {
      const f = fields(3);
      return { type, name: f.text('name'), token: f.count('token'), value: f.textOrNull('value') };
    }
    case 'counterAdd': {
      const f = fields(2);
      return { type, name: f.text('name'), delta: f.integer('delta') };
    }
    case 'counterDelete':
      return { type, name: fields(1).text('name') };
    case 'settings': {
      const f = fields(3);
      return {
        type,
        keepRevisions: f.countOrNull('keepRevisions'),
        keepMs: f.countOrNull('keepMs'),
        quotaBytes: f.countOrNull('quotaBytes'),
      };
    }
  }
}

const CONDITION_MOD_REVISION = 0;
const CONDITION_EXISTS = 1;
const CONDITION_ABSENT = 2;

function encodeCondition(condition: Condition | null): number[] | null {
  if (condition === null) return null;
  switch (condition.type) {
    case 'modRevision':
      return [CONDITION_MOD_REVISION, condition.revision];
    case 'exists':
      return [CONDITION_EXISTS];
    case 'absent':
      return [CONDITION_ABSENT];
  }
}

function decodeCondition(value: unknown): Condition | null {
  if (value === null) return null;
  if (Array.isArray(value)) {
    const [type, revision] = value as unknown[];
    if (type === CONDITION_MOD_REVISION && value.length === 2 && isCount(revision)) {
      return { type: 'modRevision', revision };
    }
    if (type === CONDITION_EXISTS && value.length === 1) return { type: 'exists' };
    if (type === CONDITION_ABSENT && value.length === 1) return { type: 'absent' };
  }
  throw malformed('its condition is none that is known');
}

function encodeCompare(compare: Compare): unknown[] {
  const { target, operator, value } = compare;
  return [target, compare.target === 'token' ? compare.lock : keyToBytes(compare.key), operator, value];
}

function decodeCompare(value: unknown): Compare {
  const f = new Fields('A command', value, 4);
  const target = f.oneOf('target', ['value', 'version', 'createRevision', 'modRevision', 'lease', 'token']);
  switch (target) {
    case 'token':
      return { target, lock: f.text('lock'), operator: f.oneOf('operator', OPERATORS), value: f.count('token') };
    case 'value':
      return { target, key: f.key(), operator: f.oneOf('operator', OPERATORS), value: f.bytes('value') };
    case 'lease':
      return { target, key: f.key(), operator: f.oneOf('operator', OPERATORS), value: f.textOrNull('lease') };
    default:
      return { target, key: f.key(), operator: f.oneOf('operator', OPERATORS), value: f.count('value') };
  }
}

function encodeStep(step: TxnStep): unknown[] {
  switch (step.type) {
    case 'put':
      return [step.type, keyToBytes(step.key), step.value, step.contentType, step.lease, step.prev];
    case 'delete':
      return [step.type, keyToBytes(step.key), step.prev];
    case 'deleteRange':
      return [step.type, keyToBytes(step.start), endToBytes(step.end)];
    case 'get':
      return [step.type, keyToBytes(step.key)];
    case 'range':
      return [step.type, keyToBytes(step.start), endToBytes(step.end), step.limit, step.keysOnly];
  }
}

const STEP_ARITY = { put: 6, delete: 3, deleteRange: 3, get: 2, range: 5 } as const;

function decodeStep(value: unknown): TxnStep {
  const name: unknown = Array.isArray(value) ? value[0] : undefined;
  if (typeof name !== 'string' || !Object.hasOwn(STEP_ARITY, name)) throw malformed('a step is none that is known');
  const type = name as TxnStep['type'];
  const f = new Fields('A command', value, STEP_ARITY[type]);
  f.any();
  switch (type) {
    case 'put':
      return {
        type,
        key: f.key(),
        value: f.bytes('value'),
        contentType: f.textOrNull('contentType'),
        lease: f.textOrNull('lease'),
        prev: f.bool('prev'),
      };
    case 'delete':
      return { type, key: f.key(), prev: f.bool('prev') };
    case 'deleteRange':
      return { type, start: f.key(), end: f.keyOrNull() };
    case 'get':
      return { type, key: f.key() };
    case 'range':
      return { type, start: f.key(), end: f.keyOrNull(), limit: f.count('limit'), keysOnly: f.bool('keysOnly') };
  }
}

function encodeHolder(holder: HolderRef): unknown {
  return 'lease' in holder ? holder.lease : holder.token;
}

function decodeHolder(f: Fields): HolderRef {
  const value = f.any();
  if (typeof value === 'string') return { lease: value };
  if (isCount(value)) return { token: value };
  throw malformed('its holder is neither a lease nor a token');
}

/** The id of a lease, or the TTL of one to make. */
function decodeLease(f: Fields): string | { ttlMs: number } {
  const value = f.any();
  if (typeof value === 'string') return value;
  if (isCount(value)) return { ttlMs: value };
  throw malformed('its lease is neither an id nor a TTL');
}

function endToBytes(end: string | null): Uint8Array | null {
  return end === null ? null : keyToBytes(end);
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  throw malformed('a list has something that is no text');
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function malformed(why: string): KvorumError {
  return new KvorumError('ERR_INVARIANT', `A command is malformed: ${why}`);
}
