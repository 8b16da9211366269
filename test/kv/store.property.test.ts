import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvStore } from '../../src/kv/store.ts';
import type { KvStoreOptions } from '../../src/kv/store.ts';
import { isSettingsKey } from '../../src/kv/settings.ts';
import { isHistoryKey } from '../../src/kv/record.ts';
import { operationArbitrary, queryArbitrary, stepsArbitrary, timedStepsArbitrary } from './arbitraries.ts';
import { MemoryView } from './memory-view.ts';
import { CONTEXT, Model, type Step } from './model.ts';

/** A store, and the state-machine time that it is told. */
class Driver {
  readonly view = new MemoryView();
  store: KvStore;
  time = 0;

  constructor(options: KvStoreOptions = {}) {
    this.store = new KvStore(this.view, options);
  }

  run(step: Step): object | null {
    const { store } = this;
    if (step.type === 'tick') this.time += step.ms;
    store.tick(this.time);
    switch (step.type) {
      case 'put':
        return store.put(step);
      case 'delete':
        return store.delete(step);
      case 'deleteRange':
        return store.deleteRange(step);
      case 'txn':
        return store.txn(step, CONTEXT);
      case 'endLease': {
        const keys = step.leases.flatMap((lease) => store.keysOf(lease));
        const before = store.revision;
        const deleted = store.deleteKeys(keys);
        return store.revision === before ? { deleted } : { deleted, revision: store.revision };
      }
      case 'compact':
        return store.compact(store.revision - step.back);
      case 'configure': {
        const { type: _, ...settings } = step;
        store.configure(settings);
        return null;
      }
      case 'tick':
        return null;
    }
  }

  restart(): void {
    const next = new KvStore(this.view, { keepRevisions: 7, keepMs: 3, quotaBytes: 1 });
    for (const { key, value } of this.view.records()) {
      if (isSettingsKey(key)) next.restoreSettings(value);
      else next.restore(key, value);
      // A store must not hold on to what a scan lends it.
      key.fill(0xee);
      value.fill(0xee);
    }
    next.restored(this.store.state);
    this.store = next;
  }

  get historyRecords(): number {
    return this.view.records().filter(({ key }) => isHistoryKey(key)).length;
  }
}

const LEASES = ['1', '18446744073709551615', '2'];

/** All that watches are given. */
function changesOf(store: KvStore, revision: number) {
  return store.changes(revision).map((change) => ({ ...change, prev: store.prevOf(change) }));
}

/** Words are for people. */
function withoutMessage(result: object | null): object | null {
  return result !== null && 'message' in result ? { ...result, message: '' } : result;
}

const EVERYTHING = { start: '', end: null, limit: 1000, after: null, keysOnly: false, countOnly: false };

