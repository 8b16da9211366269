/**
 * The one way to the disk. LevelDB may land concurrent batches in any order, so exactly one is in flight; what is staged meanwhile
 * becomes the next one (group commit). After a failed write LevelDB goes on accepting synced writes that are gone after
 * a crash (its write-ahead file has a torn record in the middle), so the first failure poisons the queue for good.
 */
import { KvorumError } from '../errors.ts';
import { nextLink } from './chain.ts';
import type { ChainLink } from './chain.ts';
import type { Engine, EngineBatch } from './engine.ts';
import { CHAIN_KEY } from './keys.ts';
import type { StoreStats } from './types.ts';

export type CommitCallback = (error: Error | null) => void;

/** Something that has staged operations. `join`ed once a batch; told before the batch is closed and after it is written. */
export interface Participant {
  /** The batch is about to be written: last chance to stage a summary. */
  beforeWrite(): void;
  /** Batch `number` and all before it are written (synced if anybody asked). */
  written(number: number): void;
}

/** Work that is done a bit at a time in batches of its own or others, such as deleting what was compacted. */
export interface BackgroundWork {
  /** Stages the next bit, of bounded size, into a batch of `operations` so far. False when there is nothing to stage now. */
  stageSome(operations: number): boolean;
}

export class WriteQueue {
  readonly #engine: Engine;
  #link: ChainLink | null;
  #batch: EngineBatch | null = null;
  #batchBytes = 0;
  #batchOperations = 0;
  #participants: Participant[] = [];
  #waiting: CommitCallback[] = [];
  #waitingSync = false;
  #wanted = false;
  #inFlight = false;
  /** The last batch written was not synced. */
  #unsynced = false;
  #poisoned: Error | null = null;
  #closing = false;
  #whenIdle: (() => void) | null = null;
  #background: BackgroundWork | null = null;
  #batches = 0;
  #syncedBatches = 0;
  #bytesWritten = 0;
  #lastSyncMs = 0;
  #maxSyncMs = 0;

  constructor(engine: Engine, link: ChainLink | null) {
    this.#engine = engine;
    this.#link = link;
  }

  get poisoned(): Error | null {
    return this.#poisoned;
  }

  get busy(): boolean {
    return this.#inFlight || this.#wanted;
  }

  /** Number that the batch now being staged has or will have. */
  get stagingNumber(): number {
    return (this.#link?.number ?? 0) + (this.#batch === null ? 1 : 0);
  }

  stats(): StoreStats {
    return {
      batches: this.#batches,
      syncedBatches: this.#syncedBatches,
      bytesWritten: this.#bytesWritten,
      lastSyncMs: this.#lastSyncMs,
      maxSyncMs: this.#maxSyncMs,
    };
  }

  setBackground(work: BackgroundWork): void {
    this.#background = work;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    if (this.#poisoned !== null) return;
    this.#staging().put(key, value);
    this.#batchOperations++;
    this.#batchBytes += key.length + value.length;
  }

  delete(key: Uint8Array): void {
    if (this.#poisoned !== null) return;
    this.#staging().delete(key);
    this.#batchOperations++;
    this.#batchBytes += key.length;
  }

  /** Once a batch and participant. */
  join(participant: Participant): void {
    this.#participants.push(participant);
  }

  commit(sync: boolean, callback: CommitCallback): void {
    const refused = this.#refusal();
    if (refused !== null) {
      this.#engine.schedule(() => callback(refused));
      return;
    }
    this.#waiting.push(callback);
    this.#want(sync);
  }

  /** Background work has something to stage. */
  wake(): void {
    if (this.#refusal() === null && !this.busy) this.#stageBackground();
  }

  /** A read failed in a way that makes the data below untrustworthy: nothing more is written. */
  poison(cause: unknown): void {
    if (this.#poisoned !== null) return;
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.#poisoned = new KvorumError(
      'ERR_STORE_POISONED',
      `a write to the disk failed, and what LevelDB would do with later ones is not to be trusted; nothing more is ` +
        `written: ${reason}`,
      { outcome: 'unknown', cause },
    );
    this.#batch = null;
    this.#participants = [];
  }

  /** Writes what was committed, refuses what comes later, resolves when the disk is quiet. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#inFlight) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
  }

  #refusal(): Error | null {
    if (this.#poisoned !== null) return this.#poisoned;
    return this.#closing ? new KvorumError('ERR_CLOSED', 'the store is closed') : null;
  }

  #staging(): EngineBatch {
    if (this.#batch !== null) return this.#batch;
    const batch = this.#engine.batch();
    const link = nextLink(this.#link, this.#engine.nonce);
    batch.put(CHAIN_KEY, link.bytes);
    this.#link = link;
    this.#batch = batch;
    this.#batchBytes = 0;
    this.#batchOperations = 0;
    return batch;
  }

  #want(sync: boolean): void {
    this.#wanted = true;
    this.#waitingSync ||= sync;
    if (!this.#inFlight) this.#start();
  }

  #start(): void {
    const callbacks = this.#waiting;
    const sync = this.#waitingSync;
    this.#waiting = [];
    this.#waitingSync = false;
    this.#wanted = false;
    this.#inFlight = true;

    // Nothing is staged: only an earlier batch that was not synced needs one more write.
    if (this.#batch === null && this.#participants.length === 0 && !(sync && this.#unsynced)) {
      this.#engine.schedule(() => this.#finish(callbacks, this.#poisoned));
      return;
    }
    const batch = this.#staging();
    const participants = this.#participants;
    this.#participants = [];
    // A participant may stage more here, but not join anew.
    for (const participant of participants) participant.beforeWrite();
    const bytes = this.#batchBytes;
    const number = this.stagingNumber;
    this.#batch = null;
    const startedMs = this.#engine.now();
    batch.write(sync, (error) => {
      if (error !== null) {
        this.poison(error);
        this.#finish(callbacks, this.#poisoned);
        return;
      }
      this.#batches++;
      this.#bytesWritten += bytes;
      this.#unsynced = !sync;
      if (sync) {
        this.#syncedBatches++;
        this.#lastSyncMs = this.#engine.now() - startedMs;
        this.#maxSyncMs = Math.max(this.#maxSyncMs, this.#lastSyncMs);
      }
      for (const participant of participants) participant.written(number);
      this.#finish(callbacks, null);
    });
  }

  /** Adds background work to what waits, or makes a batch of it; never a batch of what others staged and did not commit yet. */
  #stageBackground(): void {
    if (this.#batch !== null && !this.#wanted) return;
    const operations = this.#batch === null ? 0 : this.#batchOperations;
    if (this.#background?.stageSome(operations) === true) this.#want(false);
  }

  #finish(callbacks: CommitCallback[], error: Error | null): void {
    this.#inFlight = false;
    let orphans: CommitCallback[] = [];
    if (this.#poisoned !== null) {
      orphans = this.#waiting;
      this.#waiting = [];
      this.#wanted = false;
    } else {
      if (!this.#closing) this.#stageBackground();
      // The disk works on the next batch while the callbacks of this one run.
      if (this.#wanted && !this.#inFlight) this.#start();
    }
    if (!this.#inFlight && this.#whenIdle !== null) this.#whenIdle();
    for (const callback of callbacks) callback(error);
    for (const callback of orphans) callback(this.#poisoned);
  }
}
