import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RaftLog } from '../../src/raft/log.ts';
import { Writes } from '../../src/raft/writes.ts';
import type { Entry, LogReader } from '../../src/raft/types.ts';

function entry(index: number, term: number, size = 10): Entry {
  return { index, term, kind: 'command', data: new Uint8Array(size) };
}

/** What a disk holds: changed only when a write is applied to it. */
class Disk implements LogReader {
  first = 1;
  baseTerm = 0;
  stored: Entry[] = [];
  reads = 0;

  firstIndex(): number {
    return this.first;
  }

  lastIndex(): number {
    return this.first - 1 + this.stored.length;
  }

  term(index: number): number | undefined {
    this.reads++;
    return index === this.first - 1 ? this.baseTerm : this.stored[index - this.first]?.term;
  }

  entries(from: number, to: number, maxBytes: number): Entry[] {
    this.reads++;
    const found: Entry[] = [];
    let bytes = 0;
    for (let index = Math.max(from, this.first); index < to && index <= this.lastIndex(); index++) {
      const one = this.stored[index - this.first]!;
      bytes += one.data.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(one);
    }
    return found;
  }

  write(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    this.stored.length = entries[0]!.index - this.first;
    this.stored.push(...entries);
  }
}

function logOf(terms: number[], maxCachedBytes = 1e6): { log: RaftLog; disk: Disk } {
  const disk = new Disk();
  disk.stored = terms.map((term, i) => entry(i + 1, term));
  return { log: new RaftLog(disk, maxCachedBytes), disk };
}

type Step =
  | { type: 'append'; count: number; size: number }
  | { type: 'overwrite'; back: number; count: number }
  | { type: 'ready' }
  | { type: 'persisted'; count: number }
  | { type: 'compact' | 'snapshot'; ahead: number };

