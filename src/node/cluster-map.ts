/**
 * The map of a cluster's first members, on which all of them agree before anybody votes (decision 13). Its hash is the cluster id; it
 * is log entry 1 of group 1.
 */
import { KvorumError } from '../errors.ts';
import type { MemberRecord } from '../machine/types.ts';
import type { Store } from '../storage/types.ts';
import { isU64 } from '../transport/hello.ts';
import { firstU64 } from '../transport/peer-id.ts';

export interface ClusterMap {
  /** First 8 bytes of the SHA-256 of the members, as a decimal number. */
  readonly clusterId: string;
  /** Sorted by name, in code unit order. */
  readonly members: readonly MemberRecord[];
}

/** The same members in whatever order give the same map. */
export function makeClusterMap(members: readonly MemberRecord[]): ClusterMap {
  const sorted = members
    .map(({ id, name, peerId, address }): MemberRecord => ({ id, name, peerId, address }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const rows = sorted.map(({ name, id, peerId, address }) => [name, id, peerId, address]);
  // JSON of nested arrays of strings is canonical: one text for one list, whoever writes it.
  const text = `kvorum/cluster-map/1\n${JSON.stringify(rows)}`;
  return { clusterId: firstU64(new TextEncoder().encode(text)), members: sorted };
}

/** The map in a value from the wire or the disk, or undefined when it is none or its hash is another. */
export function parseClusterMap(value: unknown): ClusterMap | undefined {
  if (typeof value !== 'object' || value === null || !('clusterId' in value) || !('members' in value)) return undefined;
  const { clusterId, members } = value;
  if (!Array.isArray(members) || members.length === 0 || members.length > MAX_MEMBERS) return undefined;
  const records: MemberRecord[] = [];
  for (const member of members as unknown[]) {
    const record = parseMember(member);
    if (record === undefined) return undefined;
    records.push(record);
  }
  if (new Set(records.map((record) => record.name)).size !== records.length) return undefined;
  const map = makeClusterMap(records);
  return map.clusterId === clusterId ? map : undefined;
}

function parseMember(value: unknown): MemberRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { id, name, peerId, address }: { id?: unknown; name?: unknown; peerId?: unknown; address?: unknown } = value;
  if (!isU64(id) || !isText(name) || !isText(peerId) || !isText(address)) return undefined;
  return { id, name, peerId, address };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 300;
}

/** Bounds what a stranger's map can cost; a Raft group has few voters. */
export const MAX_MEMBERS = 100;

export function describeMembers(map: ClusterMap): string {
  return map.members.map(({ name, address }) => `${name}=${address}`).join(',');
}

const MAP = 'cluster/map';
const PROPOSAL = 'cluster/proposal';

/** The map that this node's data belongs to; null before bootstrap. Throws ERR_CORRUPT. */
export function loadClusterMap(store: Store): ClusterMap | null {
  return load(store, MAP);
}

function load(store: Store, record: string): ClusterMap | null {
  const stored = store.node.get(record);
  if (stored === undefined) return null;
  const map = parseClusterMap(stored);
  // Taken for missing, it would make a member of a cluster look fresh.
  if (map === undefined) throw new KvorumError('ERR_CORRUPT', `the record ${record} in the data directory is damaged`);
  return map;
}

export function stageClusterMap(store: Store, map: ClusterMap): void {
  store.node.set(MAP, map);
}

/** The map that this node has bound itself to, and will never exchange for another; null before. */
export function loadProposal(store: Store): ClusterMap | null {
  return load(store, PROPOSAL);
}

export function stageProposal(store: Store, map: ClusterMap): void {
  store.node.set(PROPOSAL, map);
}
