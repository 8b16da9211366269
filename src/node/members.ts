/** What /v1/cluster says: the members of the state machine, joined with what links and the core know of them now. */
import type { Transport } from '../transport/types.ts';
import type { Replica } from './replica.ts';
import type { ClusterInfo, MemberInfo } from './types.ts';

export interface Self {
  readonly id: string;
  readonly name: string;
  readonly clusterId: string;
  readonly http: string | null;
  readonly address: string;
}

export function describeCluster(self: Self, replica: Replica, transport: Transport, lastSeen: LastSeen): ClusterInfo {
  const status = replica.core.status();
  const { configuration } = status;
  const { members: records } = replica.machine;
  const progress = new Map(status.progress.map((peer) => [peer.id, peer]));
  const members = records.map((record): MemberInfo => {
    const role = configuration.learners.includes(record.id) ? 'learner' : 'voter';
    const base = { id: record.id, name: record.name, peerId: record.peerId, role } as const;
    if (record.id === self.id) {
      return {
        ...base,
        addresses: [self.address],
        http: self.http,
        pid: process.pid,
        health: 'alive',
        matchIndex: status.persistedIndex,
        appliedIndex: replica.machine.appliedIndex,
      };
    }
    const peer = transport.peer(record.id);
    const seen = lastSeen.get(record.id);
    return {
      ...base,
      addresses: [peer?.address ?? seen?.address ?? record.address],
      http: (peer?.hello.http ?? seen?.http ?? '') || null,
      pid: peer?.hello.pid ?? seen?.pid ?? null,
      health: peer === undefined ? 'unreachable' : 'alive',
      matchIndex: progress.get(record.id)?.match ?? null,
      appliedIndex: null,
    };
  });
  const leader = records.find((record) => record.id === replica.softState.leader);
  return {
    clusterId: self.clusterId,
    name: self.name,
    leader: leader?.name ?? null,
    term: status.term,
    revision: replica.machine.revision,
    members,
  };
}

/** What a peer said of itself when it was last here. */
export type LastSeen = ReadonlyMap<string, { readonly address: string; readonly http: string; readonly pid: number }>;
