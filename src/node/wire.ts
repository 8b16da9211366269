/**
 * Raft messages as bytes, one frame a message, on the transport's `raft` channel.
 *
 * ```
 * 0  version u8 = 1     2  flags u8         4  group u32          16  term f64
 * 1  type u8            3  (zero)           8  cluster id u64     24  up to four f64 fields, by type
 * then, for Append: entry records, each with its length before it (u32); mostly the very bytes that lie in the log
 * ```
 * Sender and receiver are not in the frame: noise has authenticated the peer, so `from` is who it came from, and nobody can speak for another.
 * All numbers are big-endian. Message counters and indexes are integers below 2^53, so a double carries them exactly.
 */
import { KvorumError } from '../errors.ts';
import type { Entry, Message, NodeId } from '../raft/types.ts';
import { decodeRun, encodeRun, lengthInRun } from '../storage/record.ts';

const VERSION = 1;
const HEAD_BYTES = 24;

const TYPES = {
  VoteRequest: 1,
  VoteResponse: 2,
  Append: 3,
  AppendResponse: 4,
  Heartbeat: 5,
  HeartbeatResponse: 6,
  ReadIndexRequest: 7,
  ReadIndexResponse: 8,
  TimeoutNow: 9,
} as const;

/** Flag bits: preVote, granted and transfer for votes; rejected for append answers; null index for read answers. */
const FLAG_A = 1;
const FLAG_B = 2;

/** Raft messages that travel as frames; a snapshot travels in chunks on its own channel. */
export type WireMessage = Exclude<Message, { type: 'InstallSnapshot' }>;

/** The cluster id, a decimal u64, as the eight bytes that every frame carries. */
export function clusterIdBytes(clusterId: string): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(clusterId));
  return bytes;
}

/** Encodes messages. Entries are encoded once, for the log and for every follower that is sent the same run of them. */
export class MessageEncoder {
  readonly #cluster: Uint8Array;

  constructor(clusterId: string) {
    this.#cluster = clusterIdBytes(clusterId);
  }

