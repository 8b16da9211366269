/**
 * What was done already, and what the answer was: makes a write happen once, however often it is sent (Ongaro's thesis, §6.3).
 *
 * A session numbers its writes and says with each the lowest number that it has no answer to; the answers from there on are kept, so that many
 * can be on their way at once. A bare key is kept for an hour of state-machine time at least. Nothing that may still be asked for is forgotten to
 * make room: when the table is full, new keyed writes are refused.
 *
 * Answers are stored by `OnceRecords`: of a key each in a record of its own, as are long ones of a session; in memory there is a fingerprint of the request and little
 * else for each. Short answers of a session, as nearly all are, stay in memory and lie in one record a session, its window, which is written once for
 * all entries that are applied together: a record made and a record deleted for each write took a quarter of the time of applying a put. The window has room
 * for so many; of a session that leaves more unanswered the rest have records of their own, or each write would write all of them again.
 */
import { invariant } from '../errors.ts';
import { mix32 } from './checksum.ts';

/** What is stored of one write that was done. */
export interface OnceRecord {
  /** Of the request: two unsigned 32-bit words. */
  readonly fingerprint: readonly [number, number];
  /** Log index of the write, and state-machine time, ms. */
  readonly index: number;
  readonly time: number;
  /** By session: the lowest sequence without an answer, as the session said. */
  readonly lowestUnanswered: number;
  readonly result: Uint8Array;
}

/** A write of a session as its window has it. */
export interface KeptWrite {
  readonly sequence: number;
  /** Of the request, low and high word. */
  readonly low: number;
  readonly high: number;
  readonly index: number;
  readonly time: number;
  readonly result: Uint8Array;
}

/** What is kept of a session in one record. */
export interface OnceWindow {
  /** Everything below is acknowledged. */
  readonly mark: number;
  /** In any order. Those with a record of their own are not among them. */
  readonly writes: readonly KeptWrite[];
}

/** Where the records are. Only `result` is read back, when a write is repeated. */
export interface OnceRecords {
  get(name: string): OnceRecord;
  set(name: string, record: OnceRecord): void;
  delete(name: string): void;
  /** Takes the place of the one before it. Nothing of it changes any more. */
  setWindow(session: string, window: OnceWindow): void;
  deleteWindow(session: string): void;
}

export type OnceVerdict =
  /** Not done yet: do it, then `store` the result. */
  | { readonly type: 'new' }
  | { readonly type: 'replay'; readonly result: Uint8Array }
  /** Below the session's mark: its answer was acknowledged by the client, and is forgotten. */
  | { readonly type: 'forgotten' }
  | { readonly type: 'mismatch' }
  | { readonly type: 'full' };

/** Bare keys are kept for at least this long, state-machine time. */
export const KEEP_KEYS_MS = 3_600_000;

export interface OnceLimits {
  /** Writes of one session that wait for their acknowledgement. Default 1,024. */
  readonly maxWindow: number;
  /** Bare keys. Default 200,000. */
  readonly maxKeys: number;
  /** Results, in bytes, with names and what it takes to keep them in memory. Default 64 MiB. */
  readonly maxBytes: number;
}

export const ONCE_LIMITS: OnceLimits = { maxWindow: 1024, maxKeys: 200_000, maxBytes: 64 * 1024 * 1024 };

/** Old keys forgotten at most with one command: more than one, so that it catches up. */
const MAX_EVICTIONS = 8;
/**
 * What is kept costs in memory, besides names and results, in bytes: what the heap of V8 (Node 24, x64) grew by for 100,000 of them, maps included. Measured: a
 * write whose answer is on the disk 173 to 208, one with its answer beside it 380 to 420 (most of the difference is what an array of bytes is made of), a session
 * 380. `test/kv/once.test.ts` measures it again.
 */
