/**
 * Frames about the members, on the transport's `client` channel: a wish of one node that another is to fulfil, and what came of it. As in forwarding.ts, `bootEpoch`
 * is the asker's: an answer to a process that has restarted since is dropped.
 */
import type { KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import { isU64 } from '../transport/hello.ts';
import { decodeError, FRAME, isCount, malformedFrame, packFrame, unpackBody } from './forwarding.ts';
import type { Newcomer } from './member-changes.ts';
import type { MemberAnswer } from './member-types.ts';

export { FRAME } from './forwarding.ts';

export type MemberOperation =
  | { readonly type: 'add'; readonly member: Newcomer }
  | { readonly type: 'promote' | 'demote' | 'remove'; readonly member: string }
  | { readonly type: 'replace'; readonly member: string; readonly by: string };

/** Of a removal: whether there was somebody to remove. */
export interface MemberChanged extends MemberAnswer {
  readonly changed: boolean;
}

export interface MemberCallFrame {
  readonly group: number;
  readonly bootEpoch: number;
  readonly request: number;
  /** How long the asker still waits, ms. */
  readonly timeoutMs: number;
  readonly operation: MemberOperation;
}

export interface MemberResultFrame {
  readonly group: number;
  readonly bootEpoch: number;
  readonly request: number;
  readonly error: KvorumError | null;
  readonly result: MemberChanged | null;
}

const MAX_TEXT = 300;

export function encodeMemberCall({ group, bootEpoch, request, timeoutMs, operation }: MemberCallFrame): Uint8Array[] {
  const wait = Math.max(0, Math.ceil(timeoutMs));
  return packFrame(FRAME.memberCall, [group, bootEpoch, request, wait, ...fieldsOf(operation)]);
}

function fieldsOf(operation: MemberOperation): unknown[] {
  switch (operation.type) {
    case 'add': {
      const { id, name, peerId, address, role, replaces } = operation.member;
      return ['add', id, name, peerId, address, role, replaces];
    }
    case 'replace':
      return ['replace', operation.member, operation.by];
    default:
      return [operation.type, operation.member];
  }
}

/** Throws ERR_INVALID_ARGUMENT. */
export function decodeMemberCall(bytes: Uint8Array): MemberCallFrame {
  const [group, bootEpoch, request, timeoutMs, ...fields] = unpackBody(bytes, 'member call');
  if (!isCount(group) || !isCount(bootEpoch) || !isCount(request) || !isCount(timeoutMs)) {
    throw malformedFrame('member call');
  }
  return { group, bootEpoch, request, timeoutMs, operation: operationOf(fields) };
}

function operationOf([type, ...fields]: readonly unknown[]): MemberOperation {
  const text = (at: number): string => {
    const value = fields[at];
    if (typeof value !== 'string' || value.length > MAX_TEXT) throw malformedFrame('member call');
    return value;
  };
  switch (type) {
    case 'add': {
      const id: NodeId = text(0);
      const role = text(4);
      if (!isU64(id) || (role !== 'voter' && role !== 'learner')) throw malformedFrame('member call');
      const replaces = fields[5] === null || fields[5] === undefined ? null : text(5);
      return { type, member: { id, name: text(1), peerId: text(2), address: text(3), role, replaces } };
    }
    case 'replace':
      return { type, member: text(0), by: text(1) };
    case 'promote':
    case 'demote':
    case 'remove':
      return { type, member: text(0) };
    default:
      throw malformedFrame('member call');
  }
}

export function encodeMemberResult({ group, bootEpoch, request, error, result }: MemberResultFrame): Uint8Array[] {
  return packFrame(FRAME.memberResult, [
    group,
    bootEpoch,
    request,
    error === null ? null : [error.code, error.message, error.outcome, error.details],
    result === null ? null : [result.id, result.name, result.role, result.changed],
  ]);
}

/** Throws ERR_INVALID_ARGUMENT. */
export function decodeMemberResult(bytes: Uint8Array): MemberResultFrame {
  const [group, bootEpoch, request, error, result] = unpackBody(bytes, 'member result');
  if (!isCount(group) || !isCount(bootEpoch) || !isCount(request)) throw malformedFrame('member result');
  if (Array.isArray(error)) return { group, bootEpoch, request, error: decodeError(error), result: null };
  if (!Array.isArray(result)) throw malformedFrame('member result');
  const [id, name, role, changed] = result as unknown[];
  if (typeof id !== 'string' || typeof name !== 'string' || (role !== 'voter' && role !== 'learner')) {
    throw malformedFrame('member result');
  }
  return { group, bootEpoch, request, error: null, result: { id, name, role, changed: changed === true } };
}
