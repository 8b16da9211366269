/** The store over any engine: one write queue, the node's records, and a log and a state for each group. */
import type { GroupId } from '../raft/types.ts';
import { decodeLink } from './chain.ts';
import type { ChainLink } from './chain.ts';
import { collect } from './engine.ts';
import type { Engine } from './engine.ts';
import { FIRST_BULK_KIND, KIND, keyGroup, kindKey } from './keys.ts';
import { GroupLog } from './log-store.ts';
import { StoredNodeRecords } from './node-records.ts';
import { corrupt } from './record.ts';
import { Reclaimer } from './reclaimer.ts';
import { GroupState } from './state-store.ts';
import type { GroupStore, NodeRecords, Store, StoreStats } from './types.ts';
import { WriteQueue } from './write-queue.ts';
import type { CommitCallback } from './write-queue.ts';

interface StoredGroup extends GroupStore {
  readonly log: GroupLog;
  readonly state: GroupState;
}

export class EngineStore implements Store {
  readonly node: NodeRecords;
  readonly #engine: Engine;
  readonly #queue: WriteQueue;
  readonly #reclaimer: Reclaimer;
  readonly #groups: Map<GroupId, StoredGroup>;
  readonly #found: readonly GroupId[];
  #closed: Promise<void> | null = null;

  /** Use `openStore`. */
  constructor(
    engine: Engine,
    queue: WriteQueue,
    reclaimer: Reclaimer,
    node: NodeRecords,
    groups: Map<GroupId, StoredGroup>,
  ) {
    this.#engine = engine;
    this.#queue = queue;
    this.#reclaimer = reclaimer;
    this.node = node;
    this.#groups = groups;
    this.#found = [...groups.keys()].sort((a, b) => a - b);
  }

  get poisoned(): Error | null {
    return this.#queue.poisoned;
  }

  get busy(): boolean {
    return this.#queue.busy;
  }

  /** What was compacted or replaced is still being deleted. */
  get reclaiming(): boolean {
    return !this.#reclaimer.idle;
  }

  group(id: GroupId): GroupStore {
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = makeGroup(this.#engine, this.#queue, this.#reclaimer, id);
      this.#groups.set(id, group);
    }
    return group;
  }

  groups(): readonly GroupId[] {
    return this.#found;
  }

  commit(sync: boolean, callback: CommitCallback): void {
    this.#queue.commit(sync, callback);
  }

  stats(): StoreStats {
    return this.#queue.stats();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#queue.close();
    await this.#reclaimer.close();
    await this.#engine.close();
  }
}

function makeGroup(engine: Engine, queue: WriteQueue, reclaimer: Reclaimer, id: GroupId): StoredGroup {
  return {
    log: new GroupLog(engine, queue, reclaimer, id),
    state: new GroupState(engine, queue, reclaimer, id),
  };
}

/**
 * Reads the small records, checks every group, and hands out the store. Closes the engine when that fails.
 * `seen`: the last batch that the scanner saw in the write-ahead files; what the engine recovered must end there.
 *
 * @throws KvorumError ERR_CORRUPT, ERR_DATA_VERSION
 */
export async function openStore(engine: Engine, seen: ChainLink | null = null): Promise<EngineStore> {
  try {
    return await load(engine, seen);
  } catch (error) {
    await engine.close();
    throw error;
  }
}

async function load(engine: Engine, seen: ChainLink | null): Promise<EngineStore> {
  let link: ChainLink | null = null;
  const nodeRecords: (readonly [Uint8Array, Uint8Array])[] = [];
  const byGroup = new Map<GroupId, Map<number, Uint8Array>>();
  for (const [key, value] of await collect(engine, { from: kindKey(0), to: kindKey(FIRST_BULK_KIND) })) {
    const kind = key[0];
    if (kind === undefined) throw corrupt('there is a record without a key');
    if (kind === KIND.chain) {
      link = decodeLink(value);
    } else if (kind === KIND.node) {
      nodeRecords.push([key, value]);
    } else {
      const group = keyGroup(key);
      const records = byGroup.get(group) ?? new Map<number, Uint8Array>();
      byGroup.set(group, records.set(kind, value));
    }
  }
  if (seen !== null && (link === null || link.number < seen.number)) {
    throw corrupt(
      `the write-ahead files held batches up to ${seen.number}, but only those up to ${link?.number ?? 0} were recovered`,
    );
  }

  const queue = new WriteQueue(engine, link);
  const reclaimer = new Reclaimer(engine, queue);
  queue.setBackground(reclaimer);
  const node = new StoredNodeRecords(queue);
  for (const [key, value] of nodeRecords) node.load(key, value);
  const groups = new Map<GroupId, StoredGroup>();
  for (const [id, records] of byGroup) {
    const group = makeGroup(engine, queue, reclaimer, id);
    await group.log.load(records);
    await group.state.load(records);
    checkPosition(id, group);
    groups.set(id, group);
  }
  queue.wake();
  return new EngineStore(engine, queue, reclaimer, node, groups);
}

/** State and log are written in one order (see write-queue.ts), so the state cannot have fallen out of the log's range. */
function checkPosition(id: GroupId, { log, state }: StoredGroup): void {
  const { index, term } = state.flushed;
  if (index < log.firstIndex() - 1) {
    throw corrupt(`the state of group ${id} is at ${index}, but its log begins only at ${log.firstIndex()}`);
  }
  if (index > log.lastIndex()) {
    throw corrupt(`the state of group ${id} is at ${index}, but its log ends at ${log.lastIndex()}`);
  }
  if (index > 0 && log.term(index) !== term) {
    throw corrupt(
      `the state of group ${id} was made from entry ${index} of term ${term}, its log has term ${log.term(index)}`,
    );
  }
}