export const COSTS = { write: 200, answer: 220, session: 400 } as const;
/** Longer results of sessions have records of their own: a window is written again and again. */
const MAX_WINDOW_RESULT_BYTES = 256;
/** So have those that come when so many lie in the window. */
export const MAX_WINDOW_WRITES = 64;
/** Keys whose time was over are cut off when there are this many and they are the larger part. */
const TRIM_FROM = 1024;

/** Of a key: sequence 0, and a record of its own. */
interface Done extends Omit<KeptWrite, 'result'> {
  readonly bytes: number;
  /** Null: it has a record of its own. */
  readonly result: Uint8Array | null;
}

interface DoneInWindow extends Done {
  readonly result: Uint8Array;
}

interface Session {
  /** Everything below is acknowledged. */
  mark: number;
  readonly done: Map<number, Done>;
  /** Of these: those without a record of their own. */
  readonly window: Set<DoneInWindow>;
  /** Something changed since its window was written. */
  dirty: boolean;
}

export class OnceTable {
  readonly #records: OnceRecords;
  readonly #limits: OnceLimits;
  readonly #sessions = new Map<string, Session>();
  /** Those whose window is to be written. */
  #dirty: (readonly [session: string, known: Session])[] = [];
  readonly #keys = new Map<string, Done>();
  /**
   * The same keys, oldest first: a queue from #head on. (A Map has an order too, but to find the first after many were deleted from its front takes
   * as long as they were many.)
   */
  #order: string[] = [];
  #head = 0;
  #bytes = 0;
  #digest = 0;

  constructor(records: OnceRecords, limits: OnceLimits = ONCE_LIMITS) {
    this.#records = records;
    this.#limits = limits;
  }

