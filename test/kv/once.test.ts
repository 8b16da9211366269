import assert from 'node:assert/strict';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  COSTS,
  KEEP_KEYS_MS,
  MAX_WINDOW_WRITES,
  OnceTable,
  type OnceLimits,
  type OnceRecord,
  type OnceVerdict,
  type OnceWindow,
} from '../../src/kv/once.ts';

type Fingerprint = readonly [number, number];

const WIDE: OnceLimits = { maxWindow: 1000, maxKeys: 1000, maxBytes: 1_000_000 };

/** Records as a disk keeps them, and a table that can be made again from them. */
class Harness {
  readonly records = new Map<string, OnceRecord>();
  readonly windows = new Map<string, OnceWindow>();
  readonly limits: OnceLimits;
  table: OnceTable;
  index = 0;
  time = 1_000_000;

  constructor(limits: Partial<OnceLimits> = {}) {
    this.limits = { ...WIDE, ...limits };
    this.table = this.#make();
  }

  #make(): OnceTable {
    const { records, windows } = this;
    return new OnceTable(
      {
        get: (name) => records.get(name) as OnceRecord,
        set: (name, record) => void records.set(name, { ...record, result: record.result.slice() }),
        delete: (name) => {
          if (!records.delete(name)) throw new Error(`${name} was deleted twice`);
        },
        setWindow: (session, window) => void windows.set(session, window),
        // A session may begin and end before its window was ever written.
        deleteWindow: (session) => void windows.delete(session),
      },
      this.limits,
    );
  }

  restart(): void {
    const { table } = this;
    table.writeWindows();
    this.table = this.#make();
    // In no order that anybody should rely on.
    for (const [name, record] of [...this.records].toReversed()) this.table.restore(name, record);
    for (const [session, window] of this.windows) this.table.restoreWindow(session, window);
    this.table.restored();
    assert.deepEqual(
      [this.table.digest, this.table.bytes, this.table.keyCount, this.table.sessionCount],
      [table.digest, table.bytes, table.keyCount, table.sessionCount],
    );
  }

  /** What is stored, after what was to be written was: records of their own, and session:mark:sequences of windows. */
  stored(): string[] {
    this.table.writeWindows();
    const windows = [...this.windows].map(([session, { mark, writes }]) =>
      [session, mark, ...writes.map(({ sequence }) => sequence).toSorted((a, b) => a - b)].join(':'),
    );
    return [...this.records.keys(), ...windows].toSorted();
  }

  #record(fingerprint: Fingerprint, resultBytes: number, lowestUnanswered: number): OnceRecord {
    const result = new Uint8Array(resultBytes).fill(this.index);
    return { fingerprint, index: this.index, time: this.time, lowestUnanswered, result };
  }

  /** As a machine does it: what is new is done and stored. */
  key(key: string, fingerprint: Fingerprint = [1, 2], resultBytes = 1): OnceVerdict {
    this.index++;
    this.table.tick(this.time);
    const verdict = this.table.byKey(key, fingerprint);
    if (verdict.type === 'new') this.table.storeKey(key, this.#record(fingerprint, resultBytes, 0));
    return verdict;
  }

  write(
    session: string,
    sequence: number,
    lowestUnanswered = 0,
    fingerprint: Fingerprint = [1, 2],
    resultBytes = 1,
  ): OnceVerdict {
    this.index++;
    this.table.tick(this.time);
    const verdict = this.table.bySession(session, sequence, lowestUnanswered, fingerprint);
    if (verdict.type === 'new') {
      this.table.storeSequence(session, sequence, this.#record(fingerprint, resultBytes, lowestUnanswered));
    }
    return verdict;
  }

  end(session: string): void {
    this.index++;
    this.table.sessionEnded(session);
  }
}

describe('OnceTable by key', () => {
  it('gives the answer of then to the same request, and refuses another one', () => {
    const once = new Harness();
    expect(once.key('a')).toEqual({ type: 'new' });
    expect(once.key('b')).toEqual({ type: 'new' });
    for (let i = 0; i < 2; i++) {
      expect(once.key('a')).toEqual({ type: 'replay', result: Uint8Array.of(1) });
      expect(once.key('b')).toEqual({ type: 'replay', result: Uint8Array.of(2) });
      expect(once.key('a', [1, 3])).toEqual({ type: 'mismatch' });
      expect(once.key('a', [0, 2])).toEqual({ type: 'mismatch' });
      once.restart();
    }
  });

  it('forgets in the order of time, an hour after, a few with each command', () => {
    const once = new Harness();
    for (let i = 0; i < 20; i++) once.key(`old ${i}`);
    once.time += 1;
    once.key('new');
    once.restart();
    once.time = 1_000_000 + KEEP_KEYS_MS - 1;
    once.table.tick(once.time);
    expect(once.table.keyCount).toBe(21);
    once.time += 1;
    for (const left of [13, 5, 1, 1]) {
      once.table.tick(once.time);
      expect(once.table.keyCount).toBe(left);
      once.restart();
    }
    expect(once.key('new')).toMatchObject({ type: 'replay' });
    expect(once.key('old 0')).toEqual({ type: 'new' });
  });

  it('refuses new keys when it is full by number, and answers old ones still', () => {
    const once = new Harness({ maxKeys: 3 });
    for (const key of ['a', 'b', 'c']) once.key(key);
    expect(once.key('d')).toEqual({ type: 'full' });
    expect(once.key('a')).toMatchObject({ type: 'replay' });
    expect(once.write('7', 1)).toEqual({ type: 'new' });
    once.time += KEEP_KEYS_MS;
    expect(once.key('d')).toEqual({ type: 'new' });
    expect(once.stored()).toEqual(['7:0:1', 'kd']);
  });

  it('refuses new writes of all kinds when it is full by bytes, names included', () => {
    const once = new Harness({ maxBytes: 3700 });
    once.key('a', [1, 2], 1000);
    once.write('7', 1, 0, [1, 2], 1000);
    expect(once.table.bytes).toBe(2000 + 2 * COSTS.write + COSTS.session + 'ka'.length + 2 * '7'.length);
    once.key('x'.repeat(600));
    expect(once.table.bytes).toBeLessThan(3700);
    once.key('y');
    expect(once.key('z')).toEqual({ type: 'full' });
    expect(once.write('8', 1)).toEqual({ type: 'full' });
    expect(once.write('7', 1)).toMatchObject({ type: 'replay' });
    once.end('7');
    expect(once.write('8', 1)).toEqual({ type: 'new' });
  });

  it('keeps an hour of keys, however many there were', () => {
    const once = new Harness({ maxKeys: 100_000, maxBytes: 1e9 });
    for (let i = 0; i < 60_000; i++) {
      once.time += KEEP_KEYS_MS / 20_000;
      once.key(`key ${i}`);
    }
    expect(once.table.keyCount).toBe(20_000);
    expect(once.records.size).toBe(20_000);
  });
});

describe('OnceTable by session', () => {
  it('keeps what is not acknowledged, in whatever order it comes', () => {
    const once = new Harness();
    for (const sequence of [3, 1, 2]) expect(once.write('7', sequence, 1)).toEqual({ type: 'new' });
    expect(once.write('8', 1, 1)).toEqual({ type: 'new' });
    once.restart();
    for (const sequence of [1, 2, 3]) expect(once.write('7', sequence, 1)).toMatchObject({ type: 'replay' });
    expect(once.write('7', 2, 1, [9, 9])).toEqual({ type: 'mismatch' });
    // 1 and 2 are acknowledged with 4.
    expect(once.write('7', 4, 3)).toEqual({ type: 'new' });
    for (let i = 0; i < 2; i++) {
      for (const sequence of [1, 2]) expect(once.write('7', sequence, 1)).toEqual({ type: 'forgotten' });
      expect(once.write('7', 3, 1)).toMatchObject({ type: 'replay' });
      once.restart();
    }
    expect(once.stored()).toEqual(['7:3:3:4', '8:1:1']);
  });

  it('does not count to the mark of a session that jumps', () => {
    const once = new Harness();
    const far = Number.MAX_SAFE_INTEGER;
    once.write('7', 1, 0);
    expect(once.write('7', far, far)).toEqual({ type: 'new' });
    expect(once.write('7', far - 1, far - 1)).toEqual({ type: 'forgotten' });
    expect(once.stored()).toEqual([`7:${far}:${far}`]);
  });

  it('remembers the mark of a session that has nothing left but that', () => {
    const once = new Harness({ maxBytes: 3000 });
    once.write('7', 1, 1);
    for (const session of ['6', '8', '9']) once.write(session, 1, 1, [1, 2], 300);
    expect(once.write('7', 2, 2)).toEqual({ type: 'full' });
    for (let i = 0; i < 2; i++) {
      expect(once.stored()).toEqual(['6:1', '7:2', '8:1', '9:1', 's6:1', 's8:1', 's9:1']);
      expect(once.write('7', 1, 1)).toEqual({ type: 'forgotten' });
      once.restart();
    }
    once.end('6');
    expect(once.write('7', 1, 1)).toEqual({ type: 'forgotten' });
    expect(once.write('7', 2, 2)).toEqual({ type: 'new' });
    once.end('7');
    expect(once.stored()).toEqual(['8:1', '9:1', 's8:1', 's9:1']);
  });

  it('moves no mark with what it does not do', () => {
    const once = new Harness();
    once.write('7', 1, 1);
    once.write('7', 2, 1);
    expect(once.write('7', 2, 2)).toMatchObject({ type: 'replay' });
    expect(once.write('7', 2, 2, [5, 5])).toEqual({ type: 'mismatch' });
    expect(once.write('7', 1, 1)).toMatchObject({ type: 'replay' });
  });

  it('forgets all of a session that ended', () => {
    const once = new Harness();
    for (const sequence of [1, 2]) once.write('7', sequence);
    once.write('77', 1);
    once.end('7');
    once.end('404');
    expect(once.stored()).toEqual(['77:0:1']);
    expect(once.table.sessionCount).toBe(1);
    once.end('77');
    expect([once.table.bytes, once.table.digest, once.table.sessionCount]).toEqual([0, 0, 0]);
  });

  it('has a window: what would stay of it decides', () => {
    const once = new Harness({ maxWindow: 3 });
    for (const sequence of [11, 12, 13]) once.write('7', sequence, 1);
    expect(once.write('7', 14, 1)).toEqual({ type: 'full' });
    // Nothing of it is acknowledged by that.
    expect(once.write('7', 14, 11)).toEqual({ type: 'full' });
    expect(once.write('8', 1, 1)).toEqual({ type: 'new' });
    expect(once.write('7', 14, 12)).toEqual({ type: 'new' });
    expect(once.write('7', 15, 12)).toEqual({ type: 'full' });
    expect(once.stored()).toEqual(['7:12:12:13:14', '8:1:1']);
  });

  it('lets go of what is acknowledged with a write that it has no room for, or all sessions would be stuck', () => {
    const once = new Harness({ maxBytes: 2500 });
    // The last one found a little room and took more.
    for (const session of ['6', '7', '8']) once.write(session, 1, 1, [1, 2], 300);
    expect(once.table.bytes).toBeGreaterThan(2500);
    expect(once.write('9', 1, 1)).toEqual({ type: 'full' });
    expect(once.write('7', 2, 1)).toEqual({ type: 'full' });
    expect(once.write('7', 1, 1)).toMatchObject({ type: 'replay' });
    // One alone makes enough room here; what it acknowledged stays forgotten.
    expect(once.write('7', 2, 2)).toEqual({ type: 'new' });
    for (let i = 0; i < 2; i++) {
      expect(once.write('7', 1, 1)).toEqual({ type: 'forgotten' });
      once.restart();
    }
    expect(once.stored()).toEqual(['6:1', '7:2:2', '8:1', 's6:1', 's8:1']);
    once.end('7');
    expect(once.stored()).toEqual(['6:1', '8:1', 's6:1', 's8:1']);
  });

  it('keeps long answers apart from the window, which is written once for all that was done meanwhile', () => {
    const once = new Harness();
    let written = 0;
    const { windows } = once;
    const set = windows.set.bind(windows);
    windows.set = (session, window) => {
      written++;
      return set(session, window);
    };
    for (let sequence = 1; sequence <= 100; sequence++) {
      once.write('7', sequence, Math.max(1, sequence - 2), [1, 2], sequence % 2 === 0 ? 256 : 257);
    }
    expect(once.stored()).toEqual(['7:98:98:100', 's7:99']);
    expect(written).toBe(1);
    once.table.writeWindows();
    expect(written).toBe(1);
    once.restart();
    for (const sequence of [98, 99, 100]) {
      expect(once.write('7', sequence, 98)).toEqual({
        type: 'replay',
        result: new Uint8Array(sequence % 2 === 0 ? 256 : 257).fill(sequence),
      });
    }
    // One that begins and ends in between is never written.
    once.write('8', 1);
    once.end('8');
    expect(once.stored()).toEqual(['7:98:98:100', 's7:99']);
    expect(written).toBe(1);
  });
});

describe('a session that leaves many writes unanswered', () => {
  it('has a small window, whatever it leaves: what is above it is written once, not with each write again', () => {
    const once = new Harness();
    let written = 0;
    const { records, windows } = once;
    const set = windows.set.bind(windows);
    windows.set = (session, window) => {
      written += window.writes.length;
      return set(session, window);
    };
    const setRecord = records.set.bind(records);
    records.set = (name, record) => {
      written++;
      return setRecord(name, record);
    };
    for (let sequence = 1; sequence <= 900; sequence++) {
      once.write('7', sequence, 1);
      once.table.writeWindows();
    }
    expect(windows.get('7')?.writes).toHaveLength(MAX_WINDOW_WRITES);
    expect(records.size).toBe(900 - MAX_WINDOW_WRITES);
    expect(written).toBeLessThanOrEqual(900 * (MAX_WINDOW_WRITES + 1));
    for (let i = 0; i < 2; i++) {
      for (let sequence = 1; sequence <= 900; sequence++) {
        expect(once.write('7', sequence, 1)).toEqual({ type: 'replay', result: Uint8Array.of(sequence % 256) });
      }
      once.index = 900;
      once.restart();
    }
    // What is acknowledged makes room in the window, and goes from both places.
    expect(once.write('7', 901, 900)).toEqual({ type: 'new' });
    expect(once.write('7', 902, 901)).toEqual({ type: 'new' });
    expect(once.stored()).toEqual(['7:901:902', 's7:901']);
    once.end('7');
    expect(once.stored()).toEqual([]);
  });

  it('is read as it was written before windows had a bound, and comes down to it', () => {
    const once = new Harness();
    const writes = Array.from({ length: 300 }, (_, i) => {
      return { sequence: i + 1, low: 1, high: 2, index: i + 1, time: once.time, result: Uint8Array.of(i % 256) };
    });
    once.windows.set('7', { mark: 1, writes });
    once.table.restoreWindow('7', { mark: 1, writes });
    once.restart();
    expect(once.write('7', 300, 1)).toEqual({ type: 'replay', result: Uint8Array.of(299 % 256) });
    once.write('7', 301, 200);
    expect(once.windows.get('7')?.writes).toHaveLength(300);
    once.write('7', 302, 290);
    once.write('7', 303, 290);
    expect(once.stored()).toEqual(['7:290:290:291:292:293:294:295:296:297:298:299:300:303', 's7:301', 's7:302']);
  });
});

describe('what the table says that it holds', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap = (): number => {
    collect();
    collect();
    const { used_heap_size: used, external_memory: external } = getHeapStatistics();
    return used + external;
  };
  const COUNT = 40_000;
  const record = (index: number, result: Uint8Array): OnceRecord => ({
    // As large as they are in earnest: small integers would take no room of their own.
    fingerprint: [(index * 2_654_435_761) >>> 0, (index * 2_246_822_519) >>> 0],
    index: 2 ** 32 + index,
    time: 1_800_000_000_000 + index,
    lowestUnanswered: 0,
    result,
  });
  const [short, long] = [new Uint8Array(12), new Uint8Array(300)];
  /** One string in memory, as what was decoded is; not one that is made of parts. */
  const keyOf = (i: number): string => Buffer.from(`018f6b4c-7cc0-98f2-${i}`.padEnd(36, 'e')).toString('latin1');

  it.each<[what: string, stored: number, store: (table: OnceTable, i: number) => void]>([
    ['answers in windows', 0, (table, i) => table.storeSequence(`${1e6 + (i >> 6)}`, i & 63, record(i, short))],
    ['a session each', 0, (table, i) => table.storeSequence(`${1e6 + i}`, 1, record(i, short))],
    ['long answers', 300, (table, i) => table.storeSequence(`${1e6 + (i >> 9)}`, i & 511, record(i, long))],
    ['keys', 12, (table, i) => table.storeKey(keyOf(i), record(i, short))],
  ])('is what they take in memory, within a quarter: %s', (_, stored, store) => {
    const nothing = (): void => {};
    const table = new OnceTable(
      {
        get: () => assert.fail('nothing is read'),
        set: nothing,
        delete: nothing,
        setWindow: nothing,
        deleteWindow: nothing,
      },
      { maxWindow: COUNT, maxKeys: COUNT, maxBytes: 1e9 },
    );
    const before = heap();
    for (let i = 0; i < COUNT; i++) store(table, i);
    table.writeWindows();
    const grown = heap() - before;
    const share = (table.bytes - stored * COUNT) / grown;
    expect(share).toBeGreaterThan(0.75);
    expect(share).toBeLessThan(1.33);
  });
});

