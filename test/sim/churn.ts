/**
 * Days of steady use in minutes: keyed writes, sessions, leases that are renewed and left, locks under names of their own, watches, deletions, a store that is filled to
 * its quota twice a day, nodes that restart. Nothing of it may grow with time: what is stored, what is remembered, what a node holds in memory.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { KvorumError } from '../../src/errors.ts';
import type { KvorumNode } from '../../src/node/types.ts';
import type { Replica } from '../../src/node/replica.ts';
import type { Services } from '../../src/node/services.ts';
import { TABLES } from '../../src/machine/tables.ts';
import { openMemoryStore } from '../../src/storage/memory-store.ts';
import type { Store } from '../../src/storage/types.ts';
import { Random } from '../../src/testing/random.ts';
import { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import { checkServices, checkState } from './state-invariants.ts';

const HOUR_MS = 3_600_000;
const QUOTA_BYTES = 400_000;
const KEEP_REVISIONS = 2000;
const LOG_KEEP_BYTES = 200_000;
const GROUP = 1;
/** Mean time between two things that are begun. */
const EVERY_MS = 4000;
const KEYS = 300;
const LOAD_KEYS = 0.45;
const LONGEST_TTL_MS = 120_000;
/** Keys to do something once are forgotten a few with each command, an hour after. */
const ONCE_MARGIN = 100;
const FLOOD_EVERY_HOURS = 12;
const RESTART_EVERY_MS = 2 * HOUR_MS;
const SAMPLE_EVERY_MS = HOUR_MS / 2;
/** What a heap may differ by from one sample to another without having grown. */
const HEAP_MARGIN_BYTES = 12 * 1024 * 1024;
const TABLE_NAMES: Readonly<Record<number, string>> = {
  0x68: 'history',
  0x6b: 'settings',
  0x6d: 'meta',
  ...Object.fromEntries(Object.entries(TABLES).map(([name, prefix]) => [prefix, name])),
};

export interface ChurnReport {
  readonly hours: number;
  readonly wallMs: number;
  readonly begun: number;
  readonly acknowledged: number;
  readonly failed: ReadonlyMap<string, number>;
  readonly restarts: number;
  /** Puts that were refused because the store was full, and how often it took puts again afterwards. */
  readonly quotaRefusals: number;
  readonly recoveries: number;
  readonly watched: number;
  readonly revision: number;
  readonly compactedRevision: number;
  /** The largest that was ever seen, of any node. */
  readonly most: Readonly<Record<string, number>>;
  /** When all is over and two hours have passed. */
  readonly left: Readonly<Record<string, number>>;
  readonly recordsByTable: Readonly<Record<string, number>>;
  /** After a collection of garbage: early, and late. */
  readonly heapBytes: readonly [early: number, late: number];
}

interface Parts {
  readonly replica: Replica;
  readonly services: Services;
}

export class Churn {
  readonly #cluster: SimCluster;
  readonly #dice: Random;
  readonly #parts = new Map<SimNode, Parts>();
  readonly #stores = new Map<SimNode, Store>();
  readonly #most = new Map<string, number>();
  readonly #failed = new Map<string, number>();
  /** When each keyed write was acknowledged, in the last hour and a bit. */
  #keyed: number[] = [];
  #mostKeyed = 0;
  #begun = 0;
  #open = 0;
  #acknowledged = 0;
  #restarts = 0;
  #quotaRefusals = 0;
  #recoveries = 0;
  #watched = 0;
  #names = 0;
  #stopped = false;
  #failure: Error | null = null;
  #session: { id: string; next: number } | null = null;
  readonly #heaps: number[] = [];

