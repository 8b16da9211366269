/** How clients of a simulation ask a node, also one that is paused, cut off or gone: they wait a while, and then know no more than that they do not know. */
import { KvorumError } from '../../src/errors.ts';
import type { KvorumNode } from '../../src/node/types.ts';
import type { SimCluster } from '../../src/testing/sim-cluster.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { Open } from './history.ts';
import type { Sightings } from './sightings.ts';

export interface ClientCounts {
  ok: number;
  failed: number;
  unknown: number;
}

export type Outcome = keyof ClientCounts;

/** A client waits this much longer for a node than the node was asked to take. */
const PATIENCE_MS = 1000;

export const NOTHING: Open = { ok: () => {}, fail: () => {} };

export interface Question {
  readonly what: string;
  readonly node: SimNode;
  /** What the node was asked to take at most. */
  readonly timeoutMs: number;
  readonly open?: Open;
  /** For the trace. */
  readonly input?: string;
}

/** What came of a question. */
export interface Answered<T> {
  readonly outcome: Outcome;
  /** With `ok`. */
  readonly answer: T | null;
  /** Why not; null when nobody answered. */
  readonly error: KvorumError | null;
}

export class Asking {
  readonly cluster: SimCluster;
  readonly sightings: Sightings;
  readonly counts: ClientCounts = { ok: 0, failed: 0, unknown: 0 };
  /** The newest revision of any answer that is linearizable. */
  acknowledged = 0;
  readonly #log: (line: string) => void;

  constructor(cluster: SimCluster, sightings: Sightings, log: (line: string) => void) {
    this.cluster = cluster;
    this.sightings = sightings;
    this.#log = log;
  }

  get now(): number {
    return this.cluster.now;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.cluster.time.schedule(ms, resolve));
  }

  log(line: string): void {
    this.#log(line);
  }

  async ask<T>(
    { what, node, timeoutMs, open = NOTHING, input = '' }: Question,
    action: (running: KvorumNode, open: Open) => Promise<T>,
  ): Promise<Answered<T>> {
    this.#log(`${what} ${input}`);
    const { elections } = this.sightings;
    // What comes after the client has gone does not count any more.
    let gone = false;
    const guarded: Open = {
      ok: (output) => {
        if (gone) return;
        this.#noteRevision(output);
        open.ok(output);
      },
      fail: () => {
        if (!gone) open.fail();
      },
    };
    const answered = node
      .call((running) => action(running, guarded))
      .then(
        (answer): Answered<T> => ({ outcome: 'ok', answer, error: null }),
        (error: unknown): Answered<T> => {
          if (!KvorumError.is(error)) throw error;
          if (error.outcome !== 'none') return { outcome: 'unknown', answer: null, error };
          guarded.fail();
          return { outcome: 'failed', answer: null, error };
        },
      );
    const impatient = this.sleep(timeoutMs + PATIENCE_MS).then((): Answered<T> => ({
      outcome: 'unknown',
      answer: null,
      error: null,
    }));
    const result = await Promise.race([answered, impatient]);
    gone = true;
    const { outcome, error } = result;
    this.#noteRevision(result.answer);
    this.#log(`${what}: ${outcome}${error === null ? '' : ` ${error.code}`}`);
    this.counts[outcome]++;
    if (this.sightings.elections - elections >= 2) this.sightings.saw(`${outcome} across two elections`);
    return result;
  }

  #noteRevision(answer: unknown): void {
    const { revision } = (answer ?? {}) as { revision?: unknown };
    if (typeof revision === 'number') this.acknowledged = Math.max(this.acknowledged, revision);
  }
}
