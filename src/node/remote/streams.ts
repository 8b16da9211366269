/** Streams as the node serves them: something is taken from the source only while there is credit, and room to send it. */
import type { Watch, WatchBatch } from '../coordination.ts';
import { encodeBatch } from './entries.ts';
import { ANSWER } from './protocol.ts';

/** Where answers go. */
export interface Outlet {
  /** There is room for more of what can wait. */
  readonly room: boolean;
  /** Frames that have left. */
  readonly flushes: number;
  /** Gives the place in the frame that will leave next. */
  push(answer: unknown[], bytes: number): number;
  later(task: () => void): void;
  streamFailed(id: number, error: unknown): void;
  streamEnded(id: number): void;
}

export interface ServedStream {
  grant(batches: number, bytes: number): void;
  /** Tells how far it is, if that has changed without anything to tell. */
  beat(): void;
  close(): void;
}

/** Batches of one stream before it is the next one's turn. */
const MAX_BATCHES_A_TURN = 64;
/** Nobody is owed more than this. */
const MAX_CREDIT = 2 ** 40;
const ITEM_BYTES = 16;

/** The batch that was sent last in the frame that is being gathered, and to whom: the next watcher who is told the same is added to it. */
interface Shared {
  readonly flush: number;
  readonly place: number;
  readonly ids: number[];
}
const shared = new WeakMap<Outlet, Map<WatchBatch, Shared>>();

export class WatchStream implements ServedStream {
  readonly #id: number;
  readonly #watch: Watch;
  readonly #outlet: Outlet;
  #batches = 0;
  #bytes = 0;
  /** Last revision that the other side knows to have seen. */
  #told: number;
  /** Waits for its turn, or for the watch. */
  #waiting = false;
  #closed = false;
  /** Where the last thing that it was told stands, so that nothing later is put in front of it. */
  #flush: number;
  #place: number;
  readonly #pump = (): void => {
    this.#waiting = false;
    this.#send();
  };
  readonly #changed = (): void => this.#outlet.later(this.#pump);

  constructor(id: number, watch: Watch, outlet: Outlet) {
    this.#id = id;
    this.#watch = watch;
    this.#outlet = outlet;
    this.#place = outlet.push([id, ANSWER.opened, watch.position], ITEM_BYTES);
    this.#flush = outlet.flushes;
    this.#told = watch.position - 1;
  }

  grant(batches: number, bytes: number): void {
    this.#batches = Math.min(MAX_CREDIT, this.#batches + batches);
    this.#bytes = Math.min(MAX_CREDIT, this.#bytes + bytes);
    if (!this.#waiting) this.#send();
  }

  beat(): void {
    const revision = this.#watch.position - 1;
    if (revision > this.#told && this.#batches > 0) this.#tell({ revision, events: [] });
  }

  close(): void {
    this.#closed = true;
    this.#watch.close();
  }

  #send(): void {
    if (this.#closed) return;
    try {
      for (let sent = 0; this.#batches > 0 && this.#bytes > 0; sent++) {
        if (sent === MAX_BATCHES_A_TURN || !this.#outlet.room) return this.#again();
        const batch = this.#watch.poll();
        if (batch === null) {
          this.#waiting = true;
          this.#watch.changed(this.#changed);
          return;
        }
        this.#tell(batch);
      }
    } catch (error) {
      this.#closed = true;
      this.#watch.close();
      this.#outlet.streamFailed(this.#id, error);
    }
  }

  #again(): void {
    this.#waiting = true;
    this.#outlet.later(this.#pump);
  }

  #tell(batch: WatchBatch): void {
    this.#told = batch.revision;
    this.#batches--;
    const parts = encodeBatch(batch);
    for (const part of parts) this.#bytes -= part.length;
    if (parts.length === 1 && this.#join(batch)) return;
    const ids = [this.#id];
    for (const part of parts) {
      this.#place = this.#outlet.push([ids, ANSWER.item, part], part.length + ITEM_BYTES);
    }
    this.#flush = this.#outlet.flushes;
    if (parts.length === 1) sharedOf(this.#outlet).set(batch, { flush: this.#flush, place: this.#place, ids });
  }

  /** True when the batch is in the frame already, behind whatever this stream was told before. */
  #join(batch: WatchBatch): boolean {
    const { flushes } = this.#outlet;
    const known = sharedOf(this.#outlet).get(batch);
    if (known === undefined || known.flush !== flushes) return false;
    if (this.#flush === flushes && this.#place > known.place) return false;
    known.ids.push(this.#id);
    this.#flush = flushes;
    this.#place = known.place;
    return true;
  }
}

/** Of the frame that is being gathered. */
function sharedOf(outlet: Outlet): Map<WatchBatch, Shared> {
  let batches = shared.get(outlet);
  if (batches === undefined) shared.set(outlet, (batches = new Map()));
  if (batches.size > 0) {
    const [first] = batches.values();
    if (first!.flush !== outlet.flushes) batches.clear();
  }
  return batches;
}

type Observation<T> = AsyncIterator<T> & { close?(): void };

export class ObservationStream<T> implements ServedStream {
  readonly #id: number;
  readonly #source: Observation<T>;
  readonly #outlet: Outlet;
  #batches = 0;
  #asked = false;
  #closed = false;

  constructor(id: number, source: Observation<T>, outlet: Outlet) {
    this.#id = id;
    this.#source = source;
    this.#outlet = outlet;
  }

  grant(batches: number): void {
    this.#batches = Math.min(MAX_CREDIT, this.#batches + batches);
    this.#ask();
  }

  beat(): void {}

  close(): void {
    this.#closed = true;
    if (this.#source.close !== undefined) this.#source.close();
    else void this.#source.return?.();
  }

  #ask(): void {
    if (this.#asked || this.#closed || this.#batches <= 0) return;
    this.#asked = true;
    this.#source.next().then(
      ({ done, value }) => {
        this.#asked = false;
        if (this.#closed) return;
        if (done === true) {
          this.#outlet.streamEnded(this.#id);
          return;
        }
        this.#batches--;
        this.#outlet.push([this.#id, ANSWER.item, value], JSON.stringify(value).length + ITEM_BYTES);
        this.#ask();
      },
      (error: unknown) => {
        this.#closed = true;
        this.#outlet.streamFailed(this.#id, error);
      },
    );
  }
}
