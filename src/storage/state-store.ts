/**
 * The applied state of one group: an overlay in memory (applied, not yet flushed) over the generation in use on disk.
 *
 * A flush writes whole units, oldest first, with the position of the last one in the same batch: a restart finds the state of exactly one position,
 * and goes on behind it. Values that a later unit of the same flush overwrites are not written at all.
 */
import { invariant } from '../errors.ts';
import type { GroupId, SnapshotMeta } from '../raft/types.ts';
import { byteString } from './bytes.ts';
import { firstOf } from './engine.ts';
import type { Engine } from './engine.ts';
import { KIND, STATE_PREFIX_BYTES, groupEnd, groupKey, keyGeneration, stateKey, stateRange } from './keys.ts';
import type { GroupRecords } from './log-store.ts';
import { corrupt, decodeState, decodeValue, encodeNumbers, encodeState, encodeValue } from './record.ts';
import type { Reclaimer } from './reclaimer.ts';
import { Receiver } from './snapshot-receiver.ts';
import { decodePosition, openStateSnapshot } from './state-snapshot.ts';
import type { AppliedPosition, SnapshotId, SnapshotReceiver, StateRecord, StateSnapshot, StateStore } from './types.ts';
import type { Participant, WriteQueue } from './write-queue.ts';

/** What an operation and a unit cost in memory besides their bytes, roughly; counted in `overlayBytes`. */
const OVERHEAD_BYTES = 64;

/** Records fetched at once by a scan. */
const SCAN_RECORDS = 10_000;

interface Operation {
  readonly key: Uint8Array;
  readonly mapKey: string;
  /** null: a deletion. Until it is wanted, what makes it. */
  value: Uint8Array | null | (() => Uint8Array);
  /** Nothing is on the disk, or on its way there, under this key but what this brings. */
  readonly fresh: boolean;
  /** It was overwritten before it was staged, so it never will be. */
  skipped: boolean;
  /** Of a deletion: what it deletes, if that was fresh. */
  readonly annuls: Operation | null;
  /** Number of the unit. */
  readonly unit: number;
  /** Number of the unit that overwrites this; Infinity while none does. */
  overwrittenBy: number;
}

interface Unit {
  readonly number: number;
  readonly operations: Operation[];
  readonly position: AppliedPosition;
  readonly bytes: number;
  /** Number of the batch that it was staged for; 0 while it was not. */
  batch: number;
}

export class GroupState implements StateStore, Participant {
  readonly #engine: Engine;
  readonly #queue: WriteQueue;
  readonly #reclaimer: Reclaimer;
  readonly #group: GroupId;
  #generation = 1;
  /** Never used before on this disk. */
  #nextGeneration = 2;
  #flushed: AppliedPosition = { index: 0, term: 0 };
  #sealed: AppliedPosition = { index: 0, term: 0 };
  /** The latest unflushed operation on each key. */
  readonly #overlay = new Map<string, Operation>();
  #units: Unit[] = [];
  /** Units at the front of `#units` that are staged or in flight. */
  #stagedUnits = 0;
  #open: Operation[] = [];
  #openBytes = 0;
  #openUnit = 1;
  #overlayBytes = 0;
  #joined = false;
  #receiver: Receiver | null = null;
  /** Found at open: a snapshot whose reception was interrupted. */
  #interrupted: { readonly id: SnapshotId; readonly generation: number } | null = null;
  /** Generations to delete once the batch of that number, which leaves them, is written. */
  #dead: { readonly batch: number; readonly generation: number }[] = [];

  constructor(engine: Engine, queue: WriteQueue, reclaimer: Reclaimer, group: GroupId) {
    this.#engine = engine;
    this.#queue = queue;
    this.#reclaimer = reclaimer;
    this.#group = group;
  }

  get flushed(): AppliedPosition {
    return this.#flushed;
  }

