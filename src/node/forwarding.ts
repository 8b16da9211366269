/**
 * Frames by which a node hands proposals to the leader and gets their results back, on the transport's `client` channel. Many
 * commands a frame: those of one event-loop turn travel together, and so do their results.
 *
 * A frame is one kind byte, then a msgpack array. `bootEpoch` is the asker's: an answer to a process that has restarted since
 * finds another epoch and is dropped.
 */
import { Packr } from 'msgpackr';
import { ERRORS, KvorumError, type ErrorCode } from '../errors.ts';
import { decodeResult, encodeResult } from '../machine/result.ts';
import type { CommandResult } from '../machine/types.ts';
import { ANSWERS, REQUESTS } from './remote/protocol.ts';

/** First byte of a frame on the `client` channel. */
export const FRAME = {
  propose: 1,
  proposeResult: 2,
  transfer: 3,
  transferResult: 4,
  stored: 5,
  // Of callers that are no members.
  requests: REQUESTS,
  answers: ANSWERS,
  memberCall: 8,
  memberResult: 9,
  join: 10,
  joined: 11,
} as const;

const packr = new Packr({ useRecords: false, mapsAsObjects: true });

export interface ProposeFrame {
  readonly group: number;
  readonly bootEpoch: number;
  readonly request: number;
  /** How long the asker still waits, ms. */
  readonly timeoutMs: number;
  readonly commands: readonly Uint8Array[];
}

/** `retry`: neither appended nor forwarded, because the node asked does not lead; the asker may send it elsewhere. */
export interface Answer {
  readonly error: KvorumError | null;
  readonly result: CommandResult | null;
  readonly retry: boolean;
}

export interface ResultFrame {
  readonly group: number;
  readonly bootEpoch: number;
  readonly request: number;
  /** Position of the command that the first answer is for. The answers to a request may come in several frames. */
  readonly first: number;
  readonly answers: readonly Answer[];
}

/** What is answered in one frame, about; previous values make answers as large as values are. */
const ANSWER_FRAME_BYTES = 1024 * 1024;

export function packFrame(kind: number, body: readonly unknown[]): Uint8Array[] {
  return [Uint8Array.of(kind), packr.pack(body)];
}

export function malformedFrame(what: string): KvorumError {
  return new KvorumError('ERR_INVALID_ARGUMENT', `malformed ${what} frame`);
}

/** The msgpack array after the kind byte. Throws ERR_INVALID_ARGUMENT. */
export function unpackBody(bytes: Uint8Array, what: string): unknown[] {
  let body: unknown;
  try {
    body = packr.unpack(bytes.subarray(1));
  } catch (cause) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', `malformed ${what} frame`, { cause });
  }
  if (!Array.isArray(body)) throw malformedFrame(what);
  return body as unknown[];
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

export function encodePropose(propose: ProposeFrame): Uint8Array[] {
  return packFrame(FRAME.propose, [
    propose.group,
    propose.bootEpoch,
    propose.request,
    Math.max(0, Math.ceil(propose.timeoutMs)),
    propose.commands,
  ]);
}

export function decodePropose(bytes: Uint8Array): ProposeFrame {
  const [group, bootEpoch, request, timeoutMs, commands] = unpackBody(bytes, 'propose');
  if (!isCount(group) || !isCount(bootEpoch) || !isCount(request) || !isCount(timeoutMs) || !Array.isArray(commands)) {
    throw malformedFrame('propose');
  }
  for (const command of commands) if (!(command instanceof Uint8Array)) throw malformedFrame('propose');
  return { group, bootEpoch, request, timeoutMs, commands: commands as Uint8Array[] };
}

/** One frame, or several of a bounded size. */
export function encodeAnswers({ group, bootEpoch, request, first, answers }: ResultFrame): EncodedAnswers[] {
  const frames: EncodedAnswers[] = [];
  let from = 0;
  let bytes = 0;
  const encoded = answers.map(encodeAnswer);
  const close = (to: number): void => {
    const body = [group, bootEpoch, request, first + from, encoded.slice(from, to)];
    frames.push({ first: first + from, count: to - from, parts: packFrame(FRAME.proposeResult, body) });
    from = to;
    bytes = 0;
  };
  for (let at = 0; at < encoded.length; at++) {
    const answer = encoded[at];
    const size = answer instanceof Uint8Array ? answer.length : 0;
    if (bytes + size > ANSWER_FRAME_BYTES && at > from) close(at);
    bytes += size;
  }
  close(encoded.length);
  return frames;
}

