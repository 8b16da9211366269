/**
 * Watchers of keys, prefixes and ranges, with filters, with what was there before, from the beginning or from now on; quick ones and slow ones. Each goes on at
 * another node, from where it was, when its connection ends, and sees every revision that concerns it once, whole, in order, exactly as the log has it.
 */
import { KvorumError } from '../../../src/errors.ts';
import type { WatchBatch, WatchEvent, WatchOptions } from '../../../src/node/coordination.ts';
import type { KvorumNode } from '../../../src/node/types.ts';
import type { Random } from '../../../src/testing/random.ts';
import type { SimNode } from '../../../src/testing/sim-node.ts';
import type { LogRules } from '../log-rules.ts';
import { contradict, type Stage, type Workload } from './workload.ts';

/** When all is calm: until everything has been seen. */
const LAST_MS = 30_000;
const LOOK_MS = 20;

/** What is asked for, whoever is asked. */
interface Wish {
  readonly start: string;
  readonly end: string | null;
  readonly options: Pick<WatchOptions, 'key' | 'prefix' | 'start' | 'end' | 'prev' | 'filter'>;
}

interface Batch {
  readonly revision: number;
  readonly events: readonly unknown[];
}

/** An unbroken piece of what a watcher saw: a compaction ends one. */
interface Piece {
  readonly from: number;
  upTo: number;
  readonly batches: Batch[];
}

interface Compacted {
  readonly from: number;
  readonly compactRevision: number;
}

class Watcher {
  readonly name: string;
  readonly wish: Wish;
  readonly dice: Random;
  readonly pieces: Piece[] = [];
  readonly compacted: Compacted[] = [];
  node: SimNode | null = null;

  constructor(name: string, wish: Wish, dice: Random) {
    this.name = name;
    this.wish = wish;
    this.dice = dice;
  }

  get piece(): Piece | undefined {
    return this.pieces.at(-1);
  }

  /** The next revision that it wants; null: whatever comes. */
  get next(): number | null {
    return this.piece === undefined ? null : this.piece.upTo + 1;
  }
}

const decoder = new TextDecoder();

const WISHES: readonly Wish[] = [
  { start: '', end: null, options: {} },
  { start: '', end: null, options: { prev: true } },
  { start: 'k1', end: 'k1\0', options: { key: 'k1', prev: true } },
  { start: 'l', end: 'm', options: { prefix: 'l' } },
  { start: 'm', end: 'n', options: { prefix: 'm', prev: true } },
  { start: 'h', end: 'l', options: { start: 'h', end: 'l', filter: 'delete' } },
  { start: 'k', end: null, options: { start: 'k', end: null, filter: 'put' } },
  { start: 'm', end: 'n', options: { prefix: 'm', filter: 'delete', prev: true } },
  { start: 'z', end: 'z\0', options: { key: 'z' } },
];

export class Watchers implements Workload {
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #watchers: Watcher[] = [];
  /** Of the watch that each has open: everything before it was delivered. */
  readonly #positions = new Map<Watcher, () => number>();

  constructor(stage: Stage, random: Random) {
    this.#stage = stage;
    this.#random = random;
  }

  async run(): Promise<void> {
    const { watchers } = this.#stage.plan.coordination;
    await Promise.all(
      Array.from({ length: watchers }, async (_, i) => {
        const dice = this.#random.fork();
        const watcher = new Watcher(`w${i + 1}`, dice.pick(WISHES), dice);
        this.#watchers.push(watcher);
        // From the beginning, from now on, or from what is to come.
        const from = dice.pick([1, null, null, dice.between(2, 50)]);
        if (from !== null) watcher.pieces.push({ from, upTo: from - 1, batches: [] });
        await this.#live(watcher);
      }),
    );
  }