describe('KvStore against the obvious model', () => {
  it('gives the same results, and reads the same now and at every revision that is kept', () => {
    fc.assert(
      fc.property(
        fc.array(stepsArbitrary, { minLength: 1, maxLength: 60 }),
        fc.array(queryArbitrary, { minLength: 3, maxLength: 3 }),
        fc.nat(20),
        fc.constantFrom(0, 0, 600, 3000, 30_000),
        (steps, queries, keepRevisions, quotaBytes) => {
          const driver = new Driver({ keepRevisions, quotaBytes, keepMs: 0 });
          const { store } = driver;
          const model = new Model({ keepRevisions, quotaBytes });
          for (const step of steps) {
            const result = driver.run(step);
            expect(withoutMessage(result)).toEqual(model.apply(step));
            expect(store.revision).toBe(model.revision);
            expect(store.compactedRevision).toBe(model.compactedRevision);
            expect(store.bytes).toBe(model.bytes);
            const now = model.allAt(model.revision);
            expect(store.keyCount).toBe(now.length);
            for (const lease of LEASES) {
              expect(store.keysOf(lease)).toEqual(model.keysOf(lease));
              expect(store.keyCountOf(lease)).toBe(model.keysOf(lease).length);
            }
            if ('key' in step) {
              expect(store.get(step.key)).toEqual(model.get(step.key));
              expect(store.meta(step.key)?.size).toBe(model.get(step.key)?.value.length);
            }
          }
          expect(driver.historyRecords).toBe(model.recordsKept);
          for (let revision = store.compactedRevision; revision <= store.revision; revision++) {
            expect(store.range(EVERYTHING, revision).entries).toEqual(model.allAt(revision));
            for (const query of queries) {
              const answer = model.range(query, revision);
              expect(store.range(query, revision)).toEqual(answer);
              expect(store.range({ ...query, knownCount: answer.count }, revision)).toEqual(answer);
            }
            for (const { key } of model.allAt(model.revision)) {
              expect(store.getAt(key, revision)).toEqual(model.getAt(key, revision));
            }
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('gives every change of every revision above the compacted one, and what was there before, after every step', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(timedStepsArbitrary, fc.integer({ min: 0, max: 9 })), { minLength: 1, maxLength: 40 }),
        fc.nat(10),
        (steps, keepRevisions) => {
          const driver = new Driver({ keepRevisions, keepMs: 20, quotaBytes: 3000 });
          // Of the model only what was written is asked, so that it need not know of time; a refusal is not written.
          const model = new Model();
          for (const [step, dice] of steps) {
            if (dice === 0) driver.restart();
            const result = driver.run(step);
            if (step.type !== 'compact' && step.type !== 'configure' && !(result !== null && 'message' in result)) {
              model.apply(step);
            }
            const { store } = driver;
            expect(store.revision).toBe(model.revision);
            const { compactedRevision } = store;
            for (let revision = compactedRevision + 1; revision <= store.revision; revision++) {
              const changes = changesOf(store, revision);
              expect(changes).toEqual(model.changes(revision));
              expect(changes.length).toBeGreaterThan(0);
            }
            expect(() => store.changes(compactedRevision)).toThrow(
              expect.objectContaining({ code: 'ERR_COMPACTED', details: { compactRevision: compactedRevision } }),
            );
            expect(() => store.changes(store.revision + 1)).toThrow(
              expect.objectContaining({ code: 'ERR_FUTURE_REVISION', details: { revision: store.revision } }),
            );
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('keeps exactly the records that readable revisions need, once it has caught up', () => {
    fc.assert(
      fc.property(
        fc.array(operationArbitrary, { minLength: 1, maxLength: 80 }),
        fc.nat(10),
        (operations, keepRevisions) => {
          const driver = new Driver({ keepRevisions });
          const model = new Model();
          const quiet = { type: 'put', key: 'q', value: new Uint8Array(1), contentType: null, lease: null } as const;
          for (const operation of operations) {
            driver.run(operation);
            model.apply(operation);
          }
          for (let i = 0; i < 20; i++) {
            driver.run({ ...quiet, key: `q${i}`, prev: false, condition: null });
            model.apply({ ...quiet, key: `q${i}`, prev: false, condition: null });
          }
          expect(driver.historyRecords).toBe(model.recordsNeeded(driver.store.revision - keepRevisions));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is the same store after a restart at any point: answers, later outcomes, and bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(timedStepsArbitrary, fc.integer({ min: 0, max: 9 })), { minLength: 1, maxLength: 80 }),
        fc.nat(12),
        fc.constantFrom(0, 10, 200),
        fc.constantFrom(0, 600, 3000, 30_000),
        (steps, keepRevisions, keepMs, quotaBytes) => {
          const steady = new Driver({ keepRevisions, keepMs, quotaBytes });
          const restarted = new Driver({ keepRevisions, keepMs, quotaBytes });
          for (const [i, [step, dice]] of steps.entries()) {
            // Before the first command there is nothing stored yet that could say what the settings are.
            if (dice === 0 && i > 0) restarted.restart();
            expect(restarted.run(step)).toEqual(steady.run(step));
            expect(restarted.store.state).toEqual(steady.store.state);
            expect(restarted.store.settings).toEqual(steady.store.settings);
            expect(restarted.store.bytes).toBe(steady.store.bytes);
            expect(restarted.store.supersededVersions).toBe(steady.store.supersededVersions);
            for (const lease of LEASES) expect(restarted.store.keysOf(lease)).toEqual(steady.store.keysOf(lease));
            if (dice === 1) expect(restarted.view.records()).toEqual(steady.view.records());
          }
          expect(restarted.view.records()).toEqual(steady.view.records());
          const { store } = steady;
          for (let revision = store.compactedRevision; revision <= store.revision; revision++) {
            expect(restarted.store.range(EVERYTHING, revision)).toEqual(store.range(EVERYTHING, revision));
            if (revision > store.compactedRevision) {
              expect(changesOf(restarted.store, revision)).toEqual(changesOf(store, revision));
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('walks pages of a pinned revision to the end while writes go on', () => {
    fc.assert(
      fc.property(
        fc.array(operationArbitrary, { minLength: 1, maxLength: 40 }),
        fc.array(operationArbitrary, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        (before, meanwhile, limit) => {
          const driver = new Driver();
          const { store } = driver;
          for (const operation of before) driver.run(operation);
          const pinned = store.revision;
          const expected = store.range(EVERYTHING);
          const seen: unknown[] = [];
          let after: string | null = null;
          let knownCount: number | null = null;
          for (let page = 0; ; page++) {
            const answer = store.range({ ...EVERYTHING, limit, after, knownCount }, pinned);
            expect(answer.count).toBe(expected.count);
            seen.push(...answer.entries);
            if (!answer.more) break;
            after = answer.entries.at(-1)?.key ?? null;
            knownCount = page % 2 === 0 ? answer.count : null;
            for (let i = 0; i < 3; i++) {
              const operation = meanwhile.shift();
              if (operation !== undefined) driver.run(operation);
            }
          }
          expect(seen).toEqual(expected.entries);
        },
      ),
      { numRuns: 200 },
    );
  });
});
