/**
 * The context of a configuration: who the members are, and whose identities were removed.
 * `{clusterId, members: [{id, name, peerId, address, wants?, replaces?}], removed?: [{id, name, by?}]}`, JSON.
 */
import { KvorumError } from '../errors.ts';
import type { MemberRecord, RemovedMember } from './types.ts';

export interface MemberMap {
  /** Null in a configuration without a context. */
  readonly clusterId: string | null;
  readonly members: readonly MemberRecord[];
  /** Identities that must not come back, oldest first. */
  readonly removed: readonly RemovedMember[];
}

/** Throws ERR_INVARIANT for a context of another shape; fields that it does not know are left aside. */
export function parseMembers(context: unknown): MemberMap {
  if (context === undefined || context === null) return { clusterId: null, members: [], removed: [] };
  if (!isObject(context)) throw malformed('it is no object');
  const { clusterId, members, removed = [] } = context;
  if (typeof clusterId !== 'string') throw malformed('it names no cluster');
  if (!Array.isArray(members)) throw malformed('it has no members');
  if (!Array.isArray(removed)) throw malformed('what was removed is no list');
  return { clusterId, members: members.map(parseMember), removed: removed.map(parseRemoved) };
}

function parseMember(value: unknown): MemberRecord {
  if (!isObject(value)) throw malformed('a member is no object');
  const { id, name, peerId, address, wants, replaces } = value;
  if (typeof id !== 'string' || typeof name !== 'string') throw malformed('a member has no id or no name');
  if (typeof peerId !== 'string' || typeof address !== 'string')
    throw malformed('a member has no peer id or no address');
  return {
    id,
    name,
    peerId,
    address,
    ...(wants === 'voter' ? { wants } : {}),
    ...(typeof replaces === 'string' ? { replaces } : {}),
  };
}

function parseRemoved(value: unknown): RemovedMember {
  if (!isObject(value)) throw malformed('one that was removed is no object');
  const { id, name, by } = value;
  if (typeof id !== 'string' || typeof name !== 'string') throw malformed('one that was removed has no id or no name');
  return { id, name, ...(typeof by === 'string' ? { by } : {}) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function malformed(why: string): KvorumError {
  return new KvorumError('ERR_INVARIANT', `The context of a configuration is malformed: ${why}`);
}