  async #live(watcher: Watcher): Promise<void> {
    const { asking } = this.#stage;
    const { dice } = watcher;
    while (!this.#stage.stopped) {
      const node = dice.pick(asking.cluster.nodes);
      await this.#connect(watcher, node, dice.pick([200, 1000, 5000, 20_000]) * dice.float());
      await asking.sleep(dice.float() * dice.pick([10, 100, 1000]));
    }
  }

  /** One connection, which lasts at most `forMs`. */
  async #connect(watcher: Watcher, node: SimNode, forMs: number): Promise<void> {
    const { asking } = this.#stage;
    const { cluster, sightings } = asking;
    const controller = new AbortController();
    const ended = new KvorumError('ERR_CLOSED', 'the watcher goes elsewhere');
    let over = false;
    const stop = (): void => {
      over = true;
      controller.abort(ended);
    };
    const cancel = cluster.time.schedule(forMs, stop);
    if (watcher.node !== null && watcher.node !== node && watcher.next !== null) {
      sightings.saw('a watch goes on at another node');
    }
    watcher.node = node;
    this.#positions.delete(watcher);
    const { name } = watcher;
    asking.log(`${name} watches on ${node.name} from ${watcher.next ?? 'now'}`);
    const watched = node
      .call((running) => this.#watch(running, watcher, controller.signal, () => over))
      .catch((error: unknown) => {
        if (!KvorumError.is(error)) throw error;
        asking.log(`${name} on ${node.name}: ${error.code}`);
        if (error.code === 'ERR_COMPACTED' && !over) this.#toldOfCompaction(watcher, error);
        else if (error.outcome === 'unknown' && error.code !== 'ERR_CLOSED') throw error;
      });
    // Nobody says that a process stands still.
    await Promise.race([watched, asking.sleep(forMs + 1)]);
    cancel();
    stop();
  }

  async #watch(running: KvorumNode, watcher: Watcher, signal: AbortSignal, isOver: () => boolean): Promise<void> {
    const { asking } = this.#stage;
    const { next, dice, wish } = watcher;
    const { acknowledged } = asking;
    const watch = await running.watch({
      ...wish.options,
      signal,
      timeoutMs: 1000,
      ...(next === null ? {} : { from: next }),
    });
    if (isOver()) return watch.close();
    if (next === null) {
      // What was acknowledged before is behind it; whatever comes is before it.
      if (watch.position <= acknowledged) contradict({ watch: watch.position }, `${acknowledged} was acknowledged`);
      watcher.pieces.push({ from: watch.position, upTo: watch.position - 1, batches: [] });
    }
    const piece = watcher.piece as Piece;
    const slow = dice.chance(0.3) && !this.#stage.stopped ? dice.pick([50, 500, 3000]) : 0;
    const taken = async ({ revision, events }: WatchBatch): Promise<void> => {
      if (revision <= piece.upTo) contradict({ revision }, `${watcher.name} has everything up to ${piece.upTo}`);
      if (events.length > 0) piece.batches.push({ revision, events: events.map(eventOf) });
      piece.upTo = revision;
      if (slow > 0) await asking.sleep(slow * dice.float());
    };
    // As an iterator, or as somebody who is called back; only the latter knows between two batches how far it is.
    const polls = dice.chance(0.5) || this.#stage.stopped;
    if (polls) this.#positions.set(watcher, () => watch.position);
    try {
      while (!isOver()) {
        const batch = polls ? watch.poll() : await watch.next();
        if (isOver()) return;
        if (batch === null) {
          await new Promise<void>((resolve) => watch.changed(resolve));
        } else if ('revision' in batch) await taken(batch);
        else if (batch.done !== true) await taken(batch.value);
        else return;
      }
    } finally {
      if (polls && !isOver()) piece.upTo = Math.max(piece.upTo, watch.position - 1);
      watch.close();
    }
  }

  /** It begins again after what is gone. */
  #toldOfCompaction(watcher: Watcher, error: KvorumError): void {
    const { asking } = this.#stage;
    const compactRevision = (error.details as { compactRevision?: unknown }).compactRevision;
    const from = watcher.next ?? 1;
    if (typeof compactRevision !== 'number' || compactRevision < from) {
      contradict({ from, compactRevision }, 'that is still there');
    }
    asking.sightings.saw('a watch is told of compaction');
    watcher.compacted.push({ from, compactRevision });
    watcher.pieces.push({ from: compactRevision + 1, upTo: compactRevision, batches: [] });
  }

  /** Everybody sees everything to the end. */
  async finish(): Promise<void> {
    const { asking } = this.#stage;
    const running = asking.cluster.nodes.filter((node) => node.state === 'running');
    const newest = Math.max(...running.map((node) => node.node.head().revision));
    await Promise.all(
      this.#watchers.map(async (watcher) => {
        const node = watcher.dice.pick(running);
        let left = watcher.next !== null && watcher.next <= newest;
        const end = asking.now + LAST_MS;
        const failures: Error[] = [];
        const connected = async (): Promise<void> => {
          while (left) await this.#connect(watcher, node, LAST_MS);
        };
        connected().catch((error: unknown) => {
          failures.push(error as Error);
        });
        while (left) {
          await asking.sleep(LOOK_MS);
          if (failures[0] !== undefined) throw failures[0];
          left = (watcher.next ?? 0) <= newest && this.#behind(watcher, node, newest);
          if (left && asking.now > end) throw new Error(`${watcher.name} waits for ${watcher.next} of ${newest}`);
        }
      }),
    );
  }

  /** A watch that waits has seen what its node has applied; only a batch or its end would say so. */
  #behind(watcher: Watcher, node: SimNode, newest: number): boolean {
    const piece = watcher.piece as Piece;
    const position = this.#positions.get(watcher)?.() ?? 0;
    if (node.state === 'running') piece.upTo = Math.max(piece.upTo, position - 1);
    return piece.upTo < newest;
  }

  judge(rules: LogRules): void {
    const compactions = new Set(rules.steps.map((step) => step?.compactedRevision));
    for (const { name, wish, pieces, compacted } of this.#watchers) {
      for (const told of compacted) {
        if (!compactions.has(told.compactRevision)) contradict({ name, ...told }, 'it was never compacted so far');
      }
      for (const piece of pieces) {
        const expected: Batch[] = [];
        for (let revision = piece.from; revision <= piece.upTo; revision++) {
          const events = expectedOf(rules, wish, revision);
          if (events.length > 0) expected.push({ revision, events });
        }
        piece.batches.forEach((batch, at) => {
          const is = expected[at];
          if (JSON.stringify(batch) !== JSON.stringify(is))
            contradict({ name, ...wish.options, from: piece.from, batch }, is);
        });
        const missed = expected[piece.batches.length];
        if (missed !== undefined) contradict({ name, ...wish.options, from: piece.from, upTo: piece.upTo }, missed);
      }
    }
  }
}

function eventOf({ type, entry, prev }: WatchEvent): unknown {
  const { key, value, createRevision, modRevision, version, lease } = entry;
  const before = prev === undefined ? {} : { prev: prev === null ? null : decoder.decode(prev.value) };
  return { type, key, value: decoder.decode(value), createRevision, modRevision, version, lease, ...before };
}

function expectedOf(rules: LogRules, { start, end, options }: Wish, revision: number): unknown[] {
  const events: unknown[] = [];
  for (const { key, now, before } of rules.store.changes(revision)) {
    const type = now.value === null ? 'delete' : 'put';
    if (key < start || (end !== null && key >= end)) continue;
    if (options.filter !== undefined && options.filter !== type) continue;
    const { createRevision, version, lease, value } = now;
    const prev = options.prev === true ? { prev: before?.value ?? null } : {};
    events.push({ type, key, value: value ?? '', createRevision, modRevision: revision, version, lease, ...prev });
  }
  return events;
}