  get keyCount(): number {
    return this.#keys.size;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Of names and results, and what it takes to keep them. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Of all that is kept, whatever the order in which it came: an unsigned 32-bit word. */
  get digest(): number {
    return this.#digest;
  }

  /** Forgets keys whose time is over. Called with state-machine time before each command. */
  tick(time: number): void {
    for (let evicted = 0; evicted < MAX_EVICTIONS; evicted++) {
      const key = this.#order[this.#head];
      if (key === undefined) break;
      const done = this.#keys.get(key);
      invariant(done !== undefined, 'a key that is in order is kept');
      if (done.time > time - KEEP_KEYS_MS) break;
      this.#head++;
      this.#keys.delete(key);
      this.#uncount(done);
      this.#records.delete(keyName(key));
    }
    if (this.#head >= TRIM_FROM && this.#head * 2 >= this.#order.length) {
      this.#order = this.#order.slice(this.#head);
      this.#head = 0;
    }
  }

  byKey(key: string, fingerprint: readonly [number, number]): OnceVerdict {
    const done = this.#keys.get(key);
    if (done !== undefined) return this.#repeated(keyName(key), done, fingerprint);
    return this.#keys.size >= this.#limits.maxKeys || this.#bytes >= this.#limits.maxBytes
      ? { type: 'full' }
      : { type: 'new' };
  }

  /** The session has to exist. */
  bySession(
    session: string,
    sequence: number,
    lowestUnanswered: number,
    fingerprint: readonly [number, number],
  ): OnceVerdict {
    const known = this.#sessions.get(session);
    if (known !== undefined) {
      const done = known.done.get(sequence);
      if (done !== undefined) {
        return done.result === null
          ? this.#repeated(sequenceName(session, sequence), done, fingerprint)
          : repeated(done, fingerprint, done.result);
      }
      if (sequence < known.mark) return { type: 'forgotten' };
      if (this.#outstanding(known, lowestUnanswered) >= this.#limits.maxWindow) return { type: 'full' };
      // What is refused stores nothing that would tell the mark, and yet has to make room: otherwise all sessions could be refused for ever.
      if (this.#bytes >= this.#limits.maxBytes) this.#acknowledge(session, known, lowestUnanswered);
    }
    return this.#bytes >= this.#limits.maxBytes ? { type: 'full' } : { type: 'new' };
  }

  /** Writes that would still wait for their acknowledgement. Exact only where that matters. */
  #outstanding({ done, mark }: Session, lowestUnanswered: number): number {
    return done.size < this.#limits.maxWindow || lowestUnanswered <= mark
      ? done.size
      : countFrom(done, lowestUnanswered);
  }

  #repeated(name: string, done: Done, fingerprint: readonly [number, number]): OnceVerdict {
    const same = repeated(done, fingerprint, NO_RESULT);
    return same.type === 'replay' ? { type: 'replay', result: this.#records.get(name).result } : same;
  }

  storeKey(key: string, record: OnceRecord): void {
    invariant(!this.#keys.has(key), 'the result of a key is stored once');
    const name = keyName(key);
    this.#records.set(name, record);
    this.#keys.set(key, this.#count(doneOf(name, 0, record, true)));
    this.#order.push(key);
  }

  /** The window of the session is to be written before the end of the unit: see `writeWindows`. */
  storeSequence(session: string, sequence: number, record: OnceRecord): void {
    const known = this.#sessionOf(session);
    invariant(!known.done.has(sequence), 'the result of a sequence is stored once');
    const apart = record.result.length > MAX_WINDOW_RESULT_BYTES || known.window.size >= MAX_WINDOW_WRITES;
    if (apart) this.#records.set(sequenceName(session, sequence), record);
    this.#keep(session, known, sequence, record, apart);
    if (record.lowestUnanswered > known.mark) this.#raiseMark(session, known, record.lowestUnanswered);
    this.#touch(session, known);
  }

  #keep(session: string, known: Session, sequence: number, record: OnceRecord, apart: boolean): void {
    const done = this.#count(doneOf(session, sequence, record, apart));
    known.done.set(sequence, done);
    if (isInWindow(done)) known.window.add(done);
  }

  /** Once a unit, after its last command: what sessions have besides records of writes. */
  writeWindows(): void {
    if (this.#dirty.length === 0) return;
    for (const [session, known] of this.#dirty) {
      known.dirty = false;
      if (this.#sessions.get(session) !== known) continue;
      this.#records.setWindow(session, { mark: known.mark, writes: [...known.window] });
    }
    this.#dirty = [];
  }

  #touch(session: string, known: Session): void {
    if (known.dirty) return;
    known.dirty = true;
    this.#dirty.push([session, known]);
  }

  #sessionOf(session: string): Session {
    let known = this.#sessions.get(session);
    if (known === undefined) {
      known = { mark: 0, done: new Map(), window: new Set(), dirty: false };
      this.#sessions.set(session, known);
      this.#bytes += session.length + COSTS.session;
    }
    return known;
  }

  #raiseMark(session: string, known: Session, mark: number): void {
    // A client that numbers without gaps has few to forget; one that jumps must not make us count to 2^53.
    if (mark - known.mark <= known.done.size) {
      for (let sequence = known.mark; sequence < mark; sequence++) this.#forget(session, known, sequence);
    } else {
      for (const sequence of known.done.keys()) if (sequence < mark) this.#forget(session, known, sequence);
    }
    this.#digest = (this.#digest - digestOfMark(known.mark) + digestOfMark(mark)) >>> 0;
    known.mark = mark;
  }

  /** Forgets what is acknowledged. Nothing to forget: the mark stays, too. */
  #acknowledge(session: string, known: Session, mark: number): void {
    if (mark <= known.mark || countFrom(known.done, mark) === known.done.size) return;
    this.#raiseMark(session, known, mark);
    this.#touch(session, known);
  }

