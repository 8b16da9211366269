/** A row of writes and the watchers of it, for scenarios: what was written at which revision, and what each watcher was told. */
import { check, type Operation } from '../../../src/checker/index.ts';
import type { Client } from '../../../src/client/index.ts';
import { ALWAYS } from '../kv-client.ts';
import type { LabNode } from '../types.ts';
import type { Stage } from './stage.ts';

export interface Told {
  readonly revision: number;
  readonly events: readonly { readonly type: 'put' | 'delete'; readonly key: string; readonly value: string | null }[];
}

export class WatchRecord {
  readonly prefix: string;
  /** The highest revision that was acknowledged. */
  lastRevision = 0;
  writes = 0;
  readonly #stage: Stage;
  readonly #operations: Operation[] = [];
  #clients = 0;

  constructor(stage: Stage, prefix: string) {
    this.#stage = stage;
    this.prefix = prefix;
  }

  nowUs(): number {
    return Math.floor(performance.now() * 1000);
  }

  /** One attempt; the revision when it was acknowledged. Keys repeat, values do not. */
  async write(target: LabNode, keys: number): Promise<number | null> {
    const number = ++this.writes;
    const [key, value] = [`${this.prefix}${number % keys}`, `v${number}`];
    const call = this.nowUs();
    const result = await this.#stage.client.put(target, key, value, ALWAYS, this.#stage.lab.signal);
    if (result.type === 'refused') throw new Error('unreachable: there was no condition');
    const revision = result.type === 'written' ? result.revision : null;
    this.#operations.push({
      ...{ client: `writer ${++this.#clients}`, op: 'put', key, input: value, output: revision, call },
      return: revision === null ? null : this.nowUs(),
      ...(result.type === 'fail' ? { fail: true } : {}),
    });
    if (revision !== null) this.lastRevision = Math.max(this.lastRevision, revision);
    return revision;
  }

  /** One watch of a watcher, from its first wanted revision to where it claims to be complete. */
  watched(watcher: string, from: number, batches: readonly Told[], upTo: number, callUs: number): void {
    this.#operations.push({
      ...{ client: `watch ${++this.#clients}`, op: 'watch', key: this.prefix, input: { watcher, from } },
      output: { batches, ...(upTo >= from ? { upTo } : {}) },
      ...{ call: callUs, return: this.nowUs() },
    });
  }

  /** Why some watcher was not told every revision once, whole and in order; null when all were. */
  judge(): string | null {
    const { verdict, reason } = check(this.#operations, { model: 'watch' });
    return verdict === 'ok' ? null : (reason ?? verdict);
  }
}

/** What a watcher of the client library is told, until `enough` says so, or the watch throws. */
export class Follower {
  readonly batches: Told[] = [];
  /** Everything up to it was told. */
  upTo: number;
  readonly from: number;
  readonly #callUs: number;
  readonly #record: WatchRecord;
  readonly #name: string;

  constructor(record: WatchRecord, name: string, from: number) {
    this.#record = record;
    this.#name = name;
    this.from = from;
    this.upTo = from - 1;
    this.#callUs = record.nowUs();
  }

  /** Resolves when it has been told up to `untilRevision`, which may be set later. Rejects as the watch does. */
  async follow(client: Client, enough: () => boolean, signal: AbortSignal): Promise<void> {
    const stream = client.watch({ prefix: this.#record.prefix, from: this.from, progress: true, signal });
    try {
      for await (const batch of stream) {
        if (batch.resync) throw new Error('unreachable: no list was asked for');
        this.upTo = batch.revision;
        if (batch.events.length > 0) {
          const events = batch.events.map((event) => ({
            ...{ type: event.type, key: event.key },
            value: event.type === 'put' ? event.value : null,
          }));
          this.batches.push({ revision: batch.revision, events });
        }
        if (enough()) return;
      }
    } finally {
      this.#record.watched(this.#name, this.from, this.batches, this.upTo, this.#callUs);
    }
  }
}