  /** Parts of one frame. */
  encode(message: WireMessage): Uint8Array[] {
    switch (message.type) {
      case 'VoteRequest':
        return [
          this.#head(
            message,
            (message.preVote ? FLAG_A : 0) | (message.transfer ? FLAG_B : 0),
            message.lastIndex,
            message.lastTerm,
          ),
        ];
      case 'VoteResponse':
        return [this.#head(message, (message.preVote ? FLAG_A : 0) | (message.granted ? FLAG_B : 0))];
      case 'Append': {
        const head = this.#head(
          message,
          0,
          message.prevIndex,
          message.prevTerm,
          message.commit,
          message.entries.length,
        );
        return message.entries.length === 0 ? [head] : [head, encodeRun(message.entries)];
      }
      case 'AppendResponse':
        return [this.#head(message, message.rejected ? FLAG_A : 0, message.index, message.hintIndex, message.hintTerm)];
      case 'Heartbeat':
        return [this.#head(message, 0, message.commit, message.round)];
      case 'HeartbeatResponse':
        return [this.#head(message, 0, message.round)];
      case 'ReadIndexRequest':
        return [this.#head(message, 0, message.bootEpoch, message.token)];
      case 'ReadIndexResponse':
        return [
          this.#head(
            message,
            message.index === null ? FLAG_A : 0,
            message.bootEpoch,
            message.token,
            message.index ?? 0,
          ),
        ];
      case 'TimeoutNow':
        return [this.#head(message, 0)];
    }
  }

  #head(message: WireMessage, flags: number, ...fields: number[]): Uint8Array {
    const head = Buffer.allocUnsafe(HEAD_BYTES + fields.length * 8);
    head[0] = VERSION;
    head[1] = TYPES[message.type];
    head[2] = flags;
    head[3] = 0;
    head.writeUInt32BE(message.group, 4);
    head.set(this.#cluster, 8);
    head.writeDoubleBE(message.term, 16);
    for (let i = 0; i < fields.length; i++) head.writeDoubleBE(fields[i] as number, HEAD_BYTES + i * 8);
    return head;
  }
}

function malformed(why: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', `malformed raft frame: ${why}`);
}

/**
 * Decodes one frame from an authenticated peer. Throws ERR_INVALID_ARGUMENT for bytes that are no message of this version or of this
 * cluster, ERR_CORRUPT for an entry whose checksum is wrong.
 */
export function decodeMessage(frame: Uint8Array, from: NodeId, to: NodeId, cluster: Uint8Array): WireMessage {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length < HEAD_BYTES) throw malformed('too short');
  if (bytes[0] !== VERSION) throw malformed(`version ${bytes[0]}`);
  if (bytes.compare(cluster, 0, 8, 8, 16) !== 0) throw malformed('of another cluster');
  const flags = bytes[2] as number;
  const group = bytes.readUInt32BE(4);
  const integer = (position: number): number => {
    if (bytes.length < position + 8) throw malformed('too short');
    const value = bytes.readDoubleBE(position);
    if (!Number.isSafeInteger(value) || value < 0) throw malformed(`field at ${position} is not a count`);
    return value;
  };
  const term = integer(16);
  const field = (n: number): number => integer(HEAD_BYTES + n * 8);
  switch (bytes[1]) {
    case TYPES.VoteRequest:
      return {
        type: 'VoteRequest',
        group,
        from,
        to,
        term,
        preVote: (flags & FLAG_A) !== 0,
        transfer: (flags & FLAG_B) !== 0,
        lastIndex: field(0),
        lastTerm: field(1),
      };
    case TYPES.VoteResponse:
      return {
        type: 'VoteResponse',
        group,
        from,
        to,
        term,
        preVote: (flags & FLAG_A) !== 0,
        granted: (flags & FLAG_B) !== 0,
      };
    case TYPES.Append: {
      const prevIndex = field(0);
      return {
        type: 'Append',
        group,
        from,
        to,
        term,
        prevIndex,
        prevTerm: field(1),
        commit: field(2),
        entries: decodeRecords(bytes.subarray(HEAD_BYTES + 32), field(3), prevIndex),
      };
    }
    case TYPES.AppendResponse:
      return {
        type: 'AppendResponse',
        group,
        from,
        to,
        term,
        rejected: (flags & FLAG_A) !== 0,
        index: field(0),
        hintIndex: field(1),
        hintTerm: field(2),
      };
    case TYPES.Heartbeat:
      return { type: 'Heartbeat', group, from, to, term, commit: field(0), round: field(1) };
    case TYPES.HeartbeatResponse:
      return { type: 'HeartbeatResponse', group, from, to, term, round: field(0) };
    case TYPES.ReadIndexRequest:
      return { type: 'ReadIndexRequest', group, from, to, term, bootEpoch: field(0), token: field(1) };
    case TYPES.ReadIndexResponse: {
      const index = field(2);
      return {
        type: 'ReadIndexResponse',
        group,
        from,
        to,
        term,
        bootEpoch: field(0),
        token: field(1),
        index: (flags & FLAG_A) !== 0 ? null : index,
      };
    }
    case TYPES.TimeoutNow:
      return { type: 'TimeoutNow', group, from, to, term };
    default:
      throw malformed(`type ${bytes[1]}`);
  }
}

function decodeRecords(bytes: Uint8Array, count: number, prevIndex: number): Entry[] {
  const entries = decodeRun(bytes, 0, count, () => malformed('entries are cut off'));
  let length = 0;
  for (let i = 0; i < count; i++) {
    const entry = entries[i] as Entry;
    if (entry.index !== prevIndex + 1 + i) throw malformed('entries are not contiguous');
    length += lengthInRun(entry);
  }
  if (length !== bytes.length) throw malformed('bytes after the last entry');
  const first = entries[0];
  if (first !== undefined) first.run = { last: entries[count - 1] as Entry, bytes };
  return entries;
}
