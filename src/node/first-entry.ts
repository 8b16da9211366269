/**
 * Log entry 1 of a group: the member map that all first members agreed on, as a configuration. Every one of them writes the same bytes, so
 * the log starts out equal everywhere and no election is needed for it (decision 13).
 */
import { encodeConfiguration } from '../raft/configuration.ts';
import type { Configuration, Entry, NodeId } from '../raft/types.ts';
import type { MemberRecord } from '../machine/types.ts';
import type { GroupStore } from '../storage/types.ts';

export interface FirstMembers {
  readonly clusterId: string;
  /** Sorted by name: the same everywhere. */
  readonly members: readonly MemberRecord[];
}

/** Stages entry 1 and the state that goes with it, for the next synced commit. For a group with an empty log only. */
export function stageFirstEntry(store: GroupStore, first: FirstMembers): void {
  const { log } = store;
  const voters: NodeId[] = first.members.map((member) => member.id);
  const configuration: Configuration = {
    voters,
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
    context: {
      clusterId: first.clusterId,
      members: first.members.map(({ id, name, peerId, address }) => ({ id, name, peerId, address })),
    },
  };
  const entry: Entry = { index: 1, term: 1, kind: 'config', data: encodeConfiguration(configuration) };
  const before: Configuration = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  log.append([entry]);
  log.setHardState({ term: 1, vote: null, commit: 1 });
  log.setConfigurations([
    { index: 0, configuration: before },
    { index: 1, configuration },
  ]);
}
