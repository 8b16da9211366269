/**
 * What a wish about the members comes to, against the configuration in force: done already, refused, or a change to propose. Pure, and run
 * on the leader only. Every wish may be repeated, so "done already" is an answer and no error.
 */
import { KvorumError } from '../errors.ts';
import type { MemberMap } from '../machine/members.ts';
import type { MemberRecord, RemovedMember } from '../machine/types.ts';
import type { Configuration, ConfigurationChange, MemberChange, NodeId } from '../raft/types.ts';
import { MAX_MEMBERS } from './cluster-map.ts';
import { isAddress } from './options.ts';

/** The configuration in force and what its context says. */
export interface Membership {
  readonly configuration: Configuration;
  readonly map: MemberMap;
}

export type Plan =
  | { readonly type: 'done'; readonly member: MemberRecord | null }
  /** `member`: whom the answer is about. */
  | { readonly type: 'change'; readonly change: ConfigurationChange; readonly member: MemberRecord | null }
  /** To be looked at again: it has not caught up. */
  | { readonly type: 'wait'; readonly member: MemberRecord };

/** A member to be, its id made from its peer id. */
export interface Newcomer {
  readonly id: NodeId;
  readonly name: string;
  readonly peerId: string;
  readonly address: string;
  readonly role: 'voter' | 'learner';
  /** Id or name. */
  readonly replaces: string | null;
}

/** Older ones are forgotten: by then nobody has their disks any more, and an identity that comes back is a stranger without a log. */
const MAX_REMOVED = 256;

export function findMember({ map }: Pick<Membership, 'map'>, member: string): MemberRecord | undefined {
  return map.members.find(({ id }) => id === member) ?? map.members.find(({ name }) => name === member);
}

/** As it will be when a joint configuration is left. */
export function roleOf({ voters }: Configuration, id: NodeId): 'voter' | 'learner' {
  return voters.includes(id) ? 'voter' : 'learner';
}

export function planAdd(membership: Membership, newcomer: Newcomer): Plan {
  const { map, configuration } = membership;
  const { id, name, peerId, address, role } = newcomer;
  // Everybody dials what is in the configuration.
  if (!isAddress(address, false)) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', `${JSON.stringify(address)} is no address that others can dial`);
  }
  const removed = map.removed.find((one) => one.id === id);
  if (removed !== undefined) throw wasRemoved(removed);
  const same = map.members.find((member) => member.id === id);
  if (same !== undefined) return planAgain(membership, same, newcomer);
  const named = map.members.find((member) => member.name === name);
  const replaced = newcomer.replaces === null ? undefined : findMember(membership, newcomer.replaces);
  if (newcomer.replaces !== null && replaced === undefined) throw unknownMember(newcomer.replaces);
  if (named !== undefined && named !== replaced) {
    throw new KvorumError(
      'ERR_MEMBER_EXISTS',
      `${name} is a member already, with the peer id ${named.peerId}: choose another name, or let the new node replace ${name}`,
      { details: { id: named.id, peerId: named.peerId } },
    );
  }
  // Two members never share a name, so the one before goes now.
  const goes = named === undefined ? [] : [named];
  if (map.members.length - goes.length >= MAX_MEMBERS) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', `a cluster has at most ${MAX_MEMBERS} members`);
  }
  const record: MemberRecord = {
    id,
    name,
    peerId,
    address,
    ...(role === 'voter' ? { wants: 'voter' as const } : {}),
    ...(replaced !== undefined && named === undefined ? { replaces: replaced.id } : {}),
  };
  assertVotersLeft(configuration, goes);
  return {
    type: 'change',
    member: record,
    change: {
      changes: [...goes.map((one): MemberChange => ({ id: one.id, to: 'removed' })), { id, to: 'learner' }],
      context: contextOf(map, [...map.members.filter((one) => !goes.includes(one)), record], goes, id),
    },
  };
}

