/**
 * Watches of one node, served from its applied state. Nothing is queued for a watcher: each has a position, and what comes next is read from the
 * history when it is asked for. So a slow one costs no memory, falls behind, and is told so (ERR_COMPACTED) when what it has not seen is not kept any more.
 *
 * Watchers that have seen everything cost nothing per revision either: a new one is matched against the groups (watchers of the same
 * keys, with the same options), and only those it concerns are woken. They share the batch, object for object, so that whoever
 * writes it out can do that once.
 */
import { KvorumError } from '../errors.ts';
import { prefixEnd } from '../kv/keys.ts';
import type { ByteKey, Change, KeyRange } from '../kv/types.ts';
import type { Machine } from '../machine/machine.ts';
import { checkCount, invalid, type Calls } from './calls.ts';
import type { Watch, WatchBatch, WatchEvent, WatchOptions } from './coordination.ts';

/** Revisions read last are kept: many ask for the same at about the same time. */
const RECENT_REVISIONS = 1024;
const RECENT_BYTES = 16 * 1024 * 1024;
/** Revisions looked through in one `poll`; then it says how far it has come. */
const MAX_SCAN = 1000;
const MAX_WATCHES = 100_000;

export interface WatchHubOptions {
  readonly calls: Calls;
  /** True while the state is being replaced: nothing can be read. */
  readonly loading: () => boolean;
}

export class WatchHub {
  readonly #options: WatchHubOptions;
  readonly #groups = new Map<string, Group>();
  /** Groups of one key, by key; and those of a range. */
  readonly #byKey = new Map<ByteKey, Set<Group>>();
  readonly #ranges = new Set<Group>();
  /** Watchers that wait for a revision that this node has not applied. */
  readonly #ahead = new Set<HubWatch>();
  readonly #recent = new Map<number, Recent>();
  #recentBytes = 0;
  /** Everything up to here has been matched. */
  #head: number;
  #count = 0;
  #closed = false;

  constructor(options: WatchHubOptions) {
    this.#options = options;
    this.#head = options.calls.machine.revision;
  }

  get count(): number {
    return this.#count;
  }

  get head(): number {
    return this.#head;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get machine(): Machine {
    return this.#options.calls.machine;
  }

  get loading(): boolean {
    return this.#options.loading();
  }