describe('the log', () => {
  test('appends, truncations, writes in flight, compactions and snapshots leave what a plain array has', () => {
    // Plain assertions: these run some ten thousand times.
    const action: fc.Arbitrary<Step> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ type: fc.constant('append' as const), count: fc.nat(4), size: fc.nat(40) }) },
      {
        weight: 2,
        arbitrary: fc.record({ type: fc.constant('overwrite' as const), back: fc.nat(5), count: fc.nat(4) }),
      },
      { weight: 3, arbitrary: fc.record({ type: fc.constant('ready' as const) }) },
      {
        weight: 3,
        arbitrary: fc.record({ type: fc.constant('persisted' as const), count: fc.integer({ min: 1, max: 3 }) }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('compact' as const), ahead: fc.nat(4) }) },
      {
        weight: 1,
        arbitrary: fc.record({ type: fc.constant('snapshot' as const), ahead: fc.integer({ min: 1, max: 3 }) }),
      },
    );
    const run = (maxCachedBytes: number, actions: Step[]): void => {
      const disk = new Disk();
      const log = new RaftLog(disk, maxCachedBytes);
      const writes = new Writes(0, null);
      // The plain array, and the writes on their way: each with what to do to the disk.
      let first = 1;
      let baseTerm = 0;
      let model: Entry[] = [];
      let term = 1;
      let handedOut = 0;
      let snapshot: { index: number; term: number } | null = null;
      const inFlight: { seq: number; apply: () => void }[] = [];
      const last = (): number => first - 1 + model.length;
      for (const step of actions) {
        if (step.type === 'append' || step.type === 'overwrite') {
          const size = step.type === 'append' ? step.size : 7;
          if (step.type === 'overwrite') {
            term++;
            const from = Math.max(first, last() + 1 - step.back);
            model.length = from - first;
            log.truncate(from);
            writes.clip(from - 1);
            handedOut = Math.min(handedOut, from - 1);
          }
          const added = Array.from({ length: step.count }, (_, i) => entry(last() + 1 + i, term, size));
          model.push(...added);
          log.append(added);
        } else if (step.type === 'ready') {
          const expected = model.slice(Math.max(0, handedOut + 1 - first));
          assert.equal(log.hasUnstable, expected.length > 0);
          const entries = log.takeUnstable();
          assert.deepEqual(entries, expected);
          assert.equal(log.hasUnstable, false);
          handedOut = last();
          const reset = snapshot;
          snapshot = null;
          const apply = (): void => {
            if (reset !== null) {
              disk.first = reset.index + 1;
              disk.baseTerm = reset.term;
              disk.stored = [];
            }
            disk.write(entries);
          };
          inFlight.push({ seq: writes.add(log.lastIndex, term, null, true, 0), apply });
        } else if (step.type === 'persisted') {
          const done = inFlight.splice(0, step.count);
          for (const write of done) write.apply();
          if (done.length > 0 && writes.complete(done.at(-1)!.seq, 0)) log.persistTo(writes.lastIndex);
        } else if (step.type === 'compact') {
          const index = Math.min(first - 1 + step.ahead, log.persisted);
          if (index < first || disk.first > index || snapshot !== null) continue;
          baseTerm = model[index - first]!.term;
          disk.stored.splice(0, index + 1 - disk.first);
          disk.first = index + 1;
          disk.baseTerm = baseTerm;
          model = model.slice(index + 1 - first);
          first = index + 1;
          log.compact(index);
        } else {
          // Nothing of the old log is taken as committed here, so nothing of it counts as persisted any more.
          const index = last() + step.ahead;
          snapshot = { index, term };
          writes.clip(first - 1);
          log.reset(index, term, first - 1);
          first = index + 1;
          baseTerm = term;
          model = [];
          handedOut = index;
        }
        assert.equal(log.firstIndex, first);
        assert.equal(log.lastIndex, last());
        assert.equal(log.lastTerm, model.at(-1)?.term ?? baseTerm);
        for (let index = first - 2; index <= last() + 1; index++) {
          assert.equal(log.term(index), index === first - 1 ? baseTerm : model[index - first]?.term);
        }
        // What is said to be on disk is there, and is what the log says it is; later writes only make it longer.
        assert.ok(log.persisted <= last());
        for (let index = first; index <= log.persisted; index++)
          assert.equal(disk.stored[index - disk.first], model[index - first]);
        assert.ok(log.cachedBytes <= maxCachedBytes);
        for (let from = first; from <= last(); from++) {
          const got: Entry[] = [];
          while (from + got.length <= last()) {
            const part = log.slice(from + got.length, last() + 1, 25);
            assert.ok(part.length > 0);
            if (part.length > 1) assert.ok(part.reduce((sum, one) => sum + one.data.length, 0) <= 25);
            got.push(...part);
          }
          assert.deepEqual(got, model.slice(from - first));
        }
      }
    };
    fc.assert(
      fc.property(fc.constantFrom(0, 100, 300, 1e6), fc.array(action, { maxLength: 50 }), (maxCachedBytes, actions) => {
        run(maxCachedBytes, actions);
      }),
      { numRuns: 600 },
    );
  });

  test('the hint search finds what a scan finds', () => {
    const terms = fc.array(fc.nat(5), { minLength: 1, maxLength: 40 }).map((list) => list.toSorted((a, b) => a - b));
    fc.assert(
      fc.property(terms, fc.nat(6), fc.nat(40), fc.nat(40), (list, term, a, b) => {
        const { log } = logOf(list);
        const low = Math.min(a, b, list.length);
        const high = Math.min(Math.max(a, b), list.length);
        let expected = high;
        while (expected >= low && (log.term(expected) ?? 0) > term) expected--;
        expect(log.lastIndexUpToTerm(low, high, term)).toBe(expected);
      }),
    );
  });

  test('a long divergence costs a few reads', () => {
    const { log, disk } = logOf(Array.from({ length: 10_000 }, (_, i) => (i < 3 ? 1 : 2)));
    disk.reads = 0;
    expect(log.lastIndexUpToTerm(0, 10_000, 1)).toBe(3);
    expect(disk.reads).toBeLessThan(20);
  });

  test('entries that are in memory are not read from disk, older ones are', () => {
    const { log, disk } = logOf([1, 1]);
    log.append([entry(3, 1), entry(4, 1), entry(5, 1)]);
    disk.reads = 0;
    expect(log.slice(3, 6, 1e6)).toHaveLength(3);
    expect(log.term(4)).toBe(1);
    expect(disk.reads).toBe(0);
    expect(log.slice(1, 6, 1e6).map((one) => one.index)).toEqual([1, 2]);
    expect(disk.reads).toBe(1);
  });

  test('only what is persisted may leave memory, whatever the limit is', () => {
    const { log, disk } = logOf([], 0);
    log.append([entry(1, 1), entry(2, 1), entry(3, 1)]);
    disk.write(log.takeUnstable());
    disk.reads = 0;
    log.slice(1, 4, 1e6);
    expect(disk.reads).toBe(0);
    log.persistTo(2);
    expect(log.cachedBytes).toBe(0);
    expect(log.slice(1, 4, 1e6).map((one) => one.index)).toEqual([1, 2]);
    expect(disk.reads).toBe(1);
    expect(log.slice(3, 4, 1e6).map((one) => one.index)).toEqual([3]);
  });

  test('a log is as up to date as its last term, then as its length (§5.4.1)', () => {
    const { log } = logOf([1, 2, 2]);
    expect(log.isUpToDate(3, 2)).toBe(true);
    expect(log.isUpToDate(4, 2)).toBe(true);
    expect(log.isUpToDate(1, 3)).toBe(true);
    expect(log.isUpToDate(2, 2)).toBe(false);
    expect(log.isUpToDate(9, 1)).toBe(false);
  });

  test('holes, falling terms and cuts into the compacted log are impossible', () => {
    const { log } = logOf([1, 2]);
    expect(() => log.append([entry(4, 2)])).toThrow('after 2');
    expect(() => log.append([entry(3, 1)])).toThrow('after term 2');
    log.compact(1);
    expect(() => log.truncate(1)).toThrow('compacted');
    expect(() => log.persistTo(3)).toThrow('handed out');
    expect(() => log.compact(3)).toThrow('persisted');
    expect(() => log.slice(1, 2, 10)).toThrow('slice');
  });
});

