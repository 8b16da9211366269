/** The obvious twin of one group's log and state: arrays and maps, copied whole at every commit. */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { Entry } from '../../src/raft/types.ts';
import type { GroupStore, Store } from '../../src/storage/types.ts';
import { commit, text } from './harness.ts';

interface Picture {
  readonly compactedIndex: number;
  readonly compactedTerm: number;
  readonly log: readonly { readonly term: number; readonly data: string }[];
  readonly hardState: { readonly term: number; readonly vote: string | null; readonly commit: number };
  readonly flushed: number;
}

export type Step =
  | { readonly type: 'append'; readonly at: number; readonly count: number; readonly newTerm: boolean }
  | { readonly type: 'apply'; readonly count: number; readonly keys: readonly number[] }
  | { readonly type: 'flush'; readonly maxBytes: number }
  | { readonly type: 'compact'; readonly at: number }
  | { readonly type: 'hardState' }
  | { readonly type: 'snapshot'; readonly ahead: number; readonly records: number }
  | { readonly type: 'commit'; readonly sync: boolean }
  | { readonly type: 'restart'; readonly how: 'close' | 'kill' | 'power' };

export class Twin {
  readonly #store: Store;
  readonly #group: GroupStore;
  #now: Picture = {
    compactedIndex: 0,
    compactedTerm: 0,
    log: [],
    hardState: { term: 0, vote: null, commit: 0 },
    flushed: 0,
  };
  #state = new Map<string, string>();
  #applied = 0;
  #term = 1;
  #count = 0;
  /** The whole state as of each applied index. */
  #states = new Map<number, Map<string, string>>([[0, new Map()]]);
  /** What each commit since the last synced one would leave; the synced one first. */
  #possible: Picture[];

  constructor(store: Store, from?: Twin) {
    this.#store = store;
    this.#group = store.group(1);
    this.#possible = [this.#now];
    if (from !== undefined) {
      this.#possible = from.#possible;
      this.#term = from.#term;
      this.#count = from.#count;
      this.#states = from.#states;
    }
  }

  get #last(): number {
    return this.#now.compactedIndex + this.#now.log.length;
  }

  async run(step: Exclude<Step, { type: 'restart' }>): Promise<void> {
    const { log, state } = this.#group;
    const now = this.#now;
    switch (step.type) {
      case 'append': {
        const first = this.#applied + 1 + Math.floor(step.at * (this.#last - this.#applied + 1));
        if (step.newTerm) this.#term++;
        const added: Entry[] = [];
        for (let i = 0; i < step.count; i++) {
          const data = Buffer.from(`${this.#count++}`.padEnd(this.#count % 50, '.'));
          added.push({ index: first + i, term: this.#term, kind: 'command', data });
        }
        log.append(added);
        const kept = now.log.slice(0, first - 1 - now.compactedIndex);
        this.#now = { ...now, log: [...kept, ...added.map(({ term, data }) => ({ term, data: String(data) }))] };
        break;
      }
      case 'apply': {
        const index = Math.min(this.#last, this.#applied + step.count);
        if (index === this.#applied) return;
        for (const key of step.keys) {
          if (key % 3 === 0) {
            state.delete(Buffer.from(`k${key % 20}`));
            this.#state.delete(`k${key % 20}`);
          } else {
            const value = `${this.#count++}`;
            const name = Buffer.from(`k${key % 20}`);
            if (key % 2 === 0) {
              let made = 0;
              const make = (): Uint8Array => {
                assert.equal(++made, 1);
                return Buffer.from(value);
              };
              state.putLater?.(name, value.length, make, !this.#state.has(`k${key % 20}`));
            } else state.put(name, Buffer.from(value));
            this.#state.set(`k${key % 20}`, value);
          }
        }
        state.seal({ index, term: this.#termOf(index) });
        this.#applied = index;
        this.#states.set(index, new Map(this.#state));
        break;
      }
      case 'flush':
        state.stageFlush(step.maxBytes);
        break;
      case 'compact': {
        // Only what is flushed may go.
        const index = now.compactedIndex + Math.floor(step.at * (state.flushed.index - now.compactedIndex));
        log.compact(index);
        const compactedTerm = this.#termOf(index);
        this.#now = { ...now, compactedIndex: index, compactedTerm, log: now.log.slice(index - now.compactedIndex) };
        break;
      }
      case 'hardState': {
        const hardState = { term: this.#term, vote: this.#count % 2 === 0 ? null : '7', commit: this.#applied };
        log.setHardState(hardState);
        this.#now = { ...now, hardState };
        break;
      }
      case 'snapshot':
        await this.#receive(step.ahead, step.records);
        break;
      case 'commit':
        await this.#commit(step.sync);
        break;
    }
  }

  check(): void {
    const { log, state } = this.#group;
    const { compactedIndex, compactedTerm, log: entries, hardState } = this.#now;
    assert.deepEqual([log.firstIndex(), log.lastIndex()], [compactedIndex + 1, this.#last]);
    assert.equal(log.term(compactedIndex), compactedTerm);
    assert.equal(log.term(compactedIndex - 1), undefined);
    assert.equal(log.term(this.#last + 1), undefined);
    const found = log.entries(compactedIndex + 1, this.#last + 1, Infinity);
    assert.deepEqual(
      found.map(({ term, data }) => ({ term, data: text(data) })),
      entries,
    );
    assert.deepEqual(
      found.map(({ index }) => log.term(index)),
      entries.map(({ term }) => term),
    );
    assert.deepEqual(log.hardState, hardState);
    for (let key = 0; key < 20; key++)
      assert.equal(text(state.get(Buffer.from(`k${key}`))), this.#state.get(`k${key}`));
  }

  /** After a restart: what is there is one of the possible pictures, and its state is that of its position. */
  async adopt(how: 'close' | 'kill' | 'power'): Promise<void> {
    const { log, state } = this.#group;
    const entries = log.entries(log.firstIndex(), log.lastIndex() + 1, Infinity);
    const found: Picture = {
      compactedIndex: log.firstIndex() - 1,
      compactedTerm: log.term(log.firstIndex() - 1) as number,
      log: entries.map(({ term, data }) => ({ term, data: text(data) as string })),
      hardState: log.hardState,
      flushed: state.flushed.index,
    };
    const possible = how === 'power' ? this.#possible : this.#possible.slice(-1);
    assert.ok(
      possible.some((picture) => isDeepStrictEqual(picture, found)),
      `${JSON.stringify(found)} is none of ${JSON.stringify(possible)}`,
    );
    const records = new Map<string, string>();
    await state.scan(({ key, value }) => records.set(text(key) as string, text(value) as string));
    assert.deepEqual(records, this.#states.get(found.flushed));
    this.#now = found;
    this.#possible = [found];
    this.#state = records;
    this.#applied = found.flushed;
    this.check();
  }

  #termOf(index: number): number {
    const { compactedIndex, compactedTerm, log } = this.#now;
    return index === compactedIndex ? compactedTerm : (log[index - compactedIndex - 1]?.term ?? 0);
  }

  async #commit(sync: boolean): Promise<void> {
    await commit(this.#store, sync);
    this.#now = { ...this.#now, flushed: this.#group.state.flushed.index };
    if (sync) this.#possible = [];
    this.#possible.push(this.#now);
  }

  async #receive(ahead: number, count: number): Promise<void> {
    await this.#commit(false);
    const { log, state } = this.#group;
    const index = this.#applied + 1 + ahead;
    const term = ++this.#term;
    const receiver = await state.receiveSnapshot({ source: 's', index, term });
    const records = Array.from({ length: count }, (_, i) => [`k${10 + (i % 10)}`, `${this.#count++}`] as const);
    const sorted = [...new Map(records)].sort(([a], [b]) => (a < b ? -1 : 1));
    await receiver.write(sorted.map(([key, value]) => ({ key: Buffer.from(key), value: Buffer.from(value) })));
    receiver.stageInstall({
      index,
      term,
      configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    });
    log.reset(index, term);
    this.#now = { ...this.#now, compactedIndex: index, compactedTerm: term, log: [] };
    this.#state = new Map(sorted);
    this.#applied = index;
    this.#states.set(index, new Map(sorted));
    this.check();
    await this.#commit(true);
  }
}