  async open(options: WatchOptions): Promise<Watch> {
    const range = this.#range(options);
    const { prev = false, filter, from, signal } = options;
    if (filter !== undefined && filter !== 'put' && filter !== 'delete') {
      throw invalid(`filter must be put or delete, not ${String(filter)}`);
    }
    if (from !== undefined) checkCount('from', from, 1);
    if (from === undefined) {
      const timeout = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
      await this.#options.calls.confirm(signal === undefined ? timeout : { ...timeout, signal });
    }
    signal?.throwIfAborted();
    if (this.#closed) throw closed();
    if (this.#count >= MAX_WATCHES) {
      throw new KvorumError('ERR_OVERLOADED', `${MAX_WATCHES} watches are open on this node`);
    }
    const { revision, kv } = this.machine;
    const position = from ?? revision + 1;
    if (position <= kv.compactedRevision) throw compacted(position, kv.compactedRevision);
    this.catchUp();
    const watch = new HubWatch(this, this.#group(range, prev, filter ?? null), position, signal);
    this.#count++;
    return watch;
  }

  #range({ key, prefix, start, end }: WatchOptions): KeyRange {
    const { calls } = this.#options;
    const given = [key !== undefined, prefix !== undefined, start !== undefined || end !== undefined];
    if (given.filter(Boolean).length > 1) throw invalid('key, prefix, and start with end exclude each other');
    if (key !== undefined) {
      const only = calls.key(key);
      return { start: only, end: `${only}\0` };
    }
    if (prefix !== undefined) {
      const bound = calls.bound(prefix);
      return { start: bound, end: prefixEnd(bound) };
    }
    return {
      start: start === undefined ? '' : calls.bound(start),
      end: end === undefined || end === null ? null : calls.bound(end),
    };
  }

  #group(range: KeyRange, prev: boolean, filter: 'put' | 'delete' | null): Group {
    const id = JSON.stringify([range.start, range.end, prev, filter]);
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = new Group(id, range, prev, filter);
      this.#groups.set(id, group);
      const key = group.onlyKey;
      if (key === null) this.#ranges.add(group);
      else {
        const same = this.#byKey.get(key);
        if (same === undefined) this.#byKey.set(key, new Set([group]));
        else same.add(group);
      }
    }
    group.members++;
    return group;
  }

  /** A watcher of the group is closed. */
  left(watch: HubWatch, group: Group): void {
    this.#count--;
    this.#ahead.delete(watch);
    group.synced.delete(watch);
    if (--group.members > 0) return;
    this.#groups.delete(group.id);
    this.#ranges.delete(group);
    const key = group.onlyKey;
    if (key === null) return;
    const same = this.#byKey.get(key);
    same?.delete(group);
    if (same?.size === 0) this.#byKey.delete(key);
  }

  waitsFor(watch: HubWatch): void {
    this.#ahead.add(watch);
  }

  /** Entries were applied: whom what is new concerns is woken. */
  catchUp(): void {
    if (this.#options.loading()) return;
    const { revision } = this.machine;
    if (revision <= this.#head) return;
    const first = this.#head + 1;
    this.#head = revision;
    if (this.#count === 0) return;
    // Who is woken may read on at once, and must not be told again of what it has read: so first all is matched, then all are woken.
    const woken: HubWatch[] = [];
    for (const watch of this.#ahead) {
      if (watch.position > revision) continue;
      this.#ahead.delete(watch);
      woken.push(watch);
    }
    this.#matchFrom(first, woken);
    for (const watch of woken) watch.wake();
  }

  #matchFrom(first: number, woken: HubWatch[]): void {
    let synced = false;
    for (const group of this.#groups.values()) synced ||= group.synced.size > 0;
    if (synced && first <= this.machine.kv.compactedRevision) {
      // What was applied at once has a compaction at its end: what it took with it cannot be matched, so each watcher finds out by itself.
      for (const group of this.#groups.values()) group.behind(first, woken);
      return;
    }
    for (let at = first; synced && at <= this.#head; at++) this.#match(at, woken);
  }

  #match(revision: number, woken: HubWatch[]): void {
    for (const { entry } of this.changes(revision)) {
      const { key } = entry;
      for (const group of this.#byKey.get(key) ?? []) group.behind(revision, woken);
      for (const group of this.#ranges) if (group.covers(key)) group.behind(revision, woken);
    }
  }

  changes(revision: number): readonly Change[] {
    return this.#read(revision).changes;
  }

  /** What the group is told of a revision: the same object for all of it. Throws ERR_COMPACTED. */
  batchAt(revision: number, group: Group): WatchBatch {
    const { changes, batches } = this.#read(revision);
    const known = batches.get(group);
    if (known !== undefined) return known;
    const batch: WatchBatch = { revision, events: group.eventsOf(changes, this.machine) };
    if (batch.events.length > 0) batches.set(group, batch);
    return batch;
  }

  #read(revision: number): Recent {
    const known = this.#recent.get(revision);
    if (known !== undefined) return known;
    const changes = this.machine.kv.changes(revision);
    const bytes = changes.reduce((sum, { entry }) => sum + entry.key.length + entry.value.length, 0);
    const recent: Recent = { changes, bytes, batches: new Map() };
    this.#recent.set(revision, recent);
    this.#recentBytes += bytes;
    for (const [oldest, { bytes: freed }] of this.#recent) {
      if (this.#recent.size <= RECENT_REVISIONS && this.#recentBytes <= RECENT_BYTES) break;
      this.#recent.delete(oldest);
      this.#recentBytes -= freed;
    }
    return recent;
  }

  /** A snapshot has taken the place of the state: everybody reads on in the history that came with it. */
  stateReplaced(): void {
    const woken: HubWatch[] = [];
    for (const group of this.#groups.values()) group.behind(this.#head + 1, woken);
    this.catchUp();
    for (const watch of [...woken, ...this.#ahead]) watch.wake();
  }

  close(): void {
    this.#closed = true;
    const waiting = [...this.#groups.values()].flatMap(({ synced }) => [...synced]);
    for (const watch of [...waiting, ...this.#ahead]) watch.wake();
  }
}

interface Recent {
  readonly changes: readonly Change[];
  readonly bytes: number;
  /** What groups were told of it. */
  readonly batches: Map<Group, WatchBatch>;
}

/** Watchers of the same keys with the same options. */
class Group {
  readonly id: string;
  readonly range: KeyRange;
  readonly prev: boolean;
  readonly filter: 'put' | 'delete' | null;
  readonly onlyKey: ByteKey | null;
  /** Those who have seen everything up to the head. */
  readonly synced = new Set<HubWatch>();
  members = 0;

  constructor(id: string, range: KeyRange, prev: boolean, filter: 'put' | 'delete' | null) {
    this.id = id;
    this.range = range;
    this.prev = prev;
    this.filter = filter;
    this.onlyKey = range.end === `${range.start}\0` ? range.start : null;
  }

  covers(key: ByteKey): boolean {
    return key >= this.range.start && (this.range.end === null || key < this.range.end);
  }

  /** There is something for the synced ones from `revision` on. */
  behind(revision: number, woken: HubWatch[]): void {
    for (const watch of this.synced) {
      watch.fallBehind(revision);
      woken.push(watch);
    }
    this.synced.clear();
  }

  eventsOf(changes: readonly Change[], machine: Machine): readonly WatchEvent[] {
    const events: WatchEvent[] = [];
    for (const change of changes) {
      const { type, entry } = change;
      if (!this.covers(entry.key) || (this.filter !== null && type !== this.filter)) continue;
      events.push(this.prev ? { type, entry, prev: machine.kv.prevOf(change) } : { type, entry });
    }
    return events;
  }
}

class HubWatch implements Watch {
  readonly #hub: WatchHub;
  readonly #group: Group;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.close();
  /** Null: seen everything, whatever the head is. */
  #position: number | null;
  #callback: (() => void) | null = null;
  #closed = false;

  constructor(hub: WatchHub, group: Group, position: number, signal: AbortSignal | undefined) {
    this.#hub = hub;
    this.#group = group;
    this.#position = position;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  get position(): number {
    return this.#position ?? this.#hub.head + 1;
  }

  poll(): WatchBatch | null {
    if (this.#closed) return null;
    try {
      return this.#poll();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #poll(): WatchBatch | null {
    const hub = this.#hub;
    if (hub.closed) throw closed();
    if (this.#position === null || hub.loading) {
      if (this.#position !== null) hub.waitsFor(this);
      return null;
    }
    let position = this.#position;
    for (let scanned = 0; position <= hub.head; scanned++) {
      if (scanned === MAX_SCAN) {
        this.#position = position;
        return { revision: position - 1, events: [] };
      }
      const batch = hub.batchAt(position, this.#group);
      position++;
      if (batch.events.length === 0) continue;
      this.#position = position;
      return batch;
    }
    this.#position = position;
    this.#rest();
    return null;
  }

  /** There is nothing more: from here on it is woken. */
  #rest(): void {
    if (this.#position === this.#hub.head + 1) {
      this.#position = null;
      this.#group.synced.add(this);
    } else {
      this.#hub.waitsFor(this);
    }
  }

  /** By its group, which forgets that it was synced. */
  fallBehind(revision: number): void {
    this.#position = revision;
  }

  wake(): void {
    const callback = this.#callback;
    this.#callback = null;
    callback?.();
  }

  changed(callback: () => void): void {
    this.#callback = callback;
    if (this.#closed || this.#hub.closed) return this.wake();
    if (this.#position === null) return;
    if (this.#position <= this.#hub.head && !this.#hub.loading) this.wake();
    else this.#rest();
  }

  async next(): Promise<IteratorResult<WatchBatch>> {
    while (!this.#closed) {
      const batch = this.poll();
      if (batch !== null) return { done: false, value: batch };
      if (this.#closed) break;
      await new Promise<void>((resolve) => this.changed(resolve));
    }
    return { done: true, value: undefined };
  }

  return(): Promise<IteratorResult<WatchBatch>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Whoever goes on from here has seen what was there until now, and nothing of what comes.
    this.#position ??= this.#hub.head + 1;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#hub.left(this, this.#group);
    this.wake();
  }
}

function closed(): KvorumError {
  return new KvorumError('ERR_CLOSED', 'the node is closed');
}

function compacted(revision: number, compactRevision: number): KvorumError {
  return new KvorumError(
    'ERR_COMPACTED',
    `What changed at revision ${revision} is not kept any more; begin after ${compactRevision}`,
    { details: { compactRevision } },
  );
}