/** A node that is a member asks again, perhaps at another address, or for more. */
function planAgain(membership: Membership, same: MemberRecord, newcomer: Newcomer): Plan {
  const { map, configuration } = membership;
  const { name, address, role } = newcomer;
  if (same.name !== name) {
    throw new KvorumError('ERR_MEMBER_EXISTS', `this peer id belongs to the member ${same.name}`, {
      details: { id: same.id, name: same.name },
    });
  }
  const wants = role === 'voter' && roleOf(configuration, same.id) === 'learner' && same.wants === undefined;
  // Of a member that is gone by now the place is taken already.
  const replaced = newcomer.replaces === null ? undefined : findMember(membership, newcomer.replaces);
  const succeeds = replaced !== undefined && replaced !== same && same.replaces !== replaced.id;
  if (same.address === address && !wants && !succeeds) return { type: 'done', member: same };
  const next: MemberRecord = {
    ...same,
    address,
    ...(wants ? { wants: 'voter' as const } : {}),
    ...(succeeds ? { replaces: replaced.id } : {}),
  };
  return { type: 'change', member: next, change: { changes: [], context: exchanged(map, same, next) } };
}

export function planAddress({ map }: Membership, id: NodeId, address: string): Plan {
  const member = map.members.find((one) => one.id === id);
  if (member === undefined || member.address === address || !isAddress(address, false))
    return { type: 'done', member: member ?? null };
  const next = { ...member, address };
  return { type: 'change', member: next, change: { changes: [], context: exchanged(map, member, next) } };
}

/** `caughtUp`: whether a learner has what the leader has, nearly. */
export function planPromote(membership: Membership, member: string, caughtUp: (id: NodeId) => boolean): Plan {
  const record = findMember(membership, member);
  if (record === undefined) throw unknownMember(member);
  if (roleOf(membership.configuration, record.id) === 'voter') return { type: 'done', member: record };
  if (!caughtUp(record.id)) return { type: 'wait', member: record };
  const replaced = membership.map.members.find(({ id }) => id === record.replaces) ?? null;
  return promotion(membership, record, replaced);
}

export function planDemote({ map, configuration }: Membership, member: string): Plan {
  const record = findMember({ map }, member);
  if (record === undefined) throw unknownMember(member);
  // What it was to become, and in whose place, is taken back.
  const { wants: _, replaces: __, ...next } = record;
  if (roleOf(configuration, record.id) === 'learner') {
    if (record.wants === undefined && record.replaces === undefined) return { type: 'done', member: record };
    return { type: 'change', member: next, change: { changes: [], context: exchanged(map, record, next) } };
  }
  assertVotersLeft(configuration, [record]);
  return {
    type: 'change',
    member: next,
    change: { changes: [{ id: record.id, to: 'learner' }], context: exchanged(map, record, next) },
  };
}

export function planRemove({ map, configuration }: Membership, member: string): Plan {
  const record = findMember({ map }, member);
  if (record === undefined) return { type: 'done', member: null };
  return removal({ map, configuration }, record, null);
}

function removal({ map, configuration }: Membership, record: MemberRecord, successor: MemberRecord | null): Plan {
  assertVotersLeft(configuration, [record]);
  const left = map.members.filter((one) => one !== record);
  return {
    type: 'change',
    member: successor ?? record,
    change: {
      changes: [{ id: record.id, to: 'removed' }],
      context: contextOf(map, left, [record], successor?.id ?? null),
    },
  };
}

export function planReplace(
  membership: Membership,
  member: string,
  by: string,
  caughtUp: (id: NodeId) => boolean,
): Plan {
  const successor = findMember(membership, by);
  if (successor === undefined) throw unknownMember(by);
  const record = findMember(membership, member);
  if (record === undefined) {
    // Gone already. That it was this one that took the place is as good as known when it votes.
    if (roleOf(membership.configuration, successor.id) === 'voter') return { type: 'done', member: successor };
    // A learner that took the place of a learner stays one.
    const isIts = ({ id, name, by: took }: RemovedMember): boolean =>
      (id === member || name === member) && took === successor.id;
    if (membership.map.removed.some(isIts)) return { type: 'done', member: successor };
    throw unknownMember(member);
  }
  if (record === successor) {
    throw new KvorumError('ERR_INVALID_ARGUMENT', `${record.name} cannot replace itself`);
  }
  if (roleOf(membership.configuration, record.id) === 'learner') {
    return removal(membership, record, successor);
  }
  if (roleOf(membership.configuration, successor.id) === 'learner' && !caughtUp(successor.id)) {
    return { type: 'wait', member: successor };
  }
  return promotion(membership, successor, record);
}

