/**
 * Deletes in the background what nobody can reach any more: compacted entries, old generations of state.
 *
 * LevelDB's own range delete (`clear`) writes past the queue, concurrently with its batches, and a failed write there would
 * poison the file under later synced ones before anybody heard of it. So the deletions go through the queue like everything
 * else, a bounded number with each batch; when the queue is idle they make batches of their own, one after the other.
 */
import type { GroupId } from '../raft/types.ts';
import type { Engine, EngineIterator, EngineRecord } from './engine.ts';
import { extentKey, stateKey } from './keys.ts';
import type { BackgroundWork, WriteQueue } from './write-queue.ts';

/** Deletions in one batch: about 0.3 ms of work, and more than the entries that most batches add… */
const DELETES_PER_BATCH = 512;
/** …but never fewer than this for each operation in it: what is deleted must keep pace with what is written, also without a rest. */
const DELETES_PER_OPERATION = 2;

/** Entries that lie under one key. */
export interface Extent {
  readonly index: number;
  readonly count: number;
}

interface DeadExtents {
  readonly group: GroupId;
  readonly extents: readonly Extent[];
  /** Those before it are deleted. */
  next: number;
}

interface Generation {
  readonly group: GroupId;
  readonly generation: number;
}

export class Reclaimer implements BackgroundWork {
  readonly #engine: Engine;
  readonly #queue: WriteQueue;
  #extents: DeadExtents[] = [];
  #generations: Generation[] = [];
  /** Keys are not known beforehand and iterators are asynchronous: one handful is fetched at a time. */
  #iterator: EngineIterator | null = null;
  #fetched: readonly EngineRecord[] = [];
  #fetching = false;
  #closed = false;

  constructor(engine: Engine, queue: WriteQueue) {
    this.#engine = engine;
    this.#queue = queue;
  }

  get idle(): boolean {
    return this.#extents.length === 0 && this.#generations.length === 0;
  }

  /** Nobody writes there again. */
  addExtents(group: GroupId, extents: readonly Extent[]): void {
    if (extents.length > 0) this.#extents.push({ group, extents, next: 0 });
  }

  /** All records of a generation. Its number is never used again. */
  addGeneration(group: GroupId, generation: number): void {
    this.#generations.push({ group, generation });
    this.#fetch();
  }

  stageSome(operations: number): boolean {
    const allowed = Math.max(DELETES_PER_BATCH, DELETES_PER_OPERATION * operations);
    let budget = allowed;
    while (budget > 0) {
      const dead = this.#extents[0];
      if (dead === undefined) break;
      const { group, extents } = dead;
      const until = Math.min(extents.length, dead.next + budget);
      for (const { index, count } of extents.slice(dead.next, until))
        this.#queue.delete(extentKey(group, index, count));
      budget -= until - dead.next;
      dead.next = until;
      if (until === extents.length) this.#extents.shift();
    }
    if (budget > 0 && this.#fetched.length > 0) {
      for (const [key] of this.#fetched) this.#queue.delete(key);
      budget = 0;
      this.#fetched = [];
      this.#fetch();
    }
    return budget < allowed;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#iterator?.close();
  }

  #fetch(): void {
    if (this.#fetching || this.#closed || this.#fetched.length > 0 || this.#generations.length === 0) return;
    this.#fetching = true;
    this.#fetchSome().then(
      () => {
        this.#fetching = false;
        this.#queue.wake();
        // A generation may have been added just when the last one was done.
        this.#fetch();
      },
      (error: unknown) => {
        this.#fetching = false;
        if (!this.#closed) this.#queue.poison(error);
      },
    );
  }

  async #fetchSome(): Promise<void> {
    for (;;) {
      const job = this.#generations[0];
      if (job === undefined || this.#closed) return;
      this.#iterator ??= this.#engine.iterate({
        from: stateKey(job.group, job.generation),
        to: stateKey(job.group, job.generation + 1),
        keysOnly: true,
      });
      const records = await this.#iterator.next(DELETES_PER_BATCH);
      if (records.length > 0) {
        this.#fetched = records;
        return;
      }
      await this.#iterator.close();
      this.#iterator = null;
      this.#generations.shift();
    }
  }
}