  constructor(seed: number) {
    this.#dice = new Random(seed + 0.125 * 2 ** 32);
    this.#cluster = new SimCluster({
      seed,
      // A coarse clock: what is looked at takes hours.
      timing: { tickMs: 250, heartbeatMs: 1000, electionTimeoutMs: 5000, crashHintMs: 50 },
      limits: { logKeepBytes: LOG_KEEP_BYTES },
      store: { keepRevisions: KEEP_REVISIONS, keepMs: HOUR_MS, quotaBytes: QUOTA_BYTES },
      platform: (node, platform) => ({
        ...platform,
        openStore: async (options) => {
          const store = await platform.openStore(options);
          this.#stores.set(node, store);
          return store;
        },
        joined: (parts) => void this.#parts.set(node, parts),
      }),
      ended: (node) => void this.#parts.delete(node),
    });
  }

  async run(hours: number, progress: (line: string) => void = () => {}): Promise<ChurnReport> {
    const began = performance.now();
    const cluster = this.#cluster;
    await cluster.start();
    this.#every(
      () => this.#exponential(EVERY_MS),
      () => this.#begin(),
    );
    this.#every(
      () => this.#exponential(RESTART_EVERY_MS),
      () => this.#restart(),
    );
    this.#every(
      () => FLOOD_EVERY_HOURS * HOUR_MS,
      () => void this.#guard(this.#flood()),
      HOUR_MS,
    );
    this.#every(
      () => SAMPLE_EVERY_MS,
      () => this.#sample(),
    );
    for (let hour = 1; hour <= hours; hour++) {
      await this.#advance(HOUR_MS);
      this.#heaps.push(heapBytes());
      progress(`hour ${hour}: ${this.#line()}`);
    }
    this.#stopped = true;
    await cluster.start();
    // What nobody renews any more ends, and an hour after the last keyed write its key may be forgotten.
    await this.#advance(2 * HOUR_MS);
    await this.#forgetKeys();
    this.#sample();
    const left = this.#figures(cluster.leader as SimNode);
    this.#checkEnd(left);
    const { machine } = (this.#parts.get(cluster.leader as SimNode) as Parts).replica;
    const { revision } = machine;
    const { compactedRevision } = machine.kv;
    const report: ChurnReport = {
      hours,
      wallMs: performance.now() - began,
      begun: this.#begun,
      acknowledged: this.#acknowledged,
      failed: this.#failed,
      restarts: this.#restarts,
      quotaRefusals: this.#quotaRefusals,
      recoveries: this.#recoveries,
      watched: this.#watched,
      revision,
      compactedRevision,
      most: Object.fromEntries(this.#most),
      left,
      recordsByTable: await this.#recordsByTable(cluster.leader as SimNode),
      heapBytes: this.#heapTrend(),
    };
    cluster.close();
    return report;
  }

  async #advance(ms: number): Promise<void> {
    const end = this.#cluster.now + ms;
    this.#cluster.time.schedule(ms, () => {});
    await this.#cluster.time.run(() => this.#failure !== null || this.#cluster.now >= end, ms + 1);
    if (this.#failure !== null) throw this.#failure;
  }

  #every(delayMs: () => number, task: () => void, firstMs = delayMs()): void {
    this.#cluster.time.schedule(firstMs, () => {
      if (this.#stopped) return;
      this.#every(delayMs, task);
      task();
    });
  }

  #exponential(meanMs: number): number {
    return -Math.log(1 - this.#dice.float()) * meanMs;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#cluster.time.schedule(ms, resolve));
  }

  async #guard(task: Promise<unknown>): Promise<void> {
    this.#open++;
    try {
      await task;
      this.#acknowledged++;
    } catch (error) {
      if (!KvorumError.is(error)) {
        this.#failure ??= error as Error;
        return;
      }
      this.#failed.set(error.code, (this.#failed.get(error.code) ?? 0) + 1);
      if (error.code === 'ERR_INTERNAL' || error.code === 'ERR_INVARIANT') this.#failure ??= error;
    } finally {
      this.#open--;
    }
  }

  #on<T>(action: (node: KvorumNode) => Promise<T>): Promise<T> {
    return this.#dice.pick(this.#cluster.nodes).call(action);
  }

  // What is done.

  #begin(): void {
    this.#begun++;
    const choice = this.#dice.float();
    if (choice < LOAD_KEYS) void this.#guard(this.#put());
    else if (choice < 0.55) void this.#guard(this.#delete());
    else if (choice < 0.67) void this.#guard(this.#lease());
    else if (choice < 0.82) void this.#guard(this.#lock());
    else if (choice < 0.94) void this.#guard(this.#increment());
    else if (choice < 0.97) void this.#guard(this.#watch());
    else void this.#guard(this.#meet());
  }

  #once(): { once: { key: string } } {
    const horizon = this.#cluster.now - 1.05 * HOUR_MS;
    while ((this.#keyed[0] ?? Infinity) < horizon) this.#keyed.shift();
    this.#keyed.push(this.#cluster.now);
    this.#mostKeyed = Math.max(this.#mostKeyed, this.#keyed.length);
    return { once: { key: `a key of its own, ${++this.#names}` } };
  }

  #put(): Promise<unknown> {
    const key = `data/${this.#dice.between(1, KEYS)}`;
    const value = 'x'.repeat(this.#dice.between(1, 400));
    const options = this.#once();
    return this.#on((node) => node.put(key, value, options));
  }

  #delete(): Promise<unknown> {
    const first = this.#dice.between(1, KEYS);
    if (this.#dice.chance(0.7)) return this.#on((node) => node.delete(`data/${first}`, this.#once()));
    return this.#on((node) => node.deleteRange({ start: `data/${first}`, end: `data/${first}~` }));
  }

  /** With keys on it: renewed for a while, then left or revoked. */
  async #lease(): Promise<void> {
    const ttlMs = this.#dice.pick([2000, 15_000, 60_000, LONGEST_TTL_MS]);
    const { id } = await this.#on((node) => node.leases.grant({ ttlMs, owner: { pid: ++this.#names } }));
    const name = `member/${this.#names}`;
    await this.#on((node) => node.put(name, 'here', { lease: id }));
    const renewals = this.#dice.between(0, 6);
    for (let i = 0; i < renewals; i++) {
      await this.#sleep(ttlMs / 3);
      await this.#on((node) => node.leases.renew(id));
    }
    if (this.#dice.chance(0.4)) await this.#on((node) => node.leases.revoke(id));
  }

  /** Of a name that is hardly used again, sometimes with a delay, sometimes with others in the queue. */
  async #lock(): Promise<void> {
    const name = this.#dice.chance(0.5) ? `job/${++this.#names}` : `busy/${this.#dice.between(1, 3)}`;
    const options = {
      ttlMs: this.#dice.pick([2000, 10_000]),
      waitMs: this.#dice.pick([0, 5000, 30_000]),
      delayMs: this.#dice.pick([0, 0, 5000]),
      ...(this.#dice.chance(0.3) ? this.#once() : {}),
    };
    const { token } = await this.#on((node) => node.locks.acquire(name, options));
    await this.#sleep(this.#dice.float() * 8000);
    if (this.#dice.chance(0.8)) await this.#on((node) => node.locks.release(name, { token }));
  }

  /** By a session that lives for hours, and is given up then. */
  async #increment(): Promise<void> {
    if (this.#session !== null && this.#dice.chance(0.01)) this.#session = null;
    if (this.#session === null) {
      const { id } = await this.#on((node) => node.leases.grant({ ttlMs: LONGEST_TTL_MS }));
      const session = { id, next: 1 };
      this.#session = session;
      void this.#guard(this.#keep(session));
    }
    const session = this.#session;
    const sequence = session.next++;
    const once = { session: session.id, sequence, lowestUnanswered: sequence };
    try {
      await this.#on((node) => node.counters.add(`count/${this.#dice.between(1, 5)}`, 1, { once }));
    } catch (error) {
      if (KvorumError.is(error, 'ERR_SESSION_EXPIRED') && this.#session === session) this.#session = null;
      throw error;
    }
  }

  async #keep(session: { readonly id: string }): Promise<void> {
    while (this.#session === session && !this.#stopped) {
      try {
        await this.#on((node) => node.leases.renew(session.id));
      } catch (error) {
        if (KvorumError.is(error, 'ERR_LEASE_NOT_FOUND')) return;
      }
      await this.#sleep(LONGEST_TTL_MS / 4);
    }
  }

  /** For a while, by somebody who is slow. */
  async #watch(): Promise<void> {
    const endAt = this.#cluster.now + this.#exponential(10 * 60_000);
    await this.#on(async (node) => {
      const watch = await node.watch({
        prefix: this.#dice.pick(['', 'data/', 'member/']),
        prev: this.#dice.chance(0.5),
      });
      const cancel = this.#cluster.time.schedule(Math.max(0, endAt - this.#cluster.now), () => watch.close());
      let last = 0;
      try {
        for await (const { revision, events } of watch) {
          if (revision <= last) throw new Error(`revision ${revision} after ${last}`);
          last = revision;
          this.#watched += events.length;
          await this.#sleep(this.#dice.float() * 2000);
        }
      } finally {
        cancel();
      }
    });
  }

  /** Elections, semaphores and barriers under ever new names. */
  async #meet(): Promise<void> {
    const name = `meeting/${++this.#names}`;
    const campaign = this.#on((node) => node.elections.campaign(name, { ttlMs: 5000, value: 'me' }));
    const permit = this.#on((node) => node.locks.acquire(`${name}/sem`, { ttlMs: 3000, permits: 3 }));
    const parties = [1, 2].map(() =>
      this.#on((node) => node.barriers.enter(`${name}/gate`, { parties: 2, waitMs: 5000 })),
    );
    await Promise.all([campaign, permit, ...parties].map((one) => this.#guard(one)));
  }

  /** Writes until the store is full: then it has to take deletions, and puts again after them. */
  async #flood(): Promise<void> {
    const value = 'y'.repeat(4000);
    const most = 3 * (QUOTA_BYTES / 4000);
    let refused = false;
    for (let i = 0; i < most && !refused; i++) {
      try {
        await this.#on((node) => node.put(`flood/${i}`, value));
      } catch (error) {
        refused = KvorumError.is(error, 'ERR_QUOTA');
      }
    }
    if (!refused) throw new Error(`${most} values of 4,000 bytes fit into ${QUOTA_BYTES}`);
    this.#quotaRefusals++;
    for (let tries = 0; ; tries++) {
      if (tries === 20) throw new Error('a full store does not take deletions and puts again');
      try {
        await this.#on((node) => node.deleteRange({ prefix: 'flood/' }));
        await this.#on((node) => node.put('after the flood', value));
        this.#recoveries++;
        return;
      } catch (error) {
        if (!KvorumError.is(error)) throw error;
        if (error.code === 'ERR_QUOTA' && tries > 10)
          throw new Error('the store stays full after it was emptied', { cause: error });
        await this.#sleep(5000);
      }
    }
  }

  #restart(): void {
    const { nodes, leader } = this.#cluster;
    if (nodes.some((node) => node.state !== 'running')) return;
    const node = this.#dice.chance(0.4) && leader !== null ? leader : this.#dice.pick(nodes);
    const kept = this.#dice.pick([0, Infinity]);
    this.#restarts++;
    node.crash({ keepUnsynced: kept });
    this.#cluster.time.schedule(this.#dice.pick([100, 30_000, 20 * 60_000]), () => {
      if (!node.alive) void node.start();
    });
  }

  // What is looked at.

  #figures(node: SimNode): Record<string, number> {
    const { replica, services } = this.#parts.get(node) as Parts;
    const { kv, coordinator } = replica.machine;
    const { log, overlay } = this.#stored(node);
    return {
      keys: kv.keyCount,
      'bytes of keys and history': kv.bytes,
      'superseded versions': kv.supersededVersions,
      leases: coordinator.leaseCount,
      'leases counted': services.lessor.size,
      locks: coordinator.locks.names('', null, 1_000_000).length,
      'locks that rest': services.resting,
      'keys of what is done once': coordinator.once.keyCount,
      'sessions with results': coordinator.once.sessionCount,
      'bytes of results': coordinator.once.bytes,
      watches: services.watches.count,
      'waits for locks': services.lockWaits,
      'bytes of log': log,
      'bytes not flushed': overlay,
      'proposals pending': replica.pendingProposals,
    };
  }

  #stored(node: SimNode): { log: number; overlay: number } {
    const store = this.#stores.get(node);
    if (store === undefined) return { log: 0, overlay: 0 };
    const { log, state } = store.group(GROUP);
    return { log: log.bytes, overlay: state.overlayBytes };
  }

  #sample(): void {
    try {
      for (const node of this.#cluster.nodes) {
        const parts = this.#parts.get(node);
        if (node.state !== 'running' || parts === undefined || parts.replica.loading) continue;
        checkState(parts.replica.machine);
        checkServices(parts.replica.machine, parts.services);
        const figures = this.#figures(node);
        for (const [name, value] of Object.entries(figures)) {
          this.#most.set(name, Math.max(this.#most.get(name) ?? 0, value));
        }
        this.#checkBounds(node, figures);
      }
    } catch (error) {
      this.#failure ??= error as Error;
    }
  }

  #checkBounds(node: SimNode, figures: Readonly<Record<string, number>>): void {
    const bounds: Readonly<Record<string, number>> = {
      'bytes of keys and history': QUOTA_BYTES,
      'superseded versions': KEEP_REVISIONS + ONCE_MARGIN,
      // Each that was begun lives for its TTL after its last renewal.
      leases: (8 * LONGEST_TTL_MS) / EVERY_MS,
      locks: (8 * LONGEST_TTL_MS) / EVERY_MS,
      'locks that rest': (8 * LONGEST_TTL_MS) / EVERY_MS,
      'keys of what is done once': this.#mostKeyed + ONCE_MARGIN,
      // One in use, and those given up until their TTL is over.
      'sessions with results': 40,
      'bytes of log': 1.5 * LOG_KEEP_BYTES,
      'proposals pending': 100,
    };
    for (const [name, bound] of Object.entries(bounds)) {
      const value = figures[name] ?? 0;
      if (value > bound) throw new Error(`${node.name}: ${name}: ${value}, ${Math.round(bound)} at most were expected`);
    }
  }

  /** Nobody asks for anything: a few writes make the state forget what is over. */
  async #forgetKeys(): Promise<void> {
    for (let i = 0; i < 400; i++) await this.#cluster.run(this.#on((node) => node.put('last', String(i))));
  }

  #checkEnd(left: Readonly<Record<string, number>>): void {
    for (const name of [
      'leases',
      'leases counted',
      'locks',
      'locks that rest',
      'keys of what is done once',
      'sessions with results',
      'bytes of results',
      'watches',
      'waits for locks',
      'proposals pending',
    ]) {
      if (left[name] !== 0) throw new Error(`${name}: ${left[name]} are left when all is over`);
    }
    if (this.#open > 0) throw new Error(`${this.#open} clients still wait when all is over`);
  }

  #heapTrend(): [number, number] {
    // The first hours fill what is bounded; of each part the lowest, since garbage comes and goes.
    const third = Math.max(1, Math.floor(this.#heaps.length / 3));
    const early = Math.min(...this.#heaps.slice(-2 * third, -third || undefined));
    const late = Math.min(...this.#heaps.slice(-third));
    if (late > early + HEAP_MARGIN_BYTES) throw new Error(`the heap grew from ${early} to ${late} bytes`);
    return [early, late];
  }

  async #recordsByTable(node: SimNode): Promise<Record<string, number>> {
    await this.#advance(2000);
    node.crash({ keepUnsynced: Infinity });
    const store = await openMemoryStore({ disk: node.disk });
    const counts: Record<string, number> = {};
    await store.group(GROUP).state.scan(({ key }) => {
      const table = TABLE_NAMES[key[0] as number] ?? 'unknown';
      counts[table] = (counts[table] ?? 0) + 1;
    });
    return counts;
  }

  #line(): string {
    const { leader } = this.#cluster;
    if (leader === null || !this.#parts.has(leader)) return 'no leader';
    const figures = this.#figures(leader);
    const heap = `heap ${((this.#heaps.at(-1) ?? 0) / 1024 ** 2).toFixed(1)} MiB`;
    return [...Object.entries(figures).map(([name, value]) => `${name} ${value}`), heap].join(', ');
  }
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}