  get overlayBytes(): number {
    return this.#overlayBytes;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (this.#overlay.size > 0) {
      const latest = this.#overlay.get(byteString(key));
      if (latest !== undefined) return valueOf(latest) ?? undefined;
    }
    const stored = this.#engine.get(stateKey(this.#group, this.#generation, key));
    return stored === undefined ? undefined : decodeState(key, stored);
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#write(key, value, value.length, false);
  }

  putLater(key: Uint8Array, bytes: number, make: () => Uint8Array, fresh: boolean): void {
    this.#write(key, make, bytes, fresh);
  }

  delete(key: Uint8Array): void {
    this.#write(key, null, 0, false);
  }

  seal(position: AppliedPosition): void {
    invariant(
      position.index >= this.#sealed.index,
      `unit of position ${position.index} after one of position ${this.#sealed.index}`,
    );
    this.#sealed = position;
    const bytes = this.#openBytes + OVERHEAD_BYTES;
    this.#overlayBytes += OVERHEAD_BYTES;
    this.#units.push({ number: this.#openUnit++, operations: this.#open, position, bytes, batch: 0 });
    this.#open = [];
    this.#openBytes = 0;
  }

  stageFlush(maxBytes: number): number {
    const from = this.#stagedUnits;
    let to = from;
    let bytes = 0;
    for (let unit = this.#units[to]; unit !== undefined; unit = this.#units[to]) {
      if (to > from && bytes + unit.bytes > maxBytes) break;
      bytes += unit.bytes;
      to++;
    }
    const last = this.#units[to - 1];
    if (to === from || last === undefined) return 0;
    for (let at = from; at < to; at++) {
      const unit = this.#units[at] as Unit;
      for (const operation of unit.operations) {
        if (operation.overwrittenBy <= last.number) {
          operation.skipped = true;
          continue;
        }
        // Written neither: a restart from any position finds what it would have found.
        if (operation.annuls?.skipped === true) continue;
        const { key } = operation;
        const value = valueOf(operation);
        const full = stateKey(this.#group, this.#generation, key);
        if (value === null) this.#queue.delete(full);
        else this.#queue.put(full, encodeState(key, value));
      }
    }
    this.#stagePosition(last.position);
    for (let at = from; at < to; at++) (this.#units[at] as Unit).batch = this.#queue.stagingNumber;
    this.#stagedUnits = to;
    this.#join();
    return bytes;
  }

  async scan(visit: (record: StateRecord) => void, from?: Uint8Array, to?: Uint8Array): Promise<void> {
    invariant(this.#overlay.size === 0, 'scan of a state with unflushed units');
    const iterator = this.#engine.iterate(stateRange(this.#group, this.#generation, from, to));
    try {
      let fetched = await iterator.next(SCAN_RECORDS);
      while (fetched.length > 0) {
        // The database reads on while these are visited.
        const next = iterator.next(SCAN_RECORDS);
        try {
          for (const [full, stored] of fetched) {
            const key = full.subarray(STATE_PREFIX_BYTES);
            visit({ key, value: decodeState(key, stored) });
          }
        } catch (error) {
          await next;
          throw error;
        }
        fetched = await next;
      }
    } finally {
      await iterator.close();
    }
  }

  openSnapshot(): StateSnapshot {
    return openStateSnapshot(this.#engine, this.#group);
  }

  async receiveSnapshot(id: SnapshotId): Promise<SnapshotReceiver> {
    const earlier = this.#receiver ?? this.#interrupted;
    this.#interrupted = null;
    // What an earlier receiver has under way has to land before the last key can be looked up.
    this.#receiver?.retire();
    let generation: number;
    if (earlier !== null && sameSnapshot(earlier.id, id)) {
      generation = earlier.generation;
    } else {
      if (earlier !== null) this.#bury(earlier.generation);
      generation = this.#nextGeneration++;
      const record = encodeValue([generation, id.source, id.index, id.term]);
      this.#queue.put(groupKey(KIND.receiving, this.#group), record);
    }
    const receiver = new Receiver(this.#queue, this.#group, generation, id, {
      install: (meta) => this.#install(generation, meta),
      discard: () => this.#discard(generation),
    });
    this.#receiver = receiver;
    await new Promise<void>((resolve, reject) => {
      this.#queue.commit(false, (error) => (error === null ? resolve() : reject(error)));
    });
    const last = await firstOf(this.#engine, {
      ...stateRange(this.#group, generation),
      reverse: true,
      keysOnly: true,
    });
    receiver.resumeAfter(last === undefined ? null : last[0].slice(STATE_PREFIX_BYTES));
    return receiver;
  }

  beforeWrite(): void {
    this.#joined = false;
  }

  written(number: number): void {
    let count = 0;
    for (let unit = this.#units[count]; unit !== undefined; unit = this.#units[count]) {
      if (unit.batch === 0 || unit.batch > number) break;
      for (const operation of unit.operations) {
        if (this.#overlay.get(operation.mapKey) === operation) this.#overlay.delete(operation.mapKey);
      }
      this.#overlayBytes -= unit.bytes;
      this.#flushed = unit.position;
      count++;
    }
    if (count > 0) {
      this.#units = count === this.#units.length ? [] : this.#units.slice(count);
      this.#stagedUnits -= count;
    }
    while ((this.#dead[0]?.batch ?? Infinity) <= number) {
      const dead = this.#dead.shift();
      if (dead !== undefined) this.#reclaimer.addGeneration(this.#group, dead.generation);
    }
  }

  /** Reads what is on disk for this group; generations that nobody refers to are left to the reclaimer. */
  async load(records: GroupRecords): Promise<void> {
    const group = this.#group;
    const meta = records.get(KIND.stateMeta);
    if (meta !== undefined) {
      const position = decodePosition(meta, group);
      this.#generation = position.generation;
      this.#flushed = { index: position.index, term: position.term };
      this.#sealed = this.#flushed;
    }
    const receiving = records.get(KIND.receiving);
    if (receiving !== undefined) {
      const what = `the record of the snapshot that group ${group} receives`;
      const [generation, source, index, term] = decodeValue(receiving, what) as [number, string, number, number];
      this.#interrupted = { id: { source, index, term }, generation };
    }
    let newest = Math.max(this.#generation, this.#interrupted?.generation ?? 0);
    const to = groupEnd(KIND.state, group);
    let from = stateKey(group, 0);
    for (;;) {
      const found = await firstOf(this.#engine, { from, to, keysOnly: true });
      if (found === undefined) break;
      const generation = keyGeneration(found[0]);
      newest = Math.max(newest, generation);
      if (generation === this.#generation) {
        if (meta === undefined)
          throw corrupt(`group ${group} has state, but the record of its applied position is missing`);
      } else if (generation !== this.#interrupted?.generation) {
        this.#reclaimer.addGeneration(group, generation);
      }
      from = stateKey(group, generation + 1);
    }
    this.#nextGeneration = newest + 1;
  }

  #write(key: Uint8Array, value: Operation['value'], length: number, isNew: boolean): void {
    const mapKey = byteString(key);
    const before = this.#overlay.get(mapKey);
    if (before !== undefined) before.overwrittenBy = this.#openUnit;
    const operation: Operation = {
      key,
      mapKey,
      value,
      // A deletion that is on its way may be of something on the disk.
      fresh: isNew && before === undefined,
      skipped: false,
      annuls: value === null && before?.fresh === true ? before : null,
      unit: this.#openUnit,
      overwrittenBy: Infinity,
    };
    this.#overlay.set(mapKey, operation);
    this.#open.push(operation);
    const bytes = key.length + length + OVERHEAD_BYTES;
    this.#openBytes += bytes;
    this.#overlayBytes += bytes;
  }

  #stagePosition(position: AppliedPosition): void {
    const record = encodeNumbers(this.#generation, position.index, position.term);
    this.#queue.put(groupKey(KIND.stateMeta, this.#group), record);
  }

  #install(generation: number, meta: SnapshotMeta): void {
    const old = this.#generation;
    this.#receiver = null;
    this.#generation = generation;
    this.#flushed = { index: meta.index, term: meta.term };
    this.#sealed = this.#flushed;
    this.#overlay.clear();
    this.#units = [];
    this.#stagedUnits = 0;
    this.#open = [];
    this.#openBytes = 0;
    this.#overlayBytes = 0;
    this.#stagePosition(this.#flushed);
    this.#queue.delete(groupKey(KIND.receiving, this.#group));
    this.#bury(old);
  }

  #discard(generation: number): void {
    this.#receiver = null;
    this.#queue.delete(groupKey(KIND.receiving, this.#group));
    this.#bury(generation);
    // A failure is everybody's: the store is poisoned, which the next commit reports.
    this.#queue.commit(false, () => undefined);
  }

  /** Deletes a generation that is not in use any more. What was staged for it lands first: deletions wait for this batch. */
  #bury(generation: number): void {
    this.#dead.push({ batch: this.#queue.stagingNumber, generation });
    this.#join();
  }

  #join(): void {
    if (this.#joined) return;
    this.#joined = true;
    this.#queue.join(this);
  }
}

function valueOf(operation: Operation): Uint8Array | null {
  if (typeof operation.value === 'function') operation.value = operation.value();
  return operation.value;
}

function sameSnapshot(a: SnapshotId, b: SnapshotId): boolean {
  return a.source === b.source && a.index === b.index && a.term === b.term;
}