/** Remembers everything for ever, and knows what it may answer with. */
class Model {
  readonly #limits: OnceLimits;
  #writes: { name: string; session: string | null; sequence: number; print: string; time: number; bytes: number }[] =
    [];
  #marks = new Map<string, number>();

  constructor(limits: OnceLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return (
      this.#writes.reduce((sum, write) => sum + write.bytes, 0) +
      [...this.#marks.keys()].reduce((sum, session) => sum + session.length + COSTS.session, 0)
    );
  }

  tick(time: number): void {
    for (let i = 0; i < 8; i++) {
      const oldest = this.#writes.find(({ session }) => session === null);
      if (oldest === undefined || oldest.time > time - KEEP_KEYS_MS) return;
      this.#writes = this.#writes.filter((write) => write !== oldest);
    }
  }

  key(key: string, print: string, time: number, resultBytes: number): OnceVerdict['type'] {
    const name = `k${key}`;
    const known = this.#writes.find((write) => write.name === name);
    if (known !== undefined) return known.print === print ? 'replay' : 'mismatch';
    const keys = this.#writes.filter(({ session }) => session === null).length;
    if (keys >= this.#limits.maxKeys || this.bytes >= this.#limits.maxBytes) return 'full';
    this.#writes.push({
      name,
      session: null,
      sequence: 0,
      print,
      time,
      bytes: name.length + resultBytes + COSTS.write,
    });
    return 'new';
  }