/** What the leader does by itself: the next learner that has caught up gets what it wants. Null: nothing to do. */
export function planKept(membership: Membership, caughtUp: (id: NodeId) => boolean): ConfigurationChange | null {
  const { map, configuration } = membership;
  for (const record of map.members) {
    if (record.wants === undefined && record.replaces === undefined) continue;
    if (roleOf(configuration, record.id) === 'learner' && !caughtUp(record.id)) continue;
    const replaced = map.members.find(({ id }) => id === record.replaces) ?? null;
    const plan =
      record.wants === 'voter' ? promotion(membership, record, replaced) : succession(membership, record, replaced);
    if (plan.type === 'change') return plan.change;
  }
  return null;
}

/** A learner (or a voter) becomes a voter, and takes the place of another at once. */
function promotion({ map }: Membership, record: MemberRecord, replaced: MemberRecord | null): Plan {
  return exchange(map, record, replaced, [{ id: record.id, to: 'voter' }]);
}

/** It takes the place of another and stays what it is, if somebody is left to vote. */
function succession({ map, configuration }: Membership, record: MemberRecord, replaced: MemberRecord | null): Plan {
  const votes = configuration.voters.filter((id) => id !== replaced?.id).length > 0;
  return exchange(map, record, votes ? replaced : null, []);
}

function exchange(
  map: MemberMap,
  record: MemberRecord,
  replaced: MemberRecord | null,
  changes: readonly MemberChange[],
): Plan {
  const { wants: _, replaces: __, ...next } = record;
  const members = map.members.filter((one) => one !== replaced).map((one) => (one === record ? next : one));
  const goes = replaced === null ? [] : [replaced];
  return {
    type: 'change',
    member: next,
    change: {
      changes: [...changes, ...goes.map((one): MemberChange => ({ id: one.id, to: 'removed' }))],
      context: contextOf(map, members, goes, record.id),
    },
  };
}

function exchanged(map: MemberMap, before: MemberRecord, after: MemberRecord): MemberMap {
  return contextOf(
    map,
    map.members.map((one) => (one === before ? after : one)),
    [],
    null,
  );
}

function contextOf(
  map: MemberMap,
  members: readonly MemberRecord[],
  goes: readonly MemberRecord[],
  /** Id of who took their place. */
  by: NodeId | null,
): MemberMap & { readonly clusterId: string | null } {
  const removed: RemovedMember[] = [
    ...map.removed,
    ...goes.map(({ id, name }) => ({ id, name, ...(by === null ? {} : { by }) })),
  ];
  return { clusterId: map.clusterId, members, removed: removed.slice(-MAX_REMOVED) };
}

function assertVotersLeft({ voters }: Configuration, goes: readonly MemberRecord[]): void {
  if (goes.length === 0 || voters.some((id) => !goes.some((one) => one.id === id))) return;
  throw new KvorumError(
    'ERR_LAST_VOTER',
    `${goes.map(({ name }) => name).join(', ')} is the only voter: nobody would be left to decide anything`,
  );
}

function unknownMember(member: string): KvorumError {
  return new KvorumError('ERR_NOT_FOUND', `there is no member ${JSON.stringify(member)}`);
}

export function wasRemoved({ name }: RemovedMember): KvorumError {
  return new KvorumError(
    'ERR_MEMBER_REMOVED',
    `this node was the member ${name} and was removed: its identity cannot come back, because it may have forgotten what it promised. ` +
      'To let it in again, start it with an empty data directory and --join',
  );
}
