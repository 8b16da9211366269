/** The context of a configuration: who the members are. `{clusterId, members: [{id, name, peerId, address}]}`, JSON. */
import { KvorumError } from '../errors.ts';
import type { MemberRecord } from './types.ts';

export interface MemberMap {
  /** Null in a configuration without a context. */
  readonly clusterId: string | null;
  readonly members: readonly MemberRecord[];
}

/** Throws ERR_INVARIANT for a context of another shape; fields that it does not know are left aside. */
export function parseMembers(context: unknown): MemberMap {
  if (context === undefined || context === null) return { clusterId: null, members: [] };
  if (!isObject(context)) throw malformed('it is no object');
  const { clusterId, members } = context;
  if (typeof clusterId !== 'string') throw malformed('it names no cluster');
  if (!Array.isArray(members)) throw malformed('it has no members');
  return { clusterId, members: members.map(parseMember) };
}

function parseMember(value: unknown): MemberRecord {
  if (!isObject(value)) throw malformed('a member is no object');
  const { id, name, peerId, address } = value;
  if (typeof id !== 'string' || typeof name !== 'string') throw malformed('a member has no id or no name');
  if (typeof peerId !== 'string' || typeof address !== 'string')
    throw malformed('a member has no peer id or no address');
  return { id, name, peerId, address };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function malformed(why: string): KvorumError {
  return new KvorumError('ERR_INVARIANT', `The context of a configuration is malformed: ${why}`);
}
