/** The tables of the state: which prefix each has among the state keys, and how its records look as msgpack arrays. */
import type { LeaseRecord } from '../kv/leases.ts';
import type { KeptWrite, OnceRecord, OnceRecords, OnceWindow } from '../kv/once.ts';
import type { RecordView } from '../kv/types.ts';
import type { Holder, LockKind, LockMode, LockRecord, Seat } from '../lock/types.ts';
import { KvorumError, invariant } from '../errors.ts';
import { Fields } from './fields.ts';
import { decodeRecord, encodeRecord, recordKey, recordName, RecordTable, type RecordCodec } from './record-table.ts';

/** Beside `h` (history), `k` (settings of the store) and `m` (meta). */
export const TABLES = {
  leases: 0x6c,
  locks: 0x4c,
  seats: 0x73,
  counters: 0x63,
  once: 0x6f,
} as const;

function fieldsOf(value: unknown, arity: number): Fields {
  return new Fields('A state record', value, arity, 'ERR_CORRUPT');
}

export const LEASE_CODEC: RecordCodec<LeaseRecord> = {
  encode: ({ ttlMs, owner, counter, remainingMs, ofLock }) => [ttlMs, owner, counter, remainingMs, ofLock],
  decode: (value) => {
    const f = fieldsOf(value, 5);
    return {
      ttlMs: f.count('ttlMs'),
      owner: f.textOrNull('owner'),
      counter: f.count('counter'),
      remainingMs: f.count('remainingMs'),
      ofLock: f.bool('ofLock'),
    };
  },
};

export const COUNTER_CODEC: RecordCodec<{ readonly value: number }> = {
  encode: ({ value }) => [value],
  decode: (value) => ({ value: fieldsOf(value, 1).integer('value') }),
};

const LOCK_KINDS: readonly LockKind[] = ['lock', 'semaphore', 'election', 'barrier'];
const LOCK_MODES: readonly LockMode[] = ['read', 'write'];

export const LOCK_CODEC: RecordCodec<LockRecord> = {
  encode: ({ kind, limit, floor, delayMs, restUntil, holders, value }) => [
    kind,
    limit,
    floor,
    delayMs,
    restUntil,
    holders.map(({ token, lease, mode, owner, since, ticket }) => [token, lease, mode, owner, since, ticket]),
    value,
  ],
  decode: (value) => {
    const f = fieldsOf(value, 7);
    return {
      kind: f.oneOf('kind', LOCK_KINDS),
      limit: f.count('limit'),
      floor: f.count('floor'),
      delayMs: f.count('delayMs'),
      restUntil: f.time('restUntil'),
      holders: f.list('holders', decodeHolder),
      value: f.textOrNull('value'),
    };
  },
};

function decodeHolder(value: unknown): Holder {
  const f = fieldsOf(value, 6);
  return {
    token: f.count('token'),
    lease: f.text('lease'),
    mode: f.oneOf('mode', LOCK_MODES),
    owner: f.textOrNull('owner'),
    since: f.time('since'),
    ticket: f.count('ticket'),
  };
}

export const SEAT_CODEC: RecordCodec<Seat> = {
  encode: ({ lease, mode, owner, value, ticket, token, since }) => [lease, mode, owner, value, ticket, token, since],
  decode: (value) => {
    const f = fieldsOf(value, 7);
    return {
      lease: f.text('lease'),
      mode: f.oneOf('mode', LOCK_MODES),
      owner: f.textOrNull('owner'),
      value: f.textOrNull('value'),
      ticket: f.count('ticket'),
      token: f.count('token'),
      since: f.time('since'),
    };
  },
};

export function lockRecords(view: RecordView): RecordTable<LockRecord> {
  return new RecordTable(view, TABLES.locks, LOCK_CODEC);
}

export function seatRecords(view: RecordView): RecordTable<Seat> {
  return new RecordTable(view, TABLES.seats, SEAT_CODEC);
}

export function leaseRecords(view: RecordView): RecordTable<LeaseRecord> {
  return new RecordTable(view, TABLES.leases, LEASE_CODEC);
}

export function counterRecords(view: RecordView): RecordTable<{ readonly value: number }> {
  return new RecordTable(view, TABLES.counters, COUNTER_CODEC);
}

