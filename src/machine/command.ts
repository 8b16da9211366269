/**
 * The command envelope on the wire and in the log.
 *
 * ```
 * u8 version = 1 · u16 kind · u32 group · f64 time · msgpack [principal, authRevision, session, sequence, body]
 * ```
 * The head is binary and fixed, so that the leader stamps the time into encoded bytes, and anybody can tell a command of a later
 * version without understanding it. Keys travel as bytes.
 */
import { Packr } from 'msgpackr';
import { KvorumError, invariant } from '../errors.ts';
import { bytesToKey, keyToBytes } from '../kv/keys.ts';
import type { ByteKey, Condition } from '../kv/types.ts';
import type { Command, Operation } from './types.ts';

export const COMMAND_VERSION = 1;

/**
 * Kind numbers are fixed for ever; a kind is proposed only when the cluster's feature level is at least that which introduced it, because
 * a node that does not know a kind cannot go on.
 */
export const COMMAND_KINDS = {
  put: { kind: 1, featureLevel: 1 },
  delete: { kind: 2, featureLevel: 1 },
  deleteRange: { kind: 3, featureLevel: 1 },
} as const satisfies Record<Operation['type'], { kind: number; featureLevel: number }>;

const KIND_AT = 1;
const GROUP_AT = 3;
const TIME_AT = 7;
const HEAD_BYTES = 15;
/** msgpackr leaves this many bytes free before what it encodes (its documented flag, added to the number of bytes). */
const RESERVE_HEAD = 2048 + HEAD_BYTES;

const packr = new Packr({ useRecords: false });
const unpackOptions = { start: HEAD_BYTES, end: 0 };

/** Each call gives new bytes, which are the caller's. */
export function encodeCommand(command: Command): Uint8Array {
  const { principal, authRevision, session, sequence, operation } = command;
  const bytes: Uint8Array = packr.pack(
    [principal, authRevision, session, sequence, encodeBody(operation)],
    RESERVE_HEAD,
  );
  const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES);
  head.setUint8(0, command.version);
  head.setUint16(KIND_AT, COMMAND_KINDS[operation.type].kind);
  head.setUint32(GROUP_AT, command.group);
  head.setFloat64(TIME_AT, command.time);
  return bytes;
}

/** Writes the leader's clock (milliseconds since the epoch) into an encoded command. */
export function stampTime(bytes: Uint8Array, timeMs: number): void {
  invariant(bytes.length >= HEAD_BYTES && Number.isFinite(timeMs), 'a command is stamped with a time');
  new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES).setFloat64(TIME_AT, timeMs);
}

/**
 * Throws ERR_DATA_VERSION for a version or kind that this version of the software does not know, ERR_INVARIANT for bytes that are
 * no command. Values share memory with `bytes`.
 */
export function decodeCommand(bytes: Uint8Array): Command {
  if (bytes.length < HEAD_BYTES) throw malformed('it is too short');
  const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES);
  const version = head.getUint8(0);
  if (version !== COMMAND_VERSION) throw newer(`an entry of command version ${version}`);
  const kind = head.getUint16(KIND_AT);
  if (!isKnownKind(kind)) throw newer(`an entry of kind ${kind}`);
  const time = head.getFloat64(TIME_AT);
  if (!Number.isFinite(time)) throw malformed('its time is no number');
  const fields = unpack(bytes);
  if (!Array.isArray(fields) || fields.length !== 5) throw malformed('it has not five fields');
  const [principal, authRevision, session, sequence, body] = fields as unknown[];
  return {
    version,
    group: head.getUint32(GROUP_AT),
    time,
    principal: textOrNull(principal, 'principal'),
    authRevision: count(authRevision, 'authRevision'),
    session: textOrNull(session, 'session'),
    sequence: count(sequence, 'sequence'),
    operation: decodeBody(kind, body),
  };
}

function encodeBody(operation: Operation): unknown[] {
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
      return [keyToBytes(operation.start), operation.end === null ? null : keyToBytes(operation.end)];
  }
}

type KnownKind = (typeof COMMAND_KINDS)[Operation['type']]['kind'];

function isKnownKind(kind: number): kind is KnownKind {
  return kind >= 1 && kind <= 3;
}

function decodeBody(kind: KnownKind, body: unknown): Operation {
  const fields: unknown[] = Array.isArray(body) ? body : [];
  switch (kind) {
    case COMMAND_KINDS.put.kind:
      arity(fields, 6);
      return {
        type: 'put',
        key: key(fields[0]),
        value: bin(fields[1], 'value'),
        contentType: textOrNull(fields[2], 'contentType'),
        lease: textOrNull(fields[3], 'lease'),
        prev: bool(fields[4], 'prev'),
        condition: decodeCondition(fields[5]),
      };
    case COMMAND_KINDS.delete.kind:
      arity(fields, 3);
      return {
        type: 'delete',
        key: key(fields[0]),
        prev: bool(fields[1], 'prev'),
        condition: decodeCondition(fields[2]),
      };
    case COMMAND_KINDS.deleteRange.kind:
      arity(fields, 2);
      return { type: 'deleteRange', start: key(fields[0]), end: fields[1] === null ? null : key(fields[1]) };
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
    if (type === CONDITION_MOD_REVISION && value.length === 2) {
      return { type: 'modRevision', revision: count(revision, 'condition') };
    }
    if (type === CONDITION_EXISTS && value.length === 1) return { type: 'exists' };
    if (type === CONDITION_ABSENT && value.length === 1) return { type: 'absent' };
  }
  throw malformed('its condition is none that is known');
}

function unpack(bytes: Uint8Array): unknown {
  unpackOptions.end = bytes.length;
  try {
    return packr.unpack(bytes, unpackOptions) as unknown;
  } catch (error) {
    throw new KvorumError('ERR_INVARIANT', 'A command is malformed: its body does not decode', { cause: error });
  }
}

function arity(fields: readonly unknown[], expected: number): void {
  if (fields.length !== expected) throw malformed(`its body has not ${expected} fields`);
}

function bin(value: unknown, name: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw malformed(`its ${name} is not bytes`);
}

function key(value: unknown): ByteKey {
  return bytesToKey(bin(value, 'key'));
}

function bool(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw malformed(`its ${name} is neither true nor false`);
}

function textOrNull(value: unknown, name: string): string | null {
  if (value === null || typeof value === 'string') return value;
  throw malformed(`its ${name} is no text`);
}

function count(value: unknown, name: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw malformed(`its ${name} is no whole number`);
}

function malformed(why: string): KvorumError {
  return new KvorumError('ERR_INVARIANT', `A command is malformed: ${why}`);
}

function newer(what: string): KvorumError {
  return new KvorumError('ERR_DATA_VERSION', `${what} needs a newer version of Kvorum`);
}