export interface EncodedAnswers {
  readonly first: number;
  readonly count: number;
  readonly parts: Uint8Array[];
}

function encodeAnswer(answer: Answer): Uint8Array | unknown[] | null {
  if (answer.retry) return null;
  if (answer.error !== null) {
    const { code, message, outcome, details } = answer.error;
    return [code, message, outcome, details];
  }
  return answer.result === null ? new Uint8Array(0) : encodeResult(answer.result);
}

export function decodeAnswers(bytes: Uint8Array): ResultFrame {
  const [group, bootEpoch, request, first, answers] = unpackBody(bytes, 'result');
  if (!isCount(group) || !isCount(bootEpoch) || !isCount(request) || !isCount(first) || !Array.isArray(answers)) {
    throw malformedFrame('result');
  }
  return { group, bootEpoch, request, first, answers: (answers as unknown[]).map(decodeAnswer) };
}

function decodeAnswer(answer: unknown): Answer {
  if (answer === null) return { error: null, result: null, retry: true };
  if (answer instanceof Uint8Array) {
    return { error: null, result: answer.length === 0 ? null : resultOf(answer), retry: false };
  }
  if (!Array.isArray(answer)) throw malformedFrame('result');
  return { error: decodeError(answer), result: null, retry: false };
}

/** Of a peer, who may say anything: what is malformed is its mistake and no broken promise of this node. */
function resultOf(bytes: Uint8Array): CommandResult {
  try {
    return decodeResult(bytes);
  } catch (error) {
    if (KvorumError.is(error, 'ERR_INVARIANT')) throw malformedFrame('result');
    throw error;
  }
}

/** An error as it travels between nodes: [code, message, outcome, details]. An unknown code (of a newer node) becomes ERR_INTERNAL. */
export function decodeError(fields: readonly unknown[]): KvorumError {
  const [code, message, outcome, details] = fields;
  const known = typeof code === 'string' && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'ERR_INTERNAL';
  return new KvorumError(known, typeof message === 'string' ? message : 'error without a message', {
    outcome: outcome === 'none' ? 'none' : 'unknown',
    details: typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : {},
  });
}

export interface TransferFrame {
  readonly group: number;
  readonly bootEpoch: number;
  readonly request: number;
  /** Member to lead; null: the most up-to-date. */
  readonly to: string | null;
}

export function encodeTransfer(transfer: TransferFrame): Uint8Array[] {
  return packFrame(FRAME.transfer, [transfer.group, transfer.bootEpoch, transfer.request, transfer.to]);
}

export function decodeTransfer(bytes: Uint8Array): TransferFrame {
  const [group, bootEpoch, request, to] = unpackBody(bytes, 'transfer');
  if (!isCount(group) || !isCount(bootEpoch) || !isCount(request)) throw malformedFrame('transfer');
  if (to !== null && typeof to !== 'string') throw malformedFrame('transfer');
  return { group, bootEpoch, request, to };
}

export interface TransferResultFrame {
  readonly group: number;
  readonly bootEpoch: number;
  readonly request: number;
  readonly error: KvorumError | null;
}

export function encodeTransferResult(result: TransferResultFrame): Uint8Array[] {
  const { error } = result;
  return packFrame(FRAME.transferResult, [
    result.group,
    result.bootEpoch,
    result.request,
    error === null ? null : [error.code, error.message, error.outcome, error.details],
  ]);
}

export function decodeTransferResult(bytes: Uint8Array): TransferResultFrame {
  const [group, bootEpoch, request, error] = unpackBody(bytes, 'transfer result');
  if (!isCount(group) || !isCount(bootEpoch) || !isCount(request)) throw malformedFrame('transfer result');
  return { group, bootEpoch, request, error: Array.isArray(error) ? decodeError(error) : null };
}

/** A leader's word to its peers: what its own disk has. Followers tell theirs with every acknowledgement. */
export interface StoredFrame {
  readonly group: number;
  readonly index: number;
}

export function encodeStored(stored: StoredFrame): Uint8Array[] {
  return packFrame(FRAME.stored, [stored.group, stored.index]);
}

export function decodeStored(bytes: Uint8Array): StoredFrame {
  const [group, index] = unpackBody(bytes, 'stored');
  if (!isCount(group) || !isCount(index)) throw malformedFrame('stored');
  return { group, index };
}
