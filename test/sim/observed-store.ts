/**
 * A store that is looked at: keeps, beside the real one, an image of the log as it would be found after a power cut at this moment,
 * made of what was staged and of the commits that were called back. The invariants hold promises against it; a restart holds the real store against it.
 */
import type { Entry, GroupId, HardState, IndexedConfiguration, LogReader } from '../../src/raft/types.ts';
import type { GroupStore, LogStore, SnapshotReceiver, StateStore, Store } from '../../src/storage/types.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import { DiskImage } from './disk.ts';
import type { Sightings } from './sightings.ts';

type LogOperation = (image: DiskImage) => void;

interface Commit {
  readonly sync: boolean;
  readonly operations: readonly LogOperation[];
}

export class LogShadow {
  /** What a power cut leaves at least. */
  durable = new DiskImage();
  #staging: LogOperation[] = [];
  /** Written and not synced, or still on their way, oldest first. */
  #open: Commit[] = [];
  /** What the process before had staged, written or not. */
  #left: LogOperation[] = [];

  /** Another process opens the store. */
  reopened(): void {
    for (const { operations } of this.#open) this.#left.push(...operations);
    this.#left.push(...this.#staging);
    this.#open = [];
    this.#staging = [];
  }

  /** A process goes on from what it found: what was left by those before it is decided. */
  startFrom(found: DiskImage): void {
    this.durable = found;
    this.#left = [];
  }

  stage(operation: LogOperation): void {
    this.#staging.push(operation);
  }

  commit(sync: boolean): Commit {
    const commit = { sync, operations: this.#staging };
    this.#staging = [];
    this.#open.push(commit);
    return commit;
  }

  /** It was called back without an error: with a sync, all up to it is there for good. */
  landed(commit: Commit): void {
    if (!commit.sync) return;
    const count = this.#open.indexOf(commit) + 1;
    for (const { operations } of this.#open.splice(0, count)) for (const run of operations) run(this.durable);
  }

  /**
   * What a restart found must be what was durable, and a beginning of what was on its way. Throws when it is not; says how many operations of
   * that were kept and lost.
   */
  foundAgain(found: LogReader, hardState: HardState): { readonly kept: number; readonly lost: number } {
    const image = this.durable;
    const seen = [describe(image)];
    let at = 0;
    for (; !same(image, found, hardState); at++) {
      const run = this.#left[at];
      if (run === undefined) {
        const what = describe({ hardState, firstIndex: () => found.firstIndex(), lastIndex: () => found.lastIndex() });
        throw new Error(`the store is found as ${what}, which it never was since its last sync: ${seen.join('; ')}`);
      }
      run(image);
      seen.push(describe(image));
    }
    return { kept: at, lost: this.#left.length - at };
  }
}

/** The image of a log as a store holds it when it is opened. */
export function imageOf(
  log: LogReader,
  hardState: HardState,
  configurations: readonly IndexedConfiguration[],
): DiskImage {
  const image = new DiskImage();
  const first = log.firstIndex();
  const last = log.lastIndex();
  image.baseIndex = first - 1;
  image.baseTerm = log.term(first - 1) ?? 0;
  image.hardState = hardState;
  image.configurations = configurations;
  if (last >= first) image.append(log.entries(first, last + 1, Infinity));
  return image;
}

function same(image: DiskImage, found: LogReader, hardState: HardState): boolean {
  const first = found.firstIndex();
  const last = found.lastIndex();
  if (image.firstIndex() !== first || image.lastIndex() !== last) return false;
  if (image.hardState.term !== hardState.term || image.hardState.vote !== hardState.vote) return false;
  for (let index = first - 1; index <= last; index++) if (image.term(index) !== found.term(index)) return false;
  return true;
}

function describe(image: { readonly hardState: HardState; firstIndex(): number; lastIndex(): number }): string {
  const { term, vote } = image.hardState;
  return `[${image.firstIndex()}, ${image.lastIndex()}] term ${term} vote ${vote ?? '-'}`;
}

/** The store with a shadow beside the log of its group. */
export function observeStore(store: Store, shadow: LogShadow, sightings: Sightings, simNode: SimNode): Store {
  shadow.reopened();
  const groups = new Map<GroupId, GroupStore>();
  const group = (id: GroupId): GroupStore => {
    const known = groups.get(id);
    if (known !== undefined) return known;
    const { log, state } = store.group(id);
    const observed = {
      log: observeLog(log, shadow, sightings, simNode),
      state: observeState(state, sightings, simNode),
    };
    groups.set(id, observed);
    return observed;
  };
  return {
    group,
    groups: () => store.groups(),
    node: {
      get: (name) => store.node.get(name),
      set: (name, value) => {
        store.node.set(name, value);
        if (name === 'cluster/proposal') sightings.moment('binding', simNode);
        if (name === 'cluster/map') sightings.moment('adopting', simNode);
      },
    },
    get poisoned() {
      return store.poisoned;
    },
    get busy() {
      return store.busy;
    },
    commit(sync, callback) {
      const commit = shadow.commit(sync);
      store.commit(sync, (error) => {
        if (error === null) shadow.landed(commit);
        callback(error);
      });
    },
    close: () => store.close(),
    stats: () => store.stats(),
  };
}

function observeState(state: StateStore, sightings: Sightings, simNode: SimNode): StateStore {
  const { maxOverlayBytes } = sightings;
  return {
    get: (key) => state.get(key),
    put: (key, value) => state.put(key, value),
    delete: (key) => state.delete(key),
    get flushed() {
      return state.flushed;
    },
    get overlayBytes() {
      return state.overlayBytes;
    },
    seal(position) {
      state.seal(position);
      if (state.overlayBytes > maxOverlayBytes) sightings.saw('overlay full');
      if (state.overlayBytes > 2 * maxOverlayBytes) sightings.saw('overlay twice full');
    },
    stageFlush(maxBytes) {
      const bytes = state.stageFlush(maxBytes);
      if (bytes > 0) sightings.moment('flushing', simNode);
      return bytes;
    },
    scan: (visit, from, to) => state.scan(visit, from, to),
    openSnapshot() {
      sightings.moment('snapshot-opened', simNode);
      return state.openSnapshot();
    },
    async receiveSnapshot(id) {
      sightings.receiving(simNode, 'begun');
      sightings.moment('snapshot-begun', simNode);
      const receiver = await state.receiveSnapshot(id);
      if (receiver.after !== null) sightings.saw('a snapshot is resumed');
      return observeReceiver(receiver, sightings, simNode);
    },
  };
}

function observeReceiver(receiver: SnapshotReceiver, sightings: Sightings, simNode: SimNode): SnapshotReceiver {
  return {
    id: receiver.id,
    get after() {
      return receiver.after;
    },
    async write(records) {
      if (receiver.after !== null) sightings.saw('a later chunk of a snapshot');
      await receiver.write(records);
      sightings.receiving(simNode, 'between chunks');
      sightings.moment('snapshot-chunk', simNode);
    },
    stageInstall(meta) {
      receiver.stageInstall(meta);
      sightings.receiving(simNode, 'switching');
      sightings.moment('snapshot-switching', simNode);
    },
    discard() {
      receiver.discard();
      sightings.saw('a snapshot is given up');
      sightings.receiving(simNode, null);
    },
  };
}

function observeLog(log: LogStore, shadow: LogShadow, sightings: Sightings, simNode: SimNode): LogStore {
  return {
    get hardState() {
      return log.hardState;
    },
    get configurations() {
      return log.configurations;
    },
    get bytes() {
      return log.bytes;
    },
    firstIndex: () => log.firstIndex(),
    lastIndex: () => log.lastIndex(),
    term: (index) => log.term(index),
    entries: (from, to, maxBytes) => log.entries(from, to, maxBytes),
    append(entries: readonly Entry[]) {
      log.append(entries);
      shadow.stage((image) => image.append(entries));
    },
    setHardState(hardState) {
      log.setHardState(hardState);
      shadow.stage((image) => {
        image.hardState = hardState;
      });
    },
    setConfigurations(configurations) {
      log.setConfigurations(configurations);
      shadow.stage((image) => {
        image.configurations = configurations;
      });
    },
    compact(index) {
      log.compact(index);
      sightings.moment('compacting', simNode);
      shadow.stage((image) => image.compact(index));
    },
    reset(index, term) {
      log.reset(index, term);
      shadow.stage((image) => image.reset({ index, term, configuration: EMPTY }));
    },
  };
}

const EMPTY = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
