/**
 * The protocol between a node and those who call it from elsewhere: a service that is no member, over the transport's `client` channel, and the
 * thread that started a node in another one, over a MessagePort. One way there, one way back:
 *
 * ```
 * requests   6, version, msgpack [request, …]                  request  [id, method, argument, …]
 * answers    7, version, msgpack [revision, term, answer, …]   answer   [id, kind, field, …]
 * ```
 * Requests of one turn travel in one frame, and so do answers: a frame has a fixed price, which is many times that of a request. Fields at the end of an array that
 * are null are left out. `revision` and `term` are those of the node when it wrote the frame.
 *
 * A stream is a call that has more than one answer. It is opened with credit, in batches and in bytes, and the node sends no more than that until it is granted more:
 * what neither side can get rid of is bounded on both.
 */
import { Packr } from 'msgpackr';
import { KvorumError } from '../../errors.ts';

export const PROTOCOL_VERSION = 1;

/** First byte of a frame on the `client` channel, beside those of forwarding.ts. */
export const REQUESTS = 6;
export const ANSWERS = 7;

/** Numbers are never given again. Below 16: about calls, not calls. */
export const METHOD = {
  cancel: 0,
  credit: 1,

  put: 16,
  get: 17,
  delete: 18,
  deleteRange: 19,
  list: 20,
  txn: 21,
  compact: 22,
  watch: 23,
  cluster: 24,
  transferLeadership: 25,

  leaseGrant: 32,
  leaseRenew: 33,
  leaseRevoke: 34,
  leaseGet: 35,
  leaseList: 36,

  lockAcquire: 48,
  lockRenew: 49,
  lockRelease: 50,
  lockGet: 51,
  lockList: 52,
  lockBreak: 53,

  electionCampaign: 64,
  electionProclaim: 65,
  electionResign: 66,
  electionGet: 67,
  electionObserve: 68,

  barrierEnter: 80,
  barrierGet: 81,

  counterAdd: 96,
  counterGet: 97,
  counterDelete: 98,

  memberAdd: 112,
  memberPromote: 113,
  memberDemote: 114,
  memberReplace: 115,
  memberRemove: 116,
  createToken: 117,
  memberList: 118,
  memberWatch: 119,

  dhtGet: 128,
  dhtPut: 129,
  dhtProviders: 130,
  dhtLookup: 131,

  // Only for the thread that owns the node. 224 was once given.
  metrics: 225,
  close: 226,
  dhtHost: 227,
} as const;

/** Second field of an answer. */
export const ANSWER = {
  /** The last one. Fields by method. */
  result: 0,
  /** The last one: code, message, outcome, details. */
  error: 1,
  /** A stream stands: the first revision that it will tell of (a watch). */
  opened: 2,
  /** Of a stream. In place of the id there may be a list of them, for streams that are told the same. */
  item: 3,
  /** The last one, of a stream. */
  end: 4,
} as const;

/** Id of what nobody asked for: how the node is, told to the thread that owns it. */
export const STATE_ID = 0;

/** Ids are 1 to this, in turn. */
export const MAX_ID = 2 ** 31 - 1;

/** Calls of one connection without an answer; what comes on top is answered ERR_OVERLOADED. */
export const MAX_INFLIGHT = 4096;
/** Watches and observations of one connection. */
export const MAX_STREAMS = 10_000;
/** Frames are closed when they have about so many bytes. One item may be larger, up to the limit of the transport. */
export const FRAME_BYTES = 256 * 1024;
/** Above the values of a largest write and below the largest frame of the `client` channel (16 MiB). */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** What a stream may be ahead of who reads it. */
export const STREAM_BATCHES = 64;
export const STREAM_BYTES = 256 * 1024;

export const packr = new Packr({ useRecords: false, mapsAsObjects: true });

const HEADS: Readonly<Record<typeof REQUESTS | typeof ANSWERS, Uint8Array>> = {
  [REQUESTS]: Uint8Array.of(REQUESTS, PROTOCOL_VERSION),
  [ANSWERS]: Uint8Array.of(ANSWERS, PROTOCOL_VERSION),
};

/** Parts of one frame. */
export function encodeFrame(kind: typeof REQUESTS | typeof ANSWERS, body: readonly unknown[]): Uint8Array[] {
  return [HEADS[kind], packr.pack(body)];
}

/** The array in a frame of this kind. Throws ERR_INVALID_ARGUMENT for anything else, ERR_WRONG_PROTOCOL for another version. */
export function decodeFrame(kind: typeof REQUESTS | typeof ANSWERS, frame: Uint8Array): unknown[] {
  if (frame[0] !== kind) throw malformed(`kind ${frame[0] ?? 'none'}`);
  if (frame[1] !== PROTOCOL_VERSION) {
    throw new KvorumError('ERR_WRONG_PROTOCOL', `version ${frame[1] ?? 'none'} of the requests is not known here`);
  }
  let body: unknown;
  try {
    body = packr.unpack(frame.subarray(2));
  } catch (cause) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', 'a frame of requests or answers that cannot be read', { cause });
  }
  if (!Array.isArray(body)) throw malformed('no list');
  return body as unknown[];
}

export function malformed(what: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', `malformed frame of requests or answers: ${what}`);
}

export function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_ID;
}

/** Takes nulls off the end. */
export function trimmed(fields: unknown[]): unknown[] {
  let { length } = fields;
  while (length > 0 && (fields[length - 1] === null || fields[length - 1] === undefined)) length--;
  fields.length = length;
  return fields;
}
