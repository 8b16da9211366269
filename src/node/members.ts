/**
 * What /v1/cluster says of the members: voters and learners as the state machine has them, joined with what links, the core and gossip know of them now, and
 * agents as gossip tells.
 */
import type { Member, MemberState } from '../gossip/index.ts';
import type { MemberRecord } from '../machine/types.ts';
import type { Transport } from '../transport/types.ts';
import { decodeMetadata } from './gossip/metadata.ts';
import type { Liveness } from './gossip/liveness.ts';
import type { Replica } from './replica.ts';
import type { ClusterInfo, MemberInfo } from './types.ts';

export interface MemberSources {
  readonly id: string;
  readonly name: string;
  readonly clusterId: string;
  readonly pid: number;
  readonly http: string | null;
  readonly address: string;
  /** Of the environment. */
  readonly nowMs: number;
  readonly replica: Replica;
  readonly transport: Transport;
  readonly liveness: Liveness;
  readonly lastSeen: LastSeen;
}

/** What a peer said of itself when it was last here. */
export type LastSeen = ReadonlyMap<string, { readonly address: string; readonly http: string; readonly pid: number }>;

export function describeCluster(sources: MemberSources): ClusterInfo {
  const { clusterId, name, replica } = sources;
  return {
    clusterId,
    name,
    leader: replica.machine.members.find(({ id }) => id === replica.softState.leader)?.name ?? null,
    term: replica.term,
    revision: replica.machine.revision,
    members: describeMembers(sources),
  };
}

export function describeMembers(sources: MemberSources): MemberInfo[] {
  const { replica, liveness } = sources;
  const { members: records } = replica.machine;
  const known = new Map(liveness.gossip.members().map((member) => [member.id, member]));
  const members = records.map((record) =>
    record.id === sources.id ? own(sources, known.get(record.id)) : peer(sources, record, known.get(record.id)),
  );
  for (const { id } of records) known.delete(id);
  for (const member of known.values()) if (isShown(member, sources)) members.push(agent(member, sources));
  return members;
}

function own(sources: MemberSources, said: Member | undefined): MemberInfo {
  const { id, name, replica, address, http, pid } = sources;
  const status = replica.core.status();
  const peerId = replica.machine.members.find((record) => record.id === id)?.peerId ?? '';
  return {
    ...{ id, name, peerId, role: roleOf(replica, id), addresses: [address], http, pid, health: 'alive' },
    ...saidBy(said),
    matchIndex: status.persistedIndex,
    appliedIndex: replica.machine.appliedIndex,
  };
}

function peer(
  sources: MemberSources,
  { id, name, peerId, address }: MemberRecord,
  said: Member | undefined,
): MemberInfo {
  const { replica, transport, lastSeen } = sources;
  const linked = transport.peer(id);
  const seen = lastSeen.get(id);
  const { progress } = replica.core.status();
  return {
    ...{ id, name, peerId, role: roleOf(replica, id) },
    addresses: [linked?.address ?? said?.addresses[0] ?? seen?.address ?? address],
    http: (linked?.hello.http ?? said?.http ?? seen?.http ?? '') || null,
    pid: linked?.hello.pid ?? seen?.pid ?? null,
    health: healthOf(said?.state, linked !== undefined),
    ...saidBy(said),
    matchIndex: progress.find((follower) => follower.id === id)?.match ?? null,
    appliedIndex: null,
  };
}

function agent(member: Member, { transport }: MemberSources): MemberInfo {
  const { id, name, peerId, addresses, http, state } = member;
  return {
    ...{ id, name, peerId, role: 'agent', addresses, http: http || null },
    pid: transport.peer(id)?.hello.pid ?? null,
    // Links to agents come and go: that there is none says nothing.
    health: healthOf(state, true),
    ...saidBy(member),
    matchIndex: null,
    appliedIndex: null,
  };
}

/** Who votes is not gossip's to say. An agent that has left is gone; one that is dead is shown for a while. */
function isShown({ id, role, state, sinceMs }: Member, { id: ownId, nowMs, liveness }: MemberSources): boolean {
  if (role !== 'agent' || id === ownId || state === 'left') return false;
  return state !== 'dead' || sinceMs === null || nowMs - sinceMs <= liveness.shownDeadMs;
}

/** Of a member that a link is kept to, that there is none says that something is amiss, before gossip knows what. */
function healthOf(state: MemberState | undefined, linked: boolean): MemberInfo['health'] {
  switch (state) {
    case undefined:
      return linked ? 'alive' : 'unreachable';
    case 'alive':
      return linked ? 'alive' : 'suspect';
    case 'suspect':
      return 'suspect';
    default:
      return 'unreachable';
  }
}

function roleOf(replica: Replica, id: string): 'voter' | 'learner' {
  return replica.core.status().configuration.learners.includes(id) ? 'learner' : 'voter';
}

function saidBy(member: Member | undefined): Pick<MemberInfo, 'metadata' | 'incarnation'> {
  if (member === undefined) return { metadata: null, incarnation: null };
  return { metadata: decodeMetadata(member.metadata), incarnation: member.incarnation };
}