  #forget(session: string, known: Session, sequence: number): void {
    const done = known.done.get(sequence);
    if (done === undefined) return;
    known.done.delete(sequence);
    if (isInWindow(done)) known.window.delete(done);
    this.#dropOfSession(session, done);
  }

  #dropOfSession(session: string, done: Done): void {
    this.#uncount(done);
    if (done.result === null) this.#records.delete(sequenceName(session, done.sequence));
  }

  /** The lease of the session is gone: nothing of it will be executed again. */
  sessionEnded(session: string): void {
    const known = this.#sessions.get(session);
    if (known === undefined) return;
    this.#sessions.delete(session);
    this.#bytes -= session.length + COSTS.session;
    this.#digest = (this.#digest - digestOfMark(known.mark)) >>> 0;
    for (const done of known.done.values()) this.#dropOfSession(session, done);
    this.#records.deleteWindow(session);
  }

  #count(done: Done): Done {
    this.#bytes += done.bytes;
    this.#digest = (this.#digest + digestOf(done)) >>> 0;
    return done;
  }

  #uncount(done: Done): void {
    this.#bytes -= done.bytes;
    this.#digest = (this.#digest - digestOf(done)) >>> 0;
  }

  /** Takes a stored record; all of them and all windows come, in any order, then `restored`. Keeps nothing of its memory. */
  restore(name: string, record: OnceRecord): void {
    const place = parseName(name);
    if ('key' in place) {
      this.#keys.set(place.key, this.#count(doneOf(name, 0, record, true)));
      return;
    }
    const { session, sequence } = place;
    this.#keep(session, this.#sessionOf(session), sequence, record, true);
  }

  restoreWindow(session: string, { mark, writes }: OnceWindow): void {
    const known = this.#sessionOf(session);
    known.mark = mark;
    this.#digest = (this.#digest + digestOfMark(mark)) >>> 0;
    for (const { low, high, result, ...write } of writes) {
      const record = {
        ...write,
        fingerprint: [low, high],
        lowestUnanswered: mark,
        result,
      } as const;
      this.#keep(session, known, write.sequence, record, false);
    }
  }

  restored(): void {
    this.#order = [...this.#keys].toSorted(([, a], [, b]) => a.index - b.index).map(([key]) => key);
  }
}

function countFrom(done: Session['done'], lowest: number): number {
  let count = 0;
  for (const sequence of done.keys()) if (sequence >= lowest) count++;
  return count;
}

const NO_RESULT = new Uint8Array(0);

/** `stored`: the result has a record of its own. Otherwise it is copied: what it comes in may be much larger. */
function doneOf(name: string, sequence: number, record: OnceRecord, stored: boolean): Done {
  const { fingerprint, index, time, result } = record;
  const bytes = name.length + result.length + COSTS.write + (stored ? 0 : COSTS.answer);
  return {
    sequence,
    low: fingerprint[0],
    high: fingerprint[1],
    index,
    time,
    bytes,
    result: stored ? null : new Uint8Array(result),
  };
}

function isInWindow(done: Done): done is DoneInWindow {
  return done.result !== null;
}

function repeated(done: Done, [low, high]: readonly [number, number], result: Uint8Array): OnceVerdict {
  return done.low === low && done.high === high ? { type: 'replay', result } : { type: 'mismatch' };
}

function digestOf({ low, high, index, bytes }: Done): number {
  return mix32(mix32(low, high), mix32(index, bytes));
}

function digestOfMark(mark: number): number {
  return mark === 0 ? 0 : mix32(mark, Math.floor(mark / 2 ** 32));
}

const KEY_PREFIX = 'k';
const SEQUENCE_PREFIX = 's';

function keyName(key: string): string {
  return KEY_PREFIX + key;
}

function sequenceName(session: string, sequence: number): string {
  return `${SEQUENCE_PREFIX}${session}:${sequence}`;
}

function parseName(name: string): { key: string } | { session: string; sequence: number } {
  if (name.startsWith(KEY_PREFIX)) return { key: name.slice(KEY_PREFIX.length) };
  const colon = name.lastIndexOf(':');
  const sequence = Number(name.slice(colon + 1));
  invariant(name.startsWith(SEQUENCE_PREFIX) && colon > 0 && sequence >= 0, `${name} names no write`);
  return { session: name.slice(SEQUENCE_PREFIX.length, colon), sequence };
}