/** About what a stored result needs besides itself. */
const RECORD_BYTES = 48;
/** What waits to be made a window holds a reference to each write. */
const REFERENCE_BYTES = 8;
/** Before the id of a session, in the name of its window; names of `OnceTable` begin with others. */
const WINDOW_PREFIX = 'w';

/** Results of writes that happen once. Those with a record of their own are on the disk only, since they may be long and are seldom asked for. */
export class StoredOnceRecords implements OnceRecords {
  readonly #view: RecordView;

  constructor(view: RecordView) {
    this.#view = view;
  }

  get(name: string): OnceRecord {
    const key = recordKey(TABLES.once, name);
    const bytes = this.#view.get(key);
    if (bytes === undefined) throw new KvorumError('ERR_CORRUPT', `The stored result of ${name} is missing`);
    return decodeOnce(decodeRecord(key, bytes).value);
  }

  set(name: string, record: OnceRecord): void {
    const { fingerprint, index, time, lowestUnanswered, result } = record;
    const key = recordKey(TABLES.once, name);
    const make = (): Uint8Array => encodeRecord(key, [...fingerprint, index, time, lowestUnanswered, result]).bytes;
    // Most are acknowledged, and deleted, before they would have been written.
    if (this.#view.putLater === undefined) this.#view.put(key, make());
    else this.#view.putLater(key, RECORD_BYTES + result.length, make, true);
  }

  setWindow(session: string, window: OnceWindow): void {
    const key = recordKey(TABLES.once, WINDOW_PREFIX + session);
    const make = (): Uint8Array => encodeRecord(key, encodeWindow(window)).bytes;
    // The next unit overwrites it, mostly before it would have been written.
    if (this.#view.putLater === undefined) this.#view.put(key, make());
    else this.#view.putLater(key, RECORD_BYTES + REFERENCE_BYTES * window.writes.length, make, false);
  }

  deleteWindow(session: string): void {
    this.#view.delete(recordKey(TABLES.once, WINDOW_PREFIX + session));
  }

  delete(name: string): void {
    this.#view.delete(recordKey(TABLES.once, name));
  }
}

/** A record of this table goes where it belongs. */
export function restoreOnce(
  key: Uint8Array,
  bytes: Uint8Array,
  to: {
    restore(name: string, record: OnceRecord): void;
    restoreWindow(session: string, window: OnceWindow): void;
  },
): void {
  invariant(key[0] === TABLES.once, 'a record of this table is restored');
  const name = recordName(key);
  const { value } = decodeRecord(key, bytes);
  if (name.startsWith(WINDOW_PREFIX)) to.restoreWindow(name.slice(WINDOW_PREFIX.length), decodeWindow(value));
  else to.restore(name, decodeOnce(value));
}

/** The mark, then for each write, by sequence: sequence, fingerprint, index, time, result. The same bytes, whatever the order in which they came. */
function encodeWindow({ mark, writes }: OnceWindow): unknown[] {
  const fields: unknown[] = [mark];
  for (const { sequence, low, high, index, time, result } of writes.toSorted((a, b) => a.sequence - b.sequence)) {
    fields.push(sequence, low, high, index, time, result);
  }
  return fields;
}

const WRITE_FIELDS = 6;

function decodeWindow(value: unknown): OnceWindow {
  const count = Array.isArray(value) ? Math.floor((value.length - 1) / WRITE_FIELDS) : 0;
  const f = fieldsOf(value, 1 + count * WRITE_FIELDS);
  const mark = f.count('mark');
  const writes: KeptWrite[] = [];
  for (let i = 0; i < count; i++) {
    writes.push({
      sequence: f.count('sequence'),
      low: f.count('fingerprint'),
      high: f.count('fingerprint'),
      index: f.count('index'),
      time: f.time('time'),
      result: f.bytes('result'),
    });
  }
  return { mark, writes };
}

function decodeOnce(value: unknown): OnceRecord {
  const f = fieldsOf(value, 6);
  return {
    fingerprint: [f.count('fingerprint'), f.count('fingerprint')],
    index: f.count('index'),
    time: f.time('time'),
    lowestUnanswered: f.count('lowestUnanswered'),
    result: f.bytes('result'),
  };
}
