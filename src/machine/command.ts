/**
 * The command envelope on the wire and in the log.
 *
 * ```
 * u8 version = 1 · u16 kind · u32 group · f64 time · msgpack [principal, authRevision, session, sequence, body]
 * ```
 * The head is binary and fixed, so that the leader stamps the time into encoded bytes, and anybody can tell a command of a later
 * version without understanding it.
 *
 * A command that is to happen once has a sixth field and its body as bytes, so that a fingerprint of them says whether a repetition asks for the same:
 * `[principal, authRevision, session, sequence, bin body, lowestUnanswered]`, or `'#' + key` in the place of the session, 0 and 0.
 */
import { Packr } from 'msgpackr';
import { KvorumError, invariant } from '../errors.ts';
import { COMMAND_KINDS, decodeOperation, encodeOperation, operationType } from './operations.ts';
import { Fields } from './fields.ts';
import type { GroupId } from '../raft/types.ts';
import type { Command, Once } from './types.ts';

export { COMMAND_KINDS } from './operations.ts';

export const COMMAND_VERSION = 1;

const KIND_AT = 1;
const GROUP_AT = 3;
const TIME_AT = 7;
const HEAD_BYTES = 15;
/** msgpackr leaves this many bytes free before what it encodes (its documented flag, added to the number of bytes). */
const RESERVE_HEAD = 2048 + HEAD_BYTES;

const KEY_MARK = '#';

const packr = new Packr({ useRecords: false });
const unpackOptions = { start: HEAD_BYTES, end: 0 };

/** Each call gives new bytes, which are the caller's. */
export function encodeCommand(command: Command): Uint8Array {
  const { principal, authRevision, once, operation } = command;
  const body = encodeOperation(operation);
  const bytes: Uint8Array = packr.pack(
    once === null ? [principal, authRevision, null, 0, body] : [principal, authRevision, ...encodeOnce(once, body)],
    RESERVE_HEAD,
  );
  const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES);
  head.setUint8(0, command.version);
  head.setUint16(KIND_AT, COMMAND_KINDS[operation.type].kind);
  head.setUint32(GROUP_AT, command.group);
  head.setFloat64(TIME_AT, command.time);
  return bytes;
}

function encodeOnce(once: Once, body: unknown[]): unknown[] {
  const packed: Uint8Array = packr.pack(body);
  if ('key' in once) return [KEY_MARK + once.key, 0, packed, 0];
  return [once.session, once.sequence, packed, once.lowestUnanswered];
}

/**
 * Like `encodeCommand`, of what a caller gave: throws ERR_INVALID_ARGUMENT for what is not of its type, which would be found out only when every
 * replica has to apply it. (Half a microsecond, next to one and a half for the encoding.)
 */
export function encodeProposal(command: Command): Uint8Array {
  const bytes = encodeCommand(command);
  const fault = faultOfCommand(bytes, command.group);
  if (fault !== null) throw fault;
  return bytes;
}

/** Why these bytes must never enter the log of a group, as ERR_INVALID_ARGUMENT; null when they may. */
export function faultOfCommand(bytes: Uint8Array, group: GroupId): KvorumError | null {
  try {
    const command = decodeCommand(bytes);
    if (command.group === group) return null;
    return new KvorumError(
      'ERR_INVALID_ARGUMENT',
      `a command of group ${command.group} was proposed to group ${group}`,
    );
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    return new KvorumError('ERR_INVALID_ARGUMENT', error.message, { cause: error });
  }
}

/** Writes the leader's clock (milliseconds since the epoch) into an encoded command. */
export function stampTime(bytes: Uint8Array, timeMs: number): void {
  invariant(bytes.length >= HEAD_BYTES && Number.isFinite(timeMs), 'a command is stamped with a time');
  new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES).setFloat64(TIME_AT, timeMs);
}

/** A command, and for one that is to happen once the bytes that make it the same as another. */
export interface DecodedCommand extends Command {
  readonly body: Uint8Array | null;
}

/**
 * Throws ERR_DATA_VERSION for a version or kind that this version of the software does not know, ERR_INVARIANT for bytes that are
 * no command. Values share memory with `bytes`.
 */
export function decodeCommand(bytes: Uint8Array): DecodedCommand {
  if (bytes.length < HEAD_BYTES) throw malformed('it is too short');
  const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES);
  const version = head.getUint8(0);
  if (version !== COMMAND_VERSION) throw newer(`an entry of command version ${version}`);
  const kind = head.getUint16(KIND_AT);
  const type = operationType(kind);
  if (type === undefined) throw newer(`an entry of kind ${kind}`);
  const time = head.getFloat64(TIME_AT);
  if (!Number.isFinite(time)) throw malformed('its time is no number');
  const values = unpack(bytes);
  const keyed = Array.isArray(values) && values.length === 6;
  const fields = new Fields('A command', values, keyed ? 6 : 5);
  const principal = fields.textOrNull('principal');
  const authRevision = fields.count('authRevision');
  const session = fields.textOrNull('session');
  const sequence = fields.count('sequence');
  const body = keyed ? fields.bytes('body') : null;
  const operation = decodeOperation(type, body === null ? fields.any() : unpackBody(body));
  const once = keyed ? decodeOnce(session, sequence, fields.count('lowestUnanswered')) : null;
  return { version, group: head.getUint32(GROUP_AT), time, principal, authRevision, once, operation, body };
}

function decodeOnce(session: string | null, sequence: number, lowestUnanswered: number): Once {
  if (session === null) throw malformed('it is to happen once, but names no session');
  if (session.startsWith(KEY_MARK)) return { key: session.slice(KEY_MARK.length) };
  if (sequence < 1 || lowestUnanswered > sequence) throw malformed('its sequence is below the lowest unanswered one');
  return { session, sequence, lowestUnanswered };
}

function unpack(bytes: Uint8Array): unknown {
  unpackOptions.end = bytes.length;
  try {
    return packr.unpack(bytes, unpackOptions) as unknown;
  } catch (error) {
    throw new KvorumError('ERR_INVARIANT', 'A command is malformed: its body does not decode', { cause: error });
  }
}

function unpackBody(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes) as unknown;
  } catch (error) {
    throw new KvorumError('ERR_INVARIANT', 'A command is malformed: its body does not decode', { cause: error });
  }
}

function malformed(why: string): KvorumError {
  return new KvorumError('ERR_INVARIANT', `A command is malformed: ${why}`);
}

function newer(what: string): KvorumError {
  return new KvorumError('ERR_DATA_VERSION', `${what} needs a newer version of Kvorum`);
}