  write(session: string, sequence: number, lowest: number, print: string, resultBytes: number): OnceVerdict['type'] {
    const name = `s${session}:${sequence}`;
    const own = this.#writes.filter((write) => write.session === session);
    const known = own.find((write) => write.name === name);
    if (known !== undefined) return known.print === print ? 'replay' : 'mismatch';
    const before = this.#marks.get(session) ?? 0;
    if (sequence < before) return 'forgotten';
    const mark = Math.max(before, lowest);
    const stays = own.filter((write) => write.sequence >= mark);
    if (stays.length >= this.#limits.maxWindow) return 'full';
    if (this.bytes >= this.#limits.maxBytes && stays.length < own.length) this.#forget(session, mark);
    if (this.bytes >= this.#limits.maxBytes) return 'full';
    const bytes = session.length + resultBytes + COSTS.write + (resultBytes > 256 ? 0 : COSTS.answer);
    this.#writes.push({ name, session, sequence, print, time: 0, bytes });
    this.#forget(session, mark);
    return 'new';
  }

  #forget(session: string, mark: number): void {
    this.#writes = this.#writes.filter((write) => write.session !== session || write.sequence >= mark);
    this.#marks.set(session, mark);
  }

  end(session: string): void {
    this.#writes = this.#writes.filter((write) => write.session !== session);
    this.#marks.delete(session);
  }
}

const stepArbitrary = fc.record({
  what: fc.oneof(
    { weight: 6, arbitrary: fc.record({ key: fc.constantFrom('', 'a', 'b', 's7:1', ':', '\ufeff') }) },
    {
      weight: 12,
      arbitrary: fc.record({ session: fc.constantFrom('7', '8', '77'), ahead: fc.integer({ min: -4, max: 3 }) }),
    },
    { weight: 1, arbitrary: fc.record({ end: fc.constantFrom('7', '8') }) },
  ),
  acknowledged: fc.nat(6),
  print: fc.nat(12).map((n) => (n === 0 ? 1 : 0)),
  resultBytes: fc.constantFrom(0, 1, 200, 257),
  passMs: fc.constantFrom(0, 0, 1, KEEP_KEYS_MS / 4, KEEP_KEYS_MS),
  restart: fc.nat(9).map((n) => n === 0),
});

describe('OnceTable and a model that keeps lists', () => {
  it('agree on every verdict, restarts at any point included', () => {
    const limits = fc.record({
      maxWindow: fc.constantFrom(2, 5, 100),
      maxKeys: fc.constantFrom(2, 100),
      maxBytes: fc.constantFrom(1500, 4000, 1_000_000),
    });
    const steps = fc.array(stepArbitrary, { minLength: 1, maxLength: 100, size: 'max' });
    const seen = new Set<string>();
    fc.assert(
      fc.property(limits, steps, (limits, steps) => {
        const once = new Harness(limits);
        const model = new Model(limits);
        const next = new Map<string, number>();
        for (const { what, acknowledged, print, resultBytes, passMs, restart } of steps) {
          once.time += passMs;
          model.tick(once.time);
          let given: OnceVerdict | null = null;
          let wanted: OnceVerdict['type'] | null = null;
          if ('key' in what) {
            given = once.key(what.key, [print, 0], resultBytes);
            wanted = model.key(what.key, String(print), once.time, resultBytes);
          } else if ('session' in what) {
            const sequence = Math.max(1, (next.get(what.session) ?? 1) + what.ahead);
            const lowest = Math.max(0, sequence - acknowledged);
            next.set(what.session, Math.max(sequence, next.get(what.session) ?? 1));
            given = once.write(what.session, sequence, lowest, [print, 0], resultBytes);
            wanted = model.write(what.session, sequence, lowest, String(print), resultBytes);
          } else {
            once.table.tick(once.time);
            once.end(what.end);
            model.end(what.end);
          }
          expect(given?.type ?? null).toBe(wanted);
          expect(once.table.bytes).toBe(model.bytes);
          if (given !== null) seen.add(given.type);
          if (restart) once.restart();
        }
      }),
      { numRuns: 500 },
    );
    expect([...seen].toSorted()).toEqual(['forgotten', 'full', 'mismatch', 'new', 'replay']);
  });
});
