/**
 * What this node remembers of every other member, so that an old copy of a member's disk is recognised when it comes back: the boot epoch
 * last seen, and for each group the highest log index that the member had acknowledged and that was committed. Kept in the node's records,
 * written along with other things, unsynced and at most about once a second: losing the last of it only makes it forget.
 */
import type { GroupId, NodeId } from '../raft/types.ts';
import type { NodeRecords } from '../storage/types.ts';

export interface PeerRecord {
  readonly bootEpoch: number;
  /** By group: min(acknowledged, committed), the most that was ever seen. */
  readonly indexes: Readonly<Record<string, number>>;
}

const RECORD = 'peers';
const WRITE_EVERY_MS = 1000;

interface Entry {
  bootEpoch: number;
  readonly indexes: Map<GroupId, number>;
}

export class PeerMemory {
  readonly #records: NodeRecords;
  readonly #peers = new Map<NodeId, Entry>();
  #changed = false;
  #stagedMs = -Infinity;

  constructor(records: NodeRecords) {
    this.#records = records;
    const stored = records.get(RECORD);
    if (typeof stored !== 'object' || stored === null) return;
    for (const [id, value] of Object.entries(stored) as [string, unknown][]) {
      if (typeof value !== 'object' || value === null) continue;
      const { bootEpoch, indexes }: { bootEpoch?: unknown; indexes?: unknown } = value;
      if (typeof bootEpoch !== 'number' || typeof indexes !== 'object' || indexes === null) continue;
      const entry: Entry = { bootEpoch, indexes: new Map() };
      for (const [group, index] of Object.entries(indexes) as [string, unknown][]) {
        if (typeof index === 'number') entry.indexes.set(Number(group), index);
      }
      this.#peers.set(id, entry);
    }
  }

  get(id: NodeId): PeerRecord | undefined {
    const entry = this.#peers.get(id);
    if (entry === undefined) return undefined;
    return { bootEpoch: entry.bootEpoch, indexes: Object.fromEntries(entry.indexes) };
  }

  /** A member was admitted with this boot epoch. */
  noteEpoch(id: NodeId, bootEpoch: number): void {
    const entry = this.#entry(id);
    if (bootEpoch <= entry.bootEpoch) return;
    entry.bootEpoch = bootEpoch;
    this.#changed = true;
  }

  /**
   * A member's log is known to match up to `index`, and that is committed: min(match, commit). It can never go back while the member keeps its disk.
   */
  noteIndex(id: NodeId, group: GroupId, index: number): void {
    const { indexes } = this.#entry(id);
    if (index <= (indexes.get(group) ?? 0)) return;
    indexes.set(group, index);
    this.#changed = true;
  }

  /** The member is gone for good. */
  forget(id: NodeId): void {
    if (this.#peers.delete(id)) this.#changed = true;
  }

  /**
   * Stages what changed for the store's next commit, synced or not; does nothing within a second of the last time. True when
   * something was staged. `nowMs`: any clock that does not go back.
   */
  stage(nowMs: number): boolean {
    if (!this.#changed || nowMs - this.#stagedMs < WRITE_EVERY_MS) return false;
    this.#changed = false;
    this.#stagedMs = nowMs;
    const record: Record<string, PeerRecord> = {};
    for (const [id, { bootEpoch, indexes }] of this.#peers) {
      record[id] = { bootEpoch, indexes: Object.fromEntries(indexes) };
    }
    this.#records.set(RECORD, record);
    return true;
  }

  #entry(id: NodeId): Entry {
    let entry = this.#peers.get(id);
    if (entry === undefined) {
      entry = { bootEpoch: 0, indexes: new Map() };
      this.#peers.set(id, entry);
    }
    return entry;
  }
}