describe('writes under way', () => {
  test('a write whose entries were overwritten proves nothing, even when the same entry comes back (ABA)', () => {
    const writes = new Writes(1, null);
    const a = writes.add(1, 1, null, true, 0);
    writes.clip(0);
    const b = writes.add(1, 2, null, true, 0);
    writes.clip(0);
    const c = writes.add(1, 3, null, true, 0);
    writes.complete(a, 0);
    expect(writes.lastIndex).toBe(0);
    writes.complete(b, 0);
    expect(writes.lastIndex).toBe(0);
    writes.complete(c, 0);
    expect(writes).toMatchObject({ lastIndex: 1, term: 3 });
  });

  test('are answered for in order, also when one call stands for several', () => {
    const writes = new Writes(1, null);
    writes.add(1, 2, '7', true, 0);
    const second = writes.add(5, 2, '7', true, 0);
    expect(writes).toMatchObject({ term: 1, vote: null });
    expect(writes.complete(second, 0)).toBe(true);
    expect(writes).toMatchObject({ term: 2, vote: '7', lastIndex: 5 });
    expect(writes.complete(second, 0)).toBe(false);
    expect(() => writes.complete(3, 0)).toThrow('never handed out');
  });

  test('a disk stalls from when it has something to sync and finishes nothing', () => {
    const writes = new Writes(1, null);
    expect(writes.stalledTicks(50)).toBe(0);
    const lazy = writes.add(0, 1, null, false, 50);
    expect(writes.stalledTicks(60)).toBe(0);
    writes.add(1, 1, null, true, 60);
    expect(writes.stalledTicks(75)).toBe(15);
    // Something was finished: slow, but not stuck.
    writes.complete(lazy, 75);
    expect(writes.stalledTicks(80)).toBe(5);
  });
});
