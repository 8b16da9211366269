import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvStore } from '../../src/kv/store.ts';
import { operationArbitrary, queryArbitrary } from './arbitraries.ts';
import { MemoryView } from './memory-view.ts';
import { Model, type ModelOperation } from './model.ts';

function run(store: KvStore, operation: ModelOperation) {
  switch (operation.type) {
    case 'put':
      return store.put(operation);
    case 'delete':
      return store.delete(operation);
    case 'deleteRange':
      return store.deleteRange(operation);
  }
}

function restart(store: KvStore, view: MemoryView): KvStore {
  const next = new KvStore(view, { keepRevisions: 7 });
  for (const { key, value } of view.records()) {
    next.restore(key, value);
    // A store must not hold on to what a scan lends it.
    key.fill(0xee);
    value.fill(0xee);
  }
  next.restored(store.state);
  return next;
}

const EVERYTHING = { start: '', end: null, limit: 1000, after: null, keysOnly: false, countOnly: false };

describe('KvStore against the obvious model', () => {
  it('gives the same results, and reads the same now and at every revision that is kept', () => {
    fc.assert(
      fc.property(
        fc.array(operationArbitrary, { minLength: 1, maxLength: 60 }),
        fc.array(queryArbitrary, { minLength: 3, maxLength: 3 }),
        fc.nat(20),
        (operations, queries, keepRevisions) => {
          const view = new MemoryView();
          const store = new KvStore(view, { keepRevisions });
          const model = new Model();
          for (const operation of operations) {
            expect(run(store, operation)).toEqual(model.apply(operation));
            expect(store.revision).toBe(model.revision);
            expect(store.compactedRevision).toBeLessThanOrEqual(Math.max(0, store.revision - keepRevisions));
            expect(store.keyCount).toBe(model.allAt(model.revision).length);
            const key = operation.type === 'deleteRange' ? operation.start : operation.key;
            expect(store.get(key)).toEqual(model.get(key));
            expect(store.meta(key)?.size).toBe(model.get(key)?.value.length);
          }
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
      { numRuns: 300 },
    );
  });

  it('keeps exactly the records that readable revisions need, once it has caught up', () => {
    fc.assert(
      fc.property(
        fc.array(operationArbitrary, { minLength: 1, maxLength: 80 }),
        fc.nat(10),
        (operations, keepRevisions) => {
          const view = new MemoryView();
          const store = new KvStore(view, { keepRevisions });
          const model = new Model();
          const quiet = { type: 'put', key: 'q', value: new Uint8Array(1), contentType: null, lease: null } as const;
          for (const operation of operations) {
            run(store, operation);
            model.apply(operation);
          }
          for (let i = 0; i < 20; i++) {
            run(store, { ...quiet, key: `q${i}`, prev: false, condition: null });
            model.apply({ ...quiet, key: `q${i}`, prev: false, condition: null });
          }
          expect(view.map.size).toBe(model.recordsNeeded(store.revision - keepRevisions));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is the same store after a restart at any point: answers, later outcomes, and bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(operationArbitrary, fc.integer({ min: 0, max: 9 })), { minLength: 1, maxLength: 80 }),
        fc.nat(12),
        (steps, keepRevisions) => {
          const steadyView = new MemoryView();
          const steady = new KvStore(steadyView, { keepRevisions });
          const view = new MemoryView();
          let store = new KvStore(view, { keepRevisions });
          for (const [operation, dice] of steps) {
            if (dice === 0) store = restart(store, view);
            expect(run(store, operation)).toEqual(run(steady, operation));
            expect(store.state).toEqual(steady.state);
            expect(store.supersededVersions).toBe(steady.supersededVersions);
          }
          expect(view.records()).toEqual(steadyView.records());
          for (let revision = steady.compactedRevision; revision <= steady.revision; revision++) {
            expect(store.range(EVERYTHING, revision)).toEqual(steady.range(EVERYTHING, revision));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('walks pages of a pinned revision to the end while writes go on', () => {
    fc.assert(
      fc.property(
        fc.array(operationArbitrary, { minLength: 1, maxLength: 40 }),
        fc.array(operationArbitrary, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        (before, meanwhile, limit) => {
          const store = new KvStore(new MemoryView());
          for (const operation of before) run(store, operation);
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
              if (operation !== undefined) run(store, operation);
            }
          }
          expect(seen).toEqual(expected.entries);
        },
      ),
      { numRuns: 200 },
    );
  });
});
