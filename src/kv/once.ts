/**
 * What was done already, and what the answer was: makes a write happen once, however often it is sent (Ongaro's thesis, §6.3).
 *
 * A session numbers its writes and says with each the lowest number that it has no answer to; the answers from there on are kept, so that many
 * can be on their way at once. A bare key is kept for an hour of state-machine time at least. Nothing that may still be asked for is forgotten to
 * make room: when the table is full, new keyed writes are refused.
 *
 * Answers are stored by `OnceRecords`; in memory there is a fingerprint of the request and little else for each.
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

/** Where the records are. Only `result` is read back, when a write is repeated. */
export interface OnceRecords {
  get(name: string): OnceRecord;
  set(name: string, record: OnceRecord): void;
  delete(name: string): void;
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
  /** Stored results, in bytes. Default 64 MiB. */
  readonly maxBytes: number;
}

export const ONCE_LIMITS: OnceLimits = { maxWindow: 1024, maxKeys: 200_000, maxBytes: 64 * 1024 * 1024 };

/** Old keys forgotten at most with one command: more than one, so that it catches up. */
const MAX_EVICTIONS = 8;
/** What a record costs besides its name and result. */
const RECORD_BYTES = 96;
/** Keys whose time was over are cut off when there are this many and they are the larger part. */
const TRIM_FROM = 1024;
/** The record of a mark alone lies where the record of this sequence would: there is none. */
const MARK_SEQUENCE = 0;
const NO_RESULT = new Uint8Array(0);

interface Done {
  readonly low: number;
  readonly high: number;
  readonly index: number;
  readonly time: number;
  readonly bytes: number;
}

interface Session {
  /** Everything below is acknowledged. */
  mark: number;
  readonly done: Map<number, Done>;
  /** The mark has a record of its own: no write that is kept tells it. */
  markRecord: Done | null;
}

export class OnceTable {
  readonly #records: OnceRecords;
  readonly #limits: OnceLimits;
  readonly #sessions = new Map<string, Session>();
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
      this.#drop(keyName(key), done);
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
      if (done !== undefined) return this.#repeated(sequenceName(session, sequence), done, fingerprint);
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

  #repeated(name: string, done: Done, [low, high]: readonly [number, number]): OnceVerdict {
    if (done.low !== low || done.high !== high) return { type: 'mismatch' };
    return { type: 'replay', result: this.#records.get(name).result };
  }

  storeKey(key: string, record: OnceRecord): void {
    invariant(!this.#keys.has(key), 'the result of a key is stored once');
    this.#keys.set(key, this.#stored(keyName(key), record));
    this.#order.push(key);
  }

  storeSequence(session: string, sequence: number, record: OnceRecord): void {
    const known = this.#sessionOf(session);
    invariant(!known.done.has(sequence), 'the result of a sequence is stored once');
    known.done.set(sequence, this.#stored(sequenceName(session, sequence), record));
    if (record.lowestUnanswered < known.mark) return;
    if (record.lowestUnanswered > known.mark) this.#raiseMark(session, known, record.lowestUnanswered);
    // This write tells the mark now, and is not below it.
    this.#dropMarkRecord(session, known);
  }

  #sessionOf(session: string): Session {
    let known = this.#sessions.get(session);
    if (known === undefined) this.#sessions.set(session, (known = { mark: 0, done: new Map(), markRecord: null }));
    return known;
  }

  #raiseMark(session: string, known: Session, mark: number): void {
    // A client that numbers without gaps has few to forget; one that jumps must not make us count to 2^53.
    if (mark - known.mark <= known.done.size) {
      for (let sequence = known.mark; sequence < mark; sequence++) this.#forget(session, known, sequence);
    } else {
      for (const sequence of known.done.keys()) if (sequence < mark) this.#forget(session, known, sequence);
    }
    known.mark = mark;
  }

  /** Forgets what is acknowledged, with a record of the mark alone. Nothing to forget: the mark stays, too. */
  #acknowledge(session: string, known: Session, mark: number): void {
    if (mark <= known.mark || countFrom(known.done, mark) === known.done.size) return;
    this.#raiseMark(session, known, mark);
    this.#dropMarkRecord(session, known);
    const fingerprint = [mark >>> 0, Math.floor(mark / 2 ** 32)] as const;
    known.markRecord = this.#stored(sequenceName(session, MARK_SEQUENCE), {
      fingerprint,
      index: 0,
      time: 0,
      lowestUnanswered: mark,
      result: NO_RESULT,
    });
  }

  #dropMarkRecord(session: string, known: Session): void {
    if (known.markRecord === null) return;
    this.#drop(sequenceName(session, MARK_SEQUENCE), known.markRecord);
    known.markRecord = null;
  }

  #forget(session: string, known: Session, sequence: number): void {
    const done = known.done.get(sequence);
    if (done === undefined) return;
    known.done.delete(sequence);
    this.#drop(sequenceName(session, sequence), done);
  }

  /** The lease of the session is gone: nothing of it will be executed again. */
  sessionEnded(session: string): void {
    const known = this.#sessions.get(session);
    if (known === undefined) return;
    this.#sessions.delete(session);
    this.#dropMarkRecord(session, known);
    for (const [sequence, done] of known.done) this.#drop(sequenceName(session, sequence), done);
  }

  #stored(name: string, record: OnceRecord): Done {
    this.#records.set(name, record);
    return this.#count(name, record);
  }

  #count(name: string, record: OnceRecord): Done {
    const done = doneOf(name, record);
    this.#bytes += done.bytes;
    this.#digest = (this.#digest + digestOf(done)) >>> 0;
    return done;
  }

  #drop(name: string, done: Done): void {
    this.#bytes -= done.bytes;
    this.#digest = (this.#digest - digestOf(done)) >>> 0;
    this.#records.delete(name);
  }

  /** Takes a stored record; all of them come, then `restored`. Keeps nothing of its memory. */
  restore(name: string, record: OnceRecord): void {
    const done = this.#count(name, record);
    const place = parseName(name);
    if ('key' in place) {
      this.#keys.set(place.key, done);
      return;
    }
    const known = this.#sessionOf(place.session);
    if (place.sequence === MARK_SEQUENCE) known.markRecord = done;
    else known.done.set(place.sequence, done);
    // The write that raised the mark is not below it, so its record is there; or the mark has its own.
    known.mark = Math.max(known.mark, record.lowestUnanswered);
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

function doneOf(name: string, { fingerprint: [low, high], index, time, result }: OnceRecord): Done {
  return { low, high, index, time, bytes: name.length + result.length + RECORD_BYTES };
}

function digestOf({ low, high, index, bytes }: Done): number {
  return mix32(mix32(low, high), mix32(index, bytes));
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
